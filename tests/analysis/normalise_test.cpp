#include "analysis/normalise.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using settings_of = std::map<std::string, std::string>;

const settings_of usual{{"signal", "alba:channel2"}, {"monitor", "alba:channel1"}};

TEST(normalise, divides_event_by_event) {
  auto set = usual;
  set.merge(settings_of{{"signal_offset", "1"}, {"monitor_offset", "0.5"}, {"reference", "10"}});
  driven_analysis a("normalise", set);
  auto found = a.process(reading(2.5, 7));
  EXPECT_EQ(found.content().find("normalised")->as_number(), 30);
  EXPECT_EQ(found.content().find("signal")->as_number(), 7);
}

TEST(normalise, mean_deviation_and_course_are_known) {
  driven_analysis a("normalise", usual);
  for (std::uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(a.take(reading(2, 2.0 * static_cast<double>(i), i)));
  EXPECT_DOUBLE_EQ(a.number("mean"), 2.5);
  EXPECT_DOUBLE_EQ(a.number("deviation"), std::sqrt(5.0 / 3));
  EXPECT_EQ(a.numbers("curve/mean"), (std::vector<double>{1, 2, 3, 4}));
  EXPECT_EQ(a.numbers<std::uint64_t>("curve/event"), (std::vector<std::uint64_t>{1, 2, 3, 4}));
  EXPECT_TRUE(a.opens_as_plot({4}));
}

TEST(normalise, a_monitor_that_shows_nothing_is_counted) {
  driven_analysis a("normalise", usual);
  for (auto monitor : {0.0, -1.0}) EXPECT_TRUE(a.take(reading(monitor, 5)));
  EXPECT_TRUE(a.take(streams::made_event({{"contrast", streams::contrast({})}}, {"alba"})) == false);
  EXPECT_EQ(a.number("unusable"), 2);
  EXPECT_TRUE(std::isnan(a.number("mean")));
  EXPECT_TRUE(std::isnan(a.process(reading(0, 5)).content().find("normalised")->as_number().value()));
}

TEST(normalise, a_curve_of_many_events_is_halved_the_same_in_any_order) {
  std::mt19937 random(1);
  std::vector<std::uint64_t> events(20'000);
  for (std::size_t i = 0; i < events.size(); ++i) events[i] = i;
  std::optional<value> first;
  for (int turn = 0; turn < 3; ++turn) {
    driven_analysis a("normalise", usual);
    for (auto i : events) a.fold(value_map{{"normalised", std::sin(0.001 * static_cast<double>(i))}}, i);
    if (!first) first = a.tree();
    EXPECT_EQ(a.tree(), *first);
    std::shuffle(events.begin(), events.end(), random);
    auto counts = a.numbers<std::uint64_t>("curve/events");
    EXPECT_EQ(counts.size(), 2500u);
    EXPECT_EQ(counts.front(), 8u);
    EXPECT_NEAR(a.numbers("curve/mean")[100], std::sin(0.8035), 1e-5);
  }
}

TEST(normalise, wants_two_numbers) {
  EXPECT_THAT(refusal("normalise", {}), HasSubstr("'signal'"));
  EXPECT_THAT(refusal("normalise", {{"signal", "alba:channel1"}}), HasSubstr("'monitor'"));
  auto set = usual;
  set["reference"] = "nan";
  EXPECT_THAT(refusal("normalise", set), HasSubstr("'reference'"));
  EXPECT_NO_THROW(
      make_normalise_analysis()->describe_results(complete_parameters(*make_normalise_analysis(), {})));
}

} // namespace
} // namespace dtranspose
