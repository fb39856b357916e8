#include "protocol/pcap.hpp"

#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>

#include <fmt/format.h>
#include <simdjson.h>

#include "protocol/arm_counter.hpp"
#include "protocol/json_header.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

//  message_type  one part: a JSON object, keys in any order
//  series-start  message_id, version, arm_time
//  data          message_id, version, frame_number of the first row, lists of equal length
//  series-end    message_id, version
//
// `message_id` counts messages, from 1. Any key may be added, to a row as well.

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Where the digits from `i` on end, or `i` if there are none.
std::size_t behind_digits(std::string_view text, std::size_t i) {
  while (i < text.size() && is_digit(text[i])) ++i;
  return i;
}

/// A number as JSON's grammar has it, of any size.
bool is_number(std::string_view text) {
  auto at = [text](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  std::size_t begin = at(0) == '-' ? 1 : 0;
  auto i = behind_digits(text, begin);
  if (i == begin || (at(begin) == '0' && i > begin + 1)) return false;
  if (at(i) == '.') {
    begin = i + 1;
    i = behind_digits(text, begin);
    if (i == begin) return false;
  }
  if (at(i) == 'e' || at(i) == 'E') {
    begin = at(i + 1) == '+' || at(i + 1) == '-' ? i + 2 : i + 1;
    i = behind_digits(text, begin);
    if (i == begin) return false;
  }
  return i == text.size();
}

/// What Python writes for numbers that are not finite.
std::optional<double> not_finite(std::string_view token) {
  if (token == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (token == "Infinity") return std::numeric_limits<double>::infinity();
  if (token == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

bool is_word(std::string_view token) {
  return token == "true" || token == "false" || token == "null" || not_finite(token);
}

/// Is it a value of JSON, in all its depth?
bool is_valid(json::value value, int depth);

bool is_valid_list(json::value value, int depth) {
  json::array elements;
  if (value.get_array().get(elements)) return false;
  for (auto element : elements) {
    json::value content;
    if (element.get(content) || !is_valid(content, depth)) return false;
  }
  return true;
}

bool is_valid_object(json::value value, int depth) {
  json::object fields;
  if (value.get_object().get(fields)) return false;
  for (auto field : fields) {
    std::string_view key;
    json::value content;
    if (field.unescaped_key().get(key) || field.value().get(content) || !is_valid(content, depth))
      return false;
  }
  return true;
}

bool is_valid(json::value value, int depth) {
  auto token = trimmed(value.raw_json_token());
  if (token.empty() || depth > json_depth_limit) return false;
  if (token[0] == '[') return is_valid_list(value, depth + 1);
  if (token[0] == '{') return is_valid_object(value, depth + 1);
  std::string_view text;
  if (token[0] == '"') return !value.get_string().get(text);
  return is_number(token) || is_word(token);
}

/// The characters of a list or an object, in brackets.
template <class Brackets>
std::string_view raw_nested(simdjson::simdjson_result<Brackets> nested) {
  Brackets content;
  std::string_view raw;
  if (std::move(nested).get(content) || content.raw_json().get(raw)) return {};
  return trimmed(raw);
}

/// `raw` lies in the scratch memory of a reader, which goes on for long enough.
bool is_valid_nested(std::string_view raw) {
  thread_local json::parser parser;
  json::document document;
  json::value content;
  simdjson::padded_string_view padded(raw.data(), raw.size(), raw.size() + simdjson::SIMDJSON_PADDING);
  if (parser.iterate(padded).get(document) || document.get_value().get(content)) return false;
  return is_valid(content, 0) && document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

/// The characters of a value in `raw`; false if they are no value.
bool read_raw(json::value value, std::string_view& raw) {
  raw = trimmed(value.raw_json_token());
  if (raw.empty() || (raw[0] != '[' && raw[0] != '{')) return is_valid(value, 0);
  raw = raw[0] == '[' ? raw_nested(value.get_array()) : raw_nested(value.get_object());
  return !raw.empty() && is_valid_nested(raw);
}

bool is_list(json::value& value) {
  auto token = value.raw_json_token();
  return !token.empty() && token[0] == '[';
}

enum class message_type : std::uint8_t { start, data, end, other };

message_type type_of(std::string_view name) {
  if (name == "data") return message_type::data;
  if (name == "series-start") return message_type::start;
  return name == "series-end" ? message_type::end : message_type::other;
}

/// Memory of one row.
class row_frames final : public frame_owner {
 public:
  explicit row_frames(std::string text) : text_(std::move(text)), view_(text_.data(), text_.size()) {
    set_frames(std::span(&view_, 1));
  }

 private:
  std::string text_;
  frame view_;
};

/// One message, key by key. Its memory is reused; texts point into the scratch memory of its reader.
class message_fields {
 public:
  std::optional<packet_fault> read(std::string_view text) {
    type_ = message_type::other;
    id_.reset();
    first_row_.reset();
    head_id_ = head_version_ = {};
    fields_ = 0;
    tokens_.clear();
    rows_.reset();
    value_fault_.reset();
    rows_fault_.reset();
    auto take = [this](std::string_view key, json::value value) { take_field(key, value); };
    return reader_.read(text, take, pcap_message_limit);
  }

  message_type type() const { return type_; }
  std::optional<std::uint64_t> id() const { return id_; }

  /// Why it can't be told which rows a data message has, or nothing.
  std::optional<packet_fault> rows_fault() const {
    if (rows_fault_) return rows_fault_;
    if (!rows_ || !first_row_ || *first_row_ > std::numeric_limits<std::uint64_t>::max() - *rows_)
      return packet_fault::unknown;
    return std::nullopt;
  }

  /// Only without a `rows_fault`.
  std::uint64_t first_row() const { return *first_row_; }
  std::size_t rows() const { return *rows_; }

  /// What is wrong with rows whose numbers are known, or nothing.
  std::optional<packet_fault> content_fault() const {
    if (value_fault_) return value_fault_;
    std::size_t once = row_overhead + head_id_.size() + head_version_.size(), lists = 0;
    for (auto& field : std::span(names_).first(fields_))
      once += field.prefix.size() + (field.list ? 0 : field.value.size());
    for (auto token : tokens_) lists += token.size();
    bool too_long =
        *rows_ > 0 && once > (pcap_rows_bytes_limit - std::min(lists, pcap_rows_bytes_limit)) / *rows_;
    return too_long ? std::optional(packet_fault::oversized) : std::nullopt;
  }

  /// Row `i` as JSON.
  std::string row(std::size_t i) const {
    std::string out;
    out.reserve(last_length_ + 32);
    if (!head_id_.empty()) ((out += R"("message_id":)") += head_id_) += ',';
    if (!head_version_.empty()) ((out += R"("version":)") += head_version_) += ',';
    out.insert(out.begin(), '{');
    out += R"("message_type":"data","frame_number":)";
    out += fmt::format_int(*first_row_ + i).c_str();
    for (auto& field : std::span(names_).first(fields_))
      (out += field.prefix) += field.list ? tokens_[field.first + i] : field.value;
    out += '}';
    last_length_ = out.size();
    return out;
  }

 private:
  /// More than the characters of a row that are not counted otherwise, and what it takes to keep one.
  static constexpr std::size_t row_overhead = 256;

  struct field {
    std::string prefix; ///< `,"name":`
    bool list = false;
    std::string_view value; ///< of every row, unless it is a list
    std::size_t first = 0;  ///< of a list: its first token
  };

  void take_field(std::string_view key, json::value value) {
    if (is_list(value)) return take_list(key, value);
    if (key == "message_type") {
      type_ = type_of(text_of(value));
    } else if (key == "frame_number") {
      first_row_ = whole_number(value);
    } else {
      std::string_view raw;
      if (!read_raw(value, raw)) value_fault_ = packet_fault::not_json;
      if (key == "message_id")
        head_id_ = raw, id_ = whole_number(value);
      else if (key == "version")
        head_version_ = raw;
      else if (auto added = add(key))
        added->value = raw;
    }
  }

  void take_list(std::string_view key, json::value value) {
    json::array elements;
    if (value.get_array().get(elements)) return;
    auto* list = add(key);
    if (list) list->list = true, list->first = tokens_.size();
    std::size_t n = 0;
    for (auto element : elements) {
      json::value content;
      std::string_view raw;
      if (n == pcap_row_limit) {
        rows_fault_ = packet_fault::oversized;
        return;
      }
      if (element.get(content)) return;
      if (!read_raw(content, raw)) value_fault_ = packet_fault::not_json;
      if (list) tokens_.push_back(raw);
      ++n;
    }
    if (rows_ && *rows_ != n && !rows_fault_) rows_fault_ = packet_fault::corrupt;
    rows_ = n;
  }

  /// A field behind the others; null if there are too many.
  field* add(std::string_view key) {
    if (fields_ == pcap_field_limit) {
      value_fault_ = packet_fault::oversized;
      return nullptr;
    }
    if (fields_ == names_.size()) names_.emplace_back();
    auto& added = names_[fields_++];
    added.prefix = ",";
    append_json_text(added.prefix, key);
    added.prefix += ':';
    added.list = false;
    return &added;
  }

  json_header_reader reader_;
  message_type type_ = message_type::other;
  std::optional<std::uint64_t> id_, first_row_;
  std::string_view head_id_, head_version_;
  std::vector<field> names_; ///< the first `fields_` of them are in use
  std::size_t fields_ = 0;
  std::vector<std::string_view> tokens_; ///< of all lists
  std::optional<std::size_t> rows_;
  std::optional<packet_fault> value_fault_, rows_fault_;
  mutable std::size_t last_length_ = 0;
};

class pcap final : public protocol {
 public:
  std::string_view name() const override { return "pcap"; }
  std::string_view type_tag() const override { return pcap_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto parts = message.frames();
    if (parts.empty()) return refuse(packet_fault::truncated, packets);
    if (auto fault = fields_.read(parts[0].text())) return refuse(*fault, packets);
    switch (fields_.type()) {
    case message_type::start:
      if (arms_.begin(parts[0].text())) end_of_rows_ = 0, last_id_ = fields_.id();
      packets.push_back(
          {.data = std::move(message), .numbers = {.kind = entry_kind::start, .series = arms_.arm()}});
      return;
    case message_type::end:
      arms_.end();
      packets.push_back({.data = std::move(message), .numbers = {.kind = entry_kind::end, .count = count()}});
      return;
    case message_type::data:
      return read_rows(parts.size(), packets);
    case message_type::other:
      break;
    }
    refuse(packet_fault::unknown, packets);
  }

  void reset() override {
    end_of_rows_ = 0;
    last_id_.reset();
    arms_.reset();
  }

 private:
  static void refuse(packet_fault fault, std::vector<stream_packet>& packets) {
    packets.push_back({.fault = fault, .numbered = false});
  }

  void read_rows(std::size_t parts, std::vector<stream_packet>& packets) {
    if (auto fault = fields_.rows_fault()) return refuse(*fault, packets);
    auto end = fields_.first_row() + fields_.rows();
    if (end >= end_of_rows_) end_of_rows_ = end, last_id_ = fields_.id();
    auto fault = parts > 1 ? packet_fault::oversized : fields_.content_fault();
    for (std::size_t i = 0; i < fields_.rows(); ++i) {
      auto& packet = packets.emplace_back();
      packet.numbers.number = fields_.first_row() + i;
      packet.fault = fault;
      if (!fault) packet.data = stream_data(std::make_unique<row_frames>(fields_.row(i)), pcap_type_tag);
    }
  }

  /// How many rows there were, when nothing can be missing between the last of them and this end.
  std::optional<std::uint64_t> count() const {
    if (!last_id_ || !fields_.id() || *last_id_ + 1 != *fields_.id()) return std::nullopt;
    return end_of_rows_;
  }

  message_fields fields_;
  arm_counter arms_;
  std::uint64_t end_of_rows_ = 0;        ///< of this series: one behind the highest row
  std::optional<std::uint64_t> last_id_; ///< of the message with that row, or of the start
};

/// A number that 64 bits do not hold: the nearest real one, which may be infinite.
std::optional<value> number_beyond(std::string_view token) {
  if (!is_number(token)) return std::nullopt;
  return std::strtod(std::string(token).c_str(), nullptr);
}

/// The value of a column; nothing for what is no value.
std::optional<value> column_value(json::value in) {
  auto token = trimmed(in.raw_json_token());
  if (token.empty()) return std::nullopt;
  if (!is_digit(token[0]))
    if (auto number = not_finite(token)) return *number;
  if (token[0] == '-' || is_digit(token[0])) {
    json::number number;
    if (in.get_number().get(number)) return number_beyond(token);
    if (number.is_int64()) return number.get_int64();
    if (number.is_uint64()) return number.get_uint64();
    return number.get_double();
  }
  std::string_view raw;
  if (!read_raw(in, raw)) return std::nullopt;
  return json_to_value(raw, pcap_message_limit).value_or(value());
}

/// A message as decoders see it.
struct decoded {
  message_type type = message_type::other;
  std::optional<std::uint64_t> frame_number, message_id;
  bool valid = true; ///< every column has a value
  std::vector<std::pair<std::string, value>> columns;

  void take(std::string_view key, json::value in) {
    if (key == "message_type") {
      type = type_of(text_of(in));
    } else if (key == "frame_number") {
      frame_number = whole_number(in);
    } else if (key == "message_id") {
      message_id = whole_number(in);
    } else if (key != "version") {
      std::string name(key);
      auto content = column_value(in);
      valid = valid && content;
      if (content) columns.emplace_back(std::move(name), std::move(*content));
    }
  }
};

std::optional<decoded> decode(const stream_data& data) {
  thread_local json_header_reader reader;
  auto parts = data.frames();
  if (parts.empty()) return std::nullopt;
  decoded message;
  message.columns.reserve(16);
  auto take = [&](std::string_view key, json::value in) { message.take(key, in); };
  // A row is hardly longer than its message, by no more than its number.
  if (reader.read(parts[0].text(), take, pcap_message_limit + 32)) return std::nullopt;
  if (message.type == message_type::other) return std::nullopt;
  bool row = parts.size() == 1 && message.frame_number && message.valid;
  if (message.type == message_type::data && !row) return std::nullopt;
  return message;
}

/// As Python writes it: with a point or an exponent, so that it is read as a real number again.
void append_number(std::string& out, double number) {
  if (std::isnan(number)) {
    out += "NaN";
  } else if (std::isinf(number)) {
    out += number < 0 ? "-Infinity" : "Infinity";
  } else {
    auto begin = out.size();
    fmt::format_to(std::back_inserter(out), "{}", number);
    if (out.find_first_of(".e", begin) == std::string::npos) out += ".0";
  }
}

void append_number(std::string& out, std::int64_t number) { out += fmt::format_int(number).c_str(); }

void append_list(std::string& out, const pcap_field& field) {
  out += ',';
  append_json_text(out, field.name);
  out += ":[";
  std::visit(
      [&out](auto values) {
        for (std::size_t i = 0; i < values.size(); ++i) {
          if (i > 0) out += ',';
          append_number(out, values[i]);
        }
      },
      field.values);
  out += ']';
}

void begin_message(std::string& out, std::uint64_t message_id, std::string_view type) {
  out.clear();
  fmt::format_to(std::back_inserter(out), R"({{"message_id":{},"message_type":"{}","version":1)", message_id,
                 type);
}

} // namespace

std::unique_ptr<protocol> make_pcap(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<pcap>();
}

const value* pcap_row::find(std::string_view name) const {
  for (auto i = columns.rbegin(); i != columns.rend(); ++i)
    if (i->first == name) return &i->second;
  return nullptr;
}

std::optional<double> pcap_row::column(std::string_view name) const {
  auto found = find(name);
  return found ? found->as_number() : std::nullopt;
}

std::vector<std::string_view> pcap_row::names() const {
  std::vector<std::string_view> all;
  for (auto& [name, content] : columns) all.emplace_back(name);
  return all;
}

std::optional<entry_kind> pcap_kind(const stream_data& data) {
  auto message = decode(data);
  if (!message) return std::nullopt;
  if (message->type == message_type::data) return entry_kind::data;
  return message->type == message_type::start ? entry_kind::start : entry_kind::end;
}

std::optional<pcap_row> parse_pcap_row(const stream_data& data) {
  auto message = decode(data);
  if (!message || message->type != message_type::data) return std::nullopt;
  return pcap_row{*message->frame_number, message->message_id, std::move(message->columns)};
}

std::optional<pcap_start> parse_pcap_start(const stream_data& data) {
  auto message = decode(data);
  if (!message || message->type != message_type::start) return std::nullopt;
  pcap_start start;
  auto keys = json_to_value(data.frames()[0].text());
  if (auto map = keys ? keys->as_map() : nullptr) start.keys = *map;
  auto time = start.keys.find("arm_time");
  if (auto text = time ? time->as_text() : nullptr) start.arm_time = *text;
  return start;
}

void write_pcap_start(std::string& out, std::uint64_t message_id, std::string_view arm_time) {
  begin_message(out, message_id, "series-start");
  out += R"(,"arm_time":)";
  append_json_text(out, arm_time);
  out += '}';
}

void write_pcap_data(std::string& out, std::uint64_t message_id, std::uint64_t frame_number,
                     std::span<const pcap_field> fields, std::optional<std::int64_t> sent_ns) {
  begin_message(out, message_id, "data");
  fmt::format_to(std::back_inserter(out), R"(,"frame_number":{})", frame_number);
  for (auto& field : fields) append_list(out, field);
  if (sent_ns) fmt::format_to(std::back_inserter(out), R"(,"sent_ns":{})", *sent_ns);
  out += '}';
}

void write_pcap_end(std::string& out, std::uint64_t message_id) {
  begin_message(out, message_id, "series-end");
  out += '}';
}

} // namespace dtranspose
