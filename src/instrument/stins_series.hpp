/// A generated series of STINS.
#pragma once

#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// Start, images numbered from 0, end: what `frame_generator` makes, or what a camera sees. Options:
///
/// | option         | values            |                                                           |
/// | -------------- | ----------------- | --------------------------------------------------------- |
/// | compression    | none, bslz4       |                                                           |
/// | blobs          | one, each         | each: a blob for each index of the first axis of `shape`  |
/// | metadata       | false, true       | nested metadata in the start, further keys in images      |
/// | filename       | a text            | of the start; generated.h5. Empty: nothing is to be saved |
/// | message_number | a whole number; 0 | `msg_number` of the start                                 |
///
/// With a view shape and type are those of the camera, `blobs` is one and there are no `metadata`.
///
/// Throws std::runtime_error for an unknown option, a value that it can't have, `blobs` = `each` without a
/// first axis and images beyond what one LZ4 block may hold.
std::unique_ptr<series_generator> make_stins_series(const series_settings& settings);

} // namespace dtranspose
