#include "protocol/lecroy.hpp"

#include <map>
#include <random>
#include <set>

#include <sys/mman.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/lecroy_series.hpp"
#include "protocol/json_text.hpp"
#include "protocol/pickle.hpp"
#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using messages = std::vector<stream_data>;

std::vector<std::byte> bytes(std::string_view text) {
  auto all = std::as_bytes(std::span(text));
  return {all.begin(), all.end()};
}

stream_data message(std::vector<std::string> parts) {
  std::vector<std::vector<std::byte>> copies;
  for (auto& part : parts) copies.push_back(bytes(part));
  return stream_data(std::make_unique<memory_frames>(std::move(copies)), lecroy_type_tag);
}

stream_data prepare() { return message({R"({"htype": "msg", "what": 0, "frame": 0})"}); }

stream_data start(std::uint64_t frame, std::string_view channels = "2, 4", int triggers = -1) {
  return message({fmt::format(
      R"({{"htype": "msg", "what": 1, "frame": {}, "ntriggers": {}, "seqno": 0, "channels": [{}]}})", frame,
      triggers, channels)});
}

std::string traces_text(std::uint64_t frame, std::uint64_t channel, std::string_view shape = "[1, 2]") {
  return fmt::format(R"({{"htype": "traces", "ch": {}, "ts": 1.5, "frame": {}, "shape": {}, )"
                     R"("horiz_offset": -1.0, "horiz_interval": 0.25, "dtype": "float64"}})",
                     channel, frame, shape);
}

const std::string sixteen(16, '\0');

stream_data traces(std::uint64_t frame, std::uint64_t channel) {
  return message({traces_text(frame, channel), sixteen, "p"});
}

stream_data end(std::uint64_t frame) {
  return message({fmt::format(R"({{"htype": "msg", "what": 2, "frame": {}}})", frame)});
}

stream_data stop(std::uint64_t frames) {
  return message({fmt::format(R"({{"htype": "msg", "what": 3, "frame": {0}, "frames": {0}}})", frames)});
}

std::vector<stream_packet> read(const messages& all) {
  std::vector<stream_packet> packets;
  auto reader = make_lecroy();
  for (auto& one : all) reader->read(one, packets);
  return packets;
}

/// `start`, `3` for sequence 3, `3!truncated`, `!unknown` without a number, `end`, `end=4` with its count.
std::string text_of(const stream_packet& packet) {
  auto& numbers = packet.numbers;
  EXPECT_EQ(static_cast<bool>(packet.data), !packet.fault);
  EXPECT_EQ(numbers.message_number, std::nullopt);
  if (packet.fault) {
    EXPECT_EQ(packet.numbered, numbers.number.has_value());
    return fmt::format("{}!{}", numbers.number ? std::to_string(*numbers.number) : "",
                       name_of(*packet.fault));
  }
  if (numbers.kind == entry_kind::start) return "start";
  if (numbers.kind == entry_kind::data) return std::to_string(numbers.number.value());
  return numbers.count ? fmt::format("end={}", *numbers.count) : "end";
}

std::vector<std::string> told(const messages& all) {
  std::vector<std::string> texts;
  for (auto& packet : read(all)) texts.push_back(text_of(packet));
  return texts;
}

TEST(lecroy, groups_the_messages_of_a_continuous_series) {
  messages all = {prepare(),    start(0),     traces(0, 2), traces(1, 4), end(2),
                  traces(2, 4), traces(3, 2), end(4),       stop(4)};
  auto packets = read(all);
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(text_of(packets[0]), "start");
  EXPECT_EQ(packets[0].data.frames().data(), all[0].frames().data());
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(text_of(packets[i + 1]), std::to_string(i));
    EXPECT_EQ(packets[i + 1].data.type(), "lecroy_9fwdWp6Rq7");
    auto frames = packets[i + 1].data.frames();
    ASSERT_EQ(frames.size(), 8u);
    EXPECT_EQ(frames[0].data(), all[1].frames()[0].data()) << "the start of all, not a copy of it";
    for (std::size_t part = 0; part < 6; ++part)
      EXPECT_EQ(frames[1 + part].data(), all[2 + 3 * i + part / 3].frames()[part % 3].data());
    EXPECT_EQ(frames[7].data(), all[4 + 3 * i].frames()[0].data());
  }
  EXPECT_EQ(text_of(packets[3]), "end=2");
  EXPECT_EQ(packets[3].data.frames().data(), all[8].frames().data());
}

TEST(lecroy, groups_the_messages_of_a_sequential_series) {
  messages all = {prepare(),           start(0, "2, 4", 1), traces(0, 2), traces(1, 4), end(2),
                  start(2, "2, 4", 1), traces(2, 2),        traces(3, 4), end(4),       stop(4)};
  auto packets = read(all);
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[1].data.frames()[0].data(), all[1].frames()[0].data());
  EXPECT_EQ(packets[2].data.frames()[0].data(), all[5].frames()[0].data());
  EXPECT_EQ(text_of(packets[2]), "1");
  EXPECT_EQ(text_of(packets[3]), "end=2");
}

