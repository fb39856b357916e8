#include "analysis/normalise.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/event_curve.hpp"
#include "analysis/mean_deviation.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

std::vector<named_scalar> wanted(const parameters& settings) {
  for (auto name : {"signal_offset", "monitor_offset", "reference"})
    if (!std::isfinite(settings.real(name)))
      throw std::invalid_argument(fmt::format("parameter '{}': {} is no number", name, settings.text(name)));
  return {{"signal", scalar_parameter(settings, "signal")},
          {"monitor", scalar_parameter(settings, "monitor")}};
}

/// NaN where the monitor shows nothing.
void divide(value_map& numbers, const parameters& settings) {
  auto signal = *numbers.find("signal")->as_number() - settings.real("signal_offset");
  auto monitor = *numbers.find("monitor")->as_number() - settings.real("monitor_offset");
  auto divided = signal / monitor * settings.real("reference");
  bool usable = monitor > 0 && std::isfinite(divided);
  numbers.set("normalised", usable ? divided : std::numeric_limits<double>::quiet_NaN());
}

class normalise_reducer final : public reducer_part {
 public:
  void process_result(const folded_result& result, const parameters&) override {
    auto x = number_in(result.content, "normalised");
    ++events_;
    if (!std::isfinite(x)) return void(++unusable_);
    values_.add(x);
    if (result.event) curve_.add(result.event->value, x);
  }

  value published() const override {
    return value_map{{"_attrs", value_map{{"default", "curve"}}},
                     {"curve", curve_.plot("normalised")},
                     {"mean", values_.mean()},
                     {"deviation", values_.deviation()},
                     {"events", events_},
                     {"unusable", unusable_}};
  }

 private:
  mean_deviation values_;
  event_curve curve_;
  std::uint64_t events_ = 0, unusable_ = 0;
};

class normalise_analysis final : public analysis {
 public:
  std::string_view name() const override { return "normalise"; }
  std::string_view description() const override { return "one number divided by another, per event"; }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"signal", text, "", "what is divided, e.g. alba:channel2 or pilatus:sum"},
        {"monitor", text, "", "by what, e.g. alba:channel1"},
        {"signal_offset", real, "0", "taken off the signal first"},
        {"monitor_offset", real, "0", "taken off the monitor first"},
        {"reference", real, "1", "multiplies the quotient, e.g. the usual reading of the monitor"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    // Without any parameter it can be described, but not used.
    if (!settings.text("signal").empty() || !settings.text("monitor").empty()) wanted(settings);
    std::vector<result_description> results;
    for (auto name : {"normalised", "signal", "monitor"}) results.push_back({.name = name});
    for (auto name : {"mean", "deviation"})
      results.push_back({.name = name, .extent = result_extent::per_scan});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<scalar_worker>(wanted, settings, divide);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    wanted(settings);
    return std::make_unique<normalise_reducer>();
  }
};

} // namespace

std::unique_ptr<analysis> make_normalise_analysis() { return std::make_unique<normalise_analysis>(); }

} // namespace dtranspose
