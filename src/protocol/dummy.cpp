#include "protocol/dummy.hpp"

#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "protocol/json_header.hpp"
#include "protocol/json_shape.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

// The layout comes first, so that the code below can be held against it.
//
//  message  part 0: JSON object, keys in any order                           part 1
//  start    message "start", series                                          none
//  frame    message "frame", series, frame, shape [rows, columns],           pixels, C order, little endian
//           type "uint16" ...
//  end      message "end", series, frames                                    none
//
// Numbers are whole and not negative.

/// What the reader looks at, as it was found. Texts point into the memory of the header reader.
struct header_fields {
  std::string_view message, type;
  std::optional<std::uint64_t> series, frame, frames;
  json_shape shape;
  bool has_shape = false;
};

/// Called for each field of the header in the order in which it came. A value of the wrong type leaves its
/// field as if it were not there: what that means is decided below, in one place.
void take(std::string_view key, json::value value, header_fields& fields) {
  if (key == "message")
    fields.message = text_of(value);
  else if (key == "series")
    fields.series = whole_number(value);
  else if (key == "frame")
    fields.frame = whole_number(value);
  else if (key == "frames")
    fields.frames = whole_number(value);
  else if (key == "shape")
    fields.has_shape = fields.shape.read(value);
  else if (key == "type")
    fields.type = text_of(value);
}

/// What is wrong with a frame whose number is known, or nothing. Lengths are compared, pixels are not looked
/// at. Sizes that a header announces are never trusted: `bytes_of` does not overflow, and nothing is
/// allocated.
std::optional<packet_fault> check_frame(const header_fields& fields, std::span<const frame> parts) {
  auto type = dtype_of(fields.type);
  if (!fields.has_shape || !type) return packet_fault::unknown;
  if (parts.size() < 2) return packet_fault::truncated;
  auto announced = bytes_of(fields.shape.extents(), *type);
  if (parts[1].size() < announced) return packet_fault::truncated;
  if (parts[1].size() > announced || parts.size() > 2) return packet_fault::oversized;
  return std::nullopt;
}

/// A message with everything that its header tells. Reader and decoder share this step, so that an analysis
/// is never given what the reader would have refused, nor the other way round.
struct examined {
  header_fields fields;
  entry_kind kind = entry_kind::data;
  std::optional<packet_fault> fault;
  bool numbered = false; ///< meaningful with a fault
};

examined examine(std::span<const frame> parts, json_header_reader& reader) {
  examined found;
  auto& fields = found.fields;
  if (parts.empty()) {
    found.fault = packet_fault::truncated;
    return found;
  }
  found.fault = reader.read(parts[0].text(),
                            [&](std::string_view key, json::value value) { take(key, value, fields); });
  // What a broken header seemed to say is worth nothing.
  if (found.fault) {
    fields = {};
  } else if (fields.message == "frame") {
    found.numbered = fields.frame.has_value();
    found.fault = found.numbered ? check_frame(fields, parts) : packet_fault::unknown;
  } else if (fields.message == "start") {
    found.kind = entry_kind::start;
  } else if (fields.message == "end") {
    found.kind = entry_kind::end;
  } else {
    found.fault = packet_fault::unknown;
  }
  return found;
}

/// One object per stream, used from one thread: memory may be kept from message to message. This format tells
/// everything in each message, so there is no state to forget and `reset` and `interrupted` stay as they are.
class dummy final : public protocol {
 public:
  std::string_view name() const override { return "dummy"; }
  std::string_view type_tag() const override { return dummy_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto found = examine(message.frames(), reader_);
    auto& packet = packets.emplace_back();
    packet.fault = found.fault;
    packet.numbered = !found.fault || found.numbered;
    if (packet.numbered) packet.numbers = numbers_of(found);
    // The message goes on as it came in: the bytes are not copied.
    if (!found.fault) packet.data = std::move(message);
  }

 private:
  static entry_numbers numbers_of(const examined& found) {
    entry_numbers numbers{.kind = found.kind, .series = found.fields.series};
    if (found.kind == entry_kind::data) numbers.number = found.fields.frame;
    if (found.kind == entry_kind::end) numbers.count = found.fields.frames;
    return numbers;
  }

  json_header_reader reader_;
};

/// One per thread that decodes: analyses call from wherever they run.
json_header_reader& reader_of_this_thread() {
  thread_local json_header_reader reader;
  return reader;
}

} // namespace

std::unique_ptr<protocol> make_dummy(const protocol_options& options) {
  // Options are taken here one by one, e.g. `auto port = reader.whole("port", 9999, 1, 65535)`. `finish`
  // complains about those that nobody took.
  option_reader reader(options);
  reader.finish();
  return std::make_unique<dummy>();
}

std::optional<dummy_frame> parse_dummy_frame(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread());
  if (found.fault || found.kind != entry_kind::data) return std::nullopt;
  dummy_frame frame{
      .number = *found.fields.frame,
      .series = found.fields.series,
      .pixels = {*dtype_of(found.fields.type), found.fields.shape.copy(), data.frames()[1].bytes()}};
  // Keys that nobody asked for are no reason to fail.
  auto header = json_to_value(data.frames()[0].text());
  if (header && header->as_map()) frame.metadata = *header->as_map();
  return frame;
}

void write_dummy_start(std::string& out, std::uint64_t series) {
  out = fmt::format(R"({{"message":"start","series":{}}})", series);
}

void write_dummy_frame(std::string& out, std::uint64_t series, std::uint64_t number,
                       const std::vector<std::size_t>& shape, dtype type,
                       std::optional<std::int64_t> sent_ns) {
  out = fmt::format(R"({{"message":"frame","series":{},"frame":{},"shape":[{}],"type":"{}")", series, number,
                    fmt::join(shape, ","), name_of(type));
  if (sent_ns) fmt::format_to(std::back_inserter(out), R"(,"sent_ns":{})", *sent_ns);
  out += '}';
}

void write_dummy_end(std::string& out, std::uint64_t series, std::uint64_t frames) {
  out = fmt::format(R"({{"message":"end","series":{},"frames":{}}})", series, frames);
}

} // namespace dtranspose
