#include "model/load_history.hpp"

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

void expect_span(const load_history::span& span, std::int64_t total, std::uint64_t active,
                 std::uint64_t events) {
  EXPECT_EQ(span.total, total);
  EXPECT_EQ(span.active, active);
  EXPECT_EQ(span.events, events);
}

TEST(load_history, says_how_busy_the_last_events_were) {
  load_history history;
  EXPECT_TRUE(history.empty());
  // {events that ended, when, busy, processed}
  history.note({0, 1000, 0, 0}); // nothing yet
  EXPECT_TRUE(history.empty());
  history.note({10, 1100, 50, 5});
  history.note({20, 1300, 60, 8});
  history.note({21, 1350, 60, 8}); // nothing new
  history.note({30, 1400, 160, 9});
  EXPECT_EQ(history.last_event(), 30u);
  expect_span(history.over_last(1, 31, 1000), 100, 100, 1);
  expect_span(history.over_last(11, 31, 1000), 300, 110, 4);
  expect_span(history.over_last(1000, 31, 1000), 400, 160, 9);
  expect_span(history.over_last(1, 100, 1000), 0, 0, 0); // others were busy since
  expect_span(history.over_all(1000), 400, 160, 9);
}

TEST(load_history, keeps_so_many_reports) {
  load_history history;
  constexpr std::uint64_t n = 2 * load_history::most_reports;
  for (std::uint64_t i = 1; i <= n; ++i) history.note({i, static_cast<std::int64_t>(1000 + i), i, i});
  auto span = history.over_last(n, n, 1000);
  EXPECT_EQ(span.events, load_history::most_reports);
  EXPECT_EQ(span.total, static_cast<std::int64_t>(load_history::most_reports));
  EXPECT_EQ(history.over_all(1000).events, n);
}

} // namespace
} // namespace dtranspose
