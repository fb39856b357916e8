/// Binds virtual workers to real ones, event by event in rising order, as credit arrives. No actors, no
/// clock: the same calls give the same bindings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ids.hpp"
#include "trigger_map.hpp"

namespace dtranspose {

/// What one worker gets of one event.
struct bound_target {
  worker_index worker;
  slot_index first_slot; ///< its slots of the event follow one another
  std::uint16_t slots = 0;
  stream_mask streams = 0;
};

/// One event whose virtual workers are all bound.
struct bound_event {
  event_number number;
  stream_mask read = 0; ///< streams that have a frame, discarded ones included
  std::vector<bound_target> targets;
};

/// Keeps what the trigger map promises: equal constraints of a part instance meet at one worker; what is for
/// everyone reaches every fitting worker there is; a worker gets events in rising order. An event is bound
/// when each of its workers has credit, so that credit bounds what is under way. Cost per event is
/// constant: a binding lasts as long as its part instance.
class assigner {
 public:
  /// `longest_run`: how many bindings a worker gets in a row, at most; fewer where the map is short, so
  /// that all workers have a share.
  explicit assigner(std::shared_ptr<const trigger_map> map, std::uint32_t longest_run = 64);

  /// Adds a worker; its index counts from 0.
  worker_index add_worker(tag_set tags);

  /// The worker is ready for so many events in total since it was added. Never sinks.
  void grant(worker_index worker, std::uint64_t events);

  /// The worker is through with so many of its events: who has least in hand is given the next.
  void note_processed(worker_index worker, std::uint64_t events);

  /// Binds the next event into `out`. False when none is left or when credit is missing.
  bool next(bound_event& out);

  bool done() const { return next_event_ == map_->events(); }
  /// Events bound so far: 0..bound()-1.
  std::uint64_t bound() const { return next_event_; }
  /// How many events went to that worker.
  std::uint64_t given(worker_index worker) const { return workers_[worker.value].given; }
  /// The worker that the next event waits for, by its index; nothing when it waits for none or for any.
  std::optional<worker_index> waits_for() const { return waits_for_; }

 private:
  static constexpr std::uint32_t unbound = ~std::uint32_t{0};

  struct worker {
    tag_set tags;
    std::uint64_t granted = 0;
    std::uint64_t given = 0;
    std::uint64_t processed = 0;
    std::uint32_t target = 0; ///< place in the event being bound, valid for `event_stamp`
    std::uint64_t event_stamp = 0;
    bool has_credit() const { return given < granted; }
    std::uint64_t in_hand() const { return given - std::min(given, processed); }
  };

  /// Workers whose tags contain a tag set, and whose turn it is.
  struct pool {
    std::vector<std::uint32_t> members;
    std::uint32_t turn = unbound;
    std::uint32_t left = 0;    ///< bindings until the turn passes on
    std::uint64_t to_bind = 0; ///< constraints of the map that are still to be bound here
    std::uint64_t event_stamp = 0;
  };

  void enter_part();
  bool bind_constraints(const map_part& part);
  bool everyone_has_credit(const map_part& part);
  bool bind(std::uint32_t constraint, std::uint32_t tags);
  std::uint32_t take_turn(pool& p);
  std::uint32_t run_length(const pool& p) const;
  void collect(const map_part& part, bound_event& out);
  void add_target(bound_event& out, std::uint32_t worker, stream_index stream, bool new_slot);

  std::shared_ptr<const trigger_map> map_;
  std::uint32_t longest_run_;
  std::vector<worker> workers_;
  std::vector<pool> pools_;                ///< by tag set
  std::vector<bool> several_;              ///< by shape: has more than one constraint
  std::vector<std::uint32_t> bindings_;    ///< of the part instance in hand: constraint -> worker
  std::vector<std::uint64_t> slot_stamps_; ///< by constraint: event in which it got its slot
  std::size_t instance_ = 0;               ///< place in the sequence
  std::uint64_t in_part_ = 0;              ///< event within the part
  std::uint64_t next_event_ = 0;
  std::optional<worker_index> waits_for_;
};

} // namespace dtranspose
