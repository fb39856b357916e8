#include "cluster/tls_tunnel.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "certificates.hpp"
#include "source/collector.hpp"
#include "source/file_descriptor.hpp"
#include "source/tcp_address.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using test::certificate_authority, test::certificate_text, test::soon;
using testing::AllOf, testing::Contains, testing::ElementsAre, testing::HasSubstr, testing::SizeIs;

/// Far beyond what anything here takes: reached only when something is broken.
constexpr int patience_ms = 30'000;

// --- plain sockets
// --------------------------------------------------------------------------------------------

bool readable(int socket, int for_ms = patience_ms) {
  pollfd ready = {socket, POLLIN, 0};
  return poll(&ready, 1, for_ms) == 1;
}

/// One side of a plain connection, driven by hand.
class peer {
 public:
  peer() = default;
  explicit peer(file_descriptor socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return bool(socket_); }

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      auto size = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
  }

  /// So much, or less if there is no more.
  std::string read(std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t got = 0;
    while (got < size && readable(fd())) {
      auto more = recv(fd(), bytes.data() + got, size - got, 0);
      if (more <= 0) break;
      got += static_cast<std::size_t>(more);
    }
    bytes.resize(got);
    return bytes;
  }

  enum class ending { none, in_peace, reset };

  /// Waits for what comes after everything else.
  ending how_it_ends() const {
    char piece[1 << 16];
    while (readable(fd())) {
      auto size = recv(fd(), piece, sizeof piece, 0);
      if (size == 0) return ending::in_peace;
      if (size < 0) return ending::reset;
    }
    return ending::none;
  }

  /// Sends until it takes no more for a while, or `limit`.
  std::size_t fill(std::size_t limit) const {
    const std::string block(1 << 16, 'x');
    std::size_t sent = 0;
    for (pollfd ready = {fd(), POLLOUT, 0}; sent < limit && poll(&ready, 1, 500) == 1;) {
      auto size = ::send(fd(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (size < 0 && errno != EAGAIN) break;
      sent += static_cast<std::size_t>(std::max<ssize_t>(size, 0));
    }
    return sent;
  }

  void say_end() const { shutdown(fd(), SHUT_WR); }
  void close() { socket_.close(); }
  void reset() {
    linger now = {1, 0};
    setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

 private:
  file_descriptor socket_;
};

peer connect_to(std::uint16_t port) {
  auto found = look_up({"127.0.0.1", std::to_string(port)});
  auto& address = found.addresses.at(0);
  file_descriptor socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(socket.get(), address.get(), address.size) != 0) return {};
  return peer(std::move(socket));
}

/// Where a middleman would take connections.
class plain_listener {
 public:
  plain_listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in any = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 ||
        listen(socket_.get(), 64) != 0)
      throw std::runtime_error("cannot listen");
    port_ = ntohs(reinterpret_cast<const sockaddr_in*>(local_address(socket_.get()).get())->sin_port);
  }

  std::uint16_t port() const { return port_; }
  bool was_reached() const { return readable(socket_.get(), 0); }
  peer take() const {
    if (!readable(socket_.get())) return {};
    return peer(file_descriptor(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }

 private:
  file_descriptor socket_;
  std::uint16_t port_;
};

// --- a TLS side that does what it likes
// -----------------------------------------------------------------------

/// Whom it shows, and how it speaks.
struct tls_manner {
  std::optional<tls_files> shows;
  int version = TLS1_3_VERSION;
};

class tls_peer {
 public:
  tls_peer(peer plain, const tls_manner& manner, bool connects = true)
      : plain_(std::move(plain)), context_(SSL_CTX_new(TLS_method()), SSL_CTX_free) {
    SSL_CTX_set_min_proto_version(context_.get(), manner.version);
    SSL_CTX_set_max_proto_version(context_.get(), manner.version);
    if (manner.shows) {
      SSL_CTX_use_certificate_chain_file(context_.get(), manner.shows->certificate.c_str());
      SSL_CTX_use_PrivateKey_file(context_.get(), manner.shows->key.c_str(), SSL_FILETYPE_PEM);
    }
    timeval patience = {patience_ms / 1000, 0};
    setsockopt(plain_.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssl_ = {SSL_new(context_.get()), SSL_free};
    SSL_set_fd(ssl_.get(), plain_.fd());
    (void)(connects ? SSL_connect(ssl_.get()) : SSL_accept(ssl_.get()));
  }
  ~tls_peer() { ERR_clear_error(); }

  bool send(std::string_view text) {
    return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
  }
  /// Empty: it has ended.
  std::string read_some() {
    std::string text(1 << 14, '\0');
    auto size = SSL_read(ssl_.get(), text.data(), static_cast<int>(text.size()));
    text.resize(static_cast<std::size_t>(std::max(size, 0)));
    return text;
  }
  void say_end() { SSL_shutdown(ssl_.get()); }
  /// Without a word.
  void hang_up() { plain_.close(); }
  peer& plain() { return plain_; }

 private:
  peer plain_;
  std::shared_ptr<SSL_CTX> context_;
  std::shared_ptr<SSL> ssl_;
};

// --- what is logged
// -------------------------------------------------------------------------------------------

/// Made before any tunnel and gone after the last: loggers can't be changed while others log.
class log_lines {
 public:
  log_lines() : sink_(std::make_shared<gathering_sink>()), before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_));
  }
  ~log_lines() { spdlog::set_default_logger(before_); }

  std::vector<std::string> all() const { return sink_->lines(); }
  void forget() { sink_->forget(); }
  /// Waits for a line with that text.
  bool has(const std::string& text) const {
    return soon([&] {
      auto lines = all();
      return std::any_of(lines.begin(), lines.end(), [&](auto& l) { return l.find(text) != l.npos; });
    });
  }

 private:
  class gathering_sink : public spdlog::sinks::base_sink<std::mutex> {
   public:
    std::vector<std::string> lines() {
      std::lock_guard lock(mutex_);
      return lines_;
    }
    void forget() {
      std::lock_guard lock(mutex_);
      lines_.clear();
    }

   private:
    void sink_it_(const spdlog::details::log_msg& line) override {
      lines_.emplace_back(line.payload.begin(), line.payload.end());
    }
    void flush_() override {}
    std::vector<std::string> lines_;
  };

  std::shared_ptr<gathering_sink> sink_;
  std::shared_ptr<spdlog::logger> before_;
};

