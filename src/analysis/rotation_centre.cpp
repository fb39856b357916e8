#include "analysis/rotation_centre.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>

#include <Eigen/Dense>

namespace dtranspose {

namespace {

/// Pairs of lines that are compared, at most: each takes columns^2 / 2 steps.
constexpr std::size_t most_pairs = 8;

/// Two lines that ought to be each other's mirror images.
struct opposite_lines {
  std::vector<float> line, other;
};

std::vector<std::size_t> by_angle(const projection_set& all) {
  std::vector<std::size_t> order(all.angles_deg.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return all.angles_deg[a] < all.angles_deg[b]; });
  return order;
}

/// A projection at an angle that is not there: `second` and its neighbour `first`, continued to it.
struct made_projection {
  std::size_t first, second;
  double share; ///< of `second`
};

class opposite_finder {
 public:
  opposite_finder(const projection_set& all, opposite_angles which)
      : all_(all), order_(by_angle(all)), which_(which) {
    std::vector<double> distances;
    for (std::size_t i = 1; i < order_.size(); ++i)
      distances.push_back(all.angles_deg[order_[i]] - all.angles_deg[order_[i - 1]]);
    std::sort(distances.begin(), distances.end());
    if (!distances.empty()) usual_ = distances[distances.size() / 2];
  }

  const std::vector<std::size_t>& order() const { return order_; }

  std::optional<made_projection> at(double angle) const {
    if (order_.size() < 2) return std::nullopt;
    auto place = std::lower_bound(order_.begin(), order_.end(), angle,
                                  [&](auto i, double x) { return all_.angles_deg[i] < x; });
    bool behind = place == order_.end();
    if (place == order_.begin()) return std::nullopt;
    if (behind) --place;
    auto second = *place, first = *(place - 1);
    auto from = all_.angles_deg[first], to = all_.angles_deg[second];
    if (behind && (which_ == opposite_angles::between || angle - to > 2 * usual_ * 1.001))
      return std::nullopt;
    if (!(to > from) || to - from > 3 * usual_) return std::nullopt;
    return made_projection{first, second, (angle - from) / (to - from)};
  }

 private:
  const projection_set& all_;
  std::vector<std::size_t> order_;
  opposite_angles which_;
  double usual_ = 0;
};

std::vector<opposite_lines> pairs_of(const projection_set& all, opposite_angles which) {
  const opposite_finder finder(all, which);
  std::vector<std::pair<std::size_t, made_projection>> found;
  for (auto i : finder.order())
    if (auto made = finder.at(all.angles_deg[i] + 180)) found.emplace_back(i, *made);
  // Beyond the last projection the nearest one is the best known.
  if (which == opposite_angles::near && found.size() > 1) found.resize(1);
  std::vector<opposite_lines> pairs;
  auto lines = std::min(all.lines, most_pairs);
  auto wanted = std::min(found.size(), std::max<std::size_t>(most_pairs / lines, 1));
  for (std::size_t k = 0; k < wanted; ++k) {
    auto& [i, made] = found[k * found.size() / wanted];
    for (std::size_t l = 0; l < lines; ++l) {
      auto offset = l * all.lines / lines * all.columns;
      auto a = all.projections[i].subspan(offset, all.columns);
      auto b = all.projections[made.first].subspan(offset, all.columns);
      auto c = all.projections[made.second].subspan(offset, all.columns);
      opposite_lines pair{{a.begin(), a.end()}, {}};
      auto share = static_cast<float>(made.share);
      for (std::size_t s = 0; s < all.columns; ++s) pair.other.push_back(b[s] + share * (c[s] - b[s]));
      pairs.push_back(std::move(pair));
    }
  }
  return pairs;
}

/// How unlike they are if column s of one is column `sum` - s of the other: 0 for the same, 1 for what has
/// nothing to do with each other.
double difference(const std::vector<opposite_lines>& pairs, std::size_t columns, std::size_t sum) {
  auto first = sum >= columns ? sum - columns + 1 : 0, last = std::min(sum, columns - 1);
  double unlike = 0, all = 0;
  for (auto& pair : pairs)
    for (std::size_t s = first; s <= last; ++s) {
      double a = pair.line[s], b = pair.other[sum - s];
      unlike += (a - b) * (a - b);
      all += a * a + b * b;
    }
  return all > 0 ? unlike / all : 1;
}

/// The middle of the parabola through three values at -1, 0 and 1.
double lowest_of_parabola(double before, double here, double after) {
  auto bend = before - 2 * here + after;
  return bend > 0 ? 0.5 * (before - after) / bend : 0;
}

/// Values at the ends of lines, relative to their mean: is the sample seen whole?
bool is_cut_off(const projection_set& all) {
  auto at_ends = std::max<std::size_t>(all.columns / 50, 1);
  double ends = 0, sum = 0;
  for (auto projection : all.projections)
    for (std::size_t l = 0; l < all.lines; ++l) {
      auto line = projection.subspan(l * all.columns, all.columns);
      for (std::size_t s = 0; s < at_ends; ++s) ends += line[s] + line[all.columns - 1 - s];
      for (auto x : line) sum += x;
    }
  auto mean_of_ends = ends / static_cast<double>(2 * at_ends), mean = sum / static_cast<double>(all.columns);
  return !(mean > 0) || std::abs(mean_of_ends) > 0.05 * mean;
}

struct mass {
  double sum = 0, moment = 0;
};

mass mass_of(std::span<const float> line) {
  mass m;
  for (std::size_t s = 0; s < line.size(); ++s) {
    m.sum += line[s];
    m.moment += static_cast<double>(s) * line[s];
  }
  return m;
}

} // namespace

