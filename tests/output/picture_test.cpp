#include "output/picture.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::NanSensitiveFloatEq;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

template <class T>
array plane(std::vector<T> elements, std::vector<std::size_t> shape) {
  return array::of(std::span<const T>(elements), std::move(shape));
}

picture whole(const array& a, std::size_t height, std::size_t width, reduction how = reduction::mean) {
  return picture_of(a, {}, {0, a.shape()[0]}, {0, a.shape()[1]}, height, width, how);
}

TEST(picture, of_few_pixels_is_as_it_is) {
  auto p = whole(plane<std::uint16_t>({1, 2, 3, 4, 5, 6}, {2, 3}), 100, 100);
  EXPECT_EQ(p.height, 2u);
  EXPECT_EQ(p.width, 3u);
  EXPECT_THAT(p.pixels, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(p.range, std::pair(1.0, 6.0));
}

TEST(picture, reductions) {
  auto a = plane<std::int32_t>({1, 2, 3, 4, //
                                5, 6, 7, 8},
                               {2, 4});
  EXPECT_THAT(whole(a, 1, 2).pixels, ElementsAre(3.5, 5.5));
  EXPECT_THAT(whole(a, 1, 2, reduction::max).pixels, ElementsAre(6, 8));
  EXPECT_THAT(whole(a, 1, 2, reduction::nearest).pixels, ElementsAre(6, 8));
  EXPECT_THAT(whole(a, 2, 2).pixels, ElementsAre(1.5, 3.5, 5.5, 7.5)) << "one axis only";
}

TEST(picture, negative_values_have_a_maximum) {
  EXPECT_THAT(whole(plane<std::int8_t>({-4, -3, -2, -9}, {2, 2}), 1, 1, reduction::max).pixels,
              ElementsAre(-2));
}

TEST(picture, a_window) {
  std::vector<double> all(100);
  std::iota(all.begin(), all.end(), 0);
  auto p = picture_of(plane(all, {10, 10}), {}, {2, 4}, {3, 7}, 1, 2, reduction::mean);
  EXPECT_THAT(p.pixels, ElementsAre(28.5, 30.5));
  EXPECT_EQ(p.range, std::pair(23.0, 36.0)) << "of the window, not of what is left of it";
}

TEST(picture, a_plane_of_several) {
  std::vector<float> all(24);
  std::iota(all.begin(), all.end(), 0.f);
  const std::size_t index[] = {1, 2};
  auto p = picture_of(plane(all, {2, 3, 2, 2}), index, {0, 2}, {0, 2}, 9, 9, reduction::mean);
  EXPECT_THAT(p.pixels, ElementsAre(20, 21, 22, 23));
}

TEST(picture, what_is_no_number_stays_none) {
  auto a = plane<float>({nan, 1, nan, nan, //
                         nan, 3, nan, nan},
                        {2, 4});
  EXPECT_THAT(whole(a, 9, 9).pixels,
              ElementsAre(NanSensitiveFloatEq(nan), 1, NanSensitiveFloatEq(nan), NanSensitiveFloatEq(nan),
                          NanSensitiveFloatEq(nan), 3, NanSensitiveFloatEq(nan), NanSensitiveFloatEq(nan)));
  EXPECT_THAT(whole(a, 1, 2).pixels, ElementsAre(2, NanSensitiveFloatEq(nan))) << "others do not suffer";
  EXPECT_THAT(whole(a, 1, 2, reduction::max).pixels, ElementsAre(3, NanSensitiveFloatEq(nan)));
  EXPECT_EQ(whole(a, 1, 1).range, std::pair(1.0, 3.0));
  EXPECT_EQ(whole(plane<double>({nan, nan}, {1, 2}), 1, 1).range, std::nullopt);
  EXPECT_EQ(whole(plane<float>({infinity, 2, -infinity, 3}, {2, 2}), 1, 1).range, std::pair(2.0, 3.0));
}

TEST(picture, parts_of_unequal_length_cover_everything) {
  std::vector<std::uint32_t> ones(7 * 11, 1);
  auto p = whole(plane(ones, {7, 11}), 3, 4);
  for (auto x : p.pixels) EXPECT_EQ(x, 1);
  std::vector<double> all(77);
  std::iota(all.begin(), all.end(), 0);
  auto top = whole(plane(all, {7, 11}), 3, 4, reduction::max);
  EXPECT_EQ(top.pixels.back(), 76);
}

TEST(curve, middle_lowest_and_highest_of_each_part) {
  auto p = curve_of(plane<std::int16_t>({3, 1, 4, 1, 5, 9}, {6}), {0, 6}, 3);
  EXPECT_EQ(p.height, 3u);
  EXPECT_EQ(p.width, 3u);
  EXPECT_THAT(p.pixels, ElementsAre(0.5, 2.5, 4.5, 1, 1, 5, 3, 4, 9));
  EXPECT_EQ(p.range, std::pair(1.0, 9.0));
}

TEST(curve, of_a_window_and_few_points) {
  auto p = curve_of(plane<double>({0, 10, nan, 30}, {4}), {1, 4}, 100);
  EXPECT_THAT(p.pixels,
              ElementsAre(1, 2, 3, 10, NanSensitiveFloatEq(nan), 30, 10, NanSensitiveFloatEq(nan), 30));
}

TEST(element_at, keeps_its_type) {
  EXPECT_EQ(element_at(plane<std::uint64_t>({1, ~0ull}, {2}), 1), value(~std::uint64_t{0}));
  EXPECT_EQ(element_at(plane<std::int8_t>({-3}, {1}), 0), value(-3));
  EXPECT_EQ(element_at(plane<double>({0.1}, {1}), 0), value(0.1));
}

} // namespace
} // namespace dtranspose
