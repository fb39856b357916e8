/// The slots that have ended, at the reducer: what makes a fold happen once.
#pragma once

#include <algorithm>
#include <vector>

#include "event_run.hpp"
#include "interval_set.hpp"

namespace dtranspose {

class slot_set {
 public:
  /// Has any of these slots ended?
  bool overlaps(const slot_run& run) const {
    if (run.events.count == 0) return false;
    for (std::size_t s = run.first_slot.value; s < std::size_t{run.first_slot.value} + run.slots; ++s) {
      if (s >= by_slot_.size()) return false;
      if (overlaps(by_slot_[s], run.events)) return true;
    }
    return false;
  }

  void insert(const slot_run& run) {
    if (run.events.count == 0) return;
    auto end = static_cast<std::size_t>(run.first_slot.value) + run.slots;
    by_slot_.resize(std::max(by_slot_.size(), end));
    for (std::size_t s = run.first_slot.value; s < end; ++s) insert(by_slot_[s], run.events);
  }

  /// Intervals that it takes to keep it: small in a healthy scan.
  std::size_t intervals() const {
    std::size_t sum = 0;
    for (auto& set : by_slot_) sum += set.intervals();
    return sum;
  }

 private:
  static bool overlaps(const interval_set& set, const event_run& run) {
    if (run.stride == 1) return set.overlaps(run.first.value, run.last().value + 1);
    for (std::uint32_t i = 0; i < run.count; ++i)
      if (set.contains(run.at(i).value)) return true;
    return false;
  }

  static void insert(interval_set& set, const event_run& run) {
    if (run.stride == 1) return set.insert(run.first.value, run.last().value + 1);
    for (std::uint32_t i = 0; i < run.count; ++i) set.insert(run.at(i).value, run.at(i).value + 1);
  }

  std::vector<interval_set> by_slot_;
};

} // namespace dtranspose
