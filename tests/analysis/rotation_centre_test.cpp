#include "analysis/rotation_centre.hpp"

#include <random>

#include <gmock/gmock.h>

#include "analysis/phantoms.hpp"

namespace dtranspose {
namespace {

using test::disk;

const std::vector<disk> sample = {{3, -5, 50, 0.02}, {20, 5, 10, 0.03}, {-15, -25, 8, -0.015}};

/// Projections with two lines each, kept along with what views them.
struct made_scan {
  projection_set set;
  std::vector<std::vector<float>> kept;

  made_scan(double centre, std::size_t columns, std::size_t n, double range, double noise = 0,
            const std::vector<disk>& disks = sample)
      : set{2, columns, {}, {}} {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < n; ++i) {
      auto angle = 30 + static_cast<double>(i) * range / static_cast<double>(n);
      auto lines = test::projection_of(disks, angle, centre, columns);
      auto other = test::projection_of({disks.begin(), disks.end() - 1}, angle, centre, columns);
      lines.insert(lines.end(), other.begin(), other.end());
      for (auto& x : lines) x += static_cast<float>(noise) * normal(random);
      set.angles_deg.push_back(angle);
      kept.push_back(std::move(lines));
    }
    for (auto& lines : kept) set.projections.emplace_back(lines);
  }
};

TEST(rotation_centre, is_found_between_opposite_projections) {
  for (double centre : {64.0, 70.25, 75.8, 52.4})
    for (double noise : {0.0, 0.02}) {
      const made_scan scan(centre, 129, 360, 360, noise);
      auto found = centre_by_opposites(scan.set, opposite_angles::between);
      ASSERT_TRUE(found) << centre;
      EXPECT_NEAR(*found, centre, 0.1) << noise;
    }
}

TEST(rotation_centre, is_found_by_mass_on_a_half_turn) {
  for (double centre : {64.0, 66.25, 60.4})
    for (double noise : {0.0, 0.02}) {
      const made_scan scan(centre, 140, 300, 180, noise);
      EXPECT_FALSE(centre_by_opposites(scan.set, opposite_angles::between));
      auto found = centre_by_mass(scan.set);
      ASSERT_TRUE(found) << centre;
      EXPECT_NEAR(*found, centre, 0.1) << noise;
    }
}

TEST(rotation_centre, is_found_where_the_sample_is_wider_than_the_detector) {
  const made_scan scan(70.3, 140, 360, 180, 0.01,
                       {{3, 4, 90, 0.01}, {20, 5, 10, 0.03}, {-35, -25, 8, -0.015}});
  EXPECT_FALSE(centre_by_mass(scan.set));
  auto found = centre_by_opposites(scan.set, opposite_angles::near);
  ASSERT_TRUE(found);
  EXPECT_NEAR(*found, 70.3, 0.25);
}

TEST(rotation_centre, does_not_matter_in_which_order_projections_come) {
  made_scan scan(66.25, 140, 300, 360, 0.02);
  auto forward = centre_by_opposites(scan.set, opposite_angles::between);
  auto mass = centre_by_mass(scan.set);
  std::mt19937 random(5);
  for (std::size_t i = scan.kept.size(); i > 1; --i) {
    auto j = random() % i;
    std::swap(scan.set.angles_deg[i - 1], scan.set.angles_deg[j]);
    std::swap(scan.set.projections[i - 1], scan.set.projections[j]);
  }
  EXPECT_NEAR(*centre_by_opposites(scan.set, opposite_angles::between), *forward, 1e-9);
  EXPECT_NEAR(*centre_by_mass(scan.set), *mass, 1e-9);
}

TEST(rotation_centre, is_not_guessed) {
  for (double range : {20.0, 60.0}) {
    const made_scan scan(66, 140, 100, range);
    EXPECT_FALSE(centre_by_opposites(scan.set, opposite_angles::near)) << range;
    EXPECT_FALSE(centre_by_mass(scan.set)) << range;
  }
  EXPECT_FALSE(centre_by_mass({1, 100, {}, {}}));
  EXPECT_FALSE(centre_by_opposites({1, 100, {}, {}}, opposite_angles::near));
  // Nothing in the beam.
  const made_scan nothing(66, 140, 200, 360, 0.02, {{0, 0, 1, 0}});
  EXPECT_FALSE(centre_by_mass(nothing.set));
  EXPECT_FALSE(centre_by_opposites(nothing.set, opposite_angles::between));
}

} // namespace
} // namespace dtranspose
