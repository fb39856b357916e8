/// Folds the results of all workers, each exactly once and in any order, writes them to the output file and
/// commits them. Waits for no viewer.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <functional>
#include <memory>
#include <string>

#include "model/ids.hpp"
#include "model/surroundings.hpp"

namespace dtranspose {

class journal;

struct reducer_options {
  incarnation life;
  surroundings around;
  std::string output;     ///< file; may hold `{scan}`; empty: none
  bool overwrite = false; ///< of a file that is there already
  std::function<std::unique_ptr<journal>()> make_journal;
  bool detached = true; ///< a thread of its own; not in tests that own the scheduler
};

caf::actor spawn_reducer(caf::actor_system& system, reducer_options options);

} // namespace dtranspose
