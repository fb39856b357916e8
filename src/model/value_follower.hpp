/// A software-triggered stream: whenever a frame of its leader arrives, its latest value is taken and kept
/// for that event.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "assignment.hpp"
#include "source/source.hpp"

namespace dtranspose {

/// Positions of a stream, one behind the other.
struct position_range {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const position_range&) const = default;
};

/// What a leader tells its followers.
struct leader_news {
  std::uint64_t entries = 0;           ///< of the leader in the whole scan
  std::vector<stream_run> runs;        ///< that were assigned to it since, in rising order of events
  std::vector<position_range> decided; ///< of its entries that arrived or were given up since
};

/// Turns values and the leader's frames into recorded packets: data whose event is known. An event in which
/// the leader has no frame gets the value of the leader's frame before it. An event for which there was no
/// value yet waits for the first one.
class value_follower {
 public:
  /// `led`: has the leader a part in this scan? Without, a value is taken when its event is assigned.
  explicit value_follower(bool led) : led_(led) {}

  void take(const stream_data& value) { latest_ = value; }
  void take(const leader_news& news);
  void assign(const stream_run& run) { wanted_.push_back({run, 0}); }

  /// What is known since the last call, in rising order of events.
  packet_batch ready();

 private:
  struct wanted_run {
    stream_run run;
    std::uint32_t done = 0; ///< events of it that were given out
  };
  struct leader_run {
    std::uint64_t first = 0; ///< position of its first entry
    stream_run run;
  };

  /// What was the latest value when these entries of the leader came.
  struct snapshot {
    std::uint64_t count = 0;
    stream_data value;
  };

  /// The value for that event; null while it is not known.
  const stream_data* value_for(event_number event);
  /// The snapshot that was taken for the leader's last entry up to that event; null while it is not known.
  const stream_data* snapshot_for(event_number event);

  bool led_;
  stream_data latest_;
  std::deque<wanted_run> wanted_;
  std::deque<leader_run> leader_;
  std::uint64_t leader_assigned_ = 0, leader_entries_ = 0;
  std::map<std::uint64_t, snapshot> snapshots_; ///< by position of the leader
};

} // namespace dtranspose
