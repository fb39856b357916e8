/// Lets an event run with nothing beside it in its process: if the process ends, that event did it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "event_joiner.hpp"

namespace dtranspose {

/// Between the joiner and the workers of one process: what is joined passes through in order. A secluded
/// event waits until everything before it is through, then for leave, and everything behind it waits until it
/// is known elsewhere that it is through: what ends the process after that must not be taken for its doing.
class seclusion {
 public:
  struct piece {
    std::size_t worker = 0;
    joined_batch batch;
  };

  /// The event of this dispatch is to be alone.
  void seclude(dispatch_id dispatch) { announced_.insert(dispatch); }

  /// What was joined for a worker. What may be handed over is appended to `out`.
  void add(std::size_t worker, joined_batch batch, std::vector<piece>& out);

  /// The workers are through with one more piece.
  void done(std::vector<piece>& out);

  /// The dispatch whose event waits for leave, as nothing else is under way.
  std::optional<dispatch_id> asks() const;

  /// Leave for the event of that dispatch; false: it does not wait for it.
  bool allow(dispatch_id dispatch, std::vector<piece>& out);

  /// The dispatch whose secluded event is through, which is to be told.
  std::optional<dispatch_id> through() const { return through_; }

  /// That is known now; false: it is not what was told.
  bool known(dispatch_id dispatch, std::vector<piece>& out);

 private:
  bool is_secluded(const joined_batch& batch) const {
    return batch.events.size() == 1 && announced_.contains(batch.events.front().dispatch);
  }
  void split(std::size_t worker, joined_batch batch);
  void release(std::vector<piece>& out);

  std::set<dispatch_id> announced_;
  std::deque<piece> waiting_;
  std::uint64_t under_way_ = 0; ///< pieces handed over that the workers are not through with
  std::optional<dispatch_id> alone_, through_;
};

} // namespace dtranspose
