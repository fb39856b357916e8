#include "protocol/pickle.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "protocol/array_view.hpp"

namespace dtranspose {

namespace {

static_assert(std::endian::native == std::endian::little);

// ---- The wire format ------------------------------------------------------------------------------------

/// The opcodes of the subset. Integers in arguments are little endian, but doubles are big endian.
enum class opcode : std::uint8_t {
  proto = 0x80,            // u8, first of all
  frame = 0x95,            // u64: a hint of how many bytes follow
  stop = 0x2e,             // the result is what is left on the stack
  mark = 0x28,             //
  pop = 0x30,              // of the topmost value or mark
  pop_mark = 0x31,         // of everything down to the mark
  dup = 0x32,              //
  none = 0x4e,             //
  newtrue = 0x88,          //
  newfalse = 0x89,         //
  binint1 = 0x4b,          // u8
  binint2 = 0x4d,          // u16
  binint = 0x4a,           // i32
  long1 = 0x8a,            // u8 n, n bytes of two's complement
  long4 = 0x8b,            // i32 n, n bytes of two's complement
  binfloat = 0x47,         // f64, big endian
  binunicode = 0x58,       // u32 n, n bytes of UTF-8
  short_binunicode = 0x8c, // u8 n
  binunicode8 = 0x8d,      // u64 n
  short_binbytes = 0x43,   // u8 n, n bytes
  binbytes = 0x42,         // u32 n
  binbytes8 = 0x8e,        // u64 n
  bytearray8 = 0x96,       // u64 n
  short_binstring = 0x55,  // u8 n, n bytes: a text of Python 2
  binstring = 0x54,        // i32 n
  empty_tuple = 0x29,      //
  tuple1 = 0x85,           // of the topmost value
  tuple2 = 0x86,           // of two
  tuple3 = 0x87,           // of three
  tuple = 0x74,            // of all down to the mark
  empty_list = 0x5d,       //
  list = 0x6c,             // of all down to the mark
  append = 0x61,           // of the topmost value to the list below
  appends = 0x65,          // of all down to the mark
  empty_dict = 0x7d,       //
  dict = 0x64,             // of the pairs down to the mark
  setitem = 0x73,          // key and value on top, into the dict below
  setitems = 0x75,         // of the pairs down to the mark
  empty_set = 0x8f,        //
  additems = 0x90,         // of all down to the mark
  frozenset = 0x91,        // of all down to the mark
  binput = 0x71,           // u8: what is on top becomes that entry of the memo
  long_binput = 0x72,      // u32
  memoize = 0x94,          // as entry number n, when there are n
  binget = 0x68,           // u8: that entry of the memo
  long_binget = 0x6a,      // u32
  global = 0x63,           // module LF name LF
  stack_global = 0x93,     // of the module and name on top
  reduce = 0x52,           // call of the symbol below with the tuple on top
  build = 0x62,            // of the state on top into the array or dtype below
};

/// What may be called, as data.
enum class symbol : std::uint8_t {
  ordered_dict,
  encode,
  bytes,
  bytearray,
  complex,
  ndarray,
  dtype,
  reconstruct,
  scalar,
  frombuffer,
};

struct named_symbol {
  std::string_view module, name;
  symbol what;
};

constexpr named_symbol symbols[] = {
    {"collections", "OrderedDict", symbol::ordered_dict},
    {"_codecs", "encode", symbol::encode},
    {"__builtin__", "bytes", symbol::bytes},
    {"builtins", "bytes", symbol::bytes},
    {"__builtin__", "bytearray", symbol::bytearray},
    {"builtins", "bytearray", symbol::bytearray},
    {"__builtin__", "complex", symbol::complex},
    {"builtins", "complex", symbol::complex},
    {"numpy", "ndarray", symbol::ndarray},
    {"numpy", "dtype", symbol::dtype},
    {"numpy.core.multiarray", "_reconstruct", symbol::reconstruct},
    {"numpy._core.multiarray", "_reconstruct", symbol::reconstruct},
    {"numpy.core.multiarray", "scalar", symbol::scalar},
    {"numpy._core.multiarray", "scalar", symbol::scalar},
    {"numpy.core.numeric", "_frombuffer", symbol::frombuffer},
    {"numpy._core.numeric", "_frombuffer", symbol::frombuffer},
};

std::optional<symbol> find_symbol(std::string_view module, std::string_view name) {
  for (auto& known : symbols)
    if (known.module == module && known.name == name) return known.what;
  return std::nullopt;
}

/// The beginning of a name from outside, fit for a message.
std::string printable(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string out(text.substr(0, longest));
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return text.size() > longest ? out + "..." : out;
}

[[noreturn]] void refuse(std::string_view what, std::size_t offset) {
  throw pickle_error(fmt::format("{} at byte {}", what, offset));
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- UTF-8 ----------------------------------------------------------------------------------------------

/// Takes the code point at the beginning of `text` off it; nothing if none is there.
std::optional<char32_t> take_code_point(std::string_view& text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return std::nullopt;
  const auto first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return std::nullopt;
  char32_t point = length == 1 ? first : first & (0x7f >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (byte(i) & 0x3f);
  }
  constexpr std::array<char32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return std::nullopt;
  text.remove_prefix(length);
  return point;
}

bool is_utf8(std::string_view text) {
  while (!text.empty())
    if (!take_code_point(text)) return false;
  return true;
}

/// Appends a code point that there is.
void append_code_point(std::string& out, char32_t point) {
  auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3f)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    tail(12), tail(6), tail(0);
  }
}

/// The bytes whose numbers are the code points of a text, as `_codecs.encode(text, "latin1")`; nothing if
/// one of them is no byte.
std::optional<std::vector<std::byte>> latin1(std::string_view text) {
  std::vector<std::byte> bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    auto point = take_code_point(text);
    if (!point || *point > 0xff) return std::nullopt;
    bytes.push_back(static_cast<std::byte>(*point));
  }
  return bytes;
}

// ---- Python's names of keys -----------------------------------------------------------------------------

/// `repr` of a float.
std::string python_float(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  auto text = fmt::format("{}", x);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}

/// `repr` of bytes.
std::string python_bytes(std::string_view bytes) {
  const char quote =
      bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out = "b";
  out += quote;
  for (char c : bytes) {
    if (c == quote || c == '\\')
      (out += '\\') += c;
    else if (c == '\t')
      out += "\\t";
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c < 0x20 || c > 0x7e)
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out += quote;
}

// ---- Input ----------------------------------------------------------------------------------------------

