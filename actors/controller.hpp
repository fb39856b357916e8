/// Knows who is there, takes scans through their life, binds virtual workers to real ones as credit arrives,
/// and keeps the ledger. Touches no frame, and no message of an event on its own.
#pragma once

#include <caf/actor.hpp>
#include <caf/atom.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "model/ids.hpp"
#include "model/surroundings.hpp"

namespace dtranspose {

class journal_store;

/// With a list of numbers of events and a bool, in one process: how busy workers were over those last events,
/// and over the scan. Answered with a value.
using load_atom = caf::atom_constant<caf::atom("load")>;

struct controller_options {
  incarnation life;
  surroundings around;
  std::string version; ///< of the program, for the REST interface
  std::string analysis = "none";
  std::map<std::string, std::string> parameters;
  std::chrono::nanoseconds arm_timeout = std::chrono::seconds(10);
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(5);
  /// How long a scan waits for a process that it cannot do without to come back.
  std::chrono::nanoseconds return_timeout = std::chrono::seconds(60);
  /// How long after its own restart it waits for those who took part: who is not back by then is gone.
  std::chrono::nanoseconds rejoin_timeout = std::chrono::seconds(10);
  std::uint32_t max_attempts = 3; ///< workers that an event may take with it
  /// Tells others what the analysis has decided: its name, and all of it as JSON. Empty: nobody.
  std::function<void(const std::string& name, const std::string& json)> publish;
  bool stops_when_decided = false;         ///< a decision that the scan need not go on stops it
  std::string recording_prefix;            ///< of the files beside recordings; empty: there are none
  std::vector<std::string> streams;        ///< those of the configuration; empty: not known
  bool records = false;                    ///< do ingesters record, into files of whatever form?
  std::shared_ptr<journal_store> journals; ///< null: nothing is written down, and its death ends a scan
};

caf::actor spawn_controller(caf::actor_system& system, controller_options options);

} // namespace dtranspose
