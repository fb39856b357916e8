/// What an actor is given instead of reaching for it, so that a simulation can own it.
#pragma once

#include <cstdint>
#include <functional>

namespace dtranspose {

struct surroundings {
  std::function<std::int64_t()> steady; ///< ns, never steps back
  std::function<std::int64_t()> wall;   ///< ns since 1970, UTC
  std::function<std::uint64_t()> random;
};

/// The clocks and the randomness of this machine.
surroundings real_surroundings();

} // namespace dtranspose
