#include "analysis/projection_filter.hpp"

#include <cmath>
#include <numbers>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::FloatNear;
using testing::Pointwise;

constexpr double pi2 = std::numbers::pi * std::numbers::pi;

std::vector<float> filtered(std::vector<float> lines, std::size_t columns,
                            filter_window window = filter_window::ram_lak) {
  projection_filter(columns, window).apply(lines);
  return lines;
}

TEST(projection_filter, a_single_ray_becomes_the_ramp_in_space) {
  std::vector<float> line(21), expected(21);
  line[10] = 1;
  for (int n = -10; n <= 10; ++n) expected[10 + n] = n % 2 ? static_cast<float>(-1 / (pi2 * n * n)) : 0;
  expected[10] = 0.25;
  EXPECT_THAT(filtered(line, 21), Pointwise(FloatNear(1e-6F), expected));
}

TEST(projection_filter, windows_take_high_frequencies_away) {
  std::vector<float> line(64);
  line[30] = 1;
  // That of Shepp and Logan is known in space as well.
  auto shepp_logan = filtered(line, 64, filter_window::shepp_logan);
  for (int n = -20; n <= 20; ++n) EXPECT_NEAR(shepp_logan[30 + n], -2 / (pi2 * (4 * n * n - 1)), 5e-5) << n;
  auto hann = filtered(line, 64, filter_window::hann);
  EXPECT_NEAR(hann[30], 0.125 - 1 / (2 * pi2) + 0.0, 2e-2);
  EXPECT_LT(hann[30], shepp_logan[30]);
  EXPECT_LT(shepp_logan[30], 0.25F);
}

TEST(projection_filter, lines_do_not_touch_each_other) {
  std::vector<float> lines;
  for (int i = 0; i < 3 * 50; ++i) lines.push_back(static_cast<float>((i * 37) % 101));
  auto together = filtered(lines, 50);
  for (int l = 0; l < 3; ++l) {
    auto alone = filtered({lines.begin() + l * 50, lines.begin() + (l + 1) * 50}, 50);
    for (int i = 0; i < 50; ++i) EXPECT_NEAR(together[l * 50 + i], alone[i], 2e-5) << l << " " << i;
  }
}

TEST(projection_filter, names_of_windows) {
  EXPECT_EQ(filter_window_of("hann"), filter_window::hann);
  EXPECT_EQ(filter_window_of("shepp-logan"), filter_window::shepp_logan);
  EXPECT_EQ(filter_window_of("ram-lak"), filter_window::ram_lak);
  EXPECT_EQ(filter_window_of("Hann "), std::nullopt);
}

} // namespace
} // namespace dtranspose
