/// Questions of threads that are no actors to the controller.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <string>
#include <vector>

namespace dtranspose {

struct progress;

/// How the scan in hand is getting on. Throws std::runtime_error when the controller does not answer.
progress ask_progress(caf::actor_system& system, const caf::actor& controller);

/// What went wrong in the scan in hand, for people: the first few troubles of its ledger. Empty when the
/// controller does not answer.
std::vector<std::string> ask_troubles(caf::actor_system& system, const caf::actor& controller);

/// Starts a scan and returns its id. Throws std::runtime_error with the reason when it is refused.
std::string start_scan(caf::actor_system& system, const caf::actor& controller, std::string body, bool wrap);

} // namespace dtranspose
