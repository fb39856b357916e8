/// Generated pixels that everybody can tell from seed and frame number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/value.hpp"

namespace dtranspose {

/// Fills `pixels` with `pixels.size() / size_of(type)` elements, equal for equal seeds and frames on every
/// machine: counts from 0 to 5, most of them 0, which compress about as well as scattered photons do. About
/// one pixel in 1000, and at least one, is masked: the largest number of its type, as gaps and dead pixels
/// have it, in all frames of a seed alike. Types of 64 bits and of floating-point numbers, of which sums
/// would overflow, have no masked pixels.
void fill_pixels(std::span<std::byte> pixels, dtype type, std::uint64_t seed, std::uint64_t frame);

} // namespace dtranspose
