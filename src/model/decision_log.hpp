/// What the analysis of a scan has decided, for who joins late. No actors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>

#include "model/value.hpp"

namespace dtranspose {

/// Keeps the last decisions of a scan in order of their numbers. Each is a map `{number, name, value, event,
/// made, valid_until, stop}` and may be told several times: by a reducer that was started again, or to a
/// controller that was.
class decision_log {
 public:
  /// So many are kept, and so many are told apart in a scan.
  static constexpr std::size_t most_kept = 1000, most_known = 100'000;

  /// False where it is known: one of the same name, value and event. Of more than `most_known` none is taken.
  bool take(const value& decision);

  /// Those that are kept, from that number on.
  value_list since(std::uint64_t number) const;
  /// One more than the largest number so far.
  std::uint64_t next() const { return next_; }
  /// How many there were.
  std::size_t size() const { return known_.size(); }

 private:
  std::deque<value> kept_;
  std::unordered_set<std::string> known_;
  std::uint64_t next_ = 0;
};

} // namespace dtranspose
