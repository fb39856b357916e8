/// Dummy: no detector speaks it. It is the pattern for the wire format of the next one, complete and tested,
/// but not in the table of protocols. Copy the two files and their test, then replace what is told here.
/// `docs/protocols.md` goes through it step by step.
///
/// A header like this is what analysis code includes: it knows of the standard library, of `model/` and of
/// the few headers below, and of no parser and no transport.
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
#include "protocol/array_view.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

/// How an analysis tells one format from another: all stream data of this one have it. Recordings hold it, so
/// it never changes.
inline constexpr std::string_view dummy_type_tag = "DUMMY";

// ---- for the ingester

/// The reader. `frame` is the number, counted from 0 within `series`; an end counts its frames. Say which
/// options it takes and what it refuses, with the fault that shows up in the status of the stream. "Numbered"
/// tells whether the event is named to which the message would have belonged; otherwise it is only counted.
///
/// | fault     | when                                                     | numbered |
/// | --------- | -------------------------------------------------------- | -------- |
/// | truncated | no parts at all                                          | no       |
/// |           | no pixels, or fewer than shape and type announce         | yes      |
/// | oversized | header longer than `json_header_limit`                   | no       |
/// |           | more pixels than announced, or a further part            | yes      |
/// | not_json  | part 0 is no JSON object                                 | no       |
/// | unknown   | `message` missing or none of the three                   | no       |
/// |           | frame without a usable `frame`                           | no       |
/// |           | frame without a usable `shape` or `type`                 | yes      |
///
/// An unusable `series` or `frames` counts as missing. Keys that are not named here may be added.
std::unique_ptr<protocol> make_dummy(const protocol_options& options = {});

// ---- for analyses

/// A frame with its pixels. Say of every member what it is, in which unit, and how long views are valid: here
/// as long as a copy of the stream data is.
struct dummy_frame {
  std::uint64_t number = 0;            ///< the instrument's, from 0
  std::optional<std::uint64_t> series; ///< nothing if the header has none
  array_view pixels;                   ///< photons, [rows, columns]
  value_map metadata; ///< the whole header, also keys that we know nothing of; empty if it nests too deeply
};

/// The frame in `data`; nothing for starts and ends and for whatever the reader refuses. Callable from any
/// thread.
std::optional<dummy_frame> parse_dummy_frame(const stream_data& data);

// ---- for senders: the simulation and tests

/// Writers of part 0: replace `out`, whose memory is used again. `sent_ns` is the sender's clock
/// (`CLOCK_REALTIME`), an extra key that is left out when there is none.
void write_dummy_start(std::string& out, std::uint64_t series);
void write_dummy_frame(std::string& out, std::uint64_t series, std::uint64_t number,
                       const std::vector<std::size_t>& shape, dtype type,
                       std::optional<std::int64_t> sent_ns = {});
void write_dummy_end(std::string& out, std::uint64_t series, std::uint64_t frames);

} // namespace dtranspose
