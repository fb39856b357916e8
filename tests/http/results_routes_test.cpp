#include "http/results_routes.hpp"

#include <cstring>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dtranspose {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

using query = results_request::query_map;

value counted(std::vector<std::size_t> shape) {
  std::vector<std::uint32_t> all(
      std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>()));
  std::iota(all.begin(), all.end(), 0);
  return array::of(std::span<const std::uint32_t>(all), std::move(shape));
}

class results_routes : public testing::Test {
 protected:
  results_routes() {
    store.publish("old", 5, 2, true, value_map{{"x", 1}});
    store.publish("scan", 10, 0, false, value_map{{"image", counted({1, 1})}});
    store.publish("scan", 11.5, 40, false,
                  value_map{{"image", counted({4, 6})},
                            {"image_attrs",
                             value_map{{"units", "counts"}, {"large", array::of(std::vector<double>(5000))}}},
                            {"stack", counted({2, 3, 2, 2})},
                            {"curve", counted({100})},
                            {"map", value_map{{"Fe", 0.5}}},
                            {"text", "short"},
                            {"long", std::string(2000, 'x')},
                            {"flag", false},
                            {"texts", value_list{"a", "b"}},
                            {"bytes", value_bytes{std::byte(1)}},
                            {"empty", value_list{}},
                            {"nan", std::numeric_limits<double>::quiet_NaN()}});
  }

  results_answer ask(const std::string& path, query q = {}) {
    return answer_results(store, {.path = "/api/v1/" + path, .query = std::move(q)});
  }
  json get(const std::string& path, query q = {}) {
    auto answer = ask(path, std::move(q));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body, nullptr, false);
  }
  std::vector<float> view(query q) {
    seen = ask("view", std::move(q));
    EXPECT_EQ(seen.status, 200) << seen.body;
    EXPECT_EQ(seen.type, "application/octet-stream");
    std::vector<float> pixels(seen.body.size() / sizeof(float));
    std::memcpy(pixels.data(), seen.body.data(), seen.body.size());
    return pixels;
  }
  std::string header(const std::string& name) {
    for (auto& [key, text] : seen.headers)
      if (key == name) return text;
    return "none";
  }
  void expect_error(const results_answer& answer, int status, const std::string& text) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_THAT(json::parse(answer.body).at("detail").get<std::string>(), HasSubstr(text));
  }

  snapshot_store store;
  results_answer seen;
};

TEST_F(results_routes, status) { EXPECT_EQ(ask("status").body, "true"); }

TEST_F(results_routes, snapshots) {
  EXPECT_EQ(get("snapshots"), json::parse(R"({"scan":"scan","scans":[
      {"scan":"scan","latest":2,"finished":false},{"scan":"old","latest":1,"finished":true}],
      "latest":2,"finished":false,
      "snapshots":[{"number":1,"seconds":10.0,"results":0},{"number":2,"seconds":11.5,"results":40}]})"));
  auto old = get("snapshots", {{"scan", "old"}});
  EXPECT_EQ(old["scan"], "old");
  EXPECT_EQ(old["finished"], true);
  EXPECT_EQ(old["snapshots"].size(), 1u);
}

TEST_F(results_routes, before_the_first_scan) {
  const snapshot_store none;
  auto get = [&](const std::string& path) { return answer_results(none, {.path = "/api/v1/" + path}); };
  EXPECT_EQ(json::parse(get("snapshots").body),
            json::parse(R"({"scan":null,"scans":[],"latest":0,"finished":false,"snapshots":[]})"));
  EXPECT_EQ(json::parse(get("tree").body),
            json::parse(R"({"scan":null,"snapshot":0,"results":0,"finished":false,"items":[]})"));
  EXPECT_EQ(answer_results(none, {.path = "/api/v1/view", .query = {{"path", "/x"}}}).status, 404);
  EXPECT_EQ(answer_results(none, {.path = "/api/v1/tree", .query = {{"snapshot", "1"}}}).status, 404);
}

