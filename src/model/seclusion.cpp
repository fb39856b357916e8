#include "seclusion.hpp"

#include <utility>

namespace dtranspose {

void seclusion::add(std::size_t worker, joined_batch batch, std::vector<piece>& out) {
  if (announced_.empty() && waiting_.empty() && !through_) {
    ++under_way_;
    out.push_back({worker, std::move(batch)});
    return;
  }
  split(worker, std::move(batch));
  release(out);
}

/// Into secluded events and what lies between them.
void seclusion::split(std::size_t worker, joined_batch batch) {
  bool joins = false; // what comes next goes on the last piece
  for (auto& e : batch.events) {
    bool secluded = announced_.contains(e.dispatch);
    if (secluded || !joins) waiting_.push_back({worker, {}});
    auto& to = waiting_.back().batch;
    auto first = static_cast<std::uint32_t>(to.entries.size());
    for (std::uint32_t i = 0; i < e.entries; ++i)
      to.entries.push_back(std::move(batch.entries[e.first_entry + i]));
    to.events.push_back(e);
    to.events.back().first_entry = first;
    joins = !secluded;
  }
}

void seclusion::release(std::vector<piece>& out) {
  while (!waiting_.empty() && !alone_ && !through_ && !is_secluded(waiting_.front().batch)) {
    ++under_way_;
    out.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void seclusion::done(std::vector<piece>& out) {
  if (under_way_ > 0) --under_way_;
  if (alone_ && under_way_ == 0) {
    announced_.erase(*alone_);
    through_ = std::exchange(alone_, std::nullopt);
  }
  release(out);
}

bool seclusion::known(dispatch_id dispatch, std::vector<piece>& out) {
  if (through_ != dispatch) return false;
  through_.reset();
  release(out);
  return true;
}

std::optional<dispatch_id> seclusion::asks() const {
  if (waiting_.empty() || alone_ || through_ || under_way_ > 0 || !is_secluded(waiting_.front().batch))
    return std::nullopt;
  return waiting_.front().batch.events.front().dispatch;
}

bool seclusion::allow(dispatch_id dispatch, std::vector<piece>& out) {
  if (asks() != dispatch) return false;
  alone_ = dispatch;
  ++under_way_;
  out.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
  return true;
}

} // namespace dtranspose
