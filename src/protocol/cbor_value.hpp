/// CBOR to and from values: metadata of streams for analyses, and messages for senders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "model/value.hpp"
#include "protocol/cbor_tokens.hpp"

namespace dtranspose {

/// The one value that `bytes` hold; nothing if they hold anything else or more than the limits allow.
/// Callable from any thread.
///
/// | CBOR                                       | value                                              |
/// | ------------------------------------------ | -------------------------------------------------- |
/// | whole number                               | int64, uint64 where it needs it, else float64      |
/// | any other number                           | float64                                            |
/// | null, undefined                            | null                                               |
/// | boolean, text, bytes, array                | bool, text, bytes, list                            |
/// | map                                        | map; a key that is a whole number becomes its text |
/// | tags 64 to 86 with bytes (RFC 8746)        | array of one dimension, little endian              |
/// | tag 40 with shape and array                | array of that shape                                |
/// | any other tag, and those in any other form | what it stands before                              |
///
/// Pairs of a map with a key of any other sort are left out; of keys that occur twice the last holds.
/// Elements of 16 or 128 bits of floating-point stay bytes: there is no element type for them.
std::optional<value> cbor_to_value(std::span<const std::byte> bytes);

namespace cbor {

/// Values in one conversion; far above any instrument's, and some 50 MB at the worst.
inline constexpr std::uint64_t value_limit = 1 << 20;
/// Keys of one map: finding one among them takes as many steps.
inline constexpr std::uint64_t key_limit = 1024;

/// The value that `t` begins. `values` is how many more may be made; it is counted down. Throws
/// `unreadable`.
value read_value(token_reader& in, const token& t, std::uint64_t& values, int depth = 0);

/// Elements of a typed array.
struct element_type {
  dtype type = dtype::uint8;
  bool big_endian = false;
};

/// What that tag of RFC 8746 stands for; nothing for other tags and for elements that we have no type for.
std::optional<element_type> element_type_of(std::uint64_t tag);
/// The other way, little endian.
std::uint64_t tag_of(dtype type);

/// Turns the bytes of each element of `elements` round.
void swap_bytes(std::span<std::byte> elements, std::size_t element_size);

/// Appends items to `out`, with the shortest heads and definite lengths.
class writer {
 public:
  explicit writer(std::vector<std::byte>& out) : out_(out) {}

  void number(std::uint64_t n) { head(0, n); }
  void tag(std::uint64_t n) { head(6, n); }
  /// So many items follow.
  void array(std::uint64_t items) { head(4, items); }
  /// So many pairs of key and value follow.
  void map(std::uint64_t pairs) { head(5, pairs); }
  void bytes(std::span<const std::byte> content);
  void text(std::string_view content);
  void write(const value& content);

 private:
  void head(unsigned major, std::uint64_t n);
  void fixed(unsigned first, std::uint64_t bits, int bytes);
  void write_array(const dtranspose::array& content);

  std::vector<std::byte>& out_;
};

} // namespace cbor

} // namespace dtranspose
