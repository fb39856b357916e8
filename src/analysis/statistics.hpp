/// `statistics`: how well the mean of a number is known, and when that is good enough.
#pragma once

#include <memory>

#include "analysis/plugin.hpp"

namespace dtranspose {

/// Mean, deviation and standard error (deviation / sqrt(n), readings taken for independent) of a scalar.
/// Decides `good_enough`, and that the scan may stop, once the standard error is down to `precision` times
/// the mean.
std::unique_ptr<analysis> make_statistics_analysis();

} // namespace dtranspose