/// The bytes of a pickle, taken from the front.
class input {
 public:
  explicit input(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t offset() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  std::span<const std::byte> take(std::uint64_t n) {
    if (n > left()) refuse(fmt::format("the pickle is cut short: {} of {} bytes are there", left(), n), at_);
    auto taken = bytes_.subspan(at_, static_cast<std::size_t>(n));
    at_ += taken.size();
    return taken;
  }

  /// A whole number, little endian.
  template <class T>
  T number() {
    T x;
    std::memcpy(&x, take(sizeof x).data(), sizeof x);
    return x;
  }

  /// Up to the next line feed, which is taken too.
  std::string_view line() {
    auto rest = text_of(bytes_.subspan(at_));
    auto end = rest.find('\n');
    if (end == std::string_view::npos) refuse("the pickle is cut short: a line without an end", at_);
    at_ += end + 1;
    return rest.substr(0, end);
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// Two's complement, little endian; nothing if 64 bits don't hold it.
struct wide_number {
  std::uint64_t bits = 0;
  bool is_signed = true;
};

std::optional<wide_number> two_complement(std::span<const std::byte> bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{};
  const auto sign = negative ? std::byte{0xff} : std::byte{};
  std::array<std::byte, 8> low;
  low.fill(sign);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i < low.size())
      low[i] = bytes[i];
    else if (bytes[i] != sign)
      return std::nullopt;
  }
  wide_number number{std::bit_cast<std::uint64_t>(low), true};
  const bool top = (number.bits >> 63) != 0;
  if (top && !negative) number.is_signed = false;
  return !top && negative ? std::nullopt : std::optional(number);
}

// ---- Objects --------------------------------------------------------------------------------------------

enum class kind : std::uint8_t {
  none,
  boolean,
  whole,   ///< int64 in `bits`
  natural, ///< uint64 in `bits`, beyond int64
  real,    ///< double in `bits`
  text,    ///< valid UTF-8
  bytes,
  tuple, ///< from here on: `bits` is the index of a container
  list,
  set,
  dict, ///< keys and values by turns
  complex,
  array, ///< `bits` is the index of an array
  dtype, ///< `bits` is the index of an element type
  symbol,
};

using object_id = std::uint32_t;

struct object {
  std::uint64_t bits = 0;          ///< of a scalar, index, or length
  const std::byte* data = nullptr; ///< of texts and bytes: in the pickle, or made by the machine
  std::uint32_t offset = 0;        ///< of the opcode that made it
  dtranspose::kind kind = kind::none;
};

bool is_container(kind k) { return k >= kind::tuple && k <= kind::complex; }

/// An element type of NumPy: a letter and a size in bytes. The size of texts is that of all their characters.
struct element_type {
  char letter = 0;
  std::uint64_t size = 0;
  bool big_endian = false;
  bool built = false; ///< its state was applied
};

bool is_text(const element_type& type) { return type.letter == 'S' || type.letter == 'U'; }

/// A NumPy array. Everything but the tuple's contents is fixed when it is filled.
struct array_object {
  bool filled = false;
  bool fortran = false;
  object_id type = 0;
  object_id shape = 0; ///< a tuple of whole numbers, checked
  std::span<const std::byte> data;
};

std::string_view name_of(kind k) {
  constexpr std::string_view names[] = {"None",   "a bool",    "an int",   "an int",  "a float",
                                        "a text", "bytes",     "a tuple",  "a list",  "a set",
                                        "a dict", "a complex", "an array", "a dtype", "a global"};
  return names[static_cast<std::size_t>(k)];
}

/// Where objects live, by id. They all go at once: nothing recurses.
class heap {
 public:
  explicit heap(std::size_t pickle_bytes)
      : made_limit_(pickle_growth_limit * pickle_bytes + pickle_growth_allowance) {}

  object_id add(kind k, std::uint64_t bits, std::size_t offset, const std::byte* data = nullptr) {
    if (objects_.size() == pickle_value_limit)
      refuse(fmt::format("more than {} objects", pickle_value_limit), offset);
    objects_.push_back({bits, data, static_cast<std::uint32_t>(offset), k});
    return static_cast<object_id>(objects_.size() - 1);
  }
  object_id add_bytes(kind k, std::span<const std::byte> bytes, std::size_t offset) {
    return add(k, bytes.size(), offset, bytes.data());
  }
  object_id add_container(kind k, std::vector<object_id> items, std::size_t offset) {
    containers_.push_back(std::move(items));
    return add(k, containers_.size() - 1, offset);
  }
  object_id add_type(element_type type, std::size_t offset) {
    types_.push_back(type);
    return add(kind::dtype, types_.size() - 1, offset);
  }
  object_id add_array(std::size_t offset) {
    arrays_.emplace_back();
    return add(kind::array, arrays_.size() - 1, offset);
  }

  /// Counts what a call makes or goes through: calls that share their arguments could do so without end.
  void charge(std::size_t bytes, std::size_t offset) {
    made_ += bytes;
    if (made_ > made_limit_) refuse(fmt::format("calls make more than {} bytes", made_limit_), offset);
  }
  /// Bytes that are not in the pickle.
  std::span<const std::byte> keep(std::vector<std::byte> bytes) {
    return kept_.emplace_back(std::move(bytes));
  }

  std::size_t containers() const { return containers_.size(); }
  const object& operator[](object_id id) const { return objects_[id]; }
  std::vector<object_id>& items(object_id id) { return containers_[objects_[id].bits]; }
  const std::vector<object_id>& items(object_id id) const { return containers_[objects_[id].bits]; }
  element_type& type(object_id id) { return types_[objects_[id].bits]; }
  const element_type& type(object_id id) const { return types_[objects_[id].bits]; }
  array_object& array(object_id id) { return arrays_[objects_[id].bits]; }
  const array_object& array(object_id id) const { return arrays_[objects_[id].bits]; }

  std::span<const std::byte> bytes(object_id id) const {
    auto& x = objects_[id];
    return {x.data, static_cast<std::size_t>(x.bits)};
  }
  std::string_view text(object_id id) const { return text_of(bytes(id)); }
  bool is(object_id id, kind k) const { return objects_[id].kind == k; }
  bool is_text(object_id id, std::string_view text) const {
    return is(id, kind::text) && this->text(id) == text;
  }

 private:
  std::vector<object> objects_;
  std::vector<std::vector<object_id>> containers_;
  std::vector<element_type> types_;
  std::vector<array_object> arrays_;
  std::deque<std::vector<std::byte>> kept_;
  std::size_t made_ = 0, made_limit_;
};

/// Extents of a shape that was checked.
std::vector<std::uint64_t> extents(const heap& objects, object_id shape) {
  std::vector<std::uint64_t> out;
  for (auto id : objects.items(shape)) out.push_back(objects[id].bits);
  return out;
}

// ---- Calls ----------------------------------------------------------------------------------------------

/// The few calls that are data, and what BUILD does.
class caller {
 public:
  caller(heap& objects, std::size_t offset) : objects_(objects), offset_(offset) {}

  object_id call(symbol what, object_id arguments) {
    auto& given = objects_.items(arguments);
    switch (what) {
    case symbol::ordered_dict:
      return ordered_dict(given);
    case symbol::encode:
      return encode(given);
    case symbol::bytes:
      require(given.empty(), "bytes() with arguments");
      return objects_.add_bytes(kind::bytes, {}, offset_);
    case symbol::bytearray:
      return bytearray(given);
    case symbol::complex:
      return complex(given);
    case symbol::dtype:
      return dtype(given);
    case symbol::reconstruct:
      return reconstruct(given);
    case symbol::scalar:
      return scalar(given);
    case symbol::frombuffer:
      return frombuffer(given);
    case symbol::ndarray:
      break;
    }
    refuse("a call of numpy.ndarray", offset_);
  }

  void build(object_id target, object_id state) {
    require(objects_.is(state, kind::tuple), "BUILD with a state that is no tuple");
    if (objects_.is(target, kind::dtype))
      build_type(objects_.type(target), objects_.items(state));
    else if (objects_.is(target, kind::array))
      build_array(objects_.array(target), objects_.items(state));
    else
      refuse(fmt::format("BUILD of {}", name_of(objects_[target].kind)), offset_);
  }

 private:
  using arguments = std::vector<object_id>;

  void require(bool condition, std::string_view otherwise) const {
    if (!condition) refuse(otherwise, offset_);
  }

