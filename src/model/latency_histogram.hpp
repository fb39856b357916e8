/// How often something took how long, in buckets that are the same everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace dtranspose {

class latency_histogram {
 public:
  /// Upper ends of the buckets, each included, in seconds: 1, 2, 5 times the powers of ten. One more is for
  /// what took longer.
  static constexpr std::array<double, 20> ends{5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2,
                                               0.1,  0.2,  0.5,  1,    2,    5,    10,   20,   50,   100};

  void add(std::int64_t nanoseconds) {
    auto seconds = static_cast<double>(nanoseconds) * 1e-9;
    ++counts_[static_cast<std::size_t>(std::ranges::lower_bound(ends, seconds) - ends.begin())];
    sum_ += seconds;
  }

  /// By bucket.
  const std::array<std::uint64_t, ends.size() + 1>& counts() const { return counts_; }
  /// Seconds, of all together.
  double sum() const { return sum_; }

 private:
  std::array<std::uint64_t, ends.size() + 1> counts_{};
  double sum_ = 0;
};

} // namespace dtranspose
