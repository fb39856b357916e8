#include "source/http_source.hpp"

#include <atomic>
#include <condition_variable>
#include <future>
#include <limits>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "protocol/sardana.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;

/// Far beyond what anything here takes: reached only when something is broken.
constexpr auto patience = 30s;
constexpr auto plenty = std::numeric_limits<std::uint64_t>::max();
constexpr auto description = R"({"serialno":7,"scandir":"/data","title":"ascan"})";
const std::string description_path(sardana_description_path), record_path(sardana_record_path),
    end_path(sardana_end_path), custom_path(sardana_custom_path);

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

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<stream_packet> packets_;
  std::uint64_t bytes_ = 0;
};

std::unique_ptr<source> listener(std::chrono::milliseconds wait = patience,
                                 std::chrono::milliseconds remembered = 1h,
                                 const std::string& url = "http://127.0.0.1:0") {
  return make_http_source({url, make_sardana(), wait, remembered});
}

int port_of(const source& server) { return parse_http_address(server.status().address).port; }

/// An instrument, driven by hand.
struct poster {
  explicit poster(const source& server) : client("127.0.0.1", port_of(server)) {
    client.set_keep_alive(true);
    client.set_tcp_nodelay(true);
    client.set_read_timeout(patience);
  }

  /// The status of the answer; 0: there was none.
  int post(const std::string& path, const std::string& body, const std::string& type = "application/json") {
    auto answer = client.Post(path, body, type);
    text = answer ? answer->body : to_string(answer.error());
    return answer ? answer->status : 0;
  }
  int record(int n) { return post(record_path, record_body(n)); }

  static std::string record_body(int n) {
    return R"({"timestamp":0.5,"point_nb":)" + std::to_string(n) + "}";
  }

  httplib::Client client;
  std::string text; ///< body of the last answer
};

/// A client that does what no library does.
class raw_client {
 public:
  explicit raw_client(const source& server) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(static_cast<std::uint16_t>(port_of(server)));
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  }
  ~raw_client() { close(); }

  void send(std::string_view bytes) {
    EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void post(const std::string& path, const std::string& body, std::size_t announced) {
    send("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(announced) +
         "\r\n\r\n" + body);
  }
  void end_sending() { ::shutdown(socket_, SHUT_WR); }
  std::string answer() {
    std::string all;
    char bytes[1024];
    for (ssize_t n = 0; (n = ::recv(socket_, bytes, sizeof bytes, 0)) > 0;)
      all.append(bytes, static_cast<std::size_t>(n));
    return all;
  }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  int socket_;
};

TEST(http_source, drops_while_idle_and_counts) {
  auto source = listener();
  EXPECT_FALSE(source->status().connected);
  EXPECT_TRUE(source->status().reading);
  EXPECT_EQ(source->status().error, "");
  EXPECT_THAT(source->status().address, testing::StartsWith("http://127.0.0.1:"));
  poster instrument(*source);
  EXPECT_EQ(instrument.post(description_path, description), 200);
  EXPECT_EQ(instrument.text, "null");
  EXPECT_EQ(instrument.record(0), 200);
  EXPECT_EQ(instrument.post(record_path, "{}"), 422); // validated all the same
  EXPECT_EQ(instrument.post(custom_path, "anything"), 200);
  EXPECT_EQ(instrument.post(end_path, "{}"), 200);
  EXPECT_EQ(source->status().discarded, 5u);
  EXPECT_TRUE(source->status().connected);
}

TEST(http_source, knows_when_nobody_posts_any_more) {
  auto source = listener(patience, 0ms);
  {
    poster instrument(*source);
    EXPECT_EQ(instrument.record(0), 200);
    EXPECT_TRUE(source->status().connected);
  }
  EXPECT_TRUE(await([&] { return !source->status().connected; }));
}

