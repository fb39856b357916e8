/// `roi`: mean, sum, lowest and highest pixel of a rectangular region of an image, per event.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Parameters `rows` and `columns` (`A:B`, half open; either end may be left out; empty: all)
/// choose along the last two axes, of all axes before them; `columns` alone along the only axis of
/// a line. `stream` names the stream; empty: the first of the event that has an image.
///
/// Integers are summed exactly, floating-point numbers with compensation; a NaN in the region makes
/// all four NaN.
std::unique_ptr<analysis> make_roi_analysis();

} // namespace dtranspose
