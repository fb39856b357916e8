#include "instrument/pcap_series.hpp"

#include <bit>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/pcap.hpp"

namespace dtranspose {
namespace {

series_settings settings_of(std::uint64_t frames, protocol_options options = {}) {
  return {.frames = frames, .seed = 4, .options = std::move(options)};
}

/// Everything that a reader makes of a series.
struct received {
  std::uint64_t messages = 0, announced = 0;
  std::multiset<std::size_t> rows; ///< by message
  std::vector<stream_packet> packets;
};

received receive(const series_settings& settings) {
  auto series = make_pcap_series(settings);
  auto reader = make_pcap();
  received all;
  all.announced = series->entries();
  while (auto message = series->next()) {
    auto before = all.packets.size();
    reader->read(std::move(*message), all.packets);
    ++all.messages;
    all.rows.insert(all.packets.size() - before);
  }
  EXPECT_FALSE(series->next());
  return all;
}

void check(const received& all, const series_settings& settings, std::size_t fields, bool not_finite) {
  auto& packets = all.packets;
  ASSERT_EQ(packets.size(), settings.frames + 2);
  EXPECT_EQ(all.announced, packets.size());
  EXPECT_TRUE(parse_pcap_start(packets.front().data));
  EXPECT_EQ(packets.back().numbers.kind, entry_kind::end);
  EXPECT_EQ(packets.back().numbers.count, settings.frames);
  for (std::uint64_t i = 0; i < settings.frames; ++i) {
    auto& packet = packets[i + 1];
    ASSERT_FALSE(packet.fault);
    EXPECT_EQ(packet.numbers.number, i);
    auto row = parse_pcap_row(packet.data);
    ASSERT_TRUE(row);
    ASSERT_EQ(row->columns.size(), fields + 1);
    EXPECT_GT(row->column("sent_ns").value_or(0), 1e18);
    for (std::size_t f = 0; f < fields; ++f) {
      auto expected = pcap_series_value(settings.seed, f, i, not_finite);
      auto& [name, found] = row->columns[f];
      EXPECT_EQ(name, pcap_series_field(f));
      if (auto real = std::get_if<double>(&expected))
        EXPECT_EQ(std::bit_cast<std::uint64_t>(std::get<double>(found.content())),
                  std::bit_cast<std::uint64_t>(*real));
      else
        EXPECT_EQ(found, value(std::get<std::int64_t>(expected)));
    }
  }
}

TEST(pcap_series, is_like_the_recording_by_default) {
  auto settings = settings_of(1500);
  auto all = receive(settings);
  check(all, settings, 5, false);
  EXPECT_GT(all.rows.count(14), 20u);
  EXPECT_GT(all.rows.count(15), 20u);
  EXPECT_GT(all.rows.count(16), 20u);
  EXPECT_NEAR(static_cast<double>(all.messages - 2), 1500 * make_pcap_series(settings)->messages_per_frame(),
              5);
}

TEST(pcap_series, round_trips_to_the_last_bit_whatever_its_options) {
  for (auto* rows : {"1", "7", "1-3", "65536"})
    for (std::size_t fields : {1u, 5u, 30u})
      for (bool not_finite : {false, true}) {
        SCOPED_TRACE(std::string(rows) + " rows, " + std::to_string(fields) + " fields");
        auto settings = settings_of(100, {{"rows_per_message", rows},
                                          {"fields", std::to_string(fields)},
                                          {"not_finite", not_finite ? "true" : "false"}});
        check(receive(settings), settings, fields, not_finite);
      }
}

TEST(pcap_series, not_finite_numbers_are_there_when_asked_for) {
  std::size_t found = 0;
  for (auto& packet : receive(settings_of(14, {{"not_finite", "true"}})).packets)
    if (auto row = parse_pcap_row(packet.data))
      found += !std::isfinite(row->column("INENC3.VAL.Mean").value());
  EXPECT_EQ(found, 4u);
}

TEST(pcap_series, may_be_empty) {
  auto settings = settings_of(0);
  auto all = receive(settings);
  check(all, settings, 5, false);
  EXPECT_EQ(all.messages, 2u);
}

TEST(pcap_series, has_as_many_fields_as_the_reader_takes) {
  auto settings = settings_of(2, {{"fields", "1000"}});
  check(receive(settings), settings, 1000, false);
}

TEST(pcap_series, equal_seeds_make_equal_numbers_and_others_do_not) {
  EXPECT_EQ(pcap_series_value(1, 0, 5), pcap_series_value(1, 0, 5));
  EXPECT_NE(pcap_series_value(1, 0, 5), pcap_series_value(2, 0, 5));
  EXPECT_NE(pcap_series_value(1, 0, 5), pcap_series_value(1, 0, 6));
}

TEST(pcap_series, names_what_it_can_not_do) {
  auto refused = [](const char* name, const char* content) {
    try {
      make_pcap_series(settings_of(1, {{name, content}}));
    } catch (const std::runtime_error& e) {
      return std::string(e.what()).starts_with(std::string("option ") + name);
    }
    return false;
  };
  for (auto* rows : {"0", "", "-", "3-", "-3", "3-2", "3-4-5", "x", "0-3", "65537", "1-65537"})
    EXPECT_TRUE(refused("rows_per_message", rows)) << rows;
  EXPECT_TRUE(refused("fields", "0"));
  EXPECT_TRUE(refused("fields", "1001"));
  EXPECT_TRUE(refused("not_finite", "perhaps"));
  EXPECT_TRUE(refused("shape", "4"));
}

} // namespace
} // namespace dtranspose
