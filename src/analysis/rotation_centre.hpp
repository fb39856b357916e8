/// Where the axis of rotation of a tomographic scan is.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace dtranspose {

/// Projections of one scan: of each the same lines of `columns` line integrals, one behind the other.
struct projection_set {
  std::size_t lines, columns;
  std::vector<double> angles_deg;
  std::vector<std::span<const float>> projections;
};

/// How far the angle that was looked for may be from the projections at hand.
enum class opposite_angles {
  between, ///< it lies between two of them
  near,    ///< or not farther behind the last than two of the usual distances
};

// Each gives the column of the axis, from the middle of column 0; nothing where these projections do not
// tell.

/// Where projections that are half a turn apart are each other's mirror images: p(angle, s) and p(angle +
/// 180, 2 c - s). The opposite one is interpolated between two, or continued from them. Compares a few lines,
/// and looks for the axis in the middle half of the columns.
std::optional<double> centre_by_opposites(const projection_set& all, opposite_angles which);

/// Where the centre of mass turns around: that of a projection is at c + a cos(angle) + b sin(angle), fitted
/// to all of them. Wants a quarter of a turn, a sample that is seen whole, and an error of no more than one
/// column.
std::optional<double> centre_by_mass(const projection_set& all);

} // namespace dtranspose
