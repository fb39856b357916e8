/// What was sent to the reducer and may have to be sent again: numbered messages, kept until they are
/// accepted.
#pragma once

#include <algorithm>
#include <caf/message.hpp>
#include <cstdint>
#include <deque>

namespace dtranspose {

class unaccepted {
 public:
  /// The number of the next message, which is how many there were.
  std::uint64_t next() const { return first_ + kept_.size(); }
  const caf::message& keep(caf::message message) { return kept_.emplace_back(std::move(message)); }

  /// Messages up to that number need not be kept.
  void accept(std::uint64_t number) {
    for (; first_ <= number && !kept_.empty(); ++first_) kept_.pop_front();
  }

  /// Calls `f` with every message from that number on. What lies before it may not be on disk yet: only
  /// `accept` lets go.
  template <class F>
  void for_each_from(std::uint64_t number, F&& f) const {
    auto i = std::min<std::uint64_t>(number - std::min(number, first_), kept_.size());
    for (; i < kept_.size(); ++i) f(kept_[i]);
  }

  std::size_t size() const { return kept_.size(); }
  void forget() { kept_.clear(); }
  void start_anew() {
    kept_.clear();
    first_ = 0;
  }

 private:
  std::deque<caf::message> kept_;
  std::uint64_t first_ = 0; ///< number of the first one kept
};

} // namespace dtranspose
