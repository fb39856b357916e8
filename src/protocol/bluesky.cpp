#include "protocol/bluesky.hpp"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "model/value_json.hpp"
#include "protocol/json_text.hpp"
#include "protocol/msgpack.hpp"
#include "protocol/nested_list.hpp"
#include "protocol/pickle.hpp"

namespace dtranspose {

namespace {

//  message: prefix, a space, name, a space, document. The prefix may be empty, and has no space.
//
//  name        document: a map in a pickle, JSON or MessagePack
//  start       uid, time; usually scan_id, plan_name, num_points and metadata
//  descriptor  uid, time, run_start, data_keys {key: {source, dtype, shape ...}}; usually name, the stream's
//  event       uid, descriptor, seq_num from 1, time, data {key: value}, timestamps {key: seconds}
//  event_page  an event with a list of values in the place of each value, except for descriptor
//  stop        uid, time, run_start, exit_status; usually reason, num_events {stream: n}
//
//  What else there is points to files.

enum class document_name : std::uint8_t { none, start, descriptor, event, event_page, stop, other };

document_name name_of_document(std::string_view name) {
  constexpr std::pair<std::string_view, document_name> names[] = {
      {"start", document_name::start}, {"descriptor", document_name::descriptor},
      {"event", document_name::event}, {"event_page", document_name::event_page},
      {"stop", document_name::stop},
  };
  for (auto [known, which] : names)
    if (known == name) return which;
  for (auto known :
       {"resource", "datum", "datum_page", "stream_resource", "stream_datum", "bulk_events", "bulk_datum"})
    if (known == name) return document_name::other;
  return document_name::none;
}

/// A message cut at its first two spaces.
struct envelope {
  std::string_view prefix, name;
  frame document;

