#include "protocol/albaem.hpp"

#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>

#include <fmt/format.h>
#include <simdjson.h>

#include "protocol/json_header.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

//  message_type  one part: a JSON object, keys in any order
//  series-start  message_id, version
//  data          message_id, version, frame_number, timestamp, acquisition_timestamp, channel1, channel2 ...
//  series-end    message_id, version, detector_specific {read_overflow, memory_overflow}
//
// `message_id` counts messages, from 1. Any key may be added and is not looked at; which channels there are
// varies.

constexpr std::string_view channel_prefix = "channel";

/// What the reader looks at.
struct message_fields {
  std::optional<entry_kind> kind;
  std::optional<std::uint64_t> frame_number, message_id;

  void take(std::string_view key, json::value value) {
    if (key == "message_type")
      kind = kind_of(text_of(value));
    else if (key == "frame_number")
      frame_number = whole_number(value);
    else if (key == "message_id")
      message_id = whole_number(value);
  }

  static std::optional<entry_kind> kind_of(std::string_view name) {
    if (name == "data") return entry_kind::data;
    if (name == "series-start") return entry_kind::start;
    return name == "series-end" ? std::optional(entry_kind::end) : std::nullopt;
  }
};

/// A message with everything that the reader needs to know.
struct examined {
  message_fields fields;
  std::optional<packet_fault> fault;
  bool numbered = false; ///< meaningful with a fault
};

/// Every key is given to `fields.take` and then to `take`.
template <class F>
examined examine(std::span<const frame> parts, json_header_reader& reader, F take) {
  examined message;
  auto& fields = message.fields;
  auto take_both = [&](std::string_view key, json::value value) {
    fields.take(key, value);
    take(key, value);
  };
  if (parts.empty()) {
    message.fault = packet_fault::truncated;
  } else if (auto fault = reader.read(parts[0].text(), take_both)) {
    message.fault = fault;
    fields = {};
  } else if (!fields.kind || (fields.kind == entry_kind::data && !fields.frame_number)) {
    message.fault = packet_fault::unknown;
  } else if (fields.kind == entry_kind::data && parts.size() > 1) {
    message.fault = packet_fault::oversized;
    message.numbered = true;
  }
  return message;
}

void ignore(std::string_view /*key*/, json::value /*value*/) {}

/// One per thread that decodes: analyses call from wherever they run.
json_header_reader& reader_of_this_thread() {
  thread_local json_header_reader reader;
  return reader;
}

class albaem final : public protocol {
 public:
  std::string_view name() const override { return "albaem"; }
  std::string_view type_tag() const override { return albaem_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto found = examine(message.frames(), reader_, ignore);
    auto& packet = packets.emplace_back();
    packet.numbers.kind = found.fields.kind.value_or(entry_kind::data);
    packet.numbers.message_number = found.fields.message_id;
    packet.fault = found.fault;
    packet.numbered = !found.fault || found.numbered;
    if (packet.numbers.kind == entry_kind::data && packet.numbered)
      packet.numbers.number = found.fields.frame_number;
    if (!found.fault) packet.data = std::move(message);
  }

 private:
  json_header_reader reader_;
};

