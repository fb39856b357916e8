#include "instrument/zmq_instrument.hpp"

#include <chrono>
#include <cstring>
#include <limits>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <zmq.hpp>

#include "instrument/fitting_map.hpp"
#include "instrument/frame_generator.hpp"
#include "instrument/recorded_instrument.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {
namespace {

/// Reached only when something is broken.
constexpr int patience_ms = 30'000;

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

message_supply supply_of(frame_generator& generator) {
  return [&generator] { return generator.next(); };
}

/// The reader of an instrument.
struct reader {
  explicit reader(zmq::socket_type type = zmq::socket_type::pull) : socket(context, type) {
    socket.set(zmq::sockopt::rcvtimeo, patience_ms);
    socket.set(zmq::sockopt::linger, 0);
    if (type == zmq::socket_type::sub) socket.set(zmq::sockopt::subscribe, "");
  }

  std::vector<std::string> receive() {
    std::vector<std::string> parts;
    zmq::message_t part;
    do {
      if (!socket.recv(part)) return {};
      parts.push_back(part.to_string());
    } while (part.more());
    return parts;
  }

  zmq::context_t context;
  zmq::socket_t socket;
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

TEST(frame_generator, makes_a_series) {
  frame_generator generator(
      {.frames = 10, .shape = {3, 5}, .type = dtype::uint32, .seed = 7, .first_message_number = 100});
  EXPECT_EQ(generator.image_bytes(), 60u);
  std::vector<stream_packet> packets;
  auto format = make_stins();
  std::vector<stream_data> held;
  while (auto message = generator.next()) {
    held.push_back(*message);
    format->read(*message, packets);
  }
  ASSERT_EQ(packets.size(), 12u);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    ASSERT_FALSE(packets[i].fault);
    EXPECT_EQ(packets[i].numbers.message_number, 100 + i);
  }
  EXPECT_EQ(packets.front().numbers.kind, entry_kind::start);
  EXPECT_EQ(packets.back().numbers.kind, entry_kind::end);
  for (std::uint64_t i = 0; i < 10; ++i) {
    auto image = parse_stins_image(held[i + 1]);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->frame, i);
    EXPECT_EQ(image->type, dtype::uint32);
    EXPECT_THAT(image->shape, testing::ElementsAre(3, 5));
    EXPECT_EQ(copy_of(image->pixels), generator.expected_pixels(i));
    std::uint64_t number = 0;
    std::memcpy(&number, image->pixels.data(), 8);
    EXPECT_EQ(number, i);
  }
  EXPECT_EQ(nlohmann::json::parse(held[0].frames()[0].text())["filename"], "generated.h5");
  for (auto& message : held)
    EXPECT_GT(nlohmann::json::parse(message.frames()[0].text())["sent_ns"], 1'500'000'000'000'000'000);
}

TEST(frame_generator, depends_on_seed_and_number_alone) {
  generated_frames what = {.frames = 9, .shape = {40}, .type = dtype::float32, .seed = 3};
  frame_generator a(what), b(what);
  what.seed = 4;
  frame_generator c(what);
  EXPECT_EQ(a.expected_pixels(5), b.expected_pixels(5));
  EXPECT_NE(a.expected_pixels(5), c.expected_pixels(5));
  EXPECT_NE(a.expected_pixels(5), a.expected_pixels(6));
  // Memory that is used again makes no difference.
  b.next();
  for (std::uint64_t i = 0; i < 9; ++i)
    EXPECT_EQ(copy_of(b.next()->frames()[1].bytes()), a.expected_pixels(i));
}

TEST(frame_generator, makes_images_of_any_shape_and_type) {
  for (int t = 0; t < 10; ++t)
    for (auto shape : {std::vector<std::size_t>{}, {1}, {0, 4}, {7}, {2, 3, 4}}) {
      frame_generator generator({.frames = 300, .shape = shape, .type = static_cast<dtype>(t)});
      generator.next();
      for (std::uint64_t i = 0; i < 300; ++i) {
        auto image = parse_stins_image(*generator.next());
        ASSERT_TRUE(image);
        ASSERT_EQ(copy_of(image->pixels), generator.expected_pixels(i));
      }
    }
}

