#include "protocol/dummy.hpp"

#include <random>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/json_text.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using namespace std::string_view_literals;

stream_data message(std::initializer_list<std::string_view> parts) {
  return memory_frames::of(dummy_type_tag, parts);
}

stream_packet read(const stream_data& data) {
  std::vector<stream_packet> packets;
  make_dummy()->read(data, packets);
  EXPECT_EQ(packets.size(), 1u);
  return packets.at(0);
}

// The examples of the specification, byte for byte.
constexpr std::string_view start_example = R"({"message":"start","series":4})";
constexpr std::string_view frame_example =
    R"({"message":"frame","series":4,"frame":7,"shape":[2,3],"type":"uint16"})";
constexpr std::string_view end_example = R"({"message":"end","series":4,"frames":8})";
constexpr std::string_view pixels = "\0\0\0\0\4\0\1\0\2\0\0\0"sv;

TEST(dummy, reads_the_worked_example) {
  auto start = read(message({start_example}));
  EXPECT_FALSE(start.fault);
  EXPECT_EQ(start.numbers.kind, entry_kind::start);
  EXPECT_EQ(start.numbers.series, 4u);
  auto end = read(message({end_example}));
  EXPECT_FALSE(end.fault);
  EXPECT_EQ(end.numbers.kind, entry_kind::end);
  EXPECT_EQ(end.numbers.series, 4u);
  EXPECT_EQ(end.numbers.count, 8u);
  auto data = message({frame_example, pixels});
  auto packet = read(data);
  EXPECT_FALSE(packet.fault);
  EXPECT_EQ(packet.data, data);
  EXPECT_EQ(packet.data.frames()[1].data(), data.frames()[1].data());
  EXPECT_EQ(packet.numbers.kind, entry_kind::data);
  EXPECT_EQ(packet.numbers.number, 7u);
  EXPECT_EQ(packet.numbers.series, 4u);
  EXPECT_FALSE(packet.numbers.count);
  auto frame = parse_dummy_frame(data);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->number, 7u);
  EXPECT_EQ(frame->series, 4u);
  EXPECT_EQ(frame->pixels.type, dtype::uint16);
  EXPECT_THAT(frame->pixels.shape, ElementsAre(2, 3));
  EXPECT_EQ(frame->pixels.at<std::uint16_t>(2), 4);
  EXPECT_EQ(frame->pixels.at<std::uint16_t>(4), 2);
  EXPECT_EQ(frame->pixels.bytes.data(), data.frames()[1].data());
  EXPECT_FALSE(parse_dummy_frame(message({start_example})));
}

TEST(dummy, writes_the_worked_example) {
  std::string text;
  write_dummy_start(text, 4);
  EXPECT_EQ(text, start_example);
  write_dummy_frame(text, 4, 7, {2, 3}, dtype::uint16);
  EXPECT_EQ(text, frame_example);
  write_dummy_end(text, 4, 8);
  EXPECT_EQ(text, end_example);
}

TEST(dummy, takes_any_order_and_further_keys) {
  auto data = message({R"( { "type":"uint8", "exposure": {"s":[0.1]}, "shape":[1] , "frame" : 0,
                            "message":"frame" } )",
                       "x"});
  EXPECT_FALSE(read(data).fault);
  auto frame = parse_dummy_frame(data);
  ASSERT_TRUE(frame);
  EXPECT_FALSE(frame->series);
  EXPECT_EQ(*frame->metadata.find("exposure")->find("s"), value(value_list{0.1}));
}

TEST(dummy, reads_frames_whose_header_nests_too_deeply) {
  std::string deep = std::string(json_depth_limit + 1, '[') + std::string(json_depth_limit + 1, ']');
  auto data =
      message({R"({"message":"frame","frame":7,"shape":[1],"type":"uint8","deep":)" + deep + "}", "x"});
  EXPECT_FALSE(read(data).fault);
  auto frame = parse_dummy_frame(data);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->number, 7u);
  EXPECT_TRUE(frame->metadata.empty());
}

