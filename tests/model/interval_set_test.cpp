#include "model/interval_set.hpp"

#include <random>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>

namespace dtranspose {
namespace {

std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

// -- interval_set --------------------------------------------------------------------------------

TEST(interval_set, joins_what_touches) {
  interval_set s;
  s.insert(5, 7);
  s.insert(9, 10);
  EXPECT_EQ(s.intervals(), 2u);
  s.insert(7, 9);
  EXPECT_EQ(s.intervals(), 1u);
  EXPECT_EQ(s.size(), 5u);
  EXPECT_FALSE(s.contains(4));
  EXPECT_TRUE(s.contains(5));
  EXPECT_TRUE(s.contains(9));
  EXPECT_FALSE(s.contains(10));
}

TEST(interval_set, an_empty_range_adds_nothing_and_overlaps_nothing) {
  interval_set s;
  s.insert(3, 3);
  s.insert(5, 4);
  EXPECT_EQ(s.intervals(), 0u);
  s.insert(0, 10);
  EXPECT_FALSE(s.overlaps(5, 5));
}

TEST(interval_set, reaches_the_ends_of_the_numbers) {
  constexpr auto last = ~std::uint64_t{0};
  interval_set s;
  s.insert(0, 1);
  s.insert(last - 1, last);
  EXPECT_TRUE(s.contains(0));
  EXPECT_TRUE(s.contains(last - 1));
  EXPECT_TRUE(s.overlaps(1, last));
  EXPECT_FALSE(s.overlaps(1, last - 1));
}

TEST(interval_set, is_the_set_that_a_plain_loop_makes) {
  std::mt19937_64 random(17);
  for (int round = 0; round < 300; ++round) {
    interval_set s;
    std::set<std::uint64_t> plain;
    for (int i = 0; i < 40; ++i) {
      auto first = below(random, 60), end = first + below(random, 8);
      s.insert(first, end);
      for (auto x = first; x < end; ++x) plain.insert(x);
      auto a = below(random, 60), b = a + 1 + below(random, 5);
      auto i_plain = plain.lower_bound(a);
      EXPECT_EQ(s.overlaps(a, b), i_plain != plain.end() && *i_plain < b);
      EXPECT_EQ(s.contains(a), plain.contains(a));
    }
    EXPECT_EQ(s.size(), plain.size());
    std::uint64_t behind = 0;
    for (auto& [first, end] : s) {
      EXPECT_TRUE(first < end && (behind == 0 || first > behind)) << "apart, in order, not empty";
      behind = end;
    }
  }
}

} // namespace
} // namespace dtranspose
