#include "instrument/faults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "instrument/fitting_map.hpp"
#include "instrument/series_generator.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct transmission {
  std::vector<stream_data> messages;
  std::vector<stream_packet> packets; ///< what a receiver finds in them
  fault_report::content report;

  std::vector<std::uint64_t> numbers() const {
    std::vector<std::uint64_t> all;
    for (auto& packet : packets)
      if (packet.numbers.kind == entry_kind::data) all.push_back(packet.numbers.number.value_or(999));
    return all;
  }
};

transmission send(std::string_view protocol, const fault_settings& faults, series_settings what,
                  std::stop_token stop = {}) {
  std::shared_ptr<series_generator> series = make_series(protocol, what);
  auto report = std::make_shared<fault_report>();
  auto supply = faulty_supply([series] { return series->next(); }, faults, protocol, {}, stop, report);
  transmission sent;
  auto reader = make_protocol(protocol);
  while (auto message = supply()) {
    sent.messages.push_back(*message);
    reader->read(*message, sent.packets);
  }
  sent.report = report->so_far();
  return sent;
}

std::vector<std::uint64_t> frames_that(bool (*are)(const fault_settings&, std::uint64_t),
                                       const fault_settings& faults, std::uint64_t frames) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < frames; ++i)
    if (are(faults, i)) all.push_back(i);
  return all;
}

TEST(faults, drop_numbered_frames_and_nothing_else) {
  fault_settings faults{.drop = 0.1, .seed = 3};
  auto dropped = frames_that(is_dropped, faults, 500);
  EXPECT_NEAR(static_cast<double>(dropped.size()), 50, 5 * 7);
  auto sent = send("stins", faults, {.frames = 500, .shape = {2, 2}});
  EXPECT_EQ(sent.report.dropped, dropped);
  EXPECT_THAT(sent.report.duplicated, IsEmpty());
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 0; i < 500; ++i)
    if (!is_dropped(faults, i)) expected.push_back(i);
  EXPECT_EQ(sent.numbers(), expected);
  EXPECT_EQ(sent.packets.front().numbers.kind, entry_kind::start);
  EXPECT_EQ(sent.packets.back().numbers.kind, entry_kind::end);
  faults.seed = 4;
  EXPECT_NE(frames_that(is_dropped, faults, 500), dropped);
}

TEST(faults, send_frames_twice) {
  fault_settings faults{.duplicate = 0.2, .seed = 1};
  auto sent = send("stins", faults, {.frames = 100, .shape = {2, 2}});
  auto twice = frames_that(is_duplicated, faults, 100);
  ASSERT_FALSE(twice.empty());
  EXPECT_EQ(sent.report.duplicated, twice);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 0; i < 100; ++i)
    expected.insert(expected.end(), is_duplicated(faults, i) ? 2 : 1, i);
  EXPECT_EQ(sent.numbers(), expected);
}

