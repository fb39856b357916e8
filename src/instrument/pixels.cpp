#include "instrument/pixels.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "instrument/splitmix.hpp"

namespace dtranspose {

namespace {

/// A prime, so that masked pixels line up neither with rows nor with columns.
constexpr std::size_t mask_distance = 1031;

/// Counts of a pixel that sees 0.7 photons in the mean, one of them for each value of 4 random bits.
constexpr std::uint8_t counts[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 5};

template <class T>
void write(std::span<std::byte> pixels, std::size_t i, T pixel) {
  std::memcpy(pixels.data() + i * sizeof pixel, &pixel, sizeof pixel);
}

template <class T>
void fill_with_counts(std::span<std::byte> pixels, std::uint64_t state) {
  std::uint64_t random = 0;
  for (std::size_t i = 0; i < pixels.size() / sizeof(T); ++i, random >>= 4) {
    if (i % 16 == 0) random = next_random(state);
    write(pixels, i, static_cast<T>(counts[random & 15]));
  }
}

template <class T>
void mask(std::span<std::byte> pixels, std::uint64_t seed) {
  auto size = pixels.size() / sizeof(T);
  if (size == 0) return;
  auto first = next_random(seed) % std::min(size, mask_distance);
  for (std::size_t i = first; i < size; i += mask_distance) write(pixels, i, std::numeric_limits<T>::max());
}

} // namespace

void fill_pixels(std::span<std::byte> pixels, dtype type, std::uint64_t seed, std::uint64_t frame) {
  auto state = seed;
  state = next_random(state) + frame;
  visit_dtype(type, [&]<class T>(T) {
    fill_with_counts<T>(pixels, state);
    if constexpr (std::numeric_limits<T>::is_integer && sizeof(T) < 8) mask<T>(pixels, seed);
  });
}

} // namespace dtranspose