TEST_F(results_routes, tree) {
  auto tree = get("tree");
  EXPECT_EQ(tree["scan"], "scan");
  EXPECT_EQ(tree["snapshot"], 2);
  EXPECT_EQ(tree["results"], 40);
  EXPECT_EQ(tree["finished"], false);
  std::map<std::string, json> items;
  std::vector<std::string> order;
  for (auto& item : tree["items"]) {
    order.push_back(item["path"]);
    items[order.back()] = item;
  }
  EXPECT_THAT(order, ElementsAre("/image", "/stack", "/curve", "/map", "/map/Fe", "/text", "/long", "/flag",
                                 "/texts", "/bytes", "/empty", "/nan"));
  EXPECT_EQ(items["/image"], json::parse(R"({"path":"/image","kind":"array","dtype":"uint32","shape":[4,6],
                                             "attributes":{"units":"counts"}})"))
      << "what is large is not listed";
  EXPECT_EQ(items["/map"], json::parse(R"({"path":"/map","kind":"group","attributes":{}})"));
  EXPECT_EQ(items["/map/Fe"], json::parse(R"({"path":"/map/Fe","kind":"number","dtype":"float64","shape":[],
                                              "attributes":{},"value":0.5})"));
  EXPECT_EQ(items["/text"]["value"], "short");
  EXPECT_FALSE(items["/long"].contains("value"));
  EXPECT_EQ(items["/flag"]["kind"], "bool");
  EXPECT_EQ(items["/flag"]["value"], false);
  EXPECT_EQ(items["/texts"]["kind"], "array");
  EXPECT_EQ(items["/texts"]["dtype"], "text");
  EXPECT_EQ(items["/bytes"]["kind"], "bytes");
  EXPECT_TRUE(items["/nan"]["value"].is_null());
}

TEST_F(results_routes, another_scan_or_snapshot) {
  EXPECT_EQ(get("tree", {{"scan", "old"}})["items"][0]["path"], "/x");
  EXPECT_EQ(get("tree", {{"snapshot", "1"}})["items"].size(), 1u);
  EXPECT_EQ(get("tree", {{"scan", "scan"}, {"snapshot", "1"}})["snapshot"], 1);
  view({{"path", "/image"}, {"snapshot", "1"}});
  EXPECT_EQ(header("X-Snapshot"), "1");
  EXPECT_EQ(header("X-Shape"), "1,1");
  for (auto path : {"tree", "snapshots", "view", "value"}) {
    expect_error(ask(path, {{"scan", "none"}, {"path", "/image"}}), 404, "scan 'none' is not kept");
    expect_error(ask(path, {{"snapshot", "9"}, {"path", "/image"}}), 404, "snapshot 9 of scan scan");
    expect_error(ask(path, {{"snapshot", "-1"}, {"path", "/image"}}), 400, "snapshot: '-1'");
  }
}

TEST_F(results_routes, view_of_all) {
  EXPECT_EQ(view({{"path", "/image"}}).size(), 24u);
  EXPECT_EQ(header("X-Scan"), "scan");
  EXPECT_EQ(header("X-Snapshot"), "2");
  EXPECT_EQ(header("X-Shape"), "4,6");
  EXPECT_EQ(header("X-Full-Shape"), "4,6");
  EXPECT_EQ(header("X-Rows"), "0:4");
  EXPECT_EQ(header("X-Columns"), "0:6");
  EXPECT_EQ(header("X-Range"), "0,23");
  for (auto& [name, text] : seen.headers) EXPECT_THAT(results_headers, HasSubstr(name));
}

TEST_F(results_routes, view_of_a_window_with_fewer_pixels) {
  EXPECT_THAT(view({{"path", "/image"}, {"rows", "1:3"}, {"columns", "2:"}, {"width", "2"}, {"height", "1"}}),
              ElementsAre(11.5, 13.5));
  EXPECT_EQ(header("X-Shape"), "1,2");
  EXPECT_EQ(header("X-Full-Shape"), "4,6");
  EXPECT_EQ(header("X-Rows"), "1:3");
  EXPECT_EQ(header("X-Columns"), "2:6");
  EXPECT_EQ(header("X-Range"), "8,17");
  EXPECT_THAT(view({{"path", "/image"}, {"width", "1"}, {"height", "1"}, {"reduce", "max"}}),
              ElementsAre(23));
  EXPECT_THAT(view({{"path", "/image"}, {"width", "1"}, {"height", "1"}, {"reduce", "nearest"}}),
              ElementsAre(15));
  EXPECT_EQ(view({{"path", "/image"}, {"rows", ":100"}}).size(), 24u)
      << "an end beyond the extent is the extent";
}

