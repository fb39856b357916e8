#include "analysis/sort.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>

#include "analysis/plot.hpp"
#include "analysis/raster_grid.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

struct sort_setup {
  std::string signal, x, y, i0;
  raster_grid grid;
};

/// Throws std::invalid_argument, naming the parameter.
sort_setup read_setup(const parameters& settings) {
  sort_setup s{scalar_parameter(settings, "signal"),
               scalar_parameter(settings, "x"),
               scalar_parameter(settings, "y", true),
               scalar_parameter(settings, "i0", true),
               {parse_grid_axis("x_grid", settings.text("x_grid")), {}}};
  if (s.y.empty() != settings.text("y_grid").empty())
    throw std::invalid_argument("parameters 'y' and 'y_grid' go together");
  if (!s.y.empty()) s.grid.y = parse_grid_axis("y_grid", settings.text("y_grid"));
  check_grid_size(s.grid, 3, "'x_grid', 'y_grid'");
  return s;
}

std::vector<named_scalar> wanted(const parameters& settings) {
  auto s = read_setup(settings);
  return {{"signal", s.signal}, {"x", s.x}, {"y", s.y}, {"i0", s.i0}};
}

class sort_reducer final : public reducer_part {
 public:
  explicit sort_reducer(sort_setup setup)
      : setup_(std::move(setup)), signal_(setup_.grid.cells()), intensity_(setup_.grid.cells()),
        events_in_(setup_.grid.cells()) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto& content = result.content;
    auto signal = number_in(content, "signal"), x = number_in(content, "x");
    auto y = setup_.y.empty() ? 0 : number_in(content, "y");
    auto i0 = setup_.i0.empty() ? 1 : number_in(content, "i0");
    ++events_;
    if (!std::isfinite(x) || !std::isfinite(y)) return void(++without_position_);
    auto cell = setup_.grid.cell_of(x, y);
    if (!cell) return void(++outside_);
    if (!std::isfinite(signal) || !std::isfinite(i0) || !(i0 > 0)) return void(++unusable_);
    signal_.add(*cell, signal);
    intensity_.add(*cell, i0);
    ++events_in_[*cell];
  }

  value published() const override {
    std::vector<double> mean(events_in_.size(), std::numeric_limits<double>::quiet_NaN());
    for (std::size_t c = 0; c < mean.size(); ++c)
      if (events_in_[c] > 0) mean[c] = signal_.sum(c) / intensity_.sum(c);
    auto interpretation = setup_.y.empty() ? "spectrum" : "image";
    auto axes = setup_.y.empty() ? std::vector<std::string>{"x"} : std::vector<std::string>{"y", "x"};
    auto shape = setup_.y.empty() ? std::vector{setup_.grid.x.cells} : setup_.grid.shape();
    value_map map{{"_attrs", plot_attributes("mean", axes, {"events_in_cell"})}};
    set_with_attributes(map, "mean", array::of(std::span<const double>(mean), shape),
                        data_attributes(setup_.i0.empty() ? setup_.signal : setup_.signal + " / " + setup_.i0,
                                        {}, interpretation));
    set_with_attributes(map, "events_in_cell", array::of(std::span<const std::uint32_t>(events_in_), shape),
                        data_attributes("events in each cell", {}, interpretation));
    set_with_attributes(map, "x", setup_.grid.x.middles(), data_attributes(setup_.x));
    if (!setup_.y.empty()) set_with_attributes(map, "y", setup_.grid.y.middles(), data_attributes(setup_.y));
    return value_map{{"_attrs", value_map{{"default", "map"}}},
                     {"map", std::move(map)},
                     {"events", events_},
                     {"outside", outside_},
                     {"without_position", without_position_},
                     {"unusable", unusable_}};
  }

 private:
  sort_setup setup_;
  grid_sums signal_, intensity_;
  std::vector<std::uint32_t> events_in_;
  std::uint64_t events_ = 0, outside_ = 0, without_position_ = 0, unusable_ = 0;
};

class sort_analysis final : public analysis {
 public:
  std::string_view name() const override { return "sort"; }
  std::string_view description() const override { return "a number by position, on a regular grid"; }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"signal", text, "", "what is sorted, e.g. alba:channel2 or pilatus:sum"},
        {"x", text, "", "position along rows, e.g. contrast:sx"},
        {"x_grid", text, "", "middles of first and last cell and number of cells, e.g. 0:39.5:80"},
        {"y", text, "", "position from row to row; empty: one row"},
        {"y_grid", text, "", "the same along y"},
        {"i0", text, "", "divides the sums of cells, e.g. alba:channel1; empty: means of events"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    if (!settings.text("signal").empty() || !settings.text("x").empty()) read_setup(settings);
    std::vector<result_description> results;
    for (auto name : {"signal", "x"}) results.push_back({.name = name});
    for (auto name : {"y", "i0"})
      if (!settings.text(name).empty()) results.push_back({.name = name});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<scalar_worker>(wanted, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<sort_reducer>(read_setup(settings));
  }
};

} // namespace

std::unique_ptr<analysis> make_sort_analysis() { return std::make_unique<sort_analysis>(); }

} // namespace dtranspose
