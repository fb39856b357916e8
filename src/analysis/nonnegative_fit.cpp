#include "analysis/nonnegative_fit.hpp"

#include <algorithm>
#include <cstddef>

#include <Eigen/Cholesky>

namespace dtranspose {

namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Of the squared length of a column: as little of it as others cannot make up is rounding.
constexpr double independent = 1e-11;
/// Of the largest projection: gradients below that are rounding.
constexpr double negligible = 1e-12;

std::vector<Index> indices_of(const std::vector<bool>& active) {
  std::vector<Index> indices;
  for (std::size_t i = 0; i < active.size(); ++i)
    if (active[i]) indices.push_back(static_cast<Index>(i));
  return indices;
}

/// The problem with columns of length 1.
class scaled_problem {
 public:
  scaled_problem(const MatrixXd& gram, const VectorXd& projection)
      : lengths_(gram.diagonal().cwiseSqrt()), projection_(projection.cwiseQuotient(lengths_)) {
    gram_ = gram.array() / (lengths_ * lengths_.transpose()).array();
  }

  VectorXd gradient(const VectorXd& x) const { return projection_ - gram_ * x; }
  double negligible_gradient() const { return negligible * projection_.cwiseAbs().maxCoeff(); }
  VectorXd unscaled(const VectorXd& x) const { return x.cwiseQuotient(lengths_); }

  /// The solution without bounds in the active columns, 0 elsewhere. False where those are not independent.
  bool solve(const std::vector<bool>& active, VectorXd& x) const {
    x.setZero(projection_.size());
    auto indices = indices_of(active);
    if (indices.empty()) return true;
    MatrixXd part = gram_(indices, indices);
    Eigen::LLT<MatrixXd> factor(part);
    if (factor.info() != Eigen::Success) return false;
    if (factor.matrixLLT().diagonal().cwiseAbs2().minCoeff() < independent) return false;
    VectorXd found = projection_(indices);
    factor.solveInPlace(found);
    x(indices) = found;
    return true;
  }

 private:
  VectorXd lengths_, projection_;
  MatrixXd gram_;
};

/// Goes from `x`, in which nothing is negative, to the best solution of the active columns, and drops columns
/// on the way until there is no negative element. False where the columns are not independent.
bool settle(const scaled_problem& problem, std::vector<bool>& active, VectorXd& x) {
  VectorXd target;
  while (true) {
    if (!problem.solve(active, target)) return false;
    double step = 1;
    for (auto i : indices_of(active))
      if (target[i] <= 0) step = std::min(step, x[i] / (x[i] - target[i]));
    if (!(step < 1)) break;
    for (auto i : indices_of(active)) {
      bool blocks = target[i] <= 0 && x[i] <= step * (x[i] - target[i]) * (1 + 1e-12);
      x[i] += step * (target[i] - x[i]);
      if (!blocks) continue;
      x[i] = 0;
      active[static_cast<std::size_t>(i)] = false;
    }
  }
  x = target.cwiseMax(0);
  return true;
}

} // namespace

VectorXd solve_nonnegative(const MatrixXd& gram, const VectorXd& projection, std::vector<bool>& active) {
  const auto n = static_cast<std::size_t>(projection.size());
  active.resize(n, false);
  if (n == 0) return {};
  const scaled_problem problem(gram, projection);
  VectorXd x = VectorXd::Zero(projection.size());
  // A first guess counts if it is a solution already.
  VectorXd guess;
  if (problem.solve(active, guess) && guess.minCoeff() >= 0)
    x = guess;
  else
    active.assign(n, false);
  std::vector<bool> refused(n, false);
  for (std::size_t steps = 0; steps < 3 * n + 30; ++steps) {
    auto gradient = problem.gradient(x);
    Index best = -1;
    for (std::size_t k = 0; k < n; ++k) {
      auto i = static_cast<Index>(k);
      if (active[k] || refused[k] || !(gradient[i] > problem.negligible_gradient())) continue;
      if (best < 0 || gradient[i] > gradient[best]) best = i;
    }
    if (best < 0) break;
    auto before = active;
    active[static_cast<std::size_t>(best)] = true;
    if (settle(problem, active, x) && active[static_cast<std::size_t>(best)]) {
      refused.assign(n, false);
    } else { // it is made up of others, or rounding: it went as soon as it came
      refused[static_cast<std::size_t>(best)] = true;
      active = before;
      problem.solve(active, x);
    }
  }
  return problem.unscaled(x);
}

} // namespace dtranspose
