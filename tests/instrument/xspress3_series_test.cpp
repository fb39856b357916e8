#include "instrument/xspress3_series.hpp"

#include <cstring>
#include <ctime>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/xspress3.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

struct generated {
  std::vector<stream_data> messages;
  std::vector<stream_packet> packets;
};

generated generate(const series_settings& settings) {
  generated all;
  auto format = make_xspress3();
  auto series = make_xspress3_series(settings);
  while (auto data = series->next()) {
    all.messages.push_back(*data);
    format->read(*data, all.packets);
  }
  EXPECT_FALSE(series->next());
  EXPECT_EQ(all.packets.size(), series->entries());
  EXPECT_EQ(all.messages.size(),
            2 + static_cast<std::uint64_t>(settings.frames * series->messages_per_frame()));
  for (auto& packet : all.packets) EXPECT_FALSE(packet.fault);
  return all;
}

std::vector<std::uint64_t> frames_of(const generated& all) {
  std::vector<std::uint64_t> frames;
  for (auto& packet : all.packets)
    if (packet.numbers.number) frames.push_back(*packet.numbers.number);
  return frames;
}

void expect_images(const generated& all, const series_settings& settings) {
  const auto channels = settings.shape[0], bins = settings.shape[1];
  for (std::size_t i = 0; i < settings.frames; ++i) {
    SCOPED_TRACE(i);
    auto image = parse_xspress3_image(all.packets[i + 1].data);
    ASSERT_TRUE(image);
    EXPECT_THAT(image->spectra.shape, ElementsAre(channels, bins));
    std::vector<std::uint32_t> expected(channels * bins);
    fill_spectra(expected, channels, settings.seed, i % xspress3_patterns);
    ASSERT_EQ(image->spectra.bytes.size(), 4 * expected.size());
    EXPECT_EQ(std::memcmp(image->spectra.bytes.data(), expected.data(), image->spectra.bytes.size()), 0);
    auto counters = parse_xspress3_meta(all.packets[i + 1].data);
    ASSERT_TRUE(counters);
    auto good = counters->numbers("AllGood").value();
    ASSERT_THAT(good, SizeIs(channels));
    EXPECT_EQ(good[0], std::accumulate(expected.begin(), expected.begin() + static_cast<long>(bins), 0U));
    EXPECT_GE(counters->numbers("dtc")->at(0), 1);
    auto sent = xspress3_fields(all.packets[i + 1].data).find("sent_ns")->as_number();
    EXPECT_NEAR(*sent * 1e-9, static_cast<double>(std::time(nullptr)), 60);
  }
}

TEST(xspress3_series, sends_one_message_for_each_image) {
  const series_settings settings{.frames = 6, .shape = {4, 256}, .seed = 3};
  auto all = generate(settings);
  EXPECT_EQ(all.messages[1].frames().size(), 3u);
  EXPECT_THAT(frames_of(all), ElementsAre(0, 1, 2, 3, 4, 5));
  expect_images(all, settings);
  auto header = parse_xspress3_header(all.packets[0].data);
  ASSERT_TRUE(header);
  EXPECT_THAT(header->extra_tags, SizeIs(9));
  EXPECT_THAT(header->limits->shape(), ElementsAre(2, 4, 2));
  auto counters = parse_xspress3_meta(all.packets[1].data, header->extra_tags);
  ASSERT_TRUE(counters);
  auto windows = counters->numbers("window_counts").value();
  auto good = counters->numbers("all_good").value();
  for (std::size_t c = 0; c < 4; ++c) EXPECT_EQ(windows[c] + windows[4 + c], good[c]);
}

TEST(xspress3_series, sends_three_messages_for_each_image) {
  const series_settings settings{.frames = 5, .shape = {2, 64}, .options = {{"form", "old"}}};
  auto all = generate(settings);
  for (auto& data : all.messages) EXPECT_EQ(data.frames().size(), 1u);
  EXPECT_THAT(frames_of(all), ElementsAre(0, 1, 2, 3, 4));
  expect_images(all, settings);
  EXPECT_EQ(all.messages[3].frames()[0].text()[1], '\3');
  EXPECT_THAT(parse_xspress3_meta(all.packets[1].data)->counters, SizeIs(8));
  EXPECT_THAT(parse_xspress3_header(all.packets[0].data)->extra_tags, IsEmpty());
}

TEST(xspress3_series, begins_its_counter_again) {
  for (auto form : {"old", "multipart"}) {
    auto all = generate({.frames = 8, .shape = {1, 8}, .options = {{"form", form}, {"segments", "3"}}});
    EXPECT_THAT(frames_of(all), ElementsAre(0, 1, 2, 0, 1, 2, 0, 1));
  }
  EXPECT_THAT(frames_of(generate({.frames = 3, .shape = {1, 8}, .options = {{"segments", "3"}}})),
              ElementsAre(0, 0, 0));
}

TEST(xspress3_series, leaves_out_what_may_be_missing) {
  auto all = generate(
      {.frames = 1,
       .shape = {1, 8},
       .options = {{"exptime", "false"}, {"compression", "false"}, {"counters", "8"}, {"pickle", "3"}}});
  auto fields = xspress3_fields(all.packets[1].data);
  EXPECT_FALSE(fields.find("exptime"));
  EXPECT_FALSE(fields.find("compression"));
  auto image = parse_xspress3_image(all.packets[1].data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->exptime, 1);
  EXPECT_EQ(image->meta[1], std::byte{3});
  EXPECT_THAT(parse_xspress3_meta(all.packets[1].data)->counters, SizeIs(8));
  auto full = xspress3_fields(generate({.frames = 1, .shape = {1, 8}}).packets[1].data);
  EXPECT_EQ(full.find("exptime")->as_number(), 0.099999875);
  EXPECT_EQ(*full.find("compression"), value("none"));
  EXPECT_THAT(generate({.frames = 0, .shape = {1, 8}}).packets, SizeIs(2));
}

TEST(xspress3_series, differs_by_seed_and_lets_spectra_outlive_it) {
  auto spectra_of = [](std::uint64_t seed) {
    stream_data image;
    {
      auto series = make_xspress3_series({.frames = 1, .shape = {2, 128}, .seed = seed});
      series->next();
      image = *series->next();
    }
    return std::string(image.frames()[1].text());
  };
  EXPECT_EQ(spectra_of(1), spectra_of(1));
  EXPECT_NE(spectra_of(1), spectra_of(2));
}

TEST(xspress3_series, names_what_it_cannot_make) {
  const std::pair<series_settings, const char*> cases[] = {
      {{.options = {{"x", "1"}}}, "option x"},
      {{.options = {{"form", "new"}}}, "option form"},
      {{.options = {{"segments", "0"}}}, "option segments"},
      {{.frames = 3, .options = {{"segments", "4"}}}, "option segments"},
      {{.options = {{"counters", "7"}}}, "option counters"},
      {{.options = {{"pickle", "2"}}}, "option pickle"},
      {{.options = {{"exptime", "1"}}}, "option exptime"},
      {{.options = {{"compression", "none"}}}, "option compression"},
      {{.shape = {4096}}, "shape"},
      {{.shape = {2, 3, 4}}, "shape"},
      {{.shape = {1000, 1'000'000}}, "shape"},
  };
  for (auto& [settings, complaint] : cases) {
    try {
      make_xspress3_series(settings);
      ADD_FAILURE() << complaint;
    } catch (const std::runtime_error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(complaint));
    }
  }
}

} // namespace
} // namespace dtranspose
