/// AlbaEM, the electrometer of ALBA as a Tango device publishes it: one JSON message for each reading of its
/// channels. Reader for the ingester, typed views for analyses, writers for senders.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view albaem_type_tag = "albaem";

/// The reader. Every message is an entry and is passed on as it is. What it refuses:
///
/// | fault     | when                                                | numbered |
/// | --------- | --------------------------------------------------- | -------- |
/// | truncated | no parts at all                                     | no       |
/// | oversized | part 0 longer than `json_header_limit`              | no       |
/// |           | data of more than one part                          | yes      |
/// | not_json  | part 0 is no JSON object                            | no       |
/// | unknown   | `message_type` missing or none of the three         | no       |
/// |           | data without a usable `frame_number`                | no       |
///
/// An unusable `message_id` counts as missing. Readings are not looked at.
std::unique_ptr<protocol> make_albaem(const protocol_options& options = {});

/// One reading of the channels.
struct albaem_reading {
  std::uint64_t frame_number = 0; ///< from 0
  std::optional<std::uint64_t> message_id;
  std::optional<double> timestamp;                   ///< s
  std::optional<std::int64_t> acquisition_timestamp; ///< ns since 1970, to the last bit
  std::map<std::uint32_t, double> channels;          ///< A, by number; those that were read

  /// The current of that channel in A; nothing if it was not read.
  std::optional<double> channel(std::uint32_t number) const;
};

/// What closes a series.
struct albaem_end {
  value_map detector_specific; ///< e.g. `read_overflow` and `memory_overflow`; empty if it is missing
};

/// Nothing for whatever is no such message, or is refused by the reader. A channel whose value is no number
/// is left out. Callable from any thread.
std::optional<entry_kind> albaem_kind(const stream_data& data);
std::optional<albaem_reading> parse_albaem_reading(const stream_data& data);
std::optional<albaem_end> parse_albaem_end(const stream_data& data);

/// All keys of a message, those among them that are not known here. Empty for whatever is no message of this
/// format. Callable from any thread.
value_map albaem_keys(const stream_data& data);

/// Writers of messages: replace `out`, whose memory is reused. `sent_ns` is the sender's clock
/// (`CLOCK_REALTIME`), an extra key that is left out when there is none; the `message_id` of a reading may
/// be missing.
void write_albaem_start(std::string& out, std::uint64_t message_id);
void write_albaem_reading(std::string& out, const albaem_reading& reading,
                          std::optional<std::int64_t> sent_ns = {});
void write_albaem_end(std::string& out, std::uint64_t message_id, bool read_overflow, bool memory_overflow);

} // namespace dtranspose
