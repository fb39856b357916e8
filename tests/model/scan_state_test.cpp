#include "model/scan_state.hpp"

#include <functional>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "model/scan_id.hpp"

namespace dtranspose {
namespace {

using step = std::function<bool(scan_life&)>;

const std::map<std::string, step> steps = {
    {"arm", [](auto& l) { return l.arm(); }},     {"armed", [](auto& l) { return l.armed(); }},
    {"drain", [](auto& l) { return l.drain(); }}, {"close", [](auto& l) { return l.close(); }},
    {"fail", [](auto& l) { return l.fail(); }},
};

/// A life that has come to that state.
scan_life life_in(scan_state state) {
  scan_life l;
  if (state == scan_state::idle) return l;
  l.arm();
  if (state == scan_state::arming) return l;
  if (state == scan_state::failed) {
    l.fail();
    return l;
  }
  l.armed();
  if (state == scan_state::running) return l;
  if (state == scan_state::stopped) l.stop();
  l.drain();
  if (state != scan_state::draining) l.close();
  return l;
}

constexpr scan_state all_states[] = {scan_state::idle,     scan_state::arming,   scan_state::running,
                                     scan_state::draining, scan_state::finished, scan_state::stopped,
                                     scan_state::failed};

TEST(scan_life, takes_the_steps_of_its_picture_and_no_others) {
  const std::map<std::pair<scan_state, std::string>, scan_state> allowed = {
      {{scan_state::idle, "arm"}, scan_state::arming},
      {{scan_state::finished, "arm"}, scan_state::arming},
      {{scan_state::stopped, "arm"}, scan_state::arming},
      {{scan_state::failed, "arm"}, scan_state::arming},
      {{scan_state::arming, "armed"}, scan_state::running},
      {{scan_state::running, "drain"}, scan_state::draining},
      {{scan_state::draining, "close"}, scan_state::finished},
      {{scan_state::arming, "fail"}, scan_state::failed},
      {{scan_state::running, "fail"}, scan_state::failed},
      {{scan_state::draining, "fail"}, scan_state::failed},
  };
  for (auto state : all_states)
    for (auto& [name, take] : steps) {
      auto life = life_in(state);
      ASSERT_EQ(life.state(), state);
      auto to = allowed.find({state, name});
      EXPECT_EQ(take(life), to != allowed.end()) << name_of(state) << ' ' << name;
      EXPECT_EQ(life.state(), to == allowed.end() ? state : to->second) << name_of(state) << ' ' << name;
    }
}

TEST(scan_life, a_stop_takes_effect_once_and_only_while_a_scan_is_active) {
  for (auto state : all_states) {
    auto life = life_in(state);
    EXPECT_EQ(life.stop(), life.active()) << name_of(state);
    EXPECT_FALSE(life.stop()) << name_of(state);
    EXPECT_EQ(life.state(), state) << "it still drains";
  }
}

TEST(scan_life, a_stop_before_the_end_closes_as_stopped) {
  for (auto state : {scan_state::arming, scan_state::running, scan_state::draining}) {
    auto life = life_in(state);
    life.stop();
    life.armed();
    life.drain();
    EXPECT_TRUE(life.close());
    EXPECT_EQ(life.state(), scan_state::stopped);
    EXPECT_TRUE(life.over());
  }
}

TEST(scan_life, the_next_scan_knows_nothing_of_an_earlier_stop) {
  auto life = life_in(scan_state::stopped);
  life.arm();
  EXPECT_FALSE(life.stopping());
  life.armed();
  life.drain();
  life.close();
  EXPECT_EQ(life.state(), scan_state::finished);
}

TEST(scan_life, is_idle_or_active_or_over) {
  for (auto state : all_states) {
    auto life = life_in(state);
    EXPECT_EQ((state == scan_state::idle) + life.active() + life.over(), 1) << name_of(state);
  }
}

TEST(scan_id, is_a_random_uuid_of_version_4_whatever_the_bits) {
  std::mt19937_64 random(26);
  for (int i = 0; i < 100; ++i) {
    auto text = to_string(make_scan_id(random(), random()));
    ASSERT_EQ(text.size(), 36u);
    for (auto place : {8u, 13u, 18u, 23u}) EXPECT_EQ(text[place], '-');
    EXPECT_EQ(text[14], '4');
    EXPECT_NE(std::string("89ab").find(text[19]), std::string::npos);
  }
}

TEST(scan_id, keeps_leading_zeros) {
  EXPECT_EQ(to_string(make_scan_id(0, 0)), "00000000-0000-4000-8000-000000000000");
  EXPECT_EQ(to_string(make_scan_id(~std::uint64_t{0}, ~std::uint64_t{0})),
            "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_FALSE(scan_id());
  EXPECT_TRUE(make_scan_id(0, 0));
}

} // namespace
} // namespace dtranspose
