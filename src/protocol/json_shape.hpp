/// Shapes of arrays in JSON headers. For the readers of formats only: it brings simdjson along.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <simdjson.h>

#include "protocol/array_view.hpp"

namespace dtranspose {

/// The extents of an array in the order of its header, without memory of their own.
class json_shape {
 public:
  /// A list of at most `dimension_limit` whole numbers that are not negative; false for anything else, and
  /// the shape is then empty.
  bool read(simdjson::ondemand::value value) {
    size_ = 0;
    simdjson::ondemand::array extents;
    if (value.get_array().get(extents)) return false;
    std::size_t n = 0;
    for (auto extent : extents)
      if (n == dimension_limit || extent.get_uint64().get(extents_[n++])) return false;
    size_ = n;
    return true;
  }

  std::span<const std::uint64_t> extents() const { return std::span(extents_).first(size_); }

  std::vector<std::size_t> copy() const { return {extents_.begin(), extents_.begin() + size_}; }

  /// For headers that name the fastest axis first.
  std::vector<std::size_t> reversed() const {
    auto shape = copy();
    std::reverse(shape.begin(), shape.end());
    return shape;
  }

 private:
  std::array<std::uint64_t, dimension_limit> extents_;
  std::size_t size_ = 0;
};

} // namespace dtranspose
