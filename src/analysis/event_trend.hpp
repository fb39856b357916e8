/// How numbers change over a scan, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// Means of several quantities over runs of events. A run is one event; when a scan grows beyond `most_runs`
/// events, runs are joined in pairs. What comes out does not depend on the order of events, but for rounding.
class event_trend {
 public:
  explicit event_trend(std::size_t quantities, std::size_t most_runs = 65536)
      : quantities_(quantities), most_runs_(most_runs) {}

  /// As many numbers as there are quantities, all finite.
  void add(std::uint64_t event, std::span<const double> numbers);

  std::uint64_t events() const { return events_; }
  std::uint64_t events_per_run() const { return width_; }

  /// The runs that have events: the middle of each, in event numbers.
  std::vector<double> places() const;
  /// And their means of one quantity.
  std::vector<double> means(std::size_t quantity) const;
  /// Over all events.
  double mean(std::size_t quantity) const;
  /// By least squares over the runs, per event; 0 while there is but one.
  double slope(std::size_t quantity) const;

 private:
  struct run {
    std::uint64_t events = 0;
    double number_sum = 0; ///< of event numbers
  };

  void join_pairs();

  std::size_t quantities_, most_runs_;
  std::uint64_t width_ = 1, events_ = 0;
  std::vector<run> runs_;
  std::vector<double> sums_; ///< by run, then quantity
};

} // namespace dtranspose
