#include "protocol/albaem.hpp"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/json_text.hpp"
#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::Pair;

const std::string_view start_1 = R"({"version":1,"message_type":"series-start","message_id":1})";
const std::string_view worked_example =
    R"({"version":1,"message_type":"data","message_id":2,"frame_number":0,"timestamp":7.72,)"
    R"("acquisition_timestamp":1704807770443944912,"channel1":-2.8e-11})";
const std::string_view end_3 = R"({"version":1,"message_type":"series-end","message_id":3,)"
                               R"("detector_specific":{"read_overflow":false,"memory_overflow":true}})";

stream_data message(std::initializer_list<std::string_view> parts) {
  return memory_frames::of(albaem_type_tag, parts);
}

stream_packet read(stream_data data) {
  std::vector<stream_packet> packets;
  make_albaem()->read(std::move(data), packets);
  EXPECT_EQ(packets.size(), 1u);
  return packets.at(0);
}

TEST(albaem, reads_the_worked_example) {
  auto start = read(message({start_1}));
  EXPECT_FALSE(start.fault);
  EXPECT_EQ(start.numbers.kind, entry_kind::start);
  EXPECT_EQ(start.numbers.message_number, 1u);
  EXPECT_EQ(start.numbers.number, std::nullopt);
  auto data = message({worked_example});
  auto reading = read(data);
  EXPECT_FALSE(reading.fault);
  EXPECT_EQ(reading.numbers.kind, entry_kind::data);
  EXPECT_EQ(reading.numbers.message_number, 2u);
  EXPECT_EQ(reading.numbers.number, 0u);
  EXPECT_EQ(reading.data.frames().data(), data.frames().data()) << "the very bytes";
  EXPECT_EQ(reading.data.type(), "albaem");
  auto end = read(message({end_3}));
  EXPECT_FALSE(end.fault);
  EXPECT_EQ(end.numbers.kind, entry_kind::end);
  EXPECT_EQ(end.numbers.message_number, 3u);
  EXPECT_EQ(end.numbers.count, std::nullopt);
}

TEST(albaem, decodes_the_worked_example_to_the_last_bit) {
  auto reading = parse_albaem_reading(message({worked_example}));
  ASSERT_TRUE(reading);
  EXPECT_EQ(reading->frame_number, 0u);
  EXPECT_EQ(reading->message_id, 2u);
  EXPECT_EQ(reading->timestamp, 7.72);
  EXPECT_EQ(reading->acquisition_timestamp, 1704807770443944912);
  EXPECT_THAT(reading->channels, ElementsAre(Pair(1, -2.8e-11)));
  EXPECT_EQ(reading->channel(1), -2.8e-11);
  EXPECT_EQ(reading->channel(2), std::nullopt);
  auto end = parse_albaem_end(message({end_3}));
  ASSERT_TRUE(end);
  EXPECT_EQ(*end->detector_specific.find("memory_overflow"), value(true));
  EXPECT_EQ(*albaem_keys(message({worked_example})).find("version"), value(1));
}

TEST(albaem, writes_the_worked_example) {
  std::string out;
  write_albaem_start(out, 1);
  EXPECT_EQ(out, start_1);
  albaem_reading reading{.frame_number = 0,
                         .message_id = 2,
                         .timestamp = 7.72,
                         .acquisition_timestamp = 1704807770443944912,
                         .channels = {{1, -2.8e-11}}};
  write_albaem_reading(out, reading);
  EXPECT_EQ(out, worked_example);
  write_albaem_end(out, 3, false, true);
  EXPECT_EQ(out, end_3);
  write_albaem_reading(out, {.frame_number = 5, .channels = {{2, NAN}, {3, -INFINITY}}}, 77);
  EXPECT_EQ(
      out,
      R"({"version":1,"message_type":"data","frame_number":5,"channel2":NaN,"channel3":-Infinity,"sent_ns":77})");
}

