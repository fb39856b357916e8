#include "instrument/stins_series.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/frame_generator.hpp"
#include "instrument/pixels.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<stream_data> messages_of(const series_settings& settings) {
  auto series = make_stins_series(settings);
  std::vector<stream_data> messages;
  while (auto message = series->next()) messages.push_back(std::move(*message));
  EXPECT_EQ(messages.size(), series->entries());
  EXPECT_FALSE(series->next());
  return messages;
}

/// What a receiver makes of all blobs.
std::vector<std::byte> pixels_in(const stins_image& image) {
  std::vector<std::byte> pixels(bytes_of(image.shape, image.type));
  auto length = pixels.size() / image.blobs.size();
  auto rest = std::span(pixels);
  for (auto& blob : image.blobs) {
    auto how = image.compression == stins_compression::bslz4 ? codec::bslz4 : codec::none;
    decompress(how, size_of(image.type), blob.bytes(), rest.first(length));
    rest = rest.subspan(length);
  }
  return pixels;
}

/// Every combination of options, types and shapes comes back to the last bit.
TEST(stins_series, is_read_back_with_every_option) {
  for (auto compression : {"none", "bslz4"})
    for (auto blobs : {"one", "each"})
      for (auto metadata : {"true", "False"})
        for (int t = 0; t < 10; ++t)
          for (auto shape : {std::vector<std::size_t>{1}, {9}, {3, 70, 50}, {2, 0}}) {
            series_settings settings{
                .frames = 7,
                .shape = shape,
                .type = static_cast<dtype>(t),
                .seed = 11,
                .options = {{"compression", compression}, {"blobs", blobs}, {"metadata", metadata}}};
            bool each = blobs == std::string("each"), compressed = compression == std::string("bslz4");
            auto reader = make_stins();
            std::vector<stream_packet> packets;
            for (auto& message : messages_of(settings)) reader->read(message, packets);
            ASSERT_EQ(packets.size(), 9u);
            for (std::size_t i = 0; i < packets.size(); ++i) {
              ASSERT_FALSE(packets[i].fault) << name_of(*packets[i].fault);
              EXPECT_EQ(packets[i].numbers.message_number, i);
            }
            EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
            EXPECT_EQ(packets[8].numbers.kind, entry_kind::end);
            frame_generator same({.shape = shape, .type = settings.type, .seed = 11, .bslz4 = compressed});
            for (std::uint64_t n = 0; n < 7; ++n) {
              auto image = parse_stins_image(packets[1 + n].data);
              ASSERT_TRUE(image);
              EXPECT_EQ(image->frame, n);
              EXPECT_EQ(image->shape, shape);
              EXPECT_EQ(image->type, settings.type);
              EXPECT_EQ(image->blobs.size(), each ? shape[0] : 1);
              auto pixels = pixels_in(*image);
              EXPECT_EQ(pixels, same.expected_pixels(n));
              if (!compressed) continue;
              std::vector<std::byte> filled(pixels.size());
              fill_pixels(filled, settings.type, 11, n % 4);
              EXPECT_EQ(pixels, filled);
            }
          }
}

TEST(stins_series, says_more_when_asked) {
  auto messages = messages_of({.frames = 1,
                               .shape = {2, 3, 4},
                               .options = {{"filename", "raw/a \"b\".h5"},
                                           {"message_number", "100"},
                                           {"metadata", "true"},
                                           {"blobs", "each"}}});
  auto start = parse_stins_header(messages[0]);
  ASSERT_TRUE(start);
  EXPECT_EQ(start->filename, "raw/a \"b\".h5");
  EXPECT_EQ(start->message_number, 100u);
  EXPECT_EQ(start->metadata.find("energy")->find("value")->as_number(), 8041.0);
  EXPECT_TRUE(start->metadata.find("motors")->as_list()->at(1).find("to")->is_null());
  EXPECT_GT(start->keys.find("sent_ns")->as_number(), 1.5e18);
  auto keys = stins_keys(messages[1]);
  EXPECT_EQ(keys.find("exposure_time")->as_number(), 0.01);
  EXPECT_EQ(keys.find("chunks")->as_list()->size(), 3u);
  EXPECT_EQ(keys.find("chunks")->as_list()->at(0).as_number(), 1);
  EXPECT_EQ(keys.find("chunks")->as_list()->at(1).as_number(), 3);
  EXPECT_EQ(*keys.find("discard")->as_bool(), false);
  EXPECT_GT(keys.find("sent_ns")->as_number(), 1.5e18);
  EXPECT_EQ(keys.find("msg_number")->as_number(), 101);
  EXPECT_EQ(parse_stins_end(messages[2])->message_number, 102u);
  auto plain = messages_of({.frames = 1});
  EXPECT_EQ(plain[0].frames().size(), 1u);
  EXPECT_EQ(stins_keys(plain[1]).size(), 7u);
  EXPECT_EQ(parse_stins_header(plain[0])->filename, "generated.h5");
}

TEST(stins_series, what_was_made_outlives_it) {
  std::vector<stream_data> held;
  {
    auto series = make_stins_series({.frames = 12, .shape = {100}, .options = {{"compression", "bslz4"}}});
    while (auto message = series->next()) held.push_back(*message);
  }
  frame_generator same({.shape = {100}, .bslz4 = true});
  for (std::uint64_t n = 0; n < 12; ++n)
    EXPECT_EQ(pixels_in(*parse_stins_image(held[n + 1])), same.expected_pixels(n));
}

std::string refusal(series_settings settings) {
  try {
    make_stins_series(settings);
    return {};
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

TEST(stins_series, refuses_what_it_cannot_make) {
  EXPECT_THAT(refusal({.options = {{"compression", "gzip"}}}), HasSubstr("compression"));
  EXPECT_THAT(refusal({.options = {{"blobs", "2"}}}), HasSubstr("blobs"));
  EXPECT_THAT(refusal({.options = {{"metadata", "1"}}}), HasSubstr("metadata"));
  EXPECT_THAT(refusal({.options = {{"message_number", "-1"}}}), HasSubstr("message_number"));
  EXPECT_THAT(refusal({.options = {{"detail", "all"}}}), HasSubstr("detail"));
  for (auto shape : {std::vector<std::size_t>{}, {0, 3}, {4097, 1}})
    EXPECT_THAT(refusal({.shape = shape, .options = {{"blobs", "each"}}}), HasSubstr("first axis"));
  EXPECT_THAT(refusal({.shape = {100'000, 100'000}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({.shape = {1ull << 63, 2}}), HasSubstr("shape"));
  EXPECT_EQ(refusal({.shape = {}}), "");
}

} // namespace
} // namespace dtranspose