  object_id ordered_dict(const arguments& given) {
    std::vector<object_id> items;
    if (!given.empty()) {
      require(given.size() == 1 && objects_.is(given[0], kind::list),
              "OrderedDict() of something other than a list");
      objects_.charge(2 * sizeof(object_id) * objects_.items(given[0]).size(), offset_);
      for (auto pair : objects_.items(given[0])) {
        require((objects_.is(pair, kind::list) || objects_.is(pair, kind::tuple)) &&
                    objects_.items(pair).size() == 2,
                "OrderedDict() of something other than pairs");
        items.insert(items.end(), objects_.items(pair).begin(), objects_.items(pair).end());
      }
    }
    return objects_.add_container(kind::dict, std::move(items), offset_);
  }

  object_id encode(const arguments& given) {
    require(given.size() == 2 && objects_.is(given[0], kind::text) && objects_.is(given[1], kind::text),
            "_codecs.encode() of something other than two texts");
    if (!objects_.is_text(given[1], "latin1"))
      refuse(fmt::format("_codecs.encode() to '{}'", printable(objects_.text(given[1]))), offset_);
    auto text = objects_.text(given[0]);
    objects_.charge(text.size(), offset_);
    auto bytes = latin1(text);
    require(bytes.has_value(), "_codecs.encode() of a text that is not latin1");
    return objects_.add_bytes(kind::bytes, objects_.keep(std::move(*bytes)), offset_);
  }

  object_id bytearray(const arguments& given) {
    if (given.empty()) return objects_.add_bytes(kind::bytes, {}, offset_);
    require(given.size() == 1 && objects_.is(given[0], kind::bytes),
            "bytearray() of something other than bytes");
    return objects_.add_bytes(kind::bytes, objects_.bytes(given[0]), offset_);
  }

  object_id complex(const arguments& given) {
    require(given.size() == 2 && objects_.is(given[0], kind::real) && objects_.is(given[1], kind::real),
            "complex() of something other than two floats");
    return objects_.add_container(kind::complex, {given[0], given[1]}, offset_);
  }

  bool is_flag(object_id id) const {
    auto& x = objects_[id];
    return x.kind == kind::boolean || (x.kind == kind::whole && x.bits <= 1);
  }

  object_id dtype(const arguments& given) {
    require(given.size() == 3 && (objects_.is(given[0], kind::text) || objects_.is(given[0], kind::bytes)) &&
                is_flag(given[1]) && is_flag(given[2]),
            "dtype() of something other than a text and two flags");
    auto code = objects_.text(given[0]);
    auto type = element_type_of(code);
    if (!type) refuse(fmt::format("the dtype '{}', which is not read as data,", printable(code)), offset_);
    return objects_.add_type(*type, offset_);
  }

  /// `b1`, `i4`, `S12`, ...: nothing for types that are none of ours.
  static std::optional<element_type> element_type_of(std::string_view code) {
    constexpr std::string_view numbers[] = {"b1", "i1", "i2", "i4", "i8", "u1", "u2",
                                            "u4", "u8", "f2", "f4", "f8", "c8", "c16"};
    if (code.size() < 2 || code.size() > 10) return std::nullopt;
    std::uint64_t size = 0;
    for (char c : code.substr(1)) {
      if (c < '0' || c > '9') return std::nullopt;
      size = size * 10 + static_cast<std::uint64_t>(c - '0');
    }
    const char letter = code[0];
    if (letter == 'S') return element_type{letter, size};
    if (letter == 'U') return element_type{letter, 4 * size};
    const bool known = std::find(std::begin(numbers), std::end(numbers), code) != std::end(numbers);
    return known ? std::optional(element_type{letter, size}) : std::nullopt;
  }

  /// (version, order, subdtype, names, fields, elsize, alignment, flags); a version 4 has metadata at its end
  /// and is only written for dates.
  void build_type(element_type& type, const arguments& state) {
    require(!type.built, "a second state of a dtype");
    require(state.size() == 8 && is_whole(state[0], 3), "a state of a dtype that is not of version 3");
    require(objects_.is(state[1], kind::text) || objects_.is(state[1], kind::bytes),
            "a dtype without a byte order");
    for (std::size_t i = 2; i < 5; ++i) require(objects_.is(state[i], kind::none), "a dtype of records");
    require(is_whole(state[5], -1) || is_whole(state[5], static_cast<std::int64_t>(type.size)),
            "a dtype of contradicting sizes");
    require(objects_.is(state[6], kind::whole) && objects_.is(state[7], kind::whole),
            "a dtype without flags");
    auto order = objects_.text(state[1]);
    const bool unordered = type.size == 1 || type.letter == 'S';
    require(order == "<" || order == ">" || order == "=" || (order == "|" && unordered),
            "a dtype of an unknown byte order");
    type.big_endian = order == ">";
    type.built = true;
  }

  bool is_whole(object_id id, std::int64_t number) const {
    return objects_.is(id, kind::whole) && static_cast<std::int64_t>(objects_[id].bits) == number;
  }

  object_id reconstruct(const arguments& given) {
    require(given.size() == 3 && objects_.is(given[0], kind::symbol) &&
                objects_[given[0]].bits == static_cast<std::uint64_t>(symbol::ndarray),
            "_reconstruct() of something other than numpy.ndarray");
    require(objects_.is(given[1], kind::tuple) && objects_.items(given[1]).size() == 1 &&
                is_whole(objects_.items(given[1])[0], 0),
            "_reconstruct() with a shape other than (0,)");
    require((objects_.is(given[2], kind::text) || objects_.is(given[2], kind::bytes)) &&
                objects_.text(given[2]) == "b",
            "_reconstruct() with a type other than 'b'");
    return objects_.add_array(offset_);
  }

  /// (1, shape, dtype, whether it is in Fortran's order, data)
  void build_array(array_object& array, const arguments& state) {
    require(!array.filled, "a second state of an array");
    require(state.size() == 5 && is_whole(state[0], 1), "a state of an array that is not of version 1");
    require(is_flag(state[3]), "an array without an order");
    fill(array, state[4], state[2], state[1], objects_[state[3]].bits != 0);
  }

  /// (bytes, dtype, shape, "C" or "F"). NumPy 2 adds the sense of "K" as a fifth, which isn't confirmed.
  object_id frombuffer(const arguments& given) {
    require(given.size() == 4, "_frombuffer() of something other than four arguments");
    const bool fortran = objects_.is_text(given[3], "F");
    require(fortran || objects_.is_text(given[3], "C"), "_frombuffer() in an order other than C or F");
    auto id = objects_.add_array(offset_);
    fill(objects_.array(id), given[0], given[1], given[2], fortran);
    return id;
  }

  void fill(array_object& array, object_id data, object_id type, object_id shape, bool fortran) {
    require(objects_.is(type, kind::dtype), "an array without a dtype");
    require(objects_.is(data, kind::bytes), "an array whose data are no bytes");
    require(objects_.is(shape, kind::tuple) && objects_.items(shape).size() <= dimension_limit,
            "an array without a shape");
    std::uint64_t announced = objects_.type(type).size;
    bool empty = false;
    for (auto extent : objects_.items(shape)) {
      require(objects_.is(extent, kind::whole) && static_cast<std::int64_t>(objects_[extent].bits) >= 0,
              "an array without a shape");
      empty = empty || objects_[extent].bits == 0;
      announced = saturating_product(announced, objects_[extent].bits);
    }
    if (empty) announced = 0;
    auto bytes = objects_.bytes(data);
    if (bytes.size() != announced)
      refuse(fmt::format("an array of {} bytes, with {} announced,", bytes.size(), announced), offset_);
    array = {true, fortran, type, shape, bytes};
  }

