/// Mean and standard deviation of numbers, whatever their order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "analysis/compensated_sum.hpp"

namespace dtranspose {

class mean_deviation {
 public:
  void add(double x) {
    sum_.add(x);
    squares_.add(x * x);
    ++count_;
  }

  std::uint64_t count() const { return count_; }
  /// NaN of nothing.
  double mean() const { return sum_.value() / static_cast<double>(count_); }
  /// Of the numbers, with n - 1; NaN of fewer than two.
  double deviation() const {
    if (count_ < 2) return std::numeric_limits<double>::quiet_NaN();
    auto n = static_cast<double>(count_);
    return std::sqrt(std::max((squares_.value() - n * mean() * mean()) / (n - 1), 0.0));
  }
  /// Of the mean, the numbers taken for independent.
  double standard_error() const { return deviation() / std::sqrt(static_cast<double>(count_)); }

 private:
  compensated_sum sum_, squares_;
  std::uint64_t count_ = 0;
};

} // namespace dtranspose