// --- the fixture
// ----------------------------------------------------------------------------------------------

/// Two plain sides whose bytes pass through a pair of tunnels.
struct connection {
  peer near, far;
};

class tls_tunnel_test : public testing::Test {
 protected:
  tls_tunnel_test() { signal(SIGPIPE, SIG_IGN); }

  /// So many connects as a test likes.
  static tls_limits generous() { return {.connects_per_second = 100'000}; }

  /// A tunnel that takes connections for `behind_`.
  tls_tunnel& open(tls_limits limits = generous()) {
    taking_ = std::make_unique<tls_tunnel>(node_, limits);
    port_ = taking_->listen("127.0.0.1", 0, behind_.port());
    return *taking_;
  }

  connection join(tls_tunnel& from) {
    auto near = connect_to(from.door_to("localhost", port_));
    return {std::move(near), behind_.take()};
  }

  static std::uint64_t failures(const tls_tunnel& tunnel) {
    auto s = tunnel.status();
    return s.failed_handshakes + s.timed_out;
  }

  log_lines log_;
  test::temporary_directory directory_;
  certificate_authority authority_{directory_.path(), "authority", "the authority"};
  certificate_authority stranger_{directory_.path(), "stranger", "a stranger"};
  certificate_authority namesake_{directory_.path(), "namesake", "the authority"};
  tls_files node_ = authority_.issue("node");
  tls_files other_node_ = authority_.issue("other_node");
  plain_listener behind_;
  std::unique_ptr<tls_tunnel> taking_;
  std::uint16_t port_ = 0;
};

/// Byte number n of a side's data.
char byte_at(std::uint64_t n, char side) {
  return static_cast<char>((n * 2654435761u >> 13) ^ (n >> 20) ^ side);
}

/// Sends until told to stop, then says so; returns how much.
std::uint64_t send_pattern(const peer& to, char side, const std::function<bool(std::uint64_t)>& go_on) {
  std::string block(50'000, '\0');
  std::uint64_t sent = 0;
  while (go_on(sent)) {
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = byte_at(sent + i, side);
    if (!to.send(block)) break;
    sent += block.size();
  }
  to.say_end();
  return sent;
}

/// Reads to the end in peace; returns how much was right, stopping at what is not.
std::uint64_t check_pattern(const peer& from, char side) {
  std::string block(1 << 16, '\0');
  std::uint64_t right = 0;
  while (readable(from.fd())) {
    auto size = recv(from.fd(), block.data(), block.size(), 0);
    if (size <= 0) return size == 0 ? right : 0;
    for (ssize_t i = 0; i < size; ++i, ++right)
      if (block[static_cast<std::size_t>(i)] != byte_at(right, side)) return right;
  }
  return 0;
}

// --- files
// ----------------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, names_the_file_that_is_wrong_and_why) {
  auto write = [&](const char* name, const std::string& text, mode_t mode = 0600) {
    auto path = directory_ / name;
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  };
  auto with = [&](auto member, const std::filesystem::path& file) {
    auto files = node_;
    files.*member = file;
    return files;
  };
  auto open_key = directory_ / "open.key";
  std::filesystem::copy_file(node_.key, open_key);
  chmod(open_key.c_str(), 0640);
  auto expired = authority_.issue("expired", {.from = std::chrono::hours(-48), .to = std::chrono::hours(-1)});
  auto early = authority_.issue("early", {.from = std::chrono::hours(1)});
  auto server_only = authority_.issue("server_only", {.usage = "serverAuth"});
  auto client_only = authority_.issue("client_only", {.usage = "clientAuth"});
  auto strange = stranger_.issue("strange");
  auto forged = namesake_.issue("forged");
  strange.authority = forged.authority = authority_.file();
  auto self_signed = authority_.issue_self_signed("self_signed");
  auto encrypted = write("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                          "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
                                          "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAAAAAAAAAAAAAAAAAAAAAAEgZA=\n"
                                          "-----END ENCRYPTED PRIVATE KEY-----\n");
  struct {
    tls_files files;
    std::string file, why;
  } const cases[] = {
      {with(&tls_files::certificate, "/nowhere/a.pem"), "certificate /nowhere/a.pem", "No such file"},
      {with(&tls_files::key, "/nowhere/a.key"), "key /nowhere/a.key", "No such file"},
      {with(&tls_files::authority, "/nowhere/ca.pem"), "authority /nowhere/ca.pem", "No such file"},
      {with(&tls_files::authority, ""), "authority", "no file is named"},
      {with(&tls_files::certificate, directory_.path()), directory_.path(), "Is a directory"},
      {with(&tls_files::certificate, write("empty.pem", "")), "empty.pem", "holds no certificate"},
      {with(&tls_files::certificate, node_.key), node_.key, "holds no certificate"},
      {with(&tls_files::authority,
            write("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")),
       "damaged.pem", "damaged"},
      {with(&tls_files::authority, node_.certificate), node_.certificate, "may not sign others"},
      {with(&tls_files::key, write("no.key", "nothing")), "no.key", "holds no private key"},
      {with(&tls_files::key, open_key), "open.key", "others may read it, its mode is 0640: chmod 600"},
      {with(&tls_files::key, other_node_.key), other_node_.key, "does not fit the certificate"},
      {with(&tls_files::authority, stranger_.file()), node_.certificate, "was not signed by the authority"},
      {expired, "expired.pem", "has expired"},
      {early, "early.pem", "not valid yet"},
      {server_only, "server_only.pem", "may not be shown by a client"},
      {client_only, "client_only.pem", "may not be shown by a server"},
      {forged, "forged.pem", "was not signed by the authority"},
      {strange, "strange.pem", "was not signed by the authority"},
      {self_signed, "self_signed.pem", "was not signed by the authority"},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.why);
    try {
      tls_tunnel tunnel(c.files);
      ADD_FAILURE() << "taken";
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(c.file), HasSubstr(c.why)));
    }
  }
  EXPECT_THROW(tls_tunnel(with(&tls_files::key, encrypted)), std::runtime_error) << "and asks nobody";
}

