#include "protocol/json_text.hpp"

#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

namespace dtranspose {

namespace {

namespace json = simdjson::ondemand;

/// Stands in for a bare token that is no JSON: a text that no valid text in JSON equals, as an escape of a
/// control character at its start is not what any of our senders writes.
constexpr std::string_view mark = "\\u0001dtranspose:";

/// Puts texts in the place of NaN and Infinity. Simple enough as texts are skipped and nothing else that is
/// valid has an N or I in it.
std::string with_marks(std::string_view text) {
  std::string out;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto rest = text.substr(i);
    if (quoted || (rest[0] != 'N' && rest[0] != 'I' && rest[0] != '-')) {
      if (rest[0] == '"') quoted = !quoted;
      out += rest[0];
      if (quoted && rest[0] == '\\' && rest.size() > 1) out += text[++i];
      continue;
    }
    std::string_view token;
    for (std::string_view candidate : {"NaN", "Infinity", "-Infinity"})
      if (rest.starts_with(candidate)) token = candidate;
    if (token.empty()) {
      out += rest[0];
      continue;
    }
    fmt::format_to(std::back_inserter(out), "\"{}{}\"", mark, token);
    i += token.size() - 1;
  }
  return out;
}

std::optional<double> marked(std::string_view text) {
  if (!text.starts_with("\x01"
                        "dtranspose:"))
    return std::nullopt;
  text.remove_prefix(12);
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

template <class Json>
bool convert(Json& in, value& out, int depth, std::size_t keys);

template <class Json>
bool convert_number(Json& in, value& out) {
  json::number number;
  if (in.get_number().get(number)) return false;
  switch (number.get_number_type()) {
  case json::number_type::signed_integer:
    out = number.get_int64();
    return true;
  case json::number_type::unsigned_integer:
    out = number.get_uint64();
    return true;
  default:
    out = number.get_double();
    return true;
  }
}

bool convert_text(std::string_view text, value& out) {
  if (auto number = marked(text))
    out = *number;
  else
    out = std::string(text);
  return true;
}

template <class Json>
bool convert_list(Json& in, value& out, int depth, std::size_t keys) {
  json::array items;
  if (in.get_array().get(items)) return false;
  value_list list;
  for (auto item : items) {
    json::value content;
    if (item.get(content) || !convert(content, list.emplace_back(), depth + 1, keys)) return false;
  }
  out = std::move(list);
  return true;
}

template <class Json>
bool convert_object(Json& in, value& out, int depth, std::size_t keys) {
  json::object fields;
  if (in.get_object().get(fields)) return false;
  value_map map;
  for (auto field : fields) {
    std::string_view key;
    json::value content;
    if (map.size() == keys || field.unescaped_key().get(key)) return false;
    std::string name(key);
    value converted;
    if (field.value().get(content) || !convert(content, converted, depth + 1, keys)) return false;
    map.set(name, std::move(converted));
  }
  out = std::move(map);
  return true;
}

template <class Json>
bool convert(Json& in, value& out, int depth, std::size_t keys) {
  if (depth > json_depth_limit) return false;
  json::json_type type;
  if (in.type().get(type)) return false;
  switch (type) {
  case json::json_type::object:
    return convert_object(in, out, depth, keys);
  case json::json_type::array:
    return convert_list(in, out, depth, keys);
  case json::json_type::number:
    return convert_number(in, out);
  case json::json_type::string: {
    std::string_view text;
    return !in.get_string().get(text) && convert_text(text, out);
  }
  case json::json_type::boolean: {
    bool flag = false;
    if (in.get_bool().get(flag)) return false;
    out = flag;
    return true;
  }
  case json::json_type::null: {
    out = value();
    bool null = false;
    return !simdjson::simdjson_result<bool>(in.is_null()).get(null) && null;
  }
  }
  return false;
}

std::optional<value> parse(std::string_view text, std::size_t keys) {
  thread_local json::parser parser;
  simdjson::padded_string padded(text);
  json::document document;
  if (parser.iterate(padded).get(document)) return std::nullopt;
  value out;
  if (!convert(document, out, 0, keys)) return std::nullopt;
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) return std::nullopt;
  return out;
}

} // namespace

std::optional<value> json_to_value(std::string_view text, std::size_t limit, std::size_t keys_limit) {
  if (text.size() > limit) return std::nullopt;
  if (auto found = parse(text, keys_limit)) return found;
  auto has = [&](const char* token) { return text.find(token) != std::string_view::npos; };
  return has("NaN") || has("Infinity") ? parse(with_marks(text), keys_limit) : std::nullopt;
}

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  out += '"';
}

} // namespace dtranspose
