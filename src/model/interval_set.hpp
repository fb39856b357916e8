/// A set of whole numbers kept as intervals: small as long as what is in it lies together.
#pragma once

#include <cstdint>
#include <map>

namespace dtranspose {

class interval_set {
 public:
  /// Is any of first..end-1 in it?
  bool overlaps(std::uint64_t first, std::uint64_t end) const {
    if (first >= end) return false;
    auto i = ends_.lower_bound(end);
    return i != ends_.begin() && std::prev(i)->second > first;
  }
  bool contains(std::uint64_t x) const { return overlaps(x, x + 1); }

  /// Adds first..end-1, joining what touches.
  void insert(std::uint64_t first, std::uint64_t end) {
    if (first >= end) return;
    auto i = ends_.upper_bound(first);
    if (i != ends_.begin() && std::prev(i)->second >= first) {
      --i;
      if (i->second >= end) return;
      i->second = end;
    } else {
      i = ends_.emplace_hint(i, first, end);
    }
    for (auto after = std::next(i); after != ends_.end() && after->first <= i->second;) {
      if (after->second > i->second) i->second = after->second;
      after = ends_.erase(after);
    }
  }

  /// How many numbers are in it.
  std::uint64_t size() const {
    std::uint64_t sum = 0;
    for (auto& [first, end] : ends_) sum += end - first;
    return sum;
  }
  std::size_t intervals() const { return ends_.size(); }
  auto begin() const { return ends_.begin(); }
  auto end() const { return ends_.end(); }
  void clear() { ends_.clear(); }

 private:
  std::map<std::uint64_t, std::uint64_t> ends_; ///< first -> end
};

} // namespace dtranspose
