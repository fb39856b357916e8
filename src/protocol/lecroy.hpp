/// LeCroy oscilloscopes as MAX IV publishes them: the traces of each channel in a message of its own, between
/// a start and an end of a sequence. A sequence is one entry. Reader for the ingester, typed views for
/// analyses, writers for senders.
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
#include "protocol/array_view.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view lecroy_type_tag = "lecroy_9fwdWp6Rq7";

/// Most channels of a sequence; oscilloscopes have up to 16, and several may be coupled.
inline constexpr std::size_t lecroy_channel_limit = 64;
/// Most bytes of a sequence that are held until its end: as many as one part of a message may have.
inline constexpr std::size_t lecroy_sequence_limit = std::size_t{2} << 30;

/// The reader. A prepare is a start, a stop is an end. Each end of a sequence makes an entry of
///
///     start | traces, samples, time stamps | traces, samples, time stamps | ... | end
///
/// with the parts as they were received, those of each channel in their order of arrival. In continuous mode,
/// which has one start for all, every entry begins with that one. Sequences are counted from 0. What comes
/// before a prepare or behind a stop is discarded, but for a series that begins with frame 0: its prepare was
/// lost. Traces left over at the stop, of a sequence that is not complete, are discarded too. A prepare in
/// the midst of a series opens another one, unless frames go on: then it is the same again. `series` counts
/// them.
///
/// What was lost is found by `frame`, the number of traces messages that were sent before: a sequence that
/// lacks any of its messages is reported as truncated, with its number, and the following ones keep theirs.
/// Of sequences of which nothing came only the number is missing. That takes for granted that sequences which
/// were lost as a whole had as many channels as those around them. Where numbers contradict that, or each
/// other, what follows is reported without a number up to the next prepare; but a single wild number costs
/// its own sequence only.
///
/// A stop has a count if it tells of as many traces as make whole sequences, or if none was lost.
///
/// | fault     | when                                                                 | numbered    |
/// | --------- | -------------------------------------------------------------------- | ----------- |
/// | truncated | no parts at all                                                      | no          |
/// |           | a sequence that lacks its start, traces, or its end; a part of       | if known    |
/// |           | traces is missing, or its samples are less than its header announces |             |
/// | oversized | part 0 longer than `json_header_limit`                               | no          |
/// |           | more parts or samples than announced, more than                      | if known    |
/// |           | `lecroy_sequence_limit`                                              |             |
/// | not_json  | part 0 is no JSON object                                             | no          |
/// | unknown   | none of the five messages, and no heartbeat                          | no          |
/// |           | a start without usable `channels` and `ntriggers`; traces or an end  | no          |
/// |           | without `frame`, ends and stops outside of a series, an end of       |             |
/// |           | nothing                                                              |             |
/// |           | traces without a usable `shape` or `dtype`, of a channel that the    | if known    |
/// |           | start does not name, or that came before                             |             |
/// | corrupt   | a sequence whose number can't be told any more                       | no          |
///
/// Time stamps are not looked at.
std::unique_ptr<protocol> make_lecroy(const protocol_options& options = {});

/// The traces of one channel in a sequence. The views are valid as long as a copy of the stream data is.
struct lecroy_traces {
  std::uint64_t channel = 0;
  std::uint64_t frame = 0;                            ///< counts traces messages, from 0
  std::optional<double> ts;                           ///< when they were read, s since 1970
  array_view samples;                                 ///< [triggers, samples], float64; V
  std::optional<double> horiz_offset, horiz_interval; ///< s
  std::span<const std::byte> pickled_time_stamps;     ///< see `lecroy_time_stamps`

  /// When each sample of a trace was taken, s from its trigger: `horiz_offset` + k * `horiz_interval`.
  /// Empty if those are missing, or when there are no traces.
  std::vector<double> time_axis() const;
};

/// A sequence: one trigger in continuous mode, or a burst of them.
struct lecroy_sequence {
  bool continuous = false;
  std::optional<std::uint64_t> triggers; ///< `ntriggers`; nothing in continuous mode
  std::optional<std::int64_t> seqno;     ///< of its start
  std::vector<std::uint64_t> channels;   ///< as the start names them
  std::vector<lecroy_traces> traces;     ///< one for each of them, in their order of arrival

  /// The traces of that channel, or null.
  const lecroy_traces* find(std::uint64_t channel) const;
};

/// What closes a series.
struct lecroy_stop {
  std::optional<std::uint64_t> frames; ///< how many traces messages there were
};

/// Start, sequence or end; nothing for whatever is no entry of this format. Callable from any thread, as are
/// all of these.
std::optional<entry_kind> lecroy_kind(const stream_data& data);
std::optional<lecroy_sequence> parse_lecroy_sequence(const stream_data& data);
std::optional<lecroy_stop> parse_lecroy_stop(const stream_data& data);

/// When each trace was triggered, s since 1970; nothing if the pickle is malformed or holds anything but one
/// number for each trace.
std::optional<std::vector<double>> lecroy_time_stamps(const lecroy_traces& traces);

/// What a sender says at the start of a sequence.
struct lecroy_start_header {
  std::uint64_t frame = 0;    ///< traces messages sent so far
  std::int64_t triggers = -1; ///< -1: continuous
  std::int64_t seqno = 0;
  std::span<const std::uint64_t> channels;
};

/// What a sender says of traces in part 0.
struct lecroy_traces_header {
  std::uint64_t channel = 0;
  double ts = 0;
  std::uint64_t frame = 0;
  std::size_t traces = 1, samples = 0;
  double horiz_offset = 0, horiz_interval = 0;
};

/// Writers of part 0: replace `out`, whose memory is reused. `sent_ns` is the sender's clock
/// (`CLOCK_REALTIME`), an extra key that is left out when there is none.
void write_lecroy_prepare(std::string& out);
void write_lecroy_start(std::string& out, const lecroy_start_header& header);
void write_lecroy_traces(std::string& out, const lecroy_traces_header& header,
                         std::optional<std::int64_t> sent_ns = {});
void write_lecroy_end(std::string& out, std::uint64_t frame);
void write_lecroy_stop(std::string& out, std::uint64_t frames);

} // namespace dtranspose
