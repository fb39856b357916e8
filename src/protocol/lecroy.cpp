#include "protocol/lecroy.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include "protocol/json_header.hpp"
#include "protocol/json_shape.hpp"
#include "protocol/pickle.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

//  message    part 0: JSON object, keys in any order                                further parts
//  prepare    htype "msg", what 0, frame                                            none
//  start      htype "msg", what 1, frame, ntriggers (-1: continuous), seqno,        none
//             channels [...]
//  traces     htype "traces", ch, ts, frame, shape [triggers, samples],             samples, C order
//             horiz_offset, horiz_interval, dtype "float64"                         time stamps, a pickle
//  end        htype "msg", what 2, frame                                            none
//  stop       htype "msg" or none, what 3, frame, frames                            none
//
//  continuous  prepare, start, {traces for each channel, end}..., stop
//  otherwise   prepare, {start, traces for each channel, end}..., stop
//
// `frame` is the number of traces messages before this one in its series.

constexpr std::size_t traces_parts = 3;
/// So that nothing that is counted from it overflows.
constexpr std::uint64_t highest_frame = std::uint64_t{1} << 62;

enum class message_kind : std::uint8_t { prepare, start, traces, end, stop, heartbeat, other };

/// Part 0. Texts point into the scratch memory of its reader.
struct header_fields {
  std::string_view htype, dtype;
  std::optional<std::uint64_t> what, frame, frames, channel;
  std::optional<std::int64_t> triggers, seqno;
  std::vector<std::uint64_t> channels; ///< empty: not usable
  std::optional<double> ts, horiz_offset, horiz_interval;
  json_shape shape;
  bool has_shape = false;

  message_kind kind() const {
    if (htype == "traces") return message_kind::traces;
    if (htype == "heartbeat") return message_kind::heartbeat;
    if (!what || (!htype.empty() && htype != "msg")) return message_kind::other;
    switch (*what) {
    case 0:
      return message_kind::prepare;
    case 1:
      return message_kind::start;
    case 2:
      return message_kind::end;
    case 3:
      return message_kind::stop;
    default:
      return message_kind::other;
    }
  }

  /// Of a start: can entries be made with it?
  bool opens_sequence() const { return !channels.empty() && triggers; }
  bool continuous() const { return triggers == -1; }
};

std::optional<std::uint64_t> frame_number(json::value value) {
  auto number = whole_number(value);
  return number && *number <= highest_frame ? number : std::nullopt;
}

std::optional<std::int64_t> signed_number(json::value value) {
  std::int64_t number = 0;
  if (value.get_int64().get(number)) return std::nullopt;
  return number;
}

std::optional<double> real_number(json::value value) {
  double number = 0;
  if (value.get_double().get(number)) return std::nullopt;
  return number;
}

/// Different whole numbers, at least one; empty for anything else.
std::vector<std::uint64_t> channel_list(json::value value) {
  std::vector<std::uint64_t> channels;
  json::array numbers;
  if (value.get_array().get(numbers)) return {};
  for (auto number : numbers) {
    std::uint64_t channel = 0;
    if (channels.size() == lecroy_channel_limit || number.get_uint64().get(channel)) return {};
    if (std::find(channels.begin(), channels.end(), channel) != channels.end()) return {};
    channels.push_back(channel);
  }
  return channels;
}

class header_reader {
 public:
  /// Why `text` has no usable fields, or nothing. `fields` is valid until the next call.
  std::optional<packet_fault> read(std::string_view text, header_fields& fields) {
    return reader_.read(text, [&](std::string_view key, json::value value) { take(key, value, fields); });
  }

 private:
  static void take(std::string_view key, json::value value, header_fields& fields) {
    if (key == "htype")
      fields.htype = text_of(value);
    else if (key == "what")
      fields.what = whole_number(value);
    else if (key == "frame")
      fields.frame = frame_number(value);
    else if (key == "frames")
      fields.frames = frame_number(value);
    else if (key == "channels")
      fields.channels = channel_list(value);
    else if (key == "ntriggers")
      fields.triggers = signed_number(value);
    else if (key == "seqno")
      fields.seqno = signed_number(value);
    else
      take_of_traces(key, value, fields);
  }

