/// Folds the results of all workers, each exactly once and in any order, writes them to the output file and
/// commits them. Waits for no viewer.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "model/ids.hpp"
#include "model/surroundings.hpp"
#include "output/row_layout.hpp"

namespace dtranspose {

class journal_store;
class snapshot_store;

/// How the file of results is written.
struct saving_options {
  bool always = false; ///< also where the streams say that nothing is to be saved
  bool follow = false; ///< readers may follow it in the making
  row_layout layout = {};
  std::chrono::nanoseconds flush = std::chrono::seconds(1); ///< how long rows may wait to be seen
  std::map<std::string, std::string> raw_path = {};         ///< by stream: its data set in raw files
  std::string version = {};                                 ///< of this program
};

struct reducer_options {
  incarnation life;
  surroundings around;
  std::string output;                      ///< file; may hold `{scan}`, `{raw}`; empty: none
  bool overwrite = false;                  ///< of a file that is there already
  std::shared_ptr<journal_store> journals; ///< null: nothing is written down, and its death ends a scan
  std::chrono::nanoseconds fsync{};        ///< how long results may wait to be on disk for good
  bool pause_when_full = true;             ///< wait for room on a full disk, or fail the scan
  std::shared_ptr<snapshot_store> snapshots = {}; ///< for viewers; null: there are none
  double snapshots_per_second = 10;
  saving_options saving = {};
  bool folds_again =
      false; ///< only a simulation sets it, to see that it is found: forgets what it has folded
};

caf::actor spawn_reducer(caf::actor_system& system, reducer_options options);

} // namespace dtranspose
