#include "http/results_server.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "http/access_tokens.hpp"
#include "http/await.hpp"
#include "http/certificate.hpp"
#include "http/raw_client.hpp"
#include "http/route_table.hpp"
#include "output/result_tree.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::await;
using test::patience;
using test::raw_client;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

value zeros(std::size_t bytes) { return array(dtype::uint8, {bytes}, std::make_shared<std::byte[]>(bytes)); }

/// Nothing that packing makes smaller.
value noise(std::size_t elements) {
  std::vector<std::uint64_t> all(elements);
  std::uint64_t x = 1;
  for (auto& element : all) element = x = x * 6364136223846793005u + 1442695040888963407u;
  return array::of(all);
}

class results_server_test : public testing::Test {
 protected:
  results_server_test() { publish(value_map{{"live", 34}}); }

  void start(results_limits limits = {}, http_protection protection = {}) {
    server = std::make_unique<results_server>("127.0.0.1", 0, store, std::move(protection), limits);
    server->start();
  }

  void publish(value tree, bool finished = false, const std::string& scan = "scan") {
    ++published;
    store->publish(scan, static_cast<double>(published), published, finished, tree);
  }

  httplib::Result get(const std::string& path, httplib::Headers headers = {}) {
    httplib::Client client("127.0.0.1", server->port());
    client.set_read_timeout(patience);
    return client.Get(path, headers);
  }
  std::string values(const std::string& path) { return "/datasets/d-" + result_id(path) + "/value"; }

  std::shared_ptr<snapshot_store> store = std::make_shared<snapshot_store>();
  std::unique_ptr<results_server> server;
  std::uint64_t published = 0;
};

constexpr auto binary = "application/octet-stream";

/// Reads a stream of events in a thread of its own.
class event_reader {
 public:
  explicit event_reader(std::uint16_t port, const std::string& query = "") : client_("127.0.0.1", port) {
    client_.set_read_timeout(patience);
    thread_ = std::thread([this, query] {
      auto answer = client_.Get("/api/v1/events" + query, [this](const char* bytes, size_t n) {
        std::lock_guard lock(mutex_);
        text_.append(bytes, n);
        return !enough_;
      });
      ended_ = true;
    });
  }
  ~event_reader() { leave(); }

  void leave() {
    enough_ = true;
    client_.stop();
    if (thread_.joinable()) thread_.join();
  }

  std::string text() const {
    std::lock_guard lock(mutex_);
    return text_;
  }
  bool has(const std::string& part) const { return text().find(part) != std::string::npos; }
  std::size_t events() const {
    std::size_t n = 0;
    auto all = text();
    for (std::size_t at = 0; (at = all.find("event: snapshot\n", at)) != std::string::npos; ++at) ++n;
    return n;
  }
  bool ended() const { return ended_; }

 private:
  httplib::Client client_;
  mutable std::mutex mutex_;
  std::string text_;
  std::atomic<bool> enough_ = false, ended_ = false;
  std::thread thread_;
};

TEST_F(results_server_test, answers) {
  start();
  auto status = get("/api/v1/status");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->body, "true");
  EXPECT_EQ(status->get_header_value("Content-Type"), "application/json");
  auto live = get(values("/live") + "?domain=%2F", {{"Accept", binary}});
  ASSERT_TRUE(live);
  EXPECT_EQ(live->get_header_value("Content-Type"), binary);
  EXPECT_EQ(live->body, std::string("\x22\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(get("/nothing")->status, 404);
  EXPECT_EQ(get("/nothing")->body, R"({"detail":"Not Found"})");
}

TEST_F(results_server_test, several_requests_on_one_connection) {
  start();
  httplib::Client client("127.0.0.1", server->port());
  client.set_keep_alive(true);
  publish(value_map{{"image", noise(1000)}, {"empty", value_list{}}});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(client.Get("/api/v1/status")->body, "true");
    EXPECT_EQ(client.Get(values("/image"), {{"Accept", binary}})->body.size(), 8000u);
    EXPECT_EQ(client.Get(values("/empty"), {{"Accept", binary}})->status, 200);
    auto head = client.Head(values("/image"), {{"Accept", binary}});
    ASSERT_TRUE(head);
    EXPECT_EQ(head->get_header_value("Content-Length"), "8000");
    EXPECT_EQ(head->body, "");
  }
}