  static void take_of_traces(std::string_view key, json::value value, header_fields& fields) {
    if (key == "ch")
      fields.channel = whole_number(value);
    else if (key == "shape")
      fields.has_shape = fields.shape.read(value);
    else if (key == "dtype")
      fields.dtype = text_of(value);
    else if (key == "ts")
      fields.ts = real_number(value);
    else if (key == "horiz_offset")
      fields.horiz_offset = real_number(value);
    else if (key == "horiz_interval")
      fields.horiz_interval = real_number(value);
  }

  json_header_reader reader_;
};

/// One per thread that decodes: analyses call from wherever they run.
header_reader& reader_of_this_thread() {
  thread_local header_reader reader;
  return reader;
}

/// What is wrong with traces, their channel aside, or nothing.
std::optional<packet_fault> check_traces(const header_fields& fields, std::span<const frame> parts) {
  if (parts.size() < traces_parts) return packet_fault::truncated;
  if (parts.size() > traces_parts) return packet_fault::oversized;
  auto type = dtype_of(fields.dtype);
  if (!fields.channel || !type || !fields.has_shape || fields.shape.extents().size() != 2)
    return packet_fault::unknown;
  auto announced = bytes_of(fields.shape.extents(), *type);
  if (parts[1].size() < announced) return packet_fault::truncated;
  if (parts[1].size() > announced) return packet_fault::oversized;
  return std::nullopt;
}

bool contains(const std::vector<std::uint64_t>& channels, std::uint64_t channel) {
  return std::find(channels.begin(), channels.end(), channel) != channels.end();
}

/// Several messages as one.
class sequence_frames final : public frame_owner {
 public:
  explicit sequence_frames(std::vector<stream_data> messages) : messages_(std::move(messages)) {
    for (auto& message : messages_)
      for (auto& part : message.frames()) views_.push_back(part);
    set_frames(views_);
  }

 private:
  std::vector<stream_data> messages_;
  std::vector<frame> views_;
};

/// The messages of a sequence that came so far. It holds none that can't become an entry.
class open_sequence {
 public:
  /// Has anything of it come? What a continuous series has of its start does not count.
  bool begun() const { return begun_; }

  /// Of its own, or that of all.
  void begin(const stream_data& start, const header_fields& fields) {
    clear();
    start_ = start;
    channels_ = fields.channels;
    continuous_ = fields.continuous();
    begun_ = !continuous_;
    // An entry has one part for it.
    start_fault_ = start.frames().size() > 1 ? std::optional(packet_fault::oversized) : std::nullopt;
    fault_ = start_fault_;
  }

  /// Is that the start of all its sequences already?
  bool starts_with(const stream_data& start) const { return continuous_ && start_ == start; }

  /// Begins the next one.
  void next() {
    clear();
    if (continuous_)
      fault_ = start_fault_;
    else
      forget_start();
  }

  void forget_start() {
    clear();
    start_.reset();
    channels_.clear();
    continuous_ = false;
    fault_ = packet_fault::truncated;
  }

  /// Something of it is missing or of no use.
  void spoil(packet_fault fault) {
    begun_ = true;
    if (!fault_) fault_ = fault;
    traces_.clear();
  }

  bool has_channel(std::uint64_t channel) const { return contains(seen_, channel); }

  void add(stream_data message, const header_fields& fields) {
    begun_ = true;
    if (auto fault = check_traces(fields, message.frames())) spoil(*fault);
    if (!fields.channel) return;
    if (has_channel(*fields.channel) || (start_ && !contains(channels_, *fields.channel)))
      spoil(packet_fault::unknown);
    if (seen_.size() < lecroy_channel_limit) seen_.push_back(*fields.channel);
    bytes_ += std::min(message.bytes(), lecroy_sequence_limit + 1);
    if (bytes_ > lecroy_sequence_limit) spoil(packet_fault::oversized);
    if (!fault_) traces_.push_back(std::move(message));
  }

  /// What is wrong with it, with its end, or nothing.
  std::optional<packet_fault> fault(const stream_data& end) const {
    if (fault_) return fault_;
    if (end.frames().size() > 1) return packet_fault::oversized;
    return traces_.size() < channels_.size() ? std::optional(packet_fault::truncated) : std::nullopt;
  }