TEST_F(tls_tunnel_test, names_the_address_that_it_cannot_have) {
  open();
  tls_tunnel second(other_node_);
  auto why = [](auto action) -> std::string {
    try {
      action();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(why([&] { second.listen("127.0.0.1", port_, 1); }),
              HasSubstr("127.0.0.1:" + std::to_string(port_) + ": Address already in use"));
  EXPECT_THAT(why([&] { second.listen("nobody.invalid", 1, 1); }), HasSubstr("nobody.invalid:1"));
  tls_tunnel nameless(authority_.issue("nameless", {.names = ""}));
  EXPECT_THAT(why([&] { nameless.listen("127.0.0.1", 0, 1); }), HasSubstr("subjectAltName"));
}

// --- passing
// --------------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, passes_bytes_in_both_directions_and_the_end_of_each) {
  auto& taking = open();
  tls_tunnel dialling(other_node_);
  auto [near, far] = join(dialling);
  ASSERT_TRUE(near.send("to the far side"));
  EXPECT_EQ(far.read(15), "to the far side");
  near.say_end();
  EXPECT_EQ(far.how_it_ends(), peer::ending::in_peace);
  ASSERT_TRUE(far.send("still to the near side")) << "the other direction goes on";
  EXPECT_EQ(near.read(22), "still to the near side");
  far.say_end();
  EXPECT_EQ(near.how_it_ends(), peer::ending::in_peace);
  EXPECT_TRUE(soon([&] { return taking.status().open == 0 && dialling.status().open == 0; }));
  EXPECT_EQ(taking.status().accepted, 1u);
  EXPECT_EQ(dialling.status().dialled, 1u);
}

TEST_F(tls_tunnel_test, finds_a_peer_by_its_address_too) {
  open();
  tls_tunnel dialling(other_node_);
  auto near = connect_to(dialling.door_to("127.0.0.1", port_));
  ASSERT_TRUE(near.send("x"));
  EXPECT_EQ(behind_.take().read(1), "x");
}

TEST_F(tls_tunnel_test, changes_no_byte_of_many) {
  open();
  tls_tunnel dialling(other_node_);
  auto [near, far] = join(dialling);
  auto some = [](std::uint64_t sent) { return sent < 40'000'000; };
  std::uint64_t sent_near = 0, sent_far = 0, right_far = 0;
  std::thread a([&] { sent_near = send_pattern(near, 'n', some); });
  std::thread b([&] { sent_far = send_pattern(far, 'f', some); });
  std::thread c([&] { right_far = check_pattern(far, 'n'); });
  auto right_near = check_pattern(near, 'f');
  a.join();
  b.join();
  c.join();
  EXPECT_EQ(right_far, sent_near);
  EXPECT_EQ(right_near, sent_far);
}

TEST_F(tls_tunnel_test, stops_reading_while_the_other_side_is_full_and_loses_nothing) {
  open();
  tls_tunnel dialling(other_node_);
  auto [near, far] = join(dialling);
  constexpr std::size_t more_than_all_buffers = 512 << 20;
  auto sent = near.fill(more_than_all_buffers);
  ASSERT_LT(sent, more_than_all_buffers);
  ASSERT_TRUE(far.send("the other direction"));
  EXPECT_EQ(near.read(19), "the other direction") << "is not held up";
  near.say_end();
  EXPECT_TRUE(far.read(sent + 1) == std::string(sent, 'x'));
}

TEST_F(tls_tunnel_test, serves_many_connections_side_by_side) {
  open();
  tls_tunnel dialling(other_node_);
  std::vector<connection> all;
  for (int i = 0; i < 40; ++i) all.push_back(join(dialling));
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_TRUE(all[i].near.send(std::to_string(i) + ";"));
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i].far.read(std::to_string(i).size() + 1), std::to_string(i) + ";");
  EXPECT_EQ(dialling.status().open, 40u);
}

