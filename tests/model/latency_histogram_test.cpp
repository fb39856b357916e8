#include "model/latency_histogram.hpp"

#include <numeric>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

TEST(latency_histogram, counts_by_bucket) {
  latency_histogram all;
  constexpr std::int64_t ms = 1'000'000;
  for (std::int64_t t : {std::int64_t{0}, std::int64_t{50'000}, ms, ms + 1, 3000 * 1000 * ms}) all.add(t);
  EXPECT_EQ(all.counts()[0], 2u); // an end belongs to its bucket
  EXPECT_EQ(all.counts()[4], 1u);
  EXPECT_EQ(all.counts()[5], 1u);
  EXPECT_EQ(all.counts().back(), 1u);
  EXPECT_EQ(std::accumulate(all.counts().begin(), all.counts().end(), 0u), 5u);
  EXPECT_NEAR(all.sum(), 3000.002051, 1e-6);
}

TEST(latency_histogram, has_rising_ends) { EXPECT_TRUE(std::ranges::is_sorted(latency_histogram::ends)); }

} // namespace
} // namespace dtranspose