TEST(albaem, takes_whatever_channels_there_are) {
  auto reading = parse_albaem_reading(message({R"( { "channel12" : 3 , "channel2": NaN, "channel3":Infinity,
      "channel4":-Infinity, "channel5":null, "channel6":"x", "channel":1, "channelA":1, "channel-1":1,
      "channel99999999999":1, "channel7":1, "channel7":null, "channel8":1,"channel8":2,
      "frame_number":9,"message_type":"data","acquisition_timestamp":1.5e18,"timestamp":"late","more":[{}] } )"}));
  ASSERT_TRUE(reading);
  EXPECT_EQ(reading->channels.size(), 5u);
  EXPECT_EQ(reading->channel(12), 3.0);
  EXPECT_TRUE(std::isnan(reading->channel(2).value()));
  EXPECT_EQ(reading->channel(3), INFINITY);
  EXPECT_EQ(reading->channel(4), -INFINITY);
  EXPECT_EQ(reading->channel(8), 2.0);
  EXPECT_EQ(reading->message_id, std::nullopt);
  EXPECT_EQ(reading->acquisition_timestamp, std::nullopt);
  EXPECT_EQ(reading->timestamp, std::nullopt);
}

struct refused {
  const char* what;
  std::vector<std::string> parts;
  packet_fault fault;
  std::optional<std::uint64_t> number;
};

TEST(albaem, names_what_it_refuses) {
  const refused cases[] = {
      {"no parts", {}, packet_fault::truncated, {}},
      {"an empty part", {""}, packet_fault::not_json, {}},
      {"a list", {"[]"}, packet_fault::not_json, {}},
      {"more behind it", {std::string(worked_example) + ","}, packet_fault::not_json, {}},
      {"too long", {std::string(json_header_limit, ' ') + "{}"}, packet_fault::oversized, {}},
      {"no message_type", {R"({"frame_number":1})"}, packet_fault::unknown, {}},
      {"another message_type",
       {R"({"message_type":"heartbeat","frame_number":1})"},
       packet_fault::unknown,
       {}},
      {"no frame_number", {R"({"message_type":"data"})"}, packet_fault::unknown, {}},
      {"a real frame_number", {R"({"message_type":"data","frame_number":1.0})"}, packet_fault::unknown, {}},
      {"a negative frame_number",
       {R"({"message_type":"data","frame_number":-1})"},
       packet_fault::unknown,
       {}},
      {"two parts", {R"({"message_type":"data","frame_number":7})", ""}, packet_fault::oversized, 7},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    std::vector<std::vector<std::byte>> parts;
    for (auto& part : c.parts) {
      auto bytes = std::as_bytes(std::span(part));
      parts.emplace_back(bytes.begin(), bytes.end());
    }
    auto data = stream_data(std::make_unique<memory_frames>(std::move(parts)), albaem_type_tag);
    auto packet = read(data);
    EXPECT_EQ(packet.fault, c.fault);
    EXPECT_EQ(packet.numbers.number, c.number);
    EXPECT_EQ(packet.numbered, c.number.has_value());
    EXPECT_FALSE(packet.data);
    EXPECT_FALSE(albaem_kind(data));
    EXPECT_FALSE(parse_albaem_reading(data));
    EXPECT_FALSE(parse_albaem_end(data));
    EXPECT_TRUE(albaem_keys(data).empty());
  }
}

TEST(albaem, tells_kinds) {
  EXPECT_EQ(albaem_kind(message({start_1})), entry_kind::start);
  EXPECT_EQ(albaem_kind(message({worked_example})), entry_kind::data);
  EXPECT_EQ(albaem_kind(message({end_3, "more"})), entry_kind::end);
  EXPECT_FALSE(parse_albaem_reading(message({end_3})));
  EXPECT_FALSE(parse_albaem_end(message({worked_example})));
  EXPECT_TRUE(parse_albaem_end(message({R"({"message_type":"series-end"})"}))->detector_specific.empty());
  EXPECT_FALSE(parse_albaem_reading({}));
}

TEST(albaem, takes_no_options) {
  EXPECT_THROW(make_albaem({{"channels", "1"}}), std::runtime_error);
  EXPECT_EQ(make_albaem()->name(), "albaem");
  EXPECT_EQ(make_albaem()->type_tag(), "albaem");
}

TEST(albaem, reads_the_recording) {
  auto path = test::find_recording("albaem-dump.cbors");
  if (!path) GTEST_SKIP() << "no recording of an AlbaEM here";
  capture_reader messages(mapped_file::open(*path), albaem_type_tag);
  auto reader = make_albaem();
  std::vector<stream_packet> packets;
  while (auto data = messages.next()) reader->read(std::move(*data), packets);
  ASSERT_EQ(packets.size(), 6u);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_TRUE(parse_albaem_end(packets[5].data));
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(packets[i + 1].numbers.number, i);
    EXPECT_EQ(parse_albaem_reading(packets[i + 1].data)->channels.size(), 4u);
  }
}

TEST(albaem, survives_a_message_cut_anywhere) {
  for (std::size_t length = 0; length < worked_example.size(); ++length)
    EXPECT_EQ(read(message({worked_example.substr(0, length)})).fault, packet_fault::not_json) << length;
}

TEST(albaem, survives_random_changes) {
  std::mt19937 random(3);
  std::size_t good = 0, bad = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text(round % 8 == 0 ? end_3 : worked_example);
    for (auto n = 1 + random() % 4; n-- > 0;) {
      auto& c = text[random() % text.size()];
      c = random() % 2 ? static_cast<char>(random()) : "{}[],:\"019.-eEN\\"[random() % 16];
    }
    auto data = message({text});
    auto packet = read(data);
    packet.fault ? ++bad : ++good;
    bool reading = !packet.fault && packet.numbers.kind == entry_kind::data;
    EXPECT_EQ(parse_albaem_reading(data).has_value(), reading);
  }
  EXPECT_GT(good, 1000u);
  EXPECT_GT(bad, 1000u);
}

} // namespace
} // namespace dtranspose
