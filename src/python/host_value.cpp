#include "python/host_value.hpp"

#include <bit>
#include <limits>
#include <type_traits>

namespace dtranspose {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr int most_levels = 64;

enum class tag : std::uint8_t { null, no, yes, int64, uint64, float64, text, bytes, array, list, map };

} // namespace

void byte_writer::put(const value& x) { put(x, 0); }

void byte_writer::sized(std::string_view x) {
  number(static_cast<std::uint32_t>(x.size()));
  text(x);
}

void byte_writer::put(const array& x) {
  number(tag::array);
  number(x.type());
  number(static_cast<std::uint8_t>(x.shape().size()));
  for (std::uint64_t extent : x.shape()) number(extent);
  bytes(x.bytes());
}

void byte_writer::put(const value& x, int depth) {
  if (depth > most_levels) throw std::length_error("a value of more than 64 levels");
  std::visit(
      [&]<class T>(const T& content) {
        if constexpr (std::is_same_v<T, std::monostate>) {
          number(tag::null);
        } else if constexpr (std::is_same_v<T, bool>) {
          number(content ? tag::yes : tag::no);
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          number(tag::int64);
          number(content);
        } else if constexpr (std::is_same_v<T, std::uint64_t>) {
          number(tag::uint64);
          number(content);
        } else if constexpr (std::is_same_v<T, double>) {
          number(tag::float64);
          number(content);
        } else if constexpr (std::is_same_v<T, std::string>) {
          number(tag::text);
          sized(content);
        } else if constexpr (std::is_same_v<T, std::shared_ptr<const value_bytes>>) {
          number(tag::bytes);
          number(std::uint64_t{content->size()});
          bytes(*content);
        } else if constexpr (std::is_same_v<T, std::shared_ptr<const array>>) {
          put(*content);
        } else if constexpr (std::is_same_v<T, std::shared_ptr<const value_list>>) {
          number(tag::list);
          number(static_cast<std::uint32_t>(content->size()));
          for (auto& item : *content) put(item, depth + 1);
        } else {
          number(tag::map);
          number(static_cast<std::uint32_t>(content->size()));
          for (auto& [key, item] : *content) {
            sized(key);
            put(item, depth + 1);
          }
        }
      },
      x.content());
}

value byte_reader::get(int depth) {
  if (depth > most_levels) throw bad_message("a value of more than 64 levels");
  auto what = number<std::uint8_t>();
  switch (static_cast<tag>(what)) {
  case tag::null:
    return {};
  case tag::no:
    return false;
  case tag::yes:
    return true;
  case tag::int64:
    return number<std::int64_t>();
  case tag::uint64:
    return number<std::uint64_t>();
  case tag::float64:
    return number<double>();
  case tag::text:
    return text(number<std::uint32_t>());
  case tag::bytes: {
    auto x = bytes(number<std::uint64_t>());
    return value_bytes(x.begin(), x.end());
  }
  case tag::array:
    return get_array();
  case tag::list:
    return get_list(depth);
  case tag::map:
    return get_map(depth);
  }
  throw bad_message("a value of the unknown kind " + std::to_string(what));
}

value byte_reader::get_array() {
  auto code = number<std::uint8_t>();
  if (code > static_cast<std::uint8_t>(dtype::float64)) throw bad_message("an array of an unknown type");
  auto type = static_cast<dtype>(code);
  std::vector<std::size_t> shape(number<std::uint8_t>());
  std::uint64_t size = size_of(type);
  bool empty = false;
  for (auto& extent : shape) {
    extent = number<std::uint64_t>();
    empty |= extent == 0;
    if (extent > 0 && size > std::numeric_limits<std::uint64_t>::max() / extent)
      throw bad_message("an array larger than can be");
    size *= extent > 0 ? extent : 1;
  }
  auto elements = bytes(empty ? 0 : size);
  auto data = std::make_shared_for_overwrite<std::byte[]>(elements.size());
  if (!elements.empty()) std::memcpy(data.get(), elements.data(), elements.size());
  return array(type, std::move(shape), std::move(data));
}

value byte_reader::get_list(int depth) {
  auto count = number<std::uint32_t>();
  value_list list;
  if (count > rest_.size()) throw bad_message("a list longer than what it is in");
  list.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) list.push_back(get(depth + 1));
  return list;
}

value byte_reader::get_map(int depth) {
  auto count = number<std::uint32_t>();
  value_map map;
  if (count > rest_.size()) throw bad_message("a map longer than what it is in");
  map.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto key = text(number<std::uint32_t>());
    map.set(key, get(depth + 1));
  }
  return map;
}

value value_in(std::span<const std::byte> body) { return byte_reader(body).get(); }

std::string text_in(const value& map, std::string_view key) {
  auto found = map.find(key);
  auto text = found ? found->as_text() : nullptr;
  return text ? *text : std::string();
}

bool flag_in(const value& map, std::string_view key) {
  auto found = map.find(key);
  auto flag = found ? found->as_bool() : nullptr;
  return flag && *flag;
}

} // namespace dtranspose
