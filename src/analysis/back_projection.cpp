#include "analysis/back_projection.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>

namespace dtranspose {

namespace {

constexpr double half_turn = 180;
/// Zeros on either side of a line, so that rounding never leads out of it.
constexpr std::size_t margin = 3;
/// Pixels that are done together: a fixed length becomes vector code.
constexpr std::size_t lane = 16;

double radians(double degrees) { return degrees * std::numbers::pi / half_turn; }

/// Adds line(at + i * step) to n pixels.
template <std::size_t n>
void add_pixels(float* __restrict to, const float* __restrict line, float at, float step) {
  for (std::size_t i = 0; i < n; ++i) {
    auto place = at + step * static_cast<float>(static_cast<std::int32_t>(i));
    auto column = static_cast<std::int32_t>(place);
    auto rest = place - static_cast<float>(column);
    to[i] += line[column] + rest * (line[column + 1] - line[column]);
  }
}

/// The pixels first..end-1 of a line of the slice.
struct pixel_range {
  std::ptrdiff_t first, end;

  /// Where 0 <= at + i * step <= most.
  pixel_range within(double at, double step, double most) const {
    if (std::abs(step) < 1e-9) return at >= 0 && at <= most ? *this : pixel_range{0, 0};
    auto a = -at / step, b = (most - at) / step;
    if (a > b) std::swap(a, b);
    auto low = std::max(std::ceil(a), static_cast<double>(first));
    auto high = std::min(std::floor(b) + 1, static_cast<double>(end));
    if (!(low < high)) return {0, 0};
    return {static_cast<std::ptrdiff_t>(low), static_cast<std::ptrdiff_t>(high)};
  }
};

/// Projections by angle on the half turn.
struct half_turn_order {
  std::vector<std::size_t> order;
  std::vector<double> gaps; ///< behind each, in that order, degrees; they add up to 180

  explicit half_turn_order(std::span<const double> angles_deg) : order(angles_deg.size()) {
    std::vector<double> folded;
    for (auto angle : angles_deg) {
      auto rest = std::fmod(angle, half_turn);
      folded.push_back(rest < 0 ? rest + half_turn : rest);
    }
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return folded[a] < folded[b]; });
    for (std::size_t i = 0; i < order.size(); ++i) {
      auto next = i + 1 < order.size() ? folded[order[i + 1]] : folded[order[0]] + half_turn;
      gaps.push_back(next - folded[order[i]]);
    }
  }
};

} // namespace

smeared_projection::smeared_projection(std::span<const float> line, double angle_deg, double centre,
                                       double weight)
    : line_(line.size() + 2 * margin), cosine_(std::cos(radians(angle_deg))),
      sine_(std::sin(radians(angle_deg))), centre_(centre) {
  auto factor = static_cast<float>(weight);
  std::transform(line.begin(), line.end(), line_.begin() + margin, [factor](float x) { return factor * x; });
}

void back_project(std::span<float> slice, std::size_t side, std::span<const smeared_projection> all) {
  auto middle = 0.5 * (static_cast<double>(side) - 1);
  for (std::size_t row = 0; row < side; ++row) {
    auto y = static_cast<double>(row) - middle;
    auto half = std::sqrt(std::max(middle * middle - y * y, 0.0));
    const pixel_range circle{static_cast<std::ptrdiff_t>(std::ceil(middle - half)),
                             static_cast<std::ptrdiff_t>(std::floor(middle + half)) + 1};
    auto to = slice.data() + row * side;
    // All projections, while the line of pixels is at hand.
    for (auto& p : all) {
      auto at = p.centre_ + y * p.sine_ - middle * p.cosine_;
      auto most = static_cast<double>(p.line_.size() - 2 * margin - 1);
      auto seen = circle.within(at + 1, p.cosine_, most + 2);
      auto i = seen.first;
      auto place = [&](std::ptrdiff_t pixel) {
        return static_cast<float>(at + margin + static_cast<double>(pixel) * p.cosine_);
      };
      auto step = static_cast<float>(p.cosine_);
      for (; i + static_cast<std::ptrdiff_t>(lane) <= seen.end; i += lane)
        add_pixels<lane>(to + i, p.line_.data(), place(i), step);
      for (; i < seen.end; ++i) add_pixels<1>(to + i, p.line_.data(), place(i), step);
    }
  }
}

std::vector<double> angular_weights(std::span<const double> angles_deg) {
  constexpr double longest = 10; // usual distances
  const half_turn_order turn(angles_deg);
  auto n = turn.order.size();
  std::vector<double> weights(n);
  if (n == 0) return weights;
  auto sorted = turn.gaps;
  std::sort(sorted.begin(), sorted.end());
  auto usual = sorted[n * 9 / 10];
  if (!(usual > 0)) usual = half_turn; // nothing turns
  for (std::size_t i = 0; i < n; ++i) {
    auto gap = turn.gaps[i] > longest * usual ? usual : turn.gaps[i];
    weights[turn.order[i]] += 0.5 * radians(gap);
    weights[turn.order[(i + 1) % n]] += 0.5 * radians(gap);
  }
  return weights;
}

double largest_angular_gap(std::span<const double> angles_deg) {
  const half_turn_order turn(angles_deg);
  return turn.gaps.empty() ? half_turn : *std::max_element(turn.gaps.begin(), turn.gaps.end());
}

} // namespace dtranspose
