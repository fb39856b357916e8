/// Events on their way to a Python process, and its answers on their way back: slices of a batch, two of them
/// under way.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "model/event.hpp"
#include "python/python_host.hpp"

namespace dtranspose {

class event_sender {
 public:
  explicit event_sender(std::chrono::nanoseconds event_timeout) : event_timeout_(event_timeout) {}

  using answer_sink = std::function<void(const event&, host_answer)>;

  /// Sends all of them and hands each answer to `take`, in order. Throws host_lost, after the answers that
  /// came; `lost_at` tells then where the process was.
  void send(python_host& host, std::span<const event> events, std::uint32_t version, bool tick,
            const answer_sink& take);

  /// Slices have one event each, one after the other, up to that one: which of them ends its process?
  void be_careful_until(event_number last) { careful_until_ = std::max(careful_until_.value_or(last), last); }

  /// What the process said last of the time between two ticks, in s; nothing where it has not said any.
  std::optional<double> tick_interval() const { return tick_interval_; }

  struct blame {
    const event* where = nullptr; ///< null: none of those that were sent
    bool alone = false;           ///< it was the only one that the process had
    const event* last = nullptr;  ///< of those that were sent
  };
  /// After a loss.
  blame lost_at(const python_host& host) const;

 private:
  struct slice {
    std::uint32_t request;
    std::uint64_t batch;
    std::span<const event> events;
  };

  bool is_careful(const event& e) const { return careful_until_ && e.number() <= *careful_until_; }
  std::size_t slice_of(std::span<const event> events) const;
  bool send_slice(python_host& host, std::span<const event> events, std::uint32_t version, bool tick);
  void take_answers(python_host& host, const answer_sink& take);

  std::chrono::nanoseconds event_timeout_;
  std::optional<event_number> careful_until_;
  std::optional<double> tick_interval_;
  std::deque<slice> under_way_;
  std::size_t most_per_slice_ = 1; ///< until it is known how long events take
  std::chrono::steady_clock::time_point began_;
};

} // namespace dtranspose