TEST(http_source, hands_over_everything_in_order) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  poster instrument(*source);
  constexpr int n = 500;
  EXPECT_EQ(instrument.post(description_path, description), 200);
  for (int i = 0; i < n; ++i) ASSERT_EQ(instrument.record(i), 200);
  EXPECT_EQ(instrument.post(custom_path, "{}"), 200);
  EXPECT_EQ(instrument.post(end_path, "{}"), 200);
  EXPECT_EQ(instrument.text, "null");
  ASSERT_TRUE(got.await_packets(n + 2));
  auto packets = got.packets();
  ASSERT_EQ(packets.size(), n + 2u);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_EQ(packets[0].numbers.series, 7u);
  EXPECT_EQ(packets[n + 1].numbers.kind, entry_kind::end);
  std::uint64_t bytes = budgeted_bytes(description_path.size() + std::string_view(description).size()) +
                        budgeted_bytes(end_path.size() + 2);
  for (int i = 0; i < n; ++i) {
    ASSERT_EQ(packets[i + 1].numbers.number, i);
    bytes += budgeted_bytes(record_path.size() + poster::record_body(i).size());
  }
  EXPECT_EQ(got.bytes(), bytes);
  EXPECT_EQ(packets[1].data.type(), "sardana");
  EXPECT_EQ(packets[1].data.frames()[0].text(), R"({"timestamp":0.5,"point_nb":0,"type":"RecordData"})");
  EXPECT_EQ(source->status().discarded, 0u);
}

TEST(http_source, takes_bodies_however_they_are_sent) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  poster instrument(*source);
  auto large = R"({"timestamp":1,"a":")" + std::string(1'000'000, 'x') + "\"}";
  EXPECT_EQ(instrument.post(record_path, large, "application/x-www-form-urlencoded"), 200);
  EXPECT_EQ(instrument.post(record_path, large, "text/plain"), 200);
  EXPECT_EQ(instrument.post(record_path + "?query=1", poster::record_body(3)), 200);
  auto in_chunks = [&](size_t offset, httplib::DataSink& sink) {
    auto piece = large.substr(offset, 10'000);
    sink.write(piece.data(), piece.size());
    if (offset + piece.size() == large.size()) sink.done();
    return true;
  };
  auto answer = instrument.client.Post(record_path, in_chunks, "application/json");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  // As a client does that makes a connection for each request, and one that asks first.
  instrument.client.set_keep_alive(false);
  EXPECT_EQ(instrument.post(record_path, large), 200);
  auto asked = instrument.client.Post(record_path, {{"Expect", "100-continue"}}, large, "application/json");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->status, 200);
  ASSERT_TRUE(got.await_packets(6));
  auto packets = got.packets();
  for (auto& packet : packets) EXPECT_FALSE(packet.fault);
  EXPECT_EQ(packets[3].data, packets[0].data);
  EXPECT_EQ(packets[0].data.frames()[0].size(), large.size() + std::string(R"(,"type":"RecordData")").size());
}

TEST(http_source, says_what_is_wrong) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  poster instrument(*source);
  using testing::HasSubstr;
  EXPECT_EQ(instrument.post("/v1/other", "{}"), 404);
  EXPECT_THAT(instrument.text, HasSubstr("\"detail\""));
  EXPECT_EQ(instrument.post("/", "{}"), 404);
  EXPECT_EQ(got.size(), 0u);
  EXPECT_EQ(instrument.post(description_path, R"({"serialno":"seven"})"), 422);
  EXPECT_EQ(instrument.text, R"({"detail":"serialno: a whole number is required"})");
  EXPECT_EQ(instrument.post(record_path, R"({"point_nb":0})"), 422);
  EXPECT_THAT(instrument.text, HasSubstr("timestamp"));
  EXPECT_EQ(instrument.post(record_path, ""), 422);
  EXPECT_EQ(instrument.post(end_path, "[]"), 422);
  EXPECT_THAT(instrument.text, HasSubstr("JSON"));
  EXPECT_EQ(instrument.post(record_path, std::string(sardana_body_limit + 1, ' ')), 413);

  auto get = instrument.client.Get(record_path);
  ASSERT_TRUE(get);
  EXPECT_EQ(get->status, 405);
  EXPECT_EQ(get->get_header_value("Allow"), "POST");
  auto put = instrument.client.Put(record_path, "{}", "application/json");
  ASSERT_TRUE(put);
  EXPECT_EQ(put->status, 405);
  httplib::MultipartFormDataItems form = {{"a", "{}", "", "application/json"}};
  auto posted = instrument.client.Post(record_path, form);
  ASSERT_TRUE(posted);
  EXPECT_EQ(posted->status, 415);

  // What was to be an entry is named.
  auto packets = got.packets();
  ASSERT_EQ(packets.size(), 5u);
  EXPECT_EQ(packets[0].fault, packet_fault::unknown);
  EXPECT_EQ(packets[1].numbers.number, 0u);
  EXPECT_TRUE(packets[1].numbered);
  EXPECT_EQ(packets[2].fault, packet_fault::not_json);
  EXPECT_EQ(packets[4].fault, packet_fault::oversized);
  EXPECT_EQ(instrument.record(1), 200); // and it goes on
}

