#include "analysis/correlate.hpp"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/lag_scan.hpp"
#include "analysis/plot.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

struct correlate_setup {
  std::string a, b;
  lag_scan_settings scan;
};

std::size_t whole_number(const parameters& settings, std::string_view name, std::int64_t least,
                         std::int64_t most) {
  auto n = settings.integer(name);
  if (n < least || n > most)
    throw std::invalid_argument(
        fmt::format("parameter '{}': {} is not within {} and {}", name, n, least, most));
  return static_cast<std::size_t>(n);
}

/// Throws std::invalid_argument, naming the parameter.
correlate_setup read_setup(const parameters& settings) {
  correlate_setup s;
  s.a = scalar_parameter(settings, "a");
  s.b = scalar_parameter(settings, "b");
  s.scan.window = whole_number(settings, "window", 10, 10'000);
  s.scan.lags = whole_number(settings, "lags", 1, 100);
  s.scan.in_a_row = whole_number(settings, "in_a_row", 1, 1000);
  s.scan.spread = settings.real("spread");
  if (!(s.scan.spread > 0 && std::isfinite(s.scan.spread)))
    throw std::invalid_argument(
        fmt::format("parameter 'spread': {} is not above 0", settings.text("spread")));
  if (2 * s.scan.lags > s.scan.window)
    throw std::invalid_argument(fmt::format("parameter 'lags': {} is more than half of a window of {} events",
                                            s.scan.lags, s.scan.window));
  return s;
}

std::vector<named_scalar> wanted(const parameters& settings) {
  auto s = read_setup(settings);
  return {{"a", s.a}, {"b", s.b}};
}

class correlate_reducer final : public reducer_part {
 public:
  explicit correlate_reducer(correlate_setup setup) : setup_(std::move(setup)), scan_(setup_.scan) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto a = number_in(result.content, "a"), b = number_in(result.content, "b");
    ++events_;
    if (result.event) scan_.add(result.event->value, a, b);
  }

  void finish(const parameters&) override { scan_.finish(); }

  value published() const override {
    return value_map{{"_attrs", value_map{{"default", scan_.windows().empty() ? "history" : "lags"}}},
                     {"lags", lags()},
                     {"history", history()},
                     {"alarm", scan_.first_alarm().has_value()},
                     {"shifted_now", scan_.shifted_now()},
                     {"verdict", verdict()},
                     {"events", events_},
                     {"late", scan_.late_events()}};
  }

 private:
  std::string verdict() const {
    if (auto& alarm = scan_.first_alarm()) {
      auto late = alarm->lag > 0 ? setup_.b : setup_.a;
      auto early = alarm->lag > 0 ? setup_.a : setup_.b;
      auto by = std::abs(alarm->lag);
      return fmt::format("{} is {} event{} behind {}, from about event {} on{}", late, by, by == 1 ? "" : "s",
                         early, alarm->event, scan_.shifted_now() ? "" : "; not any more");
    }
    for (auto& window : scan_.windows())
      if (window.best) return "aligned, as far as can be told";
    return "cannot be told: too few events yet, or numbers that do not change";
  }

  /// The last window that can tell, or null.
  value lags() const {
    for (auto window = scan_.windows().rbegin(); window != scan_.windows().rend(); ++window) {
      if (!window->best) continue;
      std::vector<std::int64_t> lags;
      for (std::size_t i = 0; i < window->correlation.size(); ++i)
        lags.push_back(static_cast<std::int64_t>(i) - static_cast<std::int64_t>(setup_.scan.lags));
      value_map group{{"_attrs", plot_attributes("correlation", {"lag"})}};
      set_with_attributes(group, "correlation", array::of(window->correlation),
                          data_attributes(fmt::format("correlation of {} and {}", setup_.a, setup_.b)));
      set_with_attributes(group, "lag", array::of(lags),
                          data_attributes(fmt::format("events that {} is behind", setup_.b)));
      group.set("first_event", window->first);
      return group;
    }
    return {};
  }

  value history() const {
    std::vector<std::uint64_t> firsts;
    std::vector<double> best, at_zero, at_best;
    for (auto& window : scan_.windows()) {
      firsts.push_back(window.first);
      best.push_back(window.best ? static_cast<double>(*window.best) : std::nan(""));
      at_zero.push_back(window.at_zero);
      at_best.push_back(window.at_best);
    }
    value_map group{{"_attrs", plot_attributes("best_lag", {"first_event"})}};
    set_with_attributes(group, "best_lag", array::of(best), data_attributes("lag with the best correlation"));
    group.set("first_event", array::of(firsts));
    group.set("correlation_at_0", array::of(at_zero)).set("correlation_at_best", array::of(at_best));
    return group;
  }

  correlate_setup setup_;
  lag_scan scan_;
  std::uint64_t events_ = 0;
};

class correlate_analysis final : public analysis {
 public:
  std::string_view name() const override { return "correlate"; }
  std::string_view description() const override { return "do two streams belong to the same triggers?"; }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"a", text, "", "a number of one stream, e.g. alba:channel1"},
        {"b", text, "", "a number of another that should follow it, e.g. pilatus:sum"},
        {"lags", integer, "10", "farthest lag either way, in events"},
        {"window", integer, "200", "events that are looked at together"},
        {"spread", real, "5", "by so many 1 / sqrt(window) another lag must be better than 0, in atanh(r)"},
        {"in_a_row", integer, "3", "windows that must say so before there is an alarm"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    if (!settings.text("a").empty() || !settings.text("b").empty()) read_setup(settings);
    return {{.name = "a"}, {.name = "b"}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<scalar_worker>(wanted, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<correlate_reducer>(read_setup(settings));
  }
};

} // namespace

std::unique_ptr<analysis> make_correlate_analysis() { return std::make_unique<correlate_analysis>(); }

} // namespace dtranspose
