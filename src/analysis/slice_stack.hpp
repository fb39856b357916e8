/// Slices that grow with every projection.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "analysis/projection_filter.hpp"
#include "model/value.hpp"

namespace dtranspose {

struct weighted_projection {
  std::span<const float> line_integrals; ///< a line for each slice
  double angle_deg, weight;
};

class slice_stack {
 public:
  /// Empty slices, one for each line. `centre`: column of the axis of rotation.
  void begin(std::size_t lines, std::size_t columns, filter_window window, double centre);

  double centre() const { return centre_; }
  /// Of back-projection, for one projection.
  std::size_t steps() const { return pixels_.size(); }

  /// Filters them, and adds each with its weight.
  void add(std::span<const weighted_projection> all);

  /// float32 [lines, columns, columns], multiplied by that.
  array scaled(double factor) const;

 private:
  std::size_t lines_ = 0, columns_ = 0;
  double centre_ = 0;
  filter_window window_ = filter_window::ram_lak;
  std::optional<projection_filter> filter_;
  std::vector<float> pixels_;
};

} // namespace dtranspose
