#include "analysis/nonnegative_fit.hpp"

#include <random>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

struct problem {
  MatrixXd matrix;
  VectorXd wanted;

  VectorXd solve(std::vector<bool> active = {}) const {
    return solve_nonnegative(matrix.transpose() * matrix, matrix.transpose() * wanted, active);
  }
  VectorXd gradient(const VectorXd& x) const { return matrix.transpose() * (wanted - matrix * x); }
};

problem random_problem(std::mt19937& random, int rows, int columns) {
  std::normal_distribution<double> normal;
  problem p{MatrixXd(rows, columns), VectorXd(rows)};
  for (int i = 0; i < rows; ++i) {
    for (int k = 0; k < columns; ++k) p.matrix(i, k) = 0.5 + normal(random);
    p.wanted[i] = normal(random);
  }
  // Columns of very different lengths, as elements and background have.
  for (int k = 0; k < columns; ++k) p.matrix.col(k) *= std::pow(10.0, k % 5 - 2);
  return p;
}

TEST(nonnegative_fit, solutions_meet_the_conditions_of_a_minimum) {
  std::mt19937 random(1);
  for (int n = 1; n <= 30; ++n)
    for (int turn = 0; turn < 20; ++turn) {
      auto p = random_problem(random, 40, n);
      auto x = p.solve();
      auto gradient = p.gradient(x);
      ASSERT_GE(x.minCoeff(), 0);
      for (int i = 0; i < n; ++i) {
        auto scale = 1e-8 * p.matrix.col(i).norm() * p.wanted.norm();
        if (x[i] > 0)
          EXPECT_NEAR(gradient[i], 0, scale);
        else
          EXPECT_LE(gradient[i], scale);
      }
    }
}

TEST(nonnegative_fit, what_is_positive_anyway_is_the_plain_solution) {
  std::mt19937 random(2);
  auto p = random_problem(random, 50, 8);
  VectorXd x = VectorXd::LinSpaced(8, 1, 2);
  p.wanted = p.matrix * x;
  EXPECT_LT((p.solve() - x).norm(), 1e-9);
}

TEST(nonnegative_fit, where_it_begins_does_not_matter) {
  std::mt19937 random(3);
  auto p = random_problem(random, 60, 12);
  auto x = p.solve();
  for (int turn = 0; turn < 50; ++turn) {
    std::vector<bool> active(12);
    for (auto&& a : active) a = random() % 2 == 0;
    EXPECT_LT((p.solve(active) - x).norm(), 1e-9 * (1 + x.norm()));
  }
}

TEST(nonnegative_fit, tells_which_are_not_0) {
  problem p{MatrixXd::Identity(3, 3), VectorXd::Zero(3)};
  p.wanted << 2, -1, 3;
  std::vector<bool> active;
  auto x = solve_nonnegative(p.matrix, p.wanted, active);
  EXPECT_EQ(x, (VectorXd(3) << 2, 0, 3).finished());
  EXPECT_EQ(active, (std::vector<bool>{true, false, true}));
}

TEST(nonnegative_fit, columns_that_are_the_same_twice_share_without_harm) {
  problem p{MatrixXd(3, 3), VectorXd(3)};
  p.matrix << 1, 1, 0, /**/ 2, 2, 0, /**/ 0, 0, 1;
  p.wanted << 3, 6, 5;
  auto x = p.solve();
  EXPECT_TRUE(x.allFinite());
  EXPECT_NEAR(x[0] + x[1], 3, 1e-9);
  EXPECT_NEAR(x[2], 5, 1e-9);
}

TEST(nonnegative_fit, nothing_to_fit_gives_nothing) {
  problem p{MatrixXd::Identity(4, 4), VectorXd::Zero(4)};
  EXPECT_EQ(p.solve(), VectorXd::Zero(4));
  EXPECT_EQ(p.solve({true, true, true, true}), VectorXd::Zero(4));
  std::vector<bool> active;
  EXPECT_EQ(solve_nonnegative(MatrixXd(0, 0), VectorXd(0), active).size(), 0);
}

} // namespace
} // namespace dtranspose
