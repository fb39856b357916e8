#include "instrument/tcp_instrument.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/panda_tcp_series.hpp"
#include "protocol/panda_tcp.hpp"
#include "source/collector.hpp"
#include "source/file_descriptor.hpp"
#include "source/tcp_address.hpp"
#include "source/tcp_source.hpp"

namespace dtranspose {
namespace {

using test::collector, test::everything, test::soon;

/// Reached only when something is broken.
constexpr int patience_ms = 30'000;

/// A client that is driven by hand.
class caller {
 public:
  explicit caller(const std::string& url) {
    auto at = look_up(*parse_tcp_url(url)).addresses.at(0);
    socket_ = file_descriptor(socket(at.family(), SOCK_STREAM, 0));
    EXPECT_EQ(connect(socket_.get(), at.get(), at.size), 0);
    timeval patience = {patience_ms / 1000, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  void say(std::string_view text) {
    EXPECT_EQ(send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  std::string hear(std::size_t size) {
    std::string bytes(size, '\0');
    auto got = recv(socket_.get(), bytes.data(), size, MSG_WAITALL);
    bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return bytes;
  }

  /// Everything until the other side closes.
  std::string hear_all() {
    std::string all, piece;
    while (!(piece = hear(1 << 16)).empty()) all += piece;
    return all;
  }

  void close() { socket_.close(); }

 private:
  file_descriptor socket_;
};

/// Runs an instrument in a thread until this is gone.
struct running {
  explicit running(instrument& what)
      : thread([this, &what](std::stop_token stop) { outcome = what.run(stop); }) {}

  instrument::outcome join() {
    thread.join();
    return *outcome;
  }

  std::optional<instrument::outcome> outcome;
  std::jthread thread;
};

message_supply supply_of(std::vector<std::string> texts) {
  return [texts = std::move(texts), next = std::size_t{0}]() mutable -> std::optional<stream_data> {
    if (next == texts.size()) return std::nullopt;
    return memory_frames::of("T", {texts[next++]});
  };
}

/// Blocks of the letter x without end.
message_supply endless() {
  return [block = memory_frames::of("T", {std::string(1 << 16, 'x')})] { return std::optional(block); };
}

std::string agree(std::string_view) { return "OK\n"; }

TEST(tcp_instrument, answers_and_sends_everything) {
  std::string heard;
  auto sender = make_tcp_instrument({.answer =
                                         [&](std::string_view line) {
                                           heard = line;
                                           return "OK\n";
                                         }},
                                    supply_of({"one ", "", "two ", std::string(100'000, 'x')}));
  EXPECT_THAT(sender->address(), testing::StartsWith("tcp://127.0.0.1:"));
  running run(*sender);
  caller here(sender->address());
  here.say("FRAMED");
  here.say(" RAW\nand more");
  EXPECT_EQ(here.hear_all(), "OK\none two " + std::string(100'000, 'x'));
  EXPECT_EQ(run.join(), instrument::outcome::complete);
  EXPECT_EQ(heard, "FRAMED RAW");
  EXPECT_EQ(sender->messages(), 4u);
  EXPECT_EQ(sender->bytes(), 100'008u);
}

TEST(tcp_instrument, sends_every_part) {
  auto sender = make_tcp_instrument({}, [sent = false]() mutable -> std::optional<stream_data> {
    if (std::exchange(sent, true)) return std::nullopt;
    return memory_frames::of("T", {"a", "b", "c"});
  });
  running run(*sender);
  EXPECT_EQ(caller(sender->address()).hear_all(), "abc"); // without an answer nobody has to ask
  EXPECT_EQ(run.join(), instrument::outcome::complete);
}

TEST(tcp_instrument, refuses_and_waits_for_the_next) {
  auto sender = make_tcp_instrument(
      {.answer = [](std::string_view line) { return line == "please" ? "OK\n" : "ERR say please\n"; }},
      supply_of({"x"}));
  running run(*sender);
  caller rude(sender->address()), shy(sender->address()), endless(sender->address()),
      polite(sender->address());
  rude.say("give\n");
  EXPECT_EQ(rude.hear_all(), "ERR say please\n");
  shy.close();
  endless.say(std::string(tcp_request_limit, 'x'));
  polite.say("please\n");
  EXPECT_EQ(polite.hear_all(), "OK\nx");
  EXPECT_EQ(run.join(), instrument::outcome::complete);
}

TEST(tcp_instrument, waits_until_the_tail_is_taken) {
  auto sender = make_tcp_instrument({}, supply_of({std::string(std::size_t{64} << 20, 'x')}));
  running run(*sender);
  caller slow(sender->address());
  EXPECT_EQ(slow.hear(1), "x");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(sender->messages(), 0u); // not yet
  EXPECT_EQ(slow.hear_all().size(), (std::size_t{64} << 20) - 1);
  EXPECT_EQ(run.join(), instrument::outcome::complete);
}

TEST(tcp_instrument, ends_with_its_client) {
  auto sender = make_tcp_instrument({.answer = agree}, endless());
  running run(*sender);
  caller here(sender->address());
  here.say("\n");
  EXPECT_EQ(here.hear(4), "OK\nx");
  here.close();
  EXPECT_EQ(run.join(), instrument::outcome::stopped);
}

TEST(tcp_instrument, stops_whatever_it_waits_for) {
  for (int i = 0; i < 4; ++i) {
    auto sender = make_tcp_instrument({.rate = i == 3 ? 0.001 : 0, .answer = agree}, endless());
    running run(*sender);
    std::optional<caller> here;
    if (i > 0) here.emplace(sender->address()); // 0: for a client, 1: for its line
    if (i > 1) here->say("\n");                 // 2: for room to send, 3: for the next message
    if (i > 1) {
      EXPECT_EQ(here->hear(4), "OK\nx");
    }
    run.thread.request_stop();
    EXPECT_EQ(run.join(), instrument::outcome::stopped) << i;
  }
}

TEST(tcp_instrument, keeps_its_pace) {
  using namespace std::chrono;
  auto sender = make_tcp_instrument({.rate = 1000}, supply_of(std::vector<std::string>(32, "x")));
  auto start = steady_clock::now();
  running run(*sender);
  EXPECT_EQ(caller(sender->address()).hear_all().size(), 32u);
  EXPECT_EQ(run.join(), instrument::outcome::complete);
  // Never ahead of it. Being late is the machine's affair.
  EXPECT_GE(steady_clock::now() - start, milliseconds(31));
}

TEST(tcp_instrument, says_where_it_cannot_listen) {
  auto first = make_tcp_instrument({}, endless());
  for (auto& url :
       {first->address(), std::string("tcp://nowhere"), std::string("tcp://no-such-host.invalid:1")}) {
    try {
      auto second = make_tcp_instrument({.url = url}, endless());
      FAIL() << url;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(url));
    }
  }
}

TEST(tcp_instrument, is_a_panda_box_to_its_reader) {
  for (auto format : {"ascii", "base64", "framed", "unframed"})
    for (auto process : {"scaled", "raw"}) {
      protocol_options both = {{"format", format}, {"process", process}, {"xml", "true"}};
      series_settings settings = {.frames = 2000, .seed = 9, .options = both};
      settings.options["arms"] = "3";
      auto series = make_panda_tcp_series(settings);
      auto sender = make_tcp_instrument({.answer = answer_of_panda_series(settings.options)},
                                        [&] { return series->next(); });
      collector got;
      auto source = make_tcp_source({sender->address(), make_panda_tcp(both)});
      source->arm(got.sink());
      source->allow(everything, 1);
      running run(*sender);
      auto packets = got.wait_for(series->entries());
      EXPECT_EQ(run.join(), instrument::outcome::complete);
      ASSERT_EQ(packets.size(), 3u * 2002);
      for (auto& p : packets) ASSERT_FALSE(p.fault);
    }
}

TEST(tcp_instrument, tells_a_reader_that_asks_for_something_else) {
  auto sender = make_tcp_instrument({.answer = answer_of_panda_series({{"format", "framed"}})}, endless());
  running run(*sender);
  auto source = make_tcp_source({sender->address(), make_panda_tcp()});
  EXPECT_TRUE(soon([&] {
    return source->status().error.find("ERR this simulation sends Framed Scaled") != std::string::npos;
  })) << source->status().error;
  run.thread.request_stop();
}

} // namespace
} // namespace dtranspose
