#include "http/control_server.hpp"

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include "http/access_tokens.hpp"
#include "http/await.hpp"
#include "http/certificate.hpp"
#include "http/login_guard.hpp"
#include "http/page.hpp"
#include "http/raw_client.hpp"
#include "http/route_table.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::HasSubstr;

/// Answers each call with its own name.
class fake_system : public control_interface {
 public:
  http_answer set_sequence(std::string_view body, bool all_wrap) override {
    std::lock_guard lock(mutex);
    this->body = body;
    wrapped = all_wrap;
    ++scans;
    return {200, "\"id\""};
  }
  http_answer sequence() override { return {200, "\"sequence\""}; }
  http_answer progress() override {
    std::lock_guard lock(mutex);
    ++progress_asked;
    return {200, how_far};
  }
  http_answer config() override {
    std::lock_guard lock(mutex);
    return {200, configuration};
  }
  http_answer status() override { throw std::runtime_error("no \"status\""); }
  http_answer ledger() override { return {404, error_body("no scan")}; }
  http_answer decisions(std::uint64_t since) override { return {200, std::to_string(since)}; }
  http_answer stop() override { return {200, "null"}; }
  http_answer streams() override { return {200, "{}"}; }
  http_answer health() override { return {503, R"({"ready":false})"}; }
  http_answer metrics() override { return {200, "x 1\n", "text/plain"}; }
  http_answer logs(const std::string& level) override { return {200, "[\"" + level + "\"]"}; }
  std::vector<std::string> logs_since(std::uint64_t& position) override {
    std::lock_guard lock(mutex);
    auto from = std::exchange(position, log.size() + 1);
    if (from == 0) return {};
    return {log.begin() + static_cast<std::ptrdiff_t>(from - 1), log.end()};
  }
  http_answer load(const std::vector<std::uint64_t>& intervals, bool scan) override {
    return {200, fmt::format("[{}{}]", fmt::join(intervals, ","), scan ? ",\"scan\"" : "")};
  }
  http_answer reload_analysis() override { return {200, "\"reloaded\""}; }
  http_answer sardana_hook(std::string_view body) override { return {200, "\"" + std::string(body) + "\""}; }

  void set_progress(const std::string& text) {
    std::lock_guard lock(mutex);
    how_far = text;
  }
  void add_to_log(const std::string& record) {
    std::lock_guard lock(mutex);
    log.push_back(record);
  }
  http_answer parameters() override { return {200, "[]"}; }
  http_answer parameter(const std::string& name) override {
    if (name == "none") return {404, error_body("Parameter not found")};
    return {200, "bytes of " + name, "application/x.bytes"};
  }
  http_answer set_parameter(const std::string& name, std::string_view written, bool lenient) override {
    return {200, "\"" + name + "=" + std::string(written) + (lenient ? "?" : "") + "\""};
  }

  std::mutex mutex;
  std::string configuration = "\"config\"";
  std::string body, how_far = "\"progress\"";
  std::vector<std::string> log;
  bool wrapped = false;
  int scans = 0, progress_asked = 0;
};

class control_server_test : public testing::Test {
 protected:
  control_server_test() : server("127.0.0.1", 0, system), client("127.0.0.1", server.port()) {
    server.start();
    client.set_keep_alive(true);
    client.set_tcp_nodelay(true);
  }

  fake_system system;
  control_server server;
  httplib::Client client;
};

void expect_answer(const httplib::Result& answer, int status, const std::string& body) {
  ASSERT_TRUE(answer) << to_string(answer.error());
  EXPECT_EQ(answer->status, status);
  EXPECT_EQ(answer->body, body);
  EXPECT_EQ(answer->get_header_value("Content-Type"), "application/json");
}

/// What comes back on a connection of its own until the server closes it.
std::string exchange(std::uint16_t port, const std::string& request) {
  int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    ::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    char bytes[4096];
    for (ssize_t n; (n = ::recv(socket, bytes, sizeof bytes, 0)) > 0;) answer.append(bytes, n);
  }
  ::close(socket);
  return answer;
}

TEST(error_body, is_json) {
  EXPECT_EQ(error_body("Not Found"), R"({"detail":"Not Found"})");
  EXPECT_EQ(error_body("a \"b\"\n"), R"({"detail":"a \"b\"\n"})");
}

