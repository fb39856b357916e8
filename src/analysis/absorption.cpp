#include "analysis/absorption.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace dtranspose {

namespace {

/// Of the light without sample: what counts for less is taken as that much.
constexpr float least_light = 1e-5F;

/// Replaces NaN by what lies on the straight line between its neighbours. False where all are NaN.
bool bridge(std::span<float> line) {
  auto known = [&](std::size_t i) { return !std::isnan(line[i]); };
  std::size_t first = 0;
  while (first < line.size() && !known(first)) ++first;
  if (first == line.size()) return false;
  std::fill(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(first), line[first]);
  for (auto i = first; i + 1 < line.size();) {
    auto next = i + 1;
    while (next < line.size() && !known(next)) ++next;
    auto end = next < line.size() ? line[next] : line[i];
    for (auto j = i + 1; j < next; ++j)
      line[j] = line[i] + (end - line[i]) * static_cast<float>(j - i) / static_cast<float>(next - i);
    i = next;
  }
  return true;
}

/// Means of darks and flats, and what they make of counts.
} // namespace

std::vector<float> absorption::line_integrals(std::span<const float> counts, std::size_t columns) const {
  prepare();
  std::vector<float> sums(counts.size());
  for (std::size_t first = 0; first < counts.size(); first += columns) {
    auto line = std::span(sums).subspan(first, columns);
    std::size_t seen = 0;
    for (std::size_t i = 0; i < columns; ++i) {
      auto share = (counts[first + i] - dark_[first + i]) / light_[first + i]; // NaN where not known
      seen += share > least_light ? 1 : 0;
      line[i] = std::isnan(share) ? share : -std::log(std::max(share, least_light));
    }
    if (seen > 0 && bridge(line)) continue;
    throw std::runtime_error(no_line(first / columns, columns));
  }
  return sums;
}

std::uint64_t absorption::without_light() const {
  prepare();
  return static_cast<std::uint64_t>(
      std::count_if(light_.begin(), light_.end(), [](float x) { return std::isnan(x); }));
}

void absorption::prepare() const {
  if (!light_.empty()) return;
  light_ = flats_.mean();
  dark_ = darks_.images() > 0 ? darks_.mean() : std::vector<float>(light_.size());
  for (std::size_t i = 0; i < light_.size(); ++i) {
    light_[i] -= dark_[i];
    if (!(light_[i] > 0) || !std::isfinite(light_[i])) light_[i] = NAN;
  }
}

std::string absorption::no_line(std::size_t line, std::size_t columns) const {
  auto lit = light_.begin() + static_cast<std::ptrdiff_t>(line * columns);
  if (std::all_of(lit, lit + static_cast<std::ptrdiff_t>(columns), [](float x) { return std::isnan(x); }))
    return fmt::format(
        "slice {}: the {} flats are nowhere brighter than the {} darks: are parameters 'darks', "
        "'flats' and 'first' right, and was there light?",
        line, flats_.images(), darks_.images());
  return fmt::format("slice {}: no pixel of this projection has light, or counts", line);
}

} // namespace dtranspose
