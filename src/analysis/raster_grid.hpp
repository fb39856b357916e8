/// Numbers that were measured at places, on a regular grid of cells.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/compensated_sum.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// Cells at equal distances along one axis.
struct grid_axis {
  double first = 0, last = 0; ///< middles of the outer cells
  std::size_t cells = 1;

  double middle(std::size_t cell) const;
  /// The cell that a position is nearest to; nothing beyond half a cell outside, and for NaN. A single cell
  /// takes every position.
  std::optional<std::size_t> cell_of(double position) const;
  /// All middles.
  array middles() const;

  bool operator==(const grid_axis&) const = default;
};

/// Reads `FIRST:LAST:CELLS`, the middles of the outer cells and the number of cells, as in `0:39.5:80`.
/// Throws std::invalid_argument, naming the parameter.
grid_axis parse_grid_axis(std::string_view parameter, std::string_view written);

/// Rows along y and columns along x; a cell is row * columns + column.
struct raster_grid {
  grid_axis x, y;

  std::size_t cells() const { return x.cells * y.cells; }
  std::vector<std::size_t> shape() const { return {y.cells, x.cells}; }
  std::optional<std::size_t> cell_of(double at_x, double at_y) const;
};

/// The most numbers that grids of one analysis hold together: 2 GB with what is kept beside them.
inline constexpr std::size_t most_grid_numbers = std::size_t{1} << 27;

/// Throws std::invalid_argument, naming the parameters, for a grid with more cells than `most_grid_numbers`
/// allow for so many numbers in each.
void check_grid_size(const raster_grid& grid, std::size_t numbers_per_cell, std::string_view parameters);

/// Sums in each cell of a grid, in any order.
class grid_sums {
 public:
  explicit grid_sums(std::size_t cells) : sums_(cells) {}

  void add(std::size_t cell, double x) { sums_[cell].add(x); }
  double sum(std::size_t cell) const { return sums_[cell].value(); }
  std::size_t cells() const { return sums_.size(); }

 private:
  std::vector<compensated_sum> sums_;
};

} // namespace dtranspose
