/// Says which event a worker was at when analysis code ends the process by a signal or runs for too long.
#pragma once

#include <caf/actor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "actors/messages.hpp"
#include "analysis/worker_host.hpp"

namespace dtranspose {

/// One per process with workers. While it is there, a signal that would end the process out of analysis code
/// (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) is held for a moment, in which an obituary goes out; then it
/// ends the process as it would have. So does an event beyond its time-out, by `SIGABRT`, where the process
/// has no other roles.
class last_words {
 public:
  struct options {
    std::chrono::nanoseconds event_timeout{}; ///< 0: none
    bool may_end = false;                     ///< does an event beyond its time-out end the process?
    std::function<std::int64_t()> steady;
    std::function<void(const obituary&)> send; ///< called from a thread of its own
  };

  explicit last_words(options o);
  last_words(const last_words&) = delete;
  last_words& operator=(const last_words&) = delete;
  ~last_words();

  /// Called by a worker when it is armed.
  void watch(std::shared_ptr<const execution_watch> watch, const message_head& head, worker_index worker);

  /// Called in a thread before it runs analysis code: gives signal handlers a stack of their own there.
  static void prepare_thread();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
