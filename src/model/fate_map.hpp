/// The slots that have ended, and how: what makes a fold happen once, and what a controller that was away is
/// told. Kept as intervals.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "event_run.hpp"

namespace dtranspose {

/// Slots that ended alike.
struct ended_slots {
  slot_run slots;
  fate how = fate::folded;
  std::string cause;
};

class fate_map {
 public:
  /// Has any of these slots ended?
  bool overlaps(const slot_run& run) const;

  /// These slots, none of which has, end like this.
  void insert(const slot_run& run, fate how, const std::string& cause = {});

  /// All that have ended, in as few entries as intervals make it.
  std::vector<ended_slots> all() const;

  /// Intervals that it takes to keep it: small in a healthy scan.
  std::size_t intervals() const {
    std::size_t sum = 0;
    for (auto& slots : by_slot_) sum += slots.size();
    return sum;
  }

 private:
  struct interval {
    std::uint64_t end = 0;
    std::uint32_t cause = 0; ///< place in causes_
    fate how = fate::folded;
    bool is_like(const interval& other) const { return cause == other.cause && how == other.how; }
  };
  using interval_map = std::map<std::uint64_t, interval>; ///< by first event

  static bool overlaps(const interval_map& map, std::uint64_t first, std::uint64_t end);
  static void insert(interval_map& map, std::uint64_t first, interval added);
  std::uint32_t cause_index(const std::string& cause);

  std::vector<interval_map> by_slot_;
  std::vector<std::string> causes_{""};
  std::map<std::string, std::uint32_t> cause_places_;
};

} // namespace dtranspose
