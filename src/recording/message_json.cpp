#include "recording/message_json.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "model/value_json.hpp"
#include "protocol/cbor_value.hpp"
#include "protocol/pickle.hpp"
#include "recording/capture.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t shown_parts = 10;
/// Of bytes that are not understood: enough to recognise a format.
constexpr std::size_t shown_bytes = 72;
/// Longest part that is looked into, and longest text that it may become.
constexpr std::size_t longest_part = 64 << 10, longest_text = 8 << 10;

bool is_printable(std::byte b) { return b >= std::byte{0x20} && b < std::byte{0x7f}; }

std::optional<ordered_json> as_value(const value& content) {
  auto text = to_json(content);
  if (text.size() > longest_text) return std::nullopt;
  auto parsed = ordered_json::parse(text, nullptr, false);
  return parsed.is_discarded() ? std::nullopt : std::optional(std::move(parsed));
}

std::optional<ordered_json> as_json(const frame& part) {
  auto text = part.text();
  auto begin = text.find_first_not_of(" \t\r\n");
  if (text.size() > longest_text || begin == text.npos || (text[begin] != '{' && text[begin] != '['))
    return std::nullopt;
  auto parsed = ordered_json::parse(text, nullptr, false);
  return parsed.is_discarded() ? std::nullopt : std::optional(std::move(parsed));
}

std::optional<ordered_json> as_cbor(const frame& part) {
  constexpr std::byte map{0xa0}, major_type{0xe0}, tag_of_two_bytes{0xd9};
  auto first = part.bytes()[0];
  if ((first & major_type) != map && first != tag_of_two_bytes) return std::nullopt;
  auto content = cbor_to_value(part.bytes());
  return content ? as_value(*content) : std::nullopt;
}

std::optional<ordered_json> as_pickle(const frame& part) {
  if (!is_pickle(part.bytes())) return std::nullopt;
  try {
    return as_value(read_pickle(part.bytes()));
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

ordered_json json_of_part(const frame& part) {
  if (part.size() > 0 && part.size() <= longest_part)
    for (auto read : {as_json, as_cbor, as_pickle})
      if (auto json = read(part)) return std::move(*json);
  return beginning_of(part);
}

} // namespace

ordered_json beginning_of(const frame& part) {
  auto bytes = part.bytes().first(std::min(part.size(), shown_bytes));
  auto printable = static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), is_printable));
  std::string text;
  if (printable * 2 >= bytes.size())
    for (auto b : bytes) text += is_printable(b) ? static_cast<char>(b) : '.';
  else
    for (auto b : bytes.first(std::min<std::size_t>(bytes.size(), 24)))
      text += fmt::format("{:02x} ", std::to_integer<unsigned>(b));
  if (text.ends_with(' ')) text.pop_back();
  return {{"bytes", part.size()}, {"begins", text}};
}

ordered_json json_of_message(const stream_data& message) {
  auto parts = ordered_json::array();
  auto frames = message.frames();
  for (auto& part : frames.first(std::min(frames.size(), shown_parts))) parts.push_back(json_of_part(part));
  return parts;
}

} // namespace dtranspose
