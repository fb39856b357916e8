/// A generated series of Dectris Stream V2.
#pragma once

#include <cstdint>
#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// So many different images are made, which frames take by turns: pixels of frame n in channel c, counted
/// from 0, are what `fill_pixels` gives for seed + c and n modulo this.
inline constexpr std::uint64_t dectris_v2_patterns = 4;

/// Start, images numbered from 0, end, with the self-described tag. `shape` is [rows, columns]; the type is
/// uint8, uint16 or uint32. Channels are named threshold_1, threshold_2 ... The pixel mask of a start marks
/// the pixels that are masked in the images. Options:
///
/// | option        | values           |                                                                |
/// | ------------- | ---------------- | -------------------------------------------------------------- |
/// | channels      | 1 to 16; 1       | in each image                                                  |
/// | compression   | bslz4, lz4, none | of the pixels                                                  |
/// | header_detail | basic, all       | all: flatfield, pixel mask and count-rate table in the start   |
/// | series        | a whole number; 1 | `series_id`                                                   |
///
/// Throws std::runtime_error for an unknown option, a value that it can't have, and other shapes and types.
std::unique_ptr<series_generator> make_dectris_v2_series(const series_settings& settings);

} // namespace dtranspose
