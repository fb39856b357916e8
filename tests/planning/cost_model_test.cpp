#include "planning/cost_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::HasSubstr;

std::string fault_of(std::string_view json) {
  cost_model costs;
  try {
    read_costs(json, "x.json", costs);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return {};
}

TEST(cost_model, line_through_samples_that_lie_on_one) {
  cost_sample samples[] = {{1000, 700}, {10'000, 2500}, {100'000, 20'500}};
  auto line = fit(samples);
  EXPECT_NEAR(line.frame, 500, 1e-6);
  EXPECT_NEAR(line.byte, 0.2, 1e-9);
  EXPECT_NEAR(line.of(10, 10 * 30'000), 10 * 6500, 1e-6);
}

TEST(cost_model, what_differs_from_the_line_is_kept) {
  cost_sample samples[] = {{1000, 700}, {10'000, 3500}, {100'000, 20'500}};
  auto cost = fit(samples);
  ASSERT_EQ(cost.ratios.size(), 3);
  for (auto& s : samples) EXPECT_NEAR(cost.of(1, s.bytes), s.ns, s.ns * 1e-9);
  EXPECT_GT(cost.of(1, 20'000), 3500);
  EXPECT_LT(cost.of(1, 20'000), 20'500);
  EXPECT_NEAR(cost.of(1, 200'000) / (cost.frame + 200'000 * cost.byte), cost.ratios.back().ns, 1e-9);
}

TEST(cost_model, nothing_below_zero) {
  cost_sample falling[] = {{1000, 900}, {100'000, 800}};
  EXPECT_EQ(fit(falling).byte, 0);
  cost_sample steep[] = {{1000, 10}, {2000, 1000}, {3000, 3000}};
  EXPECT_EQ(fit(steep).frame, 0);
  cost_sample alike[] = {{1000, 10}, {1000, 10}};
  EXPECT_NEAR(fit(alike).frame, 10, 1e-9);
  EXPECT_EQ(fit(alike).byte, 0);
}

TEST(cost_model, roles_of_a_file) {
  cost_model costs;
  auto usual = costs.worker;
  read_costs(R"([{"role": "hand_over", "bytes": 1000, "ns_per_frame": 1500},
                 {"role": "hand_over", "bytes": 2000, "ns_per_frame": 2000}])",
             "x.json", costs);
  EXPECT_NEAR(costs.hand_over.frame, 1000, 1e-6);
  EXPECT_NEAR(costs.hand_over.byte, 0.5, 1e-9);
  EXPECT_EQ(costs.worker, usual);
}

TEST(cost_model, rows_of_the_benchmark) {
  cost_model costs;
  read_costs(R"([{"bytes": 1000, "what": "bare libzmq", "events_per_second": [9e6], "ratio": [1, 1, 1]},
                 {"bytes": 1000, "what": "worker gives nothing", "events_per_second": [1e5, 2e6, 1e6]},
                 {"bytes": 9000, "what": "worker gives nothing", "events_per_second": [2e5]},
                 {"bytes": 1000, "what": "worker gives a map", "events_per_second": [8e5]}])",
             "x.json", costs);
  EXPECT_NEAR(costs.ingester.frame, 500, 1e-6); // 1000 ns at 1000 bytes, 5000 at 9000
  EXPECT_NEAR(costs.ingester.byte, 0.5, 1e-9);
  EXPECT_NEAR(costs.reducer.frame, 250, 1e-6);
}

TEST(cost_model, rows_of_the_benchmark_across_processes) {
  cost_model costs;
  auto usual = costs.ingester;
  read_costs(R"([{"bytes": 1000, "what": "bare libzmq, two hops", "events_per_second": [9e6]},
                 {"bytes": 1000, "what": "worker gives nothing", "events_per_second": [1e6]}])",
             "x.json", costs);
  EXPECT_EQ(costs.ingester, usual);
  EXPECT_NEAR(costs.hand_over.of(1, 1000), 1000, 1e-6);
  EXPECT_EQ(costs.take_over, costs.hand_over);
}

TEST(cost_model, built_in_costs_are_those_measured) {
  EXPECT_NEAR(1e9 / cost_model().ingester.of(1, 131'072), 33'363, 1);
}

TEST(cost_model, faults_name_the_row) {
  EXPECT_THAT(fault_of("{}"), HasSubstr("x.json: this is no list"));
  EXPECT_THAT(fault_of(R"([{"role": "cook", "bytes": 1, "ns_per_frame": 1}])"),
              HasSubstr("row 1: 'cook' is no role that costs; known are ingester"));
  EXPECT_THAT(fault_of(R"([{"role": "worker", "bytes": 1, "ns_per_frame": 0}])"),
              HasSubstr("'ns_per_frame'"));
  EXPECT_THAT(fault_of(R"([{"bytes": 1}])"), HasSubstr("row 1: neither 'role' nor 'events_per_second'"));
  EXPECT_THAT(fault_of(R"([{"bytes": 1, "what": "bare libzmq", "events_per_second": [1]}])"),
              HasSubstr("worker gives nothing"));
}

} // namespace
} // namespace dtranspose
