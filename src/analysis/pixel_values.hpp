/// Which values of pixels count.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "model/value.hpp"

namespace dtranspose {

/// NaN and infinities never count.
struct valid_values {
  double least, most;
};

/// Signed integers from 0 (detectors mark pixels by negative numbers), unsigned ones below the largest (that
/// is what they mark them by), all real numbers.
inline valid_values usual_values(dtype type) {
  return visit_dtype(type, []<class T>(T) -> valid_values {
    constexpr auto highest = static_cast<double>(std::numeric_limits<T>::max());
    if constexpr (std::is_floating_point_v<T>)
      return {std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max()};
    if constexpr (std::is_signed_v<T>) return {0, highest};
    // The largest of 64 bits and its neighbours are one and the same double.
    return {0, sizeof(T) < 8 ? highest - 1 : std::nextafter(highest, 0.0)};
  });
}

} // namespace dtranspose
