#include "analysis/raster_grid.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::HasSubstr;

TEST(raster_grid, positions_belong_to_the_nearest_cell) {
  auto axis = parse_grid_axis("x_grid", " 0 : 39.5 : 80 ");
  EXPECT_EQ(axis, (grid_axis{0, 39.5, 80}));
  EXPECT_EQ(axis.cell_of(0), 0u);
  EXPECT_EQ(axis.cell_of(0.24), 0u);
  EXPECT_EQ(axis.cell_of(0.26), 1u);
  EXPECT_EQ(axis.cell_of(-0.24), 0u);
  EXPECT_EQ(axis.cell_of(-0.26), std::nullopt);
  EXPECT_EQ(axis.cell_of(39.74), 79u);
  EXPECT_EQ(axis.cell_of(39.76), std::nullopt);
  EXPECT_DOUBLE_EQ(axis.middle(79), 39.5);
  EXPECT_EQ(axis.middles().elements<double>()[2], 1.0);
}

TEST(raster_grid, an_axis_may_run_backwards) {
  auto axis = parse_grid_axis("x_grid", "5:-5:11");
  EXPECT_EQ(axis.cell_of(5), 0u);
  EXPECT_EQ(axis.cell_of(-5.2), 10u);
  EXPECT_EQ(axis.cell_of(-5.6), std::nullopt);
  EXPECT_EQ(axis.middle(1), 4);
}

TEST(raster_grid, a_single_cell_takes_all) {
  auto axis = parse_grid_axis("x_grid", "3:3:1");
  EXPECT_EQ(axis.cell_of(-1e300), 0u);
  EXPECT_EQ(axis.middle(0), 3);
}

TEST(raster_grid, what_is_no_number_belongs_nowhere) {
  for (auto cells : {1u, 5u}) {
    grid_axis axis{0, 1, cells};
    for (auto x : {NAN, INFINITY, -INFINITY}) EXPECT_EQ(axis.cell_of(x), std::nullopt);
  }
  EXPECT_EQ((grid_axis{0, 1, 5}).cell_of(1e308), std::nullopt);
}

TEST(raster_grid, refuses_what_is_no_axis) {
  for (auto written : {"", "1", "1:2", "a:2:3", "0:1:2.5", "0:1:3:4", "nan:1:3", "0:inf:3"}) try {
      parse_grid_axis("y_grid", written);
      ADD_FAILURE() << written;
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), HasSubstr("parameter 'y_grid'")) << written;
    }
  EXPECT_THROW(parse_grid_axis("x", "0:1:0"), std::invalid_argument);
  EXPECT_THROW(parse_grid_axis("x", "0:1:-3"), std::invalid_argument);
  EXPECT_THROW(parse_grid_axis("x", "1:1:2"), std::invalid_argument);
}

TEST(raster_grid, rows_are_along_y) {
  raster_grid grid{{0, 2, 3}, {10, 11, 2}};
  EXPECT_EQ(grid.shape(), (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(grid.cell_of(1, 11), 4u);
  EXPECT_EQ(grid.cell_of(1, 12), std::nullopt);
  EXPECT_EQ(grid.cell_of(NAN, 10), std::nullopt);
}

TEST(raster_grid, a_grid_that_memory_does_not_hold_is_refused) {
  raster_grid grid{{0, 1, 100'000}, {0, 1, 100'000}};
  EXPECT_THROW(check_grid_size(grid, 1, "'x_grid'"), std::invalid_argument);
  raster_grid huge{{0, 1, std::size_t{1} << 62}, {0, 1, std::size_t{1} << 62}};
  EXPECT_THROW(check_grid_size(huge, 100, "'x_grid'"), std::invalid_argument);
  EXPECT_NO_THROW(check_grid_size({{0, 1, 1000}, {0, 1, 1000}}, 20, "'x_grid'"));
}

TEST(raster_grid, sums_do_not_depend_on_the_order) {
  std::vector<double> numbers{1e16, 1, -1e16, 3, 1e-3, 1e10, -1e10, 7};
  std::mt19937 random(1);
  std::optional<double> first;
  for (int turn = 0; turn < 100; ++turn) {
    std::shuffle(numbers.begin(), numbers.end(), random);
    grid_sums sums(1);
    for (auto x : numbers) sums.add(0, x);
    if (!first) first = sums.sum(0);
    EXPECT_EQ(sums.sum(0), *first);
  }
  EXPECT_EQ(*first, 11.001);
}

} // namespace
} // namespace dtranspose
