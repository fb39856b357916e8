#include "analysis/histogram.hpp"

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using settings_of = std::map<std::string, std::string>;
using counts = std::vector<std::uint64_t>;

settings_of of(std::string low, std::string high, std::string intervals) {
  return {{"signal", "alba:channel1"}, {"low", low}, {"high", high}, {"intervals", intervals}};
}

TEST(histogram, counts_what_lies_where) {
  driven_analysis a("histogram", of("0", "3", "3"));
  for (auto x : {0.0, 0.5, 1.0, 2.999, 3.0, 3.001, -0.001, 1e300}) EXPECT_TRUE(a.take(reading(x, 0)));
  EXPECT_EQ(a.numbers<std::uint64_t>("histogram/counts"), (counts{2, 1, 2}));
  EXPECT_EQ(a.numbers("histogram/edges"), (std::vector<double>{0, 1, 2, 3}));
  EXPECT_EQ(a.number("below"), 1);
  EXPECT_EQ(a.number("above"), 2);
  EXPECT_TRUE(a.opens_as_plot({3}));
}

TEST(histogram, edges_belong_to_the_interval_that_they_begin) {
  driven_analysis a("histogram", of("0", "1", "10"));
  auto edges = a.numbers("histogram/edges");
  for (std::size_t i = 0; i < 10; ++i) a.fold(value_map{{"signal", edges[i]}});
  EXPECT_EQ(a.numbers<std::uint64_t>("histogram/counts"), counts(10, 1));
}

TEST(histogram, what_is_no_number_is_counted_apart) {
  driven_analysis a("histogram", of("-1", "1", "2"));
  for (auto x : {NAN, INFINITY, -INFINITY}) a.fold(value_map{{"signal", x}});
  EXPECT_EQ(a.number("without_number"), 1);
  EXPECT_EQ(a.number("below"), 1);
  EXPECT_EQ(a.number("above"), 1);
  EXPECT_EQ(a.number("events"), 3);
}

TEST(histogram, parameters_that_cannot_be_used_are_named) {
  EXPECT_THAT(refusal("histogram", {}), HasSubstr("'signal'"));
  for (auto [low, high] : {std::pair("1", "1"), {"2", "1"}, {"nan", "1"}, {"0", "inf"}, {"-1e308", "1e308"}})
    EXPECT_THAT(refusal("histogram", of(low, high, "5")), HasSubstr("'low' and 'high'")) << low;
  for (auto intervals : {"0", "-1", "100000000"})
    EXPECT_THAT(refusal("histogram", of("0", "1", intervals)), HasSubstr("'intervals'")) << intervals;
}

} // namespace
} // namespace dtranspose