std::optional<double> centre_by_opposites(const projection_set& all, opposite_angles which) {
  if (all.columns < 8) return std::nullopt;
  auto pairs = pairs_of(all, which);
  if (pairs.empty()) return std::nullopt;
  auto first = all.columns / 2, last = 3 * all.columns / 2;
  std::vector<double> unlike;
  for (auto sum = first; sum <= last; ++sum) unlike.push_back(difference(pairs, all.columns, sum));
  auto best = static_cast<std::size_t>(std::min_element(unlike.begin(), unlike.end()) - unlike.begin());
  if (best == 0 || best + 1 == unlike.size() || !(unlike[best] < 0.5)) return std::nullopt;
  auto rest = lowest_of_parabola(unlike[best - 1], unlike[best], unlike[best + 1]);
  return 0.5 * (static_cast<double>(first + best) + rest);
}

std::optional<double> centre_by_mass(const projection_set& all) {
  auto n = all.projections.size();
  if (n < 4 || is_cut_off(all)) return std::nullopt;
  auto [least, most] = std::minmax_element(all.angles_deg.begin(), all.angles_deg.end());
  if (*most - *least < 89) return std::nullopt;
  Eigen::MatrixXd waves(n, 3);
  Eigen::MatrixXd middles(n, static_cast<Eigen::Index>(all.lines));
  Eigen::VectorXd masses = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(all.lines));
  for (std::size_t i = 0; i < n; ++i) {
    auto row = static_cast<Eigen::Index>(i);
    auto angle = all.angles_deg[i] * std::numbers::pi / 180;
    waves.row(row) << 1, std::cos(angle), std::sin(angle);
    for (std::size_t l = 0; l < all.lines; ++l) {
      auto m = mass_of(all.projections[i].subspan(l * all.columns, all.columns));
      if (!(m.sum > 0)) return std::nullopt;
      middles(row, static_cast<Eigen::Index>(l)) = m.moment / m.sum;
      masses(static_cast<Eigen::Index>(l)) += m.sum;
    }
  }
  auto solver = waves.colPivHouseholderQr();
  if (solver.rank() < 3) return std::nullopt;
  const Eigen::MatrixXd fitted = solver.solve(middles);
  const Eigen::VectorXd share = masses / masses.sum();
  auto centre = fitted.row(0).dot(share);
  const Eigen::VectorXd rests = (middles - waves * fitted) * share;
  auto variance = rests.squaredNorm() / static_cast<double>(std::max<std::size_t>(n - 3, 1));
  auto error = std::sqrt(variance * (waves.transpose() * waves).inverse()(0, 0));
  if (!(error <= 1) || centre < 0 || centre > static_cast<double>(all.columns - 1)) return std::nullopt;
  return centre;
}

} // namespace dtranspose
