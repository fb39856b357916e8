/// What an ingester holds of its stream: every entry from its receipt until its event is committed.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "assignment.hpp"
#include "event_run.hpp"
#include "latency_histogram.hpp"
#include "number_tracker.hpp"
#include "source/source.hpp"
#include "value_follower.hpp"

namespace dtranspose {

/// Why a stream has no data for an event.
struct missing_data {
  fate how =
      fate::incomplete; ///< incomplete: the instrument did not give it; lost: it was there, or never came
  std::string cause;
};

/// One entry on its way to the worker processes that must see it.
struct outgoing_entry {
  event_number event;
  dispatch_id dispatch;
  stream_data data;                    ///< empty: a tombstone
  std::optional<missing_data> missing; ///< why, on a tombstone
  /// So many frames travel beside the message, and `data` has but its type.
  std::uint32_t carried = 0;
};

/// Puts entries where their numbers say, meets them with assignments in whatever order the two come, keeps
/// them until they are forgotten, and counts bytes for the budgets.
class stream_queue {
 public:
  struct budget {
    std::uint64_t retain = 0;         ///< bytes held until committed
    std::uint64_t read_ahead = 0;     ///< bytes held that are not assigned yet
    std::uint64_t context = 64 << 20; ///< bytes kept for workers that join later; the first entry always is
  };

  /// `startless`: see number_tracker.
  stream_queue(std::uint64_t entries, std::uint64_t late_window, budget limits, bool startless = false)
      : tracker_(entries, late_window, startless), entries_(entries), limits_(limits) {}

  /// What the steady clock says, ns: of what is received and forgotten from now on.
  void tell_time(std::int64_t now) { now_ = now; }

  /// Takes what its source handed over.
  void receive(const packet_batch& batch);

  /// Takes what the controller assigned, in rising order of events.
  void assign(const stream_run& run, dispatch_id dispatch);

  /// Takes a stream up in mid-scan: entries before `position` are over. Before anything else.
  void resume(stream_position position, const arm_place& place);

  /// The events of all its entries, where they are few runs: what comes is known to be of an event before
  /// that is assigned.
  void know_events(const std::vector<event_run>& runs);
  bool knows_events() const { return !known_.empty(); }

  /// An entry out of a recording, whose event is assigned or known; dropped where there is one already.
  void restore(event_number event, const stream_data& data);

  /// Sends entries of these events to that process as well: at once what is there, the rest when it comes.
  /// What was forgotten goes as a tombstone.
  void repeat(const repeat_run& run);

  /// Everything that was sent to that process and is not forgotten goes out once more.
  void send_again(process_index process);

  /// From now on nothing is sent to that process.
  void drop_process(process_index process);

  /// Keeps what comes, with its event, until it is taken for a recording: at once where events are known,
  /// else when they are assigned.
  void record() { records_ = true; }
  std::vector<std::pair<event_number, stream_data>> take_recordable() {
    return std::exchange(recordable_, {});
  }

  /// Others follow this stream: they are told which of its entries are decided.
  void report_decided() { reports_decided_ = true; }
  /// Entries that arrived or were given up since the last call.
  std::vector<position_range> take_decided() { return std::exchange(decided_, {}); }

  /// Drops what it holds of these events: they are committed.
  void forget(event_range events);

  /// Nothing came for a while.
  void settle();
  bool unsettled() const { return tracker_.unsettled(); }

  /// Nothing more will be waited for: every assigned entry that is not there is lost, for that reason.
  void close(const std::string& cause);

  /// What is ready for a process since the last call; call with each process in `ready_processes`.
  std::vector<outgoing_entry>& outgoing(process_index process) { return outgoing_[process]; }
  std::vector<process_index>& ready_processes() { return ready_; }

  /// How much the source may hand over in total, as it counts, and whether one packet beyond that may pass
  /// now.
  std::uint64_t allowance() const;
  /// What the source has handed over, as it counts.
  std::uint64_t handed_over() const { return received_bytes_ - excess_bytes_; }
  /// So it may when nothing is held, and while the stream has a gap: what fills or closes it must get in.
  bool may_exceed() const;

  const number_tracker& tracker() const { return tracker_; }
  std::uint64_t held_bytes() const { return received_bytes_ - released_bytes_; }
  std::uint64_t received_bytes() const { return received_bytes_; }
  std::uint64_t discarded() const { return discarded_; }
  /// From the receipt of entries until their events were folded and committed.
  const latency_histogram& latencies() const { return latencies_; }
  std::uint64_t faults(packet_fault f) const { return faults_[static_cast<std::size_t>(f)]; }
  /// Every assigned entry was sent or dropped.
  bool idle() const { return sent_ == assigned_entries_; }
  /// The next entry that is waited for, as an event; nothing when none is assigned.
  std::optional<event_number> waiting_for() const;

