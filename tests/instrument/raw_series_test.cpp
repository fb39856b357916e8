#include "instrument/raw_series.hpp"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/pixels.hpp"
#include "protocol/raw.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;

std::vector<stream_packet> read_series(const series_settings& settings) {
  auto series = make_raw_series(settings);
  auto reader = make_raw(settings.options);
  std::vector<stream_packet> packets;
  std::size_t messages = 0;
  while (auto message = series->next()) {
    reader->read(*message, packets);
    EXPECT_EQ(message->type(), reader->type_tag());
    ++messages;
  }
  EXPECT_EQ(messages, series->entries());
  EXPECT_EQ(packets.size(), series->entries());
  for (auto& packet : packets) EXPECT_FALSE(packet.fault);
  return packets;
}

std::vector<std::byte> expected_pixels(const series_settings& settings, std::uint64_t frame) {
  std::vector<std::byte> pixels(settings.shape[0] * settings.shape[1] * size_of(settings.type));
  fill_pixels(pixels, settings.type, settings.seed, frame % raw_patterns);
  return pixels;
}

void expect_pixels(const frame& found, const series_settings& settings, std::uint64_t number) {
  auto expected = expected_pixels(settings, number);
  EXPECT_TRUE(std::equal(found.bytes().begin(), found.bytes().end(), expected.begin(), expected.end()));
}

TEST(raw_series, makes_bare_pixels_without_options) {
  series_settings settings{.frames = 6, .shape = {3, 5}, .seed = 3};
  auto packets = read_series(settings);
  ASSERT_EQ(packets.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_EQ(packets[i].data.frames().size(), 1u);
    expect_pixels(packets[i].data.frames()[0], settings, i);
  }
}

TEST(raw_series, makes_what_the_reader_reads) {
  for (auto part : {0u, 1u, 3u})
    for (auto marked : {true, false}) {
      series_settings settings{.frames = 9, .shape = {3, 5}, .type = dtype::uint8, .seed = 3};
      settings.options = {
          {"type", "mine"},     {"part", std::to_string(part)}, {"number", "/info/frame"},
          {"first", "1"},       {"series", "info.series"},      {"message_number", "/info/ids/0"},
          {"start", "/what=0"}, {"end", "/done=true"},          {"count", "total"}};
      if (marked) settings.options["data"] = "/what=image=x";
      auto packets = read_series(settings);
      ASSERT_EQ(packets.size(), 11u);
      for (std::size_t i = 0; i < packets.size(); ++i) {
        EXPECT_EQ(packets[i].numbers.series, 1u);
        EXPECT_EQ(packets[i].numbers.message_number, i);
        auto found = parse_raw_message(packets[i].data, part);
        ASSERT_TRUE(found);
        EXPECT_TRUE(found->header.find("sent_ns"));
      }
      EXPECT_EQ(packets.front().numbers.kind, entry_kind::start);
      EXPECT_EQ(packets.back().numbers.kind, entry_kind::end);
      EXPECT_EQ(packets.back().numbers.count, 9u);
      EXPECT_EQ(*parse_raw_message(packets.back().data, part)->header.find("done"), value(true));
      for (std::size_t i = 0; i < 9; ++i) {
        EXPECT_EQ(packets[i + 1].numbers.kind, entry_kind::data);
        EXPECT_EQ(packets[i + 1].numbers.number, i);
        auto parts = packets[i + 1].data.frames();
        ASSERT_EQ(parts.size(), part == 0 ? 2 : part + 1);
        expect_pixels(parts[part == 0 ? 1 : 0], settings, i);
        auto header = parse_raw_message(packets[i + 1].data, part)->header;
        EXPECT_EQ(*header.find("shape"), value(value_list{3, 5}));
        EXPECT_EQ(*header.find("type"), value("uint8"));
      }
    }
}

TEST(raw_series, leaves_out_what_has_no_marker) {
  auto packets = read_series({.frames = 4, .shape = {2, 2}, .options = {{"number", "shape"}}});
  ASSERT_EQ(packets.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(packets[i].numbers.number, i);
  EXPECT_EQ(read_series({.frames = 4, .shape = {2, 2}, .options = {{"end", "/a=b"}}}).size(), 5u);
  EXPECT_EQ(read_series({.frames = 0, .shape = {2, 2}, .options = {{"start", "/a=b"}}}).size(), 1u);
}

TEST(raw_series, says_what_it_cannot_make) {
  auto complaint = [](const series_settings& settings) -> std::string {
    try {
      make_raw_series(settings);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_THAT(complaint({.options = {{"color", "red"}}}), HasSubstr("color"));
  EXPECT_THAT(complaint({.options = {{"number", "/a/b"}, {"series", "/a"}}}), HasSubstr("taken"));
  EXPECT_THAT(complaint({.options = {{"number", "/a"}, {"data", "/a=1"}}}), HasSubstr("'a'"));
  EXPECT_THAT(complaint({.shape = {std::size_t{1} << 40, std::size_t{1} << 40}}), HasSubstr("shape"));
}

} // namespace
} // namespace dtranspose