  object_id scalar(const arguments& given) {
    require(given.size() == 2 && objects_.is(given[0], kind::dtype) && objects_.is(given[1], kind::bytes),
            "scalar() of something other than a dtype and bytes");
    auto& type = objects_.type(given[0]);
    auto bytes = objects_.bytes(given[1]);
    if (bytes.size() != type.size)
      refuse(fmt::format("a scalar of {} bytes, with {} announced,", bytes.size(), type.size), offset_);
    return scalar_of(type, bytes);
  }

  object_id scalar_of(const element_type& type, std::span<const std::byte> bytes);

  heap& objects_;
  std::size_t offset_;
};

// ---- Elements of arrays ---------------------------------------------------------------------------------

/// A number of any type, little endian whatever it was.
template <class T>
T load(const std::byte* from, bool big_endian) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if (big_endian) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

/// IEEE's 16 bits.
float half(std::uint16_t bits) {
  const auto exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  const auto sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  if (exponent == 0) {
    auto size = std::ldexp(static_cast<float>(fraction), -24);
    return sign ? -size : size;
  }
  const auto wide = exponent == 0x1f ? 0xffU : static_cast<std::uint32_t>(exponent) + 112;
  return std::bit_cast<float>(sign | wide << 23 | static_cast<std::uint32_t>(fraction) << 13);
}

double load_float(const element_type& type, std::uint64_t size, const std::byte* from) {
  if (size == 2) return half(load<std::uint16_t>(from, type.big_endian));
  if (size == 4) return load<float>(from, type.big_endian);
  return load<double>(from, type.big_endian);
}

/// The bytes without the zeros at their end.
std::span<const std::byte> without_padding(std::span<const std::byte> bytes) {
  while (!bytes.empty() && bytes.back() == std::byte{}) bytes = bytes.first(bytes.size() - 1);
  return bytes;
}

/// UTF-8 of a text of 32 bits a character, without the padding; nothing if there is no such character.
std::optional<std::string> load_text(const element_type& type, std::span<const std::byte> bytes) {
  auto character = [&](std::size_t i) { return load<std::uint32_t>(bytes.data() + 4 * i, type.big_endian); };
  auto length = bytes.size() / 4;
  while (length > 0 && character(length - 1) == 0) --length;
  std::string text;
  for (std::size_t i = 0; i < length; ++i) {
    char32_t point = character(i);
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return std::nullopt;
    append_code_point(text, point);
  }
  return text;
}

object_id caller::scalar_of(const element_type& type, std::span<const std::byte> bytes) {
  auto real = [&](std::uint64_t size, std::size_t at) {
    auto x = load_float(type, size, bytes.data() + at);
    return objects_.add(kind::real, std::bit_cast<std::uint64_t>(x), offset_);
  };
  objects_.charge(bytes.size(), offset_);
  switch (type.letter) {
  case 'b':
    return objects_.add(kind::boolean, bytes[0] != std::byte{}, offset_);
  case 'f':
    return real(type.size, 0);
  case 'c': {
    auto first = real(type.size / 2, 0), second = real(type.size / 2, type.size / 2);
    return objects_.add_container(kind::complex, {first, second}, offset_);
  }
  case 'S':
    return objects_.add_bytes(kind::bytes, without_padding(bytes), offset_);
  case 'U': {
    auto text = load_text(type, bytes);
    require(text.has_value(), "a text of impossible characters");
    auto view = std::as_bytes(std::span(*text));
    return objects_.add_bytes(kind::text, objects_.keep({view.begin(), view.end()}), offset_);
  }
  default:
    break;
  }
  std::vector<std::byte> little(bytes.begin(), bytes.end());
  if (type.big_endian) std::reverse(little.begin(), little.end());
  if (type.letter == 'u') little.push_back(std::byte{});
  auto number = *two_complement(little);
  return objects_.add(number.is_signed ? kind::whole : kind::natural, number.bits, offset_);
}

/// Calls `take(element)` with the place of each element in C order, given where they lie.
template <class F>
void each_in_c_order(const std::vector<std::uint64_t>& shape, bool fortran, std::size_t element_size,
                     std::span<const std::byte> data, F take) {
  const auto elements = element_size == 0 ? 0 : data.size() / element_size;
  if (!fortran || shape.size() < 2) {
    for (std::size_t i = 0; i < elements; ++i) take(data.data() + i * element_size);
    return;
  }
  std::vector<std::size_t> strides(shape.size(), element_size), place(shape.size(), 0);
  for (std::size_t k = 1; k < shape.size(); ++k) strides[k] = strides[k - 1] * shape[k - 1];
  std::size_t at = 0;
  for (std::size_t i = 0; i < elements; ++i) {
    take(data.data() + at);
    for (auto k = shape.size(); k-- > 0;) {
      at += strides[k];
      if (++place[k] < shape[k]) break;
      at -= strides[k] * place[k];
      place[k] = 0;
    }
  }
}

/// How elements become numbers of a `value`: each is one of `type` or, if it is complex, two.
struct number_form {
  dtype type;
  std::size_t stored; ///< bytes of one number in the pickle
  std::size_t parts;
};

number_form form_of(const element_type& type) {
  auto sized = [&](dtype one, dtype two, dtype four, dtype eight) {
    return type.size == 1 ? one : type.size == 2 ? two : type.size == 4 ? four : eight;
  };
  switch (type.letter) {
  case 'i':
    return {sized(dtype::int8, dtype::int16, dtype::int32, dtype::int64), type.size, 1};
  case 'f':
    return {type.size == 8 ? dtype::float64 : dtype::float32, type.size, 1};
  case 'c':
    return {type.size == 16 ? dtype::float64 : dtype::float32, type.size / 2, 2};
  default:
    return {sized(dtype::uint8, dtype::uint16, dtype::uint32, dtype::uint64), type.size, 1};
  }
}

array numeric_array(const array_object& source, const element_type& type,
                    const std::vector<std::uint64_t>& extents) {
  auto form = form_of(type);
  const auto size = size_of(form.type);
  const auto elements = source.data.size() / type.size;
  std::vector<std::size_t> shape(extents.begin(), extents.end());
  if (form.parts == 2) shape.push_back(2);
  auto out = std::make_shared_for_overwrite<std::byte[]>(elements * form.parts * size);
  const bool as_it_is = !type.big_endian && form.stored == size;
  if (as_it_is && (!source.fortran || shape.size() < 2)) {
    if (elements > 0) std::memcpy(out.get(), source.data.data(), source.data.size());
    return {form.type, std::move(shape), std::move(out)};
  }
  auto to = out.get();
  auto take = [&](const std::byte* from) {
    for (std::size_t part = 0; part < form.parts; ++part, from += form.stored, to += size) {
      if (form.stored == size) {
        std::memcpy(to, from, size);
        if (type.big_endian) std::reverse(to, to + size);
      } else {
        auto number = half(load<std::uint16_t>(from, type.big_endian));
        std::memcpy(to, &number, size);
      }
    }
  };
  each_in_c_order(extents, source.fortran, type.size, source.data, take);
  return {form.type, std::move(shape), std::move(out)};
}

// ---- The result -----------------------------------------------------------------------------------------

/// What an object takes in a result, where everything that is shared is counted each time.
struct weight {
  std::uint64_t values = 1;
  std::uint64_t bytes = 0; ///< of texts, bytes and arrays
  std::size_t depth = 0;   ///< of containers

