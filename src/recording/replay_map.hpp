/// The trigger map that a recording is replayed with when none is given.
#pragma once

#include <string>

#include "recording/recording_index.hpp"
#include "recording/replay_choice.hpp"

namespace dtranspose {

/// Body of `POST /api/v1/sequence`, not to be wrapped: one constraint per recorded event, `null` where a
/// stream has no data, the first and the last event to everybody. Stretches that look alike are one part.
std::string replay_map(const recording_index& index);

/// The same with slots for the events of `choice` alone. Whatever `index` has beside them is read and
/// discarded.
std::string replay_map(const recording_index& index, const replay_choice& choice);

} // namespace dtranspose
