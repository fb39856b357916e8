/// A generated series of Dectris Stream V1.
#pragma once

#include <cstddef>
#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// So many different images are made, which frames take by turns: pixels of frame n are what `fill_pixels`
/// gives for n modulo this.
inline constexpr std::uint64_t eiger_v1_patterns = 4;

/// Start, images numbered from 0, end. `shape` is [rows, columns], or has one axis more; its type is uint8,
/// uint16 or uint32. The mask of a start marks the pixels that are masked in the images. Options:
///
/// | option        | values                                              | | | ------------- |
/// --------------------------------------------------- | ----------------------------------- | |
/// header_detail | basic, none, all                                    | how many parts the start has | |
/// encoding      | `<`, `lz4<`, `bs8-lz4<`, `bs16-lz4<`, `bs32-lz4<` ... | without: `bs`, bits, `-lz4<` | |
/// appendix      | false, true                                         | one more part in start and images |
/// | series        | a whole number; 1                                   | | | ntrigger      | a whole
/// number; 1                                   | announced; `frames` is a multiple   |
///
/// Throws std::runtime_error for an unknown option, a value that it can't have, and other shapes and types.
std::unique_ptr<series_generator> make_eiger_v1_series(const series_settings& settings);

} // namespace dtranspose