TEST(lecroy, sequences_may_differ_in_their_channels) {
  EXPECT_THAT(told({prepare(), start(0, "2, 4", 1), traces(0, 2), traces(1, 4), end(2), start(2, "1", 1),
                    traces(2, 1), end(3), start(3, "1, 2, 3", 1), traces(3, 3), traces(4, 1), traces(5, 2),
                    end(6), stop(6)}),
              ElementsAre("start", "0", "1", "2", "end=3"));
}

TEST(lecroy, what_is_no_entry_is_passed_over_wherever_it_comes) {
  auto heartbeat = message({R"({"htype": "heartbeat"})"});
  EXPECT_THAT(told({heartbeat, prepare(), heartbeat, prepare(), heartbeat, start(0), heartbeat, traces(0, 2),
                    heartbeat, traces(1, 4), heartbeat, end(2), heartbeat, stop(2), heartbeat}),
              ElementsAre("start", "start", "0", "end=1"));
}

TEST(lecroy, discards_what_is_outside_of_a_series) {
  EXPECT_THAT(told({start(0), traces(0, 2), traces(1, 4), end(2), stop(2), prepare(), start(0, "1"), stop(0),
                    start(0, "1"), traces(0, 1), end(1), stop(1)}),
              ElementsAre("0", "end=1", "start", "end=0", "0", "end=1"))
      << "a series whose prepare was lost begins with frame 0";
  EXPECT_THAT(told({traces(1, 4), end(2), stop(2), prepare()}), ElementsAre("!unknown", "!unknown", "start"));
}

TEST(lecroy, counts_anew_behind_each_prepare_and_forgets_on_reset) {
  messages series = {prepare(), start(0, "1"), traces(0, 1), end(1), stop(1)};
  auto twice = series;
  twice.insert(twice.end(), series.begin(), series.end());
  EXPECT_THAT(told(twice), ElementsAre("start", "0", "end=1", "start", "0", "end=1"));
  auto reader = make_lecroy();
  std::vector<stream_packet> packets;
  reader->read(prepare(), packets);
  reader->read(start(0), packets);
  reader->reset();
  reader->read(stop(0), packets);
  EXPECT_EQ(text_of(packets.back()), "!unknown");
}

TEST(lecroy, the_stop_needs_no_htype) {
  EXPECT_THAT(
      told({prepare(), start(0, "1"), traces(0, 1), end(1), message({R"({"what":3,"frame":1,"frames":1})"})}),
      ElementsAre("start", "0", "end=1"));
  EXPECT_THAT(told({prepare(), start(0, "1"), traces(0, 1), end(1), message({R"({"what":3,"frames":1})"})}),
              ElementsAre("start", "0", "end=1"));
  EXPECT_THAT(told({prepare(), start(0, "1"), traces(0, 1), end(1), message({R"({"what":3,"frame":1})"})}),
              ElementsAre("start", "0", "end=1"));
  EXPECT_THAT(told({prepare(), start(0, "1"), traces(0, 1), end(1), message({R"({"what":3})"})}),
              ElementsAre("start", "0", "end"));
  EXPECT_THAT(
      told({prepare(), start(0, "1"), traces(0, 1), end(1), message({R"({"what":3,"frame":1,"frames":2})"})}),
      ElementsAre("start", "0", "end"));
}