// --- what is lost
// ---------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, passes_a_reset_on) {
  open();
  tls_tunnel dialling(other_node_);
  {
    auto [near, far] = join(dialling);
    near.reset();
    EXPECT_EQ(far.how_it_ends(), peer::ending::reset);
  }
  auto [near, far] = join(dialling);
  far.reset();
  EXPECT_EQ(near.how_it_ends(), peer::ending::reset);
}

TEST_F(tls_tunnel_test, passes_a_reset_on_while_nothing_is_read) {
  open();
  tls_tunnel dialling(other_node_);
  auto [near, far] = join(dialling);
  near.fill(512 << 20);
  near.reset();
  pollfd broken = {far.fd(), 0, 0}; // asked for nothing: an error shows nevertheless
  EXPECT_EQ(poll(&broken, 1, patience_ms), 1);
}

TEST_F(tls_tunnel_test, shows_a_connection_cut_on_the_way_as_a_reset) {
  open();
  tls_peer wire(connect_to(port_), {.shows = other_node_});
  auto far = behind_.take();
  ASSERT_TRUE(wire.send("all but the last byt"));
  wire.hang_up(); // TCP ends in peace, TLS does not: somebody may have cut it
  EXPECT_EQ(far.read(20), "all but the last byt");
  EXPECT_EQ(far.how_it_ends(), peer::ending::reset);
}

