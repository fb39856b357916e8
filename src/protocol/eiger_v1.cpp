#include "protocol/eiger_v1.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include "protocol/json_header.hpp"
#include "protocol/json_shape.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

//  message  part  content
//  start    0     {"htype":"dheader-1.0","series":1,"header_detail":"none"|"basic"|"all"}
//           1     basic, all: JSON, the detector's configuration
//           2, 3  all: {"htype":"dflatfield-1.0","shape":[X,Y],"type":"float32"}, blob
//           4, 5  all: {"htype":"dpixelmask-1.0","shape":[X,Y],"type":"uint32"}, blob
//           6, 7  all: {"htype":"dcountrate_table-1.0","shape":[2,N],"type":"float32"}, blob
//           last  only when configured: appendix, any text
//  image    0     {"htype":"dimage-1.0","series":1,"frame":0,"hash":"..."}
//           1     {"htype":"dimage_d-1.0","shape":[X,Y],"type":"uint32","encoding":"bs32-lz4<","size":9}
//           2     blob of `size` bytes
//           3     {"htype":"dconfig-1.0","start_time":ns,"stop_time":ns,"real_time":ns}
//           4     only when configured: appendix
//  end      0     {"htype":"dseries_end-1.0","series":1}
//           1     may be: appendix
//
// Numbers are whole and not negative; `frame` counts from 0 in each series. Shapes have the fastest axis
// first. Keys come in any order, and any may be added.

constexpr std::size_t least_image_parts = 4, most_image_parts = 5;

/// Part 0. Texts point into the scratch memory of its reader.
struct message_fields {
  std::string_view htype, header_detail, hash;
  std::optional<std::uint64_t> series, frame;
};

/// Part 1 of an image, and what precedes arrays of a start.
struct array_fields {
  std::string_view htype, type, encoding;
  json_shape shape;
  bool has_shape = false, has_size = false;
  std::optional<std::uint64_t> size;
};

void take(std::string_view key, json::value value, message_fields& fields) {
  if (key == "htype")
    fields.htype = text_of(value);
  else if (key == "series")
    fields.series = whole_number(value);
  else if (key == "frame")
    fields.frame = whole_number(value);
  else if (key == "hash")
    fields.hash = text_of(value);
  else if (key == "header_detail")
    fields.header_detail = text_of(value);
}

void take(std::string_view key, json::value value, array_fields& fields) {
  if (key == "htype")
    fields.htype = text_of(value);
  else if (key == "type")
    fields.type = text_of(value);
  else if (key == "encoding")
    fields.encoding = text_of(value);
  else if (key == "shape")
    fields.has_shape = fields.shape.read(value);
  else if (key == "size") {
    fields.has_size = true;
    fields.size = whole_number(value);
  }
}

/// Reads the fields of one part; they are valid until its next call.
template <class Fields>
class fields_reader {
 public:
  std::optional<packet_fault> read(const frame& part, Fields& fields) {
    fields = {};
    auto fault =
        reader_.read(part.text(), [&](std::string_view key, json::value value) { take(key, value, fields); });
    if (fault) fields = {};
    return fault;
  }

 private:
  json_header_reader reader_;
};

struct message_reader {
  fields_reader<message_fields> message;
  fields_reader<array_fields> array;
};

/// A message with everything that it tells.
struct examined {
  message_fields fields;
  array_fields image; ///< of an image
  entry_kind kind = entry_kind::data;
  std::optional<packet_fault> fault;
  bool numbered = false; ///< meaningful with a fault
};

std::optional<packet_fault> check_blob(const array_fields& image, std::size_t bytes) {
  using enum packet_fault;
  auto type = dtype_of(image.type);
  auto encoding = find_eiger_v1_encoding(image.encoding);
  if (image.htype != "dimage_d-1.0" || !image.has_shape || !type || !encoding) return unknown;
  if (image.has_size && !image.size) return unknown;
  if (image.size && *image.size != bytes) return corrupt;
  if (encoding->how == codec::none && bytes_of(image.shape.extents(), *type) != bytes) return corrupt;
  return std::nullopt;
}

/// What is wrong with an image whose number is known, or nothing.
std::optional<packet_fault> check_image(std::span<const frame> parts, message_reader& reader,
                                        array_fields& image) {
  if (parts.size() < least_image_parts) return packet_fault::truncated;
  if (parts.size() > most_image_parts) return packet_fault::oversized;
  if (auto fault = reader.array.read(parts[1], image)) return fault;
  return check_blob(image, parts[2].size());
}

