/// Runs analysis code on one event at a time and sends what came of it to the reducer. Sees no other worker's
/// state.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/ids.hpp"
#include "model/surroundings.hpp"

namespace dtranspose {

struct execution_watch;
struct message_head;

struct worker_options {
  std::string name;
  std::vector<std::string> tags;
  incarnation life;
  surroundings around;
  std::chrono::nanoseconds event_timeout{}; ///< see worker_host::limit; 0: none
  /// Told of the worker's analysis whenever one is made: who watches over the process.
  std::function<void(std::shared_ptr<const execution_watch>, const message_head&, worker_index)> watched = {};
  std::function<void()> prepare_thread = {}; ///< called in every thread that is going to run analysis code
};

caf::actor spawn_worker(caf::actor_system& system, worker_options options);

} // namespace dtranspose