TEST_F(results_routes, view_of_a_plane) {
  EXPECT_THAT(view({{"path", "/stack"}}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(view({{"path", "/stack"}, {"index", "1,2"}}), ElementsAre(20, 21, 22, 23));
  EXPECT_EQ(header("X-Full-Shape"), "2,3,2,2");
  expect_error(ask("view", {{"path", "/stack"}, {"index", "1"}}), 400, "index: 1 numbers for 2");
  expect_error(ask("view", {{"path", "/stack"}, {"index", "1,3"}}), 400,
               "index: there is no 3 in dimension 1");
  expect_error(ask("view", {{"path", "/stack"}, {"index", "1,x"}}), 400, "index: 'x'");
  expect_error(ask("view", {{"path", "/stack"}, {"index", "1,"}}), 400, "index: ends with a comma");
}

TEST_F(results_routes, view_of_a_curve) {
  EXPECT_THAT(view({{"path", "/curve"}, {"width", "2"}}), ElementsAre(24.5, 74.5, 0, 50, 49, 99));
  EXPECT_EQ(header("X-Shape"), "3,2");
  EXPECT_EQ(header("X-Full-Shape"), "100");
  EXPECT_EQ(header("X-Rows"), "0:1");
  EXPECT_EQ(header("X-Columns"), "0:100");
  EXPECT_THAT(view({{"path", "/curve"}, {"columns", "10:12"}}), ElementsAre(10, 11, 10, 11, 10, 11));
}

TEST_F(results_routes, view_says_what_is_wrong) {
  expect_error(ask("view"), 400, "path: say of which result");
  expect_error(ask("view", {{"path", "/none"}}), 404, "path: there is no '/none'");
  for (auto path : {"/map", "/map/Fe", "/text", "/texts"})
    expect_error(ask("view", {{"path", path}}), 400, "is no array of numbers");
  expect_error(ask("view", {{"path", "/empty"}}), 400, "is empty");
  auto wrong = [&](const char* name, const char* text) {
    expect_error(ask("view", {{"path", "/image"}, {name, text}}), 400, std::string(name) + ": ");
  };
  wrong("rows", "3");
  wrong("rows", "2:2");
  wrong("rows", "4:");
  wrong("columns", "a:b");
  wrong("columns", "-1:3");
  wrong("width", "0");
  wrong("height", "4097");
  wrong("height", "ten");
  wrong("reduce", "median");
}

TEST_F(results_routes, single_values) {
  EXPECT_EQ(get("value", {{"path", "/image"}, {"at", "2,3"}}), json::parse(R"({"value":15,"snapshot":2})"));
  EXPECT_EQ(get("value", {{"path", "/map/Fe"}})["value"], 0.5);
  EXPECT_EQ(get("value", {{"path", "/text"}})["value"], "short");
  EXPECT_EQ(get("value", {{"path", "/flag"}})["value"], false);
  EXPECT_EQ(get("value", {{"path", "/texts"}, {"at", "1"}})["value"], "b");
  EXPECT_EQ(get("value", {{"path", "/bytes"}, {"at", "0"}})["value"], 1);
  EXPECT_EQ(ask("value", {{"path", "/nan"}}).body, R"({"value":null,"snapshot":2})");
  expect_error(ask("value", {{"path", "/image"}, {"at", "2"}}), 400, "at: 1 numbers for 2 dimensions");
  expect_error(ask("value", {{"path", "/image"}}), 400, "at: 0 numbers");
  expect_error(ask("value", {{"path", "/image"}, {"at", "4,0"}}), 400, "at: there is no 4 in dimension 0");
  expect_error(ask("value", {{"path", "/image"}, {"at", "1,-1"}}), 400, "at: '-1'");
  expect_error(ask("value", {{"path", "/map"}}), 400, "is a group");
  expect_error(ask("value", {{"path", "/none"}}), 404, "there is no '/none'");
}

TEST_F(results_routes, exact_digits) {
  store.publish("scan", 12, 41, true, value_map{{"x", array::of(std::vector<std::uint64_t>{~0ull})}});
  EXPECT_EQ(ask("value", {{"path", "/x"}, {"at", "0"}}).body,
            R"({"value":18446744073709551615,"snapshot":3})");
}

TEST_F(results_routes, others_and_other_methods) {
  expect_error(ask("nonsense"), 404, "Not Found");
  expect_error(answer_results(store, {.path = "/api/v1"}), 404, "Not Found");
  auto answer = answer_results(store, {.method = "POST", .path = "/api/v1/tree"});
  expect_error(answer, 405, "Method Not Allowed");
  EXPECT_THAT(answer.headers, UnorderedElementsAre(Pair("Allow", "GET")));
  EXPECT_EQ(results_methods("/api/v1/events"), "GET");
}

TEST_F(results_routes, events) {
  EXPECT_EQ(
      event_text(*store.latest()),
      "event: snapshot\ndata: {\"scan\":\"scan\",\"snapshot\":2,\"results\":40,\"finished\":false}\n\n");
  auto rate = [](const char* text) { return event_rate({.query = {{"rate", text}}}); };
  EXPECT_EQ(event_rate({}), 10);
  EXPECT_EQ(rate("1"), 1);
  EXPECT_EQ(rate("50"), 50);
  for (auto text : {"0", "51", "fast", "2.5", "-1"}) EXPECT_THROW(rate(text), results_error) << text;
}

} // namespace
} // namespace dtranspose
