#include "http/hdf_rest.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dtranspose {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

value image() {
  const std::vector<std::uint16_t> pixels{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23};
  return array::of(std::span<const std::uint16_t>(pixels), {3, 4});
}

class hdf_rest : public testing::Test {
 protected:
  hdf_rest() {
    store.publish("first", 1, 0, true, value_map{{"old", 1}});
    store.publish("scan", 2, 3, false,
                  value_map{{"_attrs", value_map{{"NX_class", "NXroot"}, {"default", "entry"}}},
                            {"live", 34},
                            {"image", image()},
                            {"image_attrs", value_map{{"units", "counts"}, {"axes", value_list{"y", "x"}}}},
                            {"entry", value_map{{"data", value_map{{"frame", 1.5}}}}},
                            {"flag", true},
                            {"text", "gr\xc3\xbc\xc3\x9f dich"},
                            {"texts", value_list{"I", "q", "r"}},
                            {"odd", array::of(std::vector<double>{1.5, nan, -INFINITY})},
                            {"a b", 1},
                            {"bytes", value_bytes{std::byte(7), std::byte(8)}},
                            {"empty", value_list{}}});
  }

  results_answer ask(const std::string& path, results_request::query_map query = {},
                     const std::string& accept = "*/*") {
    query.emplace("domain", "/");
    return answer_results(store, {.path = path, .query = std::move(query), .accept = accept});
  }
  json get(const std::string& path, results_request::query_map query = {}) {
    auto answer = ask(path, std::move(query));
    EXPECT_EQ(answer.status, 200) << path << ": " << answer.body;
    EXPECT_EQ(answer.type, "application/json");
    return json::parse(answer.body, nullptr, false);
  }
  std::string id(const std::string& path) {
    auto object = store.latest()->objects().find(path);
    return object ? (object->is_group() ? "g-" : "d-") + object->id : "d-none";
  }
  std::string group(const std::string& path, const std::string& part = "") {
    return "/groups/" + id(path) + part;
  }
  std::string dataset(const std::string& path, const std::string& part = "") {
    return "/datasets/" + id(path) + part;
  }

  /// The values of a data set in binary.
  template <class T>
  std::vector<T> binary(const std::string& path, const std::string& select = "") {
    results_request::query_map query{{"nonstrict", "1"}};
    if (!select.empty()) query.emplace("select", select);
    return elements<T>(ask(dataset(path, "/value"), query, "application/octet-stream"));
  }
  template <class T>
  std::vector<T> elements(const results_answer& answer) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.type, "application/octet-stream");
    std::vector<T> list(answer.bytes().size() / sizeof(T));
    std::memcpy(list.data(), answer.bytes().data(), list.size() * sizeof(T));
    return list;
  }
  json values(const std::string& path, const std::string& select = "") {
    return get(dataset(path, "/value"), {{"select", select}}).at("value");
  }
  results_answer post(const std::string& path, const std::string& body, const std::string& type,
                      const std::string& accept = "application/octet-stream") {
    return answer_results(store, {.method = "POST",
                                  .path = dataset(path, "/value"),
                                  .query = {{"domain", "/"}},
                                  .accept = accept,
                                  .content_type = type,
                                  .body = body});
  }
  void expect_error(const results_answer& answer, int status, const std::string& text) {
    EXPECT_EQ(answer.status, status) << answer.body;
    EXPECT_THAT(json::parse(answer.body).at("detail").get<std::string>(), HasSubstr(text));
  }

  snapshot_store store;
};

TEST_F(hdf_rest, a_file_and_its_root) {
  auto file = get("/", {{"getdnids", "1"}, {"getobjs", "T"}, {"include_attrs", "T"}});
  EXPECT_EQ(file["root"], id("/"));
  EXPECT_EQ(file["class"], "domain");
  EXPECT_TRUE(file["owner"].is_string());
  EXPECT_FALSE(file.contains("domain_objs"));
  EXPECT_TRUE(file["created"].is_number() && file["lastModified"].is_number());

  auto root = get(group("/"), {{"CreateOrder", "0"}});
  EXPECT_EQ(root["id"], id("/"));
  EXPECT_EQ(root["root"], id("/"));
  EXPECT_EQ(root["linkCount"], 10);
  EXPECT_EQ(root["attributeCount"], 2);
  EXPECT_TRUE(root["lastModified"].is_number());
  EXPECT_FALSE(root.contains("links") || root.contains("attributes"));
}

