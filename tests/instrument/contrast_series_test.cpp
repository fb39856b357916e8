#include "instrument/contrast_series.hpp"

#include <ctime>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/noise.hpp"
#include "protocol/contrast.hpp"

namespace dtranspose {
namespace {

using testing::SizeIs;

struct generated {
  std::vector<stream_data> messages;
  std::vector<stream_packet> packets;
  std::uint64_t entries = 0;
};

generated generate(const series_settings& settings) {
  generated all;
  auto series = make_contrast_series(settings);
  auto format = make_contrast();
  all.entries = series->entries();
  while (auto data = series->next()) {
    all.messages.push_back(*data);
    format->read(*data, all.packets);
  }
  EXPECT_FALSE(series->next());
  for (auto& packet : all.packets) EXPECT_FALSE(packet.fault);
  return all;
}

std::vector<std::string> statuses(const generated& all) {
  std::vector<std::string> names;
  for (auto& data : all.messages) names.emplace_back(name_of(contrast_status_of(data).value()));
  return names;
}

TEST(contrast_series, mixes_heartbeats_in) {
  auto all = generate({.frames = 4, .options = {{"heartbeat_every", "2"}}});
  EXPECT_THAT(statuses(all),
              testing::ElementsAre("heartbeat", "started", "running", "running", "heartbeat", "running",
                                   "running", "heartbeat", "finished", "heartbeat"));
  EXPECT_EQ(all.entries, 6u);
  EXPECT_THAT(all.packets, SizeIs(6));
  auto none = generate({.frames = 2, .options = {{"heartbeat_every", "0"}, {"end", "interrupted"}}});
  EXPECT_THAT(statuses(none), testing::ElementsAre("started", "running", "running", "interrupted"));
  EXPECT_EQ(none.packets.back().numbers.kind, entry_kind::end);
  EXPECT_EQ(make_contrast_series({.options = {{"heartbeat_every", "4"}}})->messages_per_frame(), 1.25);
  EXPECT_EQ(make_contrast_series({.options = {{"heartbeat_every", "0"}}})->messages_per_frame(), 1);
}

TEST(contrast_series, walks_over_a_mesh) {
  const series_settings settings{.frames = 20, .seed = 9, .options = {{"columns", "5"}, {"scannr", "3"}}};
  auto all = generate(settings);
  ASSERT_THAT(all.packets, SizeIs(22));
  EXPECT_EQ(all.packets.front().numbers.kind, entry_kind::start);
  auto scan = parse_contrast_scan(all.packets.front().data);
  EXPECT_EQ(scan->scannr, 3);
  EXPECT_EQ(scan->description, "mesh sx -2 2 3 sy -2 2 4 0.1");
  EXPECT_TRUE(scan->snapshot.find("sx"));
  for (std::uint64_t i = 0; i < 20; ++i) {
    auto point = parse_contrast_point(all.packets[i + 1].data);
    ASSERT_TRUE(point);
    auto at = contrast_series_position(settings, i);
    EXPECT_EQ(point->number("sx"), at.sx);
    EXPECT_EQ(point->number("sy"), at.sy);
    EXPECT_NEAR(at.sx, -2 + static_cast<double>(i / 5) * 4 / 3, 0.0134);
    EXPECT_NEAR(at.sy, -2 + static_cast<double>(i % 5), 0.0101);
    EXPECT_NEAR(*point->number("pseudo", "x"), at.sx, 1e-3);
    EXPECT_EQ(point->number("motor2"), noise(9, (i << 32) + 17));
    EXPECT_EQ(point->number("panda0", "COUNTER3.OUT_Value"), noise(9, (i << 32) + 65538));
    EXPECT_TRUE(contrast_link_of(*point->find("xspress3")));
    EXPECT_NEAR(*point->number("sent_ns") * 1e-9, static_cast<double>(std::time(nullptr)), 60);
  }
}

TEST(contrast_series, makes_every_variant) {
  auto all =
      generate({.frames = 1,
                .options = {{"motors", "3"}, {"counters", "1"}, {"readings", "7"}, {"positions", "array"}}});
  auto point = parse_contrast_point(all.packets.at(1).data);
  ASSERT_TRUE(point);
  EXPECT_EQ(point->find("sx")->as_array()->shape(), std::vector<std::size_t>{1});
  EXPECT_EQ(point->number("sx"), -2.0);
  EXPECT_TRUE(point->find("motor3"));
  EXPECT_FALSE(point->find("motor4"));
  EXPECT_EQ(point->find("panda0", "COUNTER1.OUT_Value")->as_array()->shape(), std::vector<std::size_t>{7});
  EXPECT_FALSE(point->find("panda0", "COUNTER2.OUT_Value"));
  EXPECT_THAT(generate({.frames = 0}).packets, SizeIs(2));
}

TEST(contrast_series, is_the_same_for_equal_seeds) {
  auto fields = [](std::uint64_t seed) {
    auto all = generate({.frames = 30, .seed = seed});
    auto point = parse_contrast_point(all.packets.at(17).data);
    point->fields.set("sent_ns", 0);
    return point->fields;
  };
  EXPECT_EQ(fields(1), fields(1));
  EXPECT_NE(fields(1), fields(2));
}

TEST(contrast_series, names_options_that_it_does_not_have) {
  for (auto& [name, content] : protocol_options{{"x", "1"},
                                                {"columns", "0"},
                                                {"motors", "1001"},
                                                {"counters", "-1"},
                                                {"readings", "0"},
                                                {"positions", "int"},
                                                {"heartbeat_every", "x"},
                                                {"scannr", ""},
                                                {"end", "running"}}) {
    try {
      make_contrast_series({.options = {{name, content}}});
      ADD_FAILURE() << name;
    } catch (const std::runtime_error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr("option " + name));
    }
  }
  EXPECT_THROW(make_contrast_series({.options = {{"counters", "11"}, {"readings", "100000"}}}),
               std::runtime_error);
}

} // namespace
} // namespace dtranspose