TEST_F(tls_tunnel_test, shows_the_death_of_the_other_process) {
  // The process is made before there are threads in this one.
  int to_child[2], from_child[2];
  ASSERT_EQ(pipe(to_child) + pipe(from_child), 0);
  auto child = fork();
  if (child == 0) {
    std::uint16_t port = 0;
    if (read(to_child[0], &port, sizeof port) != sizeof port) _exit(1);
    tls_tunnel dialling(other_node_);
    auto near = connect_to(dialling.door_to("localhost", port));
    if (!near.send("alive") || near.read(5) != "alive" || write(from_child[1], "x", 1) != 1) _exit(1);
    while (true) pause();
  }
  open();
  ASSERT_EQ(write(to_child[1], &port_, sizeof port_), ssize_t{sizeof port_});
  auto far = behind_.take();
  EXPECT_EQ(far.read(5), "alive");
  ASSERT_TRUE(far.send("alive"));
  char greeted;
  ASSERT_EQ(read(from_child[0], &greeted, 1), 1);
  EXPECT_FALSE(readable(far.fd(), 0));
  kill(child, SIGKILL);
  EXPECT_EQ(far.how_it_ends(), peer::ending::reset);
  waitpid(child, nullptr, 0);
  for (int fd : {to_child[0], to_child[1], from_child[0], from_child[1]}) close(fd);
}

TEST_F(tls_tunnel_test, passes_the_last_words_on_before_it_goes) {
  open();
  auto dialling = std::make_unique<tls_tunnel>(other_node_);
  auto [near, far] = join(*dialling);
  auto [idle_near, idle_far] = join(*dialling);
  const std::string words(3'000'000, 'w');
  std::string heard;
  std::thread reader([&, far = &far] { heard = far->read(words.size() + 1); });
  ASSERT_TRUE(near.send(words));
  near.close();
  dialling.reset();
  reader.join();
  EXPECT_TRUE(heard == words) << heard.size();
  EXPECT_EQ(idle_far.how_it_ends(), peer::ending::reset);
}

// --- who is refused
// -------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, refuses_callers_and_says_why) {
  auto expired = authority_.issue("expired", {.from = std::chrono::hours(-48), .to = std::chrono::hours(-1)});
  auto early = authority_.issue("early", {.from = std::chrono::hours(1)});
  auto server_only = authority_.issue("server_only", {.usage = "serverAuth"});
  auto say = [](const char* text) {
    return [=](peer plain) {
      plain.send(text);
      EXPECT_NE(plain.how_it_ends(), peer::ending::none);
    };
  };
  auto show = [](tls_manner manner) {
    return [=](peer plain) {
      tls_peer wire(std::move(plain), manner);
      wire.send("let me in");
      EXPECT_EQ(wire.read_some(), "");
    };
  };
  struct {
    std::function<void(peer)> comes;
    std::string why;
  } const cases[] = {
      {show({}), "it shows no certificate"},
      {show({.shows = stranger_.issue("strange")}), "its certificate was not signed by our authority"},
      {show({.shows = namesake_.issue("forged")}), "its certificate was not signed by our authority"},
      {show({.shows = authority_.issue_self_signed("self_signed")}), "signed by itself"},
      {show({.shows = expired}), "its certificate has expired"},
      {show({.shows = early}), "its certificate is not valid yet"},
      {show({.shows = server_only}), "not meant for this (extendedKeyUsage)"},
      {show({.shows = other_node_, .version = TLS1_2_VERSION}), "one of us does not speak TLS 1.3"},
      {say("GET / HTTP/1.1\r\n\r\n"), "it does not speak TLS"},
      {say("\x16\x03\x01\x02rubbish, more rubbish, and rubbish again"), ""},
      {[](peer plain) { plain.close(); }, "it hung up during the handshake"},
      {[](peer plain) { EXPECT_NE(plain.how_it_ends(), peer::ending::none); },
       "no TLS handshake within 300 ms"},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.why);
    log_.forget();
    auto limits = generous();
    if (c.why.ends_with("300 ms")) limits.handshake = 300ms;
    auto& tunnel = open(limits);
    c.comes(connect_to(port_));
    EXPECT_TRUE(log_.has("refused the connection from 127.0.0.1:"));
    EXPECT_THAT(log_.all(), ElementsAre(HasSubstr(c.why)));
    EXPECT_EQ(failures(tunnel), 1u);
    EXPECT_EQ(tunnel.status().accepted, 0u);
    EXPECT_EQ(tunnel.status().open, 0u);
  }
  EXPECT_FALSE(behind_.was_reached());
}