TEST_F(results_server_test, selections_with_all_their_signs) {
  start();
  publish(value_map{{"x", array::of(std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6})}});
  for (auto select : {"[1:5:2]", "%5B1%3A5%3A2%5D"}) {
    auto some = get(values("/x") + "?nonstrict=1&select=" + select + "&domain=%2F", {{"Accept", binary}});
    ASSERT_TRUE(some);
    EXPECT_EQ(some->body, "\x02\x04") << select;
  }
}

TEST_F(results_server_test, posts) {
  start();
  publish(value_map{{"x", array::of(std::vector<std::uint8_t>{1, 2, 3})}});
  httplib::Client client("127.0.0.1", server->port());
  const std::uint64_t places[] = {2, 0};
  auto points = client.Post(values("/x"), {{"Accept", binary}}, reinterpret_cast<const char*>(places),
                            sizeof places, binary);
  ASSERT_TRUE(points);
  EXPECT_EQ(points->body, "\x03\x01");
  auto some = client.Post(values("/x"), R"({"select":"[1:3]"})", "application/json");
  EXPECT_EQ(some->body, R"({"value":[2,3]})");
  auto refused = client.Post("/", "{}", "application/json");
  EXPECT_EQ(refused->status, 405);
  EXPECT_EQ(refused->get_header_value("Allow"), "GET");
}

TEST_F(results_server_test, bodies_are_bounded) {
  start({.body = 1000});
  httplib::Client client("127.0.0.1", server->port());
  EXPECT_EQ(client.Post(values("/live"), std::string(1001, ' '), binary)->status, 413);
}

