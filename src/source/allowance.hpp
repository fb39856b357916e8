/// What a source may still hand over: shared between its thread and who allows.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

namespace dtranspose {

/// What a source may still hand over: shared between its thread and who allows.
class allowance {
 public:
  void reset() {
    std::lock_guard lock(mutex_);
    allowed_ = used_ = beyond_ = 0;
    waiting_ = false;
  }

  void allow(std::uint64_t bytes, std::uint64_t beyond) {
    {
      std::lock_guard lock(mutex_);
      allowed_ = std::max(allowed_, bytes);
      beyond_ = std::max(beyond_, beyond);
    }
    changed_.notify_all();
  }

  /// Takes `bytes` if they are allowed.
  bool take(std::uint64_t bytes) {
    std::lock_guard lock(mutex_);
    return fits(bytes) && (spend(bytes), true);
  }

  /// Waits until `bytes` are allowed and takes them; false when `stop` was requested first.
  bool wait(std::uint64_t bytes, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    waiting_ = true;
    bool allowed = changed_.wait(lock, stop, [&] { return fits(bytes); });
    waiting_ = false;
    if (allowed) spend(bytes);
    return allowed && !stop.stop_requested();
  }

  bool waiting() const {
    std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  bool fits(std::uint64_t bytes) const {
    return used_ < beyond_ || (used_ <= allowed_ && bytes <= allowed_ - used_);
  }

  void spend(std::uint64_t bytes) { used_ += bytes; }

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t allowed_ = 0;
  std::uint64_t used_ = 0;
  std::uint64_t beyond_ = 0;
  bool waiting_ = false;
};

} // namespace dtranspose
