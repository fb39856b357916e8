#include "planning/forecast.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "planning/run_plan.hpp"

namespace dtranspose {
namespace {

/// One stream of 1 MB at 1 kHz, 1 GB/s; an ingester's node, two with four workers each, one for the rest.
/// Costs are round, links lose nothing.
plan_setup round_numbers() {
  plan_setup setup;
  setup.rate = 1000;
  setup.link_efficiency = 1;
  setup.result = 1000;
  setup.analysis = 400'000;              // 0.4 s per second
  setup.costs.ingester = {20'000, 0.1};  // 120 us
  setup.costs.hand_over = {10'000, 0.1}; // 110 us
  setup.costs.take_over = {40'000, 0.2}; // 240 us
  setup.costs.worker = {50'000, 0.05};   // 100 us
  setup.costs.reducer = {29'000, 1};     // 30 us
  setup.costs.controller = {5'000, 0};
  setup.costs.cores_of_ingester = 2;
  setup.streams = {{.name = "det", .frame = 1e6, .link = 10e9, .retain = 1e9, .read_ahead = 1e8}};
  setup.nodes = {
      {.name = "in", .cores = 10, .link = 5e9, .memory_bandwidth = 100e9, .ingester = true},
      {.name = "work", .count = 2, .cores = 10, .link = 5e9, .worker = true, .workers = 4},
      {.name = "head", .cores = 10, .link = 5e9, .reducer = true, .controller = true},
  };
  return setup;
}

double use_of(const forecast& uses, resource_kind kind, const std::string& where) {
  for (auto& r : uses.resources)
    if (r.kind == kind && r.where == where) return r.use;
  ADD_FAILURE() << "no " << name_of(kind) << " at " << where;
  return -1;
}

forecast forecast_of(const plan_setup& setup) { return forecast_of(setup, workload(setup).mean()); }

TEST(forecast, by_hand) {
  auto uses = forecast_of(round_numbers());
  EXPECT_NEAR(use_of(uses, resource_kind::stream_link, "det"), 0.1, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::ingester, "det"), 0.12, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::hand_over, "det"), 0.11, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::link_in, "in"), 0.2, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::link_out, "in"), 0.2, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::cores, "in"), 0.035, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::memory_bandwidth, "in"), 0.06, 1e-9); // 3 x in and 3 x out
  EXPECT_NEAR(use_of(uses, resource_kind::link_in, "work-1"), 0.1, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::link_out, "work-1"), 0.5e6 / 5e9, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::take_over, "work-2"), 0.12, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::workers, "work-2"), 0.25 / 4, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::cores, "work-2"), 0.037, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::reducer, "head"), 0.03, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::link_in, "head"), 1e6 / 5e9, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::controller, "head"), 0.005, 1e-9);
  EXPECT_NEAR(uses.bottleneck().use, 0.2, 1e-9);
}

TEST(forecast, each_resource_is_the_bottleneck_in_turn) {
  struct {
    resource_kind kind;
    std::function<void(plan_setup&)> slow;
    double use;
  } cases[] = {
      {resource_kind::stream_link, [](auto& s) { s.streams[0].link = 0.8e9; }, 1.25},
      {resource_kind::ingester, [](auto& s) { s.costs.ingester.byte = 1; }, 1.02},
      {resource_kind::hand_over, [](auto& s) { s.costs.hand_over.byte = 1; }, 1.01},
      {resource_kind::link_in, [](auto& s) { s.nodes[1].link = 0.4e9; }, 1.25},
      {resource_kind::link_out,
       [](auto& s) { s.costs.reducer.byte = 0, s.result = 20e6, s.nodes[2].link = 0; }, 2},
      {resource_kind::cores, [](auto& s) { s.nodes[0].cores = 0.2; }, 1.75},
      {resource_kind::memory_bandwidth, [](auto& s) { s.nodes[0].memory_bandwidth = 4e9; }, 1.5},
      {resource_kind::take_over, [](auto& s) { s.costs.take_over.frame = 2'000'000; }, 1.1},
      {resource_kind::workers, [](auto& s) { s.analysis = 9.9e6, s.nodes[1].cores = 100; }, 1.25},
      {resource_kind::one_constraint, [](auto& s) { s.constraints = 1, s.analysis = 1e6; }, 1.1},
      {resource_kind::reducer, [](auto& s) { s.costs.reducer.frame = 1.5e6; }, 1.501},
      {resource_kind::controller, [](auto& s) { s.costs.controller.frame = 1.2e6; }, 1.2},
  };
  for (auto& c : cases) {
    auto setup = round_numbers();
    c.slow(setup);
    auto most = forecast_of(setup).bottleneck();
    EXPECT_EQ(most.kind, c.kind) << name_of(c.kind) << " " << name_of(most.kind);
    EXPECT_NEAR(most.use, c.use, 1e-9) << name_of(c.kind);
  }
}

