/// JSON texts to and from values: metadata of streams for analyses, and headers for senders.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "model/value.hpp"

namespace dtranspose {

/// Longest header that is read. Most are some 100 bytes; a generous list of time stamps or spots still fits,
/// and nobody makes us index gigabytes of JSON.
inline constexpr std::size_t json_header_limit = 1 << 20;
/// Deepest nesting that is read: no header comes near it, and recursion stays bounded.
inline constexpr int json_depth_limit = 64;
/// Most entries of one object: finding the one of a name takes as long as there are entries.
inline constexpr std::size_t json_keys_limit = 1024;

/// The value that `text` stands for; nothing if it is no JSON, nested deeper than `json_depth_limit`,
/// longer than `limit` or with more than `keys_limit` entries in one object. Whole numbers become int64, or
/// uint64 where they need it; others float64. The bare tokens NaN, Infinity and -Infinity, which Python
/// writes, are read as such. Of keys that occur twice the last holds. Callable from any thread.
std::optional<value> json_to_value(std::string_view text, std::size_t limit = json_header_limit,
                                   std::size_t keys_limit = json_keys_limit);

/// Appends `text` in quotes, with what JSON wants escaped. What is not UTF-8 is passed on as it is.
void append_json_text(std::string& out, std::string_view text);

} // namespace dtranspose
