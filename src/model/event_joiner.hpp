/// Joins what the streams send of each event, by number, for the workers of one process.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "assignment.hpp"
#include "event.hpp"
#include "stream_queue.hpp"

namespace dtranspose {

/// What a worker is to do about one event.
struct joined_event {
  event_number number;
  slot_index first_slot;
  std::uint16_t slots = 1; ///< 0: to look at, no answer is wanted
  dispatch_id dispatch;
  std::uint32_t first_entry = 0; ///< its streams in the batch's list of entries
  std::uint32_t entries = 0;
  stream_mask missing = 0; ///< streams that the worker would have got, and that have no data
};

/// Whole events for one worker, in rising order.
struct joined_batch {
  std::vector<joined_event> events;
  std::vector<stream_entry> entries;
};

/// Slots that cannot be mapped, as a stream has no data for them.
struct unmappable {
  slot_run slots;
  fate how = fate::incomplete;
  std::string cause; ///< names the stream
  worker_index worker = {};
};

/// Events meet their streams in whatever order assignments and entries come. Each worker gets its events in
/// the order of their numbers; an event that lacks a stream's data for good is given up, or handed over
/// without that stream when `deliver_incomplete` is set.
class event_joiner {
 public:
  event_joiner(stream_names names, std::size_t workers, bool deliver_incomplete)
      : names_(std::move(names)), queues_(workers), batches_(workers),
        deliver_incomplete_(deliver_incomplete) {}

  /// The worker gets these events; `worker` counts from 0 within the process. Events of a dispatch come in
  /// rising order per worker, dispatches in the order of their ids; all of a dispatch are expected before
  /// `match` is called.
  void expect(std::size_t worker, const worker_run& run, dispatch_id dispatch);

  /// Hands over what came before it was expected.
  void match();

  /// One stream's entry of an event: data, or why there is none. One that comes again is dropped, also when
  /// its event was handed over.
  void add(stream_index stream, const outgoing_entry& entry);

  /// Whole events since they were last taken, per worker.
  joined_batch& batch(std::size_t worker) { return batches_[worker]; }
  std::vector<unmappable>& given_up() { return given_up_; }
  /// What was handed over although a stream's data is missing.
  std::vector<unmappable>& handed_over_in_part() { return in_part_; }
  /// Events of a worker that were given up since it was last asked: they return credit too.
  std::uint64_t take_given_up_events(std::size_t worker) {
    return std::exchange(queues_[worker].given_up, 0);
  }

  /// Events that are expected or begun and not handed over.
  std::size_t open() const { return index_.size(); }
  /// Bytes of frames in them.
  std::uint64_t open_bytes() const { return open_bytes_; }

 private:
  struct target {
    std::uint32_t worker = 0;
    slot_index first_slot;
    std::uint16_t slots = 1;
    stream_mask streams = 0;
    dispatch_id dispatch;
    bool done = false; ///< a worker may have several of an event, once it has taken over others' slots
  };

  /// An event of one dispatch: what is moved to this process later is joined on its own.
  struct key {
    std::uint64_t event = 0, dispatch = 0;
    bool operator==(const key&) const = default;
  };
  struct key_hash {
    std::size_t operator()(const key& k) const noexcept {
      return static_cast<std::size_t>(k.event * 0x9E3779B97F4A7C15u + k.dispatch);
    }
  };

  struct node {
    event_number number;
    dispatch_id dispatch;
    stream_mask arrived = 0; ///< data or tombstone
    stream_mask missing = 0; ///< tombstone
    std::uint32_t open_targets = 0;
    std::vector<target> targets;
    std::vector<stream_data> data;                              ///< by stream
    std::vector<std::pair<stream_index, missing_data>> reasons; ///< of the missing, by stream
  };

  struct queue {
    std::deque<std::uint32_t> nodes; ///< in order of events
    std::uint64_t given_up = 0;
  };

  std::uint32_t node_of(event_number event, dispatch_id dispatch);
  void free_node(std::uint32_t place);
  void sort_queue(std::size_t worker, std::size_t added);
  void drain(std::size_t worker);
  void hand_over(std::size_t worker, node& n, const target& t);
  void note(std::vector<unmappable>& list, const node& n, const target& t) const;
  missing_data reason_for(const node& n, stream_mask streams) const;

  stream_names names_;
  std::vector<node> nodes_; ///< reused, so that nothing is allocated per event in steady state
  std::vector<std::uint32_t> free_;
  std::unordered_map<key, std::uint32_t, key_hash> index_; ///< places in nodes_
  dispatch_id last_expected_;
  std::vector<queue> queues_;
  std::vector<joined_batch> batches_;
  std::vector<unmappable> given_up_, in_part_;
  std::uint64_t open_bytes_ = 0;
  bool deliver_incomplete_;
};

} // namespace dtranspose
