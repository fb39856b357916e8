/// Runs analysis code on one event at a time, in a thread of its own, and sends what came of it to the
/// reducer. Sees no other worker's state.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <string>

#include "model/ids.hpp"
#include "model/surroundings.hpp"

namespace dtranspose {

struct worker_options {
  std::string name;
  incarnation life;
  surroundings around;
  bool detached = true; ///< a thread of its own; not in tests that own the scheduler
};

caf::actor spawn_worker(caf::actor_system& system, worker_options options);

} // namespace dtranspose
