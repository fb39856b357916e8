/// A generated run of Bluesky.
#pragma once

#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// Start, descriptor, `frames` events and stop, as a RunEngine publishes them. An event has the data keys
/// `motor`, which moves evenly from 0 to 1, `det`, and `sent_ns`, `CLOCK_REALTIME` when it was made. Options:
///
/// | option     | values                |                                                             |
/// | ---------- | --------------------- | ----------------------------------------------------------- |
/// | serializer | pickle, json, msgpack |                                                             |
/// | stream     | a text; primary       | name of the stream                                          |
/// | page       | 0 to 10000; 0         | events in one `event_page`; 0: each in an `event`           |
/// | prefix     | a text; empty         | of all messages                                             |
/// | image      | false, true           | a data key `img` of `shape` and `type`, with `fill_pixels`  |
/// | baseline   | false, true           | a second stream: an event at begin and end, no entries      |
/// | external   | false, true           | a data key `file`, a resource, and a datum before each event |
///
/// Throws std::runtime_error for an unknown option and a value that it can't have.
std::unique_ptr<series_generator> make_bluesky_series(const series_settings& settings);

} // namespace dtranspose
