/// Rising event numbers, kept as runs: a recording of millions of regular events is a few of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

namespace dtranspose {

class event_runs {
 public:
  /// first, first + stride, ...: `count` numbers.
  struct run {
    std::uint64_t first;
    std::uint64_t count;
    std::uint64_t stride;

    std::uint64_t last() const { return first + (count - 1) * stride; }
    bool operator==(const run&) const = default;
  };

  /// Visits the numbers in rising order.
  class iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::uint64_t;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::uint64_t*;
    using reference = std::uint64_t;

    iterator() = default;
    explicit iterator(const run* at) : run_(at) {}

    std::uint64_t operator*() const { return run_->first + place_ * run_->stride; }
    iterator& operator++() {
      if (++place_ == run_->count) {
        ++run_;
        place_ = 0;
      }
      return *this;
    }
    iterator operator++(int) {
      auto old = *this;
      ++*this;
      return old;
    }
    bool operator==(const iterator&) const = default;

   private:
    const run* run_ = nullptr;
    std::uint64_t place_ = 0;
  };

  /// Requires that `event` is above every number in here.
  void append(std::uint64_t event) {
    ++size_;
    if (!runs_.empty()) {
      auto& end = runs_.back();
      if (end.count == 1) end.stride = event - end.first;
      if (event == end.first + end.count * end.stride) {
        ++end.count;
        return;
      }
    }
    runs_.push_back({event, 1, 1});
  }

  /// The same for `event` and the `count` - 1 numbers that follow it.
  void append(std::uint64_t event, std::uint64_t count) {
    for (; count > 0 && (runs_.empty() || runs_.back().stride != 1 || runs_.back().last() + 1 != event);
         --count)
      append(event++);
    if (count == 0) return;
    runs_.back().count += count;
    size_ += count;
  }

  bool contains(std::uint64_t event) const {
    auto above = std::upper_bound(runs_.begin(), runs_.end(), event,
                                  [](std::uint64_t e, const run& r) { return e < r.first; });
    if (above == runs_.begin()) return false;
    auto& candidate = *std::prev(above);
    auto distance = event - candidate.first;
    return distance % candidate.stride == 0 && distance / candidate.stride < candidate.count;
  }

  /// The lowest number that is not below `event`.
  std::optional<std::uint64_t> from(std::uint64_t event) const {
    auto run = std::lower_bound(runs_.begin(), runs_.end(), event,
                                [](const auto& r, std::uint64_t e) { return r.last() < e; });
    if (run == runs_.end()) return std::nullopt;
    if (event <= run->first) return run->first;
    return run->first + (event - run->first + run->stride - 1) / run->stride * run->stride;
  }

  bool empty() const { return runs_.empty(); }
  /// How many numbers.
  std::uint64_t size() const { return size_; }
  /// The highest; requires that there is one.
  std::uint64_t last() const { return runs_.back().last(); }
  const std::vector<run>& runs() const { return runs_; }

  iterator begin() const { return iterator(runs_.data()); }
  iterator end() const { return iterator(runs_.data() + runs_.size()); }

 private:
  std::vector<run> runs_;
  std::uint64_t size_ = 0;
};

} // namespace dtranspose
