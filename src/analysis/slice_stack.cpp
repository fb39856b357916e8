#include "analysis/slice_stack.hpp"

#include <algorithm>

#include "analysis/back_projection.hpp"

namespace dtranspose {

void slice_stack::begin(std::size_t lines, std::size_t columns, filter_window window, double centre) {
  if (!filter_ || window != window_ || columns != columns_) filter_.emplace(columns, window);
  lines_ = lines;
  columns_ = columns;
  centre_ = centre;
  window_ = window;
  pixels_.assign(lines * columns * columns, 0.0F);
}

void slice_stack::add(std::span<const weighted_projection> all) {
  std::vector<std::vector<smeared_projection>> by_line(lines_);
  for (auto& projection : all) {
    std::vector<float> filtered(projection.line_integrals.begin(), projection.line_integrals.end());
    filter_->apply(filtered);
    for (std::size_t l = 0; l < lines_; ++l)
      by_line[l].emplace_back(std::span<const float>(filtered).subspan(l * columns_, columns_),
                              projection.angle_deg, centre_, projection.weight);
  }
  auto size = columns_ * columns_;
  for (std::size_t l = 0; l < lines_; ++l)
    back_project(std::span(pixels_).subspan(l * size, size), columns_, by_line[l]);
}

array slice_stack::scaled(double factor) const {
  auto numbers = std::make_shared_for_overwrite<float[]>(pixels_.size());
  auto f = static_cast<float>(factor);
  std::transform(pixels_.begin(), pixels_.end(), numbers.get(), [f](float x) { return f * x; });
  auto bytes = reinterpret_cast<const std::byte*>(numbers.get());
  return array(dtype::float32, {lines_, columns_, columns_},
               std::shared_ptr<const std::byte[]>(std::move(numbers), bytes));
}

} // namespace dtranspose
