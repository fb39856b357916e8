#include "analysis/raster_grid.hpp"

#include <cmath>
#include <span>
#include <stdexcept>

#include <fmt/format.h>

#include "model/parameters.hpp"

namespace dtranspose {

double grid_axis::middle(std::size_t cell) const {
  if (cells < 2) return first;
  return first + (last - first) * static_cast<double>(cell) / static_cast<double>(cells - 1);
}

std::optional<std::size_t> grid_axis::cell_of(double position) const {
  if (!std::isfinite(position)) return std::nullopt;
  if (cells < 2) return 0;
  auto place = std::floor((position - first) / (last - first) * static_cast<double>(cells - 1) + 0.5);
  if (!(place >= 0 && place < static_cast<double>(cells))) return std::nullopt;
  return static_cast<std::size_t>(place);
}

array grid_axis::middles() const {
  std::vector<double> all;
  for (std::size_t i = 0; i < cells; ++i) all.push_back(middle(i));
  return array::of(all);
}

grid_axis parse_grid_axis(std::string_view parameter, std::string_view written) {
  auto refuse = [&](std::string_view why) {
    return std::invalid_argument(fmt::format(
        "parameter '{}': '{}' {}; an example is 0:39.5:80, for 80 cells with their middles from 0 to 39.5",
        parameter, written, why));
  };
  auto first = written.find(':');
  auto second = first == written.npos ? first : written.find(':', first + 1);
  if (second == written.npos) throw refuse("is no axis of a grid");
  auto from = parameters::real_of(written.substr(0, first));
  auto to = parameters::real_of(written.substr(first + 1, second - first - 1));
  auto cells = parameters::integer_of(written.substr(second + 1));
  if (!from || !to || !cells || !std::isfinite(*from) || !std::isfinite(*to))
    throw refuse("is no axis of a grid");
  if (*cells < 1) throw refuse("has no cells");
  if (*cells > 1 && *from == *to) throw refuse("has all cells in one place");
  return {*from, *to, static_cast<std::size_t>(*cells)};
}

std::optional<std::size_t> raster_grid::cell_of(double at_x, double at_y) const {
  auto column = x.cell_of(at_x), row = y.cell_of(at_y);
  if (!column || !row) return std::nullopt;
  return *row * x.cells + *column;
}

void check_grid_size(const raster_grid& grid, std::size_t numbers_per_cell, std::string_view parameters) {
  auto all = static_cast<double>(grid.x.cells) * static_cast<double>(grid.y.cells) *
             static_cast<double>(numbers_per_cell);
  if (all > static_cast<double>(most_grid_numbers))
    throw std::invalid_argument(fmt::format(
        "parameters {}: {} x {} cells with {} numbers each are more than fit into memory: {:.0f}, "
        "at most {}",
        parameters, grid.y.cells, grid.x.cells, numbers_per_cell, all, most_grid_numbers));
}

} // namespace dtranspose