  void add(const weight& part) {
    values = saturating_sum(values, part.values);
    bytes = saturating_sum(bytes, part.bytes);
    depth = std::max(depth, part.depth + 1);
  }

 private:
  static std::uint64_t saturating_sum(std::uint64_t a, std::uint64_t b) {
    std::uint64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
  }
};

/// Turns an object with everything in it into a value, without recursion. What is shared stays so.
class converter {
 public:
  converter(const heap& objects, std::size_t pickle_bytes)
      : objects_(objects), bytes_limit_(pickle_growth_limit * pickle_bytes + pickle_growth_allowance),
        weighed_(objects.containers()), made_(objects.containers()) {}

  value convert(object_id root) {
    if (is_container(objects_[root].kind))
      find_order(root);
    else
      check(weigh_leaf(root), root);
    for (auto id : order_) made_[objects_[id].bits] = make_container(id);
    return make(root);
  }

 private:
  struct visit {
    object_id id;
    std::size_t next = 0; ///< of its items
    dtranspose::weight weight = {};
  };
  enum class progress : std::uint8_t { none, begun, done };
  struct weighed_container {
    progress how_far = progress::none;
    weight whole = {}; ///< when done
  };

  weighed_container& weighed(object_id id) { return weighed_[objects_[id].bits]; }

  /// Lists the containers so that each comes after those in it.
  void find_order(object_id root) {
    std::vector<visit> path;
    enter(root, path);
    while (!path.empty()) {
      auto& at = path.back();
      auto& items = objects_.items(at.id);
      if (at.next < items.size()) {
        step_into(items[at.next++], path);
        continue;
      }
      auto done = at;
      path.pop_back();
      weighed(done.id) = {progress::done, done.weight};
      order_.push_back(done.id);
      if (!path.empty()) add_to(path.back(), done.weight);
    }
  }

  /// `path` may move.
  void step_into(object_id item, std::vector<visit>& path) {
    if (!is_container(objects_[item].kind)) return add_to(path.back(), weigh_leaf(item));
    auto& known = weighed(item);
    if (known.how_far == progress::none) return enter(item, path);
    if (known.how_far == progress::begun)
      refuse(fmt::format("{} that holds itself,", name_of(objects_[item].kind)), objects_[item].offset);
    add_to(path.back(), known.whole);
  }

  void enter(object_id id, std::vector<visit>& path) {
    if (path.size() == pickle_depth_limit)
      refuse(fmt::format("nesting deeper than {}", pickle_depth_limit), objects_[id].offset);
    if (objects_.is(id, kind::dict)) charge_comparisons(id);
    weighed(id).how_far = progress::begun;
    path.push_back({id});
    path.back().weight.depth = 1;
    check(path.back().weight, id);
  }

  void add_to(visit& container, const weight& part) const {
    container.weight.add(part);
    check(container.weight, container.id);
  }

  void check(const weight& w, object_id id) const {
    auto offset = objects_[id].offset;
    if (w.depth > pickle_depth_limit)
      refuse(fmt::format("nesting deeper than {}", pickle_depth_limit), offset);
    if (w.values > pickle_value_limit)
      refuse(fmt::format("a result of more than {} values", pickle_value_limit), offset);
    if (w.bytes > bytes_limit_) refuse(fmt::format("a result of more than {} bytes", bytes_limit_), offset);
  }

  /// Keys are compared with each other one by one, the longer the slower.
  void charge_comparisons(object_id id) {
    constexpr std::uint64_t bytes_at_once = 32;
    auto& items = objects_.items(id);
    const std::uint64_t keys = items.size() / 2;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < items.size(); i += 2)
      if (objects_.is(items[i], kind::text) || objects_.is(items[i], kind::bytes))
        bytes += objects_[items[i]].bits;
    comparisons_ += keys * (keys + bytes / bytes_at_once) / 2;
    if (comparisons_ > pickle_comparison_limit) refuse("dicts with too many keys", objects_[id].offset);
  }

  weight weigh_leaf(object_id id) const {
    auto& x = objects_[id];
    switch (x.kind) {
    case kind::symbol:
      refuse("a global in the place of a value", x.offset);
    case kind::dtype:
      refuse("a dtype in the place of a value", x.offset);
    case kind::text:
    case kind::bytes:
      return {1, x.bits, 0};
    case kind::array:
      return weigh_array(objects_.array(id), x.offset);
    default:
      return {};
    }
  }

  weight weigh_array(const array_object& array, std::size_t offset) const {
    if (!array.filled) refuse("an array without its state", offset);
    auto& type = objects_.type(array.type);
    const bool grows = type.letter == 'f' && type.size == 2;
    if (!is_text(type)) return {1, (grows ? 2 : 1) * array.data.size(), 0};
    weight w;
    std::uint64_t lists = 1;
    for (auto extent : extents(objects_, array.shape)) {
      lists = saturating_product(lists, extent);
      w.add({lists, 0, w.depth});
    }
    w.bytes = array.data.size();
    return w;
  }

  value make(object_id id) const {
    auto& x = objects_[id];
    switch (x.kind) {
    case kind::none:
      return {};
    case kind::boolean:
      return x.bits != 0;
    case kind::whole:
      return static_cast<std::int64_t>(x.bits);
    case kind::natural:
      return x.bits;
    case kind::real:
      return std::bit_cast<double>(x.bits);
    case kind::text:
      return objects_.text(id);
    case kind::bytes: {
      auto bytes = objects_.bytes(id);
      return value_bytes(bytes.begin(), bytes.end());
    }
    case kind::array:
      return make_array(objects_.array(id), x.offset);
    default:
      return made_[x.bits];
    }
  }

  value make_container(object_id id) const {
    auto& items = objects_.items(id);
    if (objects_.is(id, kind::dict)) return make_map(items);
    if (objects_.is(id, kind::complex)) {
      const std::array parts = {std::bit_cast<double>(objects_[items[0]].bits),
                                std::bit_cast<double>(objects_[items[1]].bits)};
      return array::of(std::span<const double>(parts), {2});
    }
    value_list list;
    list.reserve(items.size());
    for (auto item : items) list.push_back(make(item));
    return list;
  }