TEST(forecast, one_process_hands_nothing_over) {
  auto setup = round_numbers();
  setup.nodes = {{.name = "all",
                  .cores = 2,
                  .link = 1e9,
                  .ingester = true,
                  .worker = true,
                  .reducer = true,
                  .controller = true,
                  .workers = 2,
                  .one_process = true}};
  auto uses = forecast_of(setup);
  EXPECT_EQ(use_of(uses, resource_kind::hand_over, "det"), 0);
  EXPECT_EQ(use_of(uses, resource_kind::link_out, "all"), 0);
  EXPECT_NEAR(use_of(uses, resource_kind::link_in, "all"), 1, 1e-9);
  EXPECT_NEAR(use_of(uses, resource_kind::cores, "all"), (0.24 + 0.5 + 0.03 + 0.005) / 2, 1e-9);
}

TEST(forecast, streams_are_spread_over_the_nodes_that_ingest) {
  auto setup = round_numbers();
  setup.nodes[0].count = 2;
  setup.streams.push_back({.name = "slow", .frame = 2e6, .every = 4});
  setup.streams.push_back({.name = "third", .frame = 1e5});
  auto load = workload(setup).mean();
  EXPECT_EQ(load.frames, (std::vector<double>{1, 0.25, 1}));
  EXPECT_EQ(place(setup, load).node_of_stream, (std::vector<std::size_t>{0, 1, 1}));
}

TEST(forecast, workers_and_nodes_that_are_needed) {
  auto setup = round_numbers();
  setup.headroom = 0.5;
  setup.analysis = 9.9e6; // with 0.1 ms for the join: 10 s of work per second
  setup.nodes[1].cores = 5;
  auto needs = sizing_of(setup, workload(setup).mean());
  EXPECT_EQ(needs.workers, 20); // 10 / 0.5
  ASSERT_EQ(needs.nodes.size(), 2);
  EXPECT_EQ(needs.nodes[0].needed, 1);
  EXPECT_EQ(needs.nodes[1].needed, 5); // four workers each, 4 x 5 = 20; cores: 10.24 / 2.5 = 4.1
  setup.nodes[1].cores = 2;
  EXPECT_EQ(sizing_of(setup, workload(setup).mean()).nodes[1].needed, 11); // 10.24 / (2 x 0.5)
}

TEST(forecast, no_number_of_workers_helps_against_one_constraint) {
  auto setup = round_numbers();
  setup.constraints = 1;
  setup.analysis = 2e6;
  EXPECT_EQ(sizing_of(setup, workload(setup).mean()).workers, 0);
  auto answer = answer_of(setup, {});
  EXPECT_EQ(answer["more_nodes_do_not_help"][0], "one constraint: the busiest");
  EXPECT_THAT(text_of_answer(answer), testing::HasSubstr("It does not keep up: 210 % of one constraint"));
}

