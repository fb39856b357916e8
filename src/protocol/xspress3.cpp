#include "protocol/xspress3.hpp"

#include <array>
#include <cstring>
#include <functional>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "protocol/arm_counter.hpp"
#include "protocol/json_header.hpp"
#include "protocol/json_shape.hpp"
#include "protocol/nested_list.hpp"
#include "protocol/pickle.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

//  message     header: JSON object, keys in any order               followed by
//  header      htype "header", filename, overwritable,              nothing
//              limits [2][channels][2], extra_tags [texts]
//  image       htype "image", frame, exptime, shape [channels,      spectra, counters: as parts of the same
//              bins], type "uint32", compression "none"             message, or as messages of their own
//  series_end  htype "series_end"                                   nothing
//
// Spectra are in C order, little endian. Counters are a pickled list of eight or nine arrays.

/// A header as far as it matters here. Texts point into the scratch memory of its reader.
struct header_fields {
  std::string_view htype, type;
  std::string_view compression = "none";
  std::optional<std::uint64_t> frame;
  double exptime = 1;
  json_shape shape;
};

class header_reader {
 public:
  /// Why `text` has no usable fields, or nothing. `fields` is valid until the next call.
  std::optional<packet_fault> read(std::string_view text, header_fields& fields) {
    // Spectra come here too: the one look spares a copy of them.
    auto first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos || text[first] != '{') return packet_fault::not_json;
    auto fault =
        reader_.read(text, [&](std::string_view key, json::value value) { take(key, value, fields); });
    if (fault) fields = {};
    return fault;
  }

 private:
  static void take(std::string_view key, json::value value, header_fields& fields) {
    if (key == "htype")
      fields.htype = text_of(value);
    else if (key == "frame")
      fields.frame = whole_number(value);
    else if (key == "shape")
      fields.shape.read(value);
    else if (key == "type")
      fields.type = text_of(value);
    else if (key == "compression")
      fields.compression = text_of(value);
    else if (key == "exptime" && value.get_double().get(fields.exptime))
      fields.exptime = 1;
  }

  json_header_reader reader_;
};

/// One per thread that decodes: analyses call from wherever they run.
header_reader& reader_of_this_thread() {
  thread_local header_reader reader;
  return reader;
}

std::optional<entry_kind> kind_of(std::string_view htype) {
  if (htype == "header") return entry_kind::start;
  if (htype == "image") return entry_kind::data;
  if (htype == "series_end") return entry_kind::end;
  return std::nullopt;
}

/// What the header of an image says of what follows it.
struct announcement {
  std::optional<packet_fault> fault;
  bool numbered = false;
  std::uint64_t spectra_bytes = 0;
};

announcement announced_by(const header_fields& fields) {
  announcement found;
  auto type = dtype_of(fields.type);
  auto shape = fields.shape.extents();
  found.numbered = fields.frame.has_value();
  if (!found.numbered || shape.size() != 2 || !type || fields.compression != "none")
    found.fault = packet_fault::unknown;
  else
    found.spectra_bytes = bytes_of(shape, *type);
  return found;
}

std::optional<packet_fault> check_spectra(std::size_t found, std::uint64_t announced) {
  if (found < announced) return packet_fault::truncated;
  if (found > announced) return packet_fault::oversized;
  return std::nullopt;
}

std::optional<packet_fault> check_meta(std::size_t found) {
  return found > xspress3_meta_limit ? std::optional(packet_fault::oversized) : std::nullopt;
}

/// What is wrong with an image in one piece, or nothing.
std::optional<packet_fault> check_image(const announcement& announced, std::span<const frame> parts) {
  if (announced.fault) return announced.fault;
  if (parts.size() < 3) return packet_fault::truncated;
  if (parts.size() > 3) return packet_fault::oversized;
  if (auto fault = check_spectra(parts[1].size(), announced.spectra_bytes)) return fault;
  return check_meta(parts[2].size());
}

entry_numbers numbers_of(const header_fields& fields) {
  return {
      .kind = entry_kind::data,
      .number = fields.frame,
  };
}

/// An image that came in three messages, each of one part.
class joined_messages final : public frame_owner {
 public:
  explicit joined_messages(std::array<stream_data, 3> messages) : messages_(std::move(messages)) {
    for (std::size_t i = 0; i < messages_.size(); ++i) views_[i] = messages_[i].frames()[0];
    set_frames(views_);
  }

 private:
  std::array<stream_data, 3> messages_;
  std::array<frame, 3> views_;
};

