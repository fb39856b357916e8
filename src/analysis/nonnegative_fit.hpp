/// Least squares whose solution is nowhere negative.
#pragma once

#include <vector>

#include <Eigen/Core>

namespace dtranspose {

/// The x with no negative element that makes |A x - b| least, from `gram` = A'A (symmetric, positive
/// semidefinite, with a diagonal above 0) and `projection` = A'b, by the active-set method of Lawson and
/// Hanson on the normal equations (Bro and de Jong). `active` says which elements are tried first, say those
/// that were not 0 in a similar problem, and afterwards which are not held at 0. A column that others make up
/// within rounding is held at 0. Always ends: after more steps than any sane problem takes with the best of
/// them.
Eigen::VectorXd solve_nonnegative(const Eigen::MatrixXd& gram, const Eigen::VectorXd& projection,
                                  std::vector<bool>& active);

} // namespace dtranspose