  document_name which() const { return name_of_document(name); }
};

std::optional<envelope> open_envelope(const frame& message) {
  auto text = message.text();
  auto first = text.find(' ');
  if (first == std::string_view::npos) return std::nullopt;
  auto second = text.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return envelope{text.substr(0, first), text.substr(first + 1, second - first - 1),
                  frame(message.bytes().subspan(second + 1))};
}

/// What the first byte says. A MessagePack map without entries begins as a pickle does, but is no document.
std::optional<bluesky_serializer> serializer_of(std::string_view document) {
  if (document.empty()) return std::nullopt;
  auto first = static_cast<unsigned char>(document[0]);
  if (first == 0x80) return bluesky_serializer::pickle;
  if (first == '{' || first == ' ' || first == '\n' || first == '\t' || first == '\r')
    return bluesky_serializer::json;
  if ((first > 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf) return bluesky_serializer::msgpack;
  return std::nullopt;
}

/// A document, or why it is none.
struct document {
  value content; ///< a map, without a fault
  bluesky_serializer serializer = bluesky_serializer::pickle;
  std::optional<packet_fault> fault = {};

  const value_map& fields() const { return *content.as_map(); }
};

std::optional<packet_fault> read_json(std::string_view text, value& content) {
  if (text.size() > bluesky_json_limit) return packet_fault::oversized;
  if (std::count(text.begin(), text.end(), ':') > static_cast<std::ptrdiff_t>(bluesky_key_limit))
    return packet_fault::oversized;
  auto found = json_to_value(text, bluesky_json_limit, bluesky_key_limit);
  if (!found || !found->as_map()) return packet_fault::not_json;
  content = std::move(*found);
  return std::nullopt;
}

std::optional<packet_fault> read_packed(const frame& bytes, bluesky_serializer serializer, value& content) {
  if (bytes.size() > bluesky_document_limit) return packet_fault::oversized;
  if (serializer == bluesky_serializer::msgpack) {
    auto found = read_msgpack(bytes.bytes());
    if (!found) return packet_fault::corrupt;
    content = std::move(*found);
  } else {
    try {
      content = read_pickle(bytes.bytes());
    } catch (const pickle_error&) {
      return packet_fault::corrupt;
    }
  }
  return content.as_map() ? std::nullopt : std::optional(packet_fault::unknown);
}

document read_document(const frame& bytes, std::optional<bluesky_serializer> expected = {}) {
  document out;
  auto serializer = expected ? expected : serializer_of(bytes.text());
  if (bytes.size() == 0)
    out.fault = packet_fault::truncated;
  else if (!serializer)
    out.fault = packet_fault::unknown;
  else if (*serializer == bluesky_serializer::json)
    out.fault = read_json(bytes.text(), out.content);
  else
    out.fault = read_packed(bytes, *serializer, out.content);
  if (serializer) out.serializer = *serializer;
  return out;
}

const std::string* text_in(const value_map& fields, std::string_view key) {
  auto found = fields.find(key);
  return found ? found->as_text() : nullptr;
}

std::string text_or_empty(const value_map& fields, std::string_view key) {
  auto found = text_in(fields, key);
  return found ? *found : std::string();
}

const value_map* map_in(const value_map& fields, std::string_view key) {
  auto found = fields.find(key);
  return found ? found->as_map() : nullptr;
}

value_map map_or_empty(const value_map& fields, std::string_view key) {
  auto found = map_in(fields, key);
  return found ? *found : value_map();
}

double number_or_zero(const value_map& fields, std::string_view key) {
  auto found = fields.find(key);
  return found ? found->as_number().value_or(0) : 0;
}

std::optional<std::int64_t> whole_number(const value* number) {
  if (!number) return std::nullopt;
  if (auto x = std::get_if<std::int64_t>(&number->content())) return *x;
  auto x = std::get_if<std::uint64_t>(&number->content());
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return x && *x <= most ? std::optional(static_cast<std::int64_t>(*x)) : std::nullopt;
}

std::optional<std::uint64_t> count_in(const value_map& fields, std::string_view key) {
  auto x = whole_number(fields.find(key));
  return x && *x >= 0 ? std::optional(static_cast<std::uint64_t>(*x)) : std::nullopt;
}

/// `seq_num` - 1.
std::optional<std::uint64_t> number_of(const value* seq_num) {
  auto x = whole_number(seq_num);
  return x && *x >= 1 ? std::optional(static_cast<std::uint64_t>(*x) - 1) : std::nullopt;
}

/// Streams without a name are from times when there was one.
std::string stream_of(const value_map& descriptor) {
  auto name = text_in(descriptor, "name");
  return name ? *name : "primary";
}

/// A number for a run: FNV-1a, the same everywhere.
std::uint64_t series_of(std::string_view uid) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : uid) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

bool is_start(const value_map& fields) { return text_in(fields, "uid"); }
bool is_stop(const value_map& fields) { return text_in(fields, "run_start"); }
bool is_descriptor(const value_map& fields) { return text_in(fields, "uid") && map_in(fields, "data_keys"); }
bool is_event(const value_map& fields) {
  return text_in(fields, "descriptor") && number_of(fields.find("seq_num")) && map_in(fields, "data");
}

/// Two messages that are kept together.
stream_data joined(const stream_data& first, const stream_data& second) {
  struct both {
    stream_data first, second;
  };
  auto keep = std::make_shared<const both>(both{first, second});
  std::vector<frame> views = {first.frames()[0], second.frames()[0]};
  return stream_data(std::make_unique<borrowed_frames>(std::move(views), std::move(keep)), bluesky_type_tag);
}

/// A text of our own.
class text_frame final : public frame_owner {
 public:
  explicit text_frame(std::string text) : text_(std::move(text)), view_(text_.data(), text_.size()) {
    set_frames({&view_, 1});
  }

 private:
  std::string text_;
  frame view_;
};

// --- pages ---------------------------------------------------------------------------------------

/// Values in a column of a page.
std::size_t rows_of(const value& column) {
  if (auto list = column.as_list()) return list->size();
  auto elements = column.as_array();
  return elements && !elements->shape().empty() ? elements->shape()[0] : 0;
}

value row_of_array(const array& column, std::size_t row) {
  std::vector<std::size_t> shape(column.shape().begin() + 1, column.shape().end());
  return visit_dtype(column.type(), [&](auto sample) -> value {
    using element = decltype(sample);
    auto each = column.size() / column.shape()[0];
    auto elements = column.elements<element>().subspan(row * each, each);
    if (shape.empty()) return elements[0];
    return array::of(elements, std::move(shape));
  });
}

value row_of(const value& column, std::size_t row) {
  if (row >= rows_of(column)) return {};
  auto list = column.as_list();
  return list ? (*list)[row] : row_of_array(*column.as_array(), row);
}

value_map row_of(const value_map& columns, std::size_t row) {
  value_map out;
  out.reserve(columns.size());
  for (auto& [name, column] : columns) out.set(name, row_of(column, row));
  return out;
}

/// The events of an `event_page`.
class page {
 public:
  explicit page(const value_map& fields) : fields_(fields) {
    auto numbers = fields.find("seq_num");
    has_numbers_ = numbers && (numbers->as_list() || numbers->as_array());
    if (has_numbers_) rows_ = rows_of(*numbers);
    data_ = map_in(fields, "data");
  }

