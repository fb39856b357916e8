#include "instrument/pixels.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

std::vector<std::byte> pixels_of(dtype type, std::size_t n, std::uint64_t seed, std::uint64_t frame) {
  std::vector<std::byte> pixels(n * size_of(type));
  fill_pixels(pixels, type, seed, frame);
  return pixels;
}

template <class T>
std::vector<T> elements(const std::vector<std::byte>& pixels) {
  std::vector<T> found(pixels.size() / sizeof(T));
  if (!pixels.empty()) std::memcpy(found.data(), pixels.data(), pixels.size());
  return found;
}

TEST(pixels, depend_on_seed_and_frame_alone) {
  for (int t = 0; t < 10; ++t) {
    auto type = static_cast<dtype>(t);
    EXPECT_EQ(pixels_of(type, 5000, 3, 7), pixels_of(type, 5000, 3, 7));
    EXPECT_NE(pixels_of(type, 5000, 3, 7), pixels_of(type, 5000, 3, 8));
    EXPECT_NE(pixels_of(type, 5000, 3, 7), pixels_of(type, 5000, 4, 7));
    EXPECT_NE(pixels_of(type, 5000, 3, 4), pixels_of(type, 5000, 4, 3));
  }
  // The same on every machine, for ever: others compare with what they made.
  EXPECT_EQ(elements<int>(pixels_of(dtype::int32, 8, 0, 0)),
            (std::vector<int>{5, 0, 2, 0, 1, 0, 2, 2147483647}));
}

TEST(pixels, are_small_counts_and_some_masks) {
  for (int t = 0; t < 10; ++t)
    visit_dtype(static_cast<dtype>(t), [&]<class T>(T) {
      auto first = elements<T>(pixels_of(dtype_for<T>(), 100'000, 5, 0));
      auto second = elements<T>(pixels_of(dtype_for<T>(), 100'000, 5, 1));
      std::size_t masked = 0, zeros = 0, others = 0;
      for (std::size_t i = 0; i < first.size(); ++i) {
        bool mask = first[i] == std::numeric_limits<T>::max();
        EXPECT_EQ(mask, second[i] == std::numeric_limits<T>::max());
        masked += mask;
        zeros += first[i] == 0;
        others += !mask && !(first[i] >= 0 && first[i] <= 5);
      }
      bool has_masks = std::numeric_limits<T>::is_integer && sizeof(T) < 8;
      EXPECT_EQ(others, 0u);
      EXPECT_GT(zeros, 50'000u);
      EXPECT_LT(zeros, 62'000u);
      EXPECT_GE(masked, has_masks ? 96u : 0u);
      EXPECT_LE(masked, has_masks ? 97u : 0u);
    });
}

TEST(pixels, of_small_images_have_a_mask_too) {
  for (std::size_t n = 1; n < 20; ++n) {
    auto found = elements<std::uint16_t>(pixels_of(dtype::uint16, n, n, 2));
    EXPECT_EQ(std::count(found.begin(), found.end(), 65535), 1) << n;
  }
  EXPECT_TRUE(pixels_of(dtype::uint16, 0, 1, 2).empty());
}

} // namespace
} // namespace dtranspose
