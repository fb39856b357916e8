/// Assignments as they are sent: who gets which events, in runs.
#pragma once

#include <cstdint>
#include <vector>

#include "assigner.hpp"
#include "event_run.hpp"
#include "ids.hpp"

namespace dtranspose {

/// Place of a worker process in the controller's table; an ingester sends a frame to each process once.
using process_index = std::uint16_t;

/// What an ingester does with its frames of a run of events: sends them to these processes, or drops
/// them where there are none. Events of which the stream has no frame are in no run.
struct stream_run {
  event_run events;
  std::vector<process_index> targets;
  bool for_everyone = false; ///< of use to workers that join later: kept when they are done, within a budget
  bool keep = false;         ///< held although it has no targets: they come as repeats
  bool operator==(const stream_run&) const = default;
};

/// What a worker gets of a run of events.
struct worker_run {
  event_run events;
  worker_index worker;
  slot_index first_slot;
  std::uint16_t slots = 1; ///< 0: the worker only looks at it, as it joined later
  stream_mask streams = 0;
  bool for_everyone = false; ///< every worker with its tags has slots of these events
  bool operator==(const worker_run&) const = default;
};

/// What an ingester is to send once more, or to somebody else, under another dispatch.
struct repeat_run {
  event_run events;
  process_index target = 0;
  dispatch_id dispatch;
  bool to_look_at = false; ///< for a worker that joined later: events that may be over
  bool operator==(const repeat_run&) const = default;
};

/// Gathers bound events into runs for every stream and every worker process.
class assignment_batch {
 public:
  assignment_batch(std::size_t streams, std::size_t processes) : streams_(streams), processes_(processes) {}

  /// `process_of` gives the process of each worker, by its index.
  void add(const bound_event& event, const std::vector<process_index>& process_of);

  /// Rising in events; empty where the batch has nothing for that stream.
  std::vector<stream_run>& of_stream(std::size_t stream) { return streams_[stream]; }
  /// Rising in events for each worker; in no order between workers.
  std::vector<worker_run>& of_process(std::size_t process) { return processes_[process]; }
  std::uint64_t events() const { return events_; }

 private:
  std::vector<std::vector<stream_run>> streams_;
  std::vector<std::vector<worker_run>> processes_;
  std::vector<std::uint32_t> last_run_; ///< by worker: one behind the place of its last run
  std::vector<process_index> scratch_;
  std::uint64_t events_ = 0;
};

} // namespace dtranspose
