/// `timeint`: a number summed over so many events, or so many seconds.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Over the scan: sum, mean and number of events of each interval.
std::unique_ptr<analysis> make_timeint_analysis();

} // namespace dtranspose
