/// Which events of a recording are replayed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "recording/event_runs.hpp"
#include "recording/mapped_file.hpp"
#include "recording/recording_index.hpp"

namespace dtranspose {

/// Some of the events of a recording, by their numbers in it.
struct replay_choice {
  event_runs events;
  std::uint64_t first = 0, last = 0; ///< what was asked for: `events` has starts before, and the end
  /// Those of them that everybody is given: starts, so that every worker knows what the rest is about.
  std::set<std::uint64_t> for_everybody;
};

/// In the dumps `files`, for each stream the last event before `event` in which an instrument said what it is
/// going to send: a start, as the protocol of the stream's type reads it.
std::set<std::uint64_t> starts_before(const std::vector<std::shared_ptr<const mapped_file>>& files,
                                      std::uint64_t event);

/// When what is in the dumps `files` of the events `first` to `last` was recorded.
recorded_span times_between(const std::vector<std::shared_ptr<const mapped_file>>& files, std::uint64_t first,
                            std::uint64_t last);

/// The events `first` to `last` of all that `index` has, the first and the last of all, and `starts`.
replay_choice choose_events(const recording_index& index, std::uint64_t first, std::uint64_t last,
                            const std::set<std::uint64_t>& starts = {});

/// All events of `index`, as they are replayed when nothing is chosen.
replay_choice all_events(const recording_index& index);

} // namespace dtranspose
