/// `roi`: mean, sum, lowest and highest pixel of rectangular regions of an image, per event.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Parameters `rows` and `columns` (`A:B`, half open; either end may be left out; empty: all)
/// choose along the last two axes, of all axes before them; `columns` alone along the only axis of
/// a line. `stream` names the stream; empty: the first of the event that has an image.
///
/// `regions` has more of them, `NAME=ROWS,COLUMNS` with `;` between, whose results are `NAME_mean`,
/// `NAME_sum` and so on; with it the region without a name is only there if `rows` or `columns` choose one.
///
/// Integers are summed exactly, floating-point numbers with compensation; a NaN in the region makes
/// all four NaN.
std::unique_ptr<analysis> make_roi_analysis();

} // namespace dtranspose