  /// Only without a fault.
  stream_data entry(stream_data end) {
    std::vector<stream_data> messages = {start_};
    std::move(traces_.begin(), traces_.end(), std::back_inserter(messages));
    messages.push_back(std::move(end));
    return stream_data(std::make_unique<sequence_frames>(std::move(messages)), lecroy_type_tag);
  }

  packet_fault fault_without_end() const { return fault_.value_or(packet_fault::truncated); }

 private:
  void clear() {
    traces_.clear();
    seen_.clear();
    bytes_ = 0;
    begun_ = false;
    fault_.reset();
  }

  stream_data start_; ///< empty: it did not come
  std::vector<std::uint64_t> channels_;
  bool continuous_ = false;
  std::optional<packet_fault> start_fault_;
  std::vector<stream_data> traces_;
  std::vector<std::uint64_t> seen_; ///< channels
  std::size_t bytes_ = 0;
  bool begun_ = false;
  std::optional<packet_fault> fault_ = packet_fault::truncated;
};

class lecroy final : public protocol {
 public:
  std::string_view name() const override { return "lecroy"; }
  std::string_view type_tag() const override { return lecroy_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto parts = message.frames();
    header_fields fields;
    if (parts.empty()) return refuse(packet_fault::truncated, packets);
    if (auto fault = reader_.read(parts[0].text(), fields)) return refuse(*fault, packets);
    decide_on_prepare(fields, packets);
    switch (fields.kind()) {
    case message_kind::prepare:
      return take_prepare(std::move(message), fields, packets);
    case message_kind::start:
      return take_start(message, fields, packets);
    case message_kind::traces:
      return take_traces(std::move(message), fields, packets);
    case message_kind::end:
      return take_end(std::move(message), fields, packets);
    case message_kind::stop:
      return take_stop(std::move(message), fields, packets);
    case message_kind::heartbeat:
      return;
    case message_kind::other:
      break;
    }
    refuse(packet_fault::unknown, packets);
  }

  void reset() override {
    prepared_ = false;
    held_prepare_.reset();
    arm_ = 0;
    forget_series();
  }

 private:
  /// How far the series is.
  struct place {
    std::uint64_t frames = 0;                ///< traces messages that were sent
    std::uint64_t begin = 0;                 ///< those of them before the open sequence
    std::optional<std::uint64_t> number = 0; ///< of the open sequence; nothing: can't be told
  };

  /// How far back a frame number may go for its message to be one that came twice or late.
  static constexpr std::uint64_t late_frames = 256;

  static void refuse(packet_fault fault, std::vector<stream_packet>& packets) {
    packets.push_back({.fault = fault, .numbered = false});
  }

  void forget_series() {
    at_ = {};
    before_leap_.reset();
    channels_ = 0;
    open_.forget_start();
  }

  /// A prepare in the midst of a series may be the same again: whether frames go on or begin anew tells.
  void decide_on_prepare(const header_fields& fields, std::vector<stream_packet>& packets) {
    if (!held_prepare_ || fields.kind() == message_kind::heartbeat || fields.kind() == message_kind::other)
      return;
    auto prepare = std::exchange(held_prepare_, {});
    bool goes_on = fields.kind() != message_kind::prepare && fields.frame && *fields.frame >= at_.frames;
    if (goes_on)
      packets.push_back({.data = prepare, .numbers = {.kind = entry_kind::start, .series = arm_}});
    else
      begin_series(prepare, {}, packets);
  }

  void take_prepare(stream_data message, const header_fields& fields, std::vector<stream_packet>& packets) {
    if (prepared_ && at_.frames > 0)
      held_prepare_ = std::move(message);
    else
      begin_series(std::move(message), fields, packets);
  }

  void begin_series(stream_data message, const header_fields& fields, std::vector<stream_packet>& packets) {
    if (prepared_ && at_.frames > at_.begin) report_open(packets);
    forget_series();
    prepared_ = true;
    at_.frames = at_.begin = fields.frame.value_or(0);
    packets.push_back({.data = std::move(message), .numbers = {.kind = entry_kind::start, .series = ++arm_}});
  }

  /// A message that came twice, or too late: its sequence is decided.
  bool is_old(const header_fields& fields) const {
    return fields.frame && *fields.frame < at_.frames && !before_leap_ &&
           at_.frames - *fields.frame <= late_frames;
  }

  /// The first message of a series that is no prepare: that one was lost.
  void prepare_if_first(const header_fields& fields) {
    if (prepared_ || fields.frame != 0u) return;
    forget_series();
    prepared_ = true;
  }

