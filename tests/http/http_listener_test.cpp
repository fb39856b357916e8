#include "http/http_listener.hpp"

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "http/await.hpp"
#include "http/certificate.hpp"
#include "http/raw_client.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using test::await;
using test::patience;
using test::raw_client;
using testing::AllOf;
using testing::HasSubstr;

/// Answers `GET /hold` once it is let go, everything else with the length of the body at once.
class server final : public http_listener {
 public:
  explicit server(listener_limits limits = {}, std::shared_ptr<const https_identity> tls = nullptr)
      : http_listener(limits, std::move(tls)) {
    bind("127.0.0.1", 0);
    start();
  }
  ~server() override {
    let_go = true;
    stop_and_join();
  }

  std::atomic<int> held = 0;
  std::atomic<bool> let_go = false;
  std::atomic<int> bodies = 0;

 private:
  void answer(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader) override {
    if (path_of(request) == "/hold") {
      ++held;
      while (!let_go) std::this_thread::sleep_for(1ms);
      --held;
    }
    if (path_of(request) == "/much") return response.set_content(std::string(64 << 20, 'x'), "text/plain");
    std::string body;
    auto outcome = read_body(request, reader, body);
    if (outcome == body_outcome::complete) ++bodies;
    answer_json(response, outcome == body_outcome::complete ? 200 : 400 + static_cast<int>(outcome),
                std::to_string(body.size()));
  }
};

std::string get(server& server, const char* from = "127.0.0.1", const std::string& path = "/") {
  raw_client client(server.port(), from);
  client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return client.answer();
}

http_times short_times() {
  return {.idle = patience, .transfer = 200ms, .greeting = 200ms, .head = 200ms, .grace = 200ms};
}

/// A server that would wait for more for longer than the test does.
listener_limits waiting_limits() { return {.times = {.transfer = 1h, .head = 1h, .grace = 1h}}; }

