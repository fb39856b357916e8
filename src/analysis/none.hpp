/// `none`: gives nothing for any event. For set-ups that only record, and to measure everything
/// else.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

std::unique_ptr<analysis> make_none_analysis();

} // namespace dtranspose
