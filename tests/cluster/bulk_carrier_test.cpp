#include "cluster/bulk_carrier.hpp"

#include <gtest/gtest.h>
#include <zmq.hpp>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "source/zmq_source.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using condition = bulk_outlet::condition;

constexpr auto never = 30s;
const scan_id scan{1, 2};

/// What came, in order.
class arrivals {
 public:
  void add(std::shared_ptr<const bulk_piece> piece) {
    std::lock_guard guard(mutex_);
    pieces_.push_back(std::move(piece));
    came_.notify_all();
  }
  /// Null: nothing came.
  std::shared_ptr<const bulk_piece> next(std::chrono::milliseconds patience = never) {
    std::unique_lock lock(mutex_);
    if (!came_.wait_for(lock, patience, [&] { return !pieces_.empty(); })) return nullptr;
    auto piece = pieces_.front();
    pieces_.pop_front();
    return piece;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<std::shared_ptr<const bulk_piece>> pieces_;
};

/// Bytes that somebody waits for to be let go.
class watched_frames final : public frame_owner {
 public:
  watched_frames(std::size_t size, char filling, std::shared_ptr<void> life)
      : bytes_(size, filling), life_(std::move(life)), view_(bytes_.data(), bytes_.size()) {
    set_frames({&view_, 1});
  }

 private:
  std::string bytes_;
  std::shared_ptr<void> life_;
  frame view_;
};

class bulk_carrier : public testing::Test {
 protected:
  std::unique_ptr<bulk_inlet> listen(bool encrypted = false, std::uint16_t port = 0) {
    bulk_inlet::options o;
    o.host = "127.0.0.1";
    o.port = port;
    o.encrypted = encrypted;
    o.limits = limits;
    o.sink = [this](auto piece) { came.add(std::move(piece)); };
    return std::make_unique<bulk_inlet>(std::move(o));
  }

  std::unique_ptr<bulk_outlet> connect(const bulk_address& to) {
    return zmq_bulk_outlets(context, limits)(to);
  }

  static condition wait_until_not(condition now, bulk_outlet& outlet) {
    for (auto until = std::chrono::steady_clock::now() + never; std::chrono::steady_clock::now() < until;) {
      if (auto c = outlet.look(); c != now) return c;
      std::this_thread::sleep_for(5ms);
    }
    return now;
  }

  bulk_limits limits{200ms, 1s};
  std::shared_ptr<zmq::context_t> context = make_zmq_context();
  arrivals came;
};

TEST_F(bulk_carrier, brings_frames_as_they_are) {
  for (bool encrypted : {false, true}) {
    auto inlet = listen(encrypted);
    EXPECT_EQ(inlet->address().key.size(), encrypted ? 40U : 0U);
    auto outlet = connect(inlet->address());
    std::string large(3 << 20, 'x');
    large[12345] = 'y';
    outlet->send(scan, 7, 0, {memory_frames::of("A", {"head", large}), memory_frames::of("B", {""})});
    outlet->send(scan, 7, 3, {memory_frames::of("A", {large})});
    auto first = came.next(), second = came.next();
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->scan, scan);
    EXPECT_EQ(first->ticket, 7U);
    EXPECT_EQ(first->sequence, 0U);
    ASSERT_EQ(first->frames.size(), 3U);
    EXPECT_EQ(first->frames[0].text(), "head");
    EXPECT_TRUE(first->frames[1].text() == large);
    EXPECT_EQ(first->frames[2].size(), 0U);
    EXPECT_EQ(second->sequence, 3U);
    EXPECT_TRUE(second->frames.at(0).text() == large);
    EXPECT_EQ(outlet->look(), condition::connected);
  }
}

TEST_F(bulk_carrier, holds_what_it_sends_until_it_has_left) {
  auto inlet = listen();
  auto outlet = connect(inlet->address());
  auto life = std::make_shared<int>();
  outlet->send(scan, 1, 0, {stream_data(std::make_unique<watched_frames>(1 << 20, 'z', life), "A")});
  auto piece = came.next();
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->frames.at(0).text(), std::string(1 << 20, 'z'));
  for (auto until = std::chrono::steady_clock::now() + never; life.use_count() > 1;) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::sleep_for(1ms);
  }
}

TEST_F(bulk_carrier, says_when_its_connection_is_lost_and_stays_lost) {
  auto inlet = listen();
  auto port = static_cast<std::uint16_t>(std::stoi(inlet->address().url.substr(16)));
  auto outlet = connect(inlet->address());
  outlet->send(scan, 1, 0, {memory_frames::of("A", {"x"})});
  ASSERT_TRUE(came.next());
  EXPECT_EQ(wait_until_not(condition::connecting, *outlet), condition::connected);
  inlet.reset();
  EXPECT_EQ(wait_until_not(condition::connected, *outlet), condition::lost);
  // Another one at the same place gets nothing of it.
  auto again = listen(false, port);
  outlet->send(scan, 1, 1, {memory_frames::of("A", {"x"})});
  auto other = connect(again->address());
  other->send(scan, 2, 0, {memory_frames::of("A", {"x"})});
  auto piece = came.next();
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->ticket, 2U);
  EXPECT_EQ(outlet->look(), condition::lost);
}

TEST_F(bulk_carrier, says_when_there_is_nobody) {
  auto inlet = listen();
  auto address = inlet->address();
  inlet.reset();
  auto outlet = connect(address);
  EXPECT_EQ(wait_until_not(condition::connecting, *outlet), condition::unreachable);
  outlet->send(scan, 1, 0, {memory_frames::of("A", {"x"})});
}

TEST_F(bulk_carrier, takes_nothing_from_who_does_not_know_its_key) {
  auto inlet = listen(true);
  auto stranger = inlet->address();
  stranger.key.clear();
  auto plain = connect(stranger);
  plain->send(scan, 1, 0, {memory_frames::of("A", {"x"})});
  EXPECT_NE(wait_until_not(condition::connecting, *plain), condition::connected);
  auto other_inlet = listen(true);
  stranger.key = other_inlet->address().key;
  auto wrong = connect(stranger);
  wrong->send(scan, 2, 0, {memory_frames::of("A", {"x"})});
  EXPECT_NE(wait_until_not(condition::connecting, *wrong), condition::connected);
  auto right = connect(inlet->address());
  right->send(scan, 3, 0, {memory_frames::of("A", {"x"})});
  auto piece = came.next();
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->ticket, 3U);
}

TEST_F(bulk_carrier, is_not_put_out_by_what_is_none_of_ours) {
  auto inlet = listen();
  zmq::context_t strange;
  zmq::socket_t push(strange, zmq::socket_type::push);
  push.set(zmq::sockopt::linger, 0);
  push.connect(inlet->address().url);
  push.send(zmq::str_buffer("what is this?"), zmq::send_flags::none);
  std::string forged(40, '\xff');
  push.send(zmq::buffer(forged), zmq::send_flags::sndmore);
  push.send(zmq::str_buffer("x"), zmq::send_flags::none);
  auto outlet = connect(inlet->address());
  outlet->send(scan, 3, 0, {memory_frames::of("A", {"x"})});
  auto piece = came.next();
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->ticket, 3U);
}

TEST_F(bulk_carrier, says_what_is_wrong_with_an_address) {
  auto inlet = listen();
  auto port = static_cast<std::uint16_t>(std::stoi(inlet->address().url.substr(16)));
  try {
    listen(false, port);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find("bulk_port"), std::string::npos) << e.what();
  }
  EXPECT_THROW(connect({"nonsense", ""}), std::runtime_error);
}

} // namespace
} // namespace dtranspose