TEST(http_source, takes_a_body_as_long_as_the_limit) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  poster instrument(*source);
  std::string body = R"({"timestamp":1,"a":")";
  body += std::string(sardana_body_limit - body.size() - 2, 'x') + "\"}";
  ASSERT_EQ(body.size(), sardana_body_limit);
  EXPECT_EQ(instrument.post(record_path, body), 200);
  EXPECT_EQ(instrument.post(record_path, body + " "), 413);
}

TEST(http_source, refuses_a_body_that_ends_too_early) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  raw_client client(*source);
  client.post(record_path, R"({"timestamp":1})", 1000);
  client.end_sending();
  EXPECT_THAT(client.answer(), testing::StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(got.size(), 0u);
}

TEST(http_source, holds_the_sender_back) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  EXPECT_FALSE(source->status().reading);
  poster instrument(*source);
  auto first = std::async(std::launch::async, [&] {
    std::vector<int> statuses;
    for (int i = 0; i < 4; ++i) statuses.push_back(instrument.record(i));
    return statuses;
  });
  auto each = budgeted_bytes(record_path.size() + poster::record_body(0).size());
  source->allow(1, 1);
  ASSERT_TRUE(got.await_packets(1));
  EXPECT_TRUE(await([&] { return !source->status().reading; }));
  source->allow(each + 1, 1); // one more, as the first took less than this
  ASSERT_TRUE(got.await_packets(2));
  source->allow(each + 1, 2 * each + 1); // beyond the allowance
  ASSERT_TRUE(got.await_packets(3));
  EXPECT_EQ(first.wait_for(100ms), std::future_status::timeout);
  EXPECT_EQ(got.size(), 3u);
  source->allow(plenty, 1);
  EXPECT_THAT(first.get(), testing::Each(200));
  EXPECT_EQ(got.size(), 4u);
  EXPECT_TRUE(source->status().reading);
}

TEST(http_source, refuses_when_the_sender_waited_long_enough) {
  collector got;
  auto source = listener(50ms);
  source->arm(got.sink());
  poster instrument(*source);
  auto answer = instrument.client.Post(description_path, description, "application/json");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->get_header_value("Retry-After"), "1");
  EXPECT_THAT(answer->body, testing::HasSubstr("\"detail\""));
  EXPECT_EQ(got.size(), 0u);
  EXPECT_EQ(source->status().discarded, 0u);
  source->allow(plenty, 1);
  EXPECT_EQ(instrument.post(description_path, description), 200);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got.packets()[0].numbers.kind, entry_kind::start);
}

TEST(http_source, knows_whether_what_was_refused_is_missing) {
  const std::string a = R"({"timestamp":1})", b = R"({"timestamp":2})";
  for (bool again : {true, false}) {
    collector got;
    auto source = listener(20ms);
    source->arm(got.sink());
    auto start = budgeted_bytes(description_path.size() + std::string_view(description).size());
    source->allow(start, 1);
    poster instrument(*source);
    ASSERT_EQ(instrument.post(description_path, description), 200);
    ASSERT_EQ(instrument.post(record_path, a), 503);
    ASSERT_EQ(instrument.post(record_path, a), 503);
    source->allow(plenty, 1);
    ASSERT_EQ(instrument.post(record_path, again ? a : b), 200);
    ASSERT_EQ(instrument.post(record_path, b), 200); // in no doubt any more
    auto packets = got.packets();
    ASSERT_EQ(packets.size(), again ? 3u : 4u);
    if (!again) {
      EXPECT_EQ(packets[1].fault, packet_fault::interrupted);
    }
    EXPECT_FALSE(packets.back().fault);
  }
}

TEST(http_source, drops_what_its_sender_does_not_wait_for) {
  collector got;
  auto source = listener(1h, 0ms);
  source->arm(got.sink());
  auto start = budgeted_bytes(description_path.size() + std::string_view(description).size());
  source->allow(start, 1);
  {
    poster instrument(*source);
    ASSERT_EQ(instrument.post(description_path, description), 200);
  }
  ASSERT_TRUE(await([&] { return !source->status().connected; }));
  const std::string body = R"({"timestamp":1})";
  raw_client impatient(*source);
  ASSERT_TRUE(await([&] { return source->status().connected; }));
  impatient.post(record_path, body, body.size());
  impatient.close();
  ASSERT_TRUE(await([&] { return !source->status().connected; }));
  EXPECT_EQ(got.size(), 1u);
  source->allow(plenty, 1);
  poster instrument(*source);
  EXPECT_EQ(instrument.post(record_path, body), 200); // once, and nothing is missing
  EXPECT_EQ(got.size(), 2u);
  EXPECT_FALSE(got.packets()[1].fault);
}

