#include "analysis/correlate.hpp"

#include <random>

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using settings_of = std::map<std::string, std::string>;

settings_of of(settings_of more = {}) {
  more.merge(settings_of{{"a", "alba:channel1"}, {"b", "alba:channel2"}, {"window", "50"}, {"lags", "5"}});
  return more;
}

/// Channel 2 is as many events behind channel 1.
void run(driven_analysis& a, std::int64_t behind, std::size_t n = 1000) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> signal(n + 40);
  for (auto& s : signal) s = normal(random);
  for (std::size_t k = 0; k < n; ++k)
    EXPECT_TRUE(
        a.take(reading(signal[k + 20],
                       signal[static_cast<std::size_t>(static_cast<std::int64_t>(k) + 20 - behind)], k + 1)));
  a.finish();
}

TEST(correlate, says_that_streams_are_aligned) {
  driven_analysis a("correlate", of());
  run(a, 0);
  EXPECT_FALSE(*a.at("alarm").as_bool());
  EXPECT_THAT(*a.at("verdict").as_text(), HasSubstr("aligned"));
  EXPECT_DOUBLE_EQ(a.numbers("lags/correlation")[5], 1);
  EXPECT_TRUE(a.opens_as_plot({11}));
}

TEST(correlate, says_which_is_behind_and_since_when) {
  driven_analysis late("correlate", of()), early("correlate", of());
  run(late, 1);
  EXPECT_TRUE(*late.at("alarm").as_bool());
  EXPECT_EQ(*late.at("verdict").as_text(),
            "alba:channel2 is 1 event behind alba:channel1, from about event 0 on");
  run(early, -3);
  EXPECT_EQ(*early.at("verdict").as_text(),
            "alba:channel1 is 3 events behind alba:channel2, from about event 0 on");
  EXPECT_EQ(late.numbers("history/best_lag")[4], 1);
}

TEST(correlate, without_enough_events_it_cannot_tell) {
  driven_analysis a("correlate", of());
  EXPECT_THAT(*a.at("verdict").as_text(), HasSubstr("cannot be told"));
  run(a, 2, 10);
  EXPECT_THAT(*a.at("verdict").as_text(), HasSubstr("cannot be told"));
  EXPECT_FALSE(*a.at("alarm").as_bool());
}

TEST(correlate, parameters_that_cannot_be_used_are_named) {
  EXPECT_THAT(refusal("correlate", {}), HasSubstr("'a'"));
  EXPECT_THAT(refusal("correlate", of({{"b", "x"}})), HasSubstr("'b'"));
  EXPECT_THAT(refusal("correlate", of({{"window", "5"}})), HasSubstr("'window'"));
  EXPECT_THAT(refusal("correlate", of({{"lags", "0"}})), HasSubstr("'lags'"));
  EXPECT_THAT(refusal("correlate", of({{"lags", "26"}})), HasSubstr("half of a window"));
  EXPECT_THAT(refusal("correlate", of({{"spread", "0"}})), HasSubstr("'spread'"));
  EXPECT_THAT(refusal("correlate", of({{"in_a_row", "0"}})), HasSubstr("'in_a_row'"));
}

} // namespace
} // namespace dtranspose
