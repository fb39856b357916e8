/// Contrast, the acquisition software of MAX IV's NanoMAX: pickled dicts of motor positions and small
/// detector readings. Reader for the ingester, decoders for analyses, writers for senders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view contrast_type_tag = "contrast";
/// Longest message that is read. Real ones have some 2,000 bytes; arrays of a detector still fit, and reading
/// the largest takes a fraction of a second.
inline constexpr std::size_t contrast_message_limit = std::size_t{64} << 20;

/// The reader. One message is one entry, but for heartbeats, which are none. Nothing numbers the messages:
/// running ones are counted as they come. What it refuses takes the position of a running message, unless
/// it is certainly none:
///
/// | fault       | when                                                        | numbered |
/// | ----------- | ----------------------------------------------------------- | -------- |
/// | truncated   | no parts at all                                             | yes      |
/// | oversized   | more than one part, or longer than `contrast_message_limit` | yes      |
/// | corrupt     | no pickle, or one in which `read_pickle` refuses something  | yes      |
/// | unknown     | a pickle without a `status` that is known                   | no       |
/// | interrupted | the connection was lost between a start and its end         | no       |
std::unique_ptr<protocol> make_contrast(const protocol_options& options = {});

enum class contrast_status : std::uint8_t { heartbeat, started, running, finished, interrupted };

/// `heartbeat`, `started`, `running`, `finished`, `interrupted`.
std::string_view name_of(contrast_status status);

/// Nothing for whatever is no message of this format. Callable from any thread.
std::optional<contrast_status> contrast_status_of(const stream_data& data);

/// Start, data or end; nothing for heartbeats and for whatever is no message of this format. Callable from
/// any thread.
std::optional<entry_kind> contrast_kind(const stream_data& data);

/// What begins and ends a scan.
struct contrast_scan {
  contrast_status status = contrast_status::started; ///< or finished, or interrupted
  std::optional<std::int64_t> scannr;
  std::string path;        ///< directory of the scan's files
  std::string description; ///< the command, e.g. `mesh sx -2 2 3 sy -2 2 4 0.1`
  value_map snapshot;      ///< positions by name of motor, mostly floats, when the message was made
  value_map extra;         ///< everything else
};

/// The start or end in `data`; nothing for any other message. What is missing is empty. Callable from any
/// thread.
std::optional<contrast_scan> parse_contrast_scan(const stream_data& data);

/// One point of a scan.
struct contrast_point {
  double dt = 0; ///< since the start, in s
  /// Everything else by name of motor or detector: a float, an array, a map of arrays, a link to a file ...
  value_map fields;

  /// The field of that name, or `inner` in it; null if it isn't there.
  const value* find(std::string_view name, std::string_view inner = {}) const;
  /// The same as a number, e.g. `number("sx")` or `number("panda0", "INENC1.VAL_Mean")`; nothing if it is
  /// none.
  std::optional<double> number(std::string_view name, std::string_view inner = {}) const;
};

/// The point in `data`; nothing for any other message. Callable from any thread.
std::optional<contrast_point> parse_contrast_point(const stream_data& data);

/// A number, or an array of any type and shape that has one element; nothing for anything else.
std::optional<double> contrast_number(const value& field);

/// What a detector wrote elsewhere.
struct contrast_link {
  std::string filename, path; ///< of an HDF5 file, and within it
  bool universal = false;     ///< as the sender says
};

/// The link that `field` stands for; nothing for anything else.
std::optional<contrast_link> contrast_link_of(const value& field);

/// Messages for senders, in the pickle protocols that Contrast uses: 2, and 4 for heartbeats.
std::vector<std::byte> write_contrast_heartbeat();
std::vector<std::byte> write_contrast_scan(const contrast_scan& scan);
std::vector<std::byte> write_contrast_point(const contrast_point& point);
/// A field that stands for a link.
value to_value(const contrast_link& link);

} // namespace dtranspose