  value make_map(const std::vector<object_id>& items) const {
    value_map map;
    map.reserve(items.size() / 2);
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) map.set(key(items[i]), make(items[i + 1]));
    return map;
  }

  /// Python's `str` of a key.
  std::string key(object_id id) const {
    auto& x = objects_[id];
    switch (x.kind) {
    case kind::none:
      return "None";
    case kind::boolean:
      return x.bits ? "True" : "False";
    case kind::whole:
      return std::to_string(static_cast<std::int64_t>(x.bits));
    case kind::natural:
      return std::to_string(x.bits);
    case kind::real:
      return python_float(std::bit_cast<double>(x.bits));
    case kind::text:
      return std::string(objects_.text(id));
    case kind::bytes:
      return python_bytes(objects_.text(id));
    default:
      refuse(fmt::format("{} as a key", name_of(x.kind)), x.offset);
    }
  }

  value make_array(const array_object& source, std::size_t offset) const {
    auto& type = objects_.type(source.type);
    auto shape = extents(objects_, source.shape);
    if (!is_text(type)) return numeric_array(source, type, shape);
    value_list elements;
    auto take = [&](const std::byte* from) {
      elements.push_back(text_element(type, {from, static_cast<std::size_t>(type.size)}, offset));
    };
    if (type.size > 0) {
      each_in_c_order(shape, source.fortran, type.size, source.data, take);
    } else {
      std::uint64_t count = 1;
      for (auto extent : shape) count *= extent;
      for (; count > 0; --count) take(nullptr);
    }
    auto next = elements.begin();
    return nested(shape, next);
  }

  static value text_element(const element_type& type, std::span<const std::byte> bytes, std::size_t offset) {
    if (type.letter == 'S') {
      bytes = without_padding(bytes);
      return value_bytes(bytes.begin(), bytes.end());
    }
    auto text = load_text(type, bytes);
    if (!text) refuse("a text of impossible characters", offset);
    return std::move(*text);
  }

  /// Lists in lists, as deep as there are extents, which are `dimension_limit` at most.
  static value nested(std::span<const std::uint64_t> shape, value_list::iterator& next) {
    if (shape.empty()) return std::move(*next++);
    value_list list;
    list.reserve(shape[0]);
    for (std::uint64_t i = 0; i < shape[0]; ++i) list.push_back(nested(shape.subspan(1), next));
    return list;
  }

  const heap& objects_;
  const std::uint64_t bytes_limit_;
  std::uint64_t comparisons_ = 0;
  std::vector<weighed_container> weighed_; ///< by index of the container
  std::vector<value> made_;                ///< by index of the container
  std::vector<object_id> order_;
};

// ---- The machine ----------------------------------------------------------------------------------------

class machine {
 public:
  explicit machine(std::span<const std::byte> bytes)
      : in_(bytes), objects_(bytes.size()), size_(bytes.size()) {}

  value run() {
    begin();
    for (;;) {
      at_ = in_.offset();
      auto code = static_cast<opcode>(in_.number<std::uint8_t>());
      if (code == opcode::stop) return finish();
      execute(code);
    }
  }

 private:
  void begin() {
    if (in_.number<std::uint8_t>() != static_cast<std::uint8_t>(opcode::proto))
      refuse("no pickle of protocol 2 to 5");
    auto version = in_.number<std::uint8_t>();
    if (version < 2 || version > 5) refuse(fmt::format("protocol {}, which is none of 2 to 5,", version));
    none_ = objects_.add(kind::none, 0, 0);
    false_ = objects_.add(kind::boolean, 0, 0);
    true_ = objects_.add(kind::boolean, 1, 0);
    empty_tuple_ = objects_.add_container(kind::tuple, {}, 0);
  }

  value finish() {
    if (in_.left() > 0) refuse(fmt::format("{} bytes after STOP", in_.left()));
    if (!marks_.empty() || stack_.size() != 1)
      refuse(fmt::format("STOP with {} values and {} marks on the stack", stack_.size(), marks_.size()));
    return converter(objects_, size_).convert(stack_[0]);
  }

  [[noreturn]] void refuse(std::string_view what) const { dtranspose::refuse(what, at_); }

  // The stack ends at the last mark for all that takes values off it.

  object_id pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("nothing on the stack");
    auto id = stack_.back();
    stack_.pop_back();
    return id;
  }
  object_id top() {
    auto id = pop();
    stack_.push_back(id);
    return id;
  }
  void push(object_id id) { stack_.push_back(id); }
  void push(kind k, std::uint64_t bits) { push(objects_.add(k, bits, at_)); }

  std::vector<object_id> pop_to_mark() {
    if (marks_.empty()) refuse("no mark on the stack");
    auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<object_id> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  void pop_value_or_mark() {
    if (!marks_.empty() && stack_.size() == marks_.back())
      marks_.pop_back();
    else
      pop();
  }

  void execute(opcode code) {
    switch (code) {
    case opcode::proto:
      refuse("a second PROTO");
    case opcode::frame: {
      auto length = in_.number<std::uint64_t>();
      if (length > in_.left()) refuse("a FRAME beyond the end");
      return;
    }
    case opcode::mark:
      return marks_.push_back(stack_.size());
    case opcode::pop:
      return pop_value_or_mark();
    case opcode::pop_mark:
      pop_to_mark();
      return;
    case opcode::dup:
      return push(top());
    case opcode::global: {
      auto module = in_.line();
      return push_symbol(module, in_.line());
    }
    case opcode::stack_global:
      return stack_global();
    case opcode::reduce:
      return reduce();
    case opcode::build: {
      auto state = pop();
      return caller(objects_, at_).build(top(), state);
    }
    default:
      if (!execute_memo(code) && !execute_scalar(code) && !execute_text(code) && !execute_container(code))
        refuse(fmt::format("the opcode {:#04x}, which is not data,", static_cast<unsigned>(code)));
    }
  }

  bool execute_memo(opcode code) {
    switch (code) {
    case opcode::binput:
      put(in_.number<std::uint8_t>());
      return true;
    case opcode::long_binput:
      put(in_.number<std::uint32_t>());
      return true;
    case opcode::memoize:
      put(static_cast<std::uint32_t>(memo_.size()));
      return true;
    case opcode::binget:
      get(in_.number<std::uint8_t>());
      return true;
    case opcode::long_binget:
      get(in_.number<std::uint32_t>());
      return true;
    default:
      return false;
    }
  }

  bool execute_scalar(opcode code) {
    switch (code) {
    case opcode::none:
      push(none_);
      return true;
    case opcode::newtrue:
      push(true_);
      return true;
    case opcode::newfalse:
      push(false_);
      return true;
    case opcode::binint1:
      push(kind::whole, in_.number<std::uint8_t>());
      return true;
    case opcode::binint2:
      push(kind::whole, in_.number<std::uint16_t>());
      return true;
    case opcode::binint:
      push(kind::whole, static_cast<std::uint64_t>(std::int64_t{in_.number<std::int32_t>()}));
      return true;
    case opcode::long1:
      push_wide(in_.number<std::uint8_t>());
      return true;
    case opcode::long4:
      push_wide(in_.number<std::int32_t>());
      return true;
    case opcode::binfloat:
      push(kind::real, __builtin_bswap64(in_.number<std::uint64_t>()));
      return true;
    default:
      return false;
    }
  }

  bool execute_text(opcode code) {
    switch (code) {
    case opcode::binunicode:
      push_text(in_.number<std::uint32_t>());
      return true;
    case opcode::short_binunicode:
      push_text(in_.number<std::uint8_t>());
      return true;
    case opcode::binunicode8:
      push_text(in_.number<std::uint64_t>());
      return true;
    case opcode::short_binbytes:
    case opcode::short_binstring:
      push_bytes(in_.number<std::uint8_t>());
      return true;
    case opcode::binbytes:
      push_bytes(in_.number<std::uint32_t>());
      return true;
    case opcode::binbytes8:
    case opcode::bytearray8:
      push_bytes(in_.number<std::uint64_t>());
      return true;
    case opcode::binstring: {
      auto length = in_.number<std::int32_t>();
      if (length < 0) refuse("a text of negative length");
      push_bytes(static_cast<std::uint64_t>(length));
      return true;
    }
    default:
      return false;
    }
  }

  bool execute_container(opcode code) {
    switch (code) {
    case opcode::empty_tuple:
      push(empty_tuple_);
      return true;
    case opcode::tuple1:
      push_tuple(1);
      return true;
    case opcode::tuple2:
      push_tuple(2);
      return true;
    case opcode::tuple3:
      push_tuple(3);
      return true;
    case opcode::tuple:
      push_container(kind::tuple, pop_to_mark());
      return true;
    case opcode::empty_list:
      push_container(kind::list, {});
      return true;
    case opcode::list:
    case opcode::frozenset:
      push_container(kind::list, pop_to_mark());
      return true;
    case opcode::empty_dict:
      push_container(kind::dict, {});
      return true;
    case opcode::dict:
      push_container(kind::dict, pairs(pop_to_mark()));
      return true;
    case opcode::empty_set:
      push_container(kind::set, {});
      return true;
    default:
      return execute_filling(code);
    }
  }

  bool execute_filling(opcode code) {
    switch (code) {
    case opcode::append:
      append(kind::list, {pop()});
      return true;
    case opcode::appends:
      append(kind::list, pop_to_mark());
      return true;
    case opcode::setitem: {
      auto content = pop();
      auto key = pop();
      append(kind::dict, {key, content});
      return true;
    }
    case opcode::setitems:
      append(kind::dict, pairs(pop_to_mark()));
      return true;
    case opcode::additems:
      append(kind::set, pop_to_mark());
      return true;
    default:
      return false;
    }
  }

  void put(std::uint32_t entry) {
    memo_[entry] = top();
    if (memo_.size() > pickle_memo_limit)
      refuse(fmt::format("more than {} entries in the memo", pickle_memo_limit));
  }

  void get(std::uint32_t entry) {
    auto found = memo_.find(entry);
    if (found == memo_.end()) refuse(fmt::format("the entry {} of the memo, which isn't there,", entry));
    push(found->second);
  }

  void push_wide(std::int64_t length) {
    if (length < 0 || length > std::int64_t{pickle_number_limit})
      refuse(fmt::format("an int of {} bytes", length));
    auto number = two_complement(in_.take(static_cast<std::uint64_t>(length)));
    if (!number) refuse("an int of more than 64 bits");
    push(number->is_signed ? kind::whole : kind::natural, number->bits);
  }

  void push_text(std::uint64_t length) {
    auto bytes = in_.take(length);
    if (!is_utf8(text_of(bytes))) refuse("a text that is not UTF-8");
    push(objects_.add_bytes(kind::text, bytes, at_));
  }

  void push_bytes(std::uint64_t length) { push(objects_.add_bytes(kind::bytes, in_.take(length), at_)); }

  void push_tuple(std::size_t length) {
    std::vector<object_id> items(length);
    for (auto i = length; i-- > 0;) items[i] = pop();
    push_container(kind::tuple, std::move(items));
  }

  void push_container(kind k, std::vector<object_id> items) {
    push(objects_.add_container(k, std::move(items), at_));
  }

  std::vector<object_id> pairs(std::vector<object_id> items) const {
    if (items.size() % 2 != 0) refuse("a key without a value");
    return items;
  }

  void append(kind k, const std::vector<object_id>& items) {
    auto target = top();
    if (!objects_.is(target, k))
      refuse(fmt::format("{} in the place of {}", name_of(objects_[target].kind), name_of(k)));
    auto& content = objects_.items(target);
    content.insert(content.end(), items.begin(), items.end());
  }

  void push_symbol(std::string_view module, std::string_view name) {
    auto found = find_symbol(module, name);
    if (!found)
      refuse(fmt::format("the global '{} {}', which is not data,", printable(module), printable(name)));
    push(kind::symbol, static_cast<std::uint64_t>(*found));
  }

  void stack_global() {
    auto name = pop(), module = pop();
    if (!objects_.is(name, kind::text) || !objects_.is(module, kind::text))
      refuse("a global whose name is no text");
    push_symbol(objects_.text(module), objects_.text(name));
  }

  void reduce() {
    auto arguments = pop(), callee = pop();
    if (!objects_.is(callee, kind::symbol))
      refuse(fmt::format("a call of {}", name_of(objects_[callee].kind)));
    if (!objects_.is(arguments, kind::tuple)) refuse("a call with something other than a tuple");
    push(caller(objects_, at_).call(static_cast<symbol>(objects_[callee].bits), arguments));
  }

  input in_;
  heap objects_;
  std::size_t size_;
  std::size_t at_ = 0; ///< of the opcode that is executed
  std::vector<object_id> stack_;
  std::vector<std::size_t> marks_;          ///< sizes of the stack
  std::map<std::uint32_t, object_id> memo_; // a hash table could be made slow by choice of its keys
  object_id none_ = 0, false_ = 0, true_ = 0, empty_tuple_ = 0;
};

