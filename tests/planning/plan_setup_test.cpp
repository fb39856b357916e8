#include "planning/plan_setup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "planning/run_plan.hpp"
#include "temporary_directory.hpp"

#ifndef DTRANSPOSE_SOURCE_DIR
#define DTRANSPOSE_SOURCE_DIR "."
#endif

namespace dtranspose {
namespace {

using testing::HasSubstr;

const std::string sound = R"([plan]
rate = "1kHz"
analysis = "50us"
[[plan.stream]]
name = "det"
frame = "2MB"
link = "100Gbit/s"
[[plan.nodes]]
name = "all"
cores = 4
roles = ["all"]
)";

std::string fault_of(const std::string& text) {
  try {
    parse_plan(text, "x.toml");
  } catch (const plan_error& e) {
    return e.what();
  }
  return {};
}

TEST(plan_setup, reads_units) {
  auto setup = parse_plan(sound, "x.toml");
  EXPECT_EQ(setup.rate, 1000);
  EXPECT_EQ(setup.analysis, 50'000);
  EXPECT_EQ(setup.streams.at(0).frame, 2e6);
  EXPECT_EQ(setup.streams.at(0).link, 12.5e9);
  EXPECT_EQ(setup.workers(), 2);
  EXPECT_EQ(setup.headroom, 0.7);
}

TEST(plan_setup, a_site_says_what_the_plan_leaves_open) {
  auto setup = parse_plan(sound + "[[stream]]\nname = 'det'\nprotocol = 'stins'\nretain = '1MB'\n"
                                  "[worker]\ncount = 7\nmemory = '3MB'\n",
                          "x.toml");
  EXPECT_EQ(setup.streams.at(0).retain, 1e6);
  EXPECT_EQ(setup.streams.at(0).frame, 2e6);
  EXPECT_EQ(setup.workers(), 7);
  EXPECT_EQ(setup.nodes.at(0).worker_memory, 3e6);
}

TEST(plan_setup, several_streams_at_once) {
  auto setup = parse_plan(sound + "[[plan.stream]]\nname = 'm'\nframe = '1kB'\ncount = 2\n", "x.toml");
  ASSERT_EQ(setup.streams.size(), 3);
  EXPECT_EQ(setup.streams[2].name, "m-2");
}

TEST(plan_setup, costs_can_be_given) {
  auto setup = parse_plan(sound + "[plan.costs]\ningester = { frame = '3us', byte = 0.5 }\n", "x.toml");
  EXPECT_EQ(setup.costs.ingester.of(2, 1000), 6500);
}

TEST(plan_setup, reads_the_map_of_a_scan) {
  test::temporary_directory folder;
  std::ofstream(folder.path() / "map.json")
      << R"({"parts": {"p": {"det": [[{"constraint": 0}], null, [{"constraint": 1}]]}}, "sequence": ["p"]})";
  std::string text = sound;
  text.insert(text.find("[[plan.stream]]"), "map = 'map.json'\nwrap = false\n");
  auto setup = parse_plan(text, (folder.path() / "x.toml").string());
  ASSERT_TRUE(setup.map);
  EXPECT_EQ(setup.map->events(), 3);
}

TEST(plan_setup, faults_name_line_and_key) {
  struct {
    std::string from, to, fault;
  } cases[] = {
      {"rate = \"1kHz\"", "rate = 1000", "x.toml:2: [plan] rate: is not a rate such as \"1kHz\""},
      {"rate = \"1kHz\"", "", "[plan] rate: is missing"},
      {"100Gbit/s", "100Gbit", "x.toml:7: [[plan.stream]] link: is not a rate such as \"100Gbit/s\""},
      {"2MB", "0", "[[plan.stream]] frame: must be more than 0"},
      {"cores = 4", "core = 4", "[[plan.nodes]] core: unknown key; known are"},
      {"cores = 4", "core = 4", "[[plan.nodes]] cores: is missing"},
      {"[\"all\"]", "[\"worker\"]", "none has the role ingester; add it to roles"},
      {"[\"all\"]", "[\"cook\"]", "'cook' is no role"},
      {"[plan]", "[plann]\n[plan]", "x.toml:1: [plann]: unknown section"},
      {"analysis = \"50us\"", "map = 'absent.json'", "x.toml:3: [plan] map: absent.json: cannot be read"},
      {"analysis = \"50us\"", "benchmarks = 'absent.json'", "[plan] benchmarks: absent.json: cannot be read"},
      {"link = \"100Gbit/s\"", "nodes = 'cellar'", "names none that ingest"},
  };
  for (auto& c : cases) {
    auto text = sound;
    text.replace(text.find(c.from), c.from.size(), c.to);
    EXPECT_THAT(fault_of(text), HasSubstr(c.fault));
  }
  EXPECT_THAT(fault_of("[worker]\ncount = 2\n"), HasSubstr("[plan]: is missing"));
  EXPECT_THAT(fault_of("[plan\n"), HasSubstr("x.toml:1"));
}

TEST(plan_setup, the_examples_are_sound_and_answered) {
  for (auto name : {"plan.toml", "plan-10-nodes.toml", "plan-64-nodes.toml"}) {
    auto setup = read_plan(std::filesystem::path(DTRANSPOSE_SOURCE_DIR) / "config" / name);
    auto answer = answer_of(setup, {.stall = 2, .simulate = 0.2});
    EXPECT_THAT(text_of_answer(answer), HasSubstr("keep")) << name;
    EXPECT_TRUE(answer["stall"].contains("streams")) << name;
  }
}

} // namespace
} // namespace dtranspose
