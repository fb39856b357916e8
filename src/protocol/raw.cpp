#include "protocol/raw.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <utility>

#include <simdjson.h>

#include "model/type_tag.hpp"
#include "protocol/json_header.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

/// Parts that a message may have in front of its header. As many as dumps take.
constexpr std::uint64_t part_limit = 65535;
/// Far above any header, and far below what would be a lot on the stack.
constexpr std::size_t path_limit = 32;

void check_path(const json_path& path) {
  if (path.size() > path_limit)
    throw std::runtime_error("'" + path.front() + "...' has more than " + std::to_string(path_limit) +
                             " keys");
}

/// `~1` is `/`, `~0` is `~`.
std::string unescaped(std::string_view key) {
  std::string out;
  for (std::size_t i = 0; i < key.size(); ++i) {
    bool escape = key[i] == '~' && i + 1 < key.size() && (key[i + 1] == '0' || key[i + 1] == '1');
    out += !escape ? key[i] : key[++i] == '0' ? '~' : '/';
  }
  return out;
}

json_path split(std::string_view text, char at) {
  json_path keys;
  for (;;) {
    auto end = text.find(at);
    keys.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return keys;
    text.remove_prefix(end + 1);
  }
}

/// With the option's name in front of what is wrong with it.
json_path path_option(std::string_view name, std::string_view text) {
  if (text.empty()) return {};
  try {
    return parse_json_path(text);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error("option " + std::string(name) + ": " + e.what());
  }
}

std::optional<raw_marker> marker_option(std::string_view name, std::string_view text) {
  if (text.empty()) return std::nullopt;
  auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0)
    throw std::runtime_error("option " + std::string(name) + ": '" + std::string(text) +
                             "' is not of the form PATH=VALUE");
  return raw_marker{path_option(name, text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

/// What is looked for in a header.
enum wanted : std::size_t { number, series, message_number, count, start, end, data, wanted_count };

/// What was found of it in one header.
struct header_fields {
  std::optional<std::uint64_t> number, series, message_number, count;
  bool start = false, end = false, data = false;
};

/// Follows all paths at once, as the fields of a header can be visited once only. Sets of paths are bits.
class path_walker {
 public:
  using path_set = unsigned;

  explicit path_walker(const raw_layout& layout) : layout_(layout) {
    const json_path none;
    auto marker = [&](const std::optional<raw_marker>& m) { return m ? m->path : none; };
    paths_ = {layout.number,        layout.series,      layout.message_number, layout.count,
              marker(layout.start), marker(layout.end), marker(layout.data)};
    for (std::size_t i = 0; i < wanted_count; ++i)
      if (!paths_[i].empty()) all_ |= 1U << i;
  }

  void take(std::string_view key, json::value value, header_fields& found) const {
    descend(matching(all_, 0, key), 1, value, found);
  }

 private:
  /// Those of `paths` that have `key` at `depth`.
  path_set matching(path_set paths, std::size_t depth, std::string_view key) const {
    path_set left = 0;
    for (std::size_t i = 0; i < wanted_count; ++i)
      if ((paths & 1U << i) && paths_[i].size() > depth && paths_[i][depth] == key) left |= 1U << i;
    return left;
  }

  /// Those of `paths` that end at `depth`.
  path_set ending(path_set paths, std::size_t depth) const {
    path_set left = 0;
    for (std::size_t i = 0; i < wanted_count; ++i)
      if ((paths & 1U << i) && paths_[i].size() == depth) left |= 1U << i;
    return left;
  }

  /// `value` is where `paths` lead with their first `depth` keys. A value that cannot be read ends the
  /// reading of the whole header, whose reader finds out by itself.
  void descend(path_set paths, std::size_t depth, json::value value, header_fields& found) const {
    if (!paths) return;
    json::json_type type;
    if (value.type().get(type)) return;
    if (type == json::json_type::object)
      descend_object(paths, depth, value, found);
    else if (type == json::json_type::array)
      descend_list(paths, depth, value, found);
    else if (auto here = ending(paths, depth))
      take_scalar(here, type, value, found);
  }

  void descend_object(path_set paths, std::size_t depth, json::value value, header_fields& found) const {
    json::object fields;
    if (value.get_object().get(fields)) return;
    for (auto field : fields) {
      std::string_view key;
      json::value content;
      if (field.unescaped_key().get(key) || field.value().get(content)) return;
      descend(matching(paths, depth, key), depth + 1, content, found);
    }
  }

  void descend_list(path_set paths, std::size_t depth, json::value value, header_fields& found) const {
    json::array items;
    if (value.get_array().get(items)) return;
    std::uint64_t place = 0;
    for (auto item : items) {
      json::value content;
      if (item.get(content)) return;
      char digits[20];
      auto last = std::to_chars(std::begin(digits), std::end(digits), place++).ptr;
      descend(matching(paths, depth, {digits, last}), depth + 1, content, found);
    }
  }

  void take_scalar(path_set here, json::json_type type, json::value value, header_fields& found) const {
    std::string_view text = trimmed(value.raw_json_token());
    auto n = type == json::json_type::number ? whole_number(value) : std::nullopt;
    if (type == json::json_type::string) text = text_of(value);
    for (std::size_t i = 0; i < wanted_count; ++i)
      if (here & 1U << i) take(static_cast<wanted>(i), text, n, found);
  }

  static std::string_view trimmed(std::string_view token) {
    return token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
  }

  void take(wanted what, std::string_view text, std::optional<std::uint64_t> n, header_fields& found) const {
    switch (what) {
    case number:
      found.number = n;
      return;
    case series:
      found.series = n;
      return;
    case message_number:
      found.message_number = n;
      return;
    case count:
      found.count = n;
      return;
    case start:
      found.start = text == layout_.start->content;
      return;
    case end:
      found.end = text == layout_.end->content;
      return;
    case data:
      found.data = text == layout_.data->content;
      return;
    case wanted_count:
      return;
    }
  }

  const raw_layout& layout_;
  std::array<json_path, wanted_count> paths_;
  path_set all_ = 0;
};

class raw final : public protocol {
 public:
  explicit raw(raw_layout layout)
      : layout_(std::move(layout)), type_(intern_type(layout_.type)), walker_(layout_) {}

  std::string_view name() const override { return "raw"; }
  std::string_view type_tag() const override { return type_; }
  bool numbered() const override { return !layout_.number.empty(); }
  bool has_start() const override { return layout_.start.has_value(); }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    header_fields fields;
    stream_packet packet;
    packet.fault = read_fields(message.frames(), fields);
    if (packet.fault) {
      packet.numbered = !numbered() && !layout_.data;
    } else {
      auto kind = kind_of(fields);
      if (!kind) return;
      number(packet, *kind, fields);
      if (!packet.fault) packet.data = std::move(message);
    }
    packets.push_back(std::move(packet));
  }

 private:
  std::optional<packet_fault> read_fields(std::span<const frame> parts, header_fields& fields) {
    if (parts.empty()) return packet_fault::truncated;
    if (!layout_.has_header()) return std::nullopt;
    if (parts.size() <= layout_.part) return packet_fault::truncated;
    return reader_.read(parts[layout_.part].text(),
                        [&](std::string_view key, json::value value) { walker_.take(key, value, fields); });
  }

  /// Nothing for what is no entry.
  std::optional<entry_kind> kind_of(const header_fields& fields) const {
    if (fields.start) return entry_kind::start;
    if (fields.end) return entry_kind::end;
    if (layout_.data && !fields.data) return std::nullopt;
    return entry_kind::data;
  }

  void number(stream_packet& packet, entry_kind kind, const header_fields& fields) const {
    bool usable = fields.number && *fields.number >= layout_.first;
    if (kind == entry_kind::data && numbered() && !usable) {
      packet.fault = packet_fault::unknown;
      packet.numbered = false;
      return;
    }
    packet.numbers.kind = kind;
    packet.numbers.series = fields.series;
    packet.numbers.message_number = fields.message_number;
    if (kind == entry_kind::data && usable) packet.numbers.number = *fields.number - layout_.first;
    if (kind == entry_kind::end) packet.numbers.count = fields.count;
  }

  const raw_layout layout_;
  const std::string_view type_;
  path_walker walker_; ///< of `layout_`
  json_header_reader reader_;
};

} // namespace