  bool has_numbers() const { return has_numbers_; }

  std::size_t rows() const { return rows_; }

  bool too_large() const {
    std::uint64_t comparisons = 0;
    for (auto columns : {data_, map_in(fields_, "timestamps"), map_in(fields_, "filled")})
      if (columns) comparisons += std::uint64_t{columns->size()} * columns->size() / 2;
    return rows_ > bluesky_page_limit || rows_ * comparisons > bluesky_page_comparison_limit;
  }

  /// What is wrong with all of its events, or nothing.
  std::optional<packet_fault> check() const {
    if (!data_) return packet_fault::unknown;
    for (auto& [name, column] : *data_)
      if (rows_of(column) != rows_) return packet_fault::truncated;
    return std::nullopt;
  }

  value seq_num(std::size_t row) const { return row_of(*fields_.find("seq_num"), row); }

  value_map event(std::size_t row) const {
    value_map out;
    for (auto key : {"uid", "time", "seq_num"})
      if (auto column = fields_.find(key)) out.set(key, row_of(*column, row));
    for (auto key : {"data", "timestamps", "filled"})
      if (auto columns = map_in(fields_, key)) out.set(key, row_of(*columns, row));
    out.set("descriptor", *fields_.find("descriptor"));
    return out;
  }

 private:
  const value_map& fields_;
  const value_map* data_ = nullptr;
  bool has_numbers_ = false;
  std::size_t rows_ = 0;
};

// --- the reader ----------------------------------------------------------------------------------

struct remembered_descriptor {
  std::string uid, run, stream;
  stream_data message;
};

/// The latest descriptors.
class descriptor_memory {
 public:
  void clear() { known_.clear(); }

  void remember(const value_map& fields, stream_data message) {
    auto uid = *text_in(fields, "uid");
    std::erase_if(known_, [&](auto& d) { return d.uid == uid; });
    known_.push_back({uid, text_or_empty(fields, "run_start"), stream_of(fields), std::move(message)});
    while (known_.size() > bluesky_descriptor_limit || bytes() > bluesky_descriptor_bytes)
      known_.erase(known_.begin());
  }

  void forget_run(const std::string& run) {
    std::erase_if(known_, [&](auto& d) { return d.run == run; });
  }

  const remembered_descriptor* find(std::string_view uid) const {
    for (auto& d : known_)
      if (d.uid == uid) return &d;
    return nullptr;
  }

 private:
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (auto& d : known_) sum += d.message.bytes();
    return sum;
  }

  std::vector<remembered_descriptor> known_; ///< the oldest first
};

class bluesky final : public protocol {
 public:
  bluesky(std::optional<bluesky_serializer> serializer, std::string stream, std::string prefix)
      : serializer_(serializer), stream_(std::move(stream)), prefix_(std::move(prefix)) {}

  std::string_view name() const override { return "bluesky"; }
  std::string_view type_tag() const override { return bluesky_type_tag; }
  void reset() override { descriptors_.clear(); }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto parts = message.frames();
    if (parts.empty()) return refuse(packet_fault::truncated, packets);
    auto opened = open_envelope(parts[0]);
    if (!opened) return refuse(packet_fault::truncated, packets);
    if (!prefix_.empty() && opened->prefix != prefix_) return;
    auto which = opened->which();
    if (which == document_name::none) return refuse(packet_fault::unknown, packets);
    if (which == document_name::other) return;
    if (parts.size() > 1 && !take_second_part(which, message))
      return refuse(packet_fault::oversized, packets);
    auto found = read_document(opened->document, serializer_);
    if (found.fault) return refuse(*found.fault, packets);
    take(which, *opened, found, std::move(message), packets);
  }

 private:
  static void refuse(packet_fault fault, std::vector<stream_packet>& packets) {
    packets.push_back({.fault = fault, .numbered = false});
  }

  /// The descriptor that an event brings along, as recordings have it.
  bool take_second_part(document_name first, const stream_data& message) {
    auto parts = message.frames();
    if (parts.size() > 2 || first != document_name::event) return false;
    auto opened = open_envelope(parts[1]);
    if (!opened || opened->which() != document_name::descriptor) return false;
    auto found = read_document(opened->document, serializer_);
    if (found.fault || !is_descriptor(found.fields())) return false;
    auto keep = std::make_shared<const stream_data>(message);
    std::vector<frame> views = {parts[1]};
    descriptors_.remember(
        found.fields(),
        stream_data(std::make_unique<borrowed_frames>(std::move(views), keep), bluesky_type_tag));
    return true;
  }