TEST_F(tls_tunnel_test, believes_no_peer_whom_it_calls_without_proof) {
  auto expired = authority_.issue("expired", {.from = std::chrono::hours(-48), .to = std::chrono::hours(-1)});
  auto client_only = authority_.issue("client_only", {.usage = "clientAuth"});
  auto answer = [](tls_manner manner) {
    return [=](peer plain) {
      tls_peer wire(std::move(plain), manner, false);
      EXPECT_EQ(wire.read_some(), "");
    };
  };
  struct {
    std::function<void(peer)> answers;
    std::string why;
  } const cases[] = {
      {answer({.shows = stranger_.issue("strange")}), "its certificate was not signed by our authority"},
      {answer({.shows = namesake_.issue("forged")}), "its certificate was not signed by our authority"},
      {answer({.shows = authority_.issue_self_signed("self_signed")}), "signed by itself"},
      {answer({.shows = expired}), "its certificate has expired"},
      {answer({.shows = client_only}), "not meant for this (extendedKeyUsage)"},
      {answer({.shows = authority_.issue("elsewhere", {.names = "DNS:elsewhere,IP:127.0.0.1"})}),
       "subjectAltName"},
      {answer({.shows = authority_.issue("nameless", {.name = "localhost", .names = ""})}), "subjectAltName"},
      {answer({.shows = node_, .version = TLS1_2_VERSION}), "one of us does not speak TLS 1.3"},
      {[](peer plain) {
         plain.send("220 welcome to mail\r\n");
         EXPECT_NE(plain.how_it_ends(), peer::ending::none);
       },
       "it does not speak TLS"},
      {[](peer plain) { plain.close(); }, "during the handshake"},
      {[](peer plain) { EXPECT_NE(plain.how_it_ends(), peer::ending::none); },
       "no TLS handshake within 300 ms"},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.why);
    log_.forget();
    plain_listener impostor;
    auto limits = generous();
    if (c.why.ends_with("300 ms")) limits.handshake = 300ms;
    tls_tunnel dialling(other_node_, limits);
    auto near = connect_to(dialling.door_to("localhost", impostor.port()));
    near.send("a secret");
    std::thread answering([&] { c.answers(impostor.take()); });
    EXPECT_EQ(near.how_it_ends(), peer::ending::reset);
    answering.join();
    EXPECT_TRUE(log_.has("cannot connect to localhost:" + std::to_string(impostor.port()) + ": "));
    EXPECT_THAT(log_.all(), ElementsAre(HasSubstr(c.why)));
    EXPECT_EQ(failures(dialling), 1u);
  }
}

TEST_F(tls_tunnel_test, says_that_a_peer_does_not_trust_us) {
  taking_ = std::make_unique<tls_tunnel>(stranger_.issue("strange"));
  // It trusts one authority and we another, and its certificate is one that we trust.
  auto files = node_;
  std::ofstream both(directory_ / "both.pem");
  both << std::ifstream(authority_.file()).rdbuf() << std::ifstream(stranger_.file()).rdbuf();
  both.close();
  tls_tunnel open_minded({other_node_.certificate, other_node_.key, directory_ / "both.pem"});
  port_ = taking_->listen("localhost", 0, behind_.port());
  auto near = connect_to(open_minded.door_to("localhost", port_));
  EXPECT_EQ(near.how_it_ends(), peer::ending::reset);
  EXPECT_TRUE(
      log_.has("cannot connect to localhost:" + std::to_string(port_) + ": it refuses our certificate"));
  EXPECT_EQ(open_minded.status().failed_handshakes, 1u);
}

TEST_F(tls_tunnel_test, says_that_a_peer_is_not_there) {
  tls_tunnel dialling(other_node_);
  std::uint16_t nobody = plain_listener().port();
  auto near = connect_to(dialling.door_to("127.0.0.1", nobody));
  EXPECT_EQ(near.how_it_ends(), peer::ending::reset);
  auto lost = connect_to(dialling.door_to("nobody.invalid", 1));
  EXPECT_EQ(lost.how_it_ends(), peer::ending::reset);
  EXPECT_TRUE(log_.has("cannot connect to 127.0.0.1:" + std::to_string(nobody) + ": Connection refused"));
  EXPECT_TRUE(log_.has("cannot connect to nobody.invalid:1: "));
}

TEST_F(tls_tunnel_test, says_that_its_own_process_does_not_listen) {
  taking_ = std::make_unique<tls_tunnel>(node_);
  port_ = taking_->listen("127.0.0.1", 0, plain_listener().port());
  tls_tunnel dialling(other_node_);
  auto near = connect_to(dialling.door_to("localhost", port_));
  EXPECT_EQ(near.how_it_ends(), peer::ending::reset);
  EXPECT_TRUE(log_.has("nobody of this process takes its connection: Connection refused"));
}

