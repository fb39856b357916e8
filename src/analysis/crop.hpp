/// `crop`: a rectangle of each image, as it is.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// docs/analyses/crop.md tells parameters and results.
std::unique_ptr<analysis> make_crop_analysis();

} // namespace dtranspose
