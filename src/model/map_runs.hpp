/// A trigger map in as few words as it has patterns: for files, where a scan of millions of events may not
/// take more room than its results.
#pragma once

#include <cstddef>

#include "model/value.hpp"

namespace dtranspose {

class trigger_map;

/// `{"events", "streams": {NAME: [{"first", "count", "targets", "step"}]}, "runs_left_out"}`: consecutive
/// events that are alike, but for constraints that go up by `step` with each; `targets` are those of the
/// first, as in the map that was posted, none where the frame is discarded. Events of which a stream has no
/// frame are in no run. After `most_runs`, of all streams together, the rest are counted in `runs_left_out`,
/// which is there only then.
value map_runs(const trigger_map& map, std::size_t most_runs = 20'000);

} // namespace dtranspose