// ---- Writing --------------------------------------------------------------------------------------------

/// Writes as Python's C pickler does, which memoizes whatever it might meet again.
class writer {
 public:
  explicit writer(int protocol) : protocol_(protocol) {
    put(opcode::proto);
    put_number(static_cast<std::uint8_t>(protocol));
    if (framed()) put(opcode::frame), put_number(std::uint64_t{0});
  }

  std::vector<std::byte> finish() {
    put(opcode::stop);
    constexpr std::size_t head = 2 + 1 + sizeof(std::uint64_t);
    const std::uint64_t length = out_.size() - head;
    if (framed()) std::memcpy(out_.data() + head - sizeof length, &length, sizeof length);
    return std::move(out_);
  }

  void write(const value& x, std::size_t depth = 0) {
    std::visit([&](auto& content) { write_one(content, depth); }, x.content());
  }

 private:
  bool framed() const { return protocol_ >= 4; }

  void put(opcode code) { out_.push_back(static_cast<std::byte>(code)); }
  template <class T>
  void put_number(T x) {
    put_bytes(std::as_bytes(std::span(&x, 1)));
  }
  void put_bytes(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

  /// Keeps what is on top of the reader's stack, and says as what.
  std::uint32_t memoize() {
    if (framed()) {
      put(opcode::memoize);
    } else if (memoized_ < 256) {
      put(opcode::binput);
      put_number(static_cast<std::uint8_t>(memoized_));
    } else {
      put(opcode::long_binput);
      put_number(memoized_);
    }
    return memoized_++;
  }

  void recall(std::uint32_t entry) {
    if (entry < 256) {
      put(opcode::binget);
      put_number(static_cast<std::uint8_t>(entry));
    } else {
      put(opcode::long_binget);
      put_number(entry);
    }
  }

  /// Has something written and memoized by `make`, or recalls it if `entry` says that it was.
  template <class F>
  void once(std::optional<std::uint32_t>& entry, F make) {
    if (entry)
      recall(*entry);
    else
      entry = make();
  }

  void write_one(std::monostate, std::size_t) { put(opcode::none); }
  void write_one(bool x, std::size_t) { put(x ? opcode::newtrue : opcode::newfalse); }
  void write_one(std::int64_t x, std::size_t) {
    if (x >= 0 && x <= 0xff) {
      put(opcode::binint1);
      put_number(static_cast<std::uint8_t>(x));
    } else if (x >= 0 && x <= 0xffff) {
      put(opcode::binint2);
      put_number(static_cast<std::uint16_t>(x));
    } else if (x == static_cast<std::int32_t>(x)) {
      put(opcode::binint);
      put_number(static_cast<std::int32_t>(x));
    } else {
      put_wide(x);
    }
  }
  void put_wide(std::int64_t x) {
    std::uint8_t length = 8;
    while (length > 1 && x << (72 - 8 * length) >> (72 - 8 * length) == x) --length;
    put(opcode::long1);
    put_number(length);
    put_bytes(std::as_bytes(std::span(&x, 1)).first(length));
  }
  void write_one(std::uint64_t x, std::size_t depth) {
    if (x <= std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      return write_one(static_cast<std::int64_t>(x), depth);
    put(opcode::long1);
    put_number(std::uint8_t{9});
    put_number(x);
    put_number(std::uint8_t{0});
  }
  void write_one(double x, std::size_t) {
    put(opcode::binfloat);
    put_number(__builtin_bswap64(std::bit_cast<std::uint64_t>(x)));
  }
  void write_one(const std::string& x, std::size_t) { put_text(x); }
  void write_one(const std::shared_ptr<const value_bytes>& x, std::size_t) { put_byte_string(*x); }
  void write_one(const std::shared_ptr<const array>& x, std::size_t) { put_array(*x); }

  void write_one(const std::shared_ptr<const value_list>& x, std::size_t depth) {
    check_depth(depth);
    put(opcode::empty_list);
    memoize();
    put_batches(x->data(), x->size(), opcode::append, opcode::appends,
                [&](const value& item) { write(item, depth + 1); });
  }
  void write_one(const std::shared_ptr<const value_map>& x, std::size_t depth) {
    check_depth(depth);
    put(opcode::empty_dict);
    memoize();
    put_batches(x->begin(), x->size(), opcode::setitem, opcode::setitems, [&](const value_map::entry& entry) {
      put_text(entry.first);
      write(entry.second, depth + 1);
    });
  }

  static void check_depth(std::size_t depth) {
    if (depth >= pickle_depth_limit)
      throw pickle_error(fmt::format("a value nested deeper than {} can't be pickled", pickle_depth_limit));
  }

  template <class T, class F>
  void put_batches(const T* items, std::size_t count, opcode one, opcode several, F put_item) {
    constexpr std::size_t batch = 1000;
    if (count == 1) {
      put_item(items[0]);
      return put(one);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (i % batch == 0) put(opcode::mark);
      put_item(items[i]);
      if (i % batch == batch - 1 || i + 1 == count) put(several);
    }
  }

  /// Opcode and length for `length` bytes of something; `eight` needs protocol 4.
  void put_length(std::uint64_t length, std::optional<opcode> one, opcode four, opcode eight) {
    if (one && length <= 0xff) {
      put(*one);
      put_number(static_cast<std::uint8_t>(length));
    } else if (length <= 0xffff'ffff) {
      put(four);
      put_number(static_cast<std::uint32_t>(length));
    } else if (framed()) {
      put(eight);
      put_number(length);
    } else {
      throw pickle_error(fmt::format("{} bytes are too many for protocol {}", length, protocol_));
    }
  }

  std::uint32_t put_text(std::string_view text) {
    if (!is_utf8(text)) throw pickle_error(fmt::format("'{}' is not UTF-8", printable(text)));
    auto one = framed() ? std::optional(opcode::short_binunicode) : std::nullopt;
    put_length(text.size(), one, opcode::binunicode, opcode::binunicode8);
    put_bytes(std::as_bytes(std::span(text)));
    return memoize();
  }

  std::uint32_t put_symbol(std::string_view module, std::string_view name) {
    if (framed()) {
      put_text(module);
      put_text(name);
      put(opcode::stack_global);
    } else {
      put(opcode::global);
      for (auto line : {module, name}) {
        put_bytes(std::as_bytes(std::span(line)));
        put_number('\n');
      }
    }
    return memoize();
  }

  std::uint32_t put_byte_string(std::span<const std::byte> bytes) {
    if (protocol_ > 2) {
      put_length(bytes.size(), opcode::short_binbytes, opcode::binbytes, opcode::binbytes8);
      put_bytes(bytes);
    } else if (bytes.empty()) {
      once(bytes_, [&] { return put_symbol("__builtin__", "bytes"); });
      put(opcode::empty_tuple);
      put(opcode::reduce);
    } else {
      put_encoded(bytes);
    }
    return memoize();
  }

  /// As a text whose code points are the bytes.
  void put_encoded(std::span<const std::byte> bytes) {
    once(encode_, [&] { return put_symbol("_codecs", "encode"); });
    std::string text;
    text.reserve(bytes.size() + bytes.size() / 2);
    for (auto byte : bytes) append_code_point(text, static_cast<char32_t>(byte));
    put_text(text);
    once(latin1_, [&] { return put_text("latin1"); });
    put_tuple(opcode::tuple2);
    put(opcode::reduce);
  }

  void put_tuple(opcode how) {
    put(how);
    memoize();
  }

  void put_shape(const std::vector<std::size_t>& shape) {
    constexpr opcode short_tuples[] = {opcode::empty_tuple, opcode::tuple1, opcode::tuple2, opcode::tuple3};
    if (shape.size() > 3) put(opcode::mark);
    for (auto extent : shape) write_one(std::uint64_t{extent}, 0);
    if (shape.empty())
      put(opcode::empty_tuple);
    else
      put_tuple(shape.size() > 3 ? opcode::tuple : short_tuples[shape.size()]);
  }

  std::uint32_t put_type(dtype type) {
    constexpr std::string_view codes[] = {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"};
    once(dtype_, [&] { return put_symbol("numpy", "dtype"); });
    put_text(codes[static_cast<std::size_t>(type)]);
    put(opcode::newfalse);
    put(opcode::newtrue);
    put_tuple(opcode::tuple3);
    put(opcode::reduce);
    auto entry = memoize();
    put(opcode::mark);
    write_one(std::int64_t{3}, 0);
    put_text(size_of(type) == 1 ? "|" : "<");
    for (int i = 0; i < 3; ++i) put(opcode::none);
    for (int i = 0; i < 2; ++i) write_one(std::int64_t{-1}, 0);
    write_one(std::int64_t{0}, 0);
    put_tuple(opcode::tuple);
    put(opcode::build);
    return entry;
  }

  void put_array(const array& x) {
    once(reconstruct_, [&] { return put_symbol("numpy.core.multiarray", "_reconstruct"); });
    once(ndarray_, [&] { return put_symbol("numpy", "ndarray"); });
    write_one(std::int64_t{0}, 0);
    put_tuple(opcode::tuple1);
    once(letter_b_, [&] { return put_byte_string(std::as_bytes(std::span(&"b"[0], 1))); });
    put_tuple(opcode::tuple3);
    put(opcode::reduce);
    memoize();
    put(opcode::mark);
    write_one(std::int64_t{1}, 0);
    put_shape(x.shape());
    once(types_[static_cast<std::size_t>(x.type())], [&] { return put_type(x.type()); });
    put(opcode::newfalse);
    put_byte_string(x.bytes());
    put_tuple(opcode::tuple);
    put(opcode::build);
  }

  const int protocol_;
  std::vector<std::byte> out_;
  std::uint32_t memoized_ = 0;
  std::optional<std::uint32_t> bytes_, encode_, latin1_, reconstruct_, ndarray_, letter_b_, dtype_;
  std::array<std::optional<std::uint32_t>, static_cast<std::size_t>(dtype::float64) + 1> types_;
};

} // namespace

value read_pickle(std::span<const std::byte> bytes) {
  if (bytes.size() > pickle_size_limit)
    throw pickle_error(
        fmt::format("a pickle of {} bytes is longer than {}", bytes.size(), pickle_size_limit));
  return machine(bytes).run();
}

std::vector<std::byte> write_pickle(const value& content, int protocol) {
  if (protocol < 2 || protocol > 4)
    throw pickle_error(fmt::format("protocol {} is none of 2, 3 and 4", protocol));
  writer out(protocol);
  out.write(content);
  return out.finish();
}

} // namespace dtranspose
