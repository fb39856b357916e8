#include "instrument/dectris_v2_series.hpp"

#include <limits>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/pixels.hpp"
#include "protocol/dectris_v2.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;

std::vector<stream_data> all_of(series_generator& series) {
  std::vector<stream_data> messages;
  while (auto message = series.next()) messages.push_back(*message);
  return messages;
}

array expected_pixels(const series_settings& settings, std::uint64_t channel, std::uint64_t frame) {
  auto bytes = bytes_of(settings.shape, settings.type);
  std::vector<std::byte> pixels(bytes);
  fill_pixels(pixels, settings.type, settings.seed + channel, frame % dectris_v2_patterns);
  return array_view{settings.type, settings.shape, pixels}.copy();
}

void expect_series(const series_settings& settings, std::uint64_t channels, std::uint64_t number) {
  auto series = make_dectris_v2_series(settings);
  EXPECT_EQ(series->entries(), settings.frames + 2);
  auto messages = all_of(*series);
  ASSERT_EQ(messages.size(), settings.frames + 2);
  auto reader = make_dectris_v2();
  std::vector<stream_packet> packets;
  for (auto& message : messages) reader->read(message, packets);
  ASSERT_EQ(packets.size(), messages.size());
  for (auto& packet : packets) {
    ASSERT_FALSE(packet.fault);
    EXPECT_EQ(packet.data.type(), dectris_v2_type_tag);
    EXPECT_EQ(packet.numbers.series, number);
  }
  EXPECT_EQ(packets.front().numbers.kind, entry_kind::start);
  EXPECT_EQ(packets.front().numbers.count, settings.frames);
  EXPECT_EQ(packets.back().numbers.kind, entry_kind::end);
  for (std::uint64_t frame = 0; frame < settings.frames; ++frame) {
    EXPECT_EQ(packets[frame + 1].numbers.number, frame);
    auto image = parse_dectris_v2_image(messages[frame + 1]);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->image, frame);
    EXPECT_TRUE(image->metadata.find("sent_ns"));
    ASSERT_EQ(image->channels.size(), channels);
    EXPECT_NEAR(image->start_time->value(), 0.01 * static_cast<double>(frame), 1e-9);
    for (std::uint64_t c = 0; c < channels; ++c) {
      EXPECT_EQ(image->channels[c].name, "threshold_" + std::to_string(c + 1));
      EXPECT_EQ(elements_of(image->channels[c].data), expected_pixels(settings, c, frame))
          << c << " " << frame;
    }
  }
}

TEST(dectris_v2_series, makes_what_the_reader_reads) {
  for (auto compression : {"bslz4", "lz4", "none"})
    for (auto type : {dtype::uint8, dtype::uint16, dtype::uint32})
      for (auto channels : {1, 3}) {
        SCOPED_TRACE(std::string(compression) + " " + std::string(name_of(type)));
        series_settings settings{.frames = 6, .shape = {37, 51}, .type = type, .seed = 5};
        settings.options = {{"compression", compression},
                            {"channels", std::to_string(channels)},
                            {"series", "18446744073709551615"}};
        expect_series(settings, static_cast<std::uint64_t>(channels),
                      std::numeric_limits<std::uint64_t>::max());
      }
}

TEST(dectris_v2_series, takes_any_size) {
  for (auto shape : std::vector<std::vector<std::size_t>>{{1, 1}, {0, 3}, {1, 4097}, {300, 400}})
    for (auto detail : {"basic", "all"}) {
      SCOPED_TRACE(testing::PrintToString(shape));
      expect_series({.frames = 2, .shape = shape, .options = {{"header_detail", detail}}}, 1, 1);
    }
  expect_series({.frames = 0}, 1, 1);
}

TEST(dectris_v2_series, describes_itself_in_the_start) {
  series_settings settings{.frames = 7, .shape = {40, 60}, .type = dtype::uint32, .seed = 2};
  settings.options = {{"channels", "2"}, {"header_detail", "all"}, {"series", "12"}};
  auto message = *make_dectris_v2_series(settings)->next();
  auto start = parse_dectris_v2_start(message);
  ASSERT_TRUE(start);
  EXPECT_EQ(start->series, 12u);
  EXPECT_EQ(start->number_of_images, 7u);
  EXPECT_EQ(start->image_size_x, 60u);
  EXPECT_EQ(start->image_size_y, 40u);
  EXPECT_THAT(start->channels, ElementsAre("threshold_1", "threshold_2"));
  EXPECT_EQ(*start->metadata.find("image_dtype"), value("uint32"));
  EXPECT_TRUE(start->countrate_table);
  ASSERT_EQ(start->flatfield.size(), 2u);
  ASSERT_EQ(start->pixel_mask.size(), 2u);
  EXPECT_THAT(start->flatfield[1].data.shape, ElementsAre(40, 60));
  EXPECT_EQ(start->flatfield[1].data.type, dtype::float32);
  for (std::uint64_t c = 0; c < 2; ++c) {
    auto mask = elements_of(start->pixel_mask[c].data);
    auto pixels = expected_pixels(settings, c, 1);
    std::size_t masked = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      bool is_max = pixels.elements<std::uint32_t>()[i] == std::numeric_limits<std::uint32_t>::max();
      EXPECT_EQ(mask.elements<std::uint32_t>()[i] != 0, is_max) << i;
      masked += is_max;
    }
    EXPECT_GT(masked, 0u);
  }
  settings.options = {};
  auto basic = parse_dectris_v2_start(*make_dectris_v2_series(settings)->next());
  ASSERT_TRUE(basic);
  EXPECT_TRUE(basic->flatfield.empty());
  EXPECT_TRUE(basic->pixel_mask.empty());
  EXPECT_FALSE(basic->countrate_table);
}

TEST(dectris_v2_series, says_what_it_cannot_make) {
  auto complaint = [](const series_settings& settings) -> std::string {
    try {
      make_dectris_v2_series(settings);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "none";
  };
  using testing::HasSubstr;
  EXPECT_THAT(complaint({.options = {{"color", "red"}}}), HasSubstr("color"));
  EXPECT_THAT(complaint({.options = {{"channels", "0"}}}), HasSubstr("channels"));
  EXPECT_THAT(complaint({.options = {{"channels", "17"}}}), HasSubstr("channels"));
  EXPECT_THAT(complaint({.options = {{"compression", "zip"}}}), HasSubstr("compression"));
  EXPECT_THAT(complaint({.options = {{"header_detail", "none"}}}), HasSubstr("header_detail"));
  EXPECT_THAT(complaint({.shape = {4}}), HasSubstr("shape"));
  EXPECT_THAT(complaint({.shape = {std::size_t{1} << 40, std::size_t{1} << 40}}), HasSubstr("shape"));
  EXPECT_THAT(complaint({.type = dtype::float32}), HasSubstr("type"));
}

} // namespace
} // namespace dtranspose
