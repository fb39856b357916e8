/// Values as they go between the program and its Python processes: docs/python_host.md, section "Values".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// Bytes that a Python process has sent are none that the protocol allows.
class bad_message : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Bytes under construction; all numbers little endian.
class byte_writer {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void number(T x) {
    auto at = bytes_.size();
    bytes_.resize(at + sizeof x);
    std::memcpy(bytes_.data() + at, &x, sizeof x);
  }
  void bytes(std::span<const std::byte> x) { bytes_.insert(bytes_.end(), x.begin(), x.end()); }
  void text(std::string_view x) { bytes(std::as_bytes(std::span(x))); }
  /// A value with its tag. Throws std::length_error where it is nested deeper than anybody reads.
  void put(const value& x);

  std::size_t size() const { return bytes_.size(); }
  std::vector<std::byte>& content() { return bytes_; }

 private:
  void put(const value& x, int depth);
  void put(const array& x);
  void sized(std::string_view x);

  std::vector<std::byte> bytes_;
};

/// Takes bytes apart, and believes no size that they say. Everything throws bad_message.
class byte_reader {
 public:
  explicit byte_reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
    requires std::is_trivially_copyable_v<T>
  T number() {
    T x;
    std::memcpy(&x, bytes(sizeof x).data(), sizeof x);
    return x;
  }
  std::span<const std::byte> bytes(std::uint64_t size) {
    if (size > rest_.size()) throw bad_message("it ends in the middle");
    auto taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::string_view text(std::uint64_t size) {
    auto x = bytes(size);
    return {reinterpret_cast<const char*>(x.data()), x.size()};
  }
  value get() { return get(0); }

  std::span<const std::byte> rest() const { return rest_; }

 private:
  value get(int depth);
  value get_array();
  value get_list(int depth);
  value get_map(int depth);

  std::span<const std::byte> rest_;
};

/// The one value that a body is.
value value_in(std::span<const std::byte> body);

/// Entries of maps, with what holds where there is none of that kind.
std::string text_in(const value& map, std::string_view key);
bool flag_in(const value& map, std::string_view key);

} // namespace dtranspose