TEST(faults, cut_an_instrument_off) {
  auto sent = send("stins", {.cut_off = 7}, {.frames = 100, .shape = {2, 2}});
  EXPECT_THAT(sent.numbers(), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_EQ(sent.messages.size(), 8u); // and the start
  EXPECT_EQ(sent.report.cut_off, 7u);
}

/// An hour's silence that is asked to stop, so that nothing is sent late but all in order.
TEST(faults, stop_waiting_when_asked_to) {
  std::stop_source stop;
  stop.request_stop();
  fault_settings faults{.delay = std::chrono::hours(1)};
  faults.stall_before = {.at = 3, .length = std::chrono::hours(1)};
  auto sent = send("stins", faults, {.frames = 5, .shape = {2, 2}}, stop.get_token());
  EXPECT_THAT(sent.numbers(), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(sent.report.stalled, 3u);
}

TEST(faults, delay_by_no_more_than_asked_for) {
  fault_settings faults{.delay = std::chrono::milliseconds(20)};
  std::chrono::nanoseconds longest{0};
  for (std::uint64_t i = 0; i < 1000; ++i) longest = std::max(longest, delay_of(faults, i));
  EXPECT_LT(longest, faults.delay);
  EXPECT_GT(longest, faults.delay * 9 / 10);
}

/// Three messages for a frame, heartbeats between them, several rows in a message, a byte stream, two parts.
TEST(faults, find_the_frames_of_every_protocol) {
  fault_settings faults{.drop = 0.3, .seed = 8};
  struct sender {
    std::string_view protocol;
    protocol_options options;
    bool numbered;
  };
  for (auto& [protocol, options, numbered] :
       {sender{"xspress3", {{"form", "old"}}, true}, sender{"xspress3", {}, true}, sender{"albaem", {}, true},
        sender{"sardana", {}, true}, sender{"eiger_v1", {}, true}, sender{"dectris_v2", {}, true},
        sender{"contrast", {}, false}, sender{"panda_tcp", {}, false}}) {
    auto type = protocol == "stins" ? dtype::uint16 : dtype::uint32;
    auto sent = send(protocol, faults, {.frames = 40, .shape = {2, 8}, .type = type, .options = options});
    EXPECT_EQ(sent.report.dropped, frames_that(is_dropped, faults, 40)) << protocol;
    std::uint64_t data = 0;
    for (auto& packet : sent.packets) {
      // A PandABox tells at its end how many rows there were.
      EXPECT_EQ(packet.fault.has_value(), protocol == "panda_tcp" && packet.numbers.kind == entry_kind::end)
          << protocol;
      data += packet.numbers.kind == entry_kind::data ? 1 : 0;
    }
    EXPECT_EQ(data + sent.report.dropped.size(), 40u) << protocol;
    if (!numbered) continue;
    for (auto number : sent.numbers()) EXPECT_FALSE(is_dropped(faults, number)) << protocol;
  }
}

TEST(faults, tell_what_they_did) {
  fault_report report;
  report.dropped(3, 2);
  report.rearmed(7);
  auto tree = report.tree();
  EXPECT_EQ(*tree.find("dropped")->as_array(), array::of(std::vector<std::uint64_t>{3, 4}));
  EXPECT_EQ(tree.find("duplicated")->as_array()->size(), 0u);
  EXPECT_EQ(tree.find("rearmed")->as_number(), 7);
  EXPECT_FALSE(tree.find("stalled"));
}

/// Slots of each stream, event by event: `-` for none, `a` for everybody's, `c` for one worker's.
std::map<std::string, std::string> laid_out(const std::string& body,
                                            std::initializer_list<const char*> streams) {
  auto map = nlohmann::json::parse(body);
  std::map<std::string, std::string> rows;
  for (auto& name : map["sequence"]) {
    auto& part = map["parts"][name.get<std::string>()];
    auto length = part.begin()->size();
    for (auto stream : streams)
      for (std::size_t i = 0; i < length; ++i) {
        auto slot = part.contains(stream) ? part[stream][i] : nlohmann::json();
        rows[stream] += slot.is_null() ? '-' : slot[0]["constraint"].is_null() ? 'a' : 'c';
      }
  }
  return rows;
}

TEST(fitting_map, makes_room_for_a_stream_that_is_armed_again) {
  simulated_stream again{.name = "a", .frames = 5, .rearmed = 3}, slow{.name = "b", .frames = 3, .every = 2};
  auto rows = laid_out(fitting_map(std::vector{again, slow}), {"a", "b"});
  EXPECT_EQ(rows["a"], "cccaacc");
  EXPECT_EQ(rows["b"], "c-c---c");
  // Several at once, one after the other; in long scans too.
  simulated_stream both{.name = "b", .frames = 2500, .rearmed = 1500};
  again = {.name = "a", .frames = 2500, .rearmed = 1500};
  rows = laid_out(fitting_map(std::vector{again, both}), {"a", "b"});
  EXPECT_EQ(rows["a"], std::string(1500, 'c') + "aa--" + std::string(1000, 'c'));
  EXPECT_EQ(rows["b"], std::string(1500, 'c') + "--aa" + std::string(1000, 'c'));
}

} // namespace
} // namespace dtranspose
