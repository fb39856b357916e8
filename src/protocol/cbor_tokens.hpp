/// CBOR read token by token, with limits: for the readers of formats that are written in it. Nothing is
/// allocated that the bytes merely announce, and nothing nests unless the reader does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace dtranspose::cbor {

/// What one step of the decoder found.
struct token {
  enum class kind : std::uint8_t {
    number,
    negative, ///< -1 - n
    real,
    bytes,
    text,
    byte_chunks, ///< byte strings follow, up to a stop
    text_chunks, ///< text strings follow, up to a stop
    array,
    map,
    tag,
    boolean,
    null, ///< also undefined
    stop,
  };

  kind what = kind::null;
  bool endless = false;      ///< arrays and maps: up to a stop
  std::uint64_t n = 0;       ///< value of a number or tag, length of an array or map; boolean: 0 or 1
  double real = 0;           ///< value of a real
  std::string_view run = {}; ///< content of bytes and text, where it lies in the input
};

using kind = token::kind;

/// Why reading cannot go on, and where. Never leaves the reader of a format.
struct unreadable {
  enum class reason : std::uint8_t {
    cut_off,   ///< the bytes end too early
    malformed, ///< no valid CBOR, or none of the form that was asked for
    too_much,  ///< more than our limits allow
  };

  std::size_t at = 0; ///< offset of the token, or of the end of the bytes
  reason why = reason::malformed;
  std::string what = {};
};

class token_reader {
 public:
  explicit token_reader(std::span<const std::byte> bytes, std::size_t offset = 0)
      : bytes_(bytes), end_(offset) {}

  /// Throws `unreadable` where there is none.
  token next();

  /// Complain about the token that was read last.
  [[noreturn]] void fail(std::string what) const {
    throw unreadable{begin_, unreadable::reason::malformed, std::move(what)};
  }
  [[noreturn]] void refuse(std::string what) const {
    throw unreadable{begin_, unreadable::reason::too_much, std::move(what)};
  }

  /// Offsets of the token that was read last, and of what follows it.
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return end_; }
  bool at_end() const { return end_ == bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// The first token from `t` on that is no tag; each tag must be one of `known`.
token without_tags(token_reader& in, token t, std::initializer_list<std::uint64_t> known);

/// What is left of an array or a map. Elements are to be read to their end before the next is asked for;
/// of a map, `next` is asked for the keys and the values are read from the reader.
class container {
 public:
  /// `limit`: how many elements (of a map: pairs) are taken.
  container(const token& start, std::uint64_t limit, token_reader& in);

  /// Reads the first token of the next element into `t`; false behind the last.
  bool next(token& t);

 private:
  [[noreturn]] void too_long() const;

  token_reader& in_;
  bool endless_;
  std::uint64_t left_;
  std::uint64_t limit_;
};

/// The array that `t` begins, of `least` to `most` elements. `what` names it in complaints.
container array_of(token_reader& in, const token& t, std::uint64_t least, std::uint64_t most,
                   const char* what);

/// The first token of an element that must be there.
token element(token_reader& in, container& array, const char* what);

/// Makes sure that there is no further element.
void close(token_reader& in, container& array);

/// Puts the chunks together that `start` announces: std::string or std::vector<std::byte>.
template <class String>
String joined(token_reader& in, const token& start, std::size_t limit) {
  String whole;
  auto expected = start.what == kind::text_chunks ? kind::text : kind::bytes;
  for (auto t = in.next(); t.what != kind::stop; t = in.next()) {
    if (t.what != expected) in.fail("a string with a chunk that is no string");
    if (t.run.size() > limit - whole.size()) in.refuse("a string that is too long");
    auto data = reinterpret_cast<const typename String::value_type*>(t.run.data());
    whole.insert(whole.end(), data, data + t.run.size());
  }
  return whole;
}

/// The text that `t` begins, in one piece or in chunks.
std::string short_text(token_reader& in, const token& t, std::size_t limit, const char* what);

/// Deepest nesting of arrays, maps and tags in what is skipped or converted: no instrument comes near it,
/// and recursion stays bounded.
inline constexpr int depth_limit = 64;

/// Reads to the end of the value that `t` begins, whatever it is. `tokens` is how many more may be skipped;
/// it is counted down.
void skip(token_reader& in, const token& t, std::uint64_t& tokens, int depth = 0);

} // namespace dtranspose::cbor
