#include "analysis/event_trend.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

TEST(event_trend, events_are_kept_one_by_one_as_long_as_there_are_few) {
  event_trend trend(2, 8);
  for (std::uint64_t e : {5, 1, 7}) trend.add(e, std::array{static_cast<double>(e), 2.0});
  EXPECT_EQ(trend.events_per_run(), 1u);
  EXPECT_THAT(trend.places(), testing::ElementsAre(1, 5, 7));
  EXPECT_THAT(trend.means(0), testing::ElementsAre(1, 5, 7));
  EXPECT_THAT(trend.means(1), testing::ElementsAre(2, 2, 2));
  EXPECT_DOUBLE_EQ(trend.mean(0), 13.0 / 3);
  EXPECT_DOUBLE_EQ(trend.slope(0), 1);
  EXPECT_DOUBLE_EQ(trend.slope(1), 0);
}

TEST(event_trend, long_scans_are_joined_in_runs_in_any_order) {
  std::vector<std::uint64_t> order(1000);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::mt19937 random(2);
  std::vector<double> first;
  for (int round = 0; round < 4; ++round) {
    event_trend trend(1, 100);
    for (auto e : order) trend.add(e, std::array{3.0 + 0.25 * static_cast<double>(e)});
    EXPECT_EQ(trend.events_per_run(), 16u);
    EXPECT_EQ(trend.events(), 1000u);
    EXPECT_EQ(trend.places().size(), 63u);
    EXPECT_DOUBLE_EQ(trend.places()[0], 7.5);
    EXPECT_DOUBLE_EQ(trend.means(0)[0], 3 + 7.5 / 4);
    EXPECT_NEAR(trend.slope(0), 0.25, 1e-12);
    EXPECT_NEAR(trend.mean(0), 3 + 499.5 / 4, 1e-9);
    if (first.empty()) first = trend.means(0);
    EXPECT_EQ(trend.means(0), first); // sums are exact here
    std::shuffle(order.begin(), order.end(), random);
  }
}

TEST(event_trend, an_event_far_away_and_none_at_all) {
  event_trend trend(1, 4);
  EXPECT_EQ(trend.mean(0), 0);
  EXPECT_EQ(trend.slope(0), 0);
  EXPECT_TRUE(trend.places().empty());
  trend.add(0, std::array{1.0});
  EXPECT_EQ(trend.slope(0), 0);
  trend.add(std::uint64_t{1} << 40, std::array{5.0});
  EXPECT_THAT(trend.means(0), testing::ElementsAre(1, 5));
}

} // namespace
} // namespace dtranspose