  void take_start(const stream_data& message, const header_fields& fields,
                  std::vector<stream_packet>& packets) {
    prepare_if_first(fields);
    if (!prepared_) return;
    if (open_.starts_with(message)) return;
    if (is_old(fields)) return refuse(packet_fault::unknown, packets);
    if (fields.frame && reach(*fields.frame)) close_before(*fields.frame, fields.channels.size(), packets);
    if (!fields.opens_sequence()) {
      open_.forget_start();
      channels_ = 0;
      return refuse(packet_fault::unknown, packets);
    }
    open_.begin(message, fields);
    channels_ = fields.channels.size();
  }

  /// A start says that everything before is over.
  void close_before(std::uint64_t frame, std::size_t channels, std::vector<stream_packet>& packets) {
    auto lost = frame - at_.frames, sent = frame - at_.begin;
    if (sent > 0) {
      // Sequences before the first start are taken to have had as many channels as that one.
      auto per_sequence = channels_ > 0 ? channels_ : channels;
      bool whole = per_sequence > 0 && sent % per_sequence == 0;
      // What is lost of the open sequence alone does not depend on how many channels the next one has.
      bool same = channels == per_sequence || (open_.begun() && sent == channels_);
      if (open_.begun()) report_open(packets);
      if (open_.begun() && lost == 0)
        pass(1);
      else if (whole && same)
        pass(sent / per_sequence);
      else
        at_.number.reset();
    }
    at_.frames = at_.begin = frame;
  }

  void take_traces(stream_data message, const header_fields& fields, std::vector<stream_packet>& packets) {
    if (!prepared_) return;
    if (!fields.frame || is_old(fields)) return refuse(packet_fault::unknown, packets);
    auto frame = *fields.frame;
    reach(frame);
    if (channels_ > 0)
      step_to(frame, packets);
    else
      step_blindly_to(frame, fields, packets);
    at_.frames = frame + 1;
    open_.add(std::move(message), fields);
  }

  /// Leaves behind the sequences that end before these traces.
  void step_to(std::uint64_t frame, std::vector<stream_packet>& packets) {
    auto lost = frame - at_.frames;
    auto over = (frame - at_.begin) / channels_;
    leave_behind(over, packets);
    at_.begin += over * channels_;
    if (over > 0) lost = frame - std::max(at_.frames, at_.begin);
    if (lost > 0) open_.spoil(packet_fault::truncated);
  }

  /// The same while no start told how many channels there are.
  void step_blindly_to(std::uint64_t frame, const header_fields& fields,
                       std::vector<stream_packet>& packets) {
    bool again = fields.channel && open_.has_channel(*fields.channel);
    bool lost = frame > at_.frames;
    if (!again && !lost) return;
    if (open_.begun()) report_open(packets);
    pass(1);
    if (lost) at_.number.reset();
    at_.begin = frame;
    open_.next();
  }

  void take_end(stream_data message, const header_fields& fields, std::vector<stream_packet>& packets) {
    if (!prepared_ || !fields.frame || is_old(fields)) return refuse(packet_fault::unknown, packets);
    auto frame = *fields.frame;
    reach(frame);
    auto lost = frame - at_.frames, sent = frame - at_.begin;
    // Nothing came between this and the end or the start before: it is a late one of an earlier sequence.
    if (sent == 0 || (lost == 0 && !open_.begun())) return refuse(packet_fault::unknown, packets);
    bool known = lost == 0 || (channels_ > 0 && sent % channels_ == 0);
    if (lost > 0 && known) leave_behind(sent / channels_ - 1, packets);
    // Its end is that of the open sequence or of a later one: what came of the open one names it.
    if (!known && !open_.begun()) at_.number.reset();
    if (lost > 0) open_.spoil(packet_fault::truncated);
    close(std::move(message), packets);
    if (!known) at_.number.reset();
    at_.frames = at_.begin = frame;
  }

  /// So many sequences are over, the open one among them, and got no end.
  void leave_behind(std::uint64_t sequences, std::vector<stream_packet>& packets) {
    if (sequences == 0) return;
    if (open_.begun()) report_open(packets);
    pass(sequences);
    open_.next();
  }

