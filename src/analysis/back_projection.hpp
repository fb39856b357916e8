/// Slices out of filtered projections of a parallel beam.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dtranspose {

/// A filtered projection of one slice on its way into it.
class smeared_projection {
 public:
  /// `line`: what the detector's columns saw, filtered. `centre`: column of the axis of rotation, from the
  /// middle of column 0. All values are multiplied by `weight`.
  smeared_projection(std::span<const float> line, double angle_deg, double centre, double weight);

 private:
  friend void back_project(std::span<float> slice, std::size_t side, std::span<const smeared_projection> all);

  std::vector<float> line_; ///< with zeros around it
  double cosine_, sine_, centre_;
};

/// Adds to every pixel (x, y) of the slice what each projection has at s = x cos(angle) + y sin(angle) +
/// centre, interpolated between columns; beyond the detector that is 0. `slice`: `side` lines of `side`
/// pixels, x along lines, y from line to line, the axis in the middle. Pixels outside of the circle that
/// touches its sides stay as they are. Takes about side^2 * pi / 4 steps per projection.
void back_project(std::span<float> slice, std::size_t side, std::span<const smeared_projection> all);

/// What each projection stands for, in radians: half of the distance to its neighbours on either side, where
/// a half turn makes the same ray. They add up to pi if projections lie all around. A gap of more than ten
/// times the usual distance (the one that 90 % are no longer than) is a part of the turn that was not
/// measured: its neighbours get half of the usual distance there.
std::vector<double> angular_weights(std::span<const double> angles_deg);

/// The largest distance, in degrees, between neighbours on the half turn; 180 for one or none.
double largest_angular_gap(std::span<const double> angles_deg);

} // namespace dtranspose
