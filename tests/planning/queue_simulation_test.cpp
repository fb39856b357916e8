#include "planning/queue_simulation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace dtranspose {
namespace {

/// A plan by lot: some streams, node kinds, links and costs, at a rate somewhat below or above what it can
/// do.
plan_setup by_lot(std::uint32_t seed) {
  std::mt19937 lot(seed);
  auto between = [&](double least, double most) {
    return std::uniform_real_distribution<>(least, most)(lot);
  };
  auto whole = [&](int least, int most) { return std::uniform_int_distribution<>(least, most)(lot); };
  plan_setup setup;
  for (auto n = whole(1, 4); n > 0; --n)
    setup.streams.push_back({.name = "s" + std::to_string(n),
                             .frame = between(1e4, 2e6),
                             .every = n == 1 ? 1u : 1u << whole(0, 2),
                             .link = between(2e9, 8e9)});
  setup.analysis = between(0, 2e7);
  setup.result = whole(0, 1) * between(100, 1e5);
  auto workers = static_cast<std::uint32_t>(whole(1, 8));
  if (seed % 2 == 0)
    setup.nodes = {{.name = "in",
                    .count = static_cast<std::uint32_t>(whole(1, 2)),
                    .cores = between(1, 8),
                    .link = between(1e9, 12e9),
                    .memory_bandwidth = between(5e9, 100e9),
                    .ingester = true},
                   {.name = "work",
                    .count = static_cast<std::uint32_t>(1 << whole(0, 2)),
                    .cores = between(1, 8),
                    .link = between(1e9, 12e9),
                    .worker = true,
                    .workers = workers},
                   {.name = "head", .cores = 1, .link = 1e9, .reducer = true, .controller = true}};
  else
    setup.nodes = {{.name = "all",
                    .cores = between(1, 8),
                    .link = between(1e9, 12e9),
                    .ingester = true,
                    .worker = true,
                    .reducer = true,
                    .controller = true,
                    .workers = workers,
                    .one_process = whole(0, 1) == 1}};
  // Constraints that take turns in step with streams that do not have every event: no mean describes that.
  auto in_step = std::ranges::any_of(setup.streams, [](auto& s) { return s.every > 1; });
  if (!in_step) setup.constraints = static_cast<std::uint32_t>(setup.workers()) * 15;
  setup.rate = 1;
  auto load = workload(setup).mean();
  setup.rate = between(0.5, 1.5) / forecast_of(setup, load).bottleneck().use;
  return setup;
}

TEST(queue_simulation, agrees_with_the_forecast) {
  int too_much = 0;
  for (std::uint32_t seed = 1; seed <= 24; ++seed) {
    auto setup = by_lot(seed);
    auto uses = forecast_of(setup, workload(setup).mean());
    auto use = uses.bottleneck().use;
    auto run = simulate_queues(setup, 4000 / setup.rate);
    auto expected = std::min(1.0, 1 / use) * setup.rate;
    EXPECT_NEAR(run.rate / expected, 1, 0.02)
        << "seed " << seed << ", use " << use << " of " << name_of(uses.bottleneck().kind) << "; busiest "
        << run.busiest << " " << run.use << ", window " << run.window;
    if (use > 1) {
      ++too_much;
      EXPECT_NEAR(run.growth, setup.rate - expected, 0.02 * setup.rate) << seed;
    }
  }
  EXPECT_GT(too_much, 4);
  EXPECT_LT(too_much, 20);
}

plan_setup one_worker() {
  plan_setup setup;
  setup.rate = 100;
  setup.analysis = 20e6;
  setup.streams = {{.name = "det", .frame = 1e6}};
  setup.nodes = {{.name = "all",
                  .cores = 8,
                  .ingester = true,
                  .worker = true,
                  .reducer = true,
                  .controller = true,
                  .workers = 1}};
  return setup;
}

TEST(queue_simulation, what_a_worker_cannot_do_waits) {
  auto run = simulate_queues(one_worker(), 10);
  EXPECT_NEAR(run.rate, 50, 0.5);
  EXPECT_NEAR(run.growth, 50, 1);
  EXPECT_NEAR(static_cast<double>(run.waiting), 500, 10);
  EXPECT_EQ(run.busiest, "workers: all");
  EXPECT_NEAR(run.use, 1, 0.02);
}

TEST(queue_simulation, equal_constraints_meet_at_one_worker) {
  auto setup = one_worker();
  setup.nodes[0].workers = 4;
  EXPECT_NEAR(simulate_queues(setup, 10).rate, 100, 1);
  setup.constraints = 1;
  EXPECT_NEAR(simulate_queues(setup, 10).rate, 50, 0.5);
}

TEST(queue_simulation, everyone_gets_what_is_for_everyone) {
  auto setup = one_worker();
  setup.nodes[0].workers = 4;
  setup.map =
      *trigger_map::parse(R"({"parts": {"p": {"det": [[{"constraint": null}]]}}, "sequence": ["p"]})", false);
  auto uses = forecast_of(setup, workload(setup).mean());
  EXPECT_EQ(uses.bottleneck().kind, resource_kind::workers);
  EXPECT_NEAR(simulate_queues(setup, 10).rate, setup.rate / uses.bottleneck().use, 0.5);
}

TEST(queue_simulation, too_long_a_time_is_refused) {
  try {
    simulate_queues(one_worker(), 1e9);
    FAIL();
  } catch (const plan_error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("--simulate: "));
  }
}

} // namespace
} // namespace dtranspose
