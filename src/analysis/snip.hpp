/// What is below the peaks of a spectrum.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dtranspose {

/// The background of `spectrum` (counts, those below 0 taken as 0) by the SNIP algorithm: of
/// v = ln(ln(sqrt(y + 1) + 1) + 1), for p = width, width - 1, ..., 1, each v_i becomes the lesser of itself
/// and the mean of v_{i-p} and v_{i+p}, where both are there. Replaces `background`; `scratch` is memory that
/// is used again. `width` in channels: about twice the full width at half maximum of the broadest peak.
void snip_background(std::span<const double> spectrum, std::size_t width, std::vector<double>& background,
                     std::vector<double>& scratch);

} // namespace dtranspose
