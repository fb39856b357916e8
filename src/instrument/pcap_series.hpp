/// A generated series of PCAP.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// Start, data messages with several rows each, end. `frames` counts rows. Options:
///
/// | option           | values                        | what                                       |
/// | ---------------- | ----------------------------- | ------------------------------------------ |
/// | rows_per_message | `14-16`, or any range, or one | rows of a message, evenly spread           |
/// |                  | number, up to 65536           |                                            |
/// | fields           | 1 to 1000; 5                  | how many lists                             |
/// | not_finite       | false, true                   | NaN and Infinity where an encoder was lost |
///
/// Data messages have the key `sent_ns`, which is then a column of every row. Throws std::runtime_error for
/// an unknown option or a value that it can't have.
std::unique_ptr<series_generator> make_pcap_series(const series_settings& settings);

/// Name of list `field` of a generated series: the first five are those of a real one.
std::string pcap_series_field(std::size_t field);

/// What is generated for a row: whole numbers from the sixth field on, beyond 2^53, real numbers before.
std::variant<double, std::int64_t> pcap_series_value(std::uint64_t seed, std::size_t field, std::uint64_t row,
                                                     bool not_finite = false);

} // namespace dtranspose
