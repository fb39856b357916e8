/// One run of the simulation: a cluster of real actors, a map, a plan of faults, and what must hold in the
/// end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dtranspose::simulation {

struct settings {
  std::string variant = "all";
  std::string bug;                             ///< injected; empty: none
  std::function<void(const std::string&)> log; ///< gets every message that is delivered
};

struct outcome {
  std::string failure;  ///< the promise that was broken; empty: none
  std::string plan;     ///< for people
  bool refused = false; ///< the map could not be mapped at all by these workers
  std::uint64_t steps = 0, faults = 0;
};

outcome run_seed(std::uint64_t seed, const settings& how);

/// Kinds of faults that a run may have.
const std::vector<std::string>& variants();
const std::vector<std::string>& bugs();

} // namespace dtranspose::simulation
