/// When messages are due.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace dtranspose {

/// The due times of messages: absolute, so that a late one delays no other.
class pace {
 public:
  /// `rate` in Hz; 0: each is due at once. The first is due now.
  explicit pace(double rate) : interval_(rate > 0 ? 1 / rate : 0), start_(clock::now()) {}

  /// Until message `n` is due. False: stopped.
  bool wait(std::uint64_t n, const std::stop_token& stop) {
    if (stop.stop_requested()) return false;
    if (interval_ == 0) return true;
    using seconds = std::chrono::duration<double>;
    auto due =
        start_ + std::chrono::duration_cast<clock::duration>(seconds(static_cast<double>(n) * interval_));
    if (clock::now() >= due) return true;
    std::unique_lock lock(mutex_);
    wakes_.wait_until(lock, stop, due, [] { return false; });
    return !stop.stop_requested();
  }

 private:
  using clock = std::chrono::steady_clock;

  double interval_;
  clock::time_point start_;
  std::mutex mutex_;
  std::condition_variable_any wakes_;
};

} // namespace dtranspose
