/// `normalise`: one number divided by another, event by event.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Per event: (signal - signal_offset) / (monitor - monitor_offset) * reference. Over the scan: mean and
/// standard deviation, and the course over the events.
std::unique_ptr<analysis> make_normalise_analysis();

} // namespace dtranspose
