#include "output/live_results.hpp"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsNan;

using shape = std::vector<std::size_t>;

std::vector<double> reals(const array& a) {
  auto elements = a.elements<double>();
  return {elements.begin(), elements.end()};
}

live_rows rows_of(std::uint64_t events, std::size_t most_bytes = 1 << 20) {
  return {{.name = "mean"}, events, most_bytes};
}

TEST(live_rows, rows_that_no_event_gave_are_missing) {
  auto rows = rows_of(4);
  rows.set(2, 5.0);
  rows.set(0, 1);
  EXPECT_THAT(reals(rows.rows()), ElementsAre(1, IsNan(), 5, IsNan()));
  rows.set(2, true);
  EXPECT_THAT(reals(rows.rows()), ElementsAre(1, IsNan(), 1, IsNan()));
}

TEST(live_rows, what_does_not_fit_is_left_out) {
  auto rows = rows_of(2);
  for (auto& x : {value("text"), value(), value(value_map{}), value(value_list{1, 2}), value(value_list{"a"}),
                  value(array(dtype::float64, {}, nullptr))})
    rows.set(0, x);
  rows.set(2, 1.0);
  EXPECT_THAT(reals(rows.rows()), ElementsAre(IsNan(), IsNan()));
  rows.set(1, array::of(std::vector<float>{7}));
  rows.set(0, value_list{8});
  EXPECT_THAT(reals(rows.rows()), ElementsAre(8, 7));
}

TEST(live_rows, of_arrays_and_other_types) {
  live_rows rows({.name = "spectrum", .type = dtype::int16, .shape = {2}}, 3, 1 << 20);
  rows.set(1, array::of(std::vector<std::int64_t>{3, 4}));
  rows.set(2, array::of(std::vector<std::int64_t>{3, 4, 5}));
  auto all = rows.rows();
  EXPECT_EQ(all.shape(), shape({3, 2}));
  EXPECT_EQ(all.type(), dtype::int16);
  constexpr auto missing = std::numeric_limits<std::int16_t>::lowest();
  EXPECT_THAT(std::vector(all.elements<std::int16_t>().begin(), all.elements<std::int16_t>().end()),
              ElementsAre(missing, missing, 3, 4, missing, missing));
  EXPECT_EQ(rows.attributes().find("_FillValue")->as_array()->elements<std::int16_t>()[0], missing);
}

TEST(live_rows, are_copied_only_when_they_changed) {
  auto rows = rows_of(2);
  auto first = rows.rows();
  EXPECT_EQ(rows.rows().buffer(), first.buffer());
  rows.set(0, 1.0);
  auto second = rows.rows();
  EXPECT_NE(second.buffer(), first.buffer());
  EXPECT_THAT(reals(first), ElementsAre(IsNan(), IsNan()));
}

TEST(live_rows, of_a_long_scan_are_the_latest) {
  auto rows = rows_of(100, 8 * sizeof(double));
  EXPECT_EQ(*rows.attributes().find("first_event"), value(std::uint64_t{0}));
  for (std::uint64_t e = 0; e < 30; ++e) rows.set(e, static_cast<double>(e));
  auto first = *rows.attributes().find("first_event")->as_number();
  auto all = reals(rows.rows());
  ASSERT_EQ(all.size(), 8u);
  EXPECT_GT(first, 20);
  for (std::size_t i = 0; i < all.size(); ++i)
    if (first + static_cast<double>(i) < 30)
      EXPECT_EQ(all[i], first + static_cast<double>(i));
    else
      EXPECT_THAT(all[i], IsNan());
  rows.set(3, 3.0); // too late
  EXPECT_EQ(reals(rows.rows())[0], all[0]);
  rows.set(99, 99.0);
  EXPECT_EQ(*rows.attributes().find("first_event"), value(std::uint64_t{92}));
  EXPECT_THAT(reals(rows.rows()), testing::Contains(29.0).Times(0));
  EXPECT_EQ(reals(rows.rows()).back(), 99);
}

TEST(live_rows, never_go_back) {
  auto rows = rows_of(1000, 4 * sizeof(double));
  double before = 0;
  for (std::uint64_t e : {0, 1, 5, 3, 900, 2, 999, 998}) {
    rows.set(e, 1.0);
    auto first = *rows.attributes().find("first_event")->as_number();
    EXPECT_GE(first, before);
    before = first;
  }
  EXPECT_EQ(before, 996);
}

TEST(live_rows, a_row_that_is_too_large_is_not_kept) {
  live_rows rows({.name = "image", .shape = {1000, 1000}}, 10, 1000);
  EXPECT_FALSE(rows.kept());
  rows.set(0, array::of(std::vector<double>{1}));
  EXPECT_TRUE(rows_of(10).kept());
}

TEST(live_results, the_tree_has_what_is_published_rows_and_the_scan) {
  live_results live({{.name = "mean", .unit = "counts"},
                     {.name = "sum"},
                     {.name = "image", .extent = result_extent::per_scan, .unit = "1", .axes = {"y", "x"}},
                     {.name = "absent", .extent = result_extent::per_scan, .unit = "1"}},
                    3);
  live.set_row(event_number(1), value_map{{"sum", 2}, {"other", 3}, {"mean", 0.5}});
  auto tree = live.tree(value_map{{"image", 4}, {"image_attrs", value_map{{"units", "keV"}}}},
                        value_map{{"id", "x"}});
  EXPECT_THAT(reals(*tree.find("mean")->as_array()), ElementsAre(IsNan(), 0.5, IsNan()));
  EXPECT_THAT(reals(*tree.find("sum")->as_array()), ElementsAre(IsNan(), 2, IsNan()));
  EXPECT_EQ(*tree.find("mean_attrs")->find("units"), value("counts"));
  EXPECT_EQ(tree.find("sum_attrs"), nullptr);
  EXPECT_EQ(*tree.find("image"), value(4));
  EXPECT_EQ(*tree.find("image_attrs")->find("units"), value("keV")) << "what is published wins";
  EXPECT_EQ(*tree.find("image_attrs")->find("axes"), value(value_list{"y", "x"}));
  EXPECT_EQ(tree.find("absent_attrs"), nullptr);
  EXPECT_EQ(*tree.find("scan")->find("id"), value("x"));
}

TEST(live_results, a_bare_number_is_the_only_result) {
  live_results live({{.name = "n"}}, 2);
  live.set_row(event_number(1), 4);
  EXPECT_THAT(reals(*live.tree({}, {}).find("n")->as_array()), ElementsAre(IsNan(), 4));
  live_results two({{.name = "n"}, {.name = "m"}}, 2);
  two.set_row(event_number(1), 4);
  EXPECT_THAT(reals(*two.tree({}, {}).find("n")->as_array()), ElementsAre(IsNan(), IsNan()));
}

TEST(live_results, a_published_scan_stays) {
  live_results live({}, 2);
  EXPECT_EQ(*live.tree(value_map{{"scan", 7}}, {{"id", "x"}}).find("scan"), value(7));
  EXPECT_EQ(live.tree(value_list{1}, {{"id", "x"}}).as_map()->size(), 1u) << "what is no map is nothing";
}

} // namespace
} // namespace dtranspose
