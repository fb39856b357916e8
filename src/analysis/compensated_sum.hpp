/// Sums of floating-point numbers that do not depend on the order of adding.
#pragma once

#include <cmath>

namespace dtranspose {

/// One step of Neumaier's sum, in the form without branches (Knuth's TwoSum): what rounding takes away from
/// `sum` goes to `error`.
inline void add_compensated(double& sum, double& error, double x) {
  double next = sum + x, taken = next - sum;
  error += (sum - (next - taken)) + (x - taken);
  sum = next;
}

/// Neumaier's sum: what rounding takes away is kept beside it, so that the order in which numbers come does
/// not matter beyond the last rounding. Once infinite or NaN it stays so.
class compensated_sum {
 public:
  void add(double x) { add_compensated(sum_, error_, x); }

  void add(const compensated_sum& other) {
    add(other.sum_);
    error_ += other.error_;
  }

  double value() const { return std::isfinite(sum_) ? sum_ + error_ : sum_; }

 private:
  double sum_ = 0, error_ = 0;
};

} // namespace dtranspose
