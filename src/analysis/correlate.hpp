/// `correlate`: do two streams belong to the same triggers?
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Over the scan: the correlation of two numbers for every lag between them, window by window, and an alarm
/// when another lag than 0 fits better.
std::unique_ptr<analysis> make_correlate_analysis();

} // namespace dtranspose
