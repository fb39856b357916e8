#include "analysis/lag_scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

struct event_pair {
  std::uint64_t event;
  double a, b;
};

/// b follows a with some noise, `lag` events later from event `from` on.
std::vector<event_pair> series(std::size_t n, std::int64_t lag, std::size_t from = 0, double slope = 2) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  std::vector<double> signal(n + 40);
  for (auto& s : signal) s = normal(random);
  std::vector<event_pair> events;
  for (std::size_t k = 0; k < n; ++k) {
    auto shifted = static_cast<std::int64_t>(k) + 20 - (k >= from ? lag : 0);
    events.push_back({k, 1e6 + signal[k + 20],
                      -5 + slope * signal[static_cast<std::size_t>(shifted)] + 0.5 * normal(random)});
  }
  return events;
}

lag_scan scanned(const std::vector<event_pair>& events, const lag_scan_settings& settings = {}) {
  lag_scan scan(settings);
  for (auto& e : events) scan.add(e.event, e.a, e.b);
  scan.finish();
  return scan;
}

TEST(lag_scan, what_is_aligned_raises_no_alarm) {
  auto scan = scanned(series(5000, 0));
  ASSERT_EQ(scan.windows().size(), 25u);
  for (auto& window : scan.windows()) {
    EXPECT_EQ(window.best, 0);
    EXPECT_NEAR(window.at_zero, 0.97, 0.02);
    EXPECT_FALSE(window.shifted);
  }
  EXPECT_FALSE(scan.first_alarm());
}

TEST(lag_scan, every_lag_is_found_with_its_sign) {
  for (std::int64_t lag = -10; lag <= 10; ++lag) {
    auto scan = scanned(series(2000, lag));
    EXPECT_EQ(scan.windows()[3].best, lag);
    ASSERT_EQ(scan.first_alarm().has_value(), lag != 0) << lag;
    if (lag != 0) {
      EXPECT_EQ(scan.first_alarm()->lag, lag);
    }
  }
}

TEST(lag_scan, an_alarm_names_where_it_began) {
  auto scan = scanned(series(5000, 1, 2000));
  ASSERT_TRUE(scan.first_alarm());
  EXPECT_EQ(scan.first_alarm()->event, 2000u);
  EXPECT_TRUE(scan.shifted_now());
}

TEST(lag_scan, one_window_is_not_enough) {
  auto events = series(3000, 0);
  auto shifted = series(3000, 4);
  std::copy(shifted.begin() + 1000, shifted.begin() + 1400, events.begin() + 1000);
  EXPECT_FALSE(scanned(events).first_alarm());
  EXPECT_TRUE(scanned(events, {.in_a_row = 2}).first_alarm());
  EXPECT_FALSE(scanned(events, {.in_a_row = 2}).shifted_now());
}

TEST(lag_scan, numbers_that_run_against_each_other_are_aligned_too) {
  auto scan = scanned(series(1000, 0, 0, -2));
  EXPECT_EQ(scan.windows()[2].best, 0);
  EXPECT_LT(scan.windows()[2].at_zero, -0.9);
}

TEST(lag_scan, chance_raises_no_alarm) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<event_pair> events;
  for (std::uint64_t k = 0; k < 100'000; ++k) events.push_back({k, normal(random), normal(random)});
  EXPECT_FALSE(scanned(events).first_alarm());
}

TEST(lag_scan, a_slow_change_alone_raises_no_alarm) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<event_pair> events;
  for (std::uint64_t k = 0; k < 10'000; ++k) {
    auto slow = std::sin(static_cast<double>(k) / 300);
    events.push_back({k, slow + 0.01 * normal(random), slow + 0.01 * normal(random)});
  }
  EXPECT_FALSE(scanned(events).first_alarm());
}

TEST(lag_scan, a_smooth_motion_that_slips_by_one_is_found) {
  std::vector<event_pair> events;
  for (std::uint64_t k = 0; k < 2000; ++k)
    events.push_back({k, static_cast<double>(k % 30), static_cast<double>((k + (k > 800 ? 1 : 0)) % 30)});
  auto scan = scanned(events);
  ASSERT_TRUE(scan.first_alarm());
  EXPECT_EQ(scan.first_alarm()->lag, -1);
  EXPECT_EQ(scan.first_alarm()->event, 800u);
}

TEST(lag_scan, gaps_and_nan_are_left_out) {
  auto events = series(4000, 3);
  std::mt19937 random(1);
  std::erase_if(events, [&](auto&) { return random() % 10 == 0; });
  for (auto& e : events)
    if (random() % 10 == 0) e.b = NAN;
  auto scan = scanned(events);
  ASSERT_TRUE(scan.first_alarm());
  EXPECT_EQ(scan.first_alarm()->lag, 3);
}

TEST(lag_scan, what_does_not_change_or_is_mostly_missing_cannot_be_told) {
  for (auto constant : {0.0, 7.25, 1e-30, -3e8}) {
    auto events = series(1000, 0);
    for (auto& e : events) e.b = constant;
    auto scan = scanned(events);
    for (auto& window : scan.windows()) EXPECT_FALSE(window.best);
    EXPECT_FALSE(scan.first_alarm());
  }
  auto events = series(1000, 0);
  for (auto& e : events)
    if (e.event % 3 != 0) e.a = NAN;
  auto scan = scanned(events);
  for (auto& window : scan.windows()) EXPECT_FALSE(window.best);
}

TEST(lag_scan, order_within_two_windows_does_not_matter) {
  auto events = series(5000, 2, 1000);
  auto plain = scanned(events);
  std::mt19937 random(2);
  for (std::size_t begin = 0; begin + 400 <= events.size(); begin += 400)
    std::shuffle(events.begin() + static_cast<std::ptrdiff_t>(begin),
                 events.begin() + static_cast<std::ptrdiff_t>(begin) + 400, random);
  auto shuffled = scanned(events);
  ASSERT_EQ(shuffled.windows().size(), plain.windows().size());
  for (std::size_t i = 0; i < plain.windows().size(); ++i)
    EXPECT_EQ(shuffled.windows()[i].correlation, plain.windows()[i].correlation);
  EXPECT_EQ(shuffled.late_events(), 0u);
}

TEST(lag_scan, what_comes_too_late_is_counted) {
  auto events = series(3000, 0);
  std::rotate(events.begin(), events.begin() + 1, events.end()); // event 0 comes last
  auto scan = scanned(events);
  EXPECT_EQ(scan.late_events(), 1u);
}

TEST(lag_scan, a_huge_gap_takes_neither_time_nor_memory) {
  auto events = series(2000, 0);
  for (auto& e : events)
    if (e.event >= 1000) e.event += std::uint64_t{1} << 60;
  auto scan = scanned(events);
  EXPECT_LE(scan.windows().size(), 12u);
  lag_scan far({});
  far.add(std::uint64_t{1} << 60, 1, 2);
  far.finish();
  EXPECT_EQ(far.windows().size(), 1u);
}

} // namespace
} // namespace dtranspose
