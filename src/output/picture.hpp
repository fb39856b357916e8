/// What of an array a screen can show: as many numbers as it has pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// The places begin..end-1 of an axis; not empty.
struct window {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
  bool operator==(const window&) const = default;
};

/// How many pixels become one.
enum class reduction : std::uint8_t {
  mean,    ///< of those that are a number
  max,     ///< of those that are a number
  nearest, ///< the one in the middle
};

struct picture {
  std::size_t height = 0, width = 0;
  std::vector<float> pixels;                      ///< C order
  std::optional<std::pair<double, double>> range; ///< lowest and highest finite value of the whole window
};

/// The window of one plane: the last two axes of `from`, at the places `index` of those before. At most
/// `height` x `width` pixels, each of an equal part of the window; what has no number in it is NaN. Requires
/// that everything is inside of the array, and that it has elements.
picture picture_of(const array& from, std::span<const std::size_t> index, window rows, window columns,
                   std::size_t height, std::size_t width, reduction how);

/// Of an array with one axis: three rows, of the middle of each part of the window (a place on the axis), its
/// lowest and its highest value.
picture curve_of(const array& from, window places, std::size_t width);

/// An element as the narrowest value that holds it.
value element_at(const array& from, std::size_t i);

} // namespace dtranspose
