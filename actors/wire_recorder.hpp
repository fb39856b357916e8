/// Writes what a stream received, as it was received, beside the stream. How much may wait for it, and what
/// happens when it is more, is up to the tape and to the ingester.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <memory>

#include "recording/wire_tape.hpp"

namespace dtranspose {

/// Tells `owner` how far it is (`recorded`), and answers `close_recording` once everything that was received
/// before is on the disk.
caf::actor spawn_wire_recorder(caf::actor_system& system, std::shared_ptr<wire_tape> tape,
                               const caf::actor& owner);

} // namespace dtranspose
