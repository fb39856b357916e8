#include "analysis/snip.hpp"

#include <algorithm>
#include <cmath>

namespace dtranspose {

namespace {

double compressed(double y) { return std::log(std::log(std::sqrt(std::max(y, 0.0) + 1) + 1) + 1); }

double expanded(double v) {
  auto root = std::exp(std::exp(v) - 1) - 1;
  return std::max(root * root - 1, 0.0);
}

} // namespace

void snip_background(std::span<const double> spectrum, std::size_t width, std::vector<double>& background,
                     std::vector<double>& scratch) {
  const auto n = spectrum.size();
  background.resize(n);
  std::transform(spectrum.begin(), spectrum.end(), background.begin(), compressed);
  scratch = background;
  for (auto p = std::min(width, n == 0 ? 0 : (n - 1) / 2); p > 0; --p) {
    const double* __restrict from = background.data();
    double* __restrict to = scratch.data();
    for (std::size_t i = p; i + p < n; ++i) {
      auto mean = 0.5 * (from[i - p] + from[i + p]);
      to[i] = mean < from[i] ? mean : from[i];
    }
    // The margins stay, and are the same in both.
    std::copy(to + p, to + n - p, background.data() + p);
  }
  std::transform(background.begin(), background.end(), background.begin(), expanded);
}

} // namespace dtranspose