TEST(forecast, stall) {
  auto setup = round_numbers();
  auto load = workload(setup).mean();
  setup.streams[0].queue = 5e7;
  setup.streams[0].sender = 1e7;
  auto stall = stall_of(setup, load, forecast_of(setup), 2);
  auto& s = stall.streams.at(0);
  EXPECT_NEAR(s.needed, 2000 * 1'000'256.0, 1);
  // 4 MiB of events of 1 MB each: 4.19 events under way to each of eight workers.
  EXPECT_NEAR(s.under_way, 8 * 4.194304 * 1'000'256, 1);
  EXPECT_NEAR(s.workers_stall, 1e8 + s.under_way, 1);
  EXPECT_EQ(s.reducer_stall, 1e9);
  EXPECT_NEAR(s.uncovered(s.reducer_stall), s.needed - 1e9 - 6e7, 1);
  EXPECT_EQ(s.uncovered(5e9), 0);
  EXPECT_NEAR(stall.catch_up, 2 * 0.2 / 0.8, 1e-9); // the links are used to a fifth
  setup.streams[0].retain = 1e6;
  EXPECT_EQ(stall_of(setup, load, forecast_of(setup), 2).streams[0].workers_stall, 1e6);
  setup.rate = 5001;
  EXPECT_LT(stall_of(setup, load, forecast_of(setup), 2).catch_up, 0);
}

TEST(forecast, budgets_beyond_the_memory_are_told) {
  auto setup = round_numbers();
  setup.nodes[0].memory = 0.5e9;
  EXPECT_THAT(text_of_answer(answer_of(setup, {})),
              testing::HasSubstr("memory of 'in': retain and worker_memory come to 1 GB, it has 500 MB"));
}

std::shared_ptr<const trigger_map> map_of(std::string_view json, bool wrap = false) {
  auto map = trigger_map::parse(json, wrap);
  EXPECT_TRUE(map) << to_string(map.error());
  return *map;
}

TEST(workload, of_a_map) {
  auto setup = round_numbers();
  setup.streams.push_back({.name = "slow", .frame = 1});
  setup.map = map_of(R"({"parts": {"p": {
    "det":  [[{"constraint": 0}], [{"constraint": 1}], [], [{"constraint": 0}, {"constraint": 2}]],
    "slow": [[{"constraint": 0}], null, null, [{"constraint": null}]]}}, "sequence": ["p", "p"]})");
  workload work(setup);
  auto load = work.mean();
  EXPECT_EQ(work.period(), 8);
  EXPECT_EQ(load.frames, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(load.copies, (std::vector<double>{1, 0.25}));
  EXPECT_EQ(load.broadcasts, (std::vector<double>{0, 0.25}));
  EXPECT_EQ(load.visits, 1);
  EXPECT_EQ(load.visits_of_everyone, 0.25);
  EXPECT_EQ(load.busiest, 2 / 8.0); // of the four events of the part, which count as eight
  EXPECT_EQ(load.min_workers, 2);
  std::vector<planned_visit> visits, again;
  work.visits_of(0, visits);
  ASSERT_EQ(visits.size(), 1);
  EXPECT_EQ(visits[0].streams, 3);
  work.visits_of(3, again);
  ASSERT_EQ(again.size(), 3);
  EXPECT_EQ(again[0].constraint, visits[0].constraint);
  work.visits_of(4, again);
  EXPECT_NE(again[0].constraint, visits[0].constraint); // constraints do not reach beyond their part
}

TEST(workload, faults_name_what_to_change) {
  auto setup = round_numbers();
  setup.map = map_of(R"({"parts": {"p": {"other": [null]}}, "sequence": ["p"]})");
  EXPECT_THROW(
      try { workload{setup}; } catch (const plan_error& e) {
        EXPECT_THAT(e.what(), testing::HasSubstr("'other' is not in the plan; add a [[plan.stream]]"));
        throw;
      },
      plan_error);
  setup.map = nullptr;
  setup.streams.push_back({.name = "a", .every = 99991});
  setup.streams.push_back({.name = "b", .every = 99989});
  EXPECT_THROW(workload{setup}, plan_error);
}

} // namespace
} // namespace dtranspose
