/// Thousands of clusters with faults, each from a seed. `simulate_faults` runs one of them and says what
/// happens.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "simulation/run.hpp"

namespace dtranspose::simulation {
namespace {

struct trial {
  std::string variant;
  std::uint64_t seeds;
};

class simulation : public testing::TestWithParam<trial> {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
};

TEST_P(simulation, keeps_every_promise) {
  std::uint64_t faults = 0;
  for (std::uint64_t seed = 1; seed <= GetParam().seeds; ++seed) {
    auto o = run_seed(seed, {.variant = GetParam().variant});
    faults += o.faults;
    ASSERT_EQ(o.failure, "") << "simulate_faults --variant " << GetParam().variant << " --first " << seed
                             << " --seeds 1 -v\n"
                             << o.plan;
  }
  if (GetParam().variant != "none") {
    EXPECT_GT(faults, GetParam().seeds / 4);
  }
}

INSTANTIATE_TEST_SUITE_P(faults, simulation,
                         testing::Values(trial{"none", 100}, trial{"kill_worker", 400},
                                         trial{"kill_ingester", 400}, trial{"kill_reducer", 400},
                                         trial{"kill_controller", 400}, trial{"cut", 400},
                                         trial{"freeze", 300}, trial{"disk_full", 100},
                                         trial{"late_join", 300}, trial{"cut_frames", 400},
                                         trial{"stop", 200}, trial{"lossless", 1000}, trial{"all", 1000}),
                         [](auto& info) { return info.param.variant; });

/// What the simulation is good for: each of these is found.
class injected_bug : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(injected_bug, is_found) {
  spdlog::set_level(spdlog::level::off);
  auto [bug, variant] = GetParam();
  for (std::uint64_t seed = 1; seed <= 1000; ++seed)
    if (auto o = run_seed(seed, {.variant = variant, .bug = bug}); !o.failure.empty()) return;
  FAIL() << bug << " is not found within 1000 seeds";
}

INSTANTIATE_TEST_SUITE_P(simulation, injected_bug,
                         testing::Values(std::pair("no_dedup", "kill_any"),
                                         std::pair("forget_redispatch", "kill_worker"),
                                         std::pair("commit_before_journal", "kill_reducer")),
                         [](auto& info) { return std::string(info.param.first); });

/// The same seed is the same run.
TEST(simulation, can_be_repeated) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::string first, second;
    settings how;
    how.log = [&](const std::string& text) { first += text + "\n"; };
    run_seed(seed, how);
    how.log = [&](const std::string& text) { second += text + "\n"; };
    run_seed(seed, how);
    EXPECT_EQ(first, second) << "seed " << seed;
  }
}

} // namespace
} // namespace dtranspose::simulation
