/// Arrays as streams carry them. No dependencies: for analysis code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// NumPy's own limit of dimensions.
inline constexpr std::size_t dimension_limit = 32;

/// a * b, or the largest number where that is more.
inline std::uint64_t saturating_product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::uint64_t>::max() : product;
}

/// Bytes of an array of that shape, or the largest number where that is more. An extent of 0 makes it 0,
/// wherever it stands.
template <class Extents>
std::uint64_t bytes_of(const Extents& shape, dtype type) {
  std::uint64_t bytes = size_of(type);
  for (auto extent : shape)
    if (extent == 0) return 0;
  for (auto extent : shape) bytes = saturating_product(bytes, extent);
  return bytes;
}

/// Elements in C order, little endian, of any alignment: a view of bytes that somebody else keeps, for as
/// long as they say.
struct array_view {
  dtype type = dtype::uint8;
  std::vector<std::size_t> shape;   ///< slowest axis first
  std::span<const std::byte> bytes; ///< product(shape) elements

  std::size_t size() const { return bytes.size() / size_of(type); }

  /// Element `i` in C order; requires that T is the element type and `i` less than `size()`.
  template <class T>
  T at(std::size_t i) const {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    return element;
  }

  /// An array of its own, aligned.
  array copy() const {
    auto data = std::make_shared_for_overwrite<std::byte[]>(bytes.size());
    if (!bytes.empty()) std::memcpy(data.get(), bytes.data(), bytes.size());
    return array(type, shape, std::move(data));
  }
};

} // namespace dtranspose
