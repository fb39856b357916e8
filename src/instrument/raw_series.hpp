/// A generated series of the messages that a reader of `raw` with the same options understands.
#pragma once

#include <cstdint>
#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// So many different images are made, which frames take by turns: pixels of frame n are what `fill_pixels`
/// gives for n modulo this.
inline constexpr std::uint64_t raw_patterns = 4;

/// A start if the options have one, data, an end if they have one. The options are those of the reader: what
/// they say stands in the header where they say. Numbers count from `first`, message numbers from 0; the
/// series is 1. Data are a header and a part of pixels in front of it or behind it; without any path or
/// marker they are the pixels alone. The parts of other messages are empty but for the header. A header of
/// data has the keys `shape` and `type`, and every header has `sent_ns`, where nothing else is in their
/// place.
///
/// Throws std::runtime_error for an unknown option, a value that it can't have, and paths that get in the way
/// of one another.
std::unique_ptr<series_generator> make_raw_series(const series_settings& settings);

} // namespace dtranspose
