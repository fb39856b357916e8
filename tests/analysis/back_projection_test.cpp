#include "analysis/back_projection.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <random>

#include <gmock/gmock.h>

#include "analysis/phantoms.hpp"
#include "analysis/projection_filter.hpp"

namespace dtranspose {
namespace {

using test::disk;
using testing::DoubleNear;
using testing::Pointwise;

const std::vector<disk> sample = {{0, 0, 50, 0.02}, {20, 5, 10, 0.03}, {-15, -25, 8, -0.015}};
constexpr std::size_t columns = 128;

std::vector<float> slice_of(const std::vector<double>& angles, double centre,
                            const std::vector<double>& weights, const std::vector<disk>& disks = sample) {
  std::vector<float> slice(columns * columns);
  projection_filter filter(columns, filter_window::ram_lak);
  for (std::size_t i = 0; i < angles.size(); ++i) {
    auto line = test::projection_of(disks, angles[i], centre, columns);
    filter.apply(line);
    const std::vector<smeared_projection> one{smeared_projection(line, angles[i], centre, weights[i])};
    back_project(slice, columns, one);
  }
  return slice;
}

std::vector<double> evenly(std::size_t n, double range = 180) {
  std::vector<double> angles;
  for (std::size_t i = 0; i < n; ++i)
    angles.push_back(static_cast<double>(i) * range / static_cast<double>(n));
  return angles;
}

double error_of(const std::vector<float>& slice) { return test::error_of(slice.data(), columns, sample, 58); }

TEST(back_projection, disks_come_out_where_and_as_dense_as_they_are) {
  auto angles = evenly(200);
  for (double centre : {63.5, 66.8})
    EXPECT_LT(error_of(slice_of(angles, centre, angular_weights(angles))), 5e-4);
}

TEST(back_projection, a_wrong_centre_shows) {
  auto angles = evenly(200);
  std::vector<float> slice(columns * columns);
  projection_filter filter(columns, filter_window::ram_lak);
  auto weights = angular_weights(angles);
  for (std::size_t i = 0; i < angles.size(); ++i) {
    auto line = test::projection_of(sample, angles[i], 66, columns);
    filter.apply(line);
    const std::vector<smeared_projection> one{smeared_projection(line, angles[i], 63.5, weights[i])};
    back_project(slice, columns, one);
  }
  EXPECT_GT(error_of(slice), 1.5e-3);
}

TEST(back_projection, many_together_are_the_same_as_one_by_one) {
  auto angles = evenly(20);
  auto weights = angular_weights(angles);
  std::vector<smeared_projection> all;
  std::vector<float> one_by_one(columns * columns), together(columns * columns);
  for (std::size_t i = 0; i < angles.size(); ++i) {
    all.emplace_back(test::projection_of(sample, angles[i], 60, columns), angles[i], 60, weights[i]);
    back_project(one_by_one, columns, std::span(all).last(1));
  }
  back_project(together, columns, all);
  EXPECT_EQ(one_by_one, together);
}

TEST(back_projection, only_the_circle_is_filled_and_nothing_is_read_beyond_the_detector) {
  std::vector<float> slice(64 * 64);
  const std::vector<float> line(64, 1.0F);
  for (double centre : {-500.0, 0.0, 31.5, 63.0, 1000.0}) {
    std::vector<smeared_projection> all;
    for (auto angle : evenly(37, 360)) all.emplace_back(line, angle, centre, 1);
    back_project(slice, 64, all);
  }
  EXPECT_EQ(slice[0], 0);
  EXPECT_EQ(slice[64 * 64 - 1], 0);
  EXPECT_NEAR(slice[32 * 64 + 32], 3 * 37, 0.6 * 37 * 2); // seen by those with the axis on the detector
}

TEST(angular_weights, even_angles_share_the_half_turn) {
  for (double range : {180.0, 360.0, -180.0}) {
    auto weights = angular_weights(evenly(90, range));
    for (auto w : weights) EXPECT_NEAR(w, std::numbers::pi / 90, 1e-9) << range;
  }
}

TEST(angular_weights, uneven_angles_stand_for_half_of_the_way_to_their_neighbours) {
  const std::vector<double> angles{100, 0, 10, 40};
  std::vector<double> degrees;
  for (auto w : angular_weights(angles)) degrees.push_back(w * 180 / std::numbers::pi);
  EXPECT_THAT(degrees, Pointwise(DoubleNear(1e-9), std::vector<double>{70, 45, 20, 45}));
}

TEST(angular_weights, what_was_not_measured_is_not_shared_out) {
  auto angles = evenly(100, 90); // and 90 degrees without any
  auto weights = angular_weights(angles);
  for (auto w : weights) EXPECT_NEAR(w, test::radians(0.9), 1e-9);
  EXPECT_NEAR(largest_angular_gap(angles), 90.9, 1e-9);
}

TEST(angular_weights, few_angles) {
  EXPECT_TRUE(angular_weights({}).empty());
  EXPECT_EQ(largest_angular_gap({}), 180);
  EXPECT_NEAR(angular_weights(std::vector{17.0})[0], std::numbers::pi, 1e-12);
  EXPECT_NEAR(angular_weights(std::vector{17.0, 17.0})[0], std::numbers::pi / 2, 1e-12);
}

TEST(angular_weights, of_what_does_not_turn_add_up_to_the_half_turn) {
  auto weights = angular_weights(std::vector<double>(40, 17.0));
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), std::numbers::pi, 1e-12);
}

TEST(angular_weights, make_up_for_missing_angles) {
  std::mt19937 random(3);
  std::vector<double> angles;
  for (auto angle : evenly(300))
    if (random() % 3 > 0) angles.push_back(angle);
  auto weighted = error_of(slice_of(angles, 63.5, angular_weights(angles)));
  auto evenly_shared = error_of(
      slice_of(angles, 63.5,
               std::vector<double>(angles.size(), std::numbers::pi / static_cast<double>(angles.size()))));
  EXPECT_LT(weighted, 1e-3);
  EXPECT_LT(weighted, 0.6 * evenly_shared);
}

} // namespace
} // namespace dtranspose
