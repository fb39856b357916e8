/// A ZeroMQ stream of a form that nobody has met: messages of any parts, of which one may be a JSON header.
/// Where the numbers stand in it, and what marks a start and an end, is configuration. Reader for the
/// ingester, untyped view for analyses, writer of headers for senders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/options.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view raw_type_tag = "raw";

/// Where a value stands in a header: the keys that lead to it, from the outermost on. A whole number is also
/// the place of an element in a list, counted from 0.
using json_path = std::vector<std::string>;

/// The keys in `text`: a JSON pointer as `/header/frame`, or keys between dots as `header.frame`. Throws
/// std::runtime_error when it is empty or one of the keys between dots is.
json_path parse_json_path(std::string_view text);

/// A header with that value at that place. It may be the text `content`, or a number, `true`, `false` or
/// `null` that is written just like that.
struct raw_marker {
  json_path path;
  std::string content;
};

/// What the options say.
struct raw_layout {
  std::string type;
  std::size_t part = 0;
  json_path number, series, message_number, count; ///< empty: not given
  std::uint64_t first = 0;
  std::optional<raw_marker> start, end, data;

  /// Is there anything to look for in a header?
  bool has_header() const;
};

/// Takes them. Throws std::runtime_error that names the option; leaves it to the caller to finish.
raw_layout read_raw_layout(option_reader& options);

/// The reader. Options:
///
/// | option         | values         | default | meaning                                                  |
/// | -------------- | -------------- | ------- | -------------------------------------------------------- |
/// | type           | a text         | raw     | type tag of its stream data                              |
/// | part           | a whole number | 0       | which part holds the header                              |
/// | number         | a path         | none    | where data have their number; none: matched by position  |
/// | first          | a whole number | 0       | number of the first data of an arm                       |
/// | series         | a path         | none    | where messages have the number of their series           |
/// | message_number | a path         | none    | where every message has a number, start and end included |
/// | start          | PATH=VALUE     | none    | marks a start; none: there are none                      |
/// | end            | PATH=VALUE     | none    | marks an end; none: there are none                       |
/// | data           | PATH=VALUE     | none    | marks data; none: all that is no start and no end        |
/// | count          | a path         | none    | where an end has the number of data                      |
///
/// Paths are those of `parse_json_path`; VALUE is all behind the first `=`. With a marker of data, messages
/// that are none of the three are ignored. Without any path or marker no part needs to be JSON. Without a
/// start, number n is the n-th entry of all: re-arming is not seen. What it refuses:
///
/// | fault     | when                                                   | numbered              |
/// | --------- | ------------------------------------------------------ | --------------------- |
/// | truncated | no parts at all, or not the one with the header        | with neither `number` |
/// | oversized | header longer than `json_header_limit`                 | nor `data`: it takes  |
/// | not_json  | header that is no JSON object                          | its position          |
/// | unknown   | data without a usable number, or one less than `first` | no                    |
///
/// Numbers are whole and not negative. An unusable series, message number or count counts as missing.
std::unique_ptr<protocol> make_raw(const protocol_options& options = {});

/// A message as analyses read it. The view is valid as long as a copy of the stream data is.
struct raw_message {
  value_map header;
  std::span<const frame> parts; ///< all of them, the header among them
};

/// Header and parts of `data`, whatever its type tag. Nothing when that part is missing or no JSON object.
/// Callable from any thread.
std::optional<raw_message> parse_raw_message(const stream_data& data, std::size_t part = 0);

/// Puts `content` where `path` leads, in maps that are made on the way. False where something else than a
/// map is in the way. For senders.
bool set_at(value_map& header, std::span<const std::string> path, value content);

} // namespace dtranspose
