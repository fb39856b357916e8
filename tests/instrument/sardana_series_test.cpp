#include "instrument/sardana_series.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "instrument/pixels.hpp"
#include "protocol/array_view.hpp"
#include "protocol/sardana.hpp"

namespace dtranspose {
namespace {

struct received {
  std::vector<stream_packet> packets;
  std::size_t messages = 0;
};

received receive(const series_settings& settings) {
  auto series = make_sardana_series(settings);
  auto format = make_sardana();
  received out;
  while (auto message = series->next()) {
    ++out.messages;
    format->read(*message, out.packets);
  }
  EXPECT_FALSE(series->next());
  EXPECT_EQ(out.packets.size(), series->entries());
  return out;
}

sardana_record record_in(const stream_packet& packet) {
  auto record = parse_sardana_record(packet.data);
  EXPECT_TRUE(record);
  return record.value_or(sardana_record());
}

TEST(sardana_series, makes_a_scan) {
  auto got = receive({.frames = 5, .options = {{"serialno", "42"}, {"counters", "3"}}});
  ASSERT_EQ(got.packets.size(), 7u);
  EXPECT_EQ(got.messages, 7u);
  for (auto& packet : got.packets) ASSERT_FALSE(packet.fault);
  EXPECT_EQ(got.packets[0].numbers.kind, entry_kind::start);
  EXPECT_EQ(got.packets[0].numbers.series, 42u);
  EXPECT_EQ(got.packets[6].numbers.kind, entry_kind::end);
  auto d = parse_sardana_description(got.packets[0].data);
  ASSERT_TRUE(d);
  EXPECT_EQ(d->serialno, 42);
  EXPECT_EQ(d->columns.size(), 4u);
  EXPECT_EQ(d->total_scan_intervals, 4);
  for (std::uint64_t n = 0; n < 5; ++n) {
    auto& packet = got.packets[n + 1];
    EXPECT_EQ(packet.numbers.number, n);
    auto r = record_in(packet);
    EXPECT_EQ(r.point_nb, n);
    EXPECT_EQ(r.columns.find("mot01")->as_number(), static_cast<double>(n) / 4);
    EXPECT_EQ(*r.columns.find("ct02"), value(static_cast<std::int64_t>(n * 1000 + 1)));
    EXPECT_TRUE(r.columns.find("ct03"));
    EXPECT_GT(r.columns.find("sent_ns")->as_number(), 1e18);
  }
}

TEST(sardana_series, numbers_as_asked) {
  auto from_one = receive({.frames = 3, .options = {{"point_nb", "1"}}});
  EXPECT_EQ(record_in(from_one.packets[1]).point_nb, 1u);
  EXPECT_EQ(from_one.packets[1].numbers.number, 1u);
  auto without = receive({.frames = 3, .options = {{"point_nb", "none"}}});
  EXPECT_FALSE(record_in(without.packets[1]).point_nb);
  EXPECT_FALSE(without.packets[1].numbers.number);
}

TEST(sardana_series, has_spectra_of_any_type) {
  for (auto type :
       {dtype::uint8, dtype::int16, dtype::uint32, dtype::int64, dtype::float32, dtype::float64}) {
    series_settings settings{
        .frames = 2, .shape = {3, 5}, .type = type, .seed = 4, .options = {{"spectrum", "true"}}};
    auto got = receive(settings);
    for (std::uint64_t n = 0; n < 2; ++n) {
      std::vector<std::byte> pixels(15 * size_of(type));
      fill_pixels(pixels, type, 4, n);
      auto r = record_in(got.packets[n + 1]);
      auto found = r.columns.find("mca01")->as_array();
      ASSERT_TRUE(found) << name_of(type);
      EXPECT_EQ(found->shape(), (std::vector<std::size_t>{3, 5}));
      visit_dtype(found->type(), [&](auto sample) {
        auto elements = found->elements<decltype(sample)>();
        array_view expected{type, {15}, pixels};
        for (std::size_t i = 0; i < 15; ++i)
          visit_dtype(type, [&](auto pixel) {
            ASSERT_EQ(static_cast<double>(elements[i]), static_cast<double>(expected.at<decltype(pixel)>(i)));
          });
      });
    }
  }
}

TEST(sardana_series, has_nan_and_custom_data_as_asked) {
  auto got = receive({.frames = 4, .options = {{"nan", "true"}, {"custom", "true"}}});
  EXPECT_EQ(got.messages, 10u);
  EXPECT_FALSE(std::isnan(*record_in(got.packets[1]).columns.find("ct01")->as_number()));
  EXPECT_TRUE(std::isnan(*record_in(got.packets[3]).columns.find("ct01")->as_number()));
  EXPECT_EQ(make_sardana_series({.options = {{"custom", "true"}}})->messages_per_frame(), 2);
}

TEST(sardana_series, says_what_it_cannot_do) {
  EXPECT_THROW(make_sardana_series({.options = {{"point_nb", "2"}}}), std::runtime_error);
  EXPECT_THROW(make_sardana_series({.options = {{"counters", "1001"}}}), std::runtime_error);
  EXPECT_THROW(make_sardana_series({.options = {{"colour", "red"}}}), std::runtime_error);
  EXPECT_THROW(make_sardana_series({.shape = {1 << 20}, .options = {{"spectrum", "true"}}}),
               std::runtime_error);
}

} // namespace
} // namespace dtranspose