TEST(frame_generator, leaves_what_is_held_as_it_was) {
  std::vector<stream_data> held;
  std::vector<std::vector<std::byte>> expected;
  {
    frame_generator generator({.frames = 20, .shape = {16}});
    for (std::uint64_t i = 0; i < 20; ++i) expected.push_back(generator.expected_pixels(i));
    while (auto message = generator.next()) held.push_back(*message);
  }
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(copy_of(held[i + 1].frames()[1].bytes()), expected[i]);
}

TEST(frame_generator, makes_empty_series) {
  frame_generator generator({.frames = 0});
  EXPECT_EQ(stins_kind(*generator.next()), entry_kind::start);
  EXPECT_EQ(stins_kind(*generator.next()), entry_kind::end);
  EXPECT_FALSE(generator.next());
  EXPECT_FALSE(generator.next());
}

TEST(instrument, sends_everything) {
  constexpr std::uint64_t n = 5000;
  frame_generator generator({.frames = n, .shape = {40, 40}});
  auto sender = make_zmq_instrument({}, supply_of(generator));
  running run(*sender);
  reader here;
  here.socket.connect(sender->address());
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < n + 2; ++i) {
    auto parts = here.receive();
    for (auto& part : parts) bytes += part.size();
    if (i == 0 || i == n + 1) continue;
    ASSERT_EQ(parts.size(), 2u);
    auto pixels = std::as_bytes(std::span(parts[1]));
    ASSERT_EQ(copy_of(pixels), generator.expected_pixels(i - 1));
  }
  EXPECT_EQ(run.join(), instrument::outcome::complete);
  EXPECT_EQ(sender->messages(), n + 2);
  EXPECT_EQ(sender->bytes(), bytes);
}

TEST(instrument, hands_the_tail_over_before_it_ends) {
  reader here;
  std::uint64_t n = 200;
  {
    frame_generator generator({.frames = n, .shape = {100, 100}});
    auto sender = make_zmq_instrument({}, supply_of(generator));
    running run(*sender);
    here.socket.connect(sender->address());
    EXPECT_EQ(run.join(), instrument::outcome::complete);
  }
  for (std::uint64_t i = 0; i < n + 2; ++i) ASSERT_FALSE(here.receive().empty()) << i;
}

TEST(instrument, stops_while_nobody_reads) {
  for (auto kind : {instrument_socket::push, instrument_socket::pub})
    for (bool bind : {true, false}) {
      frame_generator generator({.frames = 1'000'000, .shape = {100}});
      auto sender = make_zmq_instrument(
          {.url = bind ? "tcp://127.0.0.1:*" : "tcp://127.0.0.1:9", .kind = kind, .bind = bind},
          supply_of(generator));
      running run(*sender);
      run.thread.request_stop();
      EXPECT_EQ(run.join(), instrument::outcome::stopped);
      EXPECT_EQ(sender->messages(), 0u);
    }
}

TEST(instrument, stops_while_a_reader_is_slow) {
  for (auto kind : {instrument_socket::push, instrument_socket::pub}) {
    frame_generator generator({.frames = 1'000'000, .shape = {1 << 20}});
    auto sender = make_zmq_instrument({.kind = kind, .send_high_water_mark = 4}, supply_of(generator));
    running run(*sender);
    reader here(kind == instrument_socket::push ? zmq::socket_type::pull : zmq::socket_type::sub);
    here.socket.set(zmq::sockopt::rcvhwm, 4);
    here.socket.connect(sender->address());
    EXPECT_FALSE(here.receive().empty());
    run.thread.request_stop();
    EXPECT_EQ(run.join(), instrument::outcome::stopped);
    EXPECT_GT(sender->messages(), 0u);
  }
}

