/// Noise of simulated detectors: random numbers that follow from a seed and a place alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dtranspose {

/// A stream of random numbers: equal seeds and places give equal ones.
class chance {
 public:
  /// `what` keeps things apart that have a place in common, e.g. two instruments at the same frame.
  chance(std::uint64_t seed, std::uint64_t what, std::uint64_t place);

  std::uint64_t bits();
  /// From 0 up to 1, exclusive.
  double uniform();
  /// Of mean 0 and standard deviation 1, to 4.3 standard deviations.
  double gauss();
  /// Of that mean: exact below 12; above a normal distribution corrected for its skewness (Cornish and
  /// Fisher), which is within a fraction of a count.
  std::uint64_t poisson(double mean);

 private:
  std::uint64_t state_;
};

/// So many normally distributed numbers, a power of two, in random order: for noise that must be fast. Made
/// once.
std::span<const float> gauss_table();

} // namespace dtranspose
