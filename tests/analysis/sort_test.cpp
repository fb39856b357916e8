#include "analysis/sort.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using settings_of = std::map<std::string, std::string>;

settings_of raster(settings_of more = {}) {
  more.merge(settings_of{{"signal", "alba:channel1"},
                         {"x", "contrast:sx"},
                         {"x_grid", "0:2:3"},
                         {"y", "contrast:sy"},
                         {"y_grid", "10:11:2"}});
  return more;
}

TEST(sort, means_are_in_the_cells_where_they_were_measured) {
  driven_analysis a("sort", raster());
  a.take(reading(5, 0, 1, 2.1, 10.9));
  a.take(reading(1, 0, 2, 0, 10));
  a.take(reading(4, 0, 3, 0.2, 10.2));
  auto mean = a.numbers("map/mean");
  EXPECT_EQ(mean[0], 2.5);
  EXPECT_EQ(mean[5], 5);
  for (int cell : {1, 2, 3, 4}) EXPECT_TRUE(std::isnan(mean[cell]));
  EXPECT_EQ(a.numbers<std::uint32_t>("map/events_in_cell"), (std::vector<std::uint32_t>{2, 0, 0, 0, 0, 1}));
  EXPECT_TRUE(a.opens_as_plot({2, 3}));
}

TEST(sort, cells_can_be_normalised) {
  driven_analysis a("sort", raster({{"i0", "alba:channel2"}}));
  a.take(reading(6, 2, 1, 1, 10));
  a.take(reading(6, 4, 1, 1, 10));
  a.take(reading(6, 0, 1, 1, 10)); // no light
  EXPECT_EQ(a.numbers("map/mean")[1], 2);
  EXPECT_EQ(a.number("unusable"), 1);
}

TEST(sort, one_axis_is_a_curve) {
  driven_analysis a("sort", {{"signal", "alba:channel1"}, {"x", "contrast:sx"}, {"x_grid", "3:0:4"}});
  a.take(reading(7, 0, 1, 2));
  EXPECT_EQ(a.numbers("map/mean")[1], 7);
  EXPECT_TRUE(a.opens_as_plot({4}));
}

TEST(sort, what_has_no_place_is_counted) {
  driven_analysis a("sort", raster());
  a.take(reading(1, 0, 1, NAN, 10));
  a.take(reading(1, 0, 1, 9, 10));
  a.take(streams::made_event({{"alba", streams::alba({{1, 1}})}}, {"contrast"}));
  a.take(streams::made_event({{"contrast", streams::contrast({{"sx", 0.0}, {"sy", 10.0}})}}, {"alba"}));
  EXPECT_EQ(a.number("events"), 4);
  EXPECT_EQ(a.number("without_position"), 2);
  EXPECT_EQ(a.number("outside"), 1);
  EXPECT_EQ(a.number("unusable"), 1);
}

TEST(sort, order_does_not_matter) {
  std::mt19937 random(1);
  std::vector<value> results;
  for (int i = 0; i < 500; ++i)
    results.push_back(value_map{{"signal", 1e-9 * static_cast<double>(random())},
                                {"x", static_cast<double>(random() % 3)},
                                {"y", 10.0 + random() % 2}});
  std::optional<value> first;
  for (int turn = 0; turn < 5; ++turn) {
    driven_analysis a("sort", raster());
    for (auto& r : results) a.fold(r);
    if (!first) first = a.tree();
    EXPECT_EQ(a.tree().find("map")->find("mean")->as_array()->bytes().size(), 48u);
    EXPECT_EQ(a.tree(), *first);
    std::shuffle(results.begin(), results.end(), random);
  }
}

TEST(sort, parameters_that_cannot_be_used_are_named) {
  EXPECT_THAT(refusal("sort", {}), HasSubstr("'signal'"));
  EXPECT_THAT(refusal("sort", raster({{"x", "sx"}})), HasSubstr("'x'"));
  EXPECT_THAT(refusal("sort", raster({{"x_grid", "0:1:0"}})), HasSubstr("'x_grid'"));
  EXPECT_THAT(refusal("sort", raster({{"y", ""}})), HasSubstr("'y_grid'"));
  EXPECT_THAT(refusal("sort", raster({{"x_grid", "0:1:1000000"}, {"y_grid", "0:1:1000000"}})),
              HasSubstr("memory"));
}

} // namespace
} // namespace dtranspose
