#include "analysis/histogram.hpp"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/plot.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

constexpr std::int64_t most_intervals = 10'000'000;

/// Equal intervals from `low` to `high`; each without its upper end, but for the last.
struct intervals {
  double low = 0, high = 1;
  std::size_t count = 1;

  double edge(std::size_t i) const {
    return low + (high - low) * static_cast<double>(i) / static_cast<double>(count);
  }
  /// Requires low <= x <= high.
  std::size_t interval_of(double x) const {
    auto i = static_cast<std::size_t>((x - low) / (high - low) * static_cast<double>(count));
    i = std::min(i, count - 1);
    // Rounding may have gone past an edge.
    if (i > 0 && x < edge(i)) return i - 1;
    if (i + 1 < count && x >= edge(i + 1)) return i + 1;
    return i;
  }
};

intervals read_intervals(const parameters& settings) {
  intervals all{settings.real("low"), settings.real("high"), 1};
  auto count = settings.integer("intervals");
  if (!std::isfinite(all.low) || !std::isfinite(all.high) || !(all.low < all.high) ||
      !std::isfinite(all.high - all.low))
    throw std::invalid_argument(fmt::format("parameters 'low' and 'high': {} to {} is no range of numbers",
                                            settings.text("low"), settings.text("high")));
  if (count < 1 || count > most_intervals)
    throw std::invalid_argument(
        fmt::format("parameter 'intervals': {} is not within 1 and {}", count, most_intervals));
  all.count = static_cast<std::size_t>(count);
  return all;
}

std::vector<named_scalar> wanted(const parameters& settings) {
  return {{"signal", scalar_parameter(settings, "signal")}};
}

class histogram_reducer final : public reducer_part {
 public:
  histogram_reducer(std::string signal, intervals all)
      : signal_(std::move(signal)), intervals_(all), counts_(all.count) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto x = number_in(result.content, "signal");
    ++events_;
    if (std::isnan(x))
      ++without_number_;
    else if (x < intervals_.low)
      ++below_;
    else if (x > intervals_.high)
      ++above_;
    else
      ++counts_[intervals_.interval_of(x)];
  }

  value published() const override {
    std::vector<double> edges, middles;
    for (std::size_t i = 0; i <= intervals_.count; ++i) edges.push_back(intervals_.edge(i));
    for (std::size_t i = 0; i < intervals_.count; ++i) middles.push_back((edges[i] + edges[i + 1]) / 2);
    value_map group{{"_attrs", plot_attributes("counts", {"middle"})}};
    set_with_attributes(group, "counts", array::of(counts_), data_attributes("events"));
    set_with_attributes(group, "middle", array::of(middles), data_attributes(signal_));
    group.set("edges", array::of(edges));
    return value_map{{"_attrs", value_map{{"default", "histogram"}}},
                     {"histogram", std::move(group)},
                     {"events", events_},
                     {"below", below_},
                     {"above", above_},
                     {"without_number", without_number_}};
  }

 private:
  std::string signal_;
  intervals intervals_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t events_ = 0, below_ = 0, above_ = 0, without_number_ = 0;
};

class histogram_analysis final : public analysis {
 public:
  std::string_view name() const override { return "histogram"; }
  std::string_view description() const override { return "how often a number lies in which interval"; }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"signal", text, "", "what is counted, e.g. alba:channel1 or pilatus:max"},
        {"low", real, "0", "where the first interval begins"},
        {"high", real, "1", "where the last one ends"},
        {"intervals", integer, "100", "how many there are"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    read_intervals(settings);
    if (!settings.text("signal").empty()) wanted(settings);
    return {{.name = "signal"}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<scalar_worker>(wanted, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<histogram_reducer>(scalar_parameter(settings, "signal"),
                                               read_intervals(settings));
  }
};

} // namespace

std::unique_ptr<analysis> make_histogram_analysis() { return std::make_unique<histogram_analysis>(); }

} // namespace dtranspose
