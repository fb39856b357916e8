#include "protocol/msgpack.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "protocol/array_view.hpp"

namespace dtranspose {

namespace {

//  first byte   object               what follows; numbers are big endian
//  00..7f       positive integer     -
//  80..8f       map of 0..15         pairs
//  90..9f       array of 0..15       items
//  a0..bf       str of 0..31 bytes   bytes
//  c0, c2, c3   nil, false, true     -
//  c4 c5 c6     bin                  length u8, u16, u32; bytes
//  ca cb        float                4, 8 bytes IEEE 754
//  cc cd ce cf  integer              u8, u16, u32, u64
//  d0 d1 d2 d3  integer              i8, i16, i32, i64
//  d9 da db     str                  length u8, u16, u32; bytes
//  dc dd        array                count u16, u32; items
//  de df        map                  count u16, u32; pairs
//  e0..ff       integer -32..-1      -
//  c7 c8 c9 d4..d8 extension types, c1 nothing: refused

class reader {
 public:
  explicit reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::optional<value> read() {
    auto found = object(0);
    return good_ && rest_.empty() ? std::optional(std::move(found)) : std::nullopt;
  }

 private:
  value fail() {
    good_ = false;
    return {};
  }

  std::span<const std::byte> take(std::size_t n) {
    if (n > rest_.size()) {
      good_ = false;
      return {};
    }
    auto taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }

  /// A big-endian number of that many bytes.
  std::uint64_t number(std::size_t size) {
    std::uint64_t n = 0;
    for (auto byte : take(size)) n = n << 8 | std::to_integer<std::uint64_t>(byte);
    return n;
  }

  value object(int depth) {
    if (depth > msgpack_depth_limit || ++values_ > msgpack_value_limit) return fail();
    auto head = static_cast<unsigned>(number(1));
    if (!good_) return {};
    if (head <= 0x7f) return static_cast<std::int64_t>(head);
    if (head <= 0x8f) return map(head & 0x0f, depth);
    if (head <= 0x9f) return list(head & 0x0f, depth);
    if (head <= 0xbf) return text(head & 0x1f);
    if (head >= 0xe0) return static_cast<std::int64_t>(head) - 256;
    return other(head, depth);
  }

  value other(unsigned head, int depth) {
    switch (head) {
    case 0xc0:
      return {};
    case 0xc2:
    case 0xc3:
      return head == 0xc3;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return bytes(number(std::size_t{1} << (head - 0xc4)));
    case 0xca:
      return std::bit_cast<float>(static_cast<std::uint32_t>(number(4)));
    case 0xcb:
      return std::bit_cast<double>(number(8));
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return whole(number(std::size_t{1} << (head - 0xcc)));
    case 0xd0:
      return static_cast<std::int8_t>(number(1));
    case 0xd1:
      return static_cast<std::int16_t>(number(2));
    case 0xd2:
      return static_cast<std::int32_t>(number(4));
    case 0xd3:
      return static_cast<std::int64_t>(number(8));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return text(number(std::size_t{1} << (head - 0xd9)));
    case 0xdc:
    case 0xdd:
      return list(number(head == 0xdc ? 2 : 4), depth);
    case 0xde:
    case 0xdf:
      return map(number(head == 0xde ? 2 : 4), depth);
    default:
      return fail();
    }
  }

