/// Images of rows and columns, for analyses that need those.
#pragma once

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "analysis/image.hpp"

namespace dtranspose {

struct plane_shape {
  std::size_t rows = 0, columns = 0;

  bool operator==(const plane_shape&) const = default;
  std::size_t pixels() const { return rows * columns; }
};

inline std::string text_of(const plane_shape& shape) { return shape_text({shape.rows, shape.columns}); }

/// Rows and columns; axes of length 1 before them do not count. Throws std::runtime_error where there are
/// others, or no pixel.
inline plane_shape plane_of(const image_view& image) {
  auto n = image.shape.size();
  bool plane = n >= 2 && !image.blobs.empty();
  for (std::size_t axis = 0; axis + 2 < n; ++axis) plane = plane && image.shape[axis] == 1;
  if (!plane || image.shape[n - 1] == 0 || image.shape[n - 2] == 0)
    throw std::runtime_error(fmt::format("an image of shape {}, where one of rows and columns is needed",
                                         shape_text(image.shape)));
  return {image.shape[n - 2], image.shape[n - 1]};
}

/// Pixels in C order, one by one, wherever the blobs end. Valid as long as the image is.
template <class T>
class pixels_of {
 public:
  explicit pixels_of(const image_view& image)
      : blobs_(image.blobs), per_blob_(image.blobs[0].size() / sizeof(T)) {}

  T operator[](std::size_t i) const {
    T x;
    std::memcpy(&x, at(i), sizeof x);
    return x;
  }

  /// Where the pixel lies; those of its row follow it if a blob holds whole rows.
  const std::byte* at(std::size_t i) const {
    auto& blob = blobs_.size() == 1 ? blobs_[0] : blobs_[i / per_blob_];
    return blob.data() + (blobs_.size() == 1 ? i : i % per_blob_) * sizeof(T);
  }

 private:
  std::span<const frame> blobs_;
  std::size_t per_blob_;
};

} // namespace dtranspose
