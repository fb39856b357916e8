/// `histogram`: how often a number lies in which interval.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Over the scan: events in each of equal intervals, exact whatever the order.
std::unique_ptr<analysis> make_histogram_analysis();

} // namespace dtranspose
