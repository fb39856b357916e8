#include "source/playback.hpp"

#include <algorithm>
#include <limits>

namespace dtranspose {

namespace {

/// What lies further ahead is not reached; clocks cannot count it.
constexpr double longest_wait = 1e9;

} // namespace

void playback::begin() {
  std::lock_guard lock(mutex_);
  started_.reset();
  last_step_.reset();
  allowed_ = 0;
  bytes_ = 0;
  ended_ = 0;
}

bool playback::due(std::uint64_t event, std::optional<double> time) {
  if (is_free()) return true;
  std::lock_guard lock(mutex_);
  return !held_up(event) && (settings_.speed == 0 || clock::now() >= due_time(time));
}

bool playback::wait(std::uint64_t event, std::optional<double> time, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return !held_up(event); })) return false;
  if (settings_.speed == 0) return !stop.stop_requested();
  changed_.wait_until(lock, stop, due_time(time), [] { return false; });
  return !stop.stop_requested();
}

void playback::step() {
  std::lock_guard lock(mutex_);
  last_step_ = settings_.events.from(allowed_);
  allowed_ = last_step_ ? *last_step_ + 1 : std::numeric_limits<std::uint64_t>::max();
  changed_.notify_all();
}

void playback::run_on() {
  std::lock_guard lock(mutex_);
  runs_on_ = true;
  changed_.notify_all();
}

std::optional<std::uint64_t> playback::stepped_to() const {
  std::lock_guard lock(mutex_);
  return last_step_;
}

void playback::end() {
  std::lock_guard lock(mutex_);
  ++ended_;
}

std::size_t playback::ended() const {
  std::lock_guard lock(mutex_);
  return ended_;
}

bool playback::held_up(std::uint64_t event) const {
  return settings_.stepwise && !runs_on_ && event >= allowed_ && settings_.events.contains(event);
}

playback::clock::time_point playback::due_time(std::optional<double> time) {
  if (!started_) started_ = clock::now();
  if (!time) return *started_;
  auto& [first, last] = settings_.times;
  auto played = std::clamp(*time, first, std::max(first, last));
  auto seconds = std::min((played - first) / settings_.speed, longest_wait);
  return *started_ + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
}

} // namespace dtranspose
