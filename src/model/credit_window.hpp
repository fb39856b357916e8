/// How many events a worker is ready to be given: enough to keep it busy, few enough that nothing waits
/// long behind a slow event and that memory stays bounded.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dtranspose {

class credit_window {
 public:
  /// `memory`: bytes of events that may be under way to this worker.
  explicit credit_window(std::uint64_t memory) : memory_(memory) {}

  /// The worker is through with `events` more of them, which took `busy` ns and held `bytes`.
  void done(std::uint64_t events, std::uint64_t busy, std::uint64_t bytes) {
    if (events == 0) return;
    processed_ += events;
    average(event_time_, static_cast<double>(busy) / static_cast<double>(events));
    average(event_bytes_, static_cast<double>(bytes) / static_cast<double>(events));
    auto by_time = work_ahead / std::max(event_time_, 1.0);
    auto by_memory = static_cast<double>(memory_) / std::max(event_bytes_, 1.0);
    auto by_cache = std::max(bytes_ahead / std::max(event_bytes_, 1.0), fewest_large);
    auto wanted = static_cast<std::uint64_t>(
        std::clamp(std::min({by_time, by_memory, by_cache}), double{smallest}, double{largest}));
    // It grows only while it is used up: events that are bound long before they come cannot go elsewhere.
    auto larger = events * 4 >= window_ ? window_ * 2 : window_;
    window_ = std::min(wanted, larger);
    granted_ = std::max(granted_, processed_ + window_);
  }

  /// Events that it may have been given in total: cumulative, and never sinks.
  std::uint64_t granted() const { return granted_; }
  std::uint64_t processed() const { return processed_; }
  std::uint64_t window() const { return window_; }

  /// Work that a worker has in hand, in ns: what a slow event makes others wait for.
  static constexpr double work_ahead = 20e6;
  /// Bytes that a worker has in hand: more only takes them out of the processor's caches.
  static constexpr double bytes_ahead = 4 << 20;
  /// However large events are, so many of them keep a worker busy.
  static constexpr double fewest_large = 4;
  /// A worker that is given one event at a time would wait a round trip for each.
  static constexpr std::uint64_t smallest = 2;
  /// Beyond this a batch gains nothing and caches lose.
  static constexpr std::uint64_t largest = 1024;
  /// Before anything is known of the events.
  static constexpr std::uint64_t initial = 8;

 private:
  static void average(double& mean, double sample) {
    mean = mean < 0 ? sample : mean + 0.25 * (sample - mean);
  }

  std::uint64_t memory_;
  std::uint64_t processed_ = 0;
  std::uint64_t window_ = initial;
  std::uint64_t granted_ = initial;
  double event_time_ = -1, event_bytes_ = -1;
};

} // namespace dtranspose
