#include "analysis/statistics.hpp"

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using settings_of = std::map<std::string, std::string>;

settings_of with(settings_of more) {
  more.emplace("signal", "alba:channel1");
  return more;
}

TEST(statistics, mean_deviation_and_standard_error_are_known) {
  driven_analysis a("statistics", with({}));
  for (std::uint64_t i = 1; i <= 4; ++i) EXPECT_TRUE(a.take(reading(static_cast<double>(i), 0, i)));
  EXPECT_DOUBLE_EQ(a.number("mean"), 2.5);
  EXPECT_DOUBLE_EQ(a.number("deviation"), std::sqrt(5.0 / 3));
  EXPECT_DOUBLE_EQ(a.number("standard_error"), std::sqrt(5.0 / 3) / 2);
  EXPECT_TRUE(a.opens_as_plot({4}));
  EXPECT_THAT(a.decisions(), IsEmpty());
}

TEST(statistics, decides_once_when_the_mean_is_known_well_enough) {
  driven_analysis a("statistics", with({{"precision", "0.1"}, {"least", "3"}}));
  // 8 and 12 by turns: the deviation is near 2, the standard error 1 from the fifth on.
  std::vector<decision> made;
  for (std::uint64_t i = 0; i < 20; ++i) {
    a.take(reading(i % 2 ? 12 : 8, 0, i));
    for (auto& d : a.decisions()) {
      EXPECT_EQ(i, 5u);
      made.push_back(d);
    }
  }
  ASSERT_THAT(made, SizeIs(1));
  EXPECT_EQ(made[0].name, "good_enough");
  EXPECT_EQ(made[0].event, event_number(5));
  EXPECT_TRUE(made[0].stop);
  EXPECT_EQ(made[0].content.find("mean")->as_number(), 10);
  EXPECT_LE(made[0].content.find("standard_error")->as_number(), 1.0);
}

TEST(statistics, waits_for_the_least_number_of_events) {
  driven_analysis a("statistics", with({{"precision", "0.5"}, {"least", "7"}}));
  for (std::uint64_t i = 0; i < 6; ++i) a.take(reading(5, 0, i));
  EXPECT_THAT(a.decisions(), IsEmpty());
  a.take(reading(5, 0, 6));
  EXPECT_THAT(a.decisions(), SizeIs(1));
}

TEST(statistics, what_is_no_number_is_counted_and_left_out) {
  driven_analysis a("statistics", with({{"precision", "0.5"}, {"least", "2"}}));
  a.take(reading(NAN, 0, 0));
  a.take(reading(3, 0, 1));
  EXPECT_THAT(a.decisions(), IsEmpty());
  EXPECT_EQ(a.number("unusable"), 1);
  EXPECT_EQ(a.number("mean"), 3);
}

TEST(statistics, refuses_what_it_cannot_use) {
  EXPECT_THAT(refusal("statistics", with({{"precision", "2"}})), HasSubstr("parameter 'precision'"));
  EXPECT_THAT(refusal("statistics", with({{"precision", "nan"}})), HasSubstr("parameter 'precision'"));
  EXPECT_THAT(refusal("statistics", with({{"least", "1"}})), HasSubstr("parameter 'least'"));
  EXPECT_THAT(refusal("statistics", {}), HasSubstr("parameter 'signal'"));
}

} // namespace
} // namespace dtranspose
