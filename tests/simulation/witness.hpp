/// What the simulation's analysis tells: every result has a number of its own, and each reducer part keeps a
/// list of the results that it was given.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace dtranspose::simulation {

struct witness_book {
  std::uint64_t last_result = 0;
  /// By reducer part, in the order in which they were made: the numbers of the results that it folded.
  std::deque<std::vector<std::uint64_t>> folds;
  /// Results that were folded, or made, with other parameters than those they belong to.
  std::uint64_t mixed_up = 0;
};

/// How the worker parts answer, as the parameter `mode` says it.
enum class answers : std::uint8_t { each = 0, deferred = 1, mixed = 2 };

/// Of the events of `mixed`, which give nothing.
constexpr bool gives_nothing(std::uint64_t event) { return event % 5 == 3; }

/// FNV-1a, 64 bits.
constexpr std::uint64_t hash_seed = 0xcbf29ce484222325;
constexpr std::uint64_t hash_step(std::uint64_t hash, std::uint8_t byte) {
  return (hash ^ byte) * 0x100000001b3;
}

} // namespace dtranspose::simulation
