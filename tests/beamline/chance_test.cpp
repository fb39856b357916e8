#include "beamline/chance.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

struct moments {
  double mean = 0, variance = 0;
};

template <class Draw>
moments moments_of(int n, Draw draw) {
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    auto x = static_cast<double>(draw());
    sum += x;
    squares += x * x;
  }
  auto mean = sum / n;
  return {mean, squares / n - mean * mean};
}

TEST(chance, follows_from_seed_and_place_alone) {
  chance one(1, 2, 3), same(1, 2, 3), seed(2, 2, 3), what(1, 3, 3), place(1, 2, 4);
  auto first = one.bits();
  EXPECT_EQ(same.bits(), first);
  EXPECT_NE(seed.bits(), first);
  EXPECT_NE(what.bits(), first);
  EXPECT_NE(place.bits(), first);
}

TEST(chance, draws_poisson_numbers_of_every_mean) {
  constexpr int n = 200'000;
  for (double mean : {0.01, 0.7, 3.0, 11.9, 12.1, 50.0, 20'000.0}) {
    chance random(7, 0, 0);
    auto found = moments_of(n, [&] { return random.poisson(mean); });
    // Five standard errors; the variance of the variance is 2 mean^2 + mean.
    EXPECT_NEAR(found.mean, mean, 5 * std::sqrt(mean / n)) << mean;
    EXPECT_NEAR(found.variance, mean, 5 * std::sqrt((2 * mean * mean + mean) / n) + 0.06) << mean;
  }
  chance random(1, 0, 0);
  EXPECT_EQ(random.poisson(0), 0u);
  EXPECT_EQ(random.poisson(-1), 0u);
}

TEST(chance, draws_normal_numbers) {
  chance random(3, 0, 0);
  auto found = moments_of(200'000, [&] { return random.gauss(); });
  EXPECT_NEAR(found.mean, 0, 0.012);
  EXPECT_NEAR(found.variance, 1, 0.016);
  int beyond = 0;
  for (auto x : gauss_table()) beyond += std::abs(x) > 1.959964F ? 1 : 0;
  EXPECT_NEAR(beyond / static_cast<double>(gauss_table().size()), 0.05, 1e-4);
}

} // namespace
} // namespace dtranspose