examined examine(std::span<const frame> parts, message_reader& reader) {
  examined message;
  auto& fields = message.fields;
  if (parts.empty()) {
    message.fault = packet_fault::truncated;
  } else if (auto fault = reader.message.read(parts[0], fields)) {
    message.fault = fault;
  } else if (fields.htype == "dimage-1.0") {
    message.numbered = fields.frame.has_value();
    message.fault =
        message.numbered ? check_image(parts, reader, message.image) : std::optional(packet_fault::unknown);
  } else if (fields.htype == "dheader-1.0") {
    message.kind = entry_kind::start;
  } else if (fields.htype == "dseries_end-1.0") {
    message.kind = entry_kind::end;
  } else {
    message.fault = packet_fault::unknown;
  }
  return message;
}

/// One per thread that decodes: analyses call from wherever they run.
message_reader& reader_of_this_thread() {
  thread_local message_reader reader;
  return reader;
}

/// Good messages of one kind.
std::optional<examined> examine(const stream_data& data, entry_kind kind) {
  auto found = examine(data.frames(), reader_of_this_thread());
  if (found.fault || found.kind != kind) return std::nullopt;
  return found;
}

eiger_v1_detail detail_of(std::string_view name) {
  if (name == "all") return eiger_v1_detail::all;
  return name == "basic" ? eiger_v1_detail::basic : eiger_v1_detail::none;
}

/// How many images the configuration in part 1 announces.
class announcement {
 public:
  std::optional<std::uint64_t> read(const frame& config) {
    std::optional<std::uint64_t> images, triggers = 1;
    auto fault = reader_.read(config.text(), [&](std::string_view key, json::value value) {
      if (key == "nimages") images = whole_number(value);
      if (key == "ntrigger") triggers = whole_number(value);
    });
    if (fault || images.value_or(0) == 0 || !triggers) return std::nullopt;
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(*images, std::max<std::uint64_t>(1, *triggers), &product)) return std::nullopt;
    return product;
  }

 private:
  json_header_reader reader_;
};

class eiger_v1 final : public protocol {
 public:
  std::string_view name() const override { return "eiger_v1"; }
  std::string_view type_tag() const override { return eiger_v1_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto parts = message.frames();
    auto found = examine(parts, reader_);
    auto& packet = packets.emplace_back();
    packet.numbers.kind = found.kind;
    packet.fault = found.fault;
    packet.numbered = !found.fault || found.numbered;
    if (packet.numbered) packet.numbers.series = found.fields.series;
    if (packet.numbered && found.kind == entry_kind::data) packet.numbers.number = found.fields.frame;
    if (found.kind == entry_kind::start && parts.size() > 1 &&
        detail_of(found.fields.header_detail) != eiger_v1_detail::none)
      packet.numbers.count = announcement_.read(parts[1]);
    if (!found.fault) packet.data = std::move(message);
  }

 private:
  message_reader reader_;
  announcement announcement_;
};

/// The arrays of a start, which come in pairs of parts; those that are not as long as they say are left out.
/// Returns what lies behind them.
std::span<const frame> take_arrays(std::span<const frame> parts, eiger_v1_header& header) {
  auto& reader = reader_of_this_thread().array;
  array_fields fields;
  for (; parts.size() >= 2 && !reader.read(parts[0], fields); parts = parts.subspan(2)) {
    std::optional<array_view>* target = nullptr;
    if (fields.htype == "dflatfield-1.0") target = &header.flatfield;
    if (fields.htype == "dpixelmask-1.0") target = &header.pixel_mask;
    if (fields.htype == "dcountrate_table-1.0") target = &header.countrate_table;
    if (!target) break;
    auto type = dtype_of(fields.type);
    if (!fields.has_shape || !type || bytes_of(fields.shape.extents(), *type) != parts[1].size()) continue;
    *target = array_view{*type, fields.shape.reversed(), parts[1].bytes()};
  }
  return parts;
}

std::optional<std::string_view> appendix_in(std::span<const frame> parts) {
  return parts.empty() ? std::nullopt : std::optional(parts[0].text());
}

void take_times(const frame& part, eiger_v1_image& image) {
  thread_local json_header_reader reader;
  auto fault = reader.read(part.text(), [&](std::string_view key, json::value value) {
    if (key == "start_time") image.start_time = whole_number(value);
    if (key == "stop_time") image.stop_time = whole_number(value);
    if (key == "real_time") image.real_time = whole_number(value);
  });
  if (fault) image.start_time = image.stop_time = image.real_time = std::nullopt;
}

value_map map_of(std::string_view text) {
  auto content = json_to_value(text);
  auto map = content ? content->as_map() : nullptr;
  return map ? *map : value_map();
}

auto appender(std::string& out) { return std::back_inserter(out); }

void append_shape(std::string& out, std::span<const std::size_t> shape) {
  out += R"("shape":[)";
  for (auto i = shape.size(); i > 0; --i)
    fmt::format_to(appender(out), "{}{}", i < shape.size() ? "," : "", shape[i - 1]);
  out += ']';
}

void finish_object(std::string& out, std::optional<std::int64_t> sent_ns) {
  if (sent_ns) fmt::format_to(appender(out), ",\"sent_ns\":{}", *sent_ns);
  out += '}';
}