// --- doors
// ----------------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, lets_one_connection_through_a_door) {
  open();
  tls_tunnel dialling(other_node_);
  auto door = dialling.door_to("localhost", port_);
  auto near = connect_to(door);
  auto far = behind_.take();
  ASSERT_TRUE(far);
  EXPECT_FALSE(connect_to(door));
}

TEST_F(tls_tunnel_test, closes_a_door_that_nobody_uses) {
  tls_tunnel dialling(other_node_, {.door = 50ms});
  auto door = dialling.door_to("localhost", 1);
  EXPECT_TRUE(soon([&] { return dialling.status().unused_doors == 1; }));
  EXPECT_FALSE(connect_to(door));
}

TEST_F(tls_tunnel_test, opens_no_more_doors_than_it_may_have_connections) {
  tls_tunnel dialling(other_node_, {.connections = 2});
  dialling.door_to("localhost", 1);
  dialling.door_to("localhost", 1);
  EXPECT_THROW(dialling.door_to("localhost", 1), std::runtime_error);
}

TEST_F(tls_tunnel_test, keeps_other_users_out_of_a_door) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  int to_child[2];
  ASSERT_EQ(pipe(to_child), 0);
  auto child = fork();
  if (child == 0) {
    std::uint16_t door = 0;
    if (read(to_child[0], &door, sizeof door) != sizeof door || setuid(65534) != 0) _exit(1);
    auto intruder = connect_to(door);
    _exit(intruder && intruder.how_it_ends() != peer::ending::none ? 0 : 2);
  }
  open();
  tls_tunnel dialling(other_node_);
  auto door = dialling.door_to("localhost", port_);
  ASSERT_EQ(write(to_child[1], &door, sizeof door), ssize_t{sizeof door});
  EXPECT_TRUE(soon([&] { return dialling.status().refused == 1; }));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(log_.has("another user of this machine"));
  auto near = connect_to(door);
  ASSERT_TRUE(near.send("x")) << "the door is still ours";
  EXPECT_EQ(behind_.take().read(1), "x");
  close(to_child[0]);
  close(to_child[1]);
}

TEST_F(tls_tunnel_test, knows_its_user_behind_a_socket_of_the_other_family) {
  open();
  tls_tunnel dialling(other_node_);
  auto door = dialling.door_to("localhost", port_);
  file_descriptor socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) GTEST_SKIP() << "no IPv6 here";
  sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(door)};
  inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
  ASSERT_EQ(connect(socket.get(), reinterpret_cast<sockaddr*>(&mapped), sizeof mapped), 0);
  peer near(std::move(socket));
  ASSERT_TRUE(near.send("x"));
  EXPECT_EQ(behind_.take().read(1), "x");
}

// --- limits
// ---------------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, lets_silent_callers_give_way) {
  auto limits = generous();
  limits.handshakes = 8;
  limits.handshake = 1h;
  auto& taking = open(limits);
  std::vector<peer> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(connect_to(port_));
  tls_tunnel dialling(other_node_);
  auto [near, far] = join(dialling);
  ASSERT_TRUE(near.send("x"));
  EXPECT_EQ(far.read(1), "x");
  EXPECT_GE(taking.status().timed_out, 32u);
}

TEST_F(tls_tunnel_test, takes_no_more_connections_than_it_may) {
  auto limits = generous();
  limits.connections = 2;
  auto& taking = open(limits);
  tls_tunnel dialling(other_node_);
  auto first = join(dialling), second = join(dialling);
  auto third = connect_to(dialling.door_to("localhost", port_));
  EXPECT_EQ(third.how_it_ends(), peer::ending::reset);
  EXPECT_EQ(taking.status().refused, 1u);
  EXPECT_TRUE(log_.has("there are 2 connections already"));
  ASSERT_TRUE(first.near.send("x"));
  EXPECT_EQ(first.far.read(1), "x");
  first = {};
  EXPECT_TRUE(soon([&] { return taking.status().open == 1; }));
  ASSERT_TRUE(join(dialling).far);
}

TEST_F(tls_tunnel_test, refuses_too_many_connects_of_one_address) {
  auto limits = generous();
  limits.connects_per_second = 5;
  auto& taking = open(limits);
  EXPECT_TRUE(soon([&] { // a second may end in between
    for (int i = 0; i < 20; ++i) connect_to(port_).close();
    return taking.status().refused > 0;
  }));
}