class xspress3 final : public protocol {
 public:
  std::string_view name() const override { return "xspress3"; }
  std::string_view type_tag() const override { return xspress3_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto parts = message.frames();
    if (parts.empty()) return add_fault(packet_fault::truncated, packets);
    header_fields fields;
    auto fault = reader_.read(parts[0].text(), fields);
    auto kind = kind_of(fields.htype);
    if (kind) return take_header(*kind, fields, std::move(message), packets);
    if (parts.size() == 1 && open_) return take_piece(std::move(message), packets);
    if (parts.size() == 1 && left_over_ > 0) return void(--left_over_);
    drop_open(packets);
    add_fault(fault.value_or(packet_fault::unknown), packets);
  }

  void reset() override {
    open_.reset();
    left_over_ = pieces_behind_header;
    arms_.reset();
    first_.reset();
  }

  void interrupted(std::vector<stream_packet>& packets) override {
    drop_open(packets);
    left_over_ = pieces_behind_header;
  }

 private:
  static constexpr int pieces_behind_header = 2;
  static constexpr int pieces_passed_over = 4;

  /// An image of which messages are still to come.
  struct open_image {
    stream_data header, spectra;
    entry_numbers numbers;
    announcement announced; ///< with what has been found wrong
    bool has_spectra = false;
    int misplaced = 0; ///< messages that belong neither here nor there
  };

  static void add_fault(packet_fault fault, std::vector<stream_packet>& packets) {
    packets.push_back({.fault = fault, .numbered = false});
  }

  void take_header(entry_kind kind, const header_fields& fields, stream_data message,
                   std::vector<stream_packet>& packets) {
    left_over_ = 0;
    // The same header again, with nothing of its image in between.
    if (open_ && !open_->has_spectra && message == open_->header) return;
    drop_open(packets);
    if (kind != entry_kind::data) return take_start_or_end(kind, std::move(message), packets);
    auto announced = announced_by(fields);
    auto numbers = numbers_of(fields);
    auto parts = message.frames();
    if (parts.size() == 1) {
      open_ = {.header = std::move(message), .numbers = numbers, .announced = announced};
      return;
    }
    announced.fault = check_image(announced, parts);
    add_image(std::move(message), numbers, announced, packets);
  }

  void take_start_or_end(entry_kind kind, stream_data message, std::vector<stream_packet>& packets) {
    auto& packet = packets.emplace_back();
    packet.numbers.kind = kind;
    if (kind == entry_kind::end) {
      arms_.end();
    } else {
      if (arms_.begin(message.frames()[0].text())) first_.reset();
      packet.numbers.series = arms_.arm();
    }
    packet.data = std::move(message);
  }

  /// Spectra or counters of the open image, in messages of their own. What can be neither is passed over: it
  /// may be one that came twice or late.
  void take_piece(stream_data message, std::vector<stream_packet>& packets) {
    auto piece = message.frames()[0];
    auto& announced = open_->announced;
    bool misplaced = open_->has_spectra ? !may_be_meta(piece) && piece.size() == announced.spectra_bytes
                                        : may_be_meta(piece) && piece.size() != announced.spectra_bytes;
    if (!announced.fault && misplaced && ++open_->misplaced <= pieces_passed_over)
      return add_fault(packet_fault::unknown, packets);
    const bool is_spectra = !std::exchange(open_->has_spectra, true);
    if (!announced.fault)
      announced.fault =
          is_spectra ? check_spectra(piece.size(), announced.spectra_bytes) : check_meta(piece.size());
    if (is_spectra) {
      if (!announced.fault) open_->spectra = std::move(message);
      return;
    }
    auto image = std::move(*open_);
    open_.reset();
    stream_data data;
    if (!image.announced.fault)
      data = stream_data(std::make_unique<joined_messages>(std::array{
                             std::move(image.header), std::move(image.spectra), std::move(message)}),
                         xspress3_type_tag);
    add_image(std::move(data), image.numbers, image.announced, packets);
  }

  /// Pickles of protocol 2 and later begin like that.
  static bool may_be_meta(const frame& piece) {
    return piece.size() > 0 && std::to_integer<int>(piece.bytes()[0]) == 0x80;
  }

  void drop_open(std::vector<stream_packet>& packets) {
    if (!open_) return;
    auto image = std::move(*open_);
    open_.reset();
    if (!image.announced.fault) image.announced.fault = packet_fault::truncated;
    add_image({}, image.numbers, image.announced, packets);
  }

