/// A generated series of Sardana's recorder.
#pragma once

#include <cstdint>
#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// A description, `frames` records and an end; each message is path and body, as `make_http_instrument` posts
/// it. A record has the columns `mot01`, which moves evenly from 0 to 1, and `ct01` and so on, whole numbers;
/// the key `sent_ns` is `CLOCK_REALTIME`. Options:
///
/// | option    | values          |                                                                          |
/// | --------- | --------------- | ------------------------------------------------------------------------ |
/// | point_nb  | 0, 1, none      | that of the first record; none: records have no numbers                  |
/// | serialno  | a whole number; 1 |                                                                        |
/// | counters  | 0 to 1000; 2    | columns `ct01` and so on                                                 |
/// | spectrum  | false, true     | a column `mca01`, nested lists of `shape` and `type` with `fill_pixels`  |
/// | nan       | false, true     | every third value of `ct01` is the bare token NaN                        |
/// | custom    | false, true     | custom data after every record, which are no entries                     |
///
/// With a view its columns are all there are, and the title is its own.
///
/// Throws std::runtime_error for an unknown option or a value that it can't have, and for a spectrum beyond
/// what fits a body.
std::unique_ptr<series_generator> make_sardana_series(const series_settings& settings);

} // namespace dtranspose