TEST_F(hdf_rest, links_in_the_order_of_the_tree) {
  auto links = get(group("/", "/links"), {{"CreateOrder", "0"}}).at("links");
  std::vector<std::string> titles;
  for (auto& link : links) {
    titles.push_back(link["title"]);
    EXPECT_EQ(link["class"], "H5L_TYPE_HARD");
    EXPECT_EQ(link["collection"], link["title"] == "entry" ? "groups" : "datasets");
    EXPECT_EQ(link["id"], id("/" + titles.back()));
  }
  EXPECT_THAT(titles,
              ElementsAre("live", "image", "entry", "flag", "text", "texts", "odd", "a b", "bytes", "empty"));
  auto link = get(group("/", "/links/entry")).at("link");
  EXPECT_EQ(link["id"], id("/entry"));
  EXPECT_EQ(get("/groups/" + link["id"].get<std::string>() + "/links/data")["link"]["id"], id("/entry/data"));
  EXPECT_EQ(get(group("/", "/links/a%20b")).at("link")["title"], "a b");
  EXPECT_EQ(get(group("/entry/data"))["linkCount"], 1);
}

TEST_F(hdf_rest, attributes) {
  auto list = get(group("/", "/attributes"), {{"CreateOrder", "0"}}).at("attributes");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["name"], "NX_class");
  EXPECT_FALSE(list[0].contains("value"));
  EXPECT_EQ(get(group("/", "/attributes"), {{"IncludeData", "1"}})["attributes"][0]["value"], "NXroot");
  auto one = get(group("/", "/attributes/NX_class"));
  EXPECT_EQ(one["value"], "NXroot");
  EXPECT_EQ(one["shape"]["class"], "H5S_SCALAR");
  EXPECT_EQ(one["type"], json::parse(R"({"class":"H5T_STRING","length":"H5T_VARIABLE",
                                         "charSet":"H5T_CSET_UTF8","strPad":"H5T_STR_NULLTERM"})"));
  auto axes = get(dataset("/image", "/attributes/axes"));
  EXPECT_EQ(axes["value"], json({"y", "x"}));
  EXPECT_EQ(axes["shape"]["dims"], json({2}));
}

TEST_F(hdf_rest, data_sets) {
  auto set = get(dataset("/image"));
  EXPECT_EQ(set["id"], id("/image"));
  EXPECT_EQ(set["shape"], json::parse(R"({"class":"H5S_SIMPLE","dims":[3,4]})"));
  EXPECT_EQ(set["type"], json::parse(R"({"class":"H5T_INTEGER","base":"H5T_STD_U16LE"})"));
  EXPECT_EQ(set["attributeCount"], 2);
  EXPECT_TRUE(set["lastModified"].is_number());
  EXPECT_EQ(set["creationProperties"]["layout"]["class"], "H5D_CONTIGUOUS");
  EXPECT_EQ(get(dataset("/image", "/shape"))["shape"], set["shape"]);
  EXPECT_EQ(get(dataset("/image", "/type"))["type"], set["type"]);
}

TEST_F(hdf_rest, types) {
  auto base = [&](const std::string& path) { return get(dataset(path))["type"]["base"]; };
  EXPECT_EQ(base("/live"), "H5T_STD_I64LE");
  EXPECT_EQ(base("/entry/data/frame"), "H5T_IEEE_F64LE");
  EXPECT_EQ(base("/bytes"), "H5T_STD_U8LE");
  EXPECT_EQ(get(dataset("/live"))["shape"], json::parse(R"({"class":"H5S_SCALAR"})"));
  EXPECT_EQ(get(dataset("/flag"))["type"],
            json::parse(R"({"class":"H5T_ENUM","base":{"class":"H5T_INTEGER","base":"H5T_STD_I8LE"},
                            "mapping":{"FALSE":0,"TRUE":1}})"));
  EXPECT_EQ(get(dataset("/texts"))["type"]["class"], "H5T_STRING");
  EXPECT_EQ(get(dataset("/texts"))["shape"]["dims"], json({3}));
  EXPECT_EQ(get(dataset("/empty"))["shape"]["dims"], json({0}));
  for (auto [type, name] : {std::pair(dtype::int8, "H5T_STD_I8LE"),
                            {dtype::uint32, "H5T_STD_U32LE"},
                            {dtype::float32, "H5T_IEEE_F32LE"},
                            {dtype::uint64, "H5T_STD_U64LE"}}) {
    auto bytes = std::make_shared<std::byte[]>(8);
    store.publish("scan", 3, 3, false, value_map{{"x", array(type, {1}, bytes)}});
    EXPECT_EQ(base("/x"), name);
  }
}

