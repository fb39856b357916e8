#include "actors/frugal_scheduler.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <gtest/gtest.h>

#include <barrier>
#include <future>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;

/// Far beyond what anything here takes.
constexpr auto never = 30s;

class frugal_scheduler : public testing::Test {
 protected:
  struct config : caf::actor_system_config {
    config() { use_frugal_scheduler(*this); }
  };

  /// An actor that runs what it is sent.
  template <class F>
  caf::actor spawn(F f) {
    return system.spawn(
        [f](caf::event_based_actor* self) -> caf::behavior { return {[=](int n) { f(self, n); }}; });
  }

  void note_thread() {
    std::lock_guard guard(mutex);
    threads.insert(std::this_thread::get_id());
  }

  config settings;
  caf::actor_system system{settings};
  std::mutex mutex;
  std::set<std::thread::id> threads;
};

TEST_F(frugal_scheduler, goes_on_in_the_thread_that_is_at_work) {
  constexpr int hops = 10000;
  std::promise<void> done;
  caf::actor ping, pong;
  pong = spawn([&](caf::event_based_actor* self, int n) {
    note_thread();
    self->send(ping, n - 1);
  });
  ping = spawn([&](caf::event_based_actor* self, int n) {
    note_thread();
    n > 0 ? self->send(pong, n) : done.set_value();
  });
  caf::anon_send(ping, hops);
  ASSERT_EQ(done.get_future().wait_for(never), std::future_status::ready);
  // Another one may have joined in while the first was not given a core by the system.
  EXPECT_LE(threads.size(), 2U);
  caf::anon_send_exit(ping, caf::exit_reason::kill);
  caf::anon_send_exit(pong, caf::exit_reason::kill);
  ping = pong = nullptr;
}

TEST_F(frugal_scheduler, runs_in_a_thread_that_is_lent) {
  std::promise<std::thread::id> first, second;
  auto last = spawn([&](auto, int) { second.set_value(std::this_thread::get_id()); });
  auto next = spawn([&](caf::event_based_actor* self, int n) {
    first.set_value(std::this_thread::get_id());
    self->send(last, n);
  });
  // Whoever started the actors goes to sleep at some time; until then it may take the work.
  bool here = false;
  for (auto until = std::chrono::steady_clock::now() + never; !here;) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    first = {};
    second = {};
    lend_thread(system, [&] { caf::anon_send(next, 1); });
    auto where = first.get_future().get();
    here = second.get_future().get() == where && where == std::this_thread::get_id();
  }
}

TEST_F(frugal_scheduler, leaves_what_is_slow_to_its_own_threads) {
  std::promise<std::thread::id> where;
  auto slow = system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    auto pace = std::make_shared<unknown_pace>(*self);
    return {[&where, pace](int) { pace->run([&] { where.set_value(std::this_thread::get_id()); }); }};
  });
  for (int i = 0; i < 3; ++i) { // not often enough to be taken for quick
    where = {};
    lend_thread(system, [&] { caf::anon_send(slow, 1); });
    EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
  }
}

TEST_F(frugal_scheduler, takes_what_has_proved_quick_for_quick) {
  std::promise<std::thread::id> where;
  auto quick = system.spawn([&](caf::event_based_actor* self) -> caf::behavior {
    auto pace = std::make_shared<unknown_pace>(*self);
    return {[&where, pace](int) { pace->run([&] { where.set_value(std::this_thread::get_id()); }); }};
  });
  bool here = false;
  for (auto until = std::chrono::steady_clock::now() + never; !here;) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    where = {};
    lend_thread(system, [&] { caf::anon_send(quick, 1); });
    here = where.get_future().get() == std::this_thread::get_id();
  }
}

TEST_F(frugal_scheduler, lets_others_go_on_while_one_blocks) {
  for (bool says_so : {true, false}) {
    std::promise<void> rescue, done;
    auto rescuer = spawn([&](auto, int) { rescue.set_value(); });
    auto stuck = spawn([&](caf::event_based_actor* self, int n) {
      std::optional<blocking_section> others_go_on;
      if (says_so) others_go_on.emplace();
      self->send(rescuer, n);
      rescue.get_future().wait();
      done.set_value();
    });
    caf::anon_send(stuck, 1);
    ASSERT_EQ(done.get_future().wait_for(never), std::future_status::ready) << says_so;
  }
}

TEST_F(frugal_scheduler, has_as_many_threads_as_block_at_once) {
  constexpr int count = 40;
  std::barrier meet(count);
  std::latch done(count);
  std::vector<caf::actor> all;
  for (int i = 0; i < count; ++i)
    all.push_back(spawn([&](auto, int) {
      blocking_section others_go_on;
      meet.arrive_and_wait();
      done.count_down();
    }));
  for (auto& a : all) caf::anon_send(a, 1);
  done.wait();
}

TEST_F(frugal_scheduler, has_them_also_if_nobody_says_so) {
  constexpr int count = 12;
  std::barrier meet(count);
  std::latch done(count);
  std::vector<caf::actor> all;
  for (int i = 0; i < count; ++i)
    all.push_back(spawn([&](auto, int) {
      meet.arrive_and_wait();
      done.count_down();
    }));
  for (auto& a : all) caf::anon_send(a, 1);
  done.wait();
}

TEST_F(frugal_scheduler, keeps_nothing_from_running_when_many_send_and_lend_at_once) {
  constexpr int senders = 6, messages = 20000;
  std::latch done(senders * messages);
  std::array<int, 3> seen{};
  std::vector<caf::actor> all;
  for (std::size_t i = 0; i < seen.size(); ++i)
    all.push_back(spawn([&, i](caf::event_based_actor* self, int hops) {
      ++seen[i];
      if (hops > 0)
        self->send(all[(i + 1) % all.size()], hops - 1);
      else
        done.count_down();
    }));
  std::vector<std::thread> threads;
  for (int s = 0; s < senders; ++s)
    threads.emplace_back([&, s] {
      for (int i = 0; i < messages; ++i) {
        auto& to = all[static_cast<std::size_t>(i) % all.size()];
        if (s % 2 == 0)
          lend_thread(system, [&] { caf::anon_send(to, 2); });
        else
          caf::anon_send(to, 2);
      }
    });
  for (auto& t : threads) t.join();
  done.wait();
  EXPECT_EQ(seen[0] + seen[1] + seen[2], senders * messages * 3);
  for (auto& a : all) caf::anon_send_exit(a, caf::exit_reason::kill);
  all.clear();
}

TEST_F(frugal_scheduler, keeps_time) {
  std::promise<void> done;
  auto late = spawn([&](caf::event_based_actor* self, int n) {
    n > 0 ? self->delayed_send(self, 1ms, n - 1) : done.set_value();
  });
  caf::anon_send(late, 5);
  ASSERT_EQ(done.get_future().wait_for(never), std::future_status::ready);
}

TEST(frugal_scheduler_end, lets_go_of_what_is_under_way) {
  auto witness = std::make_shared<int>(0);
  {
    caf::actor_system_config settings;
    use_frugal_scheduler(settings);
    caf::actor_system system(settings);
    for (int i = 0; i < 100; ++i) {
      auto a = system.spawn([witness](caf::event_based_actor* self) -> caf::behavior {
        return {[witness, self](int n) { self->send(self, n); }};
      });
      caf::anon_send(a, i);
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    }
  }
  EXPECT_EQ(witness.use_count(), 1);
}

} // namespace
} // namespace dtranspose