  /// A frame 0 that is not the one of before begins another segment; the same again is one that came twice.
  bool begins_segment(const stream_data& data, const entry_numbers& numbers) {
    if (numbers.number != 0u) return false;
    auto hash = std::hash<std::string_view>{}({});
    for (auto& part : data.frames().first(2)) hash = hash * 31 + std::hash<std::string_view>{}(part.text());
    return std::exchange(first_, hash).value_or(hash) != hash;
  }

  void add_image(stream_data data, const entry_numbers& numbers, const announcement& found,
                 std::vector<stream_packet>& packets) {
    auto& packet = packets.emplace_back();
    packet.numbers = numbers;
    if (!found.fault) packet.numbers.restarts = begins_segment(data, numbers);
    packet.fault = found.fault;
    packet.numbered = found.numbered;
    if (!found.fault) packet.data = std::move(data);
  }

  header_reader reader_;
  std::optional<open_image> open_;
  arm_counter arms_;
  std::optional<std::size_t> first_;     ///< hash of the last frame 0 of the arm
  int left_over_ = pieces_behind_header; ///< messages that may still belong to an image begun earlier
};

/// The two names of each counter, in their order; the second is that of extra_tags.
struct counter_names {
  std::string_view usual, tag;
};
constexpr counter_names known_counters[] = {
    {"ocr", "output_count_rate"},    {"AllEvents", "all_events"},     {"AllGood", "all_good"},
    {"ClockTicks", "clock_ticks"},   {"TotalTicks", "total_ticks"},   {"ResetTicks", "reset_ticks"},
    {"event_widths", "event_width"}, {"dtc", "dead_time_correction"}, {"window_counts", "window_counts"},
};
constexpr std::size_t least_counters = 8;

std::string counter_name(std::size_t i, std::span<const std::string> names) {
  if (i < names.size()) return names[i];
  return i < std::size(known_counters) ? std::string(known_counters[i].usual) : fmt::format("meta{}", i);
}

/// The other name of a counter, or its own if there is no other.
std::string_view other_name(std::string_view name) {
  for (auto& known : known_counters) {
    if (known.usual == name) return known.tag;
    if (known.tag == name) return known.usual;
  }
  return name;
}

std::vector<std::string> texts_of(const value& list) {
  std::vector<std::string> texts;
  if (!list.as_list()) return texts;
  for (auto& item : *list.as_list()) {
    auto text = item.as_text();
    texts.push_back(text ? *text : std::string());
  }
  return texts;
}

void take(const value_map::entry& field, xspress3_header& header) {
  auto& [name, content] = field;
  if (name == "htype") return;
  if (name == "filename")
    header.filename = content.as_text() ? *content.as_text() : std::string();
  else if (name == "overwritable")
    header.overwritable = content.as_bool() && *content.as_bool();
  else if (name == "limits" && content.as_list())
    header.limits = array_of(*content.as_list());
  else if (name == "extra_tags")
    header.extra_tags = texts_of(content);
  else
    header.extra.set(name, content);
}

void append_number(std::string& out, double x) {
  auto text = fmt::format("{}", x);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  out += text;
}

void append_limits(std::string& out, const array& limits) {
  auto elements = limits.elements<std::int64_t>();
  auto channels = limits.shape()[1];
  for (std::size_t i = 0; i < 2; ++i) {
    out += i == 0 ? "[[" : ",[";
    for (std::size_t k = 0; k < channels; ++k) {
      auto at = 2 * (i * channels + k);
      fmt::format_to(std::back_inserter(out), "{}[{},{}]", k == 0 ? "" : ",", elements[at], elements[at + 1]);
    }
    out += ']';
  }
  out += ']';
}

bool are_limits(const array& limits) {
  auto& shape = limits.shape();
  return limits.type() == dtype::int64 && shape.size() == 3 && shape[0] == 2 && shape[2] == 2;
}

void append_tags(std::string& out, const std::vector<std::string>& tags) {
  for (std::size_t i = 0; i < tags.size(); ++i) {
    out += i == 0 ? '[' : ',';
    append_json_text(out, tags[i]);
  }
  out += ']';
}

void finish_header(std::string& out, std::optional<std::int64_t> sent_ns) {
  if (sent_ns) fmt::format_to(std::back_inserter(out), ",\"sent_ns\":{}", *sent_ns);
  out += '}';
}

} // namespace

std::unique_ptr<protocol> make_xspress3(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<xspress3>();
}

