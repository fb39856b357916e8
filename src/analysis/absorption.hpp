/// How much light a sample takes: counts beside those of darks and flats.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dtranspose {

/// The mean of darks, or of flats.
class mean_lines {
 public:
  void add(std::span<const float> lines) {
    sums_.resize(lines.size());
    counts_.resize(lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (!std::isnan(lines[i])) {
        sums_[i] += lines[i];
        ++counts_[i];
      }
    ++images_;
  }

  std::uint64_t images() const { return images_; }
  /// NaN where no pixel counted.
  std::vector<float> mean() const {
    std::vector<float> means;
    means.reserve(sums_.size());
    for (std::size_t i = 0; i < sums_.size(); ++i)
      means.push_back(static_cast<float>(sums_[i] / static_cast<double>(counts_[i])));
    return means;
  }

 private:
  std::vector<double> sums_;
  std::vector<std::uint32_t> counts_;
  std::uint64_t images_ = 0;
};

/// Means of darks and flats, and what they make of counts. In all of them NaN is a pixel that does not count.
class absorption {
 public:
  void add_dark(std::span<const float> lines) {
    darks_.add(lines);
    light_.clear();
  }
  void add_flat(std::span<const float> lines) {
    flats_.add(lines);
    light_.clear();
  }

  const mean_lines& darks() const { return darks_; }
  const mean_lines& flats() const { return flats_; }

  /// -ln((counts - dark) / (flat - dark)) of lines of so many columns, where there is a flat. Pixels that are
  /// not known are bridged by a straight line between their neighbours. Throws std::runtime_error where no
  /// pixel of a line has light.
  std::vector<float> line_integrals(std::span<const float> counts, std::size_t columns) const;

  /// Pixels in which flats are no brighter than darks.
  std::uint64_t without_light() const;

 private:
  void prepare() const;
  std::string no_line(std::size_t line, std::size_t columns) const;

  mean_lines darks_, flats_;
  mutable std::vector<float> dark_, light_; ///< empty: to be worked out again
};

} // namespace dtranspose