TEST(dummy, reads_what_it_writes) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 500; ++i) {
    auto type = static_cast<dtype>(random() % 10);
    std::vector<std::size_t> shape = {random() % 5, random() % 5};
    auto series = random(), number = random();
    std::string text, blob(shape[0] * shape[1] * size_of(type), 'x');
    write_dummy_frame(text, series, number, shape, type, static_cast<std::int64_t>(i));
    auto data = message({text, blob});
    EXPECT_EQ(read(data).numbers.number, number);
    auto frame = parse_dummy_frame(data);
    ASSERT_TRUE(frame) << text;
    EXPECT_EQ(frame->number, number);
    EXPECT_EQ(frame->series, series);
    EXPECT_EQ(frame->pixels.shape, shape);
    EXPECT_EQ(frame->pixels.type, type);
    EXPECT_EQ(frame->pixels.bytes.size(), blob.size());
    EXPECT_EQ(*frame->metadata.find("sent_ns"), value(i));
  }
}

TEST(dummy, says_why_it_refuses) {
  using enum packet_fault;
  auto frame = [](std::string_view shape, std::string_view type = "\"uint8\"") {
    return R"({"message":"frame","frame":7,"shape":)" + std::string(shape) + R"(,"type":)" +
           std::string(type) + "}";
  };
  struct {
    stream_data data;
    packet_fault fault;
    bool numbered;
  } cases[] = {
      {stream_data(), truncated, false},
      {message({frame("[2,3]")}), truncated, true},
      {message({frame("[2,3]"), "12345"}), truncated, true},
      {message({frame("[4294967296,4294967296]"), ""}), truncated, true},
      {message({frame("[18446744073709551615,2]", "\"float64\""), "12345678"}), truncated, true},
      {message({frame("[2,3]"), "1234567"}), oversized, true},
      {message({frame("[2,3]"), "123456", ""}), oversized, true},
      {message({std::string(json_header_limit + 1, ' ')}), oversized, false},
      {message({""}), not_json, false},
      {message({"[]"}), not_json, false},
      {message({frame("[2,3]") + "x", "123456"}), not_json, false},
      {message({"{}"}), unknown, false},
      {message({R"({"message":"other"})"}), unknown, false},
      {message({R"({"message":1})"}), unknown, false},
      {message({R"({"message":"frame","frame":-1,"shape":[1],"type":"uint8"})", "1"}), unknown, false},
      {message({R"({"message":"frame","frame":"1","shape":[1],"type":"uint8"})", "1"}), unknown, false},
      {message({R"({"message":"frame","frame":7,"type":"uint8"})", "1"}), unknown, true},
      {message({frame("3"), "123"}), unknown, true},
      {message({frame("[-1]"), "123"}), unknown, true},
      {message({frame("[3]", "\"uint24\""), "123"}), unknown, true},
      {message({frame("[3]", "8"), "123"}), unknown, true},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.data.frames().empty() ? "" : std::string(c.data.frames()[0].text().substr(0, 80)));
    auto packet = read(c.data);
    ASSERT_TRUE(packet.fault);
    EXPECT_EQ(*packet.fault, c.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbered, c.numbered);
    EXPECT_FALSE(packet.data);
    EXPECT_EQ(packet.numbers.number, c.numbered ? std::optional(std::uint64_t{7}) : std::nullopt);
    EXPECT_FALSE(parse_dummy_frame(c.data));
  }
}

TEST(dummy, outlives_what_is_cut_off_or_changed) {
  auto reader = make_dummy();
  std::vector<stream_packet> packets;
  for (std::size_t size = 0; size < frame_example.size(); ++size) {
    reader->read(message({frame_example.substr(0, size), pixels}), packets);
    EXPECT_EQ(packets.back().fault, packet_fault::not_json) << size;
  }
  std::mt19937 random(17);
  const std::string_view spice = "{}[]\":,0123456789-.eE\\u \n\xff\x80tfn";
  std::size_t good = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text(frame_example);
    for (auto n = 1 + random() % 3; n > 0; --n) text[random() % text.size()] = spice[random() % spice.size()];
    auto data = message({text, pixels});
    packets.clear();
    reader->read(data, packets);
    ASSERT_EQ(packets.size(), 1u);
    ASSERT_NE(packets[0].fault.has_value(), static_cast<bool>(packets[0].data)) << text;
    good += !packets[0].fault;
    parse_dummy_frame(data);
  }
  EXPECT_GT(good, 100u);
}

TEST(dummy, is_a_pattern_and_no_protocol) {
  EXPECT_EQ(make_dummy()->name(), "dummy");
  EXPECT_EQ(make_dummy()->type_tag(), "DUMMY");
  EXPECT_THROW(make_dummy({{"color", "red"}}), std::runtime_error);
  EXPECT_FALSE(find_protocol("dummy"));
}

} // namespace
} // namespace dtranspose