/// The number behind `channel`; nothing for any other key.
std::optional<std::uint32_t> channel_number(std::string_view key) {
  if (!key.starts_with(channel_prefix)) return std::nullopt;
  std::uint32_t number = 0;
  auto end = key.data() + key.size();
  auto [stop, error] = std::from_chars(key.data() + channel_prefix.size(), end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

/// A number; Python writes NaN and Infinity as bare words.
std::optional<double> real_number(json::value value) {
  double number = 0;
  auto token = value.raw_json_token();
  if (!value.get_double().get(number)) return number;
  if (token.starts_with("NaN")) return std::numeric_limits<double>::quiet_NaN();
  if (token.starts_with("Infinity")) return std::numeric_limits<double>::infinity();
  if (token.starts_with("-Infinity")) return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

void take_reading(std::string_view key, json::value value, albaem_reading& reading) {
  std::int64_t whole = 0;
  if (key == "timestamp") {
    reading.timestamp = real_number(value);
  } else if (key == "acquisition_timestamp") {
    reading.acquisition_timestamp =
        value.get_int64().get(whole) ? std::nullopt : std::optional<std::int64_t>(whole);
  } else if (auto channel = channel_number(key)) {
    if (auto number = real_number(value))
      reading.channels[*channel] = *number;
    else
      reading.channels.erase(*channel);
  }
}

void append_number(std::string& out, double number) {
  if (std::isnan(number))
    out += "NaN";
  else if (std::isinf(number))
    out += number < 0 ? "-Infinity" : "Infinity";
  else
    fmt::format_to(std::back_inserter(out), "{}", number);
}

void begin_message(std::string& out, std::string_view type, std::optional<std::uint64_t> message_id) {
  out = R"({"version":1,"message_type":")";
  (out += type) += '"';
  if (message_id) fmt::format_to(std::back_inserter(out), R"(,"message_id":{})", *message_id);
}

} // namespace

std::unique_ptr<protocol> make_albaem(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<albaem>();
}

std::optional<double> albaem_reading::channel(std::uint32_t number) const {
  auto found = channels.find(number);
  return found == channels.end() ? std::nullopt : std::optional(found->second);
}

std::optional<entry_kind> albaem_kind(const stream_data& data) {
  auto found = examine(data.frames(), reader_of_this_thread(), ignore);
  return found.fault ? std::nullopt : found.fields.kind;
}

std::optional<albaem_reading> parse_albaem_reading(const stream_data& data) {
  albaem_reading reading;
  auto take = [&](std::string_view key, json::value value) { take_reading(key, value, reading); };
  auto found = examine(data.frames(), reader_of_this_thread(), take);
  if (found.fault || found.fields.kind != entry_kind::data) return std::nullopt;
  reading.frame_number = *found.fields.frame_number;
  reading.message_id = found.fields.message_id;
  return reading;
}

std::optional<albaem_end> parse_albaem_end(const stream_data& data) {
  if (albaem_kind(data) != entry_kind::end) return std::nullopt;
  albaem_end end;
  auto keys = albaem_keys(data);
  auto specific = keys.find("detector_specific");
  if (auto map = specific ? specific->as_map() : nullptr) end.detector_specific = *map;
  return end;
}

value_map albaem_keys(const stream_data& data) {
  if (!albaem_kind(data)) return {};
  auto keys = json_to_value(data.frames()[0].text());
  auto map = keys ? keys->as_map() : nullptr;
  return map ? *map : value_map();
}

void write_albaem_start(std::string& out, std::uint64_t message_id) {
  begin_message(out, "series-start", message_id);
  out += '}';
}

void write_albaem_reading(std::string& out, const albaem_reading& reading,
                          std::optional<std::int64_t> sent_ns) {
  begin_message(out, "data", reading.message_id);
  auto to = std::back_inserter(out);
  fmt::format_to(to, R"(,"frame_number":{})", reading.frame_number);
  if (reading.timestamp) {
    out += R"(,"timestamp":)";
    append_number(out, *reading.timestamp);
  }
  if (reading.acquisition_timestamp)
    fmt::format_to(to, R"(,"acquisition_timestamp":{})", *reading.acquisition_timestamp);
  for (auto [number, current] : reading.channels) {
    fmt::format_to(to, R"(,"{}{}":)", channel_prefix, number);
    append_number(out, current);
  }
  if (sent_ns) fmt::format_to(to, R"(,"sent_ns":{})", *sent_ns);
  out += '}';
}

void write_albaem_end(std::string& out, std::uint64_t message_id, bool read_overflow, bool memory_overflow) {
  begin_message(out, "series-end", message_id);
  fmt::format_to(std::back_inserter(out),
                 R"(,"detector_specific":{{"read_overflow":{},"memory_overflow":{}}}}})", read_overflow,
                 memory_overflow);
}

} // namespace dtranspose
