/// `sort`: a number by position, on a regular grid.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Over the scan: mean and number of events of each cell, by the position that the event has, in whatever
/// order events come.
std::unique_ptr<analysis> make_sort_analysis();

} // namespace dtranspose
