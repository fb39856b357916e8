/// The data port of a PandABox (TCP 8889): rows of captured numbers, in one of four forms, between a header
/// and an END line for each arm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "model/frame.hpp"
#include "protocol/panda_header.hpp"
#include "protocol/panda_row.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view panda_tcp_type_tag = "PCAP_RAW";

/// Longest line, of a row or a header: `panda_column_limit` columns of 32 characters fit twice.
inline constexpr std::size_t panda_line_limit = 64 << 10;
/// Largest frame. Servers send blocks of 2 MiB; a frame is never held as a whole, so this only tells that a
/// length is one.
inline constexpr std::size_t panda_frame_limit = 64 << 20;
/// Longest END line: a count, and the reason in some words.
inline constexpr std::size_t panda_end_limit = 128;

/// The reader of a byte stream in pieces, cut anywhere. Entries are, for each arm:
///
/// | entry | part 0                                                   | part 1                         |
/// | ----- | -------------------------------------------------------- | ------------------------------ |
/// | start | header as text, each line with LF, without an empty line |                                |
/// | row   | `ascii`: its line, without LF; else the packed row       | with `header_in_rows`: the     |
/// |       |                                                          | same text as in the start      |
/// | end   | END line, without LF                                     |                                |
///
/// | option         | values                          | default | effect                           |
/// | -------------- | ------------------------------- | ------- | -------------------------------- |
/// | format         | ascii, base64, framed, unframed | ascii   | what the server is asked for     |
/// | process        | scaled, raw                     | scaled  | what the server is asked for     |
/// | xml            | true, false                     | false   | asks for the header as XML       |
/// | header_in_rows | true, false                     | false   | each row can be decoded alone    |
///
/// How an arm is read follows from its header, whatever was asked for. `header_in_rows` costs no memory
/// within a process; but between processes and in recordings each row then takes the header along.
///
/// Numbers: a row's `number` is the header's `missed` plus the rows before it, `count` of an end is `missed`
/// plus the count of the END line. Rows are thereby found although we connected late. There are no others, so
/// that `numbered` is false.
///
/// | fault       | when                                                                   | numbered |
/// | ----------- | ---------------------------------------------------------------------- | -------- |
/// | unknown     | the server refused with `ERR`                                          | no       |
/// |             | bytes before a header: we came in mid-arm; once for all of them        | no       |
/// |             | `ascii`: a line that is neither a row nor END                          | yes      |
/// | truncated   | `ascii`: too few numbers in a row                                      | yes      |
/// | oversized   | `ascii`: too many numbers, or a line beyond `panda_line_limit`         | yes      |
/// |             | a header beyond `panda_header_limit`: its rows are skipped             | yes      |
/// |             | a frame beyond `panda_frame_limit`: the rest of the arm is skipped     | no       |
/// | corrupt     | a header whose columns are not understood: its rows are passed on      | yes      |
/// |             | a header that doesn't say where rows end: its rows are skipped         | yes      |
/// |             | an END line without a count, or not with that of the rows that came    | yes      |
/// |             | no frame, or no base64: the rest of the arm is skipped                 | no       |
/// | interrupted | the connection was lost between a header and its END                   | no       |
///
/// After an interruption the server begins with a header again. One of the same `arm_time` continues the arm:
/// it is no entry, and rows that were read before come again under their numbers.
///
/// UNFRAMED has no mark of its end: an END line counts as one where a row could begin and if its count is
/// that of the rows that came.
std::unique_ptr<protocol> make_panda_tcp(const protocol_options& options = {});

/// What a server says at the end of an arm.
struct panda_end {
  std::uint64_t count = 0; ///< rows that it sent
  std::string reason;      ///< `Ok`, `Disarmed`, `Early disconnect`, `Data overrun`, `Framing error`, ...
};

/// The end in an end entry; nothing for anything else. Callable from any thread.
std::optional<panda_end> parse_panda_end(const stream_data& data);

/// Appends an END line with its LF. For senders.
void append_panda_end(std::string& out, std::uint64_t count, std::string_view reason = "Ok");

} // namespace dtranspose