  static value whole(std::uint64_t n) {
    if (n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return n;
    return static_cast<std::int64_t>(n);
  }

  value text(std::size_t size) {
    auto taken = take(size);
    return std::string(reinterpret_cast<const char*>(taken.data()), taken.size());
  }

  value bytes(std::size_t size) {
    auto taken = take(size);
    return value_bytes(taken.begin(), taken.end());
  }

  // Memory grows with what is there, not with what was announced.
  value list(std::uint64_t count, int depth) {
    value_list items;
    for (std::uint64_t i = 0; i < count && good_; ++i) items.push_back(object(depth + 1));
    return good_ ? value(std::move(items)) : value();
  }

  value map(std::uint64_t count, int depth) {
    value_map fields;
    for (std::uint64_t i = 0; i < count && good_; ++i) {
      auto name = key(object(depth + 1));
      auto content = object(depth + 1);
      comparisons_ += fields.size();
      if (comparisons_ > msgpack_comparison_limit) fail();
      if (good_) fields.set(name, std::move(content));
    }
    return good_ ? array_or_map(std::move(fields)) : value();
  }

  std::string key(const value& name) {
    if (auto x = name.as_text()) return *x;
    if (auto x = name.as_bytes()) return {reinterpret_cast<const char*>(x->data()), x->size()};
    fail();
    return {};
  }

  /// msgpack_numpy: {nd: true, type: "<u2", kind: "", shape: [..], data: bytes}; nd is false for a scalar.
  static value array_or_map(value_map fields) {
    auto nd = fields.find("nd"), type = fields.find("type"), data = fields.find("data");
    if (!nd || !nd->as_bool() || !type || !type->as_text() || !data || !data->as_bytes()) return fields;
    auto element = element_type(*type->as_text());
    std::vector<std::size_t> shape;
    if (!element || (*nd->as_bool() && !read_shape(fields.find("shape"), shape))) return fields;
    auto& bytes = *data->as_bytes();
    if (bytes_of(shape, *element) != bytes.size()) return fields;
    auto elements = array_view{*element, std::move(shape), bytes}.copy();
    if (*nd->as_bool()) return elements;
    return visit_dtype(*element, [&](auto x) { return value(elements.elements<decltype(x)>()[0]); });
  }

  static std::optional<dtype> element_type(std::string_view code) {
    if (code.size() != 3 || (code[0] != '<' && code[0] != '|')) return std::nullopt;
    for (int i = 0; i <= static_cast<int>(dtype::float64); ++i) {
      auto type = static_cast<dtype>(i);
      auto letter = name_of(type)[0];
      if (code[1] == letter && code[2] == static_cast<char>('0' + size_of(type))) return type;
    }
    return std::nullopt;
  }

  static bool read_shape(const value* extents, std::vector<std::size_t>& shape) {
    if (!extents || !extents->as_list() || extents->as_list()->size() > dimension_limit) return false;
    for (auto& extent : *extents->as_list()) {
      auto x = std::get_if<std::int64_t>(&extent.content());
      if (!x || *x < 0) return false;
      shape.push_back(static_cast<std::size_t>(*x));
    }
    return true;
  }

  std::span<const std::byte> rest_;
  bool good_ = true;
  std::size_t values_ = 0;
  std::uint64_t comparisons_ = 0;
};

class writer {
 public:
  std::vector<std::byte> out;

  void operator()(std::monostate) { head(0xc0); }
  void operator()(bool x) { head(x ? 0xc3 : 0xc2); }
  void operator()(std::int64_t x) {
    if (x >= 0) return (*this)(static_cast<std::uint64_t>(x));
    if (x >= -32) return head(static_cast<unsigned>(x + 256));
    number(0xd3, static_cast<std::uint64_t>(x), 8);
  }
  void operator()(std::uint64_t x) {
    if (x <= 0x7f) return head(static_cast<unsigned>(x));
    number(0xcf, x, 8);
  }
  void operator()(double x) { number(0xcb, std::bit_cast<std::uint64_t>(x), 8); }
  void operator()(const std::string& x) {
    number(0xdb, x.size(), 4);
    append(std::as_bytes(std::span(x)));
  }
  void operator()(const std::shared_ptr<const value_bytes>& x) { bytes(*x); }
  void operator()(const std::shared_ptr<const array>& x) {
    head(0x85);
    key("nd");
    (*this)(true);
    key("type");
    auto type = x->type();
    auto order = size_of(type) == 1 ? '|' : '<';
    (*this)(std::string{order, name_of(type)[0], static_cast<char>('0' + size_of(type))});
    key("kind");
    bytes({});
    key("shape");
    number(0xdd, x->shape().size(), 4);
    for (auto extent : x->shape()) (*this)(std::uint64_t{extent});
    key("data");
    bytes(x->bytes());
  }
  void operator()(const std::shared_ptr<const value_list>& x) {
    number(0xdd, x->size(), 4);
    for (auto& item : *x) write(item);
  }
  void operator()(const std::shared_ptr<const value_map>& x) {
    number(0xdf, x->size(), 4);
    for (auto& [name, content] : *x) {
      (*this)(name);
      write(content);
    }
  }

  void write(const value& content) {
    std::visit([this](auto& x) { (*this)(x); }, content.content());
  }

 private:
  void head(unsigned byte) { out.push_back(static_cast<std::byte>(byte)); }

  void number(unsigned first, std::uint64_t n, int size) {
    head(first);
    for (int i = size; i-- > 0;) head(static_cast<unsigned>(n >> (8 * i) & 0xff));
  }

  void append(std::span<const std::byte> content) { out.insert(out.end(), content.begin(), content.end()); }

  void bytes(std::span<const std::byte> content) {
    number(0xc6, content.size(), 4);
    append(content);
  }

  /// As msgpack_numpy writes it.
  void key(std::string_view name) { bytes(std::as_bytes(std::span(name))); }
};

static_assert(std::endian::native == std::endian::little,
              "arrays are little endian in memory and in messages");

} // namespace

std::optional<value> read_msgpack(std::span<const std::byte> bytes) { return reader(bytes).read(); }

std::vector<std::byte> write_msgpack(const value& content) {
  writer out;
  out.write(content);
  return std::move(out.out);
}

} // namespace dtranspose
