#include "model/fate_map.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

slot_run run(std::uint64_t first, std::uint32_t count, std::uint32_t stride, std::uint16_t slot = 0,
             std::uint16_t slots = 1) {
  return {{event_number(first), count, stride}, slot_index(slot), slots};
}

TEST(fate_map, keeps_slots_of_one_event_apart) {
  fate_map s;
  s.insert(run(5, 1, 1, 1), fate::folded);
  EXPECT_TRUE(s.overlaps(run(5, 1, 1, 1)));
  EXPECT_FALSE(s.overlaps(run(5, 1, 1, 0)));
  EXPECT_FALSE(s.overlaps(run(5, 1, 1, 2)));
  EXPECT_TRUE(s.overlaps(run(5, 1, 1, 0, 2)));
}

TEST(fate_map, runs_in_step_pass_between_one_another) {
  fate_map s;
  s.insert(run(0, 10, 2), fate::folded);
  EXPECT_FALSE(s.overlaps(run(1, 10, 2)));
  EXPECT_TRUE(s.overlaps(run(1, 10, 1)));
  EXPECT_TRUE(s.overlaps(run(3, 3, 5)));
}

TEST(fate_map, alternating_runs_close_up) {
  fate_map s;
  s.insert(run(0, 1000, 2), fate::folded);
  s.insert(run(1, 1000, 2), fate::folded);
  EXPECT_EQ(s.intervals(), 1u);
}

TEST(fate_map, an_empty_run_has_no_slots) {
  fate_map s;
  s.insert(run(7, 0, 1), fate::folded);
  s.insert(run(7, 0, 3), fate::folded);
  s.insert(run(7, 1, 1, 0, 0), fate::folded);
  EXPECT_EQ(s.intervals(), 0u);
  s.insert(run(0, 100, 1), fate::folded);
  EXPECT_FALSE(s.overlaps(run(7, 0, 1)));
}

TEST(fate_map, is_the_set_that_a_plain_loop_makes) {
  std::mt19937_64 random(18);
  for (int round = 0; round < 200; ++round) {
    fate_map s;
    std::map<std::pair<std::uint64_t, std::uint16_t>, fate> plain;
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
      if (overlaps) continue;
      auto how = below(random, 2) == 0 ? fate::folded : fate::empty;
      s.insert(r, how, how == fate::empty ? "why" : "");
      for (std::uint32_t e = 0; e < r.events.count; ++e)
        for (std::uint16_t k = 0; k < r.slots; ++k)
          plain[{r.events.at(e).value, static_cast<std::uint16_t>(r.first_slot.value + k)}] = how;
    }
    decltype(plain) told;
    for (auto& ended : s.all())
      for (std::uint32_t e = 0; e < ended.slots.events.count; ++e) {
        EXPECT_EQ(ended.cause, ended.how == fate::empty ? "why" : "");
        EXPECT_TRUE(
            told.emplace(std::pair(ended.slots.events.at(e).value, ended.slots.first_slot.value), ended.how)
                .second);
      }
    EXPECT_EQ(told, plain);
  }
}

// The last place that a slot can have: a count that wraps around there would never end.
TEST(fate_map, the_last_slot_of_all_has_a_place) {
  EXPECT_EXIT(
      {
        alarm(2);
        fate_map s;
        s.insert(run(0, 1, 1, 65535), fate::folded);
        std::exit(s.overlaps(run(0, 1, 1, 65535)) && !s.overlaps(run(5, 1, 1, 65535)) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

} // namespace
} // namespace dtranspose
