/// Figures of several runs, and of many events.
#pragma once

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace dtranspose::benchmarks {

struct summary {
  double least = 0, median = 0, most = 0;
};

inline summary summarise(std::vector<double> v) {
  if (v.empty()) throw std::runtime_error("nothing was measured");
  std::sort(v.begin(), v.end());
  return {v.front(), v[v.size() / 2], v.back()};
}

/// The smallest of `sorted` that this part of them (0..1) does not exceed.
inline double quantile(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) throw std::runtime_error("nothing was measured");
  auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

} // namespace dtranspose::benchmarks