json_path parse_json_path(std::string_view text) {
  if (text.empty()) throw std::runtime_error("an empty path");
  json_path keys;
  if (text.front() == '/') {
    for (auto& key : split(text.substr(1), '/')) keys.push_back(unescaped(key));
  } else {
    keys = split(text, '.');
    for (auto& key : keys)
      if (key.empty()) throw std::runtime_error("'" + std::string(text) + "' has an empty key");
  }
  check_path(keys);
  return keys;
}

bool raw_layout::has_header() const {
  return !number.empty() || !series.empty() || !message_number.empty() || !count.empty() || start || end ||
         data;
}

raw_layout read_raw_layout(option_reader& options) {
  constexpr auto any = std::numeric_limits<std::uint64_t>::max();
  auto path = [&](const char* name) { return path_option(name, options.text(name)); };
  auto marker = [&](const char* name) { return marker_option(name, options.text(name)); };
  raw_layout layout;
  layout.type = options.text("type", std::string(raw_type_tag));
  layout.part = options.whole("part", 0, 0, part_limit);
  layout.number = path("number");
  layout.first = options.whole("first", 0, 0, any);
  layout.series = path("series");
  layout.message_number = path("message_number");
  layout.start = marker("start");
  layout.end = marker("end");
  layout.data = marker("data");
  layout.count = path("count");
  if (layout.type.empty()) throw std::runtime_error("option type: is empty");
  if (!layout.count.empty() && !layout.end)
    throw std::runtime_error("option count: is in an end, of which the option end says nothing");
  return layout;
}

std::unique_ptr<protocol> make_raw(const protocol_options& options) {
  option_reader reader(options);
  auto layout = read_raw_layout(reader);
  reader.finish();
  return std::make_unique<raw>(std::move(layout));
}

std::optional<raw_message> parse_raw_message(const stream_data& data, std::size_t part) {
  auto parts = data.frames();
  if (parts.size() <= part) return std::nullopt;
  auto header = json_to_value(parts[part].text());
  if (!header || !header->as_map()) return std::nullopt;
  return raw_message{*header->as_map(), parts};
}

bool set_at(value_map& header, std::span<const std::string> path, value content) {
  if (path.empty()) return false;
  auto found = header.find(path[0]);
  if (path.size() == 1) {
    if (found) return false;
    header.set(path[0], std::move(content));
    return true;
  }
  if (found && !found->as_map()) return false;
  value_map inner = found ? *found->as_map() : value_map();
  if (!set_at(inner, path.subspan(1), std::move(content))) return false;
  header.set(path[0], std::move(inner));
  return true;
}

} // namespace dtranspose
