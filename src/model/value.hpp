/// The one type of results, published trees and status reports. No dependencies: part of the plug-in
/// contract.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace dtranspose {

/// Element type of an array; the names are NumPy's.
enum class dtype : std::uint8_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  uint64,
  int64,
  float32,
  float64,
};

/// Bytes of one element.
constexpr std::size_t size_of(dtype type) {
  constexpr std::size_t sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
  return sizes[static_cast<std::size_t>(type)];
}

/// NumPy's name, e.g. `uint16`.
constexpr std::string_view name_of(dtype type) {
  constexpr std::string_view names[] = {"uint8", "int8",   "uint16", "int16",   "uint32",
                                        "int32", "uint64", "int64",  "float32", "float64"};
  return names[static_cast<std::size_t>(type)];
}

/// The type of that NumPy name; nothing for any other text.
constexpr std::optional<dtype> dtype_of(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(dtype::float64); ++i)
    if (name_of(static_cast<dtype>(i)) == name) return static_cast<dtype>(i);
  return std::nullopt;
}

template <class T>
constexpr dtype dtype_for() {
  static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
  if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 4 ? dtype::float32 : dtype::float64;
  else if constexpr (std::is_signed_v<T>)
    return sizeof(T) == 1   ? dtype::int8
           : sizeof(T) == 2 ? dtype::int16
           : sizeof(T) == 4 ? dtype::int32
                            : dtype::int64;
  else
    return sizeof(T) == 1   ? dtype::uint8
           : sizeof(T) == 2 ? dtype::uint16
           : sizeof(T) == 4 ? dtype::uint32
                            : dtype::uint64;
}

/// Calls `f` with a value-initialised element of that type: `visit_dtype(t, [](auto x) {...})`.
template <class F>
decltype(auto) visit_dtype(dtype type, F&& f) {
  switch (type) {
  case dtype::uint8:
    return f(std::uint8_t{});
  case dtype::int8:
    return f(std::int8_t{});
  case dtype::uint16:
    return f(std::uint16_t{});
  case dtype::int16:
    return f(std::int16_t{});
  case dtype::uint32:
    return f(std::uint32_t{});
  case dtype::int32:
    return f(std::int32_t{});
  case dtype::uint64:
    return f(std::uint64_t{});
  case dtype::int64:
    return f(std::int64_t{});
  case dtype::float32:
    return f(float{});
  case dtype::float64:
    break;
  }
  return f(double{});
}

/// An immutable n-dimensional array in C order, little endian, that shares its buffer with its copies.
class array {
 public:
  array() = default;

  /// `data` holds product(shape) elements.
  array(dtype type, std::vector<std::size_t> shape, std::shared_ptr<const std::byte[]> data)
      : type_(type), shape_(std::move(shape)), data_(std::move(data)) {}

  /// Copies `elements`, whose number is product(shape).
  template <class T>
  static array of(std::span<const T> elements, std::vector<std::size_t> shape) {
    auto data = std::make_shared_for_overwrite<std::byte[]>(elements.size_bytes());
    if (!elements.empty()) std::memcpy(data.get(), elements.data(), elements.size_bytes());
    return array(dtype_for<T>(), std::move(shape), std::move(data));
  }

  template <class T>
  static array of(const std::vector<T>& elements) {
    return of(std::span<const T>(elements), {elements.size()});
  }

  dtype type() const { return type_; }
  const std::vector<std::size_t>& shape() const { return shape_; }
  std::size_t size() const {
    return std::accumulate(shape_.begin(), shape_.end(), std::size_t{1}, std::multiplies<>());
  }
  std::span<const std::byte> bytes() const {
    return data_ ? std::span(data_.get(), size() * size_of(type_)) : std::span<const std::byte>();
  }
  const std::shared_ptr<const std::byte[]>& buffer() const { return data_; }

  /// The elements; requires that T is the element type. Valid as long as a copy of this array is.
  template <class T>
  std::span<const T> elements() const {
    return {reinterpret_cast<const T*>(data_.get()), data_ ? size() : 0};
  }

  bool operator==(const array& other) const {
    auto a = bytes(), b = other.bytes();
    return type_ == other.type_ && shape_ == other.shape_ && a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
  }

 private:
  dtype type_ = dtype::float64;
  std::vector<std::size_t> shape_{0};
  std::shared_ptr<const std::byte[]> data_;
};

class value;

/// Values with string keys, in the order in which they were set.
class value_map {
 public:
  using entry = std::pair<std::string, value>;