  void take(document_name which, const envelope& opened, const document& found, stream_data message,
            std::vector<stream_packet>& packets) {
    auto& fields = found.fields();
    switch (which) {
    case document_name::start:
      return take_start(fields, std::move(message), packets);
    case document_name::stop:
      return take_stop(fields, std::move(message), packets);
    case document_name::descriptor:
      if (!is_descriptor(fields)) return refuse(packet_fault::unknown, packets);
      return descriptors_.remember(fields, std::move(message));
    default:
      break;
    }
    auto uid = text_in(fields, "descriptor");
    auto descriptor = uid ? descriptors_.find(*uid) : nullptr;
    if (!descriptor) return refuse(packet_fault::unknown, packets);
    if (descriptor->stream != stream_) return;
    if (which == document_name::event)
      take_event(fields, *descriptor, std::move(message), packets);
    else
      take_page(opened, found, *descriptor, packets);
  }

  void take_start(const value_map& fields, stream_data message, std::vector<stream_packet>& packets) {
    if (!is_start(fields)) return refuse(packet_fault::unknown, packets);
    auto& packet = packets.emplace_back();
    packet.numbers.kind = entry_kind::start;
    packet.numbers.series = series_of(*text_in(fields, "uid"));
    // It counts the points of the plan, which are the events of this stream only.
    if (stream_ == "primary") packet.numbers.count = count_in(fields, "num_points");
    packet.data = std::move(message);
  }

  void take_stop(const value_map& fields, stream_data message, std::vector<stream_packet>& packets) {
    if (!is_stop(fields)) return refuse(packet_fault::unknown, packets);
    auto& run = *text_in(fields, "run_start");
    descriptors_.forget_run(run);
    auto& packet = packets.emplace_back();
    packet.numbers.kind = entry_kind::end;
    packet.numbers.series = series_of(run);
    if (auto events = map_in(fields, "num_events")) packet.numbers.count = count_in(*events, stream_);
    packet.data = std::move(message);
  }

  /// A packet without data for the event of that `seq_num`.
  static stream_packet& add_event(const value* seq_num, const remembered_descriptor& descriptor,
                                  std::vector<stream_packet>& packets) {
    auto& packet = packets.emplace_back();
    packet.numbers.number = number_of(seq_num);
    packet.numbered = packet.numbers.number.has_value();
    if (!packet.numbered) packet.fault = packet_fault::unknown;
    if (packet.numbered && !descriptor.run.empty()) packet.numbers.series = series_of(descriptor.run);
    return packet;
  }

  static void take_event(const value_map& fields, const remembered_descriptor& descriptor,
                         stream_data message, std::vector<stream_packet>& packets) {
    auto& packet = add_event(fields.find("seq_num"), descriptor, packets);
    if (!map_in(fields, "data")) packet.fault = packet_fault::unknown;
    if (packet.fault) return;
    packet.data = message.frames().size() == 2 ? std::move(message) : joined(message, descriptor.message);
  }

  static std::optional<packet_fault> write_event(const envelope& opened, bluesky_serializer serializer,
                                                 const value_map& event, stream_data& out) {
    try {
      auto text = write_bluesky_message(opened.prefix, "event", event, serializer);
      out = stream_data(std::make_unique<text_frame>(std::move(text)), bluesky_type_tag);
      return std::nullopt;
    } catch (const pickle_error&) {
      return packet_fault::corrupt;
    }
  }

  static void take_page(const envelope& opened, const document& found,
                        const remembered_descriptor& descriptor, std::vector<stream_packet>& packets) {
    page events(found.fields());
    if (!events.has_numbers()) return refuse(packet_fault::unknown, packets);
    if (events.too_large()) return refuse(packet_fault::oversized, packets);
    auto fault = events.check();
    for (std::size_t row = 0; row < events.rows(); ++row) {
      auto seq_num = events.seq_num(row);
      auto& packet = add_event(&seq_num, descriptor, packets);
      if (fault) packet.fault = fault;
      if (!packet.fault) packet.fault = write_event(opened, found.serializer, events.event(row), packet.data);
      if (!packet.fault) packet.data = joined(packet.data, descriptor.message);
    }
  }

  std::optional<bluesky_serializer> serializer_;
  std::string stream_, prefix_;
  descriptor_memory descriptors_;
};

// --- decoders ------------------------------------------------------------------------------------