TEST(lecroy, names_what_was_lost_of_a_continuous_series) {
  // Two channels, four sequences.
  messages all = {prepare(), start(0)};
  for (std::uint64_t i = 0; i < 4; ++i)
    for (auto& one : {traces(2 * i, 2), traces(2 * i + 1, 4), end(2 * i + 2)}) all.push_back(one);
  all.push_back(stop(8));
  auto without = [&](std::set<std::size_t> lost) {
    messages left;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!lost.contains(i)) left.push_back(all[i]);
    return told(left);
  };
  EXPECT_THAT(without({}), ElementsAre("start", "0", "1", "2", "3", "end=4"));
  EXPECT_THAT(without({5}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4"))
      << "its first traces";
  EXPECT_THAT(without({6}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4")) << "its last traces";
  EXPECT_THAT(without({7}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4")) << "its end";
  EXPECT_THAT(without({5, 6}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4"))
      << "all but its end";
  EXPECT_THAT(without({6, 7}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4"))
      << "all but its first";
  EXPECT_THAT(without({5, 6, 7}), ElementsAre("start", "0", "2", "3", "end=4")) << "all of it";
  EXPECT_THAT(without({2, 3, 4, 5, 6, 7}), ElementsAre("start", "2", "3", "end=4"));
  EXPECT_THAT(without({6, 7, 8, 9, 10}), ElementsAre("start", "0", "1!truncated", "3", "end=4"));
  EXPECT_THAT(without({6, 7, 8}), ElementsAre("start", "0", "1!truncated", "2!truncated", "3", "end=4"));
  EXPECT_THAT(without({7, 8, 9}), ElementsAre("start", "0", "1!truncated", "2!truncated", "3", "end=4"))
      << "an end, and all but the end of the next";
  EXPECT_THAT(without({5, 6, 7, 8, 9}), ElementsAre("start", "0", "2!truncated", "3", "end=4"));
  EXPECT_THAT(without({11, 12, 13}), ElementsAre("start", "0", "1", "2", "end=4")) << "the last one";
  EXPECT_THAT(without({12, 13}), ElementsAre("start", "0", "1", "2", "3!truncated", "end=4"));
  EXPECT_THAT(without({13}), ElementsAre("start", "0", "1", "2", "3!truncated", "end=4"));
  EXPECT_THAT(without({14}), ElementsAre("start", "0", "1", "2", "3")) << "the stop";
  EXPECT_THAT(without({0}), ElementsAre("0", "1", "2", "3", "end=4")) << "the prepare";
  EXPECT_THAT(without({1}),
              ElementsAre("start", "0!truncated", "1!truncated", "2!truncated", "3!truncated", "end=4"))
      << "the start of all: their numbers are known, their channels are not";
  EXPECT_THAT(without({1, 7}),
              ElementsAre("start", "0!truncated", "1!truncated", "2!truncated", "3!truncated", "end=4"))
      << "traces of a channel that came before tell of an end that is missing";
  EXPECT_THAT(without({1, 6}),
              ElementsAre("start", "0!truncated", "1!truncated", "!truncated", "!truncated", "end"))
      << "nobody knows to which sequence that end belongs";
}

TEST(lecroy, names_what_was_lost_of_a_sequential_series) {
  messages all = {prepare()};
  for (std::uint64_t i = 0; i < 4; ++i)
    for (auto& one : {start(2 * i, "2, 4", 1), traces(2 * i, 2), traces(2 * i + 1, 4), end(2 * i + 2)})
      all.push_back(one);
  all.push_back(stop(8));
  auto without = [&](std::set<std::size_t> lost) {
    messages left;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!lost.contains(i)) left.push_back(all[i]);
    return told(left);
  };
  for (std::size_t lost : {5, 6, 7, 8})
    EXPECT_THAT(without({lost}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4")) << lost;
  EXPECT_THAT(without({5, 6, 7, 8}), ElementsAre("start", "0", "2", "3", "end=4"));
  EXPECT_THAT(without({6, 7, 8}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4"))
      << "all but its start";
  EXPECT_THAT(without({5, 6, 7}), ElementsAre("start", "0", "1!truncated", "2", "3", "end=4"))
      << "all but its end";
  EXPECT_THAT(without({8, 9}), ElementsAre("start", "0", "1!truncated", "2!truncated", "3", "end=4"))
      << "an end and the next start";
  EXPECT_THAT(without({1}), ElementsAre("start", "0!truncated", "1", "2", "3", "end=4"));
  EXPECT_THAT(without({1, 2}), ElementsAre("start", "!truncated", "!corrupt", "!corrupt", "!corrupt", "end"))
      << "nobody knows how many channels they had";
}

TEST(lecroy, traces_left_over_at_the_stop_are_dropped) {
  EXPECT_THAT(told({prepare(), start(0), traces(0, 2), traces(1, 4), end(2), traces(2, 2), stop(3)}),
              ElementsAre("start", "0", "end=1"));
  EXPECT_THAT(told({prepare(), start(0), traces(0, 2), traces(1, 4), end(2), traces(2, 2), stop(5)}),
              ElementsAre("start", "0", "1!truncated", "end"))
      << "more were lost, and what was left over can't be told";
  EXPECT_THAT(told({prepare(), start(0, "2, 4", 1), traces(0, 2), traces(1, 4), end(2), start(2, "2, 4", 1),
                    stop(2)}),
              ElementsAre("start", "0", "end=1"));
}

TEST(lecroy, a_lost_stop_is_found_at_the_next_prepare) {
  EXPECT_THAT(told({prepare(), start(0), traces(0, 2), prepare(), start(0), traces(0, 2), traces(1, 4),
                    end(2), stop(2)}),
              ElementsAre("start", "0!truncated", "start", "0", "end=1"));
}

TEST(lecroy, one_wild_number_costs_its_own_sequence) {
  auto in_the_middle = [](std::vector<stream_data> wild) {
    messages all = {prepare(), start(0, "1"), traces(0, 1), end(1)};
    all.insert(all.end(), wild.begin(), wild.end());
    for (auto& one : {traces(2, 1), end(3), stop(3)}) all.push_back(one);
    return told(all);
  };
  EXPECT_THAT(in_the_middle({traces(1, 1), end(2)}), ElementsAre("start", "0", "1", "2", "end=3"));
  EXPECT_THAT(in_the_middle({traces(1000000, 1), end(2)}),
              ElementsAre("start", "0", "1!truncated", "2", "end=3"));
  EXPECT_THAT(in_the_middle({traces(1, 1), end(1000000)}),
              ElementsAre("start", "0", "1!truncated", "999999!truncated", "1!truncated", "2", "end=3"));
}

TEST(lecroy, what_comes_again_or_too_late_costs_nothing) {
  EXPECT_THAT(
      told({prepare(), start(0, "1"), traces(0, 1), end(1), traces(1, 1), end(2), traces(0, 1), end(1),
            traces(1, 1), end(2), stop(2), prepare(), start(0, "1"), traces(0, 1), end(1), stop(1)}),
      ElementsAre("start", "0", "1", "!unknown", "!unknown", "!unknown", "!unknown", "end=2", "start", "0",
                  "end=1"));
}

TEST(lecroy, a_prepare_that_comes_again_is_the_same_if_frames_go_on) {
  EXPECT_THAT(
      told({prepare(), start(0, "1"), traces(0, 1), end(1), prepare(), traces(1, 1), end(2), stop(2)}),
      ElementsAre("start", "0", "start", "1", "end=2"));
}

TEST(lecroy, starts_that_do_not_fit_what_was_lost_are_not_guessed_at) {
  EXPECT_THAT(told({prepare(), start(0, "2, 4", 1), traces(0, 2), traces(1, 4), end(2), start(5, "2, 4", 1),
                    traces(5, 2), traces(6, 4), end(7), stop(7)}),
              ElementsAre("start", "0", "!corrupt", "end"));
  EXPECT_THAT(told({prepare(), start(0, "2, 4", 1), traces(0, 2), traces(1, 4), end(2), start(4, "1", 1),
                    traces(4, 1), end(5), stop(5)}),
              ElementsAre("start", "0", "!corrupt", "end"))
      << "one sequence of two channels, or two of one";
}

struct faulty_traces {
  const char* what;
  std::vector<std::string> parts;
  const char* fault;
};

TEST(lecroy, measures_traces) {
  auto with = [](std::string_view from, std::string_view to) {
    auto text = traces_text(3, 4);
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  const faulty_traces cases[] = {
      {"as they should be", {traces_text(3, 4), sixteen, "p"}, ""},
      {"empty ones", {traces_text(3, 4, "[0, 1000000000000000000]"), "", "p"}, ""},
      {"of another type", {with("float64", "int16"), "abcd", "p"}, ""},
      {"an extra key", {with("\"ts\"", "\"x\": [{}], \"ts\""), sixteen, "p"}, ""},
      {"one sample too many", {traces_text(3, 4), sixteen + "12345678", "p"}, "!oversized"},
      {"one byte too few", {traces_text(3, 4), sixteen.substr(1), "p"}, "!truncated"},
      {"no time stamps", {traces_text(3, 4), sixteen}, "!truncated"},
      {"no samples", {traces_text(3, 4)}, "!truncated"},
      {"four parts", {traces_text(3, 4), sixteen, "p", ""}, "!oversized"},
      {"an impossible shape",
       {traces_text(3, 4, "[1000000000000, 1000000000000]"), sixteen, "p"},
       "!truncated"},
      {"one axis", {traces_text(3, 4, "[2]"), sixteen, "p"}, "!unknown"},
      {"three axes", {traces_text(3, 4, "[1, 1, 2]"), sixteen, "p"}, "!unknown"},
      {"no shape", {traces_text(3, 4, "null"), sixteen, "p"}, "!unknown"},
      {"a type of others", {with("float64", "complex64"), sixteen, "p"}, "!unknown"},
      {"no channel", {with("\"ch\"", "\"c\""), sixteen, "p"}, "!unknown"},
      {"a channel of no start", {traces_text(3, 5), sixteen, "p"}, "!unknown"},
      {"a channel for the second time", {traces_text(3, 2), sixteen, "p"}, "!unknown"},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_THAT(told({prepare(), start(0), traces(0, 2), traces(1, 4), end(2), traces(2, 2), message(c.parts),
                      end(4), traces(4, 2), traces(5, 4), end(6), stop(6)}),
                ElementsAre("start", "0", std::string("1") + c.fault, "2", "end=3"));
  }
}

TEST(lecroy, names_what_it_refuses) {
  auto only = [](std::vector<std::string> parts) { return told({message(std::move(parts))}); };
  EXPECT_THAT(only({}), ElementsAre("!truncated"));
  EXPECT_THAT(only({""}), ElementsAre("!not_json"));
  EXPECT_THAT(only({"[]"}), ElementsAre("!not_json"));
  EXPECT_THAT(only({R"({"what":0}})"}), ElementsAre("!not_json"));
  EXPECT_THAT(only({std::string(json_header_limit, ' ') + "{}"}), ElementsAre("!oversized"));
  EXPECT_THAT(only({"{}"}), ElementsAre("!unknown"));
  EXPECT_THAT(only({R"({"htype":"msg"})"}), ElementsAre("!unknown"));
  EXPECT_THAT(only({R"({"htype":"msg","what":4})"}), ElementsAre("!unknown"));
  EXPECT_THAT(only({R"({"htype":"msg","what":-1})"}), ElementsAre("!unknown"));
  EXPECT_THAT(only({R"({"htype":"image","what":1})"}), ElementsAre("!unknown"));
  std::string many = "0";
  for (std::size_t i = 1; i <= lecroy_channel_limit; ++i) many += "," + std::to_string(i);
  for (std::string channels : {"", "-1", "1.5", "\"a\"", "2, 2", many.c_str()})
    EXPECT_THAT(told({prepare(), start(0, channels), traces(0, 2), end(1), stop(1)}),
                ElementsAre("start", "!unknown", "0!truncated", "end=1"))
        << channels;
  EXPECT_THAT(told({prepare(), message({R"({"what":1,"frame":0,"channels":[2]})"}), stop(0)}),
              ElementsAre("start", "!unknown", "end=0"));
  EXPECT_THAT(
      told({prepare(), start(0, "1"), message({R"({"htype":"traces","ch":1})", "", ""}), end(1), stop(1)}),
      ElementsAre("start", "!unknown", "0!truncated", "end=1"));
  EXPECT_THAT(told({prepare(), start(0, "1"), traces(0, 1), message({R"({"what":2})"}), stop(1)}),
              ElementsAre("start", "!unknown", "0!truncated", "end=1"));
  EXPECT_THAT(told({prepare(), start(0, "1"), traces(0, 1), end(1), end(1), stop(1)}),
              ElementsAre("start", "0", "!unknown", "end=1"));
  auto with_more = [](stream_data data) { return message({std::string(data.frames()[0].text()), "more"}); };
  EXPECT_THAT(
      told({prepare(), start(0, "1"), traces(0, 1), with_more(end(1)), traces(1, 1), end(2), stop(2)}),
      ElementsAre("start", "0!oversized", "1", "end=2"));
  EXPECT_THAT(
      told({prepare(), with_more(start(0, "1")), traces(0, 1), end(1), traces(1, 1), end(2), stop(2)}),
      ElementsAre("start", "0!oversized", "1!oversized", "end=2"));
  EXPECT_THAT(told({prepare(), start(0, "1"), traces(std::uint64_t{1} << 63, 1), end(1), stop(1)}),
              ElementsAre("start", "!unknown", "0!truncated", "end=1"))
      << "a number that nothing reaches";
}

/// Samples that are nowhere, so that limits can be tried out.
class huge_traces {
 public:
  static constexpr std::size_t size = std::size_t{1} << 30;
  huge_traces()
      : memory_(mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~huge_traces() { munmap(memory_, size); }
  huge_traces(const huge_traces&) = delete;
  huge_traces& operator=(const huge_traces&) = delete;

  stream_data message(std::uint64_t frame_number, std::uint64_t channel) const {
    auto text = std::make_shared<const std::string>(traces_text(frame_number, channel, "[1, 134217728]"));
    std::vector<frame> views = {frame(text->data(), text->size()), frame(memory_, size),
                                frame(text->data(), 1)};
    return stream_data(std::make_unique<borrowed_frames>(std::move(views), text), lecroy_type_tag);
  }

 private:
  void* memory_;
};

TEST(lecroy, holds_no_more_than_its_limit) {
  huge_traces huge;
  EXPECT_THAT(told({prepare(), start(0, "1, 2"), huge.message(0, 1), traces(1, 2), end(2), stop(2)}),
              ElementsAre("start", "0", "end=1"));
  EXPECT_THAT(told({prepare(), start(0, "1, 2"), huge.message(0, 1), huge.message(1, 2), end(2), traces(2, 1),
                    traces(3, 2), end(4), stop(4)}),
              ElementsAre("start", "0!oversized", "1", "end=2"));
}

TEST(lecroy, lets_go_of_what_can_not_become_an_entry) {
  auto reader = make_lecroy();
  std::vector<stream_packet> packets;
  auto held = std::make_shared<int>();
  auto parts = traces(0, 2);
  std::vector<frame> views(parts.frames().begin(), parts.frames().end());
  reader->read(prepare(), packets);
  reader->read(start(0), packets);
  reader->read(stream_data(std::make_unique<borrowed_frames>(views, held), lecroy_type_tag), packets);
  EXPECT_EQ(held.use_count(), 2);
  reader->read(traces(1, 9), packets);
  EXPECT_EQ(held.use_count(), 1);
}

/// A generated series, with the sequence that each message belongs to.
struct taken_apart {
  messages all;
  std::vector<int> owner; ///< -1: none
  std::map<std::uint64_t, stream_data> entries;
};

taken_apart generate(bool continuous, std::string_view channels, std::uint64_t sequences) {
  protocol_options options = {{"mode", continuous ? "continuous" : "sequential"},
                              {"channels", std::string(channels)},
                              {"samples", "2"}};
  if (!continuous) options["triggers"] = "2";
  auto series = make_lecroy_series({.frames = sequences, .options = options});
  taken_apart found;
  int sequence = -1;
  while (auto one = series->next()) {
    auto text = one->frames()[0].text();
    bool is_start = text.find("\"what\": 1") != text.npos, is_traces = text.find("traces") != text.npos;
    bool is_end = text.find("\"what\": 2") != text.npos;
    bool first = continuous ? is_traces && (found.owner.back() < 0 || found.all.back().frames().size() == 1)
                            : is_start;
    if (first) ++sequence;
    bool owned = is_traces || is_end || (is_start && !continuous);
    found.owner.push_back(owned ? sequence : -1);
    found.all.push_back(*one);
  }
  for (auto& packet : read(found.all))
    if (packet.numbers.number) found.entries[*packet.numbers.number] = packet.data;
  EXPECT_EQ(found.entries.size(), sequences);
  return found;
}

/// Whatever is lost behind the first start, no other sequence suffers and none is given a wrong number.
TEST(lecroy, any_losses_cost_what_was_lost_only) {
  std::mt19937 random(17);
  std::size_t counts = 0;
  for (bool continuous : {true, false})
    for (std::string_view channels : {"1", "2,4", "7,5,3"}) {
      auto series = generate(continuous, channels, 6);
      for (int round = 0; round < 3000; ++round) {
        auto odds = 2 + random() % 12;
        messages left;
        std::set<int> hurt;
        for (std::size_t i = 0; i < series.all.size(); ++i) {
          bool keep = i < 2 || i + 1 == series.all.size() || random() % odds != 0;
          if (keep) left.push_back(series.all[i]);
          if (!keep) hurt.insert(series.owner[i]);
        }
        std::set<std::uint64_t> good, bad;
        for (auto& packet : read(left)) {
          auto& numbers = packet.numbers;
          if (packet.fault) {
            ASSERT_TRUE(numbers.number);
            ASSERT_TRUE(hurt.contains(static_cast<int>(*numbers.number)));
            ASSERT_TRUE(bad.insert(*numbers.number).second);
          } else if (numbers.kind == entry_kind::data) {
            ASSERT_TRUE(good.insert(numbers.number.value()).second);
            ASSERT_EQ(packet.data, series.entries.at(*numbers.number));
          } else if (numbers.kind == entry_kind::end) {
            ASSERT_EQ(numbers.count, 6u);
            ++counts;
          }
        }
        for (int i = 0; i < 6; ++i)
          ASSERT_EQ(good.contains(static_cast<std::uint64_t>(i)), !hurt.contains(i));
      }
    }
  EXPECT_EQ(counts, 18000u);
}

/// The same when starts and prepares are lost too: some numbers are unknown then, none is wrong.
TEST(lecroy, no_loss_leads_to_a_wrong_number) {
  std::mt19937 random(18);
  std::size_t entries = 0;
  for (bool continuous : {true, false})
    for (std::string_view channels : {"1", "2,4", "7,5,3"}) {
      auto series = generate(continuous, channels, 6);
      for (int round = 0; round < 3000; ++round) {
        messages left;
        for (auto& one : series.all)
          if (random() % 8) left.push_back(one);
        for (auto& packet : read(left)) {
          if (packet.numbers.kind == entry_kind::end) {
            ASSERT_EQ(packet.numbers.count.value_or(6), 6u);
          }
          if (packet.fault || packet.numbers.kind != entry_kind::data) continue;
          ASSERT_EQ(packet.data, series.entries.at(packet.numbers.number.value()));
          ++entries;
        }
      }
    }
  EXPECT_GT(entries, 10000u);
}

TEST(lecroy, survives_random_changes) {
  std::mt19937 random(3);
  std::size_t good = 0, bad = 0;
  auto series = generate(false, "2,4", 4);
  for (int round = 0; round < 3000; ++round) {
    std::vector<stream_packet> packets;
    auto reader = make_lecroy();
    for (auto& one : series.all) {
      std::vector<std::string> parts;
      for (auto& part : one.frames()) parts.emplace_back(part.text());
      if (random() % 8 == 0) {
        auto& part = parts[random() % parts.size()];
        auto& c = part[random() % part.size()];
        c = random() % 2 ? static_cast<char>(random()) : "{}[],:\"0123456789"[random() % 17];
      }
      if (random() % 64 == 0) parts.resize(random() % 5);
      reader->read(message(parts), packets);
    }
    for (auto& packet : packets) {
      packet.fault ? ++bad : ++good;
      bool sequence = !packet.fault && packet.numbers.kind == entry_kind::data;
      auto decoded = parse_lecroy_sequence(packet.data);
      ASSERT_EQ(decoded.has_value(), sequence);
      if (!decoded) continue;
      for (auto& one : decoded->traces) lecroy_time_stamps(one);
    }
  }
  EXPECT_GT(good, 3000u);
  EXPECT_GT(bad, 3000u);
}

TEST(lecroy, decodes_a_sequence) {
  std::string text;
  const std::uint64_t channels[] = {2, 4};
  write_lecroy_start(text, {.frame = 4, .triggers = 2, .seqno = 7, .channels = channels});
  auto first = message({text});
  const double samples[] = {1, 2, 3, -4, 5, 1e-300};
  std::string blob(reinterpret_cast<const char*>(samples), sizeof samples);
  auto stamps = write_pickle(value_list{1740563664.870739, 1740563664.335});
  std::string pickle(reinterpret_cast<const char*>(stamps.data()), stamps.size());
  lecroy_traces_header header{.channel = 4,
                              .ts = 2.5,
                              .frame = 4,
                              .traces = 2,
                              .samples = 3,
                              .horiz_offset = -1,
                              .horiz_interval = 0.25};
  write_lecroy_traces(text, header, 77);
  EXPECT_THAT(text, HasSubstr(R"(, "sent_ns": 77})"));
  auto four = message({text, blob, pickle});
  header.channel = 2, header.frame = 5;
  write_lecroy_traces(text, header);
  auto packets = read({prepare(), first, four, message({text, blob, "no pickle"}), end(6)});
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(text_of(packets[1]), "2") << "two sequences before it were lost";
  messages all = {first, four, message({text, blob, "no pickle"}), end(6)};
  std::vector<frame> views;
  for (auto& one : all)
    for (auto& part : one.frames()) views.push_back(part);
  auto keep = std::make_shared<const messages>(all);
  stream_data data(std::make_unique<borrowed_frames>(views, keep), lecroy_type_tag);
  auto sequence = parse_lecroy_sequence(data);
  ASSERT_TRUE(sequence);
  EXPECT_FALSE(sequence->continuous);
  EXPECT_EQ(sequence->triggers, 2u);
  EXPECT_EQ(sequence->seqno, 7);
  EXPECT_THAT(sequence->channels, ElementsAre(2, 4));
  ASSERT_THAT(sequence->traces, SizeIs(2));
  EXPECT_EQ(sequence->find(4), &sequence->traces[0]);
  EXPECT_EQ(sequence->find(5), nullptr);
  auto& traces = *sequence->find(4);
  EXPECT_EQ(traces.frame, 4u);
  EXPECT_EQ(traces.ts, 2.5);
  EXPECT_EQ(traces.samples.type, dtype::float64);
  EXPECT_THAT(traces.samples.shape, ElementsAre(2, 3));
  EXPECT_EQ(traces.samples.bytes.data(), four.frames()[1].data()) << "not a copy";
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(traces.samples.at<double>(i), samples[i]);
  EXPECT_THAT(traces.time_axis(), ElementsAre(-1, -0.75, -0.5));
  EXPECT_EQ(lecroy_time_stamps(traces), (std::vector<double>{1740563664.870739, 1740563664.335}));
  EXPECT_EQ(lecroy_time_stamps(sequence->traces[1]), std::nullopt) << "the samples are good all the same";
}

TEST(lecroy, takes_only_time_stamps_that_fit) {
  auto fits = [](const value& content) {
    auto pickle = write_pickle(content);
    lecroy_traces one;
    one.samples.shape = {2, 3};
    one.pickled_time_stamps = pickle;
    return lecroy_time_stamps(one).has_value();
  };
  EXPECT_TRUE(fits(value_list{1.5, 2}));
  EXPECT_FALSE(fits(value_list{1.5}));
  EXPECT_FALSE(fits(value_list{1.5, 2.5, 3.5}));
  EXPECT_FALSE(fits(value_list{1.5, "2.5"}));
  EXPECT_FALSE(fits(1.5));
}

TEST(lecroy, a_time_axis_needs_traces) {
  lecroy_traces none;
  none.horiz_offset = none.horiz_interval = 1;
  none.samples.shape = {0, 1000000000000000000};
  EXPECT_THAT(none.time_axis(), IsEmpty());
  EXPECT_THAT(lecroy_traces().time_axis(), IsEmpty());
}

TEST(lecroy, tells_kinds) {
  auto packets = read({prepare(), start(0), traces(0, 2), traces(1, 4), end(2), stop(2)});
  ASSERT_EQ(packets.size(), 3u);
  EXPECT_EQ(lecroy_kind(packets[0].data), entry_kind::start);
  EXPECT_EQ(lecroy_kind(packets[1].data), entry_kind::data);
  EXPECT_EQ(lecroy_kind(packets[2].data), entry_kind::end);
  EXPECT_EQ(parse_lecroy_stop(packets[2].data)->frames, 2u);
  EXPECT_FALSE(parse_lecroy_stop(packets[1].data));
  EXPECT_FALSE(parse_lecroy_sequence(packets[0].data));
  EXPECT_EQ(lecroy_kind(start(0)), std::nullopt);
  EXPECT_EQ(lecroy_kind(traces(0, 2)), std::nullopt);
  EXPECT_EQ(lecroy_kind({}), std::nullopt);
  std::vector<std::string> parts;
  for (auto& part : packets[1].data.frames()) parts.emplace_back(part.text());
  EXPECT_TRUE(parse_lecroy_sequence(message(parts)));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto fewer = parts;
    fewer.erase(fewer.begin() + static_cast<long>(i));
    EXPECT_FALSE(parse_lecroy_sequence(message(fewer))) << i;
  }
  std::swap(parts[1], parts[4]);
  EXPECT_TRUE(parse_lecroy_sequence(message(parts)));
  parts[1] = parts[4];
  EXPECT_FALSE(parse_lecroy_sequence(message(parts))) << "one channel twice";
}

TEST(lecroy, takes_no_options) {
  EXPECT_THROW(make_lecroy({{"mode", "continuous"}}), std::runtime_error);
  EXPECT_EQ(make_lecroy()->name(), "lecroy");
  EXPECT_EQ(make_lecroy()->type_tag(), "lecroy_9fwdWp6Rq7");
}

TEST(lecroy, reads_the_recording) {
  auto path = test::find_recording("maui-02-continuous-3.cbor.gz");
  if (!path) GTEST_SKIP() << "no recordings here";
  capture_reader recorded(mapped_file::open(*path), lecroy_type_tag);
  messages all;
  while (auto one = recorded.next()) all.push_back(std::move(*one));
  EXPECT_EQ(recorded.cut_off(), "");
  ASSERT_EQ(all.size(), 9u);
  auto packets = read(all);
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(text_of(packets[0]), "start");
  EXPECT_EQ(text_of(packets[1]), "0");
  EXPECT_EQ(text_of(packets[2]), "1");
  EXPECT_EQ(text_of(packets[3]), "end=2");
  EXPECT_EQ(parse_lecroy_stop(packets[3].data)->frames, 4u);
  for (std::size_t i = 0; i < 2; ++i) {
    auto sequence = parse_lecroy_sequence(packets[i + 1].data);
    ASSERT_TRUE(sequence);
    EXPECT_TRUE(sequence->continuous);
    EXPECT_EQ(sequence->triggers, std::nullopt);
    EXPECT_EQ(sequence->seqno, 0);
    EXPECT_THAT(sequence->channels, ElementsAre(2, 4));
    ASSERT_THAT(sequence->traces, SizeIs(2));
    for (std::size_t c = 0; c < 2; ++c) {
      auto& traces = sequence->traces[c];
      EXPECT_EQ(traces.channel, 2 + 2 * c);
      EXPECT_EQ(traces.frame, 2 * i + c);
      EXPECT_THAT(traces.samples.shape, ElementsAre(1, 8002));
      EXPECT_EQ(traces.samples.bytes.size(), 64016u);
      EXPECT_EQ(traces.horiz_interval, 1.25000001668929e-11);
      EXPECT_EQ(traces.time_axis().size(), 8002u);
      EXPECT_THAT(lecroy_time_stamps(traces), testing::Optional(ElementsAre(traces.ts.value())));
    }
  }
  auto first = parse_lecroy_sequence(packets[1].data)->traces[0];
  EXPECT_EQ(first.ts, 1740563664.870739);
  EXPECT_EQ(first.horiz_offset, -1.0000447740009733e-07);
  EXPECT_EQ(first.time_axis()[8001], -1.0000447740009733e-07 + 8001 * 1.25000001668929e-11);
}

TEST(lecroy, writes_what_was_recorded) {
  auto path = test::find_recording("maui-02-continuous-3.cbor.gz");
  if (!path) GTEST_SKIP() << "no recordings here";
  capture_reader recorded(mapped_file::open(*path), lecroy_type_tag);
  std::vector<std::string> texts;
  std::string pickle;
  while (auto one = recorded.next()) {
    texts.emplace_back(one->frames()[0].text());
    if (one->frames().size() > 2) pickle = one->frames()[2].text();
  }
  std::string out;
  write_lecroy_prepare(out);
  EXPECT_EQ(out, texts.at(0));
  const std::uint64_t channels[] = {2, 4};
  write_lecroy_start(out, {.channels = channels});
  EXPECT_EQ(out, texts.at(1));
  write_lecroy_traces(out, {.channel = 2,
                            .ts = 1740563664.870739,
                            .frame = 0,
                            .traces = 1,
                            .samples = 8002,
                            .horiz_offset = -1.0000447740009733e-07,
                            .horiz_interval = 1.25000001668929e-11});
  EXPECT_EQ(out, texts.at(2));
  write_lecroy_end(out, 2);
  EXPECT_EQ(out, texts.at(4));
  write_lecroy_stop(out, 4);
  EXPECT_EQ(out, texts.at(8));
  auto written = write_pickle(value_list{1740563664.335});
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(written.data()), written.size()), pickle);
}

} // namespace
} // namespace dtranspose
