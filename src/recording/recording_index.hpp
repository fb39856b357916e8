/// What dumps of ingesters hold together: streams, and the events in which each has data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "recording/event_runs.hpp"
#include "recording/mapped_file.hpp"

namespace dtranspose {

/// A stream as files hold it.
struct recorded_stream {
  std::string name;
  std::string type; ///< of its first event; of a raw capture that of its protocol
  event_runs events;
  /// Does its last entry belong to the last event of all that it is replayed with? So do ends of raw
  /// captures, which know nothing of events; a dump knows.
  bool ends = false;
};

/// From when to when something was recorded, in seconds since 1970 (UTC).
struct recorded_span {
  double first = 0, last = 0;
};

/// From the first to the last of both; nothing where neither is known.
std::optional<recorded_span> joined(const std::optional<recorded_span>& a,
                                    const std::optional<recorded_span>& b);

/// What files hold together.
struct recording_index {
  std::vector<recorded_stream> streams;   ///< in order of their first appearance
  std::uint64_t events = 0;               ///< highest event number + 1
  std::vector<std::string> warnings = {}; ///< what could not be read, and types that change
  std::optional<recorded_span> times = {};
  double longest_pause = 0; ///< between two messages of an instrument, in s
  std::string untimed = {}; ///< empty, or what of it has no time: which file, perhaps which event
};

/// Reads all of `files` once. Throws std::runtime_error when one is no dump, when the event numbers
/// of one fall, or when a stream appears twice in an event: each named with file and event.
recording_index index_of(const std::vector<std::shared_ptr<const mapped_file>>& files);

} // namespace dtranspose
