#include "protocol/stins.hpp"

#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include "protocol/array_view.hpp"
#include "protocol/json_header.hpp"
#include "protocol/json_shape.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

//  message     part 0: JSON object, keys in any order          further parts
//  header      htype "header", msg_number, filename            none, or one JSON object of the scan
//              (may be "" or null)
//  image       htype "image", msg_number, frame,               one blob, or shape[0] of them
//              shape [slowest first], type "uint16" ...,
//              compression "none" "bslz4"
//  series_end  htype "series_end", msg_number                  none, or any
//
// Numbers are whole and not negative. Any key may be added; what is added is not looked at.

/// Part 0 as far as it matters here. Texts point into the scratch memory of its reader.
struct header_fields {
  std::string_view htype, type, compression;
  std::optional<std::uint64_t> frame, message_number;
  json_shape shape;
  bool has_shape = false;
};

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
    else if (key == "frame")
      fields.frame = whole_number(value);
    else if (key == "msg_number")
      fields.message_number = whole_number(value);
    else if (key == "shape")
      fields.has_shape = fields.shape.read(value);
    else if (key == "type")
      fields.type = text_of(value);
    else if (key == "compression")
      fields.compression = text_of(value);
  }

  json_header_reader reader_;
};

std::optional<packet_fault> compare(std::uint64_t found, std::uint64_t announced) {
  if (found < announced) return packet_fault::truncated;
  if (found > announced) return packet_fault::oversized;
  return std::nullopt;
}

/// What is wrong with an image whose number is known, or nothing.
std::optional<packet_fault> check_image(const header_fields& fields, std::span<const frame> parts) {
  if (!fields.has_shape || fields.type.empty() || fields.compression.empty()) return packet_fault::unknown;
  auto blobs = parts.subspan(1);
  if (blobs.empty()) return packet_fault::truncated;
  auto shape = fields.shape.extents();
  if (blobs.size() > 1) {
    if (shape.empty()) return packet_fault::oversized;
    if (auto fault = compare(blobs.size(), shape[0])) return fault;
    shape = shape.subspan(1);
  }
  auto type = dtype_of(fields.type);
  if (fields.compression != "none" || !type) return std::nullopt;
  auto announced = bytes_of(shape, *type);
  for (auto& blob : blobs)
    if (auto fault = compare(blob.size(), announced)) return fault;
  return std::nullopt;
}

/// A message with everything that its header tells.
struct examined {
  header_fields fields;
  entry_kind kind = entry_kind::data;
  std::optional<packet_fault> fault;
  bool numbered = false; ///< meaningful with a fault
};

examined examine(std::span<const frame> parts, header_reader& reader) {
  examined message;
  auto& fields = message.fields;
  if (parts.empty()) {
    message.fault = packet_fault::truncated;
  } else if (auto fault = reader.read(parts[0].text(), fields)) {
    message.fault = fault;
    fields = {};
  } else if (fields.htype == "image") {
    message.numbered = fields.frame.has_value();
    message.fault = message.numbered ? check_image(fields, parts) : packet_fault::unknown;
  } else if (fields.htype == "header") {
    message.kind = entry_kind::start;
  } else if (fields.htype == "series_end") {
    message.kind = entry_kind::end;
  } else {
    message.fault = packet_fault::unknown;
  }
  return message;
}

/// One per thread that decodes: analyses call from wherever they run.
header_reader& reader_of_this_thread() {
  thread_local header_reader reader;
  return reader;
}

class stins final : public protocol {
 public:
  std::string_view name() const override { return "stins"; }
  std::string_view type_tag() const override { return stins_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto found = examine(message.frames(), reader_);
    auto& packet = packets.emplace_back();
    packet.numbers.kind = found.kind;
    packet.numbers.message_number = found.fields.message_number;
    packet.fault = found.fault;
    packet.numbered = !found.fault || found.numbered;
    if (found.kind == entry_kind::data && packet.numbered) packet.numbers.number = found.fields.frame;
    if (!found.fault) packet.data = std::move(message);
  }

 private:
  header_reader reader_;
};

stins_compression compression_of(std::string_view name) {
  if (name == "none") return stins_compression::none;
  return name == "bslz4" ? stins_compression::bslz4 : stins_compression::other;
}

value_map map_of(std::string_view text) {
  auto content = json_to_value(text);
  auto map = content ? content->as_map() : nullptr;
  return map ? *map : value_map();
}

void finish_header(std::string& out, std::uint64_t message_number, std::optional<std::int64_t> sent_ns) {
  fmt::format_to(std::back_inserter(out), ",\"msg_number\":{}", message_number);
  if (sent_ns) fmt::format_to(std::back_inserter(out), ",\"sent_ns\":{}", *sent_ns);
  out += '}';
}

} // namespace

std::unique_ptr<protocol> make_stins(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<stins>();
}

std::optional<stins_image> parse_stins_image(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  if (found.fault || found.kind != entry_kind::data || !found.fields.frame) return std::nullopt;
  auto type = dtype_of(found.fields.type);
  if (!type) return std::nullopt;
  stins_image image;
  image.frame = *found.fields.frame;
  image.type = *type;
  image.shape = found.fields.shape.copy();
  image.compression = compression_of(found.fields.compression);
  image.blobs = data.frames().subspan(1);
  if (image.blobs.size() == 1) image.pixels = image.blobs[0].bytes();
  return image;
}

std::optional<entry_kind> stins_kind(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  if (found.fault) return std::nullopt;
  return found.kind;
}

std::optional<stins_header> parse_stins_header(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  if (found.fault || found.kind != entry_kind::start) return std::nullopt;
  auto parts = data.frames();
  stins_header header;
  header.message_number = found.fields.message_number;
  header.keys = map_of(parts[0].text());
  auto filename = header.keys.find("filename");
  if (auto text = filename ? filename->as_text() : nullptr) header.filename = *text;
  if (parts.size() > 1) header.metadata = map_of(parts[1].text());
  return header;
}

std::optional<stins_end> parse_stins_end(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  if (found.fault || found.kind != entry_kind::end) return std::nullopt;
  return stins_end{found.fields.message_number, map_of(data.frames()[0].text())};
}

value_map stins_keys(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  return found.fault ? value_map() : map_of(data.frames()[0].text());
}

void write_stins_header(std::string& out, std::uint64_t message_number, std::string_view filename,
                        std::optional<std::int64_t> sent_ns) {
  out = R"({"htype":"header","filename":)";
  append_json_text(out, filename);
  finish_header(out, message_number, sent_ns);
}

void write_stins_image(std::string& out, std::uint64_t message_number, const stins_image_header& image,
                       std::optional<std::int64_t> sent_ns) {
  out.clear();
  fmt::format_to(std::back_inserter(out),
                 R"({{"htype":"image","frame":{},"shape":[{}],"type":"{}","compression":"{}")", image.frame,
                 fmt::join(image.shape, ","), image.type, image.compression);
  if (!image.extra.empty()) (out += ',') += image.extra;
  finish_header(out, message_number, sent_ns);
}

void write_stins_end(std::string& out, std::uint64_t message_number, std::optional<std::int64_t> sent_ns) {
  out = R"({"htype":"series_end")";
  finish_header(out, message_number, sent_ns);
}

} // namespace dtranspose