TEST_F(control_server_test, tells_how_it_is) {
  expect_answer(client.Get("/api/v1/streams"), 200, "{}");
  expect_answer(client.Get("/api/v1/health"), 503, R"({"ready":false})");
  expect_answer(client.Get("/api/v1/decisions"), 200, "0");
  expect_answer(client.Get("/api/v1/decisions?since=7"), 200, "7");
  EXPECT_EQ(client.Get("/api/v1/decisions?since=-7")->status, 422);
  expect_answer(client.Get("/api/v1/logs"), 200, R"(["INFO"])");
  expect_answer(client.Get("/api/v1/logs?level=debug"), 200, R"(["DEBUG"])");
  for (auto level : {"foo", "", "INFO%20", "10"})
    expect_answer(client.Get("/api/v1/logs?level=" + std::string(level)), 422,
                  error_body("level: \"" + httplib::detail::decode_url(level, false) +
                             "\" is none of TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL"));
  auto metrics = client.Get("/metrics");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->body, "x 1\n");
  EXPECT_EQ(metrics->get_header_value("Content-Type"), "text/plain");
}

TEST_F(control_server_test, parameters_have_names_in_their_path) {
  expect_answer(client.Get("/api/v1/parameters"), 200, "[]");
  auto got = client.Get("/api/v1/parameter/a%20b%2Fc");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->body, "bytes of a b/c");
  EXPECT_EQ(got->get_header_value("Content-Type"), "application/x.bytes");
  expect_answer(client.Get("/api/v1/parameter/none"), 404, error_body("Parameter not found"));
  expect_answer(client.Post("/api/v1/parameter/x", "5", "text/plain"), 200, "\"x=5\"");
  expect_answer(client.Post("/api/v1/parameter/x", "", "text/plain"), 200, "\"x=\"");
  expect_answer(client.Post("/api/v1/parameter/x?lenient=1", "5", "text/plain"), 200, "\"x=5?\"");
  expect_answer(client.Post("/api/v1/parameter/x?lenient=so", "5", "text/plain"), 422,
                error_body("lenient: \"so\" is neither true nor false"));
  for (auto path : {"/api/v1/parameter/", "/api/v1/parameter", "/api/v1/parameter/a/b"}) {
    auto answer = client.Get(path);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 404) << path;
  }
  auto refused = client.Delete("/api/v1/parameter/x");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 405);
  EXPECT_EQ(refused->get_header_value("Allow"), "GET, POST");
}

TEST_F(control_server_test, routes) {
  expect_answer(client.Get("/api/v1/sequence"), 200, "\"sequence\"");
  expect_answer(client.Get("/api/v1/mapping"), 200, "\"sequence\"");
  expect_answer(client.Get("/api/v1/progress"), 200, "\"progress\"");
  expect_answer(client.Get("/api/v1/config"), 200, "\"config\"");
  expect_answer(client.Get("/api/v1/ledger"), 404, R"({"detail":"no scan"})");
  expect_answer(client.Post("/api/v1/stop"), 200, "null");
  expect_answer(client.Post("/api/v1/sequence", "{}", "application/json"), 200, "\"id\"");
  EXPECT_EQ(system.body, "{}");
  EXPECT_TRUE(system.wrapped);
}

TEST_F(control_server_test, has_a_page) {
  auto answer = client.Get("/");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(answer->get_header_value("Content-Type"), HasSubstr("text/html"));
  EXPECT_THAT(answer->body, HasSubstr("api/v1/progress"));
  EXPECT_THAT(answer->get_header_value("Content-Security-Policy"), HasSubstr("default-src 'none'"));
  auto head = client.Head("/");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  for (auto& file : built_page_files()) {
    auto part = client.Get(std::string(file.path));
    ASSERT_TRUE(part);
    EXPECT_EQ(part->status, 200) << file.path;
    EXPECT_EQ(part->get_header_value("Content-Type"), file.type);
    EXPECT_EQ(client.Post(std::string(file.path), "{}", "application/json")->status, 405) << file.path;
  }
}

TEST_F(control_server_test, the_page_may_ask_where_config_says_that_the_results_are) {
  if (built_page_files().empty()) GTEST_SKIP() << "this program was built without its page";
  auto policy = [&] { return client.Get("/")->get_header_value("Content-Security-Policy"); };
  system.configuration = R"({"results":null})";
  EXPECT_THAT(policy(), HasSubstr("connect-src 'self';"));
  system.configuration = R"({"results":"http://node7:5001"})";
  auto deadline = steady_clock::now() + 30s; // what it says is kept for a moment
  while (policy().find("http://node7:5001") == std::string::npos && steady_clock::now() < deadline)
    std::this_thread::sleep_for(20ms);
  EXPECT_THAT(policy(), HasSubstr("connect-src 'self' http://node7:5001 http://127.0.0.1:5001;"));
}

TEST_F(control_server_test, an_old_mapping_becomes_a_sequence_of_one_part) {
  expect_answer(client.Post("/api/v1/mapping?all_wrap=false", R"({"det":[null]})", "application/json"), 200,
                "\"id\"");
  EXPECT_EQ(system.body, R"({"parts":{"main":{"det":[null]}},"sequence":["main"]})");
  EXPECT_FALSE(system.wrapped);
}

