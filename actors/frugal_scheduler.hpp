/// Where actors run: on one thread for as long as that keeps up, on more when it does not.
///
/// Waking a thread costs more than most of our messages take to be handled. So whoever is at work goes on
/// with what it has made ready itself, and another thread joins in when
///
///   - an actor says that it will take long or wait for a disk (`blocking_section`, `unknown_pace`),
///   - or something has been ready for some milliseconds, because an actor takes long without saying so.
///
/// So code that blocks holds up nobody else for long; there are as many threads as block at the same time,
/// and one or two. Without work none of them wakes up.
///
/// A thread that is no actor's may lend itself: it runs what it has made ready, instead of waking another.
#pragma once

#include <caf/fwd.hpp>
#include <cstdint>
#include <functional>

namespace dtranspose {

class actor_thread;

/// Makes the actors of a system run like this. Called before the system is made; under another scheduler, as
/// in tests that own theirs, everything below has no effect.
void use_frugal_scheduler(caf::actor_system_config& config);

/// Calls `send`, which sends to actors of the system, in a thread that runs no actors, and runs what comes of
/// it here, unless others are at work already or it takes long. Slow actors are left to other threads.
void lend_thread(caf::actor_system& system, const std::function<void()>& send);

/// While there is one, what is ready is left to other threads. No effect in a thread that runs no actor.
class blocking_section {
 public:
  blocking_section();
  ~blocking_section();
  blocking_section(const blocking_section&) = delete;
  blocking_section& operator=(const blocking_section&) = delete;

 private:
  actor_thread* thread_;
};

/// The time that an actor's messages take, where nobody can know beforehand: analysis code. It counts as slow
/// until it has proved to be quick, and again when it was slow once.
class unknown_pace {
 public:
  explicit unknown_pace(caf::scheduled_actor& actor) : actor_(actor) { mark(); }
  ~unknown_pace();
  unknown_pace(const unknown_pace&) = delete;
  unknown_pace& operator=(const unknown_pace&) = delete;

  template <class F>
  void run(F&& code) {
    auto began = now();
    if (slow_) {
      blocking_section others_go_on;
      code();
    } else {
      code();
    }
    took(now() - began);
  }

  /// It waits for a disk now and then: slow whatever it takes.
  void stay_slow();

 private:
  static std::int64_t now(); ///< ns
  void took(std::int64_t ns);
  void mark();

  caf::scheduled_actor& actor_;
  bool slow_ = true, for_good_ = false;
  int quick_runs_ = 0;
};

} // namespace dtranspose
