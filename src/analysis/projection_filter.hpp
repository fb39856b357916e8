/// The filter of filtered back-projection.
#pragma once

#include <complex>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace dtranspose {

/// What the ramp is multiplied by; f is the frequency in 1/pixel, up to 1/2.
enum class filter_window {
  ram_lak,     ///< 1
  shepp_logan, ///< sin(pi f) / (pi f)
  hann,        ///< (1 + cos(2 pi f)) / 2
};

/// `ram-lak`, `shepp-logan`, `hann`; nothing for any other text.
std::optional<filter_window> filter_window_of(std::string_view name);

/// Multiplies the spectrum of lines of a projection by |f| and a window. The ramp is the transform of the
/// band-limited one at whole pixels (1/4 in the middle, -1 / (pi n)^2 at odd n), so that it does not take the
/// mean off; lines are continued with zeros to twice their length and more.
class projection_filter {
 public:
  projection_filter(std::size_t columns, filter_window window);

  /// `lines`: any number of lines, filtered in place. Not to be called by two threads at a time.
  void apply(std::span<float> lines);

 private:
  void transform(bool back);
  void apply_to_two(float* a, float* b);

  std::size_t columns_;
  std::vector<float> response_; ///< by frequency, in the order of the transform; with 1 / length
  std::vector<std::complex<float>> roots_, line_;
  std::vector<std::uint32_t> swapped_; ///< places of the transform, bits in reverse order
};

} // namespace dtranspose