TEST_F(hdf_rest, an_array_of_no_dimension_is_a_scalar) {
  store.publish("scan", 3, 3, false,
                value_map{{"x", array::of(std::span<const double>(std::vector<double>{4.5}), {})}});
  EXPECT_EQ(get(dataset("/x"))["shape"]["class"], "H5S_SCALAR");
  EXPECT_EQ(values("/x"), 4.5);
  EXPECT_THAT(binary<double>("/x"), ElementsAre(4.5));
}

TEST_F(hdf_rest, values_in_binary) {
  EXPECT_THAT(binary<std::int64_t>("/live"), ElementsAre(34));
  EXPECT_THAT(binary<double>("/entry/data/frame"), ElementsAre(1.5));
  EXPECT_THAT(binary<std::int8_t>("/flag"), ElementsAre(1));
  EXPECT_THAT(binary<std::uint16_t>("/image"), ElementsAre(0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23));
  EXPECT_THAT(binary<std::uint16_t>("/image", "[1:3:1,2:3:1]"), ElementsAre(12, 22));
  EXPECT_THAT(binary<std::uint16_t>("/image", "[2:3:1,0:4:1]"), ElementsAre(20, 21, 22, 23));
  EXPECT_THAT(binary<std::uint16_t>("/image", "[0:3:2,1:20]"), ElementsAre(1, 2, 3, 21, 22, 23));
  EXPECT_THAT(binary<std::uint16_t>("/image", "[[0,2],0:2]"), ElementsAre(0, 1, 20, 21));
  EXPECT_THAT(binary<std::uint8_t>("/bytes"), ElementsAre(7, 8));
  EXPECT_THAT(binary<double>("/empty"), IsEmpty());
}

TEST_F(hdf_rest, all_of_an_array_is_not_copied) {
  auto answer = ask(dataset("/image", "/value"), {}, "application/octet-stream");
  EXPECT_EQ(answer.whole.buffer(), store.latest()->tree.find("image")->as_array()->buffer());
}

TEST_F(hdf_rest, values_as_json_have_all_dimensions) {
  EXPECT_EQ(values("/live"), 34);
  EXPECT_EQ(values("/flag"), true);
  EXPECT_EQ(values("/text"), "gr\xc3\xbc\xc3\x9f dich");
  EXPECT_EQ(values("/texts"), json({"I", "q", "r"}));
  EXPECT_EQ(values("/texts", "[1:3]"), json({"q", "r"}));
  EXPECT_EQ(values("/image", "[0,:]"), json::parse("[[0,1,2,3]]"));
  EXPECT_EQ(values("/image", "[1,2]"), json::parse("[[12]]"));
  EXPECT_EQ(values("/image")[2][3], 23);
  EXPECT_EQ(values("/empty"), json::array());
  EXPECT_EQ(ask(dataset("/odd", "/value")).body, R"({"value":[1.5,NaN,-Infinity]})");
}

TEST_F(hdf_rest, only_the_very_type_is_asked_for_in_binary) {
  for (auto accept : {"*/*", "application/json", "text/html,application/octet-stream;q=0.9,*/*"})
    EXPECT_EQ(ask(dataset("/live", "/value"), {}, accept).body, R"({"value":34})");
  for (auto path : {"/text", "/texts"})
    EXPECT_EQ(ask(dataset(path, "/value"), {}, "application/octet-stream").type, "application/json");
}

