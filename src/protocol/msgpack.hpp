/// MessagePack to and from values: a small reader that takes nothing on trust.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// Deepest nesting that is read, so that recursion stays bounded.
inline constexpr int msgpack_depth_limit = 64;
/// Most values in one object: each takes some 40 bytes of memory where it may have taken one of the message.
inline constexpr std::size_t msgpack_value_limit = std::size_t{1} << 22;
/// Most comparisons of keys for all maps of an object: a `value_map` is searched from its beginning. Enough
/// for 5,000 keys in one map.
inline constexpr std::uint64_t msgpack_comparison_limit = std::uint64_t{1} << 24;

/// The object in `bytes`, which hold one and nothing else; nothing if they are malformed, beyond the limits
/// above, or have extension types. Callable from any thread.
///
/// | MessagePack               | value                                                              |
/// | ------------------------- | ------------------------------------------------------------------ |
/// | nil, boolean, floats, str | null, bool, float64, text                                          |
/// | integers                  | int64, or uint64 where it needs it                                 |
/// | bin                       | bytes                                                              |
/// | array                     | list                                                               |
/// | map                       | map; keys are str, or bin, which become text; of equals the last   |
/// | map of the Python module  | array, if little endian and of one of our types; a NumPy scalar is |
/// | msgpack_numpy             | a number                                                           |
std::optional<value> read_msgpack(std::span<const std::byte> bytes);

/// Arrays are written as msgpack_numpy does.
std::vector<std::byte> write_msgpack(const value& content);

} // namespace dtranspose
