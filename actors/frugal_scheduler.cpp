#include "actors/frugal_scheduler.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/detail/set_thread_name.hpp>
#include <caf/detail/thread_safe_actor_clock.hpp>
#include <caf/execution_unit.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduled_actor.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

namespace dtranspose {

namespace {

using clock_type = std::chrono::steady_clock;
/// How long something may be ready while nobody gets to it.
constexpr auto patience = std::chrono::milliseconds(4);
/// How long a thread is lent at a time: it has something of its own to do.
constexpr auto lent_time = std::chrono::milliseconds(1);
/// Code is taken to be quick when it took less than that so many times in a row.
constexpr auto quick = std::chrono::microseconds(200);
constexpr int quick_runs_needed = 4;

class frugal_scheduler;

} // namespace

/// A thread that runs actors.
class actor_thread final : public caf::execution_unit {
 public:
  actor_thread(frugal_scheduler& scheduler, caf::actor_system& system)
      : caf::execution_unit(&system), scheduler(scheduler) {}
  void exec_later(caf::resumable* job) override;

  frugal_scheduler& scheduler;
  std::thread thread; ///< none: it was lent
  std::condition_variable call;
  bool called = false;
  int blocking = 0;
};

namespace {

thread_local actor_thread* here = nullptr;

class frugal_scheduler final : public caf::scheduler::abstract_coordinator {
 public:
  using super = caf::scheduler::abstract_coordinator;

  explicit frugal_scheduler(caf::actor_system& system) : super(system) {}

  static caf::actor_system::module* make(caf::actor_system& system) { return new frugal_scheduler(system); }

  // -- jobs ---------------------------------------------------------------------------------------------

  void enqueue(caf::resumable* job) override {
    std::unique_lock lock(mutex_);
    ready_.push_back(job);
    if (at_work_ == 0) call_one(lock);
  }

  void begin_blocking() {
    std::unique_lock lock(mutex_);
    if (--at_work_ == 0 && !ready_.empty()) call_one(lock);
  }

  void end_blocking() {
    std::lock_guard lock(mutex_);
    ++at_work_;
  }

  // -- threads ------------------------------------------------------------------------------------------

  /// Somebody who sleeps gets to work; unlocks.
  void call_one(std::unique_lock<std::mutex>& lock) {
    ++at_work_;
    if (!armed_) arm_watch();
    if (asleep_.empty()) {
      start_thread();
      return;
    }
    auto next = asleep_.back();
    asleep_.pop_back();
    next->called = true;
    lock.unlock();
    next->call.notify_one();
  }

  void start_thread() {
    units_.push_back(std::make_unique<actor_thread>(*this, system()));
    auto u = units_.back().get();
    u->thread = std::thread([this, u] {
      caf::detail::set_thread_name("dt.actors");
      system().thread_started();
      here = u;
      run(*u);
      system().thread_terminates();
    });
  }

  void run(actor_thread& u) {
    std::unique_lock lock(mutex_);
    for (;;) {
      while (!ready_.empty()) {
        auto job = ready_.front();
        ready_.pop_front();
        ++begun_;
        lock.unlock();
        auto again = resume(u, job);
        lock.lock();
        if (again) ready_.push_back(job);
      }
      --at_work_;
      if (stopping_) return;
      u.called = false;
      asleep_.push_back(&u);
      u.call.wait(lock, [&] { return u.called; });
    }
  }

  bool resume(actor_thread& u, caf::resumable* job) {
    switch (job->resume(&u, max_throughput_)) {
    case caf::resumable::resume_later:
      return true;
    default:
      intrusive_ptr_release(job);
      return false;
    }
  }

  // -- threads that were lent ---------------------------------------------------------------------------

  void lend(const std::function<void()>& send) {
    {
      std::unique_lock lock(mutex_);
      if (at_work_ > 0 || stopping_ || here) {
        lock.unlock();
        return send();
      }
      ++at_work_;
      if (!armed_) arm_watch();
    }
    actor_thread borrowed(*this, system());
    here = &borrowed;
    send();
    auto until = clock_type::now() + lent_time;
    std::unique_lock lock(mutex_);
    while (auto job = next_quick()) {
      lock.unlock();
      auto again = resume(borrowed, job);
      lock.lock();
      if (again) ready_.push_back(job);
      if (clock_type::now() >= until) break;
    }
    here = nullptr;
    if (--at_work_ == 0 && !ready_.empty()) call_one(lock);
  }

