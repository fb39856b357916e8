#include "instrument/lecroy_series.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/lecroy.hpp"

namespace dtranspose {
namespace {

using testing::SizeIs;

series_settings settings_of(std::uint64_t frames, protocol_options options = {}) {
  return {.frames = frames, .seed = 4, .options = std::move(options)};
}

struct expected_content {
  bool continuous = true;
  std::vector<std::uint64_t> channels = {2, 4};
  std::size_t triggers = 1, samples = 8002;
};

void check_sequence(const lecroy_sequence& found, std::uint64_t number, const expected_content& expected) {
  EXPECT_EQ(found.continuous, expected.continuous);
  EXPECT_EQ(found.triggers,
            expected.continuous ? std::nullopt : std::optional<std::uint64_t>(expected.triggers));
  EXPECT_EQ(found.seqno, expected.continuous ? 0 : static_cast<std::int64_t>(number));
  EXPECT_EQ(found.channels, expected.channels);
  ASSERT_THAT(found.traces, SizeIs(expected.channels.size()));
  for (std::size_t c = 0; c < expected.channels.size(); ++c) {
    auto& traces = found.traces[c];
    EXPECT_EQ(traces.channel, expected.channels[c]);
    EXPECT_EQ(traces.frame, number * expected.channels.size() + c);
    EXPECT_EQ(traces.samples.type, dtype::float64);
    EXPECT_EQ(traces.samples.shape, (std::vector<std::size_t>{expected.triggers, expected.samples}));
    auto samples =
        lecroy_series_samples(4, number, expected.channels[c], expected.triggers, expected.samples);
    EXPECT_TRUE(std::ranges::equal(traces.samples.bytes, std::as_bytes(std::span(samples))));
    EXPECT_EQ(lecroy_time_stamps(traces), lecroy_series_times(number, expected.triggers));
    EXPECT_EQ(traces.time_axis().size(), expected.samples);
  }
}

void check(std::uint64_t sequences, const protocol_options& options, const expected_content& expected) {
  auto series = make_lecroy_series(settings_of(sequences, options));
  auto reader = make_lecroy();
  std::vector<stream_packet> packets;
  std::uint64_t messages = 0;
  for (; auto message = series->next(); ++messages) reader->read(std::move(*message), packets);
  EXPECT_FALSE(series->next());
  EXPECT_EQ(series->entries(), sequences + 2);
  ASSERT_THAT(packets, SizeIs(sequences + 2));
  auto others = expected.continuous ? 3u : 2u;
  EXPECT_EQ(static_cast<double>(messages - others),
            static_cast<double>(sequences) * series->messages_per_frame());
  EXPECT_EQ(packets.front().numbers.kind, entry_kind::start);
  EXPECT_EQ(packets.back().numbers.count, sequences);
  EXPECT_EQ(parse_lecroy_stop(packets.back().data)->frames, sequences * expected.channels.size());
  for (std::uint64_t i = 0; i < sequences; ++i) {
    ASSERT_FALSE(packets[i + 1].fault);
    EXPECT_EQ(packets[i + 1].numbers.number, i);
    auto found = parse_lecroy_sequence(packets[i + 1].data);
    ASSERT_TRUE(found);
    check_sequence(*found, i, expected);
  }
}

TEST(lecroy_series, is_like_the_recordings_by_default) {
  check(2, {}, {});
  check(2, {{"mode", "sequential"}}, {.continuous = false, .triggers = 20});
}

TEST(lecroy_series, round_trips_to_the_last_bit_whatever_its_options) {
  for (bool continuous : {true, false})
    for (std::string channels : {"1", "2,4", "9,3,17"})
      for (std::size_t samples : {1u, 100u}) {
        expected_content expected{.continuous = continuous, .channels = {1}, .samples = samples};
        if (channels == "2,4") expected.channels = {2, 4};
        if (channels == "9,3,17") expected.channels = {9, 3, 17};
        protocol_options options = {{"channels", channels}, {"samples", std::to_string(samples)}};
        if (!continuous) {
          options["mode"] = "sequential";
          options["triggers"] = "3";
          expected.triggers = 3;
        }
        check(5, options, expected);
        check(0, options, expected);
      }
}

TEST(lecroy_series, says_when_it_was_sent) {
  auto series = make_lecroy_series(settings_of(1));
  std::size_t found = 0;
  while (auto message = series->next())
    found += message->frames()[0].text().find("\"sent_ns\": ") != std::string_view::npos;
  EXPECT_EQ(found, 2u);
}

TEST(lecroy_series, equal_seeds_make_equal_samples_and_others_do_not) {
  EXPECT_EQ(lecroy_series_samples(1, 5, 2, 2, 3), lecroy_series_samples(1, 5, 2, 2, 3));
  EXPECT_NE(lecroy_series_samples(1, 5, 2, 2, 3), lecroy_series_samples(2, 5, 2, 2, 3));
  EXPECT_NE(lecroy_series_samples(1, 5, 2, 2, 3), lecroy_series_samples(1, 6, 2, 2, 3));
  EXPECT_NE(lecroy_series_samples(1, 5, 2, 2, 3), lecroy_series_samples(1, 5, 4, 2, 3));
}

TEST(lecroy_series, names_what_it_can_not_do) {
  auto refused = [](const char* name, const char* content, const char* mode = "sequential") {
    try {
      make_lecroy_series(settings_of(1, {{"mode", mode}, {name, content}}));
    } catch (const std::runtime_error& e) {
      return std::string(e.what()).starts_with(std::string("option ") + name);
    }
    return false;
  };
  for (auto* channels : {"", ",", "2,", ",2", "2,2", "a", "2;4", "2, 4", "-1", "99999999999999999999"})
    EXPECT_TRUE(refused("channels", channels)) << channels;
  std::string many = "0";
  for (std::size_t i = 1; i < lecroy_channel_limit; ++i) many += "," + std::to_string(i);
  EXPECT_FALSE(refused("channels", many.c_str()));
  EXPECT_TRUE(refused("channels", (many + ",64").c_str()));
  EXPECT_TRUE(refused("triggers", "0"));
  EXPECT_TRUE(refused("triggers", "20", "continuous"));
  EXPECT_TRUE(refused("samples", "0"));
  EXPECT_TRUE(refused("samples", "268435456"));
  EXPECT_TRUE(refused("shape", "4"));
  EXPECT_THROW(make_lecroy_series(settings_of(1, {{"mode", "burst"}})), std::runtime_error);
}

} // namespace
} // namespace dtranspose