/// The document in a part, if it has that name and can be read.
std::optional<document> document_in(const stream_data& data, std::size_t part, document_name which) {
  auto parts = data.frames();
  if (parts.size() <= part || parts.size() > (part > 0 || which == document_name::event ? 2 : 1))
    return std::nullopt;
  auto opened = open_envelope(parts[part]);
  if (!opened || opened->which() != which) return std::nullopt;
  auto found = read_document(opened->document);
  return found.fault ? std::nullopt : std::optional(std::move(found));
}

template <class F>
std::optional<document> checked(const stream_data& data, document_name which, F is_good) {
  auto found = document_in(data, 0, which);
  return found && is_good(found->fields()) ? std::move(found) : std::nullopt;
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace

std::unique_ptr<protocol> make_bluesky(const protocol_options& options) {
  option_reader reader(options);
  auto serializer = reader.choice("serializer", {"auto", "pickle", "json", "msgpack"});
  auto stream = reader.text("stream", "primary");
  auto prefix = reader.text("prefix");
  reader.finish();
  if (prefix.find(' ') != std::string::npos)
    throw std::runtime_error("option prefix: '" + prefix + "' has a space, which no prefix can have");
  std::optional<bluesky_serializer> expected;
  if (serializer == "pickle") expected = bluesky_serializer::pickle;
  if (serializer == "json") expected = bluesky_serializer::json;
  if (serializer == "msgpack") expected = bluesky_serializer::msgpack;
  return std::make_unique<bluesky>(expected, std::move(stream), std::move(prefix));
}

std::optional<entry_kind> bluesky_kind(const stream_data& data) {
  if (checked(data, document_name::event, is_event)) return entry_kind::data;
  if (checked(data, document_name::start, is_start)) return entry_kind::start;
  return checked(data, document_name::stop, is_stop) ? std::optional(entry_kind::end) : std::nullopt;
}

std::optional<bluesky_start> parse_bluesky_start(const stream_data& data) {
  auto found = checked(data, document_name::start, is_start);
  if (!found) return std::nullopt;
  auto& fields = found->fields();
  bluesky_start out;
  out.uid = *text_in(fields, "uid");
  out.time = number_or_zero(fields, "time");
  out.scan_id = whole_number(fields.find("scan_id"));
  out.plan_name = text_or_empty(fields, "plan_name");
  out.num_points = count_in(fields, "num_points");
  out.document = fields;
  return out;
}

std::optional<bluesky_event> parse_bluesky_event(const stream_data& data) {
  auto found = checked(data, document_name::event, is_event);
  if (!found) return std::nullopt;
  auto& fields = found->fields();
  bluesky_event out;
  out.seq_num = *number_of(fields.find("seq_num")) + 1;
  out.time = number_or_zero(fields, "time");
  out.uid = text_or_empty(fields, "uid");
  out.descriptor = *text_in(fields, "descriptor");
  out.data = with_arrays(*map_in(fields, "data"));
  out.timestamps = map_or_empty(fields, "timestamps");
  return out;
}

std::optional<bluesky_descriptor> parse_bluesky_descriptor(const stream_data& data) {
  auto found = document_in(data, data.frames().size() == 2 ? 1 : 0, document_name::descriptor);
  if (!found || !is_descriptor(found->fields())) return std::nullopt;
  auto& fields = found->fields();
  bluesky_descriptor out;
  out.uid = *text_in(fields, "uid");
  out.run_start = text_or_empty(fields, "run_start");
  out.stream = stream_of(fields);
  out.data_keys = *map_in(fields, "data_keys");
  out.document = fields;
  return out;
}

std::optional<bluesky_stop> parse_bluesky_stop(const stream_data& data) {
  auto found = checked(data, document_name::stop, is_stop);
  if (!found) return std::nullopt;
  auto& fields = found->fields();
  bluesky_stop out;
  out.uid = text_or_empty(fields, "uid");
  out.run_start = *text_in(fields, "run_start");
  out.time = number_or_zero(fields, "time");
  out.exit_status = text_or_empty(fields, "exit_status");
  out.reason = text_or_empty(fields, "reason");
  out.num_events = map_or_empty(fields, "num_events");
  return out;
}

std::string write_bluesky_message(std::string_view prefix, std::string_view name, const value& document,
                                  bluesky_serializer serializer) {
  std::string out(prefix);
  (out += ' ').append(name) += ' ';
  switch (serializer) {
  case bluesky_serializer::pickle:
    return out + text_of(write_pickle(document));
  case bluesky_serializer::json:
    return out + to_json(document, false);
  default:
    return out + text_of(write_msgpack(document));
  }
}

} // namespace dtranspose
