/// The trigger map that a recording is replayed with when none is given.
#pragma once

#include <string>

#include "recording/recording_index.hpp"

namespace dtranspose {

/// Body of `POST /api/v1/sequence`, not to be wrapped: one constraint per recorded event, `null` where a
/// stream has no data, the first and the last event to everybody. Stretches that look alike are one part.
std::string replay_map(const recording_index& index);

} // namespace dtranspose
