#include "model/slot_set.hpp"

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

// -- slot_set ------------------------------------------------------------------------------------

slot_run run(std::uint64_t first, std::uint32_t count, std::uint32_t stride, std::uint16_t slot = 0,
             std::uint16_t slots = 1) {
  return {{event_number(first), count, stride}, slot_index(slot), slots};
}

TEST(slot_set, keeps_slots_of_one_event_apart) {
  slot_set s;
  s.insert(run(5, 1, 1, 1));
  EXPECT_TRUE(s.overlaps(run(5, 1, 1, 1)));
  EXPECT_FALSE(s.overlaps(run(5, 1, 1, 0)));
  EXPECT_FALSE(s.overlaps(run(5, 1, 1, 2)));
  EXPECT_TRUE(s.overlaps(run(5, 1, 1, 0, 2)));
}

TEST(slot_set, runs_in_step_pass_between_one_another) {
  slot_set s;
  s.insert(run(0, 10, 2));
  EXPECT_FALSE(s.overlaps(run(1, 10, 2)));
  EXPECT_TRUE(s.overlaps(run(1, 10, 1)));
  EXPECT_TRUE(s.overlaps(run(3, 3, 5)));
}

TEST(slot_set, alternating_runs_close_up) {
  slot_set s;
  s.insert(run(0, 1000, 2));
  s.insert(run(1, 1000, 2));
  EXPECT_EQ(s.intervals(), 1u);
}

TEST(slot_set, an_empty_run_has_no_slots) {
  slot_set s;
  s.insert(run(7, 0, 1));
  s.insert(run(7, 0, 3));
  s.insert(run(7, 1, 1, 0, 0));
  EXPECT_EQ(s.intervals(), 0u);
  s.insert(run(0, 100, 1));
  EXPECT_FALSE(s.overlaps(run(7, 0, 1)));
}

TEST(slot_set, is_the_set_that_a_plain_loop_makes) {
  std::mt19937_64 random(18);
  for (int round = 0; round < 200; ++round) {
    slot_set s;
    std::set<std::pair<std::uint64_t, std::uint16_t>> plain;
    for (int i = 0; i < 30; ++i) {
      auto r =
          run(below(random, 50), static_cast<std::uint32_t>(1 + below(random, 5)),
              static_cast<std::uint32_t>(1 + below(random, 4)), static_cast<std::uint16_t>(below(random, 3)),
              static_cast<std::uint16_t>(1 + below(random, 2)));
      bool overlaps = false;
      for (std::uint32_t e = 0; e < r.events.count; ++e)
        for (std::uint16_t k = 0; k < r.slots; ++k)
          overlaps |=
              plain.contains({r.events.at(e).value, static_cast<std::uint16_t>(r.first_slot.value + k)});
      EXPECT_EQ(s.overlaps(r), overlaps);
      if (overlaps && below(random, 2)) continue;
      s.insert(r);
      for (std::uint32_t e = 0; e < r.events.count; ++e)
        for (std::uint16_t k = 0; k < r.slots; ++k)
          plain.insert({r.events.at(e).value, static_cast<std::uint16_t>(r.first_slot.value + k)});
    }
  }
}

// The last place that a slot can have: a count that wraps around there would never end.
TEST(slot_set, the_last_slot_of_all_has_a_place) {
  EXPECT_EXIT(
      {
        alarm(2);
        slot_set s;
        s.insert(run(0, 1, 1, 65535));
        std::exit(s.overlaps(run(0, 1, 1, 65535)) && !s.overlaps(run(5, 1, 1, 65535)) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

} // namespace
} // namespace dtranspose
