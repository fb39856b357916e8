/// Who was given what, and has not ended it: what moves when a worker is gone.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "assignment.hpp"
#include "ids.hpp"
#include "ledger.hpp"

namespace dtranspose {

/// A run of events as one worker was given it.
struct given_run {
  worker_run run;
  dispatch_id dispatch;
};

class dispatch_book {
 public:
  void add_worker() { workers_.emplace_back(); }
  void give(const worker_run& run, dispatch_id dispatch) {
    workers_[run.worker.value].push_back({run, dispatch});
  }

  /// Forgets what has ended at the front of what each worker has.
  void prune(const ledger& fates);

  /// What of it is open, in the order in which it was given; runs are cut where an event has ended.
  std::vector<given_run> open_of(worker_index worker, const ledger& fates) const;

  /// Everything that the worker has, ended events included where they lie within runs.
  const std::deque<given_run>& of(worker_index worker) const { return workers_[worker.value]; }

  /// The worker does not have these events with these slots any more.
  void take_away(worker_index worker, const std::vector<worker_run>& runs);

  /// The worker has nothing any more.
  void clear(worker_index worker) { workers_[worker.value].clear(); }

  std::size_t runs() const;

 private:
  std::vector<std::deque<given_run>> workers_; ///< by index
};

} // namespace dtranspose
