#include "instrument/eiger_v1_series.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/pixels.hpp"
#include "protocol/eiger_v1.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<stream_packet> read_back(const series_settings& settings) {
  auto series = make_eiger_v1_series(settings);
  auto reader = make_eiger_v1();
  std::vector<stream_packet> packets;
  while (auto message = series->next()) reader->read(std::move(*message), packets);
  EXPECT_EQ(packets.size(), series->entries());
  EXPECT_FALSE(series->next());
  for (auto& packet : packets) EXPECT_FALSE(packet.fault) << name_of(*packet.fault);
  return packets;
}

std::vector<std::byte> pixels_in(const eiger_v1_image& image) {
  std::vector<std::byte> pixels(bytes_of(image.shape, image.type));
  decompress(image.encoding.how, image.encoding.element_size, image.blob, pixels);
  return pixels;
}

std::vector<std::byte> expected_pixels(const series_settings& settings, std::uint64_t frame) {
  std::vector<std::byte> pixels(bytes_of(settings.shape, settings.type));
  fill_pixels(pixels, settings.type, settings.seed, frame % eiger_v1_patterns);
  return pixels;
}

/// Every encoding, type and shape comes back to the last bit.
TEST(eiger_v1_series, is_read_back_with_every_encoding) {
  for (auto encoding : {"", "<", "lz4<", "bs8-lz4<", "bs16-lz4<", "bs32-lz4<"})
    for (auto type : {dtype::uint8, dtype::uint16, dtype::uint32})
      for (auto shape : {std::vector<std::size_t>{2, 10}, {61, 84}, {3, 32, 16}, {0, 4}}) {
        series_settings settings{
            .frames = 9, .shape = shape, .type = type, .seed = 3, .options = {{"series", "18"}}};
        if (*encoding) settings.options["encoding"] = encoding;
        auto packets = read_back(settings);
        ASSERT_EQ(packets.size(), 11u);
        EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
        EXPECT_EQ(packets[0].numbers.count, 9u);
        EXPECT_EQ(packets[10].numbers.kind, entry_kind::end);
        for (auto& packet : packets) EXPECT_EQ(packet.numbers.series, 18u);
        for (std::uint64_t n = 0; n < 9; ++n) {
          auto& packet = packets[1 + n];
          EXPECT_EQ(packet.numbers.number, n);
          EXPECT_EQ(packet.data.frames().size(), 4u);
          auto image = parse_eiger_v1_image(packet.data);
          ASSERT_TRUE(image);
          EXPECT_EQ(image->frame, n);
          EXPECT_EQ(image->shape, shape);
          EXPECT_EQ(image->type, type);
          EXPECT_EQ(image->hash.size(), 32u);
          EXPECT_EQ(image->start_time, n * 10'000'000);
          EXPECT_EQ(image->real_time, 9'999'900u);
          EXPECT_EQ(*image->stop_time, *image->start_time + *image->real_time);
          EXPECT_EQ(pixels_in(*image), expected_pixels(settings, n));
          EXPECT_GT(eiger_v1_keys(packet.data).find("sent_ns")->as_number(), 1.5e18);
        }
        auto image = parse_eiger_v1_image(packets[1].data);
        if (!*encoding) {
          EXPECT_EQ(image->encoding.how, codec::bslz4);
          EXPECT_EQ(image->encoding.element_size, size_of(type));
        }
      }
}

