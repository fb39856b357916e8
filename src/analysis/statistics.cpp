#include "analysis/statistics.hpp"

#include <cmath>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "analysis/event_curve.hpp"
#include "analysis/mean_deviation.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

/// When the mean is known well enough.
struct stop_rule {
  double precision = 0; ///< of the mean, relative; 0: never
  std::uint64_t least = 0;

  explicit stop_rule(const parameters& settings) : precision(settings.real("precision")) {
    auto events = settings.integer("least");
    if (!(precision >= 0 && precision < 1))
      throw std::invalid_argument(fmt::format(
          "parameter 'precision': {} is no part of the mean: 0.01 is one percent, 0 never decides",
          settings.text("precision")));
    if (events < 2) throw std::invalid_argument("parameter 'least': must be 2 or more");
    least = static_cast<std::uint64_t>(events);
  }
};

std::vector<named_scalar> wanted(const parameters& settings) {
  return {{"signal", scalar_parameter(settings, "signal")}};
}

class statistics_reducer final : public reducer_part {
 public:
  explicit statistics_reducer(const parameters& settings)
      : signal_(scalar_parameter(settings, "signal")), rule_(settings) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto x = number_in(result.content, "signal");
    if (!std::isfinite(x)) return void(++unusable_);
    values_.add(x);
    if (!result.event) return;
    curve_.add(result.event->value, x);
    last_ = std::max(last_, *result.event);
    look();
  }

  bool change_parameters(const parameters& settings) override {
    if (scalar_parameter(settings, "signal") != signal_) return false;
    rule_ = stop_rule(settings);
    decided_ = false;
    return true;
  }

  std::vector<decision> take_decisions() override { return std::exchange(decisions_, {}); }

  value published() const override {
    value_map tree = numbers();
    tree.set("good_enough", decided_).set("unusable", unusable_);
    tree.set("curve", curve_.plot("signal"));
    tree.set("_attrs", value_map{{"default", "curve"}});
    return tree;
  }

 private:
  void look() {
    if (decided_ || rule_.precision == 0 || values_.count() < rule_.least) return;
    if (!(values_.standard_error() <= rule_.precision * std::abs(values_.mean()))) return;
    decided_ = true;
    decisions_.push_back({.name = "good_enough", .content = numbers(), .event = last_, .stop = true});
  }

  value_map numbers() const {
    return {{"mean", values_.mean()},
            {"deviation", values_.deviation()},
            {"standard_error", values_.standard_error()},
            {"events", values_.count()}};
  }

  std::string signal_;
  stop_rule rule_;
  mean_deviation values_;
  std::uint64_t unusable_ = 0;
  event_number last_{0};
  bool decided_ = false;
  event_curve curve_;
  std::vector<decision> decisions_;
};

class statistics_analysis final : public analysis {
 public:
  std::string_view name() const override { return "statistics"; }
  std::string_view description() const override {
    return "mean and standard error of a number; decides when it is known well enough";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"signal", text, "", "what is looked at, e.g. alba:channel1 or pilatus:sum"},
        {"precision", real, "0", "standard error over mean that is good enough, e.g. 0.01; 0: never decides"},
        {"least", integer, "10", "events before it may be good enough"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    if (!settings.text("signal").empty()) wanted(settings);
    stop_rule rule(settings);
    std::vector<result_description> results{{.name = "signal"}};
    for (auto name : {"mean", "deviation", "standard_error"})
      results.push_back({.name = name, .extent = result_extent::per_scan});
    results.push_back({.name = "events", .type = dtype::uint64, .extent = result_extent::per_scan});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<scalar_worker>(wanted, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<statistics_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_statistics_analysis() { return std::make_unique<statistics_analysis>(); }

} // namespace dtranspose
