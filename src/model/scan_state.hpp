/// The life cycle of a scan as a state machine: no actors, no clock.
///
///     idle -> arming -> running -> draining -> finished
///                |         |           |
///                v         v           v
///              failed   stopped/    stopped/
///                       failed      failed
#pragma once

#include <cstdint>

namespace dtranspose {

enum class scan_state : std::uint8_t {
  idle,     ///< no scan was asked for yet
  arming,   ///< members are being told; no frame is taken yet
  running,  ///< events are bound, mapped and folded
  draining, ///< every slot ended or is deferred: flush, finish, close files
  finished, ///< every event has its fate
  stopped,  ///< like finished, but somebody asked for it before the end
  failed,   ///< arming or closing did not work
};

constexpr const char* name_of(scan_state s) {
  constexpr const char* names[] = {"idle", "arming", "running", "draining", "finished", "stopped", "failed"};
  return names[static_cast<std::size_t>(s)];
}

/// Steps through the states; a call that does not fit the state it is in changes nothing and says so.
class scan_life {
 public:
  scan_state state() const { return state_; }
  bool over() const {
    return state_ == scan_state::finished || state_ == scan_state::stopped || state_ == scan_state::failed;
  }
  bool active() const { return !over() && state_ != scan_state::idle; }
  bool stopping() const { return stopping_; }

  bool arm() {
    if (active()) return false;
    stopping_ = false;
    return to(scan_state::arming);
  }
  bool armed() { return state_ == scan_state::arming && to(scan_state::running); }
  /// Every slot has ended or is deferred.
  bool drain() { return state_ == scan_state::running && to(scan_state::draining); }
  /// Somebody wants it to end; it still drains.
  bool stop() {
    if (!active() || stopping_) return false;
    return stopping_ = true;
  }
  /// All folded, all closed.
  bool close() {
    return state_ == scan_state::draining && to(stopping_ ? scan_state::stopped : scan_state::finished);
  }
  bool fail() { return active() && to(scan_state::failed); }

 private:
  bool to(scan_state next) {
    state_ = next;
    return true;
  }

  scan_state state_ = scan_state::idle;
  bool stopping_ = false;
};

} // namespace dtranspose