TEST(http_source, answers_who_waits_when_it_is_disarmed) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  poster instrument(*source);
  auto answer = std::async(std::launch::async, [&] { return instrument.record(0); });
  ASSERT_TRUE(await([&] { return source->status().connected; }));
  source->disarm();
  EXPECT_EQ(answer.get(), 200);
  EXPECT_TRUE(await([&] { return source->status().discarded == 1; }));
  EXPECT_EQ(got.size(), 0u);
}

TEST(http_source, begins_anew_when_it_is_armed_again) {
  collector first, second;
  auto source = listener(50ms);
  source->arm(first.sink());
  source->allow(plenty, 1);
  poster instrument(*source);
  ASSERT_EQ(instrument.post(description_path, description), 200);
  ASSERT_EQ(instrument.record(1), 200);
  source->arm(second.sink()); // its allowance is 0, and the format has forgotten the arm
  EXPECT_EQ(instrument.record(0), 503);
  source->allow(plenty, 1);
  EXPECT_EQ(instrument.record(0), 200);
  EXPECT_EQ(first.size(), 2u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second.packets()[0].numbers.number, 0u);
}

TEST(http_source, is_not_blocked_by_idle_clients) {
  collector got;
  auto source = listener();
  source->arm(got.sink());
  source->allow(plenty, 1);
  std::vector<std::unique_ptr<poster>> idle;
  for (std::size_t i = 0; i < http_source_connections + 4; ++i) {
    idle.push_back(std::make_unique<poster>(*source));
    ASSERT_EQ(idle.back()->record(static_cast<int>(i)), 200);
  }
  EXPECT_EQ(got.size(), idle.size());
}

TEST(http_source, says_why_it_cannot_listen_and_tries_again) {
  auto holder = listener();
  auto address = holder->status().address;
  collector got;
  auto source = listener(patience, 1h, address);
  EXPECT_THAT(source->status().error,
              testing::AllOf(testing::HasSubstr(address), testing::HasSubstr("in use")));
  EXPECT_FALSE(source->status().reading);
  EXPECT_FALSE(source->status().connected);
  source->arm(got.sink());
  source->allow(plenty, 1);
  holder.reset();
  ASSERT_TRUE(await([&] { return source->status().error.empty(); }));
  poster instrument(*source);
  EXPECT_EQ(instrument.record(0), 200);
  EXPECT_EQ(got.size(), 1u);
}

TEST(http_source, says_that_an_address_is_none) {
  for (auto url : {"tcp://127.0.0.1:1", "http://127.0.0.1", "http://:80", "http://127.0.0.1:x",
                   "http://127.0.0.1:70000", "http://127.0.0.1:", ""}) {
    auto source = listener(patience, 1h, url);
    EXPECT_THAT(source->status().error, testing::HasSubstr(url));
    EXPECT_THROW(parse_http_address(url), std::runtime_error);
    source->arm([](auto) {});
    source->disarm();
  }
  auto any = parse_http_address("http://*:*");
  EXPECT_EQ(any.host, "0.0.0.0");
  EXPECT_EQ(any.port, 0);
  auto v6 = parse_http_address("http://[::1]:80/");
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.port, 80);
}

TEST(http_source, ends_in_any_state) {
  for (int i = 0; i < 20; ++i) {
    collector got;
    auto source = listener();
    poster idle(*source), waiting(*source);
    ASSERT_EQ(idle.record(0), 200);
    raw_client silent(*source), partly(*source);
    partly.post(record_path, "{", 100);
    if (i % 3 > 0) source->arm(got.sink());
    if (i % 3 > 1) source->allow(plenty, 1);
    auto answer = std::async(std::launch::async, [&] { return waiting.record(1); });
    if (i % 2) source->disarm();
    auto before = std::chrono::steady_clock::now();
    source.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
    EXPECT_THAT(answer.get(), testing::AnyOf(200, 503, 0));
  }
}

TEST(http_source, takes_commands_from_many_threads) {
  std::atomic<int> armed = 0;
  auto source = listener();
  std::atomic<bool> stop = false;
  std::vector<std::thread> floods;
  for (int t = 0; t < 2; ++t)
    floods.emplace_back([&] {
      poster instrument(*source);
      while (!stop) {
        EXPECT_EQ(instrument.record(1), 200);
      }
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
  for (auto& flood : floods) flood.join();
}

} // namespace
} // namespace dtranspose
