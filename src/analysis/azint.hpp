/// `azint`: azimuthal integration of images, per event and in the mean of the scan.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// docs/analyses/azint.md tells parameters, formulae and results.
std::unique_ptr<analysis> make_azint_analysis();

} // namespace dtranspose
