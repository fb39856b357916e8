/// Generated numbers that everybody can tell from a seed and a place.
#pragma once

#include <cstdint>

namespace dtranspose {

/// A number from 0 up to 1, exclusive, equal for equal arguments on every machine: Sebastiano Vigna's
/// splitmix64, of which the upper 53 bits are the fraction.
inline double noise(std::uint64_t seed, std::uint64_t place) {
  auto z = seed * 0xd1342543de82ef95 + place * 0x9e3779b97f4a7c15 + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

} // namespace dtranspose
