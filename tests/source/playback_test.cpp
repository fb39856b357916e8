#include "source/playback.hpp"

#include <future>
#include <thread>

#include <gmock/gmock.h>

#include "source/collector.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using test::soon;

event_runs runs_of(const std::vector<std::uint64_t>& events) {
  event_runs runs;
  for (auto event : events) runs.append(event);
  return runs;
}

TEST(playback, is_free_by_itself) {
  playback pace({});
  pace.begin();
  EXPECT_TRUE(pace.is_free());
  EXPECT_TRUE(pace.due(1'000'000, 1e12));
  EXPECT_TRUE(pace.wait(1'000'000, {}, {}));
}

TEST(playback, lets_its_events_go_step_by_step) {
  playback pace({.stepwise = true, .events = runs_of({0, 3, 4})});
  pace.begin();
  EXPECT_FALSE(pace.due(0, {}));
  EXPECT_TRUE(pace.due(1, {})); // none of its events
  EXPECT_EQ(pace.stepped_to(), std::nullopt);
  pace.step();
  EXPECT_EQ(pace.stepped_to(), 0u);
  EXPECT_TRUE(pace.due(0, {}));
  EXPECT_FALSE(pace.due(3, {}));
  pace.step();
  EXPECT_EQ(pace.stepped_to(), 3u);
  EXPECT_TRUE(pace.due(3, {}));
  EXPECT_FALSE(pace.due(4, {}));
  pace.step();
  pace.step();
  EXPECT_EQ(pace.stepped_to(), std::nullopt);
  EXPECT_TRUE(pace.due(4, {}));
  pace.begin();
  EXPECT_FALSE(pace.due(0, {}));
  pace.run_on();
  EXPECT_TRUE(pace.due(4, {}));
}

TEST(playback, a_step_wakes_who_waits) {
  playback pace({.stepwise = true, .events = runs_of({0})});
  pace.begin();
  auto waiting = std::async(std::launch::async, [&] { return pace.wait(0, {}, {}); });
  EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
  pace.step();
  EXPECT_TRUE(waiting.get());
}

TEST(playback, a_stop_wakes_who_waits) {
  playback stepwise({.stepwise = true, .events = runs_of({0})});
  playback slow({.speed = 1, .times = {0, 1e6}});
  for (auto pace : {&stepwise, &slow}) {
    pace->begin();
    std::stop_source stop;
    auto waiting = std::async(std::launch::async, [&] { return pace->wait(0, 1e6, stop.get_token()); });
    EXPECT_EQ(waiting.wait_for(20ms), std::future_status::timeout);
    stop.request_stop();
    EXPECT_FALSE(waiting.get());
  }
}

TEST(playback, keeps_recorded_times) {
  playback pace({.speed = 100, .times = {1000, 1010}});
  pace.begin();
  EXPECT_TRUE(pace.due(0, 1000));
  EXPECT_TRUE(pace.due(0, 900)); // before what is played
  EXPECT_TRUE(pace.due(0, {}));
  auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(pace.due(1, 1010));
  EXPECT_FALSE(pace.due(1, 1e9)); // behind what is played: with the last
  EXPECT_TRUE(pace.wait(1, 1e9, {}));
  // Its clock began a moment before ours.
  EXPECT_GE(std::chrono::steady_clock::now() - start, 90ms);
  EXPECT_TRUE(pace.due(1, 1e9));
  pace.begin();
  EXPECT_FALSE(pace.due(1, 1010));
}

TEST(playback, counts_what_was_played_since_it_began) {
  playback pace({});
  pace.count(5);
  pace.end();
  pace.begin();
  EXPECT_EQ(pace.bytes(), 0u);
  EXPECT_EQ(pace.ended(), 0u);
  pace.count(3);
  pace.count(4);
  pace.end();
  EXPECT_EQ(pace.bytes(), 7u);
  EXPECT_EQ(pace.ended(), 1u);
}

} // namespace
} // namespace dtranspose
