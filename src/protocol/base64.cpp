#include "protocol/base64.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace dtranspose {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Set in the entry of every character that is no digit.
constexpr std::uint8_t no_digit = 64;

constexpr auto digits = [] {
  std::array<std::uint8_t, 256> table{};
  for (auto& digit : table) digit = no_digit;
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return table;
}();

std::uint8_t digit_of(char character) { return digits[static_cast<unsigned char>(character)]; }

} // namespace

std::optional<std::size_t> decode_base64(std::string_view text, std::byte* to) {
  if (text.size() % 4 != 0) return std::nullopt;
  auto begin = to;
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    auto left = i + 4 == text.size() ? 4 - padding : 4;
    std::uint32_t bits = 0;
    std::uint8_t seen = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      auto digit = k < left ? digit_of(text[i + k]) : std::uint8_t{0};
      seen |= digit;
      bits = bits << 6 | (digit & 63);
    }
    if (seen & no_digit) return std::nullopt;
    for (std::size_t k = 0; k + 1 < left; ++k) *to++ = static_cast<std::byte>(bits >> (16 - 8 * k));
  }
  return static_cast<std::size_t>(to - begin);
}

void append_base64(std::string& out, std::span<const std::byte> bytes) {
  for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(3, bytes.size()))) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (k < bytes.size() ? std::to_integer<std::uint32_t>(bytes[k]) : 0);
    for (std::size_t k = 0; k < 4; ++k) out += k <= bytes.size() ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
  }
}

} // namespace dtranspose
