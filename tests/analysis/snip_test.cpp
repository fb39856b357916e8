#include "analysis/snip.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

std::vector<double> background_of(const std::vector<double>& spectrum, std::size_t width) {
  std::vector<double> background, scratch;
  snip_background(spectrum, width, background, scratch);
  return background;
}

double peak(double x, double middle, double sigma) {
  return std::exp(-(x - middle) * (x - middle) / (2 * sigma * sigma));
}

TEST(snip, takes_peaks_off_a_slope) {
  std::vector<double> spectrum(400), slope(400);
  for (std::size_t i = 0; i < 400; ++i) {
    auto x = static_cast<double>(i);
    slope[i] = 200 * std::exp(-x / 300);
    spectrum[i] = slope[i] + 5000 * peak(x, 150, 5) + 300 * peak(x, 180, 5);
  }
  auto background = background_of(spectrum, 24);
  for (std::size_t i = 30; i < 370; ++i) EXPECT_NEAR(background[i], slope[i], 0.03 * slope[i]) << i;
}

TEST(snip, is_nowhere_above_the_spectrum) {
  std::vector<double> spectrum(300);
  for (std::size_t i = 0; i < 300; ++i) spectrum[i] = static_cast<double>(i * 7919 % 101);
  auto background = background_of(spectrum, 20);
  for (std::size_t i = 0; i < 300; ++i) EXPECT_LE(background[i], spectrum[i] + 1e-9) << i;
}

TEST(snip, a_flat_spectrum_is_its_own_background) {
  auto background = background_of(std::vector<double>(50, 7.0), 10);
  for (auto b : background) EXPECT_NEAR(b, 7, 1e-9);
}

TEST(snip, works_by_hand) {
  // With a width of 1 each channel becomes the lesser of itself and the mean of its neighbours, all in
  // v = ln(ln(sqrt(y + 1) + 1) + 1).
  auto v = [](double y) { return std::log(std::log(std::sqrt(y + 1) + 1) + 1); };
  auto background = background_of({10, 100, 30}, 1);
  EXPECT_NEAR(background[0], 10, 1e-9);
  EXPECT_NEAR(v(background[1]), (v(10) + v(30)) / 2, 1e-12);
  EXPECT_NEAR(background[2], 30, 1e-9);
}

TEST(snip, takes_whatever_comes) {
  EXPECT_TRUE(background_of({}, 5).empty());
  EXPECT_NEAR(background_of({3}, 5).front(), 3, 1e-12);
  EXPECT_EQ(background_of(std::vector<double>(20, 0.0), 100), std::vector<double>(20, 0.0));
  for (auto b : background_of({-5, -5, -5}, 1)) EXPECT_EQ(b, 0);
}

} // namespace
} // namespace dtranspose
