/// `tomo`: slices of a sample that turns in a parallel beam, while it turns.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// docs/analyses/tomo.md tells parameters and results.
std::unique_ptr<analysis> make_tomo_analysis();

} // namespace dtranspose
