/// Base64 (RFC 4648) with padding, as text of one line.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dtranspose {

/// Bytes that a text of that length decodes to at most.
constexpr std::size_t base64_bytes(std::size_t characters) { return characters / 4 * 3; }

/// Decodes into `to`, where `base64_bytes` fit, and returns how many there were; nothing when `text` is not
/// exactly base64.
std::optional<std::size_t> decode_base64(std::string_view text, std::byte* to);

/// Appends the encoded form.
void append_base64(std::string& out, std::span<const std::byte> bytes);

} // namespace dtranspose