TEST(instrument, publishes_whole_to_whoever_subscribed_first) {
  constexpr std::uint64_t n = 3000;
  frame_generator generator({.frames = n, .shape = {2000}});
  auto sender =
      make_zmq_instrument({.kind = instrument_socket::pub, .send_high_water_mark = 10}, supply_of(generator));
  running run(*sender);
  reader here(zmq::socket_type::sub);
  here.socket.set(zmq::sockopt::rcvhwm, 10);
  here.socket.connect(sender->address());
  for (std::uint64_t i = 0; i < n + 2; ++i) {
    auto parts = here.receive();
    ASSERT_FALSE(parts.empty());
    ASSERT_EQ(nlohmann::json::parse(parts[0])["msg_number"], i);
  }
  EXPECT_EQ(run.join(), instrument::outcome::complete);
}

TEST(instrument, connects_to_a_reader_that_listens) {
  reader here;
  here.socket.bind("tcp://127.0.0.1:*");
  frame_generator generator({.frames = 10, .shape = {10}});
  auto sender = make_zmq_instrument({.url = here.socket.get(zmq::sockopt::last_endpoint), .bind = false},
                                    supply_of(generator));
  running run(*sender);
  for (int i = 0; i < 12; ++i) ASSERT_FALSE(here.receive().empty());
  EXPECT_EQ(run.join(), instrument::outcome::complete);
}

TEST(instrument, keeps_its_pace) {
  using namespace std::chrono;
  frame_generator generator({.frames = 30, .shape = {10}});
  auto sender = make_zmq_instrument({.rate = 1000}, supply_of(generator));
  reader here;
  here.socket.connect(sender->address());
  auto start = steady_clock::now();
  running run(*sender);
  EXPECT_EQ(run.join(), instrument::outcome::complete);
  // Never ahead of it: the last of 32 messages is due after 31 ms. Being late is the machine's
  // affair.
  EXPECT_GE(steady_clock::now() - start, milliseconds(31));
}

TEST(instrument, says_where_it_cannot_listen) {
  frame_generator generator({});
  auto first = make_zmq_instrument({}, supply_of(generator));
  try {
    auto second = make_zmq_instrument({.url = first->address()}, supply_of(generator));
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(first->address()));
  }
}

TEST(recorded_instrument, sends_the_very_bytes_again) {
  std::vector<stream_data> messages;
  std::vector<std::vector<std::string>> expected = {
      {R"({"htype": "header"})", R"({"a":1})"}, {"odd", "", std::string(5000, 'x'), "y"}, {""}};
  for (auto& parts : expected) {
    std::vector<std::vector<std::byte>> bytes;
    for (auto& part : parts) bytes.push_back(copy_of(std::as_bytes(std::span(part))));
    messages.emplace_back(std::make_unique<memory_frames>(std::move(bytes)), "raw");
  }
  auto sender = make_zmq_instrument({}, recorded_messages(messages));
  running run(*sender);
  reader here;
  here.socket.connect(sender->address());
  for (auto& parts : expected) EXPECT_EQ(here.receive(), parts);
  EXPECT_EQ(run.join(), instrument::outcome::complete);
  EXPECT_EQ(sender->messages(), 3u);
}

/// What the map says of each event: per stream, the constraint or nothing.
using expanded = std::map<std::string, std::vector<std::optional<std::uint64_t>>>;

