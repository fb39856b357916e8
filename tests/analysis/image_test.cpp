#include "analysis/image.hpp"

#include <cstring>
#include <numeric>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/eiger_v1_series.hpp"
#include "instrument/stins_series.hpp"
#include "protocol/compression.hpp"
#include "protocol/dectris_v2.hpp"
#include "protocol/eiger_v1.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using bytes = std::vector<std::byte>;

bytes bytes_from(std::string_view text) {
  auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

template <class T>
bytes bytes_from(const std::vector<T>& elements) {
  auto view = std::as_bytes(std::span(elements));
  return {view.begin(), view.end()};
}

/// 0, 1, 2 ...
std::vector<std::uint16_t> counting(std::size_t n) {
  std::vector<std::uint16_t> pixels(n);
  std::iota(pixels.begin(), pixels.end(), std::uint16_t{0});
  return pixels;
}

/// All pixels, blob by blob.
bytes pixels_in(const image_view& image) {
  bytes pixels;
  for (auto& blob : image.blobs) pixels.insert(pixels.end(), blob.bytes().begin(), blob.bytes().end());
  return pixels;
}

stream_data stins_image(std::vector<std::size_t> shape, std::string_view type, std::string_view compression,
                        std::vector<bytes> blobs) {
  std::string text;
  write_stins_image(text, 1, {.frame = 0, .shape = shape, .type = type, .compression = compression});
  blobs.insert(blobs.begin(), bytes_from(text));
  return stream_data(std::make_unique<memory_frames>(std::move(blobs)), stins_type_tag);
}

stream_data eiger_image(std::vector<std::size_t> shape, dtype type, std::string_view encoding, bytes blob) {
  std::string part0, part1, part3;
  write_eiger_v1_image(part0, 1, 0, "");
  write_eiger_v1_blob(part1, shape, type, encoding, blob.size());
  write_eiger_v1_times(part3, 0, 10, 10);
  std::vector<bytes> parts = {bytes_from(part0), bytes_from(part1), std::move(blob), bytes_from(part3)};
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), eiger_v1_type_tag);
}

stream_data dectris_image(std::vector<dectris_v2_channel> channels) {
  dectris_v2_image image;
  image.series = 1;
  image.channels = std::move(channels);
  bytes message;
  write_dectris_v2_image(message, image);
  return stream_data(std::make_unique<memory_frames>(std::vector<bytes>{message}), dectris_v2_type_tag);
}

