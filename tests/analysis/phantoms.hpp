/// Disks in a parallel beam, whose line integrals are known exactly.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

namespace dtranspose::test {

/// In pixels from the axis of rotation.
struct disk {
  double x, y, radius, density;
};

inline double radians(double degrees) { return degrees * std::numbers::pi / 180; }

/// Line integrals, by column.
inline std::vector<float> projection_of(const std::vector<disk>& disks, double angle_deg, double centre,
                                        std::size_t columns) {
  std::vector<float> line(columns);
  for (auto& d : disks) {
    auto middle = centre + d.x * std::cos(radians(angle_deg)) + d.y * std::sin(radians(angle_deg));
    for (std::size_t s = 0; s < columns; ++s) {
      auto off = static_cast<double>(s) - middle, left = d.radius * d.radius - off * off;
      if (left > 0) line[s] += static_cast<float>(2 * d.density * std::sqrt(left));
    }
  }
  return line;
}

/// In the slice, and nothing where an edge is nearer than `clear` pixels.
inline double density_at(const std::vector<disk>& disks, double x, double y, double clear) {
  double sum = 0;
  for (auto& d : disks) {
    auto distance = std::hypot(x - d.x, y - d.y);
    if (std::abs(distance - d.radius) < clear) return NAN;
    if (distance < d.radius) sum += d.density;
  }
  return sum;
}

/// Root mean square of what a slice is off, edges left out; in circles of `radius` around the axis.
inline double error_of(const float* slice, std::size_t side, const std::vector<disk>& disks, double radius,
                       double clear = 2) {
  double sum = 0, n = 0;
  auto middle = 0.5 * (static_cast<double>(side) - 1);
  for (std::size_t i = 0; i < side; ++i)
    for (std::size_t j = 0; j < side; ++j) {
      auto x = static_cast<double>(j) - middle, y = static_cast<double>(i) - middle;
      auto expected = density_at(disks, x, y, clear);
      if (std::isnan(expected) || std::hypot(x, y) > radius) continue;
      auto off = slice[i * side + j] - expected;
      sum += off * off;
      ++n;
    }
  return std::sqrt(sum / n);
}

} // namespace dtranspose::test
