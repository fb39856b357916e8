/// The course of a number over the events of a scan, in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "analysis/compensated_sum.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// Means over 1, 2, 4, ... events that follow one another: over twice as many whenever there are more than
/// `most_points`. What it holds depends on the events, not on their order.
class event_curve {
 public:
  static constexpr std::size_t most_points = 4096;

  void add(std::uint64_t event, double x) {
    auto& p = points_[event >> shift_];
    p.sum.add(x);
    ++p.events;
    while (points_.size() > most_points) halve();
  }

  /// A group NXdata: `mean` and `events` over `event`, the first of each mean.
  value_map plot(const std::string& long_name) const;

 private:
  struct sum_of_events {
    compensated_sum sum;
    std::uint64_t events = 0;
  };

  void halve();

  unsigned shift_ = 0;
  std::map<std::uint64_t, sum_of_events> points_;
};

} // namespace dtranspose
