#include "analysis/projection_filter.hpp"

#include <bit>
#include <cmath>
#include <numbers>

namespace dtranspose {

namespace {

constexpr double pi = std::numbers::pi;

double window_at(filter_window window, double f) {
  switch (window) {
  case filter_window::shepp_logan:
    return f == 0 ? 1 : std::sin(pi * f) / (pi * f);
  case filter_window::hann:
    return 0.5 * (1 + std::cos(2 * pi * f));
  case filter_window::ram_lak:
    break;
  }
  return 1;
}

/// Of the band-limited ramp, whose values at whole pixels are those of the header.
double ramp_at(std::size_t frequency, std::size_t length) {
  double sum = 0.25;
  for (std::size_t n = 1; n < length / 2; n += 2) {
    auto phase = 2 * pi * static_cast<double>(frequency * n % length) / static_cast<double>(length);
    sum -= 2 * std::cos(phase) / (pi * pi * static_cast<double>(n * n));
  }
  return sum;
}

} // namespace

std::optional<filter_window> filter_window_of(std::string_view name) {
  if (name == "ram-lak") return filter_window::ram_lak;
  if (name == "shepp-logan") return filter_window::shepp_logan;
  if (name == "hann") return filter_window::hann;
  return std::nullopt;
}

projection_filter::projection_filter(std::size_t columns, filter_window window)
    : columns_(columns), line_(std::bit_ceil(2 * columns)) {
  auto length = line_.size();
  response_.resize(length);
  for (std::size_t k = 0; k <= length / 2; ++k) {
    auto f = static_cast<double>(k) / static_cast<double>(length);
    auto x = ramp_at(k, length) * window_at(window, f) / static_cast<double>(length);
    response_[k] = response_[(length - k) % length] = static_cast<float>(x);
  }
  for (std::size_t k = 0; k < length / 2; ++k) {
    auto phase = -2 * pi * static_cast<double>(k) / static_cast<double>(length);
    roots_.emplace_back(static_cast<float>(std::cos(phase)), static_cast<float>(std::sin(phase)));
  }
  swapped_.resize(length);
  for (std::size_t i = 1; i < length; ++i)
    swapped_[i] = swapped_[i / 2] / 2 + static_cast<std::uint32_t>(i % 2 * length / 2);
}

/// Of `line_`, by the scheme of Cooley and Tukey; back: without the division by the length.
void projection_filter::transform(bool back) {
  auto length = line_.size();
  for (std::size_t i = 0; i < length; ++i)
    if (i < swapped_[i]) std::swap(line_[i], line_[swapped_[i]]);
  for (std::size_t half = 1; half < length; half *= 2) {
    auto step = length / (2 * half);
    for (std::size_t first = 0; first < length; first += 2 * half)
      for (std::size_t k = 0; k < half; ++k) {
        auto root = roots_[k * step];
        auto re = root.real(), im = back ? -root.imag() : root.imag();
        auto &a = line_[first + k], &b = line_[first + k + half];
        // Written out: the product of complex numbers looks for infinities.
        const std::complex<float> turned(b.real() * re - b.imag() * im, b.real() * im + b.imag() * re);
        b = a - turned;
        a += turned;
      }
  }
}

/// The filter is real and even: one line in the real and one in the imaginary part stay apart.
void projection_filter::apply_to_two(float* a, float* b) {
  std::fill(line_.begin(), line_.end(), std::complex<float>());
  for (std::size_t i = 0; i < columns_; ++i) line_[i] = {a[i], b ? b[i] : 0.0F};
  transform(false);
  for (std::size_t k = 0; k < line_.size(); ++k) line_[k] *= response_[k];
  transform(true);
  for (std::size_t i = 0; i < columns_; ++i) {
    a[i] = line_[i].real();
    if (b) b[i] = line_[i].imag();
  }
}

void projection_filter::apply(std::span<float> lines) {
  auto n = lines.size() / columns_;
  for (std::size_t i = 0; i < n; i += 2)
    apply_to_two(lines.data() + i * columns_, i + 1 < n ? lines.data() + (i + 1) * columns_ : nullptr);
}

} // namespace dtranspose
