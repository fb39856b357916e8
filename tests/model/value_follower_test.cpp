#include "model/value_follower.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

stream_data reading(const char* text) { return memory_frames::of("raw", {text}); }

stream_run run(std::uint64_t first, std::uint32_t count, std::uint32_t stride = 1) {
  return {{event_number(first), count, stride}, {0}};
}

/// `EVENT:TEXT` of everything that is ready.
std::vector<std::string> given(value_follower& follower) {
  std::vector<std::string> all;
  for (auto& packet : follower.ready().packets)
    all.push_back(std::to_string(*packet.numbers.event) + ":" + std::string(packet.data.frames()[0].text()));
  return all;
}

TEST(value_follower, without_a_leader_an_event_gets_the_value_of_its_assignment) {
  value_follower follower(false);
  follower.take(reading("a"));
  follower.assign(run(0, 2));
  EXPECT_THAT(given(follower), ElementsAre("0:a", "1:a"));
  follower.take(reading("b"));
  EXPECT_THAT(given(follower), IsEmpty());
  follower.assign(run(2, 1));
  EXPECT_THAT(given(follower), ElementsAre("2:b"));
}

TEST(value_follower, an_event_gets_what_was_the_latest_when_its_leader_came) {
  value_follower follower(true);
  follower.take(reading("a"));
  follower.assign(run(0, 4));
  EXPECT_THAT(given(follower), IsEmpty());
  follower.take(leader_news{4, {run(0, 4)}, {{0, 2}}});
  EXPECT_THAT(given(follower), ElementsAre("0:a", "1:a"));
  follower.take(reading("b"));
  follower.take(leader_news{4, {}, {{2, 1}}});
  follower.take(reading("c"));
  EXPECT_THAT(given(follower), ElementsAre("2:b"));
  follower.take(leader_news{4, {}, {{3, 1}}});
  EXPECT_THAT(given(follower), ElementsAre("3:c"));
}

TEST(value_follower, a_leader_that_came_before_its_assignment_took_its_value_then) {
  value_follower follower(true);
  follower.take(reading("a"));
  follower.take(leader_news{2, {}, {{0, 1}}});
  follower.take(reading("b"));
  follower.take(leader_news{2, {run(0, 2)}, {{1, 1}}});
  follower.take(reading("c"));
  follower.assign(run(0, 2));
  EXPECT_THAT(given(follower), ElementsAre("0:a", "1:b"));
}

TEST(value_follower, a_late_leader_took_the_value_of_its_own_arrival) {
  value_follower follower(true);
  follower.assign(run(0, 3));
  follower.take(reading("a"));
  follower.take(leader_news{3, {run(0, 3)}, {{0, 1}, {2, 1}}});
  EXPECT_THAT(given(follower), ElementsAre("0:a"));
  follower.take(reading("b"));
  follower.take(leader_news{3, {}, {{1, 1}}});
  EXPECT_THAT(given(follower), ElementsAre("1:b", "2:a"));
}

TEST(value_follower, where_the_leader_has_no_frame_the_one_before_counts) {
  value_follower follower(true);
  follower.take(reading("a"));
  follower.assign(run(0, 6));
  follower.take(leader_news{2, {run(1, 2, 3)}, {{0, 1}}});
  EXPECT_THAT(given(follower), ElementsAre("0:a", "1:a", "2:a", "3:a"));
  follower.take(reading("b"));
  EXPECT_THAT(given(follower), IsEmpty());
  follower.take(leader_news{2, {}, {{1, 1}}});
  EXPECT_THAT(given(follower), ElementsAre("4:b", "5:b"));
}

TEST(value_follower, an_event_before_any_value_waits_for_the_first) {
  value_follower follower(true);
  follower.assign(run(0, 2));
  follower.take(leader_news{2, {run(0, 2)}, {{0, 2}}});
  EXPECT_THAT(given(follower), IsEmpty());
  follower.take(reading("a"));
  EXPECT_THAT(given(follower), ElementsAre("0:a", "1:a"));
}

TEST(value_follower, a_leader_that_lost_ten_million_frames_costs_one_snapshot) {
  value_follower follower(true);
  follower.take(reading("a"));
  constexpr std::uint64_t many = 10'000'000;
  follower.take(leader_news{many, {run(0, many)}, {{0, many}}});
  follower.assign(run(many - 2, 2));
  EXPECT_THAT(given(follower), ElementsAre("9999998:a", "9999999:a"));
}

} // namespace
} // namespace dtranspose