TEST_F(results_server_test, pages_of_other_origins_may_read) {
  start();
  auto answer = get("/api/v1/view?path=/none", {{"Origin", "https://page.example"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Origin"), "https://page.example");
  EXPECT_THAT(answer->get_header_value("Access-Control-Expose-Headers"),
              AllOf(HasSubstr("X-Shape"), HasSubstr("X-Range"), HasSubstr("X-Snapshot")));
  httplib::Client client("127.0.0.1", server->port());
  client.set_default_headers({{"Origin", "https://page.example"},
                              {"Access-Control-Request-Method", "GET"},
                              {"Access-Control-Request-Headers", "authorization"}});
  auto preflight = client.Options("/groups/x");
  ASSERT_TRUE(preflight);
  EXPECT_EQ(preflight->status, 204);
  EXPECT_THAT(preflight->get_header_value("Access-Control-Allow-Headers"), HasSubstr("authorization"));
}

// --- packing -------------------------------------------------------------------------------------

TEST_F(results_server_test, packs_what_becomes_much_smaller) {
  start();
  publish(value_map{{"zeros", zeros(1 << 20)}, {"noise", noise(1 << 15)}, {"few", zeros(100)}});
  auto ask = [&](const std::string& path, const std::string& accepted) {
    raw_client client(server->port());
    client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: " + binary +
                "\r\nAccept-Encoding: " + accepted + "\r\n\r\n");
    return client.answer();
  };
  auto packed_answer = ask(values("/zeros"), "deflate, gzip");
  EXPECT_THAT(packed_answer, HasSubstr("Content-Encoding: gzip"));
  EXPECT_LT(packed_answer.size(), 20'000u);
  EXPECT_THAT(ask(values("/zeros"), "br").substr(0, 1000), Not(HasSubstr("Content-Encoding")));
  EXPECT_THAT(ask(values("/noise"), "gzip").substr(0, 1000), Not(HasSubstr("Content-Encoding")));
  EXPECT_THAT(ask(values("/few"), "gzip"), Not(HasSubstr("Content-Encoding")));
  auto unpacked = get(values("/zeros"), {{"Accept", binary}, {"Accept-Encoding", "gzip"}});
  ASSERT_TRUE(unpacked);
  EXPECT_EQ(unpacked->body, std::string(1 << 20, '\0'));
}

TEST(packed, only_where_it_pays) {
  EXPECT_EQ(packed(std::string(999, 'x')), "");
  EXPECT_NE(packed(std::string(1000, 'x')), "");
  EXPECT_THAT(packed(std::string(1 << 20, 'x')), StartsWith("\x1f\x8b"));
  std::string late(1 << 20, 'x'); // its beginning decides
  for (std::size_t i = 0; i < 1 << 17; ++i) late[i] = static_cast<char>(i * i * 2654435761u >> 13);
  EXPECT_EQ(packed(late), "");
}

// --- who may -------------------------------------------------------------------------------------

constexpr auto viewer = "viewer-0123456789";

std::shared_ptr<const access_tokens> some_tokens() {
  test::temporary_directory folder;
  auto file = folder / "tokens.toml";
  std::ofstream(file) << "[[token]]\nname = 'page'\nscope = 'view'\nsecret = '" << viewer << "'\n";
  ::chmod(file.c_str(), 0600);
  return std::make_shared<access_tokens>(file);
}

TEST_F(results_server_test, asks_for_tokens) {
  start({}, {.tokens = some_tokens()});
  auto authorization = std::string("Bearer ") + viewer;
  for (auto path : {"/", "/about", "/api/v1/status", "/api/v1/tree", "/nothing"}) {
    auto refused = get(path, {{"Origin", "https://page.example"}});
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 401) << path;
    EXPECT_EQ(refused->get_header_value("Access-Control-Allow-Origin"), "*");
    EXPECT_NE(get(path, {{"Authorization", authorization}})->status, 401) << path;
  }
  EXPECT_EQ(get("/api/v1/events")->status, 401);
  EXPECT_EQ(get("/api/v1/status", {{"Authorization", authorization}})->body, "true");
  httplib::Client client("127.0.0.1", server->port());
  EXPECT_EQ(client.Post(values("/live"), "{}", "application/json")->status, 401);
  EXPECT_EQ(client.Options("/")->status, 204) << "browsers ask without";
}

// --- what holds for every route ------------------------------------------------------------------

/// A path that leads to something in a tree with `live` and an attribute `units` of it and of the root.
std::string path_of(const route_name& route) {
  bool group = route.path.starts_with("/groups");
  auto path = route.path;
  auto put = [&path](std::string_view mark, const std::string& text) {
    if (auto at = path.find(mark); at != path.npos) path.replace(at, mark.size(), text);
  };
  put("{id}", group ? "g-" + result_id("/") : "d-" + result_id("/live"));
  put("{name}", path.find("links") == path.npos ? "units" : "live");
  if (path == "/api/v1/view") path += "?path=/image";
  if (path == "/api/v1/value") path += "?path=/live";
  return path;
}

class every_route_of_results : public results_server_test {
 protected:
  every_route_of_results() {
    publish(value_map{{"_attrs", value_map{{"units", "mm"}}},
                      {"live", 34},
                      {"live_attrs", value_map{{"units", "mm"}}},
                      {"image", array::of(std::vector<std::uint8_t>{1, 2})}});
  }
  httplib::Result send(const std::string& method, const std::string& path, const std::string& secret = "") {
    httplib::Client client("127.0.0.1", server->port());
    httplib::Request request;
    request.method = method;
    request.path = path;
    if (!secret.empty()) request.set_header("Authorization", "Bearer " + secret);
    if (method == "POST") request.body = "{}";
    return client.send(request);
  }
};

TEST_F(every_route_of_results, answers) {
  start();
  for (auto& route : results_routes()) {
    if (route.path == "/api/v1/events") continue;
    auto answer = send(route.method, path_of(route));
    ASSERT_TRUE(answer) << route.path;
    EXPECT_EQ(answer->status, 200) << route.path << answer->body;
    if (route.method != "GET") continue;
    auto head = send("HEAD", path_of(route));
    ASSERT_TRUE(head) << route.path;
    EXPECT_EQ(head->status, 200) << route.path;
    EXPECT_EQ(head->get_header_value("Content-Length"), answer->get_header_value("Content-Length"));
    EXPECT_EQ(head->body, "");
  }
}

TEST_F(every_route_of_results, refuses_other_methods) {
  start();
  auto all = results_routes();
  for (auto& route : all) {
    bool posts = std::ranges::find(all, route_name{"POST", route.path, "view"}) != all.end();
    for (auto method : {"POST", "PUT", "PATCH", "DELETE"}) {
      if (posts && method == std::string("POST")) continue;
      auto answer = send(method, path_of(route));
      ASSERT_TRUE(answer) << route.path;
      EXPECT_EQ(answer->status, 405) << method << route.path;
      EXPECT_EQ(answer->get_header_value("Allow"), posts ? "GET, POST" : "GET") << route.path;
    }
  }
}

TEST_F(every_route_of_results, names_what_is_not_there) {
  start();
  for (auto& route : results_routes()) {
    if (route.path == "/api/v1/events") continue; // waits for that scan
    auto path = path_of(route);
    bool of_object = route.path.find("{id}") != route.path.npos;
    if (of_object) path.replace(path.find('-') + 1, 2, "zz");
    auto answer = send(route.method, path + (path.find('?') == path.npos ? "?" : "&") + "scan=none");
    ASSERT_TRUE(answer) << path;
    bool fixed =
        route.path.ends_with("openapi.json") || route.path == "/about" || route.path == "/api/v1/status";
    EXPECT_EQ(answer->status, fixed ? 200 : 404) << path << answer->body;
  }
}

TEST_F(every_route_of_results, needs_a_token) {
  start({}, {.tokens = some_tokens()});
  for (auto& route : results_routes()) {
    EXPECT_EQ(route.scope, "view");
    EXPECT_EQ(send(route.method, path_of(route))->status, 401) << route.path;
    if (route.path == "/api/v1/events") continue;
    EXPECT_EQ(send(route.method, path_of(route), viewer)->status, 200) << route.path;
  }
}

TEST_F(every_route_of_results, takes_no_odd_bodies) {
  start({.body = 200'000});
  httplib::Client client("127.0.0.1", server->port());
  for (auto body : {std::string(), std::string("{"), std::string("[]"), std::string(100'000, '['),
                    std::string(R"({"select":3})"), std::string("\xff"), std::string(R"({"select":"[")")}) {
    auto answer = client.Post(values("/image"), body, "application/json");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 400) << body.substr(0, 20);
  }
  httplib::MultipartFormDataItems form = {{"a", "{}", "", "application/json"}};
  EXPECT_EQ(client.Post(values("/image"), form)->status, 400);
  EXPECT_EQ(client.Post(values("/image"), std::string(200'001, ' '), "application/json")->status, 413);
}

TEST_F(results_server_test, serves_https) {
  test::temporary_directory folder;
  auto files = test::make_certificate(folder.path());
  start({}, {.tls = std::make_shared<https_identity>(files)});
  publish(value_map{{"noise", noise(1 << 18)}});
  httplib::SSLClient client("127.0.0.1", server->port());
  client.set_ca_cert_path(files.certificate);
  EXPECT_EQ(client.Get("/api/v1/status")->body, "true");
  EXPECT_EQ(client.Get(values("/noise"), {{"Accept", binary}})->body.size(), 8u << 18);
  EXPECT_FALSE(get("/api/v1/status")) << "nothing else";
}

TEST_F(results_server_test, says_which_address_is_taken) {
  start();
  try {
    const results_server second("127.0.0.1", server->port(), store);
    ADD_FAILURE() << "took a port that was taken";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("127.0.0.1:" + std::to_string(server->port())));
  }
}

// --- events --------------------------------------------------------------------------------------

TEST_F(results_server_test, events_begin_with_the_latest) {
  start();
  event_reader reader(server->port(), "?rate=50");
  ASSERT_TRUE(await([&] { return reader.events() == 1; })) << reader.text();
  EXPECT_EQ(reader.text(), "event: snapshot\ndata: "
                           "{\"scan\":\"scan\",\"snapshot\":1,\"results\":1,\"finished\":false}\n\n");
  publish(value_map{}, true);
  EXPECT_TRUE(await([&] { return reader.has("\"snapshot\":2,\"results\":2,\"finished\":true"); }));
  publish(value_map{}, false, "next");
  EXPECT_TRUE(await([&] { return reader.has("{\"scan\":\"next\",\"snapshot\":1,"); }));
}

TEST_F(results_server_test, events_are_the_newest_only) {
  start();
  event_reader reader(server->port(), "?rate=2");
  ASSERT_TRUE(await([&] { return reader.events() == 1; }));
  auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 500; ++i) publish(value_map{});
  ASSERT_TRUE(await([&] { return reader.has("\"snapshot\":501"); })) << reader.text();
  auto took = std::chrono::steady_clock::now() - began;
  EXPECT_LE(reader.events(), 2 + static_cast<std::size_t>(took / 500ms)) << reader.text();
}

TEST_F(results_server_test, events_of_one_scan) {
  start();
  event_reader reader(server->port(), "?rate=50&scan=scan");
  ASSERT_TRUE(await([&] { return reader.events() == 1; }));
  publish(value_map{}, false, "other");
  publish(value_map{}, true);
  ASSERT_TRUE(await([&] { return reader.has("\"finished\":true"); }));
  EXPECT_FALSE(reader.has("other"));
}

TEST_F(results_server_test, events_before_the_first_scan) {
  store = std::make_shared<snapshot_store>();
  start();
  event_reader reader(server->port());
  publish(value_map{}, false, "first");
  EXPECT_TRUE(await([&] { return reader.has("\"first\""); }));
}

TEST_F(results_server_test, events_say_what_is_wrong) {
  start();
  auto answer = get("/api/v1/events?rate=0");
  EXPECT_EQ(answer->status, 400);
  EXPECT_THAT(answer->body, HasSubstr("rate: '0'"));
  httplib::Client client("127.0.0.1", server->port());
  EXPECT_EQ(client.Post("/api/v1/events", "", "text/plain")->status, 405);
}

TEST_F(results_server_test, streams_are_bounded_and_free_their_place) {
  start({.streams = 2});
  auto first = std::make_unique<event_reader>(server->port());
  event_reader second(server->port());
  ASSERT_TRUE(await([&] { return first->events() == 1 && second.events() == 1; }));
  raw_client third(server->port());
  third.send("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string refused(12, ' ');
  ASSERT_EQ(::recv(third.socket(), refused.data(), refused.size(), MSG_WAITALL), 12);
  EXPECT_EQ(refused, "HTTP/1.1 503");
  EXPECT_EQ(get("/api/v1/status")->body, "true") << "others are served";
  first.reset();
  std::unique_ptr<event_reader> next;
  EXPECT_TRUE(await([&] {
    next = std::make_unique<event_reader>(server->port());
    return await([&] { return next->events() == 1 || next->ended(); }) && !next->ended();
  }));
}

TEST_F(results_server_test, stopping_ends_streams) {
  start();
  event_reader reader(server->port());
  ASSERT_TRUE(await([&] { return reader.events() == 1; }));
  server->stop();
  EXPECT_TRUE(await([&] { return reader.ended(); }));
}

// --- readers that read slowly --------------------------------------------------------------------

TEST_F(results_server_test, who_reads_nothing_costs_its_own_connection_only) {
  store = std::make_shared<snapshot_store>(snapshot_limits{.per_scan = 2});
  start({.answers = std::size_t{8} << 30, .times = {.transfer = 300ms}});
  publish(value_map{});
  publish(value_map{{"large", zeros(256 << 20)}});
  std::weak_ptr<const std::byte[]> large = store->latest()->tree.find("large")->as_array()->buffer();
  std::vector<std::unique_ptr<raw_client>> hanging;
  for (int i = 0; i < 8; ++i) {
    hanging.push_back(std::make_unique<raw_client>(server->port()));
    hanging.back()->send("GET " + values("/large") + " HTTP/1.1\r\nHost: x\r\nAccept: " + binary +
                         "\r\n\r\n");
    char byte = 0;
    ASSERT_EQ(::recv(hanging.back()->socket(), &byte, 1, MSG_PEEK), 1);
  }
  for (int i = 0; i < 100; ++i) {
    publish(value_map{{"n", i}});
    ASSERT_EQ(get(values("/n"))->body, "{\"value\":" + std::to_string(i) + "}");
  }
  EXPECT_TRUE(await([&] { return large.expired(); })) << "they are given up, and what they held with them";
}

TEST_F(results_server_test, answers_under_way_are_bounded) {
  start({.answers = 100 << 20, .times = {.transfer = patience}});
  publish(value_map{{"large", zeros(200 << 20)}, {"small", zeros(1000)}});
  raw_client hanging(server->port());
  auto request =
      "GET " + values("/large") + " HTTP/1.1\r\nHost: x\r\nAccept: " + std::string(binary) + "\r\n\r\n";
  hanging.send(request);
  char byte = 0;
  ASSERT_EQ(::recv(hanging.socket(), &byte, 1, MSG_PEEK), 1) << "one of any size is sent";
  auto refused = get(values("/small"), {{"Accept", binary}});
  EXPECT_EQ(refused->status, 503);
  EXPECT_THAT(refused->body, HasSubstr("under way"));
}

TEST_F(results_server_test, stopping_does_not_wait_for_them) {
  start({.times = {.transfer = 10 * patience}});
  publish(value_map{{"large", zeros(256 << 20)}});
  raw_client hanging(server->port());
  hanging.send("GET " + values("/large") + " HTTP/1.1\r\nHost: x\r\nAccept: " + binary + "\r\n\r\n");
  char byte = 0;
  ASSERT_EQ(::recv(hanging.socket(), &byte, 1, MSG_PEEK), 1);
  server->stop();
}

} // namespace
} // namespace dtranspose