  caf::resumable* next_quick() {
    for (auto i = ready_.begin(); i != ready_.end(); ++i) {
      if (!slow_.empty() && slow_.contains(*i)) continue;
      auto job = *i;
      ready_.erase(i);
      ++begun_;
      return job;
    }
    return nullptr;
  }

  void mark(caf::resumable* actor, bool slow) {
    std::lock_guard lock(mutex_);
    if (slow)
      slow_.insert(actor);
    else
      slow_.erase(actor);
  }

  // -- the watch ----------------------------------------------------------------------------------------

  void arm_watch() {
    armed_ = true;
    watch_call_.notify_one();
  }

  void watch() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (!armed_) watch_call_.wait(lock);
      auto begun = begun_;
      watch_call_.wait_for(lock, patience);
      if (stopping_) return;
      if (begun == begun_ && !ready_.empty()) {
        call_one(lock);
        if (!lock.owns_lock()) lock.lock();
      } else if (begun == begun_ && ready_.empty()) {
        armed_ = false;
      }
    }
  }

  // -- life ---------------------------------------------------------------------------------------------

  caf::detail::thread_safe_actor_clock& clock() noexcept override { return clock_; }

 protected:
  void start() override {
    timer_ = std::thread([this] {
      caf::detail::set_thread_name("dt.clock");
      system().thread_started();
      clock_.run_dispatch_loop();
      system().thread_terminates();
    });
    watch_ = std::thread([this] {
      caf::detail::set_thread_name("dt.watch");
      watch();
    });
    super::start();
  }

  void stop() override {
    stop_actors();
    {
      std::unique_lock lock(mutex_);
      stopping_ = true;
      for (auto u : asleep_) {
        u->called = true;
        ++at_work_;
        u->call.notify_one();
      }
      asleep_.clear();
      watch_call_.notify_one();
    }
    watch_.join();
    for (auto& u : units_) u->thread.join();
    for (auto job : ready_) cleanup_and_release(job);
    clock_.cancel_dispatch_loop();
    timer_.join();
  }

 private:
  caf::detail::thread_safe_actor_clock clock_;
  std::thread timer_, watch_;
  std::mutex mutex_;
  std::condition_variable watch_call_;
  std::deque<caf::resumable*> ready_;
  std::vector<std::unique_ptr<actor_thread>> units_;
  std::vector<actor_thread*> asleep_;
  std::unordered_set<caf::resumable*> slow_;
  int at_work_ = 0; ///< threads that are called or run, but for those that block
  std::uint64_t begun_ = 0;
  bool armed_ = false, stopping_ = false;
};

frugal_scheduler* of(caf::actor_system& system) {
  return dynamic_cast<frugal_scheduler*>(&system.scheduler());
}

} // namespace

void lend_thread(caf::actor_system& system, const std::function<void()>& send) {
  auto scheduler = of(system);
  scheduler ? scheduler->lend(send) : send();
}

void actor_thread::exec_later(caf::resumable* job) { scheduler.enqueue(job); }

blocking_section::blocking_section() : thread_(here) {
  if (thread_ && thread_->blocking++ == 0) thread_->scheduler.begin_blocking();
}

blocking_section::~blocking_section() {
  if (thread_ && --thread_->blocking == 0) thread_->scheduler.end_blocking();
}

unknown_pace::~unknown_pace() {
  if (auto scheduler = of(actor_.home_system())) scheduler->mark(&actor_, false);
}

void unknown_pace::mark() {
  if (auto scheduler = of(actor_.home_system())) scheduler->mark(&actor_, slow_);
}

void unknown_pace::stay_slow() {
  for_good_ = slow_ = true;
  mark();
}

std::int64_t unknown_pace::now() {
  return clock_type::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

void unknown_pace::took(std::int64_t ns) {
  quick_runs_ = ns < quick / std::chrono::nanoseconds(1) ? quick_runs_ + 1 : 0;
  auto slow = for_good_ || quick_runs_ < quick_runs_needed;
  if (slow != slow_) {
    slow_ = slow;
    mark();
  }
}

void use_frugal_scheduler(caf::actor_system_config& config) {
  config.module_factories.emplace_back(&frugal_scheduler::make);
}

} // namespace dtranspose