std::optional<entry_kind> xspress3_kind(const stream_data& data) {
  if (data.frames().empty()) return std::nullopt;
  header_fields fields;
  reader_of_this_thread().read(data.frames()[0].text(), fields);
  auto kind = kind_of(fields.htype);
  if (kind == entry_kind::data && check_image(announced_by(fields), data.frames())) return std::nullopt;
  return kind;
}

std::optional<xspress3_header> parse_xspress3_header(const stream_data& data) {
  if (xspress3_kind(data) != entry_kind::start) return std::nullopt;
  auto fields = json_to_value(data.frames()[0].text());
  if (!fields || !fields->as_map()) return std::nullopt;
  xspress3_header header;
  for (auto& field : *fields->as_map()) take(field, header);
  return header;
}

std::optional<xspress3_image> parse_xspress3_image(const stream_data& data) {
  auto parts = data.frames();
  if (parts.empty()) return std::nullopt;
  header_fields fields;
  reader_of_this_thread().read(parts[0].text(), fields);
  if (kind_of(fields.htype) != entry_kind::data || check_image(announced_by(fields), parts))
    return std::nullopt;
  xspress3_image image;
  image.frame = *fields.frame;
  image.exptime = fields.exptime;
  image.spectra = {*dtype_of(fields.type), fields.shape.copy(), parts[1].bytes()};
  image.meta = parts[2].bytes();
  return image;
}

value_map xspress3_fields(const stream_data& data) {
  if (!xspress3_kind(data)) return {};
  auto fields = json_to_value(data.frames()[0].text());
  return fields && fields->as_map() ? *fields->as_map() : value_map();
}

const array* xspress3_meta::find(std::string_view name) const {
  for (auto wanted : {name, other_name(name)})
    for (auto& counter : counters)
      if (counter.name == wanted) return &counter.values;
  return nullptr;
}

std::optional<std::vector<double>> xspress3_meta::numbers(std::string_view name) const {
  auto values = find(name);
  if (!values) return std::nullopt;
  std::vector<double> numbers;
  visit_dtype(values->type(), [&]<class T>(T) {
    auto elements = values->elements<T>();
    numbers.assign(elements.begin(), elements.end());
  });
  return numbers;
}

std::optional<xspress3_meta> parse_xspress3_meta(const stream_data& data,
                                                 std::span<const std::string> names) {
  auto image = parse_xspress3_image(data);
  if (!image) return std::nullopt;
  value content;
  try {
    content = read_pickle(image->meta);
  } catch (const pickle_error&) {
    return std::nullopt;
  }
  auto list = content.as_list();
  if (!list || list->size() < least_counters) return std::nullopt;
  xspress3_meta meta;
  for (auto& item : *list) {
    if (!item.as_array()) return std::nullopt;
    meta.counters.push_back({counter_name(meta.counters.size(), names), *item.as_array()});
  }
  return meta;
}

void write_xspress3_header(std::string& out, const xspress3_header& header,
                           std::optional<std::int64_t> sent_ns) {
  out = R"({"htype":"header","filename":)";
  append_json_text(out, header.filename);
  out += header.overwritable ? R"(,"overwritable":true)" : R"(,"overwritable":false)";
  if (header.limits && are_limits(*header.limits)) {
    out += R"(,"limits":)";
    append_limits(out, *header.limits);
  }
  if (!header.extra_tags.empty()) {
    out += R"(,"extra_tags":)";
    append_tags(out, header.extra_tags);
  }
  finish_header(out, sent_ns);
}

void write_xspress3_image(std::string& out, const xspress3_image_header& image,
                          std::optional<std::int64_t> sent_ns) {
  out = R"({"htype":"image")";
  if (image.exptime) {
    out += R"(,"exptime":)";
    append_number(out, *image.exptime);
  }
  fmt::format_to(std::back_inserter(out), R"(,"frame":{},"shape":[{},{}],"type":"{}")", image.frame,
                 image.channels, image.bins, image.type);
  if (image.compression)
    fmt::format_to(std::back_inserter(out), R"(,"compression":"{}")", *image.compression);
  finish_header(out, sent_ns);
}

void write_xspress3_end(std::string& out, std::optional<std::int64_t> sent_ns) {
  out = R"({"htype":"series_end")";
  finish_header(out, sent_ns);
}

std::vector<std::byte> write_xspress3_meta(std::span<const array> counters, int protocol) {
  return write_pickle(value_list(counters.begin(), counters.end()), protocol);
}

} // namespace dtranspose
