#include "source/tcp_source.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/panda_tcp_series.hpp"
#include "protocol/panda_tcp.hpp"
#include "source/collector.hpp"
#include "source/file_descriptor.hpp"
#include "source/tcp_address.hpp"

namespace dtranspose {
namespace {

using test::collector, test::everything, test::soon;

/// Far beyond what anything here takes: reached only when something is broken.
constexpr int patience_ms = 30'000;

/// One side of a connection, driven by hand.
class peer {
 public:
  explicit peer(file_descriptor socket) : socket_(std::move(socket)) {}

  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      auto size = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
  }

  /// Sends until it takes no more for a moment, or `limit`; returns how much.
  std::size_t fill(std::size_t limit, int moment_ms = 0) const {
    const std::string block(1 << 16, 'x');
    std::size_t sent = 0;
    for (pollfd ready = {socket_.get(), POLLOUT, 0}; sent < limit && poll(&ready, 1, moment_ms) == 1;) {
      auto size = ::send(socket_.get(), block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (size < 0 && errno != EAGAIN) break;
      sent += static_cast<std::size_t>(std::max<ssize_t>(size, 0));
    }
    return sent;
  }

  std::string read(std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t got = 0;
    while (got < size) {
      pollfd ready = {socket_.get(), POLLIN, 0};
      if (poll(&ready, 1, patience_ms) != 1) break;
      auto more = recv(socket_.get(), bytes.data() + got, size - got, 0);
      if (more <= 0) break;
      got += static_cast<std::size_t>(more);
    }
    bytes.resize(got);
    return bytes;
  }

  /// Has it been closed from the other side?
  bool ended() const { return read(1).empty(); }

  void close() { socket_.close(); }

  /// Ends the connection as a machine does that has forgotten it.
  void break_off() {
    linger now = {1, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

  int fd() const { return socket_.get(); }

 private:
  file_descriptor socket_;
};

/// An instrument that waits for us.
class server {
 public:
  explicit server(const std::string& url = "tcp://127.0.0.1:*") {
    auto at = look_up(*parse_tcp_url(url, true), true).addresses.at(0);
    socket_ = file_descriptor(socket(at.family(), SOCK_STREAM, 0));
    int yes = 1;
    setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(socket_.get(), at.get(), at.size) != 0 || listen(socket_.get(), 8) != 0)
      throw std::runtime_error(std::strerror(errno));
  }

  std::string url() const { return url_of(local_address(socket_.get())); }

  peer accept() const {
    pollfd ready = {socket_.get(), POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, patience_ms), 1) << "nobody connects";
    return peer(file_descriptor(::accept(socket_.get(), nullptr, nullptr)));
  }

  void close() { socket_.close(); }

 private:
  file_descriptor socket_;
};

/// A format that passes pieces on as they are, and is told what happens.
class pieces final : public protocol {
 public:
  explicit pieces(std::string greeting = {}) : greeting_(std::move(greeting)) {}
  std::string_view name() const override { return "pieces"; }
  std::string_view type_tag() const override { return "PIECES"; }
  void read(stream_data message, std::vector<stream_packet>& packets) override {
    packets.push_back({std::move(message), {}});
  }
  void reset() override { ++resets; }
  void interrupted(std::vector<stream_packet>& packets) override {
    packets.push_back({.fault = packet_fault::interrupted, .numbered = false});
  }
  std::string_view greeting() const override { return greeting_; }

  static inline std::atomic<int> resets = 0;

