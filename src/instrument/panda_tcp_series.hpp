/// What a PandABox sends on its data port for a scan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "instrument/series_generator.hpp"
#include "instrument/tcp_instrument.hpp"
#include "protocol/panda_header.hpp"

namespace dtranspose {

/// Some arms of `frames` rows each; shape and type don't matter. Numbers follow from seed, arm and row alone,
/// but `arm_time` is the time when the header was made.
///
/// | option           | values                          | default               |
/// | ---------------- | ------------------------------- | --------------------- |
/// | arms             | 1 to 1000000                    | 1                     |
/// | format           | ascii, base64, framed, unframed | ascii                 |
/// | process          | scaled, raw                     | scaled                |
/// | xml              | true, false                     | false                 |
/// | fields           | fields with commas              | bits, a time, a mean  |
/// | rows_per_message | 1 to 100000                     | 1                     |
///
/// A field is `<name>.<capture>`. `PCAP.BITS...`, `PCAP.SAMPLES` and `PCAP.GATE_DURATION` are counts, uint32;
/// `PCAP.TS_...` are times in units of 8 ns; any other name is a position in units of 0.5 um, offset by 1.
/// Captures are `Value`, `Diff`, `Min`, `Max`, `Sum`, `Mean` and `StdDev`. Columns are sent in the server's
/// order; raw means and deviations bring along what they are computed from.
///
/// With a view its columns are positions, in their own units and steps; without `fields` the time and the
/// mean of each of them are sent.
std::unique_ptr<series_generator> make_panda_tcp_series(const series_settings& settings);

/// How a simulated PandABox with these options of the series answers to an options line: `OK` if it is what
/// the series sends, and `ERR` with a reason otherwise.
line_answer answer_of_panda_series(const protocol_options& options);

/// The header of that series, but for its times.
panda_header panda_series_header(const series_settings& settings);

/// The packed row that such a series sends: of its arm and its place there, both from 0.
std::vector<std::byte> panda_series_row(const series_settings& settings, std::uint64_t arm,
                                        std::uint64_t row);

} // namespace dtranspose