TEST_F(hdf_rest, long_selections_and_points_are_posted) {
  EXPECT_THAT(elements<std::uint16_t>(
                  post("/image", R"({"select":"[[0,1,2],1:2]","nonstrict":1})", "application/json")),
              ElementsAre(1, 11, 21));
  EXPECT_EQ(post("/image", R"({"select":"[0:1,0:2]"})", "", "*/*").body, R"({"value":[[0,1]]})");
  const std::uint64_t points[] = {2, 3, 0, 1, 1, 0};
  std::string body(reinterpret_cast<const char*>(points), sizeof points);
  EXPECT_THAT(elements<std::uint16_t>(post("/image", body, "application/octet-stream")),
              ElementsAre(23, 1, 10));
  EXPECT_EQ(post("/image", body, "application/octet-stream", "*/*").body, R"({"value":[23,1,10]})");
  expect_error(post("/image", "{", "application/json"), 400, "neither JSON");
  expect_error(post("/image", R"({"select":3})", "application/json"), 400, "select: no text");
  expect_error(post("/image", "123", "application/octet-stream"), 400, "points: 3 bytes");
  expect_error(post("/live", body, "application/octet-stream"), 400, "arrays of numbers");
}

TEST_F(hdf_rest, what_clients_of_h5json_ask) {
  EXPECT_TRUE(get("/about")["hsds_version"].is_string());
  auto root = get(group("/"), {{"include_attrs", "1"}, {"include_links", "1"}});
  EXPECT_EQ(root["attributes"]["NX_class"]["value"], "NXroot");
  EXPECT_EQ(root["links"]["image"]["id"], id("/image"));
  EXPECT_EQ(root["links"]["image"]["class"], "H5L_TYPE_HARD");
  auto set = get(dataset("/image"), {{"include_attrs", "1"}, {"include_links", "1"}});
  EXPECT_EQ(set["attributes"]["units"]["value"], "counts");
  EXPECT_EQ(id("/image").size(), 38u) << "they take no other ids";
}

TEST_F(hdf_rest, faults) {
  expect_error(ask("/groups/g-nonsense"), 404, "Group not found");
  expect_error(ask("/groups/" + id("/image")), 404, "Group not found");
  expect_error(ask("/datasets/" + id("/entry")), 404, "Dataset not found");
  expect_error(ask("/datasets/d-nonsense/value"), 404, "Dataset not found");
  expect_error(ask(group("/", "/links/x")), 404, "Link not found");
  expect_error(ask(group("/", "/attributes/x")), 404, "Attribute not found");
  expect_error(ask(dataset("/image", "/value"), {{"select", "[0:1]"}}), 400, "1 items for 2 dimensions");
  expect_error(ask(dataset("/image", "/value"), {{"select", "[3:4,:]"}}), 400, "dimension 0");
  expect_error(ask(dataset("/image", "/value"), {{"fields", "a:b"}}), 400, "fields");
  expect_error(ask(dataset("/image", "/value"), {{"query", "a > 3"}}), 400, "query");
  for (auto path : {"/nonsense", "/groups", "/groups/", "/datasets/x/nonsense", "/groups/x/value", "/acls/me",
                    "/groups/x/y/z", "", "datasets"})
    expect_error(ask(path), 404, "Not Found");
}

TEST_F(hdf_rest, other_methods) {
  auto answer = answer_results(store, {.method = "PUT", .path = "/"});
  expect_error(answer, 405, "Method Not Allowed");
  EXPECT_THAT(answer.headers, ElementsAre(std::pair("Allow", "GET")));
  answer = answer_results(store, {.method = "POST", .path = dataset("/image", "/shape")});
  expect_error(answer, 405, "Method Not Allowed");
  answer = answer_results(store, {.method = "DELETE", .path = dataset("/image", "/value")});
  EXPECT_THAT(answer.headers, ElementsAre(std::pair("Allow", "GET, POST")));
}