 private:
  enum class state : std::uint8_t { waiting, present, missing, released };

  struct cell {
    stream_data data;
    state what = state::waiting;
    bool sent = false;
    bool restored = false;     ///< out of a recording: it is not recorded once more
    std::int64_t received = 0; ///< when; 0: that is not known
    fate how = fate::incomplete;
    std::shared_ptr<const std::string> cause;
  };

  struct placed_run {
    std::uint64_t first = 0; ///< position of its first entry
    stream_run run;
    dispatch_id dispatch;
    std::uint64_t end() const { return first + run.events.count; }
  };

  /// What the tracker asked to keep: data, or why there is none.
  struct held_packet {
    stream_data data;
    std::string fault;
  };

  struct given_up_range {
    std::uint64_t first = 0, end = 0;
    fate how = fate::incomplete;
    std::shared_ptr<const std::string> cause;
  };

  void receive(const stream_packet& packet);
  void take_numbered(const stream_packet& packet);
  void take_recorded(const stream_packet& packet);
  void resolve_recorded();
  void take_fault(const stream_packet& packet);
  void place(stream_position position, const stream_data& data, bool replace);
  void give_up(std::uint64_t first, std::uint64_t count, fate how, const std::string& cause);
  void give_up(const std::vector<missing_run>& missing);
  void note_decided(std::uint64_t first, std::uint64_t count);
  void apply_given_up();
  void place_released();
  /// What it costs to remember the entries that were given up and are not assigned yet.
  std::uint64_t noted_bytes() const { return given_up_.size() * budgeted_bytes(0); }
  void place_held(stream_position position, const held_packet& packet);
  void keep_or_drop(const number_tracker::decision& d, held_packet packet);
  void send_if_assigned(std::uint64_t position);
  void send(std::uint64_t position, const placed_run& run);
  void push(process_index target, event_number event, dispatch_id dispatch, const cell& c);
  void keep_context(event_number event, cell& c);
  void send_context(event_number event, const repeat_run& run);
  bool over_before(event_number event) const;
  event_number known_event(std::uint64_t position) const;
  std::optional<std::uint64_t> known_position(event_number event) const;
  void release(cell& c);
  void drop(const stream_data& data);
  void trim();
  cell& at(std::uint64_t position);
  const placed_run* run_of(std::uint64_t position);
  std::optional<std::uint64_t> position_of(event_number event) const;
  /// First position whose event is not before `event`.
  std::uint64_t lower_position(event_number event) const;

  number_tracker tracker_;
  std::uint64_t entries_;
  budget limits_;
  std::deque<cell> cells_;
  std::uint64_t base_ = 0; ///< position of cells_.front()
  std::deque<placed_run> runs_;
  std::vector<repeat_run> repeats_; ///< of events that are not forgotten
  std::map<event_number, stream_data> context_;
  std::uint64_t context_bytes_ = 0;
  std::vector<event_number> over_unsent_; ///< forgotten before they were sent
  bool records_ = false;
  /// Runs of events with the position of their first entry.
  std::vector<std::pair<std::uint64_t, event_run>> known_;
  std::vector<std::pair<event_number, stream_data>> recordable_;
  std::size_t last_run_ = 0; ///< where the last look-up ended
  std::uint64_t assigned_entries_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t recorded_next_ = 0;    ///< positions of a recording before it are decided
  std::deque<stream_packet> recorded_; ///< packets with event numbers that are not assigned yet
  std::optional<held_packet> held_end_, held_leap_;
  std::deque<held_packet> held_early_; ///< data that wait for their start
  std::optional<event_number> last_assigned_;
  std::uint64_t received_bytes_ = 0, released_bytes_ = 0, assigned_bytes_ = 0;
  std::uint64_t excess_bytes_ = 0; ///< what entries count beyond the messages they came in
  std::uint64_t discarded_ = 0;
  std::int64_t now_ = 0;
  latency_histogram latencies_;
  std::uint64_t faults_[packet_fault_count] = {};
  std::vector<given_up_range> given_up_; ///< not assigned yet
  std::vector<std::vector<outgoing_entry>> outgoing_;
  std::vector<process_index> ready_;
  std::vector<missing_run> scratch_;
  bool reports_decided_ = false;
  std::vector<position_range> decided_;
  bool closed_ = false;
  std::string close_cause_;
};

} // namespace dtranspose
