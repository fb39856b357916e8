#include "http/scan_hook.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace dtranspose {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::vector<std::string> there{"det", "aux", "gr\"oss"};

TEST(scan_hook, makes_a_point_of_each_event) {
  auto made = scan_hook::parse(
      R"({"streams":["aux","nope","det"],"scan":{"nb_points":3,"title":"ascan","point":null}})", there);
  EXPECT_EQ(made.refusal + made.fault, "");
  auto slots = json::parse(R"([[{"constraint":0}],[{"constraint":1}],[{"constraint":2}]])");
  EXPECT_EQ(json::parse(made.sequence),
            (json{{"parts", {{"sardana", {{"det", slots}, {"aux", slots}}}}}, {"sequence", {"sardana"}}}));
}

TEST(scan_hook, of_no_points_and_of_odd_names) {
  auto made = scan_hook::parse(R"({"streams":["gr\"oss"],"scan":{"nb_points":0}})", there);
  EXPECT_EQ(json::parse(made.sequence)["parts"]["sardana"]["gr\"oss"], json::array());
}

TEST(scan_hook, says_what_is_missing_as_macros_expect) {
  auto refusal = [](const char* body) {
    auto made = scan_hook::parse(body, there);
    EXPECT_EQ(made.sequence + made.fault, "") << body;
    return made.refusal;
  };
  EXPECT_EQ(refusal("{}"), "no scan info");
  EXPECT_EQ(refusal(R"({"streams":["det"],"scan":null})"), "no scan info");
  EXPECT_EQ(refusal(R"({"streams":["det"],"scan":{}})"), "no nb_points in scan");
  EXPECT_EQ(refusal(R"({"scan":{"nb_points":3}})"), "streams required");
  EXPECT_EQ(refusal(R"({"streams":["nope"],"scan":{"nb_points":3}})"), "none of these streams is there");
}

TEST(scan_hook, takes_nothing_else) {
  auto fault = [](const std::string& body) {
    auto made = scan_hook::parse(body, there);
    EXPECT_EQ(made.sequence + made.refusal, "") << body;
    return made.fault;
  };
  for (auto body : {"", "[]", "3", "{", "null", "\xff"})
    EXPECT_THAT(fault(body), HasSubstr("no JSON object"));
  EXPECT_THAT(fault(std::string(100'000, '[')), HasSubstr("no JSON object"));
  EXPECT_THAT(fault(R"({"stream":["det"]})"), HasSubstr("'stream'"));
  EXPECT_THAT(fault(R"({"scan":[]})"), HasSubstr("scan"));
  EXPECT_THAT(fault(R"({"streams":"det"})"), HasSubstr("streams"));
  EXPECT_THAT(fault(R"({"streams":[3],"scan":{"nb_points":3}})"), HasSubstr("streams"));
  for (auto points : {"-1", "1.5", "\"3\"", "1000001", "1e300", "[]", "true"})
    EXPECT_THAT(fault(R"({"streams":["det"],"scan":{"nb_points":)" + std::string(points) + "}}"),
                HasSubstr("nb_points"));
}

} // namespace
} // namespace dtranspose
