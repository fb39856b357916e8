/// Joins what the streams send into whole events, for the workers of its process, by number and never by
/// order of arrival; returns credit for what they are through with.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <vector>

#include "model/ids.hpp"

namespace dtranspose {

struct assembler_options {
  incarnation life;
  std::uint64_t memory = 0;        ///< bytes of events that its process may hold
  bool deliver_incomplete = false; ///< give events to workers although a stream's data is missing
  std::vector<caf::actor> workers;
};

caf::actor spawn_assembler(caf::actor_system& system, assembler_options options);

} // namespace dtranspose
