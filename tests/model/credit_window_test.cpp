#include "model/credit_window.hpp"

#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

constexpr std::uint64_t millisecond = 1'000'000;
constexpr std::uint64_t plenty = std::uint64_t{1} << 40;

/// The worker is through with a whole window of events of that kind.
void use_up(credit_window& w, std::uint64_t busy, std::uint64_t bytes) {
  auto events = w.window();
  w.done(events, events * busy, events * bytes);
}

/// A window after many events of that kind.
credit_window settled(std::uint64_t memory, std::uint64_t busy, std::uint64_t bytes) {
  credit_window w(memory);
  for (int i = 0; i < 100; ++i) use_up(w, busy, bytes);
  return w;
}

TEST(credit_window, begins_with_a_few_events) {
  credit_window w(plenty);
  EXPECT_EQ(w.granted(), credit_window::initial);
  EXPECT_EQ(w.processed(), 0u);
}

TEST(credit_window, holds_some_milliseconds_of_work) {
  EXPECT_EQ(settled(plenty, millisecond, 100).window(), 20u);
  EXPECT_EQ(settled(plenty, 2 * millisecond, 100).window(), 10u);
}

TEST(credit_window, holds_no_more_than_the_memory_for_it) {
  EXPECT_EQ(settled(10'000, 1000, 1000).window(), 10u);
}

TEST(credit_window, stays_within_its_limits) {
  EXPECT_EQ(settled(plenty, 0, 0).window(), credit_window::largest);
  EXPECT_EQ(settled(plenty, 1000 * millisecond, 1).window(), credit_window::smallest);
  EXPECT_EQ(settled(0, 1, 1).window(), credit_window::smallest);
  EXPECT_EQ(settled(1000, 1, 1 << 30).window(), credit_window::smallest);
}

TEST(credit_window, no_events_change_nothing) {
  credit_window w(plenty);
  w.done(0, 1000 * millisecond, 1 << 30);
  EXPECT_EQ(w.granted(), credit_window::initial);
  EXPECT_EQ(w.window(), credit_window::initial);
}

TEST(credit_window, at_most_doubles_at_a_time) {
  credit_window w(plenty);
  for (auto expected = 2 * credit_window::initial; expected <= credit_window::largest; expected *= 2) {
    use_up(w, 1, 1);
    EXPECT_EQ(w.window(), expected);
  }
}

TEST(credit_window, shrinks_at_once_where_events_become_slow) {
  auto w = settled(plenty, 1, 1);
  w.done(1, 1000 * millisecond, 1);
  EXPECT_EQ(w.window(), credit_window::smallest);
}

TEST(credit_window, credit_never_sinks_and_never_runs_away) {
  std::mt19937_64 random(27);
  for (int round = 0; round < 200; ++round) {
    credit_window w(random() >> (random() % 64));
    std::uint64_t before = w.granted();
    for (int i = 0; i < 100; ++i) {
      auto in_hand = w.granted() - w.processed();
      if (in_hand == 0) w.done(0, 0, 0);
      auto events = in_hand == 0 ? 0 : random() % (in_hand + 1);
      w.done(events, random() >> (random() % 64), random() >> (random() % 64));
      EXPECT_GE(w.granted(), before);
      before = w.granted();
      ASSERT_GE(w.granted(), w.processed());
      EXPECT_LE(w.granted() - w.processed(), credit_window::largest);
      EXPECT_GE(w.window(), credit_window::smallest);
      EXPECT_LE(w.window(), credit_window::largest);
    }
  }
}

TEST(credit_window, a_worker_that_did_all_it_was_given_is_given_more) {
  std::mt19937_64 random(28);
  credit_window w(plenty);
  for (int i = 0; i < 1000; ++i) {
    w.done(w.granted() - w.processed(), random(), random() >> 20);
    EXPECT_GE(w.granted(), w.processed() + credit_window::smallest);
  }
}

} // namespace
} // namespace dtranspose
