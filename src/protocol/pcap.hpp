/// PCAP, what a PandABox captured as a Tango device publishes it: JSON messages, each with several rows of
/// a table. Every row is an entry of its own. Reader for the ingester, typed views for analyses, writers for
/// senders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view pcap_type_tag = "PCAP";

/// Longest message that is read: 10,000 rows of 50 fields, a tenth of a second at 100 kHz, still fit.
inline constexpr std::size_t pcap_message_limit = 16 << 20;
/// Most rows of a message: each becomes an entry, faulty ones too.
inline constexpr std::size_t pcap_row_limit = 65536;
/// Most keys of a message; a PandABox can capture some 100 fields.
inline constexpr std::size_t pcap_field_limit = 1024;
/// Longest that the rows of a message may be together: each repeats all names, so that a long name makes
/// much of little.
inline constexpr std::size_t pcap_rows_bytes_limit = 64 << 20;

/// The reader. A data message yields one packet for each row, in memory of its own: a JSON object with
/// `message_id`, `version`, `message_type` and `frame_number`, which counts rows, and then the fields in
/// their order, element i of each list in row i and everything else as it is. Values are copied character
/// by character. A message whose lists are empty yields nothing.
///
/// An end has a count if it follows the message with the last rows directly, by `message_id`: what was lost
/// before it is then known by its number.
///
/// | fault     | when                                                                       | numbered |
/// | --------- | -------------------------------------------------------------------------- | -------- |
/// | truncated | no parts at all                                                            | no       |
/// | oversized | longer than `pcap_message_limit`, lists longer than `pcap_row_limit`       | no       |
/// |           | more than one part, more keys than `pcap_field_limit`, rows longer than    | each row |
/// |           | `pcap_rows_bytes_limit` together                                           |          |
/// | not_json  | no JSON object                                                             | no       |
/// |           | a value that is none of JSON's and not NaN, Infinity or -Infinity          | each row |
/// | unknown   | `message_type` missing or none of the three                                | no       |
/// |           | data without a usable `frame_number`, or without a list                    | no       |
/// | corrupt   | lists of different lengths                                                 | no       |
///
/// A start or an end with more than one part is passed on as it is.
///
/// `series` of a start counts starts; the very same start again, before an end, counts as the one before.
std::unique_ptr<protocol> make_pcap(const protocol_options& options = {});

/// One row. All fields but the four that every row has are columns, in the order of the message.
struct pcap_row {
  std::uint64_t frame_number = 0; ///< counts rows, from 0
  std::optional<std::uint64_t> message_id;
  /// Whole numbers are int64, or uint64 where they need it; all others float64, those that are not finite or
  /// too long for 64 bits among them.
  std::vector<std::pair<std::string, value>> columns;

  /// The value of that name, or null. Of names that occur twice the last holds.
  const value* find(std::string_view name) const;
  /// The number of that name, to the last bit unless it is whole and beyond 2^53; nothing where it is
  /// missing or no number.
  std::optional<double> column(std::string_view name) const;
  std::vector<std::string_view> names() const;
};

/// What opens a series.
struct pcap_start {
  std::string arm_time; ///< ISO 8601; empty if it is missing
  value_map keys;       ///< all of them
};

/// Start, row or end; nothing for whatever is none of the three. A data message that was not split reads as a
/// row whose columns are lists. Callable from any thread, as are the other two.
std::optional<entry_kind> pcap_kind(const stream_data& data);
std::optional<pcap_row> parse_pcap_row(const stream_data& data);
std::optional<pcap_start> parse_pcap_start(const stream_data& data);

/// One field of a data message: its values, row by row.
struct pcap_field {
  std::string_view name;
  std::variant<std::span<const double>, std::span<const std::int64_t>> values;
};

/// Writers of messages: replace `out`, whose memory is reused. `sent_ns` is the sender's clock
/// (`CLOCK_REALTIME`), an extra key that is left out when there is none.
void write_pcap_start(std::string& out, std::uint64_t message_id, std::string_view arm_time);
void write_pcap_data(std::string& out, std::uint64_t message_id, std::uint64_t frame_number,
                     std::span<const pcap_field> fields, std::optional<std::int64_t> sent_ns = {});
void write_pcap_end(std::string& out, std::uint64_t message_id);

} // namespace dtranspose