TEST_F(tls_tunnel_test, waits_when_there_are_no_more_descriptors) {
  auto& taking = open();
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  auto caller = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto none = before;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port_), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  auto connected = connect(caller, reinterpret_cast<sockaddr*>(&there), sizeof there);
  peer waiting{file_descriptor(caller)};
  auto complained = log_.has("cannot take TLS connections: Too many open files");
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_EQ(connected, 0);
  EXPECT_TRUE(complained);
  tls_peer wire(std::move(waiting), {.shows = other_node_});
  ASSERT_TRUE(wire.send("x"));
  EXPECT_EQ(behind_.take().read(1), "x");
  EXPECT_EQ(taking.status().accepted, 1u);
}

TEST_F(tls_tunnel_test, burns_no_processor_for_silent_callers) {
  auto limits = generous();
  limits.handshake = 1s;
  auto& taking = open(limits);
  auto used = [] {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
  };
  std::vector<peer> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(connect_to(port_));
    if (i % 2) silent.back().send("\x16\x03\x01"); // the beginning of a handshake
  }
  auto before = used();
  EXPECT_EQ(silent.front().how_it_ends(), peer::ending::reset);
  EXPECT_LT(used() - before, 200'000'000) << "of a second's";
  EXPECT_TRUE(soon([&] { return taking.status().timed_out == 40; }));
}

TEST_F(tls_tunnel_test, logs_little_of_very_much) {
  auto& taking = open();
  for (int i = 0; i < 200; ++i) {
    peer plain = connect_to(port_);
    plain.send("rubbish");
    ASSERT_NE(plain.how_it_ends(), peer::ending::none);
  }
  ASSERT_TRUE(soon([&] { return failures(taking) == 200; }));
  EXPECT_THAT(log_.all(), SizeIs(1));
  taking_.reset();
  EXPECT_THAT(log_.all(), ElementsAre(HasSubstr("it does not speak TLS"), HasSubstr("199 more")));
}

// --- all at once
// ----------------------------------------------------------------------------------------------

TEST_F(tls_tunnel_test, keeps_a_good_connection_whole_under_a_hail_of_bad_ones) {
  auto limits = generous();
  limits.handshake = 2s;
  auto& taking = open(limits);
  tls_tunnel dialling(other_node_, limits);
  auto [near, far] = join(dialling);

  auto expired = authority_.issue("expired", {.from = std::chrono::hours(-48), .to = std::chrono::hours(-1)});
  const tls_manner manners[] = {{},
                                {.shows = stranger_.issue("strange")},
                                {.shows = authority_.issue_self_signed("self_signed")},
                                {.shows = expired},
                                {.shows = other_node_, .version = TLS1_2_VERSION}};
  constexpr int rounds = 60, kinds = 9;
  plain_listener impostor;
  std::atomic<bool> hailing = true;
  std::thread hail([&] {
    std::vector<peer> silent;
    for (int i = 0; i < rounds; ++i) {
      for (auto& manner : manners) tls_peer(connect_to(port_), manner).read_some();
      auto garbage = connect_to(port_);
      garbage.send("GET / HTTP/1.1\r\n\r\n" + std::string(20'000, 'g'));
      garbage.how_it_ends();
      connect_to(port_).reset();
      silent.push_back(connect_to(port_));
      // The side that dials has good connections and bad ones in one thread too.
      auto deceived = connect_to(dialling.door_to("localhost", impostor.port()));
      tls_peer(impostor.take(), {.shows = expired}, false).read_some();
      deceived.how_it_ends();
    }
    for (auto& plain : silent) plain.how_it_ends();
    hailing = false;
  });

  auto go_on = [&](std::uint64_t) { return hailing.load(); };
  std::uint64_t sent_near = 0, sent_far = 0, right_far = 0;
  std::thread a([&] { sent_near = send_pattern(near, 'n', go_on); });
  std::thread b([&] { sent_far = send_pattern(far, 'f', go_on); });
  std::thread c([&, far = &far] { right_far = check_pattern(*far, 'n'); });
  auto right_near = check_pattern(near, 'f');
  for (auto thread : {&hail, &a, &b, &c}) thread->join();

  EXPECT_GT(sent_near, 0u);
  EXPECT_EQ(right_far, sent_near);
  EXPECT_EQ(right_near, sent_far);
  EXPECT_EQ(taking.status().accepted, 1u);
  EXPECT_TRUE(soon([&] { return failures(taking) + failures(dialling) == rounds * kinds; }))
      << failures(taking) << " and " << failures(dialling);
}

} // namespace
} // namespace dtranspose