std::string_view name_of(eiger_v1_detail detail) {
  constexpr std::string_view names[] = {"none", "basic", "all"};
  return names[static_cast<std::size_t>(detail)];
}

} // namespace

std::unique_ptr<protocol> make_eiger_v1(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<eiger_v1>();
}

std::optional<eiger_v1_encoding> find_eiger_v1_encoding(std::string_view name) {
  if (name == "<") return eiger_v1_encoding{codec::none, 1};
  if (name == "lz4<") return eiger_v1_encoding{codec::lz4_block, 1};
  constexpr std::string_view shuffled[] = {"bs8-lz4<", "bs16-lz4<", "bs32-lz4<", "bs64-lz4<"};
  for (std::size_t i = 0; i < std::size(shuffled); ++i)
    if (name == shuffled[i]) return eiger_v1_encoding{codec::bslz4, std::size_t{1} << i};
  return std::nullopt;
}

std::optional<eiger_v1_header> parse_eiger_v1_header(const stream_data& data) {
  auto found = examine(data, entry_kind::start);
  if (!found) return std::nullopt;
  eiger_v1_header header;
  header.series = found->fields.series;
  header.detail = detail_of(found->fields.header_detail);
  auto rest = data.frames().subspan(1);
  if (header.detail != eiger_v1_detail::none && !rest.empty()) {
    header.config = map_of(rest[0].text());
    rest = rest.subspan(1);
  }
  if (header.detail == eiger_v1_detail::all) rest = take_arrays(rest, header);
  header.appendix = appendix_in(rest);
  return header;
}

std::optional<eiger_v1_image> parse_eiger_v1_image(const stream_data& data) {
  auto found = examine(data, entry_kind::data);
  if (!found) return std::nullopt;
  auto parts = data.frames();
  eiger_v1_image image;
  image.series = found->fields.series;
  image.frame = *found->fields.frame;
  image.hash = found->fields.hash;
  image.shape = found->image.shape.reversed();
  image.type = *dtype_of(found->image.type);
  image.encoding = *find_eiger_v1_encoding(found->image.encoding);
  image.blob = parts[2].bytes();
  take_times(parts[3], image);
  image.appendix = appendix_in(parts.subspan(least_image_parts));
  return image;
}

std::optional<eiger_v1_end> parse_eiger_v1_end(const stream_data& data) {
  auto found = examine(data, entry_kind::end);
  if (!found) return std::nullopt;
  return eiger_v1_end{found->fields.series, appendix_in(data.frames().subspan(1))};
}

value_map eiger_v1_keys(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  return found.fault ? value_map() : map_of(data.frames()[0].text());
}

void write_eiger_v1_header(std::string& out, std::uint64_t series, eiger_v1_detail detail,
                           std::optional<std::int64_t> sent_ns) {
  out.clear();
  fmt::format_to(appender(out), R"({{"htype":"dheader-1.0","series":{},"header_detail":"{}")", series,
                 name_of(detail));
  finish_object(out, sent_ns);
}

void write_eiger_v1_image(std::string& out, std::uint64_t series, std::uint64_t frame, std::string_view hash,
                          std::optional<std::int64_t> sent_ns) {
  out.clear();
  fmt::format_to(appender(out), R"({{"htype":"dimage-1.0","series":{},"frame":{},"hash":)", series, frame);
  append_json_text(out, hash);
  finish_object(out, sent_ns);
}

void write_eiger_v1_blob(std::string& out, std::span<const std::size_t> shape, dtype type,
                         std::string_view encoding, std::size_t size) {
  out = R"({"htype":"dimage_d-1.0",)";
  append_shape(out, shape);
  fmt::format_to(appender(out), R"(,"type":"{}","encoding":"{}","size":{}}})", dtranspose::name_of(type),
                 encoding, size);
}

void write_eiger_v1_times(std::string& out, std::uint64_t start_time, std::uint64_t stop_time,
                          std::uint64_t real_time) {
  out.clear();
  fmt::format_to(appender(out), R"({{"htype":"dconfig-1.0","start_time":{},"stop_time":{},"real_time":{}}})",
                 start_time, stop_time, real_time);
}

void write_eiger_v1_array(std::string& out, std::string_view htype, std::span<const std::size_t> shape,
                          dtype type) {
  out.clear();
  fmt::format_to(appender(out), R"({{"htype":"{}",)", htype);
  append_shape(out, shape);
  fmt::format_to(appender(out), R"(,"type":"{}"}})", dtranspose::name_of(type));
}

void write_eiger_v1_end(std::string& out, std::uint64_t series, std::optional<std::int64_t> sent_ns) {
  out.clear();
  fmt::format_to(appender(out), R"({{"htype":"dseries_end-1.0","series":{})", series);
  finish_object(out, sent_ns);
}

} // namespace dtranspose