  void close(stream_data end, std::vector<stream_packet>& packets) {
    auto fault = open_.fault(end);
    if (!fault && !at_.number) fault = packet_fault::corrupt;
    if (fault)
      report(*fault, packets);
    else
      packets.push_back({.data = open_.entry(std::move(end)), .numbers = {.number = at_.number}});
    pass(1);
    open_.next();
  }

  void take_stop(stream_data message, const header_fields& fields, std::vector<stream_packet>& packets) {
    if (!prepared_) return refuse(packet_fault::unknown, packets);
    auto count = count_at_stop(fields, packets);
    packets.push_back({.data = std::move(message), .numbers = {.kind = entry_kind::end, .count = count}});
    prepared_ = false;
    forget_series();
  }

  /// Reports a sequence that must have been one, and tells how many there were.
  std::optional<std::uint64_t> count_at_stop(const header_fields& fields,
                                             std::vector<stream_packet>& packets) {
    auto total = fields.frames ? fields.frames : fields.frame;
    if (!total || fields.frame.value_or(*total) != *total || !reach(*total)) return std::nullopt;
    auto lost = *total - at_.frames, sent = *total - at_.begin;
    if (sent == 0) return at_.number;
    if (channels_ == 0) return std::nullopt;
    auto over = sent / channels_;
    if (over > 0 && open_.begun()) report_open(packets);
    pass(over);
    return lost == 0 || sent % channels_ == 0 ? at_.number : std::nullopt;
  }

  /// Goes on to a message with that frame number; nothing is done about what was lost. Numbers that went back
  /// mean that the one before was wild, or else that nothing is known any more, and are then followed: false.
  bool reach(std::uint64_t frame) {
    if (frame >= at_.frames) {
      before_leap_ = frame > at_.frames ? std::optional(at_) : std::nullopt;
      return true;
    }
    if (before_leap_ && frame >= before_leap_->frames) {
      bool cut = before_leap_->frames > before_leap_->begin;
      at_ = *std::exchange(before_leap_, std::nullopt);
      open_.next();
      if (cut) open_.spoil(packet_fault::truncated);
      return true;
    }
    at_ = {frame, frame, std::nullopt};
    before_leap_.reset();
    open_.next();
    return false;
  }

  void pass(std::uint64_t sequences) {
    if (at_.number) *at_.number += sequences;
  }

  /// The open sequence gets no end.
  void report_open(std::vector<stream_packet>& packets) { report(open_.fault_without_end(), packets); }

  void report(packet_fault fault, std::vector<stream_packet>& packets) const {
    packets.push_back(
        {.numbers = {.number = at_.number}, .fault = fault, .numbered = at_.number.has_value()});
  }

  header_reader reader_;
  bool prepared_ = false;
  stream_data held_prepare_; ///< one that came in the midst of a series
  std::uint64_t arm_ = 0;    ///< counts series
  place at_;
  std::optional<place> before_leap_; ///< as long as the last number, which leapt, is not confirmed
  std::size_t channels_ = 0;         ///< of the last start; 0: not known
  open_sequence open_;
};

/// The header in part 0, if it is of that kind.
std::optional<header_fields> header_of(std::span<const frame> parts, message_kind kind) {
  header_fields fields;
  if (parts.empty() || reader_of_this_thread().read(parts[0].text(), fields)) return std::nullopt;
  if (fields.kind() != kind) return std::nullopt;
  return fields;
}

std::optional<lecroy_traces> traces_of(std::span<const frame> parts) {
  auto fields = header_of(parts, message_kind::traces);
  if (!fields || !fields->frame || check_traces(*fields, parts)) return std::nullopt;
  lecroy_traces traces{.channel = *fields->channel, .frame = *fields->frame, .ts = fields->ts};
  traces.samples = {*dtype_of(fields->dtype), fields->shape.copy(), parts[1].bytes()};
  traces.horiz_offset = fields->horiz_offset;
  traces.horiz_interval = fields->horiz_interval;
  traces.pickled_time_stamps = parts[2].bytes();
  return traces;
}

} // namespace

std::unique_ptr<protocol> make_lecroy(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<lecroy>();
}

