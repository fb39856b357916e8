#include "protocol/cbor_value.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

#include "protocol/array_view.hpp"

namespace dtranspose {

namespace cbor {

namespace {

constexpr std::uint64_t tag_row_major = 40;
constexpr auto any_size = std::numeric_limits<std::size_t>::max(); // the message's own size bounds it

value whole(std::uint64_t n) {
  return std::in_range<std::int64_t>(n) ? value(static_cast<std::int64_t>(n)) : value(n);
}

/// -1 - n
value negative(std::uint64_t n) {
  if (std::in_range<std::int64_t>(n)) return value(-1 - static_cast<std::int64_t>(n));
  return value(-1.0 - static_cast<double>(n));
}

value_bytes bytes_from(token_reader& in, const token& t) {
  if (t.what == kind::byte_chunks) return joined<value_bytes>(in, t, any_size);
  auto bytes = std::as_bytes(std::span(t.run));
  return {bytes.begin(), bytes.end()};
}

value typed_array(value_bytes bytes, element_type element) {
  auto size = size_of(element.type);
  if (bytes.size() % size != 0) return value(std::move(bytes));
  if (element.big_endian) swap_bytes(bytes, size);
  return value(array_view{element.type, {bytes.size() / size}, bytes}.copy());
}

/// What tag 40 stands before, as an array if it is a shape and as many elements.
value shaped(value content) {
  auto parts = content.as_list();
  if (!parts || parts->size() != 2) return content;
  auto extents = (*parts)[0].as_list();
  auto elements = (*parts)[1].as_array();
  if (!extents || !elements || extents->size() > dimension_limit) return content;
  std::vector<std::size_t> shape;
  for (auto& extent : *extents) {
    auto n = std::get_if<std::int64_t>(&extent.content());
    if (!n || *n < 0) return content;
    shape.push_back(static_cast<std::size_t>(*n));
  }
  if (bytes_of(shape, elements->type()) != elements->bytes().size()) return content;
  return value(array(elements->type(), std::move(shape), elements->buffer()));
}

value read_tagged(token_reader& in, std::uint64_t tag, std::uint64_t& values, int depth) {
  auto t = in.next();
  auto element = element_type_of(tag);
  if (element && (t.what == kind::bytes || t.what == kind::byte_chunks))
    return typed_array(bytes_from(in, t), *element);
  auto content = read_value(in, t, values, depth + 1);
  return tag == tag_row_major ? shaped(std::move(content)) : content;
}

value read_list(token_reader& in, const token& start, std::uint64_t& values, int depth) {
  container elements(start, start.endless ? value_limit : start.n, in);
  value_list list;
  token t;
  while (elements.next(t)) list.push_back(read_value(in, t, values, depth + 1));
  return value(std::move(list));
}

/// Nothing for a key that is left out.
std::optional<std::string> read_key(token_reader& in, const token& t, std::uint64_t& values, int depth) {
  auto key = read_value(in, t, values, depth);
  if (auto text = key.as_text()) return *text;
  if (auto n = std::get_if<std::int64_t>(&key.content())) return std::to_string(*n);
  if (auto n = std::get_if<std::uint64_t>(&key.content())) return std::to_string(*n);
  return std::nullopt;
}

value read_map(token_reader& in, const token& start, std::uint64_t& values, int depth) {
  container pairs(start, key_limit, in);
  value_map map;
  token t;
  while (pairs.next(t)) {
    auto key = read_key(in, t, values, depth + 1);
    auto content = read_value(in, in.next(), values, depth + 1);
    if (key) map.set(*key, std::move(content));
  }
  return value(std::move(map));
}

} // namespace

value read_value(token_reader& in, const token& t, std::uint64_t& values, int depth) {
  if (values-- == 0) in.refuse("too many values");
  if (depth > depth_limit) in.refuse("nested too deeply");
  switch (t.what) {
  case kind::number:
    return whole(t.n);
  case kind::negative:
    return negative(t.n);
  case kind::real:
    return value(t.real);
  case kind::bytes:
  case kind::byte_chunks:
    return value(bytes_from(in, t));
  case kind::text:
    return value(t.run);
  case kind::text_chunks:
    return value(joined<std::string>(in, t, any_size));
  case kind::array:
    return read_list(in, t, values, depth);
  case kind::map:
    return read_map(in, t, values, depth);
  case kind::tag:
    return read_tagged(in, t.n, values, depth);
  case kind::boolean:
    return value(t.n != 0);
  case kind::null:
    return {};
  case kind::stop:
    break;
  }
  in.fail("a stop where nothing is open");
}

//  tag  0 1 0 f s e l l
//             f  floating-point, of 2 << ll bytes; else whole numbers of 1 << ll bytes
//             s  with a sign
//             e  little endian; 68 are bytes that saturate, 76 is reserved
std::optional<element_type> element_type_of(std::uint64_t tag) {
  constexpr dtype whole[] = {dtype::uint8, dtype::uint16, dtype::uint32, dtype::uint64};
  constexpr dtype with_sign[] = {dtype::int8, dtype::int16, dtype::int32, dtype::int64};
  if (tag < 64 || tag > 87 || tag == 76) return std::nullopt;
  auto size = tag & 3;
  bool big_endian = !(tag & 4);
  if (tag < 72) return element_type{whole[size], big_endian && size > 0};
  if (tag < 80) return element_type{with_sign[size], big_endian && size > 0};
  if (size == 1) return element_type{dtype::float32, big_endian};
  if (size == 2) return element_type{dtype::float64, big_endian};
  return std::nullopt;
}

std::uint64_t tag_of(dtype type) {
  constexpr std::uint64_t tags[] = {64, 72, 69, 77, 70, 78, 71, 79, 85, 86};
  return tags[static_cast<std::size_t>(type)];
}

void swap_bytes(std::span<std::byte> elements, std::size_t element_size) {
  for (; elements.size() >= element_size; elements = elements.subspan(element_size))
    std::reverse(elements.begin(), elements.begin() + static_cast<std::ptrdiff_t>(element_size));
}

void writer::fixed(unsigned first, std::uint64_t bits, int bytes) {
  out_.push_back(static_cast<std::byte>(first));
  while (bytes-- > 0) out_.push_back(static_cast<std::byte>(bits >> 8 * bytes));
}

void writer::head(unsigned major, std::uint64_t n) {
  auto type = major << 5;
  if (n < 24)
    fixed(type | static_cast<unsigned>(n), 0, 0);
  else if (n <= 0xff)
    fixed(type | 24, n, 1);
  else if (n <= 0xffff)
    fixed(type | 25, n, 2);
  else if (n <= 0xffffffff)
    fixed(type | 26, n, 4);
  else
    fixed(type | 27, n, 8);
}

void writer::bytes(std::span<const std::byte> content) {
  head(2, content.size());
  out_.insert(out_.end(), content.begin(), content.end());
}

void writer::text(std::string_view content) {
  head(3, content.size());
  auto bytes = std::as_bytes(std::span(content));
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void writer::write_array(const dtranspose::array& content) {
  if (content.shape().size() != 1) {
    tag(tag_row_major);
    array(2);
    array(content.shape().size());
    for (auto extent : content.shape()) number(extent);
  }
  tag(tag_of(content.type()));
  bytes(content.bytes());
}

void writer::write(const value& content) {
  if (auto x = content.as_bool()) return fixed(*x ? 0xf5 : 0xf4, 0, 0);
  if (auto x = content.as_text()) return text(*x);
  if (auto x = content.as_bytes()) return bytes(*x);
  if (auto x = content.as_array()) return write_array(*x);
  if (auto x = std::get_if<std::uint64_t>(&content.content())) return head(0, *x);
  if (auto x = std::get_if<double>(&content.content()))
    return fixed(0xfb, std::bit_cast<std::uint64_t>(*x), 8);
  if (auto x = std::get_if<std::int64_t>(&content.content()))
    return *x < 0 ? head(1, static_cast<std::uint64_t>(-1 - *x)) : head(0, static_cast<std::uint64_t>(*x));
  if (auto list = content.as_list()) {
    array(list->size());
    for (auto& item : *list) write(item);
    return;
  }
  if (auto fields = content.as_map()) {
    map(fields->size());
    for (auto& [key, item] : *fields) {
      text(key);
      write(item);
    }
    return;
  }
  fixed(0xf6, 0, 0);
}

} // namespace cbor

std::optional<value> cbor_to_value(std::span<const std::byte> bytes) {
  try {
    cbor::token_reader in(bytes);
    auto values = cbor::value_limit;
    auto content = cbor::read_value(in, in.next(), values);
    if (in.at_end()) return content;
  } catch (const cbor::unreadable&) {
    return std::nullopt;
  }
  return std::nullopt;
}

} // namespace dtranspose
