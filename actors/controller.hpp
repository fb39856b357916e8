/// Knows who is there, takes scans through their life, binds virtual workers to real ones as credit arrives,
/// and keeps the ledger. Touches no frame, and no message of an event on its own.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <map>
#include <string>

#include "model/ids.hpp"
#include "model/surroundings.hpp"

namespace dtranspose {

struct controller_options {
  incarnation life;
  surroundings around;
  std::string version; ///< of the program, for the REST interface
  std::string analysis = "none";
  std::map<std::string, std::string> parameters;
  std::chrono::nanoseconds arm_timeout = std::chrono::seconds(10);
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(5);
};

caf::actor spawn_controller(caf::actor_system& system, controller_options options);

} // namespace dtranspose
