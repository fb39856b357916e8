#include "analysis/timeint.hpp"

#include <cmath>
#include <map>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/compensated_sum.hpp"
#include "analysis/plot.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

/// More than any scan that people look at has.
constexpr std::size_t most_intervals = 1'000'000;

struct timeint_setup {
  std::string signal, time;
  std::uint64_t events = 0, first = 0;
  double seconds = 0, origin = 0;

  bool by_time() const { return !time.empty(); }
};

/// Throws std::invalid_argument, naming the parameter.
timeint_setup read_setup(const parameters& settings) {
  timeint_setup s{.signal = scalar_parameter(settings, "signal"),
                  .time = scalar_parameter(settings, "time", true),
                  .seconds = settings.real("seconds"),
                  .origin = settings.real("origin")};
  auto events = settings.integer("events"), first = settings.integer("first");
  if (!s.by_time() && events < 1)
    throw std::invalid_argument(fmt::format("parameter 'events': {} events are no interval", events));
  if (first < 0) throw std::invalid_argument(fmt::format("parameter 'first': there is no event {}", first));
  if (s.by_time() && !(s.seconds > 0 && std::isfinite(s.seconds)))
    throw std::invalid_argument(
        fmt::format("parameter 'seconds': {} is no interval; 'time' is given", settings.text("seconds")));
  if (!std::isfinite(s.origin)) throw std::invalid_argument("parameter 'origin' is no time");
  s.events = static_cast<std::uint64_t>(std::max<std::int64_t>(events, 1));
  s.first = static_cast<std::uint64_t>(first);
  return s;
}

std::vector<named_scalar> wanted(const parameters& settings) {
  auto s = read_setup(settings);
  return {{"signal", s.signal}, {"time", s.time}};
}

class timeint_reducer final : public reducer_part {
 public:
  explicit timeint_reducer(timeint_setup setup) : setup_(std::move(setup)) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto signal = number_in(result.content, "signal");
    auto where = interval_of(result);
    if (where && std::isfinite(signal) && !intervals_.contains(*where) && intervals_.size() == most_intervals)
      throw std::runtime_error(fmt::format("more than {} intervals: make '{}' larger", most_intervals,
                                           setup_.by_time() ? "seconds" : "events"));
    ++events_;
    if (!std::isfinite(signal) || !where) return void(++unusable_);
    auto& interval = intervals_[*where];
    interval.sum.add(signal);
    ++interval.events;
  }

  value published() const override {
    std::vector<double> begins, sums, means;
    std::vector<std::uint64_t> events;
    for (auto& [index, interval] : intervals_) {
      begins.push_back(begin_of(index));
      sums.push_back(interval.sum.value());
      means.push_back(sums.back() / static_cast<double>(interval.events));
      events.push_back(interval.events);
    }
    value_map group{{"_attrs", plot_attributes("sum", {"begin"}, {"mean"})}};
    set_with_attributes(group, "sum", array::of(sums), data_attributes("sum of " + setup_.signal));
    set_with_attributes(group, "mean", array::of(means), data_attributes("mean of " + setup_.signal));
    set_with_attributes(
        group, "begin", array::of(begins),
        data_attributes(setup_.by_time() ? setup_.time : "event", setup_.by_time() ? "s" : ""));
    group.set("events", array::of(events));
    return value_map{{"_attrs", value_map{{"default", "intervals"}}},
                     {"intervals", std::move(group)},
                     {"events", events_},
                     {"unusable", unusable_}};
  }

 private:
  struct interval {
    compensated_sum sum;
    std::uint64_t events = 0;
  };

  /// Nothing for events before the first, and for times that are none.
  std::optional<std::int64_t> interval_of(const folded_result& result) const {
    if (!setup_.by_time()) {
      if (!result.event || result.event->value < setup_.first) return std::nullopt;
      return static_cast<std::int64_t>((result.event->value - setup_.first) / setup_.events);
    }
    constexpr double farthest = 1e15; // far within what is exact
    auto place = std::floor((number_in(result.content, "time") - setup_.origin) / setup_.seconds);
    if (!(std::abs(place) < farthest)) return std::nullopt;
    return static_cast<std::int64_t>(place);
  }

  double begin_of(std::int64_t index) const {
    if (setup_.by_time()) return setup_.origin + static_cast<double>(index) * setup_.seconds;
    return static_cast<double>(setup_.first + static_cast<std::uint64_t>(index) * setup_.events);
  }

  timeint_setup setup_;
  std::map<std::int64_t, interval> intervals_;
  std::uint64_t events_ = 0, unusable_ = 0;
};

class timeint_analysis final : public analysis {
 public:
  std::string_view name() const override { return "timeint"; }
  std::string_view description() const override {
    return "a number summed over so many events, or so many seconds";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"signal", text, "", "what is summed, e.g. alba:channel1 or pilatus:sum"},
        {"events", integer, "100", "in one interval, if 'time' is empty"},
        {"first", integer, "1", "event with which the first interval begins; event 0 is the start"},
        {"time", text, "", "when events were, s, e.g. alba:timestamp; empty: intervals of events"},
        {"seconds", real, "1", "length of an interval, if 'time' is given"},
        {"origin", real, "0", "time with which an interval begins, s"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    if (!settings.text("signal").empty()) read_setup(settings);
    std::vector<result_description> results{{.name = "signal"}};
    if (!settings.text("time").empty()) results.push_back({.name = "time", .unit = "s"});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<scalar_worker>(wanted, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<timeint_reducer>(read_setup(settings));
  }
};

} // namespace

std::unique_ptr<analysis> make_timeint_analysis() { return std::make_unique<timeint_analysis>(); }

} // namespace dtranspose