/// Why there is no image.
template <class F>
std::string failure_of(F&& ask) {
  try {
    ask();
    return {};
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

std::string failure(const stream_data& data) {
  return failure_of([&] { image_of(data); });
}

TEST(image, of_stins) {
  auto pixels = bytes_from(counting(6000));
  std::vector<bytes> halves = {bytes(pixels.begin(), pixels.begin() + 6000),
                               bytes(pixels.begin() + 6000, pixels.end())};
  std::vector<bytes> packed, bare;
  for (auto& half : halves) {
    packed.push_back(compress(codec::bslz4, 2, half));
    bare.push_back(compress(codec::bslz4_bare, 2, half));
  }
  struct {
    const char* compression;
    std::vector<bytes> blobs;
    std::size_t seen;
  } cases[] = {
      {"none", {pixels}, 1},
      {"none", halves, 2},
      {"bslz4", {compress(codec::bslz4, 2, pixels)}, 1},
      {"bslz4", {compress(codec::bslz4_bare, 2, pixels)}, 1},
      {"bslz4", packed, 1},
      {"bslz4", bare, 1},
      {"bslz4", {packed[0], bare[1]}, 1},
  };
  for (auto& c : cases) {
    auto data = stins_image({2, 30, 100}, "uint16", c.compression, c.blobs);
    auto image = image_of(data);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->type, dtype::uint16);
    EXPECT_THAT(image->shape, ElementsAre(2, 30, 100));
    EXPECT_EQ(image->blobs.size(), c.seen);
    EXPECT_EQ(pixels_in(*image), pixels);
    bool in_place = c.compression == std::string_view("none");
    EXPECT_EQ(image->blobs[0].data() == data.frames()[1].data(), in_place);
    EXPECT_EQ(image->keep == nullptr, in_place);
  }
}

TEST(image, of_eiger_v1) {
  auto pixels = bytes_from(counting(6000));
  for (auto encoding : {"<", "lz4<", "bs8-lz4<", "bs16-lz4<", "bs32-lz4<", "bs64-lz4<"}) {
    auto how = *find_eiger_v1_encoding(encoding);
    auto blob = how.how == codec::none ? pixels : compress(how.how, how.element_size, pixels);
    auto data = eiger_image({60, 100}, dtype::uint16, encoding, blob);
    auto image = image_of(data);
    ASSERT_TRUE(image) << encoding;
    EXPECT_EQ(image->type, dtype::uint16);
    EXPECT_THAT(image->shape, ElementsAre(60, 100));
    EXPECT_EQ(pixels_in(*image), pixels) << encoding;
    EXPECT_EQ(image->blobs[0].data() == data.frames()[2].data(), how.how == codec::none);
  }
}

TEST(image, of_dectris_v2_channels) {
  auto low = bytes_from(counting(6000)), high = bytes_from(std::vector<std::uint16_t>(6000, 7));
  auto low_packed = compress(codec::bslz4, 2, low), high_packed = compress(codec::lz4, 2, high);
  bytes swapped(low);
  for (std::size_t i = 0; i < swapped.size(); i += 2) std::swap(swapped[i], swapped[i + 1]);
  dectris_v2_array plain{.shape = {60, 100}, .blob = low}, packed = plain, other = plain, turned = plain;
  packed.compression = codec::bslz4;
  packed.algorithm = "bslz4";
  packed.element_size = 2;
  packed.blob = low_packed;
  other.compression = codec::lz4;
  other.algorithm = "lz4";
  other.blob = high_packed;
  turned.big_endian = true;
  turned.blob = swapped;
  for (auto& first : {plain, packed, turned}) {
    auto data = dectris_image({{"threshold_1", first}, {"threshold_2", other}});
    for (auto [channel, expected] : {std::pair{"", &low}, {"threshold_1", &low}, {"threshold_2", &high}}) {
      auto image = image_of(data, channel);
      ASSERT_TRUE(image);
      EXPECT_EQ(image->type, dtype::uint16);
      EXPECT_THAT(image->shape, ElementsAre(60, 100));
      ASSERT_EQ(image->blobs.size(), 1u);
      EXPECT_EQ(pixels_in(*image), *expected) << channel;
    }
    EXPECT_THAT(failure_of([&] { image_of(data, "threshold_3"); }), HasSubstr("threshold_3"));
  }
  auto data = dectris_image({{"threshold_1", plain}});
  auto image = image_of(data);
  auto message = data.frames()[0].bytes();
  EXPECT_GE(image->blobs[0].data(), message.data());
  EXPECT_LE(image->blobs[0].data() + image->blobs[0].size(), message.data() + message.size());
  EXPECT_THAT(failure(dectris_image({})), HasSubstr("channel"));
  other.algorithm = "jpeg";
  other.compression = std::nullopt;
  EXPECT_THAT(failure(dectris_image({{"a", other}})), HasSubstr("jpeg"));
}

TEST(image, of_xspress3_spectra) {
  std::string header;
  write_xspress3_image(header, {.frame = 3, .channels = 2, .bins = 50});
  std::vector<std::uint32_t> counts(100);
  std::iota(counts.begin(), counts.end(), 7u);
  std::vector<bytes> parts = {bytes_from(header), bytes_from(counts), bytes(10)};
  stream_data data(std::make_unique<memory_frames>(parts), xspress3_type_tag);
  auto image = image_of(data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->type, dtype::uint32);
  EXPECT_THAT(image->shape, ElementsAre(2, 50));
  ASSERT_EQ(image->blobs.size(), 1u);
  EXPECT_EQ(image->blobs[0].data(), data.frames()[1].data());
  EXPECT_EQ(pixels_in(*image), bytes_from(counts));
  write_xspress3_end(header);
  EXPECT_FALSE(image_of(memory_frames::of(xspress3_type_tag, {header})));
}

TEST(image, starts_and_ends_are_none) {
  for (auto make : {make_stins_series, make_eiger_v1_series}) {
    auto series = make({.frames = 0, .options = {}});
    while (auto message = series->next()) EXPECT_FALSE(image_of(*message));
  }
  bytes message;
  write_dectris_v2_end(message, {.series = 1});
  EXPECT_FALSE(image_of(
      stream_data(std::make_unique<memory_frames>(std::vector<bytes>{message}), dectris_v2_type_tag)));
  EXPECT_FALSE(image_of(memory_frames::of("PCAP", {"{}"})));
  EXPECT_FALSE(image_of({}));
  for (auto tag : {"STINS", "EIGER_LEGACY", "DECTRIS_V2", "xspress"}) EXPECT_TRUE(carries_images(tag));
  for (auto tag : {"PCAP", "contrast", "", "stins"}) EXPECT_FALSE(carries_images(tag));
}

TEST(image, says_what_is_wrong) {
  auto pixels = bytes_from(counting(6000));
  auto blob = compress(codec::bslz4, 2, pixels), longer = blob, flipped = blob;
  longer.push_back({});
  flipped[20] ^= std::byte{0xff};
  blob.pop_back();
  for (auto& bad : {blob, longer, flipped, bytes{}, bytes(3), bytes(12)}) {
    EXPECT_NE(failure(stins_image({6000}, "uint16", "bslz4", {bad})), "");
    EXPECT_NE(failure(eiger_image({60, 100}, dtype::uint16, "bs16-lz4<", bad)), "");
    EXPECT_NE(failure(eiger_image({60, 100}, dtype::uint16, "lz4<", bad)), "");
    const stream_names names{"one", "two"};
    auto data = eiger_image({60, 100}, dtype::uint16, "bs16-lz4<", bad);
    std::vector<stream_entry> entries{{stream_index(1), data}};
    event e(event_number(0), entries, names);
    for (auto stream : {"", "two"})
      EXPECT_EQ(failure_of([&] { find_image(e, stream); }), "stream 'two': " + failure(data));
  }
  EXPECT_THAT(failure(stins_image({3}, "uint16", "zstd", {bytes(5)})), HasSubstr("zstd"));
  EXPECT_THAT(failure(stins_image({3}, "complex64", "none", {bytes(5)})), HasSubstr("complex64"));
  EXPECT_THAT(failure_of([&] { image_of(stins_image({3}, "uint8", "none", {bytes(3)}), "x"); }),
              HasSubstr("STINS"));
}

/// A header may announce what no blob of its length can hold: nobody allocates that.
TEST(image, does_not_believe_in_miracles) {
  const std::size_t shapes[][2] = {{1 << 20, 1 << 20}, {1ull << 40, 1ull << 40}, {300, 1000}};
  for (auto& [rows, columns] : shapes) {
    EXPECT_THAT(failure(stins_image({rows, columns}, "uint16", "bslz4", {bytes(2000)})),
                AllOf(HasSubstr("2000 compressed bytes"), HasSubstr(shape_text({rows, columns}))));
    EXPECT_THAT(failure(eiger_image({rows, columns}, dtype::uint16, "lz4<", bytes(2000))),
                HasSubstr("2000 compressed bytes"));
  }
  bytes zeros(10'000'000);
  for (auto how : {codec::bslz4, codec::bslz4_bare}) {
    auto data = stins_image({10, 1000, 1000}, "uint8", "bslz4", {compress(how, 1, zeros)});
    EXPECT_EQ(failure(data), "");
  }
  EXPECT_EQ(failure(eiger_image({1000, 10'000}, dtype::uint8, "lz4<", compress(codec::lz4_block, 1, zeros))),
            "");
}

TEST(image, of_nothing_is_empty) {
  auto empty = compress(codec::bslz4, 2, {});
  auto image = image_of(stins_image({0, 5}, "uint16", "bslz4", {empty}));
  ASSERT_TRUE(image);
  EXPECT_TRUE(pixels_in(*image).empty());
  EXPECT_EQ(image->blobs.size(), 1u);
}

TEST(image, memory_is_used_again_but_never_while_it_is_seen) {
  auto packed = [](std::uint16_t content, std::size_t n) {
    std::vector<std::uint16_t> pixels(n, content);
    return stins_image({n}, "uint16", "bslz4", {compress(codec::bslz4, 2, bytes_from(pixels))});
  };
  auto expect = [](const image_view& image, std::uint16_t content) {
    auto pixels = image.blobs[0];
    for (std::size_t i = 0; i < pixels.size(); i += 2) {
      std::uint16_t pixel;
      std::memcpy(&pixel, pixels.data() + i, 2);
      ASSERT_EQ(pixel, content);
    }
  };
  const std::byte* first = image_of(packed(1, 50'000))->blobs[0].data();
  EXPECT_EQ(image_of(packed(2, 50'000))->blobs[0].data(), first);
  auto held = image_of(packed(3, 50'000)), smaller = image_of(packed(4, 100)),
       larger = image_of(packed(5, 90'000));
  auto copy = *held;
  held.reset();
  auto another = image_of(packed(6, 50'000));
  expect(copy, 3);
  expect(*smaller, 4);
  EXPECT_EQ(smaller->blobs[0].size(), 200u);
  expect(*larger, 5);
  expect(*another, 6);
  std::optional<image_view> elsewhere;
  std::thread([&] { elsewhere = image_of(packed(7, 1000)); }).join();
  expect(*elsewhere, 7);
}

} // namespace
} // namespace dtranspose