std::vector<double> lecroy_traces::time_axis() const {
  std::vector<double> times;
  // Without traces the header may name any number of samples.
  if (!horiz_offset || !horiz_interval || samples.shape.size() != 2 || samples.bytes.empty()) return times;
  times.reserve(samples.shape[1]);
  for (std::size_t k = 0; k < samples.shape[1]; ++k)
    times.push_back(*horiz_offset + static_cast<double>(k) * *horiz_interval);
  return times;
}

const lecroy_traces* lecroy_sequence::find(std::uint64_t channel) const {
  for (auto& one : traces)
    if (one.channel == channel) return &one;
  return nullptr;
}

std::optional<entry_kind> lecroy_kind(const stream_data& data) {
  if (header_of(data.frames(), message_kind::prepare)) return entry_kind::start;
  if (header_of(data.frames(), message_kind::stop)) return entry_kind::end;
  return parse_lecroy_sequence(data) ? std::optional(entry_kind::data) : std::nullopt;
}

std::optional<lecroy_sequence> parse_lecroy_sequence(const stream_data& data) {
  auto parts = data.frames();
  auto start = header_of(parts, message_kind::start);
  if (!start || !start->opens_sequence() || parts.size() != 2 + traces_parts * start->channels.size())
    return std::nullopt;
  lecroy_sequence sequence{.continuous = start->continuous(), .seqno = start->seqno};
  if (*start->triggers >= 0) sequence.triggers = static_cast<std::uint64_t>(*start->triggers);
  sequence.channels = std::move(start->channels);
  for (parts = parts.subspan(1); parts.size() > 1; parts = parts.subspan(traces_parts)) {
    auto traces = traces_of(parts.first(traces_parts));
    if (!traces || !contains(sequence.channels, traces->channel) || sequence.find(traces->channel))
      return std::nullopt;
    sequence.traces.push_back(std::move(*traces));
  }
  if (!header_of(parts, message_kind::end)) return std::nullopt;
  return sequence;
}

std::optional<lecroy_stop> parse_lecroy_stop(const stream_data& data) {
  auto fields = header_of(data.frames(), message_kind::stop);
  return fields ? std::optional(lecroy_stop{fields->frames}) : std::nullopt;
}

std::optional<std::vector<double>> lecroy_time_stamps(const lecroy_traces& traces) {
  try {
    auto content = read_pickle(traces.pickled_time_stamps);
    auto list = content.as_list();
    if (!list || traces.samples.shape.empty() || list->size() != traces.samples.shape[0]) return std::nullopt;
    std::vector<double> times;
    for (auto& item : *list) {
      auto time = item.as_number();
      if (!time) return std::nullopt;
      times.push_back(*time);
    }
    return times;
  } catch (const pickle_error&) {
    return std::nullopt;
  }
}

// As Python writes them.

void write_lecroy_prepare(std::string& out) { out = R"({"htype": "msg", "what": 0, "frame": 0})"; }

void write_lecroy_start(std::string& out, const lecroy_start_header& header) {
  out.clear();
  fmt::format_to(
      std::back_inserter(out),
      R"({{"htype": "msg", "what": 1, "frame": {}, "ntriggers": {}, "seqno": {}, "channels": [{}]}})",
      header.frame, header.triggers, header.seqno, fmt::join(header.channels, ", "));
}

void write_lecroy_traces(std::string& out, const lecroy_traces_header& header,
                         std::optional<std::int64_t> sent_ns) {
  out.clear();
  auto to = std::back_inserter(out);
  fmt::format_to(to, R"({{"htype": "traces", "ch": {}, "ts": {}, "frame": {}, "shape": [{}, {}], )",
                 header.channel, header.ts, header.frame, header.traces, header.samples);
  fmt::format_to(to, R"("horiz_offset": {}, "horiz_interval": {}, "dtype": "float64")", header.horiz_offset,
                 header.horiz_interval);
  if (sent_ns) fmt::format_to(to, R"(, "sent_ns": {})", *sent_ns);
  out += '}';
}

void write_lecroy_end(std::string& out, std::uint64_t frame) {
  out.clear();
  fmt::format_to(std::back_inserter(out), R"({{"htype": "msg", "what": 2, "frame": {}}})", frame);
}

void write_lecroy_stop(std::string& out, std::uint64_t frames) {
  out.clear();
  fmt::format_to(std::back_inserter(out), R"({{"htype": "msg", "what": 3, "frame": {}, "frames": {}}})",
                 frames, frames);
}

} // namespace dtranspose
