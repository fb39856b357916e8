/// `sum`: the sum of all images of a stream, pixel by pixel.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Parameter `stream` names the stream; empty: the first of the event that has an image. Publishes
/// `frames`, and `image` once there is one: uint64 or int64, exact, for integers; float64,
/// compensated, for floating-point numbers. Workers sum what they get and hand on partial sums of
/// many events, so neither the split over workers nor the order of folding matters beyond the last
/// rounding.
std::unique_ptr<analysis> make_sum_analysis();

} // namespace dtranspose
