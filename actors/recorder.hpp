/// Writes what an ingester hands it, in order, into a dump of that ingester's stream. It says how far it is:
/// how much may wait here, and what happens when it is more, is up to the ingester.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "recording/gathering_file.hpp"
#include "recording/wire_tape.hpp"

namespace dtranspose {

/// How an ingester records.
struct recording_options {
  std::string folder; ///< empty: only where a scan asks for it
  packing packed = packing::none;
  std::uint64_t budget = 256 << 20; ///< bytes that may wait to be written
  bool leave_gaps = false;          ///< what is beyond is left out of the recording; else the stream waits
  std::shared_ptr<wire_tape> wire = {}; ///< what the source receives goes there, too; null: nowhere
};

struct recorder_options {
  std::string stream;
  packing packed = packing::none;
  std::function<std::int64_t()> wall; ///< ns since 1970
};

caf::actor spawn_recorder(caf::actor_system& system, recorder_options options);

} // namespace dtranspose
