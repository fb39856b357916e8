#include "analysis/timeint.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using settings_of = std::map<std::string, std::string>;

settings_of of(settings_of more) {
  more.merge(settings_of{{"signal", "alba:channel1"}});
  return more;
}

value at_time(double signal, double time) { return value_map{{"signal", signal}, {"time", time}}; }

TEST(timeint, sums_so_many_events) {
  driven_analysis a("timeint", of({{"events", "3"}}));
  for (std::uint64_t i = 1; i <= 8; ++i) EXPECT_TRUE(a.take(reading(static_cast<double>(i), 0, i)));
  EXPECT_EQ(a.numbers("intervals/sum"), (std::vector<double>{6, 15, 15}));
  EXPECT_EQ(a.numbers("intervals/mean"), (std::vector<double>{2, 5, 7.5}));
  EXPECT_EQ(a.numbers("intervals/begin"), (std::vector<double>{1, 4, 7}));
  EXPECT_EQ(a.numbers<std::uint64_t>("intervals/events"), (std::vector<std::uint64_t>{3, 3, 2}));
  EXPECT_TRUE(a.opens_as_plot({3}));
}

TEST(timeint, sums_so_many_seconds_wherever_the_events_are) {
  driven_analysis a("timeint", of({{"time", "alba:timestamp"}, {"seconds", "0.5"}, {"origin", "100"}}));
  for (auto [x, t] : {std::pair(1.0, 100.0), {2.0, 100.4}, {4.0, 100.5}, {8.0, 99.9}, {16.0, 250.2}})
    a.fold(at_time(x, t));
  EXPECT_EQ(a.numbers("intervals/begin"), (std::vector<double>{99.5, 100, 100.5, 250}));
  EXPECT_EQ(a.numbers("intervals/sum"), (std::vector<double>{8, 3, 4, 16}));
}

TEST(timeint, an_interval_that_lacks_events_says_so) {
  driven_analysis a("timeint", of({{"events", "2"}}));
  a.take(reading(1, 0, 1));
  a.take(reading(1, 0, 6));
  EXPECT_EQ(a.numbers("intervals/begin"), (std::vector<double>{1, 5}));
  EXPECT_EQ(a.numbers<std::uint64_t>("intervals/events"), (std::vector<std::uint64_t>{1, 1}));
}

TEST(timeint, what_has_no_place_is_counted) {
  driven_analysis a("timeint", of({{"time", "alba:timestamp"}, {"seconds", "1"}}));
  for (double t : {std::nan(""), HUGE_VAL, 1e300}) a.fold(at_time(1, t));
  a.fold(at_time(NAN, 1));
  EXPECT_EQ(a.number("unusable"), 4);
  EXPECT_TRUE(a.numbers("intervals/sum").empty());
  driven_analysis later("timeint", of({{"first", "5"}}));
  later.take(reading(1, 0, 4));
  EXPECT_EQ(later.number("unusable"), 1);
}

TEST(timeint, order_does_not_matter) {
  std::mt19937 random(1);
  std::vector<value> results;
  for (int i = 0; i < 1000; ++i) results.push_back(at_time(1e-7 * static_cast<double>(random()), i * 0.01));
  std::optional<value> first;
  for (int turn = 0; turn < 4; ++turn) {
    driven_analysis a("timeint", of({{"time", "alba:timestamp"}}));
    for (auto& r : results) a.fold(r);
    if (!first) first = a.tree();
    EXPECT_EQ(a.tree(), *first);
    std::shuffle(results.begin(), results.end(), random);
  }
}

TEST(timeint, intervals_without_end_are_refused) {
  driven_analysis a("timeint", of({{"time", "alba:timestamp"}, {"seconds", "1e-6"}}));
  for (int i = 0; i < 1'000'000; ++i) a.fold(at_time(1, i * 1.5e-6 + 1));
  EXPECT_THROW(a.fold(at_time(1, 10)), std::runtime_error);
  EXPECT_NO_THROW(a.fold(at_time(1, 1)));
  EXPECT_EQ(a.number("events"), 1'000'001);
}

TEST(timeint, parameters_that_cannot_be_used_are_named) {
  EXPECT_THAT(refusal("timeint", {}), HasSubstr("'signal'"));
  EXPECT_THAT(refusal("timeint", of({{"events", "0"}})), HasSubstr("'events'"));
  EXPECT_THAT(refusal("timeint", of({{"first", "-1"}})), HasSubstr("'first'"));
  for (auto seconds : {"0", "-1", "nan", "inf"})
    EXPECT_THAT(refusal("timeint", of({{"time", "alba:timestamp"}, {"seconds", seconds}})),
                HasSubstr("'seconds'"));
  EXPECT_THAT(refusal("timeint", of({{"origin", "nan"}})), HasSubstr("'origin'"));
}

} // namespace
} // namespace dtranspose
