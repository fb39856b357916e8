#include "source/zmq_source.hpp"

#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zmq.hpp>

#include "protocol/stins.hpp"

namespace dtranspose {
namespace {

/// Far beyond what anything here takes: reached only when something is broken.
constexpr auto patience = std::chrono::seconds(30);
constexpr auto plenty = std::numeric_limits<std::uint64_t>::max();

template <class F>
bool await(F condition) {
  auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

/// A sink that keeps everything; to be declared before the source that calls it.
class collector {
 public:
  packet_sink sink() {
    return [this](std::shared_ptr<const packet_batch> batch) {
      std::lock_guard lock(mutex_);
      bytes_ += batch->bytes;
      largest_ = std::max(largest_, batch->packets.size());
      packets_.insert(packets_.end(), batch->packets.begin(), batch->packets.end());
      changed_.notify_all();
    };
  }

  bool await_packets(std::size_t n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return packets_.size() >= n; });
  }

  std::vector<stream_packet> packets() const {
    std::lock_guard lock(mutex_);
    return packets_;
  }
  std::size_t size() const { return packets().size(); }
  std::uint64_t bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }
  std::size_t largest_batch() const {
    std::lock_guard lock(mutex_);
    return largest_;
  }
  std::vector<std::uint64_t> numbers() const {
    std::vector<std::uint64_t> numbers;
    for (auto& packet : packets()) numbers.push_back(packet.numbers.number.value_or(999'999));
    return numbers;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<stream_packet> packets_;
  std::uint64_t bytes_ = 0;
  std::size_t largest_ = 0;
};

/// An instrument, driven by hand.
struct sender {
  explicit sender(zmq::socket_type type = zmq::socket_type::push,
                  const std::string& url = "tcp://127.0.0.1:*", int mark = 1000) {
    socket = zmq::socket_t(context, type);
    socket.set(zmq::sockopt::sndhwm, mark); // a listening socket takes no other later
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndtimeo, static_cast<int>(patience / std::chrono::milliseconds(1)));
    socket.bind(url);
  }

  std::string address() const { return socket.get(zmq::sockopt::last_endpoint); }

  bool send(std::uint64_t frame, std::size_t size = 12, int blobs = 1) {
    const std::size_t shape[] = {static_cast<std::size_t>(blobs), size};
    write_stins_image(text, frame + 1, {frame, shape, "uint8"});
    if (!socket.send(zmq::buffer(text), zmq::send_flags::sndmore)) return false;
    std::string pixels(size, static_cast<char>('a' + frame % 26));
    for (int i = 1; i < blobs; ++i)
      if (!socket.send(zmq::buffer(pixels), zmq::send_flags::sndmore)) return false;
    return socket.send(zmq::buffer(pixels)).has_value();
  }

  zmq::context_t context;
  zmq::socket_t socket;
  std::string text;
};

std::unique_ptr<source> reader(const std::string& url, zmq_socket_kind kind = zmq_socket_kind::pull,
                               bool bind = false, std::optional<int> mark = {}) {
  return make_zmq_source({url, kind, bind, make_stins(), mark}, make_zmq_context());
}

TEST(zmq_source, drops_while_idle_and_counts) {
  sender instrument;
  auto source = reader(instrument.address());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(instrument.send(i));
  EXPECT_TRUE(await([&] { return source->status().discarded == 10; }));
  EXPECT_TRUE(await([&] { return source->status().connected; }));
  EXPECT_TRUE(source->status().reading);
  EXPECT_EQ(source->status().error, "");
  EXPECT_EQ(source->status().address, instrument.address());
}

TEST(zmq_source, hands_over_everything_in_order) {
  sender instrument;
  collector got;
  auto source = reader(instrument.address());
  source->arm(got.sink());
  source->allow(plenty, 1);
  constexpr int n = 3000;
  for (int i = 0; i < n; ++i) ASSERT_TRUE(instrument.send(i));
  ASSERT_TRUE(got.await_packets(n));
  auto numbers = got.numbers();
  for (int i = 0; i < n; ++i) ASSERT_EQ(numbers[i], i);
  EXPECT_LE(got.largest_batch(), zmq_batch_packets);
  std::uint64_t bytes = 0;
  for (auto& packet : got.packets()) bytes += budgeted_bytes(packet.data.bytes());
  EXPECT_EQ(got.bytes(), bytes);
  EXPECT_EQ(got.packets()[0].data.type(), "STINS");
  EXPECT_EQ(source->status().discarded, 0u);
}

TEST(zmq_source, delivers_the_bytes_that_were_sent) {
  sender instrument;
  collector got;
  auto source = reader(instrument.address());
  source->arm(got.sink());
  source->allow(plenty, 1);
  const std::size_t sizes[] = {0, 1, 12, 33, 34, 8192, 100'000};
  const int parts[] = {1, 2, 3, 4, 9, 200};
  std::size_t n = 0;
  for (auto size : sizes)
    for (auto blobs : parts) ASSERT_TRUE(instrument.send(n++, size, blobs));
  ASSERT_TRUE(got.await_packets(n));
  n = 0;
  for (auto size : sizes)
    for (auto blobs : parts) {
      auto packet = got.packets()[n];
      ASSERT_FALSE(packet.fault) << size << " bytes in " << blobs << " blobs";
      auto frames = packet.data.frames();
      ASSERT_EQ(frames.size(), 1u + blobs);
      for (auto& f : frames.subspan(1))
        EXPECT_EQ(f.text(), std::string(size, static_cast<char>('a' + n % 26)));
      ++n;
    }
}

TEST(zmq_source, copies_nothing) {
  // Over inproc, ZeroMQ hands on the very memory that was sent: what arrives must lie in it.
  auto context = make_zmq_context();
  zmq::socket_t instrument(*context, zmq::socket_type::push);
  instrument.bind("inproc://instrument");
  collector got;
  auto source = make_zmq_source({"inproc://instrument", zmq_socket_kind::pull, false, make_stins()}, context);
  source->arm(got.sink());
  source->allow(plenty, 1);
  static char pixels[5000];
  std::string text;
  const std::size_t shape[] = {sizeof pixels};
  write_stins_image(text, 0, {0, shape, "uint8"});
  instrument.send(zmq::buffer(text), zmq::send_flags::sndmore);
  instrument.send(zmq::message_t(
                      pixels, sizeof pixels, [](void*, void*) {}, nullptr),
                  zmq::send_flags::none);
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_EQ(static_cast<const void*>(got.packets()[0].data.frames()[1].data()), pixels);
}

TEST(zmq_source, keeps_bytes_as_long_as_they_are_held) {
  stream_data held;
  {
    sender instrument;
    collector got;
    auto source = reader(instrument.address());
    source->arm(got.sink());
    source->allow(plenty, 1);
    ASSERT_TRUE(instrument.send(3, 100'000));
    ASSERT_TRUE(got.await_packets(1));
    held = got.packets()[0].data;
  }
  EXPECT_EQ(held.frames()[1].text(), std::string(100'000, 'd'));
}

TEST(zmq_source, empties_the_socket_when_armed) {
  sender instrument;
  collector before, after;
  auto source = reader(instrument.address());
  source->arm(before.sink()); // without allowance: what is sent now stays in the socket
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(instrument.send(i));
  source->allow(1, 0);
  ASSERT_TRUE(before.await_packets(1)); // so the others are here, or right behind
  source->disarm();
  ASSERT_TRUE(await([&] { return source->status().discarded == 19; }));
  source->arm(after.sink());
  source->allow(plenty, 1);
  for (int i = 100; i < 103; ++i) ASSERT_TRUE(instrument.send(i));
  ASSERT_TRUE(after.await_packets(3));
  EXPECT_THAT(after.numbers(), testing::ElementsAre(100, 101, 102));
  EXPECT_EQ(before.size(), 1u);
}

TEST(zmq_source, obeys_the_allowance) {
  sender instrument;
  collector got;
  auto source = reader(instrument.address());
  source->arm(got.sink());
  EXPECT_TRUE(await([&] { return !source->status().reading; }));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(instrument.send(i, 1000));
  EXPECT_EQ(got.size(), 0u);

  source->allow(0, 1); // one passes, however little is allowed
  ASSERT_TRUE(got.await_packets(1));
  ASSERT_TRUE(await([&] { return !source->status().reading; }));
  EXPECT_EQ(got.size(), 1u);

  auto each = got.bytes();
  source->allow(3 * each, 0);
  ASSERT_TRUE(got.await_packets(3));
  ASSERT_TRUE(await([&] { return !source->status().reading; }));
  EXPECT_EQ(got.size(), 3u);

  source->allow(3 * each + 1, 0); // begun is passed
  ASSERT_TRUE(got.await_packets(4));
  source->allow(3 * each + 1, 0);
  ASSERT_TRUE(await([&] { return !source->status().reading; }));
  EXPECT_EQ(got.size(), 4u);

  source->allow(plenty, 0);
  ASSERT_TRUE(got.await_packets(10));
  EXPECT_TRUE(await([&] { return source->status().reading; }));
  EXPECT_THAT(got.numbers(), testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(zmq_source, starts_at_no_allowance_when_armed_again) {
  sender instrument;
  collector first, second;
  auto source = reader(instrument.address());
  source->arm(first.sink());
  source->allow(plenty, 1);
  ASSERT_TRUE(instrument.send(0));
  ASSERT_TRUE(first.await_packets(1));
  source->arm(second.sink());
  ASSERT_TRUE(await([&] { return !source->status().reading; }));
  ASSERT_TRUE(instrument.send(1));
  source->allow(1, 0);
  ASSERT_TRUE(second.await_packets(1));
  EXPECT_EQ(first.size(), 1u);
}

/// Sends until the socket takes no more; 0 if it takes `limit`.
int sent_until_blocked(sender& instrument, std::size_t size, int limit) {
  instrument.socket.set(zmq::sockopt::sndtimeo, 300);
  for (int i = 0; i < limit; ++i)
    if (!instrument.send(i, size)) return i;
  return 0;
}

TEST(zmq_source, stops_the_sender_when_nobody_reads) {
  sender instrument(zmq::socket_type::push, "tcp://127.0.0.1:*", 5);
  collector got;
  auto source = reader(instrument.address(), zmq_socket_kind::pull, false, 10);
  source->arm(got.sink());
  auto sent = sent_until_blocked(instrument, 1 << 20, 1000);
  ASSERT_GT(sent, 0);
  EXPECT_LT(sent, 100);
  source->allow(plenty, 1);
  ASSERT_TRUE(got.await_packets(sent));
  ASSERT_TRUE(instrument.send(sent, 1 << 20));
  EXPECT_TRUE(got.await_packets(sent + 1));
}

TEST(zmq_source, lets_little_wait_once_frames_are_large) {
  sender instrument(zmq::socket_type::push, "tcp://127.0.0.1:*", 2);
  collector got;
  auto source = reader(instrument.address());
  source->arm(got.sink());
  source->allow(1, 1);
  constexpr int size = 8 << 20;
  ASSERT_TRUE(instrument.send(0, size)); // seen: 8 of these may wait, not 1000
  ASSERT_TRUE(got.await_packets(1));
  auto sent = sent_until_blocked(instrument, size, 60);
  ASSERT_GT(sent, 0);
  EXPECT_LE(sent, 16);
  source->allow(plenty, 0);
  EXPECT_TRUE(got.await_packets(sent + 1));
}

TEST(zmq_source, lets_little_wait_where_it_listens) {
  collector got;
  auto source = reader("tcp://127.0.0.1:*", zmq_socket_kind::pull, true);
  source->arm(got.sink());
  sender instrument;
  instrument.socket.unbind(instrument.address());
  instrument.socket.set(zmq::sockopt::sndhwm, 2);
  instrument.socket.connect(source->status().address);
  auto sent = sent_until_blocked(instrument, 1 << 20, 300);
  ASSERT_GT(sent, 0);
  EXPECT_LE(sent, 130);
}

/// Listens, greets like a PUSH socket, announces a part of 2^62 bytes and hangs up.
std::string break_the_protocol_once(std::thread& thread) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), size), 0);
  EXPECT_EQ(listen(listener, 1), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  thread = std::thread([listener] {
    int peer = accept(listener, nullptr, nullptr);
    close(listener);
    using namespace std::literals;
    std::string bytes = "\xff\0\0\0\0\0\0\0\0\x7f\x03\0NULL"s;
    bytes.resize(64);
    bytes += "\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH"sv;
    bytes += "\x02\x40\0\0\0\0\0\0\0"sv;
    EXPECT_EQ(write(peer, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    char answer[256];
    while (read(peer, answer, sizeof answer) > 0) {
    }
    close(peer);
  });
  return "tcp://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
}

TEST(zmq_source, joins_again_after_its_peer_broke_the_protocol) {
  std::thread broken;
  auto address = break_the_protocol_once(broken);
  collector got;
  auto source = reader(address);
  source->arm(got.sink());
  source->allow(plenty, 1);
  broken.join();
  sender instrument(zmq::socket_type::push, address);
  ASSERT_TRUE(instrument.send(5));
  EXPECT_TRUE(got.await_packets(1));
}

TEST(zmq_source, subscribes) {
  sender instrument(zmq::socket_type::xpub);
  instrument.socket.set(zmq::sockopt::rcvtimeo, 30'000);
  collector got, others;
  auto source = reader(instrument.address(), zmq_socket_kind::sub);
  auto other = reader(instrument.address(), zmq_socket_kind::sub);
  instrument.socket.set(zmq::sockopt::xpub_verbose, 1);
  for (int i = 0; i < 2; ++i) {
    zmq::message_t subscription;
    ASSERT_TRUE(instrument.socket.recv(subscription));
  }
  source->arm(got.sink());
  other->arm(others.sink());
  source->allow(plenty, 1);
  other->allow(plenty, 1);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(instrument.send(i));
  EXPECT_TRUE(got.await_packets(100));
  EXPECT_TRUE(others.await_packets(100)); // each has all of them, unlike readers of a PUSH
}

TEST(zmq_source, listens_for_the_instrument) {
  collector got;
  auto source = reader("tcp://127.0.0.1:*", zmq_socket_kind::pull, true);
  source->arm(got.sink());
  source->allow(plenty, 1);
  EXPECT_FALSE(source->status().connected);
  sender instrument;
  instrument.socket.unbind(instrument.address());
  instrument.socket.connect(source->status().address);
  ASSERT_TRUE(instrument.send(7));
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_TRUE(await([&] { return source->status().connected; }));
}

TEST(zmq_source, waits_for_an_instrument_and_joins_it_again) {
  auto first = std::make_unique<sender>();
  auto address = first->address();
  first.reset(); // the port is free, as far as anyone can tell
  collector got;
  auto source = reader(address);
  source->arm(got.sink());
  source->allow(plenty, 1);
  EXPECT_FALSE(source->status().connected);

  first = std::make_unique<sender>(zmq::socket_type::push, address);
  ASSERT_TRUE(first->send(1));
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_TRUE(await([&] { return source->status().connected; }));
  first.reset();
  EXPECT_TRUE(await([&] { return !source->status().connected; }));

  sender second(zmq::socket_type::push, address);
  ASSERT_TRUE(second.send(2));
  ASSERT_TRUE(got.await_packets(2));
  EXPECT_TRUE(await([&] { return source->status().connected; }));
}

TEST(zmq_source, reports_bad_bytes) {
  sender instrument;
  collector got;
  auto source = reader(instrument.address());
  source->arm(got.sink());
  source->allow(plenty, 1);
  instrument.socket.send(zmq::buffer(std::string_view("junk")));
  instrument.socket.send(zmq::message_t(), zmq::send_flags::none);
  for (std::size_t i = 0; i < 5000; ++i) // more parts than are taken
    instrument.socket.send(zmq::buffer(std::string_view("x")), zmq::send_flags::sndmore);
  instrument.socket.send(zmq::message_t(), zmq::send_flags::none);
  ASSERT_TRUE(instrument.send(4));
  ASSERT_TRUE(got.await_packets(4));
  auto packets = got.packets();
  EXPECT_EQ(packets[0].fault, packet_fault::not_json);
  EXPECT_EQ(packets[1].fault, packet_fault::not_json);
  EXPECT_EQ(packets[2].fault, packet_fault::oversized);
  EXPECT_FALSE(packets[2].numbered);
  EXPECT_FALSE(packets[3].fault);
  EXPECT_EQ(packets[3].numbers.number, 4u);
  EXPECT_GT(got.bytes(), 5000u);
}

/// A format that finds nothing in any message.
class deaf final : public protocol {
 public:
  std::string_view name() const override { return "deaf"; }
  std::string_view type_tag() const override { return "DEAF"; }
  void read(stream_data, std::vector<stream_packet>&) override {}
  void reset() override { ++resets; }
  static inline std::atomic<int> resets = 0;
};

TEST(zmq_source, accounts_for_messages_that_hold_nothing) {
  sender instrument;
  collector got;
  auto source = make_zmq_source(
      {instrument.address(), zmq_socket_kind::pull, false, std::make_unique<deaf>()}, make_zmq_context());
  auto before = deaf::resets.load();
  source->arm(got.sink());
  EXPECT_EQ(deaf::resets, before + 1);
  source->allow(plenty, 1);
  for (int i = 0; i < 600; ++i) instrument.socket.send(zmq::buffer(std::string_view("beat")));
  EXPECT_TRUE(await([&] { return got.bytes() == 600 * budgeted_bytes(4); }));
  EXPECT_EQ(got.size(), 0u);
}

TEST(zmq_source, says_why_it_cannot_listen_and_tries_again) {
  auto holder = std::make_unique<sender>();
  auto address = holder->address();
  collector got;
  auto source = reader(address, zmq_socket_kind::pull, true);
  EXPECT_THAT(source->status().error,
              testing::AllOf(testing::HasSubstr(address), testing::HasSubstr("in use")));
  EXPECT_FALSE(source->status().reading);
  source->arm(got.sink());
  source->allow(plenty, 1);
  holder.reset();
  ASSERT_TRUE(await([&] { return source->status().error.empty(); }));
  sender instrument;
  instrument.socket.unbind(instrument.address());
  instrument.socket.connect(address);
  ASSERT_TRUE(instrument.send(1));
  EXPECT_TRUE(got.await_packets(1));
}

TEST(zmq_source, says_that_an_address_is_none) {
  collector got;
  auto source = reader("tcp://nowhere");
  EXPECT_THAT(source->status().error, testing::HasSubstr("tcp://nowhere"));
  source->arm(got.sink());
  source->disarm();
}

TEST(zmq_source, ends_in_any_state) {
  sender instrument;
  instrument.socket.set(zmq::sockopt::sndtimeo, 50);
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    // In one part: libzmq 4.3.4 leaks the first parts of a message whose reader goes in the middle
    // of it.
    const std::string message(10'000, 'x');
    while (!stop) instrument.socket.send(zmq::buffer(message));
  });
  for (int i = 0; i < 30; ++i) {
    collector got;
    auto source = reader(instrument.address());
    if (i % 3 > 0) source->arm(got.sink());
    if (i % 3 > 1) {
      source->allow(plenty, 1);
      ASSERT_TRUE(got.await_packets(1));
    }
    if (i % 2) source->disarm();
  }
  stop = true;
  flood.join();
}

TEST(zmq_source, takes_commands_from_many_threads) {
  sender instrument;
  instrument.socket.set(zmq::sockopt::sndtimeo, 50);
  std::atomic<int> armed = 0;
  auto source = reader(instrument.address());
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    for (std::uint64_t i = 0; !stop; ++i) instrument.send(i, 100);
  });
  std::vector<std::thread> users;
  for (int t = 0; t < 3; ++t)
    users.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        source->arm([&](auto) { ++armed; });
        source->allow(plenty, 1);
        source->status();
        if (i % 2) source->disarm();
      }
    });
  for (auto& user : users) user.join();
  source->disarm();
  auto calls = armed.load();
  auto before = source->status().discarded;
  EXPECT_TRUE(await([&] { return source->status().discarded > before + 100; }));
  EXPECT_EQ(armed, calls); // disarmed is disarmed
  stop = true;
  flood.join();
}

// --- CURVE ---------------------------------------------------------------------------------------

/// An instrument with keys of its own, which listens or connects.
struct curve_instrument {
  void listen() {
    prepare();
    socket.set(zmq::sockopt::curve_server, true);
    socket.bind("tcp://127.0.0.1:*");
  }
  void connect(const std::string& address, const std::string& server) {
    prepare();
    socket.set(zmq::sockopt::curve_serverkey, server);
    socket.connect(address);
  }
  std::string address() const { return socket.get(zmq::sockopt::last_endpoint); }
  /// Waits until the socket takes it: for PUSH, until a peer is there.
  bool send(std::uint64_t frame) {
    const std::size_t shape[] = {3};
    std::string text;
    write_stins_image(text, frame + 1, {frame, shape, "uint8"});
    return socket.send(zmq::buffer(text), zmq::send_flags::sndmore) &&
           socket.send(zmq::buffer(std::string_view("abc")));
  }

  curve_pair keys = make_curve_pair();
  zmq::context_t context;
  zmq::socket_t socket{context, zmq::socket_type::push};

 private:
  void prepare() {
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::immediate, 1); // nothing may wait for a peer that is not proved
    socket.set(zmq::sockopt::sndtimeo, static_cast<int>(patience / std::chrono::milliseconds(1)));
    socket.set(zmq::sockopt::curve_publickey, keys.public_key);
    socket.set(zmq::sockopt::curve_secretkey, keys.secret_key);
  }
};

std::unique_ptr<source> curve_reader(const std::string& url, bool bind, std::optional<curve_keys> keys) {
  zmq_source_options options{url, zmq_socket_kind::pull, bind, make_stins()};
  options.curve = std::move(keys);
  return make_zmq_source(std::move(options), make_zmq_context());
}

TEST(zmq_source_curve, connects_to_an_instrument_with_the_right_key) {
  curve_instrument instrument;
  instrument.listen();
  collector got;
  auto source =
      curve_reader(instrument.address(), false, curve_keys{make_curve_pair(), instrument.keys.public_key});
  source->arm(got.sink());
  source->allow(plenty, 1);
  ASSERT_TRUE(instrument.send(0));
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_TRUE(await([&] { return source->status().connected; }));
  EXPECT_EQ(source->status().error, "");
}

TEST(zmq_source_curve, takes_nothing_from_an_instrument_with_another_key) {
  curve_instrument instrument;
  instrument.listen();
  collector got;
  auto source =
      curve_reader(instrument.address(), false, curve_keys{make_curve_pair(), make_curve_pair().public_key});
  source->arm(got.sink());
  source->allow(plenty, 1);
  ASSERT_TRUE(await([&] { return !source->status().error.empty(); }));
  EXPECT_THAT(source->status().error,
              testing::AllOf(testing::HasSubstr(instrument.address()), testing::HasSubstr("server_public")));
  EXPECT_FALSE(source->status().connected);
  // Who has the key is served all the same: so what was sent would have come.
  collector others;
  auto other =
      curve_reader(instrument.address(), false, curve_keys{make_curve_pair(), instrument.keys.public_key});
  other->arm(others.sink());
  other->allow(plenty, 1);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(instrument.send(i));
  EXPECT_TRUE(others.await_packets(10));
  EXPECT_EQ(got.size(), 0u);
}

TEST(zmq_source_curve, takes_nothing_from_an_instrument_without_curve) {
  sender instrument; // anybody may connect to it
  instrument.socket.set(zmq::sockopt::immediate, 1);
  collector got;
  auto source =
      curve_reader(instrument.address(), false, curve_keys{make_curve_pair(), make_curve_pair().public_key});
  source->arm(got.sink());
  source->allow(plenty, 1);
  ASSERT_TRUE(await([&] { return !source->status().error.empty(); }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("CURVE"));
  instrument.socket.set(zmq::sockopt::sndtimeo, 200);
  EXPECT_FALSE(instrument.send(0));
  EXPECT_EQ(got.size(), 0u);
  EXPECT_FALSE(source->status().connected);
}

TEST(zmq_source_curve, keeps_out_who_reads_without_curve) {
  curve_instrument instrument;
  instrument.listen();
  collector got;
  auto source = curve_reader(instrument.address(), false, std::nullopt);
  source->arm(got.sink());
  source->allow(plenty, 1);
  instrument.socket.set(zmq::sockopt::sndtimeo, 200);
  EXPECT_FALSE(instrument.send(0));
  EXPECT_EQ(got.size(), 0u);
}

TEST(zmq_source_curve, says_that_the_instrument_refuses_our_key) {
  curve_instrument instrument;
  zmq::socket_t questions(instrument.context, zmq::socket_type::rep);
  questions.bind("inproc://zeromq.zap.01");
  std::atomic<bool> stop = false;
  std::thread refuses([&] {
    questions.set(zmq::sockopt::rcvtimeo, 20);
    while (!stop) {
      std::vector<std::string> parts;
      zmq::message_t part;
      do {
        if (!questions.recv(part)) break;
        parts.push_back(part.to_string());
      } while (part.more());
      if (parts.size() < 2) continue;
      for (auto& text : {std::string("1.0"), parts[1], std::string("400"), std::string("no"), std::string()})
        questions.send(zmq::buffer(text), zmq::send_flags::sndmore);
      questions.send(zmq::message_t(), zmq::send_flags::none);
    }
  });
  instrument.listen();
  auto source =
      curve_reader(instrument.address(), false, curve_keys{make_curve_pair(), instrument.keys.public_key});
  EXPECT_TRUE(await([&] { return source->status().error.find("refuses our key") != std::string::npos; }))
      << source->status().error;
  EXPECT_FALSE(source->status().connected);
  stop = true;
  refuses.join();
}

TEST(zmq_source_curve, listens_for_any_instrument_that_has_our_key) {
  auto ours = make_curve_pair();
  collector got;
  auto source = curve_reader("tcp://127.0.0.1:*", true, curve_keys{ours});
  source->arm(got.sink());
  source->allow(plenty, 1);
  curve_instrument instrument;
  instrument.connect(source->status().address, ours.public_key);
  ASSERT_TRUE(instrument.send(0));
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_TRUE(await([&] { return source->status().connected; }));
  EXPECT_EQ(source->status().error, "");
}

TEST(zmq_source_curve, takes_nothing_where_it_listens_from_who_has_another_key_for_it) {
  auto ours = make_curve_pair();
  collector got;
  auto source = curve_reader("tcp://127.0.0.1:*", true, curve_keys{ours});
  source->arm(got.sink());
  source->allow(plenty, 1);
  curve_instrument instrument;
  instrument.connect(source->status().address, make_curve_pair().public_key);
  ASSERT_TRUE(await([&] { return !source->status().error.empty(); }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("nothing is taken"));
  EXPECT_FALSE(source->status().connected);
  instrument.socket.set(zmq::sockopt::sndtimeo, 100);
  EXPECT_FALSE(instrument.send(0));
  EXPECT_EQ(got.size(), 0u);
}

TEST(zmq_source_curve, takes_nothing_where_it_listens_from_who_has_no_keys) {
  collector got;
  auto source = curve_reader("tcp://127.0.0.1:*", true, curve_keys{make_curve_pair()});
  source->arm(got.sink());
  source->allow(plenty, 1);
  zmq::context_t context;
  zmq::socket_t plain(context, zmq::socket_type::push);
  plain.set(zmq::sockopt::linger, 0);
  plain.set(zmq::sockopt::immediate, 1);
  plain.set(zmq::sockopt::sndtimeo, 200);
  plain.connect(source->status().address);
  ASSERT_TRUE(await([&] { return !source->status().error.empty(); }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("CURVE"));
  EXPECT_FALSE(plain.send(zmq::buffer(std::string_view("x")), zmq::send_flags::none));
  EXPECT_EQ(got.size(), 0u);
}

TEST(zmq_source_curve, takes_only_the_clients_of_its_list) {
  auto ours = make_curve_pair();
  curve_instrument known, stranger;
  collector got;
  auto source = curve_reader(
      "tcp://127.0.0.1:*", true,
      curve_keys{ours, {}, std::vector<std::string>{make_curve_pair().public_key, known.keys.public_key}});
  source->arm(got.sink());
  source->allow(plenty, 1);
  auto address = source->status().address;
  stranger.connect(address, ours.public_key);
  ASSERT_TRUE(await([&] { return !source->status().error.empty(); }));
  EXPECT_THAT(source->status().error, testing::HasSubstr("not among `clients`"));
  EXPECT_FALSE(source->status().connected);
  known.connect(address, ours.public_key);
  ASSERT_TRUE(known.send(7));
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_TRUE(await([&] { return source->status().connected && source->status().error.empty(); }));
  stranger.socket.set(zmq::sockopt::sndtimeo, 100);
  EXPECT_FALSE(stranger.send(0));
  EXPECT_THAT(got.numbers(), testing::ElementsAre(7));
}

TEST(zmq_source_curve, several_streams_have_lists_of_their_own) {
  auto context = make_zmq_context();
  auto ours = make_curve_pair();
  curve_instrument instruments[2];
  collector got[2];
  std::vector<std::unique_ptr<source>> sources;
  for (int i = 0; i < 2; ++i) {
    zmq_source_options options{"tcp://127.0.0.1:*", zmq_socket_kind::pull, true, make_stins()};
    options.curve = curve_keys{ours, {}, std::vector<std::string>{instruments[i].keys.public_key}};
    sources.push_back(make_zmq_source(std::move(options), context));
    sources[i]->arm(got[i].sink());
    sources[i]->allow(plenty, 1);
  }
  curve_instrument astray = {instruments[0].keys};
  astray.connect(sources[1]->status().address, ours.public_key);
  for (int i = 0; i < 2; ++i) {
    instruments[i].connect(sources[i]->status().address, ours.public_key);
    ASSERT_TRUE(instruments[i].send(i));
    ASSERT_TRUE(got[i].await_packets(1));
  }
  astray.socket.set(zmq::sockopt::sndtimeo, 200);
  EXPECT_FALSE(astray.send(9));
  EXPECT_THAT(got[1].numbers(), testing::ElementsAre(1));
}

/// A format that finds nothing and counts interruptions.
class counting final : public protocol {
 public:
  explicit counting(std::atomic<int>& interruptions) : interruptions_(interruptions) {}
  std::string_view name() const override { return "counting"; }
  std::string_view type_tag() const override { return "COUNTING"; }
  void read(stream_data data, std::vector<stream_packet>& packets) override {
    packets.push_back({.data = std::move(data)});
  }
  void interrupted(std::vector<stream_packet>&) override { ++interruptions_; }
  void reset() override {}

 private:
  std::atomic<int>& interruptions_;
};

TEST(zmq_source_curve, who_is_refused_interrupts_nothing) {
  auto ours = make_curve_pair();
  std::atomic<int> interruptions = 0;
  zmq_source_options options{"tcp://127.0.0.1:*", zmq_socket_kind::pull, true,
                             std::make_unique<counting>(interruptions)};
  options.curve = curve_keys{ours};
  collector got;
  auto source = make_zmq_source(std::move(options), make_zmq_context());
  source->arm(got.sink());
  source->allow(plenty, 1);
  auto known = std::make_unique<curve_instrument>();
  known->connect(source->status().address, ours.public_key);
  ASSERT_TRUE(known->send(0));
  ASSERT_TRUE(got.await_packets(1));
  for (int i = 0; i < 5; ++i) {
    zmq::context_t context;
    zmq::socket_t stranger(context, zmq::socket_type::push), events(context, zmq::socket_type::pair);
    stranger.set(zmq::sockopt::linger, 0);
    zmq_socket_monitor(stranger.handle(), "inproc://events", ZMQ_EVENT_DISCONNECTED);
    events.connect("inproc://events");
    events.set(zmq::sockopt::rcvtimeo, static_cast<int>(patience / std::chrono::milliseconds(1)));
    stranger.connect(source->status().address);
    zmq::message_t disconnected;
    ASSERT_TRUE(events.recv(disconnected));
  }
  ASSERT_TRUE(known->send(1));
  ASSERT_TRUE(got.await_packets(2));
  EXPECT_TRUE(source->status().connected);
  EXPECT_EQ(source->status().error, "");
  EXPECT_EQ(interruptions, 0);
  known.reset();
  EXPECT_TRUE(await([&] { return interruptions == 1; }));
  EXPECT_TRUE(await([&] { return !source->status().connected; }));
}

} // namespace
} // namespace dtranspose
