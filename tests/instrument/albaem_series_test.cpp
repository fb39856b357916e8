#include "instrument/albaem_series.hpp"

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

series_settings settings_of(std::uint64_t frames, protocol_options options = {}) {
  return {.frames = frames, .seed = 4, .options = std::move(options)};
}

std::vector<stream_packet> receive(const series_settings& settings) {
  auto series = make_albaem_series(settings);
  auto reader = make_albaem();
  std::vector<stream_packet> packets;
  while (auto message = series->next()) reader->read(std::move(*message), packets);
  EXPECT_FALSE(series->next());
  EXPECT_EQ(packets.size(), series->entries());
  EXPECT_EQ(series->messages_per_frame(), 1);
  return packets;
}

void check(const series_settings& settings, std::uint32_t channels, bool varying) {
  auto packets = receive(settings);
  ASSERT_EQ(packets.size(), settings.frames + 2);
  EXPECT_EQ(packets.front().numbers.kind, entry_kind::start);
  EXPECT_EQ(packets.back().numbers.kind, entry_kind::end);
  for (std::uint64_t i = 0; i < packets.size(); ++i) {
    EXPECT_FALSE(packets[i].fault);
    EXPECT_EQ(packets[i].numbers.message_number, i + 1);
  }
  for (std::uint64_t i = 0; i < settings.frames; ++i) {
    EXPECT_EQ(packets[i + 1].numbers.number, i);
    auto found = parse_albaem_reading(packets[i + 1].data);
    ASSERT_TRUE(found);
    auto expected = albaem_series_reading(settings.seed, i, channels, varying);
    EXPECT_EQ(found->frame_number, i);
    EXPECT_EQ(found->message_id, expected.message_id);
    EXPECT_EQ(found->timestamp, expected.timestamp);
    EXPECT_EQ(found->acquisition_timestamp, expected.acquisition_timestamp);
    EXPECT_EQ(found->channels, expected.channels);
    EXPECT_EQ(found->channels.size(), channels - (varying && i % 3 == 2));
    EXPECT_GT(albaem_keys(packets[i + 1].data).find("sent_ns")->as_number().value(), 1e18);
  }
}

TEST(albaem_series, round_trips_to_the_last_bit_whatever_its_options) {
  check(settings_of(20), 4, false);
  for (std::uint32_t channels : {1u, 2u, 100u})
    for (bool varying : {false, true})
      check(
          settings_of(20, {{"channels", std::to_string(channels)}, {"varying", varying ? "true" : "false"}}),
          channels, varying);
  check(settings_of(3, {{"channels", "0"}}), 0, false);
  check(settings_of(0), 4, false);
}

TEST(albaem_series, tells_of_an_overflow) {
  for (bool overflow : {false, true}) {
    auto packets = receive(settings_of(1, {{"overflow", overflow ? "true" : "false"}}));
    auto end = parse_albaem_end(packets.back().data);
    ASSERT_TRUE(end);
    EXPECT_EQ(*end->detector_specific.find("read_overflow"), value(overflow));
    EXPECT_EQ(*end->detector_specific.find("memory_overflow"), value(false));
  }
}

TEST(albaem_series, equal_seeds_make_equal_numbers_and_others_do_not) {
  EXPECT_EQ(albaem_series_reading(1, 5, 2).channels, albaem_series_reading(1, 5, 2).channels);
  EXPECT_NE(albaem_series_reading(1, 5, 2).channels, albaem_series_reading(2, 5, 2).channels);
  EXPECT_NE(albaem_series_reading(1, 5, 2).channels, albaem_series_reading(1, 6, 2).channels);
}

TEST(albaem_series, names_what_it_can_not_do) {
  EXPECT_THROW(make_albaem_series(settings_of(1, {{"channels", "1001"}})), std::runtime_error);
  EXPECT_THROW(make_albaem_series(settings_of(1, {{"varying", "2"}})), std::runtime_error);
  EXPECT_THROW(make_albaem_series(settings_of(1, {{"compression", "none"}})), std::runtime_error);
}

TEST(albaem_series, counts_messages_from_where_it_is_told) {
  auto series = make_albaem_series({.frames = 2, .options = {{"message_id", "23"}}});
  auto reader = make_albaem();
  std::vector<stream_packet> packets;
  while (auto message = series->next()) reader->read(*message, packets);
  ASSERT_EQ(packets.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(packets[i].numbers.message_number, 23 + i);
  EXPECT_EQ(packets[1].numbers.number, 0u);
}

} // namespace
} // namespace dtranspose