TEST_F(control_server_test, all_wrap) {
  auto post = [&](const std::string& text) {
    return client.Post("/api/v1/sequence?all_wrap=" + text, "{}", "application/json");
  };
  for (auto text : {"true", "True", "1", "YES", "on"}) {
    system.wrapped = false;
    expect_answer(post(text), 200, "\"id\"");
    EXPECT_TRUE(system.wrapped) << text;
  }
  for (auto text : {"false", "FALSE", "0", "no", "Off"}) {
    system.wrapped = true;
    expect_answer(post(text), 200, "\"id\"");
    EXPECT_FALSE(system.wrapped) << text;
  }
  auto scans = system.scans;
  for (auto text : {"", "2", "maybe", "truee"}) {
    auto answer = post(text);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 422) << text;
    EXPECT_THAT(answer->body, HasSubstr("all_wrap"));
  }
  EXPECT_EQ(system.scans, scans);
}

TEST_F(control_server_test, errors) {
  expect_answer(client.Get("/nothing"), 404, R"({"detail":"Not Found"})");
  expect_answer(client.Get("/api/v1/nothing/"), 404, R"({"detail":"Not Found"})");
  expect_answer(client.Get("/" + std::string(4000, 'x')), 404, R"({"detail":"Not Found"})");
  expect_answer(client.Post("/nothing", "{}", "application/json"), 404, R"({"detail":"Not Found"})");
  expect_answer(client.Get("/api/v1/stop"), 405, R"({"detail":"Method Not Allowed"})");
  expect_answer(client.Put("/api/v1/sequence", "{}", "application/json"), 405,
                R"({"detail":"Method Not Allowed"})");
  expect_answer(client.Delete("/api/v1/sequence"), 405, R"({"detail":"Method Not Allowed"})");
  expect_answer(client.Post("/", "{}", "application/json"), 405, R"({"detail":"Method Not Allowed"})");
  expect_answer(client.Get("/api/v1/status"), 500, R"({"detail":"no \"status\""})");

  auto answer = client.Delete("/api/v1/sequence");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->get_header_value("Allow"), "GET, POST");
}

TEST_F(control_server_test, a_trailing_slash_redirects) {
  auto answer = client.Get("/api/v1/progress/?a=b");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 307);
  EXPECT_EQ(answer->get_header_value("Location"), "/api/v1/progress?a=b");

  client.set_follow_location(true);
  expect_answer(client.Get("/api/v1/progress/"), 200, "\"progress\"");
  expect_answer(client.Post("/api/v1/sequence/?all_wrap=no", "{}", "application/json"), 200, "\"id\"");
  EXPECT_EQ(system.body, "{}");
  EXPECT_FALSE(system.wrapped);
}

TEST_F(control_server_test, any_origin_may_ask) {
  httplib::Headers origin = {{"Origin", "https://beamline.example"}};
  for (auto path : {"/api/v1/progress", "/api/v1/status", "/nothing"}) {
    auto answer = client.Get(path, origin);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Origin"), "https://beamline.example") << path;
    EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Credentials"), "true") << path;
  }
  auto answer = client.Get("/api/v1/progress");
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->has_header("Access-Control-Allow-Origin"));
}

TEST_F(control_server_test, preflight) {
  client.set_default_headers({{"Origin", "https://beamline.example"},
                              {"Access-Control-Request-Method", "POST"},
                              {"Access-Control-Request-Headers", "content-type, x-mine"}});
  auto answer = client.Options("/api/v1/sequence");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Origin"), "https://beamline.example");
  EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Credentials"), "true");
  EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Headers"), "content-type, x-mine");
  EXPECT_THAT(answer->get_header_value("Access-Control-Allow-Methods"), HasSubstr("POST"));
}

TEST_F(control_server_test, large_bodies_whatever_they_are_called) {
  std::string large(1 << 20, 'x');
  for (auto type : {"application/json", "application/x-www-form-urlencoded", "text/plain"}) {
    system.body.clear();
    expect_answer(client.Post("/api/v1/sequence", large, type), 200, "\"id\"");
    EXPECT_EQ(system.body.size(), large.size()) << type;
  }
  expect_answer(client.Post("/nothing", large, "application/json"), 404, R"({"detail":"Not Found"})");
}

TEST_F(control_server_test, chunked_bodies) {
  std::string chunk(10000, 'y');
  auto provider = [&](size_t offset, httplib::DataSink& sink) {
    if (offset >= 10 * chunk.size()) {
      sink.done();
      return true;
    }
    return sink.write(chunk.data(), chunk.size());
  };
  expect_answer(client.Post("/api/v1/sequence", provider, "application/json"), 200, "\"id\"");
  EXPECT_EQ(system.body.size(), 10 * chunk.size());
}

