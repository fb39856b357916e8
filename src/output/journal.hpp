/// What the reducer writes down before it commits, so that a restarted one knows what was folded.
#pragma once

#include "analysis/worker_host.hpp"
#include "model/ids.hpp"

namespace dtranspose {

class journal {
 public:
  virtual ~journal() = default;

  /// Returns once the results of a worker may be committed.
  virtual void append(worker_index worker, const mapped_batch& results) = 0;
  /// The same for slots that ended without a result.
  virtual void append(const slot_run& slots, fate how) = 0;
};

/// Keeps nothing: a reducer that ends loses its scan.
class no_journal final : public journal {
 public:
  void append(worker_index, const mapped_batch&) override {}
  void append(const slot_run&, fate) override {}
};

} // namespace dtranspose
