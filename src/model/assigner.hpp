/// Binds virtual workers to real ones, event by event in rising order, as credit arrives. No actors, no
/// clock: the same calls give the same bindings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
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
  bool for_everyone = false; ///< all of its slots are for every worker with their tags
};

/// One event whose virtual workers are all bound.
struct bound_event {
  event_number number;
  stream_mask read = 0; ///< streams that have a frame, discarded ones included
  std::vector<bound_target> targets;
  bool for_everyone = false; ///< all of its slots are, and there are some
};

/// So many constraints in a row that were bound to a worker.
struct binding_run {
  worker_index worker;
  std::uint32_t count = 0;
  bool operator==(const binding_run&) const = default;
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

  /// Adds a worker; its index counts from 0. One that is not admitted yet gets nothing until it is.
  worker_index add_worker(tag_set tags, bool admitted = true);
  void admit(worker_index worker);

  /// The worker is ready for so many events in total since it was added. Never sinks.
  void grant(worker_index worker, std::uint64_t events);

  /// The worker is through with so many of its events: who has least in hand is given the next.
  void note_processed(worker_index worker, std::uint64_t events);

  /// The worker is gone: nothing is bound to it any more. What it was bound to in the part in hand waits for
  /// `rebind`.
  void retire(worker_index worker);

  /// Constraints of the part in hand that are bound to `from` are bound to `to` from now on, or, without one,
  /// to whom the next event binds them.
  void rebind(worker_index from, std::optional<worker_index> to);

  /// The worker was given so many events that it was not bound to: moved ones, or to look at.
  void note_extra(worker_index worker, std::uint64_t events) { workers_[worker.value].given += events; }

  /// Bindings made since the last call, in order.
  std::vector<binding_run> take_choices() { return std::exchange(choices_, {}); }

  /// From now on events are bound as these choices say, whatever the credit, until they are used up: a log of
  /// choices, together with calls of `add_worker`, `retire` and `rebind` at the same places, gives the same
  /// bindings again.
  void replay(const std::vector<binding_run>& choices);
  void end_replay() { replaying_ = false; }
  /// Makes the choices that were made for the next event when it could not be bound yet.
  void replay_ahead() {
    if (!done() && !replayed_.empty()) bind_constraints(map_->parts()[map_->sequence()[instance_]]);
  }

  /// Tags that the next event needs and no worker has; null when there is no such event.
  const tag_set* lacking() const {
    return lacking_ && pools_[*lacking_].members.empty() ? &map_->tag_sets()[*lacking_] : nullptr;
  }
  const tag_set& tags_of(worker_index worker) const { return workers_[worker.value].tags; }
  /// How many events the worker has that it is not through with.
  std::uint64_t in_hand(worker_index worker) const { return workers_[worker.value].in_hand(); }

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
    bool gone = false;
    bool has_credit() const { return given < granted && !gone; }
    std::uint64_t in_hand() const { return given - std::min(given, processed); }
  };

  /// Workers whose tags contain a tag set, and whose turn it is.
  struct pool {
    std::vector<std::uint32_t> members;
    bool had_members = false; ///< what is for everyone of a kind that never was there is for nobody
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
  void add_target(bound_event& out, std::uint32_t worker, stream_index stream, bool new_slot, bool everyone);
  bool may_give(std::uint32_t worker) const { return replaying_ || workers_[worker].has_credit(); }
  std::uint32_t replayed_choice();
  void note_choice(std::uint32_t worker);

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
  std::optional<std::uint32_t> lacking_; ///< tag set
  std::vector<binding_run> choices_;
  std::deque<binding_run> replayed_; ///< choices still to be made again
  bool replaying_ = false;
};

} // namespace dtranspose