TEST(eiger_v1_series, starts_have_the_parts_of_their_detail) {
  series_settings settings{.frames = 6, .shape = {30, 40}, .type = dtype::uint32, .seed = 5};
  for (bool appendix : {false, true})
    for (auto [detail, parts] : {std::pair{"none", 1u}, {"basic", 2u}, {"all", 8u}}) {
      settings.options = {
          {"header_detail", detail}, {"appendix", appendix ? "true" : "false"}, {"ntrigger", "3"}};
      auto packets = read_back(settings);
      auto& start = packets[0].data;
      EXPECT_EQ(start.frames().size(), parts + appendix);
      EXPECT_EQ(packets[1].data.frames().size(), 4u + appendix);
      EXPECT_EQ(packets[0].numbers.count, parts > 1 ? std::optional(std::uint64_t{6}) : std::nullopt);
      auto header = parse_eiger_v1_header(start);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->appendix.has_value(), appendix);
      EXPECT_EQ(parse_eiger_v1_image(packets[1].data)->appendix.has_value(), appendix);
      EXPECT_EQ(header->config.empty(), parts == 1);
      EXPECT_EQ(header->flatfield.has_value(), parts == 8);
      if (parts == 1) continue;
      EXPECT_EQ(header->config.find("nimages")->as_number(), 2);
      EXPECT_EQ(header->config.find("ntrigger")->as_number(), 3);
      EXPECT_EQ(header->config.find("x_pixels_in_detector")->as_number(), 40);
      EXPECT_EQ(header->config.find("y_pixels_in_detector")->as_number(), 30);
      EXPECT_EQ(*header->config.find("compression")->as_text(), "bslz4");
      if (parts == 2) continue;
      EXPECT_THAT(header->flatfield->shape, ElementsAre(30, 40));
      EXPECT_THAT(header->pixel_mask->shape, ElementsAre(30, 40));
      EXPECT_THAT(header->countrate_table->shape, ElementsAre(11, 2));
      EXPECT_EQ(header->countrate_table->at<float>(2), 8192.0F);
      auto bytes = expected_pixels(settings, 1);
      array_view pixels{settings.type, settings.shape, bytes};
      std::size_t masked = 0;
      for (std::size_t i = 0; i < pixels.size(); ++i) {
        bool mask = pixels.at<std::uint32_t>(i) == std::numeric_limits<std::uint32_t>::max();
        EXPECT_EQ(header->pixel_mask->at<std::uint32_t>(i), mask ? 1u : 0u);
        masked += mask;
      }
      EXPECT_GT(masked, 0u);
    }
}

TEST(eiger_v1_series, what_was_made_outlives_it) {
  series_settings settings{.frames = 12, .shape = {20, 30}};
  std::vector<stream_data> held;
  {
    auto series = make_eiger_v1_series(settings);
    while (auto message = series->next()) held.push_back(*message);
  }
  for (std::uint64_t n = 0; n < 12; ++n)
    EXPECT_EQ(pixels_in(*parse_eiger_v1_image(held[n + 1])), expected_pixels(settings, n));
}

TEST(eiger_v1_series, may_be_empty) {
  auto packets = read_back({.frames = 0});
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(packets[0].numbers.count, std::nullopt);
}

std::string refusal(series_settings settings) {
  try {
    make_eiger_v1_series(settings);
    return {};
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

TEST(eiger_v1_series, refuses_what_it_cannot_make) {
  EXPECT_THAT(refusal({.type = dtype::int32}), HasSubstr("int32"));
  EXPECT_THAT(refusal({.type = dtype::float32}), HasSubstr("float32"));
  EXPECT_THAT(refusal({.shape = {}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({.shape = {5}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({.shape = {2, 2, 2, 2}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({.shape = {1ull << 40, 1ull << 40}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({.options = {{"encoding", "bs16-lz4>"}}}), HasSubstr("encoding"));
  EXPECT_THAT(refusal({.shape = {3, 3}, .options = {{"encoding", "bs32-lz4<"}}}), HasSubstr("encoding"));
  EXPECT_THAT(refusal({.options = {{"header_detail", "some"}}}), HasSubstr("header_detail"));
  EXPECT_THAT(refusal({.options = {{"appendix", "maybe"}}}), HasSubstr("appendix"));
  EXPECT_THAT(refusal({.options = {{"series", "x"}}}), HasSubstr("series"));
  EXPECT_THAT(refusal({.frames = 10, .options = {{"ntrigger", "3"}}}), HasSubstr("ntrigger"));
  EXPECT_THAT(refusal({.options = {{"ntrigger", "0"}}}), HasSubstr("ntrigger"));
  EXPECT_THAT(refusal({.options = {{"colour", "red"}}}), HasSubstr("colour"));
}

} // namespace
} // namespace dtranspose