expanded expand(const std::string& body, std::size_t& longest_part) {
  auto map = nlohmann::json::parse(body);
  expanded columns;
  std::size_t events = 0;
  for (auto& [name, part] : map["parts"].items())
    for (auto& [stream, slots] : part.items()) columns[stream];
  for (auto& name : map["sequence"]) {
    auto& part = map["parts"].at(name.get<std::string>());
    std::set<std::size_t> lengths;
    for (auto& [stream, slots] : part.items()) {
      lengths.insert(slots.size());
      columns[stream].resize(events);
      for (auto& slot : slots) {
        auto& column = columns[stream];
        if (slot.is_null()) {
          column.emplace_back();
          continue;
        }
        EXPECT_EQ(slot.size(), 1u);
        EXPECT_EQ(slot[0].size(), 1u);
        column.emplace_back(slot[0]["constraint"].get<std::uint64_t>());
      }
    }
    EXPECT_EQ(lengths.size(), 1u);
    events += *lengths.begin();
    longest_part = std::max(longest_part, *lengths.begin());
  }
  for (auto& [stream, column] : columns) column.resize(events);
  return columns;
}

TEST(fitting_map, fits) {
  const std::vector<std::vector<simulated_stream>> cases = {
      {{"a", 1, 1}},
      {{"a", 10, 1}},
      {{"a", 1000, 1}},
      {{"a", 1001, 1}},
      {{"a", 3000, 1}, {"b", 1000, 3}},
      {{"a", 2500, 1}, {"b", 7, 1}, {"c", 0, 1}},
      {{"a", 5000, 2}, {"b", 3000, 3}},
      {{"a", 50, 7}, {"b", 90, 11}, {"c", 3, 13}},
      {{"fast", 12'345, 1}, {"slow", 3, 5000}},
      {{"fast", 12'345, 1}, {"slow", 9, 997}, {"slower", 4, 1500}},
      {{"a", 9, 997}, {"b", 9, 1000}},
      {{"a", 3, 0}},
  };
  for (auto& streams : cases) {
    SCOPED_TRACE(fitting_map(streams).substr(0, 200));
    std::size_t longest = 0, events = 0;
    auto columns = expand(fitting_map(streams), longest);
    EXPECT_LE(longest, 1000u);
    ASSERT_EQ(columns.size(), streams.size());
    for (auto& s : streams)
      if (s.frames) events = std::max(events, (s.frames - 1) * std::max<std::size_t>(s.every, 1) + 1);
    for (std::size_t e = 0; e < events; ++e) {
      std::set<std::uint64_t> constraints;
      for (auto& s : streams) {
        auto every = std::max<std::uint64_t>(s.every, 1);
        auto& column = columns[s.name];
        ASSERT_EQ(column.size(), events);
        ASSERT_EQ(column[e].has_value(), e % every == 0 && e / every < s.frames) << s.name << ' ' << e;
        if (column[e]) constraints.insert(*column[e]);
      }
      ASSERT_LE(constraints.size(), 1u);
    }
  }
}

TEST(fitting_map, gives_each_event_of_a_part_a_constraint_of_its_own) {
  const simulated_stream streams[] = {{"a", 4, 1}, {"b", 2, 2}};
  EXPECT_EQ(nlohmann::json::parse(fitting_map(streams)), nlohmann::json::parse(R"({
      "parts": {"p0": {"a": [[{"constraint":0}], [{"constraint":1}], [{"constraint":2}]],
                       "b": [[{"constraint":0}], null, [{"constraint":2}]]},
                "p1": {"a": [[{"constraint":0}]]}},
      "sequence": ["p0", "p1"]})"));
}

TEST(fitting_map, names_streams_without_frames) {
  const simulated_stream streams[] = {{"a", 0, 1}, {"b", 0, 4}};
  EXPECT_EQ(nlohmann::json::parse(fitting_map(streams)),
            nlohmann::json::parse(R"({"parts":{"p0":{"a":[],"b":[]}},"sequence":["p0"]})"));
}

TEST(fitting_map, stays_small) {
  const simulated_stream streams[] = {{"a", 10'000'000, 1}, {"b", 1'000'000, 10}, {"c", 3'333'334, 3}};
  EXPECT_LT(fitting_map(streams).size(), 400'000u);
  const simulated_stream slow[] = {{"a", 10'000'000, 1}, {"b", 100, 100'000}};
  EXPECT_LT(fitting_map(slow).size(), 400'000u);
}

} // namespace
} // namespace dtranspose