  value_map() = default;
  inline value_map(std::initializer_list<entry> entries);

  /// Adds an entry, or replaces the one of that name.
  inline value_map& set(std::string_view key, value content);
  /// The entry of that name, or null.
  inline const value* find(std::string_view key) const;

  inline std::size_t size() const;
  inline bool empty() const;
  inline const entry* begin() const;
  inline const entry* end() const;
  inline void reserve(std::size_t n);
  inline bool operator==(const value_map&) const;

 private:
  std::vector<entry> entries_;
};

using value_list = std::vector<value>;
using value_bytes = std::vector<std::byte>;

/// Null, bool, number, text, bytes, array, list or map. Copies share what is large; nothing in it
/// changes once it was made.
class value {
 public:
  using variant = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string,
                               std::shared_ptr<const value_bytes>, std::shared_ptr<const array>,
                               std::shared_ptr<const value_list>, std::shared_ptr<const value_map>>;

  value() = default;
  value(bool x) : content_(x) {}
  template <class T>
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  value(T x) {
    if constexpr (std::is_floating_point_v<T>)
      content_ = static_cast<double>(x);
    else if constexpr (std::is_signed_v<T>)
      content_ = static_cast<std::int64_t>(x);
    else
      content_ = static_cast<std::uint64_t>(x);
  }
  value(const char* x) : content_(std::string(x)) {}
  value(std::string_view x) : content_(std::string(x)) {}
  value(std::string x) : content_(std::move(x)) {}
  value(value_bytes x) : content_(std::make_shared<const value_bytes>(std::move(x))) {}
  value(array x) : content_(std::make_shared<const array>(std::move(x))) {}
  value(value_list x) : content_(std::make_shared<const value_list>(std::move(x))) {}
  value(value_map x) : content_(std::make_shared<const value_map>(std::move(x))) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(content_); }
  const std::string* as_text() const { return std::get_if<std::string>(&content_); }
  const value_bytes* as_bytes() const { return pointer<value_bytes>(); }
  const array* as_array() const { return pointer<array>(); }
  const value_list* as_list() const { return pointer<value_list>(); }
  const value_map* as_map() const { return pointer<value_map>(); }
  const bool* as_bool() const { return std::get_if<bool>(&content_); }

  /// Any of the three kinds of number, as the nearest double.
  std::optional<double> as_number() const {
    if (auto x = std::get_if<double>(&content_)) return *x;
    if (auto x = std::get_if<std::int64_t>(&content_)) return static_cast<double>(*x);
    if (auto x = std::get_if<std::uint64_t>(&content_)) return static_cast<double>(*x);
    return std::nullopt;
  }

  /// The entry of a map, or null where this is no map or lacks it.
  const value* find(std::string_view key) const {
    auto map = as_map();
    return map ? map->find(key) : nullptr;
  }

  const variant& content() const { return content_; }

  friend bool operator==(const value& a, const value& b) {
    if (a.content_.index() != b.content_.index()) return false;
    return std::visit(
        [&b]<class T>(const T& x) {
          const T& y = std::get<T>(b.content_);
          if constexpr (requires { *x == *y; })
            return x == y || *x == *y;
          else
            return x == y;
        },
        a.content_);
  }

 private:
  template <class T>
  const T* pointer() const {
    auto x = std::get_if<std::shared_ptr<const T>>(&content_);
    return x ? x->get() : nullptr;
  }

  variant content_;
};

value_map::value_map(std::initializer_list<entry> entries) {
  entries_.reserve(entries.size());
  for (auto& [key, content] : entries) set(key, content);
}

value_map& value_map::set(std::string_view key, value content) {
  for (auto& [name, old] : entries_)
    if (name == key) {
      old = std::move(content);
      return *this;
    }
  entries_.emplace_back(std::string(key), std::move(content));
  return *this;
}

const value* value_map::find(std::string_view key) const {
  for (auto& [name, content] : entries_)
    if (name == key) return &content;
  return nullptr;
}

std::size_t value_map::size() const { return entries_.size(); }
bool value_map::empty() const { return entries_.empty(); }
const value_map::entry* value_map::begin() const { return entries_.data(); }
const value_map::entry* value_map::end() const { return entries_.data() + entries_.size(); }
void value_map::reserve(std::size_t n) { entries_.reserve(n); }
bool value_map::operator==(const value_map& other) const { return entries_ == other.entries_; }

} // namespace dtranspose
