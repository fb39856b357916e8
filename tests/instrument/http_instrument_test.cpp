#include "instrument/http_instrument.hpp"

#include <future>
#include <limits>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "instrument/sardana_series.hpp"
#include "protocol/sardana.hpp"
#include "source/http_source.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 30s;
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

/// What a source handed over; to be declared before it.
struct collector {
  packet_sink sink() {
    return [this](std::shared_ptr<const packet_batch> batch) {
      std::lock_guard lock(mutex);
      packets.insert(packets.end(), batch->packets.begin(), batch->packets.end());
    };
  }
  std::size_t size() {
    std::lock_guard lock(mutex);
    return packets.size();
  }
  std::mutex mutex;
  std::vector<stream_packet> packets;
};

std::unique_ptr<source> listener(const std::string& url = "http://127.0.0.1:0",
                                 std::chrono::milliseconds wait = patience) {
  return make_http_source({url, make_sardana(), wait});
}

message_supply scan(std::uint64_t frames) {
  std::shared_ptr<series_generator> series = make_sardana_series({.frames = frames});
  return [series] { return series->next(); };
}

void expect_scan(collector& got, std::uint64_t frames) {
  ASSERT_EQ(got.size(), frames + 2);
  for (std::uint64_t n = 0; n < frames; ++n) EXPECT_EQ(got.packets[n + 1].numbers.number, n);
  EXPECT_EQ(got.packets.front().numbers.kind, entry_kind::start);
  EXPECT_EQ(got.packets.back().numbers.kind, entry_kind::end);
}

TEST(http_instrument, posts_a_scan) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  auto instrument = make_http_instrument({source->status().address}, scan(50));
  EXPECT_EQ(instrument->address(), source->status().address);
  EXPECT_EQ(instrument->run({}), instrument::outcome::complete);
  expect_scan(got, 50);
  EXPECT_EQ(instrument->messages(), 52u);
  EXPECT_GT(instrument->bytes(), 52u * 20);
}

TEST(http_instrument, keeps_its_rate) {
  auto source = listener();
  auto instrument = make_http_instrument({source->status().address, 100}, scan(8));
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(instrument->run({}), instrument::outcome::complete);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 90ms);
}

TEST(http_instrument, waits_for_its_server) {
  auto address = listener()->status().address; // the port is free, as far as anyone can tell
  auto instrument = make_http_instrument({address}, scan(3));
  auto outcome = std::async(std::launch::async, [&] { return instrument->run({}); });
  EXPECT_EQ(outcome.wait_for(100ms), std::future_status::timeout);
  auto source = listener(address);
  EXPECT_EQ(outcome.get(), instrument::outcome::complete);
  EXPECT_EQ(source->status().discarded, 5u);
}

TEST(http_instrument, waits_for_a_server_that_has_too_much) {
  collector got;
  auto source = listener("http://127.0.0.1:0", 10ms);
  source->arm(got.sink());
  auto instrument = make_http_instrument({source->status().address}, scan(10));
  auto outcome = std::async(std::launch::async, [&] { return instrument->run({}); });
  EXPECT_EQ(outcome.wait_for(200ms), std::future_status::timeout); // refused some times by now
  EXPECT_EQ(got.size(), 0u);
  source->allow(plenty, 1);
  EXPECT_EQ(outcome.get(), instrument::outcome::complete);
  expect_scan(got, 10);
}

TEST(http_instrument, leaves_behind_what_is_refused) {
  auto source = listener();
  int n = 0;
  auto supply = [&]() -> std::optional<stream_data> {
    if (n++ == 2) return std::nullopt;
    return sardana_message(sardana_record_path, n == 1 ? "junk" : R"({"timestamp":1})");
  };
  auto instrument = make_http_instrument({source->status().address}, supply);
  EXPECT_EQ(instrument->run({}), instrument::outcome::complete);
  EXPECT_EQ(instrument->messages(), 2u);
  EXPECT_EQ(source->status().discarded, 2u);
}

TEST(http_instrument, says_what_is_wrong) {
  auto source = listener();
  auto other_path = make_http_instrument({source->status().address},
                                         [] { return std::optional(sardana_message("/v1/other", "{}")); });
  EXPECT_THROW(other_path->run({}), std::runtime_error);
  auto one_part = make_http_instrument(
      {source->status().address}, [] { return std::optional(memory_frames::of(sardana_type_tag, {"{}"})); });
  EXPECT_THROW(one_part->run({}), std::runtime_error);
  for (auto url : {"tcp://127.0.0.1:1", "http://127.0.0.1:0"})
    EXPECT_THROW(make_http_instrument({url}, scan(1)), std::runtime_error);
}

TEST(http_instrument, stops) {
  auto address = listener()->status().address;
  collector got;
  auto source = listener();
  source->arm(got.sink());
  for (auto& url : {address, source->status().address}) { // nobody listens; somebody lets it wait
    std::stop_source stop;
    auto instrument = make_http_instrument({url}, scan(3));
    auto outcome = std::async(std::launch::async, [&] { return instrument->run(stop.get_token()); });
    if (url != address) {
      ASSERT_TRUE(await([&] { return source->status().connected; }));
    }
    EXPECT_EQ(outcome.wait_for(100ms), std::future_status::timeout);
    auto before = std::chrono::steady_clock::now();
    stop.request_stop();
    EXPECT_EQ(outcome.get(), instrument::outcome::stopped);
    EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
    EXPECT_EQ(instrument->messages(), 0u);
  }
}

} // namespace
} // namespace dtranspose
