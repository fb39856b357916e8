/// Who sees which frames: event by event, from the trigger map or from what the plan says instead of one.
#pragma once

#include <cstdint>
#include <vector>

#include "plan_setup.hpp"

namespace dtranspose {

/// One virtual worker of an event, with all streams that it sees.
struct planned_visit {
  static constexpr std::uint64_t nobody_else = ~std::uint64_t{0};

  stream_mask streams = 0;
  std::uint64_t constraint = nobody_else; ///< equal ones meet at the same worker; that value meets nothing
  bool everyone = false;                  ///< every worker
};

/// The mean of an event.
struct mean_load {
  std::vector<double> frames;     ///< by stream, discarded ones included
  std::vector<double> copies;     ///< by stream: frames times the single workers that see each
  std::vector<double> broadcasts; ///< by stream: frames that every worker sees
  double visits = 0;              ///< virtual workers, without those that are everyone
  double visits_of_everyone = 0;
  /// Share of the events that the busiest constraint has within its part of the map. Parts of less than
  /// 1000 events count as if they had so many (or as long as the map is): buffers even them out.
  double busiest = 0;
  std::uint32_t min_workers = 1; ///< most virtual workers with different constraints in one event
};

class workload {
 public:
  /// `setup` must outlive it. Throws plan_error where map and streams do not fit.
  explicit workload(const plan_setup& setup);

  /// Events after which it repeats.
  std::uint64_t period() const { return period_; }
  /// Streams with a frame in that event, which may be beyond the period.
  stream_mask frames_of(std::uint64_t event) const;
  /// Puts the virtual workers of that event into `visits`.
  void visits_of(std::uint64_t event, std::vector<planned_visit>& visits) const;
  mean_load mean() const;

 private:
  struct place {
    std::uint64_t instance; ///< how many parts lie before, over all periods
    const map_part* part;
    std::uint64_t event; ///< within the part
  };
  place place_of(std::uint64_t event) const;
  void visits_of_map(std::uint64_t event, std::vector<planned_visit>& visits) const;
  double busiest_of_map() const;

  const plan_setup& setup_;
  std::uint64_t period_ = 1;
  std::vector<std::uint64_t> ends_;    ///< of the parts in sequence, in events
  std::vector<std::size_t> stream_of_; ///< place in the plan, by stream of the map
};

} // namespace dtranspose
