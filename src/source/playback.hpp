/// When what is played may go: as fast as it is taken, in the time in which it was recorded, or step by step.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "recording/event_runs.hpp"
#include "recording/recording_index.hpp"

namespace dtranspose {

/// Shared by all sources of a replay. Its methods may be called from any thread.
class playback {
 public:
  struct settings {
    /// Recorded time passes so many times as fast; 0: it plays no role.
    double speed = 0;
    /// What is played: what was recorded before goes at once, what was recorded behind with the last.
    recorded_span times = {};
    /// One of `events` after the other goes, each when asked for; what is beside them is not held up.
    bool stepwise = false;
    event_runs events = {};
  };

  explicit playback(settings s) : settings_(std::move(s)) {}

  /// Before a scan: its time begins with the first thing that is played.
  void begin();

  /// Is nothing ever held up?
  bool is_free() const { return settings_.speed == 0 && !settings_.stepwise; }
  /// May what was recorded at `time`, of `event`, go now?
  bool due(std::uint64_t event, std::optional<double> time);
  /// Waits until it may; false when `stop` was requested first.
  bool wait(std::uint64_t event, std::optional<double> time, const std::stop_token& stop);

  /// One event more may go.
  void step();
  /// Nothing is held up by steps any more.
  void run_on();
  /// The event that was asked for last; nothing before the first step and when there is none left.
  std::optional<std::uint64_t> stepped_to() const;

  /// A message of so many bytes was played.
  void count(std::size_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  /// Since `begin`.
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  /// A source came to its end.
  void end();
  /// Sources that did since `begin`.
  std::size_t ended() const;

 private:
  using clock = std::chrono::steady_clock;

  bool held_up(std::uint64_t event) const;
  clock::time_point due_time(std::optional<double> time);

  const settings settings_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<clock::time_point> started_;
  std::uint64_t allowed_ = 0; ///< events below may go
  std::optional<std::uint64_t> last_step_;
  bool runs_on_ = false;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::size_t ended_ = 0;
};

} // namespace dtranspose