TEST_F(hdf_rest, the_domain_chooses_scan_and_snapshot) {
  store.publish("scan", 3, 4, false, value_map{{"live", 35}});
  auto live = [&](const std::string& domain) {
    auto answer = answer_results(store, {.path = dataset("/live", "/value"), .query = {{"domain", domain}}});
    return answer.status == 200 ? answer.body : std::to_string(answer.status);
  };
  EXPECT_EQ(live("/"), R"({"value":35})");
  EXPECT_EQ(live(""), R"({"value":35})");
  EXPECT_EQ(live("/scan"), R"({"value":35})");
  EXPECT_EQ(live("/scan/"), R"({"value":35})");
  EXPECT_EQ(live("/scan/1"), R"({"value":34})");
  EXPECT_EQ(live("/scan/7"), "404");
  EXPECT_EQ(live("/scan/x"), "400");
  EXPECT_EQ(live("/other"), "404");
  EXPECT_EQ(live("/first"), "404") << "has no such data set";
  auto by_header = answer_results(store, {.path = "/groups/" + id("/") + "/links/old", .domain = "/first"});
  EXPECT_EQ(by_header.status, 200);
  auto named = answer_results(
      store, {.path = dataset("/live", "/value"), .query = {{"domain", "/"}, {"snapshot", "1"}}});
  EXPECT_EQ(named.body, R"({"value":34})");
}

TEST_F(hdf_rest, before_the_first_scan_the_file_is_empty) {
  const snapshot_store none;
  auto file = answer_results(none, {.path = "/", .query = {{"domain", "/"}}});
  ASSERT_EQ(file.status, 200);
  auto root = json::parse(file.body)["root"].get<std::string>();
  auto group = answer_results(none, {.path = "/groups/" + root});
  EXPECT_EQ(json::parse(group.body)["linkCount"], 0);
  EXPECT_EQ(answer_results(none, {.path = "/groups/" + root + "/links"}).body, R"({"links":[]})");
  EXPECT_EQ(answer_results(none, {.path = "/", .query = {{"domain", "/x"}}}).status, 404);
}

TEST_F(hdf_rest, too_much_for_json_is_refused) {
  auto n = (std::size_t{1} << 24) + 1;
  store.publish("scan", 3, 4, false,
                value_map{{"x", array(dtype::uint8, {n}, std::make_shared<std::byte[]>(n))}});
  expect_error(ask(dataset("/x", "/value")), 413, "as JSON");
  EXPECT_EQ(ask(dataset("/x", "/value"), {}, "application/octet-stream").bytes().size(), n);
  EXPECT_EQ(ask(dataset("/x", "/value"), {{"select", "[0:2]"}}).body, R"({"value":[0,0]})");
}

/// h5web walks all objects and reads what the counts say is there.
TEST_F(hdf_rest, h5web_finds_everything) {
  auto file = get("/");
  std::vector<std::string> found;
  std::function<void(const std::string&, const std::string&)> walk = [&](auto& object, auto& collection) {
    auto base = "/" + collection + "/" + object;
    auto meta = get(base);
    if (meta["attributeCount"] > 0) {
      auto list = get(base + "/attributes")["attributes"];
      EXPECT_EQ(list.size(), meta["attributeCount"]);
      for (auto& a : list)
        EXPECT_TRUE(get(base + "/attributes/" + a["name"].template get<std::string>()).contains("value"));
    }
    if (collection != "groups") return;
    if (meta["linkCount"] == 0) return;
    auto links = get(base + "/links")["links"];
    EXPECT_EQ(links.size(), meta["linkCount"]);
    for (auto& link : links) {
      found.push_back(link["title"]);
      walk(link["id"], link["collection"]);
    }
  };
  walk(file["root"], "groups");
  EXPECT_THAT(found, ElementsAre("live", "image", "entry", "data", "frame", "flag", "text", "texts", "odd",
                                 "a b", "bytes", "empty"));
}

TEST(percent_decoded, once) {
  EXPECT_EQ(percent_decoded("a%20b%2Bc+d"), "a b+c+d");
  EXPECT_EQ(percent_decoded("%2520"), "%20");
  EXPECT_EQ(percent_decoded("100%"), "100%");
  EXPECT_EQ(percent_decoded("%zz%4"), "%zz%4");
  EXPECT_EQ(percent_decoded("gr%C3%BC%c3%9f"), "gr\xc3\xbc\xc3\x9f");
}

} // namespace
} // namespace dtranspose