TEST_F(control_server_test, bodies_beyond_the_limit_are_refused_unread) {
  auto answer = exchange(server.port(), "POST /api/v1/sequence HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                                            std::to_string(http_body_limit + 1) + "\r\n\r\n{");
  EXPECT_THAT(answer, HasSubstr("413"));
  EXPECT_THAT(answer, HasSubstr("a body may have up to 268435456 bytes"));
  EXPECT_EQ(system.scans, 0);
}

TEST_F(control_server_test, multipart_forms_are_refused) {
  httplib::MultipartFormDataItems items = {{"a", "{}", "", "application/json"}};
  auto answer = client.Post("/api/v1/sequence", items);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 415);
}

TEST_F(control_server_test, a_post_without_a_length_has_no_body) {
  auto began = steady_clock::now();
  auto answer = exchange(server.port(), "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_LT(steady_clock::now() - began, 1s);
}

TEST_F(control_server_test, what_is_not_http_is_refused) {
  for (auto text : {"\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x01\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"}) {
    auto answer = exchange(server.port(), text);
    EXPECT_TRUE(answer.empty() || answer.find(" 400 ") != std::string::npos) << text << answer;
  }
  expect_answer(client.Get("/api/v1/progress"), 200, "\"progress\"");
}

TEST_F(control_server_test, a_connection_serves_many_requests) {
  std::string requests;
  for (int i = 0; i < 200; ++i) requests += "GET /api/v1/progress HTTP/1.1\r\nHost: x\r\n\r\n";
  requests += "GET /api/v1/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  auto answers = exchange(server.port(), requests);
  std::size_t count = 0;
  for (auto at = answers.find("\"progress\""); at != std::string::npos;
       at = answers.find("\"progress\"", at + 1))
    ++count;
  EXPECT_EQ(count, 200u);
  EXPECT_THAT(answers, HasSubstr("\"config\""));
}

TEST_F(control_server_test, idle_connections_make_room_for_others) {
  std::vector<std::unique_ptr<httplib::Client>> idle;
  for (int i = 0; i < 80; ++i) {
    auto& one = idle.emplace_back(std::make_unique<httplib::Client>("127.0.0.1", server.port()));
    one->set_keep_alive(true);
    auto answer = one->Get("/api/v1/progress");
    ASSERT_TRUE(answer) << i;
    EXPECT_EQ(answer->status, 200);
  }
}

TEST_F(control_server_test, stops_promptly_with_open_connections) {
  expect_answer(client.Get("/api/v1/progress"), 200, "\"progress\"");
  auto half = std::async(std::launch::async, [&] { return exchange(server.port(), "GET /api/v1/prog"); });
  auto mute = std::async(std::launch::async, [&] { return exchange(server.port(), ""); });
  std::this_thread::sleep_for(100ms);
  auto began = steady_clock::now();
  server.stop();
  EXPECT_LT(steady_clock::now() - began, 500ms);
  half.get();
  mute.get();
  EXPECT_FALSE(client.Get("/api/v1/progress"));
  server.stop();
}

TEST(control_server, a_port_that_is_taken_is_named) {
  fake_system system;
  control_server first("127.0.0.1", 0, system);
  auto address = "127.0.0.1:" + std::to_string(first.port());
  try {
    control_server second("127.0.0.1", first.port(), system);
    FAIL() << "took a port that was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr(address));
    EXPECT_THAT(error.what(), HasSubstr("in use"));
  }
  EXPECT_THROW(control_server("no such host", 0, system), std::runtime_error);
}

TEST(control_server, a_port_is_free_again_after_a_stop) {
  fake_system system;
  std::uint16_t port = 0;
  for (int i = 0; i < 3; ++i) {
    control_server server("127.0.0.1", port, system);
    port = server.port();
    server.start();
    EXPECT_TRUE(httplib::Client("127.0.0.1", port).Get("/api/v1/progress"));
    server.stop();
  }
}

// --- what holds for every route ------------------------------------------------------------------

/// A path that fits the route.
std::string path_of(const route_name& route) {
  auto path = route.path;
  if (auto at = path.find('{'); at != path.npos) path.replace(at, path.find('}') + 1 - at, "x");
  return path;
}

bool is_stream(const route_name& route) {
  return route.path == "/api/v1/events" || route.path == "/api/v1/log_stream";
}

TEST_F(control_server_test, every_route_answers) {
  // Two more are streams, and these two the fake refuses.
  const std::map<std::string, int> unusual{
      {"/api/v1/status", 500}, {"/api/v1/ledger", 404}, {"/api/v1/health", 503}};
  for (auto& route : control_routes()) {
    if (is_stream(route)) continue;
    auto answer = route.method == "POST" ? client.Post(path_of(route), "{}", "application/json")
                                         : client.Get(path_of(route));
    ASSERT_TRUE(answer) << route.path;
    auto odd = unusual.find(route.path);
    EXPECT_EQ(answer->status, odd == unusual.end() ? 200 : odd->second) << route.path;
    if (route.method != "GET") continue;
    auto head = client.Head(path_of(route));
    ASSERT_TRUE(head) << route.path;
    EXPECT_EQ(head->status, answer->status) << route.path;
    EXPECT_EQ(head->body, "");
  }
}

TEST_F(control_server_test, every_route_refuses_other_methods) {
  for (auto& route : control_routes()) {
    std::set<std::string> methods;
    for (auto& other : control_routes())
      if (other.path == route.path) methods.insert(other.method);
    for (auto method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
      if (methods.contains(method)) continue;
      httplib::Request request;
      request.method = method;
      request.path = path_of(route);
      auto answer = client.send(request);
      expect_answer(answer, 405, error_body("Method Not Allowed"));
      EXPECT_EQ(answer->get_header_value("Allow"), methods.size() == 2 ? "GET, POST" : *methods.begin());
    }
  }
}

TEST_F(control_server_test, every_route_that_takes_a_body_has_a_limit) {
  for (auto& route : control_routes()) {
    if (route.method != "POST") continue;
    auto too_long =
        exchange(server.port(), fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{{",
                                            path_of(route), http_body_limit + 1));
    EXPECT_THAT(too_long, HasSubstr("HTTP/1.1 413")) << route.path;
    httplib::MultipartFormDataItems form = {{"a", "{}", "", "application/json"}};
    expect_answer(client.Post(path_of(route), form), 415, error_body("send the JSON itself, not a form"));
    auto cut =
        exchange(server.port(),
                 fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n{{", path_of(route)));
    EXPECT_THAT(cut, HasSubstr("HTTP/1.1 400")) << route.path;
  }
  EXPECT_EQ(system.scans, 0);
}

TEST_F(control_server_test, heads_that_are_too_large) {
  for (auto& route : control_routes()) {
    auto answer = exchange(
        server.port(), fmt::format("{} {} HTTP/1.1\r\n", route.method, path_of(route)) + [] {
          std::string headers;
          for (int i = 0; i < 20; ++i) headers += "X: " + std::string(4000, 'x') + "\r\n";
          return headers;
        }() + "\r\n");
    EXPECT_TRUE(answer.empty() || answer.find(" 431 ") != answer.npos) << route.path << answer.substr(0, 100);
  }
}

TEST_F(control_server_test, load_of_events_and_of_the_scan) {
  expect_answer(client.Get("/api/v1/load"), 200, R"([1,10,"scan"])");
  expect_answer(client.Get("/api/v1/load?intervals=5&intervals=0&intervals=5&scan=no"), 200,
                "[5,0]"); // the same again is no other
  for (auto wrong : {"intervals=x", "intervals=", "intervals=-1", "intervals=1.5",
                     "intervals=99999999999999999999", "scan=perhaps"}) {
    auto answer = client.Get("/api/v1/load?" + std::string(wrong));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 422) << wrong;
  }
  std::string many;
  for (int i = 0; i < 33; ++i) many += "&intervals=" + std::to_string(i);
  expect_answer(client.Get("/api/v1/load?" + many), 422,
                error_body("intervals: up to 32 may be asked for at once"));
}

TEST_F(control_server_test, passes_hooks_on) {
  expect_answer(client.Post("/api/v1/sardana_hook", "{}", "application/json"), 200, "\"{}\"");
}

// --- streams -------------------------------------------------------------------------------------

/// Reads a stream in a thread of its own.
class stream_reader {
 public:
  stream_reader(std::uint16_t port, const std::string& path) : client_("127.0.0.1", port) {
    client_.set_read_timeout(30s);
    thread_ = std::thread([this, path] {
      client_.Get(path, [this](const char* bytes, size_t n) {
        std::lock_guard lock(mutex_);
        text_.append(bytes, n);
        return !enough_;
      });
      ended_ = true;
    });
  }
  ~stream_reader() {
    enough_ = true;
    client_.stop();
    thread_.join();
  }
  std::string text() const {
    std::lock_guard lock(mutex_);
    return text_;
  }
  bool has(const std::string& part) const { return text().find(part) != std::string::npos; }
  bool ended() const { return ended_; }

 private:
  httplib::Client client_;
  mutable std::mutex mutex_;
  std::string text_;
  std::atomic<bool> enough_ = false, ended_ = false;
  std::thread thread_;
};

using test::await;

TEST_F(control_server_test, events_tell_progress_when_it_changes) {
  system.set_progress(R"({"completed_events":1,"seconds":0.5})");
  stream_reader reader(server.port(), "/api/v1/events?rate=50");
  ASSERT_TRUE(await(
      [&] { return reader.has("event: progress\ndata: {\"completed_events\":1,\"seconds\":0.5}\n\n"); }));
  system.set_progress(R"({"completed_events":1,"seconds":0.75})"); // only the time
  {
    std::unique_lock lock(system.mutex);
    auto asked = system.progress_asked;
    lock.unlock();
    ASSERT_TRUE(await([&] {
      std::lock_guard again(system.mutex);
      return system.progress_asked > asked + 2;
    }));
  }
  system.set_progress(R"({"completed_events":2,"seconds":1.0})");
  ASSERT_TRUE(await([&] { return reader.has("\"completed_events\":2"); }));
  EXPECT_FALSE(reader.has("0.75"));
}

TEST_F(control_server_test, many_who_look_on_ask_once) {
  std::vector<std::unique_ptr<stream_reader>> readers;
  for (int i = 0; i < 20; ++i)
    readers.push_back(std::make_unique<stream_reader>(server.port(), "/api/v1/events?rate=50"));
  ASSERT_TRUE(
      await([&] { return std::ranges::all_of(readers, [](auto& r) { return r->has("progress"); }); }));
  auto asked = [&] {
    std::lock_guard lock(system.mutex);
    return system.progress_asked;
  };
  auto began = steady_clock::now();
  auto before = asked();
  ASSERT_TRUE(await([&] { return asked() >= before + 20; }));
  auto times = asked() - before;
  auto moments = (steady_clock::now() - began) / 20ms;
  EXPECT_LE(times, moments + 2); // at most once in a moment, not 20 times
}

TEST_F(control_server_test, log_stream_tells_what_is_new) {
  system.add_to_log("old");
  stream_reader reader(server.port(), "/api/v1/log_stream");
  ASSERT_TRUE(await([&] {
    system.add_to_log("{\"msg\":\"new\"}");
    return reader.has("{\"msg\":\"new\"}\n");
  }));
  EXPECT_FALSE(reader.has("old"));
}

TEST_F(control_server_test, streams_say_what_is_wrong) {
  for (auto rate : {"", "0", "51", "fast", "-1", "1.5"})
    expect_answer(client.Get("/api/v1/events?rate=" + std::string(rate)), 422,
                  error_body("rate: not a whole number from 1 to 50 per second"));
}

TEST_F(control_server_test, streams_are_bounded_and_free_their_place) {
  std::vector<std::unique_ptr<stream_reader>> readers;
  for (std::size_t i = 0; i < http_streams; ++i)
    readers.push_back(std::make_unique<stream_reader>(server.port(), "/api/v1/events"));
  ASSERT_TRUE(
      await([&] { return std::ranges::all_of(readers, [](auto& r) { return r->has("progress"); }); }));
  for (auto path : {"/api/v1/events", "/api/v1/log_stream"})
    expect_answer(client.Get(path), 503, error_body("too many streams of events and logs: close one"));
  expect_answer(client.Get("/api/v1/progress"), 200, "\"progress\"");
  readers.pop_back();
  EXPECT_TRUE(await([&] { return client.Get("/api/v1/events?rate=0")->status == 422; }))
      << "there is a place again";
}

TEST_F(control_server_test, stopping_ends_streams) {
  stream_reader events(server.port(), "/api/v1/events"), log(server.port(), "/api/v1/log_stream");
  ASSERT_TRUE(await([&] { return events.has("progress"); }));
  server.stop();
  EXPECT_TRUE(await([&] { return events.ended() && log.ended(); }));
}

// --- tokens --------------------------------------------------------------------------------------

constexpr auto viewer = "viewer-0123456789", tuner = "tuner-0123456789", sequencer = "sequencer-0123456789";

std::shared_ptr<const access_tokens> some_tokens() {
  test::temporary_directory folder;
  auto file = folder / "tokens.toml";
  std::ofstream(file) << "[[token]]\nname = 'page'\nscope = 'view'\nsecret = '" << viewer
                      << "'\n[[token]]\nname = 'tuning'\nscope = 'tune'\nsecret = '" << tuner
                      << "'\n[[token]]\nname = 'sequencer'\nscope = 'control'\nsecret = '" << sequencer
                      << "'\n";
  ::chmod(file.c_str(), 0600);
  return std::make_shared<access_tokens>(file);
}

/// What is logged while it is there.
class log_watch {
 public:
  log_watch() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
  }
  ~log_watch() { spdlog::set_default_logger(before_); }
  /// Of servers that have stopped.
  std::string text() const { return text_.str(); }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

class control_server_with_tokens : public testing::Test {
 protected:
  control_server_with_tokens() : server("127.0.0.1", 0, system, {.tokens = some_tokens()}) { server.start(); }

  httplib::Result ask(const std::string& method, const std::string& path, const std::string& authorization,
                      httplib::Headers headers = {}) {
    httplib::Client client("127.0.0.1", server.port());
    if (!authorization.empty()) headers.emplace("Authorization", authorization);
    client.set_default_headers(headers);
    if (method == "POST") return client.Post(path, "{}", "application/json");
    if (method == "HEAD") return client.Head(path);
    if (method == "OPTIONS") return client.Options(path);
    if (method == "PUT") return client.Put(path, "{}", "application/json");
    return client.Get(path);
  }
  int status(const std::string& method, const std::string& path, const std::string& secret) {
    auto answer = ask(method, path, secret.empty() ? "" : "Bearer " + secret);
    return answer ? answer->status : 0;
  }

  log_watch log;
  fake_system system;
  control_server server;
};

TEST_F(control_server_with_tokens, each_route_needs_its_scope) {
  // The page says nothing of any scan, and asks the viewer for a token.
  for (auto method : {"GET", "HEAD"}) EXPECT_EQ(status(method, "/", ""), 200) << method;
  EXPECT_EQ(status("POST", "/", ""), 401);
  for (auto path : {"/api/v1/progress", "/api/v1/config", "/api/v1/sequence", "/api/v1/mapping"})
    for (auto method : {"GET", "HEAD"}) {
      EXPECT_EQ(status(method, path, ""), 401) << method << path;
      for (auto secret : {viewer, tuner, sequencer})
        EXPECT_EQ(status(method, path, secret), 200) << method << path;
    }
  for (auto path : {"/api/v1/sequence", "/api/v1/mapping", "/api/v1/stop"}) {
    EXPECT_EQ(status("POST", path, ""), 401) << path;
    for (auto secret : {viewer, tuner}) EXPECT_EQ(status("POST", path, secret), 403) << path;
    EXPECT_EQ(status("POST", path, sequencer), 200) << path;
  }
  EXPECT_EQ(system.scans, 2);
  EXPECT_EQ(status("GET", "/nothing", ""), 401);
  EXPECT_EQ(status("GET", "/nothing", viewer), 404);
  EXPECT_EQ(status("PUT", "/api/v1/sequence", ""), 401);
  EXPECT_EQ(status("PUT", "/api/v1/sequence", sequencer), 405);
  EXPECT_EQ(status("GET", "/api/v1/progress/", ""), 401);
  EXPECT_EQ(status("GET", "/api/v1/progress/", viewer), 307);
}

TEST_F(control_server_with_tokens, every_route_needs_what_its_table_says) {
  for (auto& route : control_routes()) {
    if (is_stream(route)) {
      EXPECT_EQ(status("GET", route.path, ""), 401) << route.path;
      EXPECT_EQ(status("HEAD", route.path, viewer), 200) << route.path;
      continue;
    }
    auto with = [&](const char* secret) { return status(route.method, path_of(route), secret); };
    bool controls = route.scope == "control";
    EXPECT_EQ(with("") == 401, route.scope != "none") << route.path;
    for (auto secret : {viewer, tuner}) EXPECT_EQ(with(secret) == 403, controls) << route.path;
    EXPECT_NE(with(sequencer), 401) << route.path;
    EXPECT_NE(with(sequencer), 403) << route.path;
  }
}

TEST_F(control_server_with_tokens, says_what_is_missing) {
  auto none = ask("GET", "/api/v1/progress", "");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->get_header_value("WWW-Authenticate"), "Bearer");
  expect_answer(none, 401, R"({"detail":"send a token: Authorization: Bearer SECRET"})");
  for (auto wrong :
       {"Bearer wrong-wrong-wrong-wrong", "Basic viewer-0123456789", "Bearer", "viewer-0123456789"}) {
    auto answer = ask("GET", "/api/v1/progress", wrong);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->get_header_value("WWW-Authenticate"), "Bearer");
    expect_answer(answer, 401, R"({"detail":"the token is not known"})");
  }
  test::raw_client twice(server.port());
  twice.send(std::string("GET /api/v1/progress HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer ") +
             viewer + "\r\nAuthorization: Bearer " + sequencer + "\r\n\r\n");
  EXPECT_THAT(twice.answer(), HasSubstr("HTTP/1.1 401"));
  expect_answer(ask("POST", "/api/v1/stop", std::string("Bearer ") + tuner), 403,
                R"({"detail":"this needs a token with scope control; \"tuning\" has tune"})");
}

TEST_F(control_server_with_tokens, does_not_read_what_it_refuses) {
  for (std::string authorization : {std::string(), std::string("Authorization: Bearer ") + viewer + "\r\n"}) {
    test::raw_client client(server.port());
    client.send("POST /api/v1/sequence HTTP/1.1\r\nHost: x\r\n" + authorization +
                "Content-Length: 1000000\r\n\r\n{");
    auto answer = client.answer(); // though the body never came
    EXPECT_THAT(answer, HasSubstr(authorization.empty() ? "HTTP/1.1 401" : "HTTP/1.1 403"));
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
    EXPECT_THAT(answer, testing::Not(HasSubstr("nothing more")));
  }
  EXPECT_EQ(system.scans, 0);
}

TEST_F(control_server_with_tokens, preflight_needs_none_and_allows_the_header) {
  auto answer = ask("OPTIONS", "/api/v1/sequence", "",
                    {{"Origin", "https://beamline.example"},
                     {"Access-Control-Request-Method", "POST"},
                     {"Access-Control-Request-Headers", "authorization, content-type"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  EXPECT_THAT(answer->get_header_value("Access-Control-Allow-Headers"), HasSubstr("authorization"));
  EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Origin"), "*");
  EXPECT_THAT(ask("OPTIONS", "/", "")->get_header_value("Access-Control-Allow-Headers"),
              HasSubstr("authorization"));
}

TEST_F(control_server_with_tokens, gives_no_page_what_its_browser_knows) {
  for (auto secret : {"", viewer}) {
    auto answer = ask("GET", "/api/v1/progress", secret, {{"Origin", "https://elsewhere.example"}});
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->get_header_value("Access-Control-Allow-Origin"), "*");
    EXPECT_FALSE(answer->has_header("Access-Control-Allow-Credentials"));
  }
}

TEST_F(control_server_with_tokens, who_guesses_has_to_wait) {
  EXPECT_EQ(status("GET", "/api/v1/progress", viewer), 200);
  for (std::size_t i = 0; i < 2 * wrong_tokens; ++i) EXPECT_EQ(status("GET", "/api/v1/progress", ""), 401);
  for (std::size_t i = 0; i < wrong_tokens; ++i)
    ASSERT_EQ(status("GET", "/api/v1/progress", "guess-" + std::to_string(1'000'000'000 + i)), 401) << i;
  auto answer = ask("GET", "/api/v1/progress", "Bearer guess-2000000000");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 429);
  EXPECT_EQ(answer->get_header_value("Retry-After"), "10");
  EXPECT_EQ(status("POST", "/api/v1/stop", sequencer), 429); // a guess may be right
  EXPECT_EQ(status("GET", "/api/v1/progress", viewer), 200); // no guess: it was used before
  // Others are not concerned.
  test::raw_client other(server.port(), "127.0.0.2");
  other.send(std::string("POST /api/v1/stop HTTP/1.1\r\nConnection: close\r\nAuthorization: Bearer ") +
             sequencer + "\r\n\r\n");
  EXPECT_THAT(other.answer(), HasSubstr("200 OK"));
}

TEST_F(control_server_with_tokens, logs_what_it_refuses_but_no_secret) {
  status("POST", "/api/v1/stop?token=hidden", tuner);
  status("GET", "/api/v1/progress", "hidden-hidden-hidden");
  test::raw_client client(server.port());
  client.send("GET /a\x1b[31m HTTP/1.1\r\nConnection: close\r\n\r\n");
  client.answer();
  for (int i = 0; i < 200; ++i) status("GET", "/api/v1/config", "");
  server.stop();
  auto text = log.text();
  EXPECT_THAT(text, HasSubstr("refused POST /api/v1/stop of 127.0.0.1 with 403"));
  EXPECT_THAT(text, HasSubstr("\"tuning\" has tune"));
  EXPECT_THAT(text, HasSubstr("refused GET /api/v1/progress of 127.0.0.1 with 401: the token is not known"));
  EXPECT_THAT(text, HasSubstr("/a?[31m"));
  EXPECT_THAT(text, testing::Not(HasSubstr("hidden")));
  EXPECT_THAT(text, testing::Not(HasSubstr(tuner)));
  EXPECT_LT(std::ranges::count(text, '\n'), 60); // not all of them
}

TEST(control_server, serves_https_with_tokens) {
  test::temporary_directory folder;
  auto files = test::make_certificate(folder.path());
  fake_system system;
  control_server server("127.0.0.1", 0, system,
                        {.tokens = some_tokens(), .tls = std::make_shared<https_identity>(files)});
  server.start();
  httplib::SSLClient client("127.0.0.1", server.port());
  client.set_ca_cert_path(files.certificate);
  EXPECT_EQ(client.Get("/api/v1/progress")->status, 401);
  client.set_bearer_token_auth(sequencer);
  expect_answer(client.Get("/api/v1/progress"), 200, "\"progress\"");
  expect_answer(client.Post("/api/v1/sequence", "{}", "application/json"), 200, "\"id\"");
}

} // namespace
} // namespace dtranspose
