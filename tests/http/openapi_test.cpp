#include "http/openapi.hpp"

#include <algorithm>
#include <cctype>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "http/control_server.hpp"
#include "http/page.hpp"
#include "http/route_table.hpp"

namespace dtranspose {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

/// One operation of a description.
struct operation {
  route_name route;
  json content;
  json common; ///< parameters of all operations of the path
};

bool is_of_page(const operation& o) { return o.content.contains("tags") && o.content["tags"][0] == "page"; }

std::vector<operation> operations_of(const json& description) {
  std::vector<operation> all;
  for (auto& [path, item] : description["paths"].items())
    for (auto method : {"get", "post", "put", "patch", "delete"}) {
      if (!item.contains(method)) continue;
      std::string capitals = method;
      std::ranges::transform(capitals, capitals.begin(), [](char c) { return std::toupper(c); });
      all.push_back(
          {{capitals, path, item[method]["x-scope"]}, item[method], item.value("parameters", json::array())});
    }
  return all;
}

std::vector<route_name> routes_of(const std::vector<operation>& operations) {
  std::vector<route_name> routes;
  for (auto& o : operations) routes.push_back(o.route);
  return routes;
}

/// `{name}` and so on.
std::set<std::string> places_in(const std::string& path) {
  std::set<std::string> places;
  for (std::size_t at = 0; (at = path.find('{', at)) != path.npos; ++at)
    places.insert(path.substr(at + 1, path.find('}', at) - at - 1));
  return places;
}

void for_each_reference(const json& content, const std::function<void(const std::string&)>& visit) {
  if (content.is_object() && content.contains("$ref")) visit(content["$ref"]);
  if (content.is_structured())
    for (auto& inner : content) for_each_reference(inner, visit);
}

class openapi : public testing::TestWithParam<std::string_view (*)()> {
 protected:
  json description = json::parse(GetParam()());
  std::vector<operation> operations = operations_of(description);
};

TEST_P(openapi, is_of_that_form) {
  EXPECT_EQ(description["openapi"], "3.1.0");
  for (auto key : {"title", "version"}) EXPECT_TRUE(description["info"][key].is_string());
  std::set<std::string> ids;
  for (auto& o : operations) {
    EXPECT_TRUE(ids.insert(o.content["operationId"]).second) << o.route.path;
    EXPECT_FALSE(o.content["summary"].get<std::string>().empty()) << o.route.path;
  }
}

TEST_P(openapi, every_reference_leads_somewhere) {
  std::set<std::string> used;
  for_each_reference(description, [&](const std::string& reference) {
    ASSERT_EQ(reference.substr(0, 2), "#/") << reference;
    EXPECT_TRUE(description.contains(json::json_pointer(reference.substr(1)))) << reference;
    used.insert(reference);
  });
  for (auto kind : {"schemas", "responses"})
    for (auto& [name, content] : description["components"][kind].items())
      EXPECT_THAT(used, Contains("#/components/" + std::string(kind) + "/" + name));
}

TEST_P(openapi, describes_the_places_in_paths) {
  for (auto& o : operations) {
    std::set<std::string> described;
    for (auto& list : {o.common, o.content.value("parameters", json::array())})
      for (auto& parameter : list) {
        EXPECT_TRUE(parameter.contains("schema") && parameter.contains("example"))
            << o.route.path << parameter;
        if (parameter["in"] != "path") continue;
        EXPECT_EQ(parameter["required"], true);
        described.insert(parameter["name"]);
      }
    EXPECT_EQ(described, places_in(o.route.path)) << o.route.path;
  }
}

TEST_P(openapi, describes_answers_errors_and_bodies) {
  for (auto& o : operations) {
    auto& answers = o.content["responses"];
    SCOPED_TRACE(o.route.method + " " + o.route.path);
    EXPECT_TRUE(answers["200"].contains("content"));
    for (auto status : {"400", "401", "408", "429", "431", "500"})
      EXPECT_TRUE(is_of_page(o) || answers.contains(status)) << status;
    EXPECT_EQ(answers.contains("403"), o.route.scope == "control");
    bool posts = o.route.method == "POST";
    EXPECT_EQ(o.content.contains("requestBody"),
              posts && o.route.path != "/api/v1/stop" && o.route.path != "/api/v1/analysis/reload");
    EXPECT_TRUE(!posts || answers.contains("413"));
    for (auto& [status, answer] : answers.items()) {
      auto& whole = answer.contains("$ref")
                        ? description[json::json_pointer(answer["$ref"].get<std::string>().substr(1))]
                        : answer;
      EXPECT_TRUE(whole.contains("description")) << status;
      if (status < "400" || status == "503" || status == "404") continue;
      EXPECT_EQ(whole["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Error")
          << status;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(both, openapi, testing::Values(control_description, results_description),
                         [](auto& info) { return info.index == 0 ? "control" : "results"; });

TEST(openapi_of_control, has_the_routes_of_the_server) {
  auto operations = operations_of(json::parse(control_description()));
  std::vector<std::string> files;
  for (auto& o : operations)
    if (is_of_page(o) && o.route.path != "/") files.push_back(o.route.path);
  std::erase_if(operations, [](auto& o) { return is_of_page(o) && o.route.path != "/"; });
  EXPECT_THAT(routes_of(operations), UnorderedElementsAreArray(control_routes()));
  for (auto& file : built_page_files())
    EXPECT_TRUE(file.path == "/" || std::ranges::find(files, file.path) != files.end()) << file.path;
  EXPECT_TRUE(built_page_files().empty() || files.size() + 1 == built_page_files().size());
}

TEST(openapi_of_results, has_the_routes_of_the_server) {
  EXPECT_THAT(routes_of(operations_of(json::parse(results_description()))),
              UnorderedElementsAreArray(results_routes()));
}

TEST(openapi_of_control, names_the_levels_of_logs) {
  auto description = json::parse(control_description());
  auto& levels = description["paths"]["/api/v1/logs"]["get"]["parameters"][0]["schema"]["enum"];
  EXPECT_EQ(levels, json(std::vector<std::string>(std::begin(log_levels), std::end(log_levels))));
}

} // namespace
} // namespace dtranspose
