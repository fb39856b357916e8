#include "model/map_runs.hpp"

#include <gtest/gtest.h>

#include <string>

#include "model/trigger_map.hpp"
#include "model/value_json.hpp"

namespace dtranspose {
namespace {

std::string runs_of(const std::string& mapping, bool wrap = false, std::size_t most = 100) {
  auto map = trigger_map::parse(R"({"parts":{"main":)" + mapping + R"(},"sequence":["main"]})", wrap);
  return map ? to_json(map_runs(**map, most)) : "malformed";
}

std::string targets(const std::string& constraint) {
  return R"([{"tags":["generic"],"constraint":)" + constraint + "}]";
}

TEST(map_runs, constraints_that_go_up_are_one_run) {
  std::string slots;
  for (int i = 0; i < 1000; ++i) slots += (i ? "," : "") + targets(std::to_string(5 + 2 * i));
  EXPECT_EQ(runs_of(R"({"a":[)" + slots + "]}"),
            R"({"events":1000,"streams":{"a":[{"first":0,"count":1000,"targets":)" + targets("5") +
                R"(,"step":2}]}})");
}

TEST(map_runs, what_is_not_alike_begins_a_run) {
  EXPECT_EQ(runs_of(R"({"a":[)" + targets("0") + "," + targets("0") + ",null," + targets("0") + ",[],[]," +
                    targets("null") + "]}"),
            R"({"events":7,"streams":{"a":[{"first":0,"count":2,"targets":)" + targets("0") +
                R"(,"step":0},)" + R"({"first":3,"count":1,"targets":)" + targets("0") +
                R"(},{"first":4,"count":2,"targets":[]},)" + R"({"first":6,"count":1,"targets":)" +
                targets("null") + "}]}}");
}

TEST(map_runs, several_workers_go_up_together_or_not_at_all) {
  auto two = [](int a, int b) {
    return R"([{"tags":["x"],"constraint":)" + std::to_string(a) + R"(},{"tags":["x"],"constraint":)" +
           std::to_string(b) + "}]";
  };
  auto runs = runs_of(R"({"a":[)" + two(0, 1) + "," + two(2, 3) + "," + two(4, 6) + "]}");
  EXPECT_NE(runs.find(R"("first":0,"count":2)"), runs.npos) << runs;
  EXPECT_NE(runs.find(R"("first":2,"count":1)"), runs.npos) << runs;
}

TEST(map_runs, more_than_it_may_list_are_counted) {
  std::string slots;
  for (int i = 0; i < 100; ++i) slots += (i ? "," : "") + targets(std::to_string(i * i));
  auto runs = runs_of(R"({"a":[)" + slots + R"(],"b":[)" + slots + "]}", false, 10);
  EXPECT_EQ(runs.find("runs_left_out") == runs.npos, false) << runs;
  EXPECT_LT(runs.size(), 1000u);
}

TEST(map_runs, parts_are_laid_end_to_end) {
  auto runs = runs_of(R"({"a":[)" + targets("0") + "," + targets("1") + "]}", true);
  EXPECT_NE(runs.find(R"({"events":4)"), runs.npos) << runs;
  EXPECT_NE(runs.find(R"({"first":1,"count":2,"targets":)" + targets("0") + R"(,"step":1})"), runs.npos)
      << runs;
}

} // namespace
} // namespace dtranspose