 private:
  std::string greeting_;
};

std::unique_ptr<source> reader(const std::string& url, std::unique_ptr<protocol> format = {}) {
  return make_tcp_source({url, format ? std::move(format) : std::make_unique<pieces>()});
}

/// The bytes of all packets.
std::string bytes_of(const std::vector<stream_packet>& packets) {
  std::string bytes;
  for (auto& p : packets)
    for (auto& f : p.data.frames()) bytes += f.text();
  return bytes;
}

/// Waits for that many bytes.
std::string await(collector& got, std::size_t bytes) {
  std::string all;
  soon([&] { return (all = bytes_of(got.wait_for(0))).size() >= bytes; });
  return all;
}

TEST(tcp_source, greets_and_drops_while_idle) {
  server instrument;
  auto source = reader(instrument.url(), std::make_unique<pieces>("FRAMED RAW\n"));
  auto connection = instrument.accept();
  EXPECT_EQ(connection.read(11), "FRAMED RAW\n");
  EXPECT_TRUE(soon([&] { return source->status().connected; }));
  ASSERT_TRUE(connection.send("OK\n"));
  EXPECT_TRUE(soon([&] { return source->status().discarded == 1; }));
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(connection.send(std::string(1 << 16, 'x'))); // it reads all the time
  EXPECT_GT(source->status().discarded, 1u);
  auto status = source->status();
  EXPECT_TRUE(status.reading);
  EXPECT_EQ(status.error, "");
  EXPECT_EQ(status.address, instrument.url());
}

TEST(tcp_source, hands_over_every_byte_in_order) {
  server instrument;
  collector got;
  auto source = reader(instrument.url());
  auto connection = instrument.accept();
  source->arm(got.sink());
  source->allow(everything, 1);
  std::string sent;
  for (int i = 0; i < 3000; ++i) {
    std::string block(static_cast<std::size_t>(i * 37 % 3001), static_cast<char>('a' + i % 26));
    sent += block;
    ASSERT_TRUE(connection.send(block));
  }
  EXPECT_EQ(await(got, sent.size()), sent);
  std::uint64_t counted = 0;
  for (auto& packet : got.wait_for(0)) {
    counted += budgeted_bytes(packet.data.bytes());
    EXPECT_LE(packet.data.bytes(), tcp_piece_bytes);
    EXPECT_EQ(packet.data.type(), "PIECES");
  }
  EXPECT_EQ(got.bytes(), counted);
  for (auto& batch : got.batches()) {
    EXPECT_LE(batch->packets.size(), tcp_batch_packets);
    std::size_t bytes = 0;
    for (auto& packet : batch->packets) bytes += packet.data.bytes();
    EXPECT_LT(bytes, tcp_batch_bytes + tcp_piece_bytes);
  }
  EXPECT_EQ(source->status().discarded, 0u);
}

TEST(tcp_source, keeps_bytes_as_long_as_they_are_held) {
  stream_data held;
  {
    server instrument;
    collector got;
    auto source = reader(instrument.url());
    auto connection = instrument.accept();
    source->arm(got.sink());
    source->allow(everything, 1);
    ASSERT_TRUE(connection.send("kept"));
    held = got.wait_for(1).at(0).data;
  }
  EXPECT_EQ(held.frames()[0].text(), "kept");
}

TEST(tcp_source, empties_the_socket_when_armed) {
  server instrument;
  collector before, after;
  auto source = reader(instrument.url());
  auto connection = instrument.accept();
  source->arm(before.sink()); // without allowance: what is sent now stays in the socket
  const std::string old(100'000, 'o');
  ASSERT_TRUE(connection.send(old));
  source->allow(1, 0);
  ASSERT_EQ(before.wait_for(1).size(), 1u);
  auto resets = pieces::resets.load();
  source->arm(after.sink());
  EXPECT_EQ(pieces::resets, resets + 1);
  source->allow(everything, 1);
  ASSERT_TRUE(connection.send("new"));
  EXPECT_TRUE(soon([&] { return bytes_of(after.wait_for(0)).ends_with("new"); }));
  // What was in the socket at that time is gone; what was on its way may have come.
  EXPECT_GT(source->status().discarded, 0u);
  EXPECT_LE(before.wait_for(0).size(), 1u);
}

TEST(tcp_source, obeys_the_allowance) {
  server instrument;
  collector got;
  auto source = reader(instrument.url());
  auto connection = instrument.accept();
  source->arm(got.sink());
  EXPECT_TRUE(soon([&] { return !source->status().reading; }));
  ASSERT_TRUE(connection.send(std::string(50'000, 'x')));
  EXPECT_EQ(got.settled().size(), 0u);

  source->allow(0, 1); // one piece passes, however little is allowed
  ASSERT_EQ(got.wait_for(1).size(), 1u);
  ASSERT_TRUE(soon([&] { return !source->status().reading; }));
  EXPECT_EQ(got.settled().size(), 1u);
  EXPECT_LE(got.bytes(), budgeted_bytes(tcp_least_piece_bytes));

  auto one = got.bytes();
  source->allow(one, one); // no more than what was there
  EXPECT_EQ(got.settled().size(), 1u);
  source->allow(one + 10'000, 0);
  ASSERT_TRUE(soon([&] { return got.bytes() >= one + 10'000; }));
  ASSERT_TRUE(soon([&] { return !source->status().reading; }));
  EXPECT_LE(got.bytes(), one + 10'000 + budgeted_bytes(tcp_least_piece_bytes));
  EXPECT_LT(bytes_of(got.settled()).size(), 15'000u);

  source->allow(everything, 0);
  EXPECT_EQ(await(got, 50'000).size(), 50'000u);
  EXPECT_TRUE(soon([&] { return source->status().reading; }));
}

TEST(tcp_source, starts_at_no_allowance_when_armed_again) {
  server instrument;
  collector first, second;
  auto source = reader(instrument.url());
  auto connection = instrument.accept();
  source->arm(first.sink());
  source->allow(everything, 1);
  ASSERT_TRUE(connection.send("a"));
  ASSERT_EQ(first.wait_for(1).size(), 1u);
  source->arm(second.sink());
  ASSERT_TRUE(soon([&] { return !source->status().reading; }));
  ASSERT_TRUE(connection.send("b"));
  EXPECT_EQ(second.settled().size(), 0u);
  source->allow(1, 0);
  EXPECT_EQ(bytes_of(second.wait_for(1)), "b");
  EXPECT_EQ(first.wait_for(0).size(), 1u);
}

TEST(tcp_source, stops_the_sender_when_nobody_reads) {
  server instrument;
  collector got;
  auto source = reader(instrument.url());
  auto connection = instrument.accept();
  source->arm(got.sink());
  constexpr std::size_t limit = 256 << 20;
  auto sent = connection.fill(limit, 300);
  ASSERT_GT(sent, 0u);
  ASSERT_LT(sent, limit);
  source->allow(everything, 1);
  EXPECT_EQ(await(got, sent).size(), sent);
  ASSERT_TRUE(connection.send("more"));
  EXPECT_EQ(await(got, sent + 4).size(), sent + 4);
}

/// Processor time of this process.
double seconds_used() {
  timespec used = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

TEST(tcp_source, waits_without_working) {
  server instrument;
  collector got;
  auto source = reader(instrument.url());
  auto held_back = reader(instrument.url());
  auto nobody = reader("tcp://127.0.0.1:1");
  auto none = reader("tcp://none");
  auto connection = instrument.accept();
  auto other = instrument.accept();
  held_back->arm(got.sink());
  connection.fill(1 << 20);
  other.fill(1 << 20);
  other.close();
  auto before = seconds_used();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(seconds_used() - before, 0.1);
}

TEST(tcp_source, connects_again) {
  server instrument;
  collector got;
  auto source = reader(instrument.url(), std::make_unique<pieces>("hello\n"));
  auto connection = instrument.accept();
  EXPECT_EQ(connection.read(6), "hello\n");
  source->arm(got.sink());
  source->allow(everything, 1);
  ASSERT_TRUE(connection.send("one"));
  ASSERT_EQ(await(got, 3), "one");
  connection.close();
  auto next = instrument.accept();
  EXPECT_EQ(next.read(6), "hello\n");
  ASSERT_TRUE(next.send("two"));
  auto packets = got.wait_for(3);
  ASSERT_EQ(packets.size(), 3u);
  EXPECT_EQ(packets[1].fault, packet_fault::interrupted);
  EXPECT_EQ(bytes_of(packets), "onetwo");
  EXPECT_EQ(got.bytes(), 2 * budgeted_bytes(3));
  EXPECT_TRUE(source->status().connected);

  // As one that crashed.
  next.break_off();
  auto last = instrument.accept();
  EXPECT_EQ(got.wait_for(4).at(3).fault, packet_fault::interrupted);
}

TEST(tcp_source, tells_no_interruption_where_there_was_none_in_the_scan) {
  server instrument;
  collector got;
  auto source = reader(instrument.url());
  auto first = instrument.accept();
  ASSERT_TRUE(soon([&] { return source->status().connected; }));
  first.close(); // while idle
  ASSERT_TRUE(soon([&] { return !source->status().connected; }));
  source->arm(got.sink()); // connects for the first time of this scan
  source->allow(everything, 1);
  auto connection = instrument.accept();
  ASSERT_TRUE(connection.send("one"));
  auto packets = got.wait_for(1);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].fault);
  // Lost within a scan, and there again in the next.
  source->arm(got.sink());
  source->allow(everything, 1);
  connection.close();
  ASSERT_TRUE(soon([&] { return !source->status().connected; }));
  source->arm(got.sink());
  source->allow(everything, 1);
  auto next = instrument.accept();
  ASSERT_TRUE(next.send("two"));
  packets = got.wait_for(2);
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_FALSE(packets[1].fault);
}

TEST(tcp_source, waits_for_an_instrument) {
  std::string url;
  {
    server gone;
    url = gone.url();
  }
  collector got;
  auto source = reader(url);
  source->arm(got.sink());
  source->allow(everything, 1);
  EXPECT_TRUE(soon([&] { return source->status().error.find("Connection refused") != std::string::npos; }));
  EXPECT_THAT(source->status().error, testing::HasSubstr(url));
  EXPECT_FALSE(source->status().connected);
  EXPECT_TRUE(source->status().reading); // the silence is not ours
  server instrument(url);
  auto connection = instrument.accept();
  ASSERT_TRUE(connection.send("here"));
  EXPECT_EQ(await(got, 4), "here");
  EXPECT_TRUE(source->status().connected);
  EXPECT_EQ(source->status().error, "");
}

TEST(tcp_source, reads_by_name_and_ipv6) {
  for (auto [listen, connect] :
       {std::pair("tcp://[::1]:*", "tcp://[::1]:"), std::pair("tcp://127.0.0.1:*", "tcp://localhost:")}) {
    std::optional<server> instrument;
    try {
      instrument.emplace(listen);
    } catch (const std::exception& error) {
      GTEST_SKIP() << "no IPv6 here: " << error.what();
    }
    auto url = instrument->url();
    collector got;
    auto source = reader(connect + url.substr(url.rfind(':') + 1));
    source->arm(got.sink());
    source->allow(everything, 1);
    auto connection = instrument->accept();
    ASSERT_TRUE(connection.send("x"));
    EXPECT_EQ(await(got, 1), "x") << connect;
  }
}

TEST(tcp_source, says_what_an_instrument_said_before_it_hung_up) {
  server instrument;
  auto source = reader(instrument.url());
  for (int i = 0; i < 2; ++i) {
    auto connection = instrument.accept();
    ASSERT_TRUE(connection.send("ERR Invalid data capture option\nand \x01 more"));
    connection.close();
    EXPECT_TRUE(soon([&] {
      return source->status().error ==
             "cannot read from " + instrument.url() +
                 ": it closed the connection, saying: ERR Invalid data capture option";
    })) << source->status().error;
  }
  // It shows until one connection holds.
  auto connection = instrument.accept();
  ASSERT_TRUE(soon([&] { return source->status().connected; }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("Invalid data capture option"));
  EXPECT_TRUE(soon([&] { return source->status().error.empty(); }));
  // Or brings more than a reason.
  ASSERT_TRUE(connection.send("bye"));
  connection.close();
  auto next = instrument.accept();
  ASSERT_TRUE(soon([&] { return source->status().connected; }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("bye"));
  ASSERT_TRUE(next.send(std::string(tcp_farewell_bytes + 1, 'x')));
  EXPECT_TRUE(soon([&] { return source->status().error.empty(); }));
  next.close();
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  EXPECT_EQ(source->status().error, "");
}

TEST(tcp_source, says_that_an_address_is_none) {
  collector got;
  for (auto url : {"tcp://nowhere", "http://127.0.0.1:80", "tcp://127.0.0.1:*"}) {
    auto source = reader(url);
    EXPECT_THAT(source->status().error,
                testing::AllOf(testing::HasSubstr(url), testing::HasSubstr("tcp://HOST:PORT")));
    source->arm(got.sink());
    EXPECT_FALSE(source->status().reading);
    source->disarm();
  }
  auto source = reader("tcp://no-such-host.invalid:8889");
  EXPECT_TRUE(soon([&] { return !source->status().error.empty(); }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("no-such-host.invalid"));
  source->arm(got.sink());
}

/// A format that makes a number of empty packets of each byte.
class multiplier final : public protocol {
 public:
  std::string_view name() const override { return "multiplier"; }
  std::string_view type_tag() const override { return "MANY"; }
  void read(stream_data message, std::vector<stream_packet>& packets) override {
    for (std::size_t i = 0; i < per_byte * message.bytes(); ++i)
      packets.push_back({memory_frames::of("MANY", {"ab"}), {}});
  }
  static inline std::size_t per_byte = 0;
};

TEST(tcp_source, accounts_for_what_pieces_hold) {
  for (std::size_t n : {0, 1, 100}) {
    multiplier::per_byte = n;
    server instrument;
    collector got;
    auto source = reader(instrument.url(), std::make_unique<multiplier>());
    auto connection = instrument.accept();
    source->arm(got.sink());
    source->allow(everything, 1);
    std::uint64_t expected = 0;
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(connection.send("abc"));
      expected += std::max<std::uint64_t>(budgeted_bytes(3), 3 * n * budgeted_bytes(2));
      ASSERT_TRUE(soon([&] { return got.bytes() == expected; })) << got.bytes() << " instead of " << expected;
    }
    EXPECT_EQ(got.wait_for(0).size(), 60 * n);
  }
}

TEST(tcp_source, reads_a_panda_box) {
  for (auto format : {"ascii", "base64", "framed", "unframed"}) {
    constexpr std::uint64_t rows = 5000;
    series_settings settings = {.frames = rows,
                                .options = {{"format", format}, {"arms", "2"}, {"rows_per_message", "10"}}};
    auto series = make_panda_tcp_series(settings);
    server instrument;
    collector got;
    auto source = reader(instrument.url(), make_panda_tcp({{"format", format}}));
    auto connection = instrument.accept();
    EXPECT_EQ(connection.read(1).size(), 1u);
    ASSERT_TRUE(connection.send("OK\n"));
    source->arm(got.sink());
    source->allow(everything, 1);
    while (auto message = series->next()) ASSERT_TRUE(connection.send(message->frames()[0].text()));
    auto packets = got.wait_for(series->entries());
    ASSERT_EQ(packets.size(), series->entries());
    std::uint64_t counted = 0;
    for (std::uint64_t arm = 0; arm < 2; ++arm) {
      auto first = packets.begin() + static_cast<long>(arm * (rows + 2));
      EXPECT_EQ(first->numbers.kind, entry_kind::start);
      for (std::uint64_t i = 0; i < rows; ++i)
        ASSERT_EQ((first + static_cast<long>(i) + 1)->numbers.number, i);
      EXPECT_EQ((first + rows + 1)->numbers.count, rows);
    }
    for (auto& p : packets) {
      ASSERT_FALSE(p.fault);
      counted += budgeted_bytes(p.data.bytes());
    }
    EXPECT_GE(got.bytes(), counted); // or budgets would be given back more than they gave
  }
}

TEST(tcp_source, ends_in_any_state) {
  server instrument;
  for (int i = 0; i < 40; ++i) {
    collector got;
    auto source = reader(i % 7 == 0   ? "tcp://127.0.0.1:1"
                         : i % 7 == 1 ? "tcp://nothing.invalid:1"
                                      : instrument.url());
    std::optional<peer> connection;
    if (i % 7 > 3) {
      connection.emplace(instrument.accept());
      connection->fill(1 << 20);
    }
    if (i % 3 > 0) source->arm(got.sink());
    if (i % 3 > 1) source->allow(everything, 1);
    if (i % 2) source->disarm();
  }
}

TEST(tcp_source, takes_commands_from_many_threads) {
  server instrument;
  auto source = reader(instrument.url());
  auto connection = instrument.accept();
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    const std::string block(10'000, 'x');
    while (!stop && connection.send(block)) {
    }
  });
  std::atomic<int> armed = 0;
  std::vector<std::thread> users;
  for (int t = 0; t < 3; ++t)
    users.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        source->arm([&](auto) { ++armed; });
        source->allow(everything, 1);
        source->status();
        if (i % 2) source->disarm();
      }
    });
  for (auto& user : users) user.join();
  source->disarm();
  auto calls = armed.load();
  auto before = source->status().discarded;
  EXPECT_TRUE(soon([&] { return source->status().discarded > before + 100; }));
  EXPECT_EQ(armed, calls); // disarmed is disarmed
  stop = true;
  flood.join();
}

} // namespace
} // namespace dtranspose