TEST(address_group, is_an_address_or_a_network) {
  EXPECT_EQ(address_group("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(address_group("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(address_group("2001:db8:1:2::1"), address_group("2001:db8:1:2:ffff::9"));
  EXPECT_NE(address_group("2001:db8:1:2::1"), address_group("2001:db8:1:3::1"));
  EXPECT_EQ(address_group("fe80::1%eth0"), address_group("fe80::2%eth0"));
  EXPECT_EQ(address_group("::1").size(), 8u);
}

// --- heads and bodies ----------------------------------------------------------------------------

TEST(http_listener, ends_heads_that_are_sent_byte_by_byte) {
  auto times = short_times();
  times.transfer = patience;
  server server({.times = times});
  raw_client slow(server.port());
  ASSERT_TRUE(slow.send("GET / HTTP/1.1\r\nX: "));
  // Each byte comes soon enough; all of them don't.
  std::thread dripping([&] {
    while (slow.send("x")) std::this_thread::sleep_for(5ms);
  });
  auto answer = slow.answer();
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 408"));
  EXPECT_THAT(answer, testing::Not(HasSubstr("nothing more")));
  ::shutdown(slow.socket(), SHUT_RDWR);
  dripping.join();
  EXPECT_THAT(get(server), HasSubstr("200 OK"));
}

TEST(http_listener, ends_connections_that_say_nothing) {
  server server({.times = short_times()});
  raw_client mute(server.port());
  EXPECT_EQ(mute.answer(), "");
  EXPECT_TRUE(await([&] { return server.connections() == 0; }));
}

TEST(http_listener, reads_heads_up_to_a_limit) {
  server server(waiting_limits());
  raw_client endless(server.port());
  endless.send(std::string(1 << 20, 'x'));
  EXPECT_EQ(endless.answer(), "");
  for (auto header : {"X: " + std::string(60, 'y') + "\r\n", std::string("X: y\r\n")}) {
    raw_client many(server.port());
    std::string headers = "GET / HTTP/1.1\r\n";
    while (headers.size() < 2 * http_head_bytes) headers += header;
    many.send(headers + "\r\n");
    EXPECT_THAT(many.answer(), AllOf(HasSubstr("HTTP/1.1 431"), HasSubstr("Connection: close")));
  }
  raw_client fits(server.port());
  std::string headers = "GET / HTTP/1.1\r\nConnection: close\r\n";
  while (headers.size() < http_head_bytes - 100) headers += "X: y\r\n";
  fits.send(headers + "\r\n");
  EXPECT_THAT(fits.answer(), HasSubstr("200 OK"));
}

TEST(http_listener, ends_bodies_that_dawdle) {
  server server({.times = short_times()});
  raw_client slow(server.port());
  ASSERT_TRUE(slow.send("POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"));
  std::thread dripping([&] {
    while (slow.send("x")) std::this_thread::sleep_for(5ms);
  });
  EXPECT_THAT(slow.answer(), HasSubstr("HTTP/1.1 403")); // broken
  ::shutdown(slow.socket(), SHUT_RDWR);
  dripping.join();
  EXPECT_EQ(server.bodies, 0);
}

TEST(http_listener, ends_clients_that_do_not_read) {
  server server({.times = short_times()});
  raw_client deaf(server.port());
  deaf.send("GET /much HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(await([&] { return server.connections() == 1; }));
  EXPECT_TRUE(await([&] { return server.connections() == 0; }));
}

TEST(http_listener, reads_no_endless_bodies_of_unknown_methods) {
  server server(waiting_limits());
  raw_client client(server.port());
  client.send("PRI / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 16; ++i) client.send("10000\r\n" + std::string(0x10000, 'x') + "\r\n");
  EXPECT_THAT(client.answer(), AllOf(HasSubstr("HTTP/1.1 431"), testing::Not(HasSubstr("nothing more"))));
}

TEST(http_listener, reads_no_endless_lines_between_chunks) {
  server server(waiting_limits());
  raw_client client(server.port());
  client.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(1 << 20, 'x'));
  EXPECT_THAT(client.answer(),
              AllOf(HasSubstr("HTTP/1.1 403"), testing::Not(HasSubstr("nothing more")))); // broken
}

TEST(http_listener, takes_bodies_in_tiny_chunks) {
  server server;
  raw_client client(server.port());
  std::string request = "POST / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 100'000; ++i) request += "1\r\nx\r\n";
  client.send(request + "0\r\n\r\n");
  EXPECT_THAT(client.answer(), AllOf(HasSubstr("200 OK"), HasSubstr("\r\n100000")));
}

TEST(http_listener, refuses_bodies_without_a_clear_length) {
  server server;
  for (auto headers :
       {"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: -1\r\n", "Content-Length: 5x\r\n", "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 99999999999999999999\r\n"}) {
    raw_client client(server.port());
    client.send(std::string("POST / HTTP/1.1\r\nHost: x\r\n") + headers +
                "\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    auto answer = client.answer();
    EXPECT_THAT(answer, AllOf(HasSubstr("HTTP/1.1 400"), HasSubstr("Connection: close"))) << headers;
    EXPECT_THAT(answer, testing::Not(HasSubstr("200 OK"))) << headers;
  }
}

TEST(http_listener, holds_so_many_bytes_of_bodies_at_once) {
  server server({.body = 1000, .bodies = 1500});
  std::string head = "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n";
  raw_client first(server.port());
  first.send(head + std::string(999, 'x'));
  // Once the first body is held, a second one finds no room.
  EXPECT_TRUE(await([&] {
    raw_client second(server.port());
    second.send(head + std::string(1000, 'x'));
    return second.answer().starts_with("HTTP/1.1 404"); // no_room
  }));
  first.send("x");
  EXPECT_THAT(first.answer(), HasSubstr("200 OK"));
  raw_client third(server.port());
  third.send(head + std::string(1000, 'x'));
  EXPECT_THAT(third.answer(), HasSubstr("200 OK"));
}

// --- connections ---------------------------------------------------------------------------------

TEST(http_listener, one_address_does_not_keep_others_out) {
  server server({.connections = 8});
  std::vector<std::unique_ptr<raw_client>> flood;
  for (int i = 0; i < 40; ++i) {
    flood.push_back(std::make_unique<raw_client>(server.port(), "127.0.0.2"));
    flood.back()->send("GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  ASSERT_TRUE(await([&] { return server.held == 4 && server.connections() == 40; }));
  for (auto from : {"127.0.0.3", "127.0.0.4"}) EXPECT_THAT(get(server, from), HasSubstr("200 OK"));
  EXPECT_EQ(server.held, 4);
  server.let_go = true;
  for (auto& one : flood) EXPECT_THAT(one->answer(), HasSubstr("200 OK")); // nobody is forgotten
}

TEST(http_listener, keeps_so_many_connections_waiting) {
  server server({.connections = 2});
  raw_client holds(server.port(), "127.0.0.2");
  holds.send("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(await([&] { return server.held == 1; }));
  std::vector<std::unique_ptr<raw_client>> flood;
  for (std::size_t i = 0; i < http_waiting_connections; ++i)
    flood.push_back(std::make_unique<raw_client>(server.port(), "127.0.0.2"));
  auto ended = [&] { return std::ranges::count_if(flood, [](auto& one) { return one->ended(); }); };
  constexpr auto most = http_waiting_connections / 2;
  EXPECT_TRUE(await([&] { return ended() == static_cast<long>(flood.size() - most); }));
  EXPECT_EQ(server.connections(), most + 1);
  EXPECT_THAT(get(server, "127.0.0.3"), HasSubstr("200 OK"));
}

// --- TLS -----------------------------------------------------------------------------------------

class http_listener_tls : public testing::Test {
 protected:
  explicit http_listener_tls(http_times times = {}) : listener({.times = times}, identity) {
    client.set_ca_cert_path(files.certificate);
    client.set_read_timeout(patience);
  }

  test::temporary_directory folder;
  https_files files = test::make_certificate(folder.path());
  std::shared_ptr<const https_identity> identity = std::make_shared<https_identity>(files);
  server listener;
  httplib::SSLClient client{"127.0.0.1", listener.port()};
};

TEST_F(http_listener_tls, serves_clients_that_know_the_certificate) {
  client.set_keep_alive(true);
  std::string body(3'000'000, 'x');
  for (int i = 0; i < 3; ++i) {
    auto answer = client.Post("/", body, "text/plain");
    ASSERT_TRUE(answer) << to_string(answer.error()) << client.get_openssl_verify_result();
    EXPECT_EQ(answer->body, "3000000");
  }
  auto much = client.Get("/much");
  ASSERT_TRUE(much) << to_string(much.error());
  EXPECT_EQ(much->body.size(), std::size_t{64} << 20);
  EXPECT_EQ(listener.connections(), 1u);
}

TEST_F(http_listener_tls, is_not_taken_for_somebody_else) {
  auto others = test::make_certificate(folder.path(), "others");
  client.set_ca_cert_path(others.certificate);
  EXPECT_FALSE(client.Get("/"));
}

TEST_F(http_listener_tls, answers_nothing_without_tls) {
  EXPECT_THAT(get(listener), testing::Not(HasSubstr("HTTP")));
  EXPECT_TRUE(client.Get("/"));
}

TEST_F(http_listener_tls, speaks_no_old_versions) {
  // Whatever else OpenSSL is set to allow.
  SSL_CTX_set_security_level(identity->context(), 0);
  SSL_CTX_set_cipher_list(identity->context(), "ALL");
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_cipher_list(context.get(), "ALL");
  for (auto [version, taken] : {std::pair(TLS1_VERSION, false),
                                {TLS1_1_VERSION, false},
                                {TLS1_2_VERSION, true},
                                {TLS1_3_VERSION, true}}) {
    raw_client transport(listener.port());
    std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_min_proto_version(tls.get(), version);
    SSL_set_max_proto_version(tls.get(), version);
    SSL_set_fd(tls.get(), transport.socket());
    EXPECT_EQ(SSL_connect(tls.get()) == 1, taken) << version;
  }
}

class http_listener_hasty_tls : public http_listener_tls {
 protected:
  http_listener_hasty_tls() : http_listener_tls(short_times()) {}
};

TEST_F(http_listener_hasty_tls, ends_greetings_that_are_silent_slow_or_bad) {
  raw_client silent(listener.port()), slow(listener.port()), bad(listener.port());
  bad.send("\x16\x03\x01\xff\xff and what is no greeting");
  std::thread dripping([&] {
    // A record is announced, and comes byte by byte.
    slow.send(std::string("\x16\x03\x01\x20\x00", 5));
    while (slow.send("x")) std::this_thread::sleep_for(5ms);
  });
  EXPECT_TRUE(client.Get("/")); // meanwhile
  silent.answer();
  bad.answer();
  dripping.join(); // as the server hung up
  EXPECT_TRUE(await([&] { return listener.connections() == 0; }));
  EXPECT_TRUE(client.Get("/"));
}

TEST_F(http_listener_tls, silent_greetings_of_one_address_do_not_keep_others_out) {
  std::vector<std::unique_ptr<raw_client>> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(std::make_unique<raw_client>(listener.port(), "127.0.0.2"));
  EXPECT_TRUE(client.Get("/"));
  listener.stop_and_join(); // promptly
  EXPECT_EQ(listener.connections(), 0u);
}

class https_identity_test : public testing::Test {
 protected:
  std::string complaint() {
    try {
      https_identity identity(files);
      return "none";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  static void write(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(file) << text;
  }

  test::temporary_directory folder;
  https_files files = test::make_certificate(folder.path());
};

TEST_F(https_identity_test, names_the_file_that_is_wrong) {
  EXPECT_EQ(complaint(), "none");
  auto good = files;
  files.certificate = folder / "none.pem";
  EXPECT_THAT(complaint(), AllOf(HasSubstr("none.pem"), HasSubstr("No such file")));
  files = good;
  files.key = folder / "none.key";
  EXPECT_THAT(complaint(), AllOf(HasSubstr("none.key"), HasSubstr("No such file")));
  files = {good.certificate, test::make_certificate(folder.path(), "others").key};
  EXPECT_THAT(complaint(), AllOf(HasSubstr("others.key"), HasSubstr("server.pem"), HasSubstr("mismatch")));
  files = good;
  for (auto mode : {0644, 0604, 0660, 0620}) {
    ::chmod(files.key.c_str(), static_cast<mode_t>(mode));
    EXPECT_THAT(complaint(), AllOf(HasSubstr("server.key"), HasSubstr("others have access")));
  }
  for (auto mode : {0600, 0640, 0400}) {
    ::chmod(files.key.c_str(), static_cast<mode_t>(mode));
    EXPECT_EQ(complaint(), "none");
  }
  ::chmod(files.key.c_str(), 0600);
  write(files.key, "nonsense");
  EXPECT_THAT(complaint(), HasSubstr("server.key"));
  write(files.certificate, "nonsense");
  EXPECT_THAT(complaint(), HasSubstr("server.pem"));
}

} // namespace
} // namespace dtranspose
