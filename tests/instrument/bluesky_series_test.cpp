#include "instrument/bluesky_series.hpp"

#include <gtest/gtest.h>

#include "instrument/pixels.hpp"
#include "protocol/bluesky.hpp"

namespace dtranspose {
namespace {

struct received {
  std::vector<stream_packet> packets;
  std::vector<stream_data> messages;
};

received receive(const series_settings& settings, const protocol_options& options = {}) {
  auto series = make_bluesky_series(settings);
  auto format = make_bluesky(options);
  received out;
  while (auto message = series->next()) {
    out.messages.push_back(*message);
    format->read(*message, out.packets);
  }
  EXPECT_FALSE(series->next());
  EXPECT_EQ(out.packets.size(), series->entries());
  return out;
}

void expect_run(const received& got, std::uint64_t frames) {
  ASSERT_EQ(got.packets.size(), frames + 2);
  for (auto& packet : got.packets) {
    ASSERT_FALSE(packet.fault);
    EXPECT_EQ(packet.numbers.series, got.packets[0].numbers.series);
  }
  EXPECT_EQ(got.packets[0].numbers.kind, entry_kind::start);
  EXPECT_TRUE(parse_bluesky_start(got.packets[0].data));
  for (std::uint64_t n = 0; n < frames; ++n) {
    EXPECT_EQ(got.packets[n + 1].numbers.number, n);
    auto event = parse_bluesky_event(got.packets[n + 1].data);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->seq_num, n + 1);
    EXPECT_GT(event->data.find("sent_ns")->as_number(), 1e18);
    auto intervals = static_cast<double>(std::max<std::uint64_t>(frames, 2) - 1);
    EXPECT_EQ(event->data.find("motor")->as_number(), static_cast<double>(n) / intervals);
    EXPECT_EQ(event->timestamps.size(), event->data.size());
    auto descriptor = parse_bluesky_descriptor(got.packets[n + 1].data);
    ASSERT_TRUE(descriptor);
    EXPECT_EQ(descriptor->uid, event->descriptor);
    EXPECT_EQ(descriptor->data_keys.size(), event->data.size());
  }
  auto& stop = got.packets[frames + 1];
  EXPECT_EQ(stop.numbers.kind, entry_kind::end);
  EXPECT_EQ(stop.numbers.count, frames);
  EXPECT_EQ(parse_bluesky_stop(stop.data)->exit_status, "success");
}

TEST(bluesky_series, makes_a_run_in_any_form) {
  for (auto serializer : {"pickle", "json", "msgpack"})
    for (auto page : {"0", "1", "3", "10000"})
      for (auto more : {"false", "true"}) {
        SCOPED_TRACE(std::string(serializer) + " " + page + " " + more);
        auto got = receive({.frames = 7,
                            .options = {{"serializer", serializer},
                                        {"page", page},
                                        {"baseline", more},
                                        {"external", more},
                                        {"prefix", "lab"}}},
                           {{"serializer", serializer}, {"prefix", "lab"}});
        expect_run(got, 7);
        EXPECT_EQ(got.packets[0].numbers.count, 7u);
      }
}

TEST(bluesky_series, has_images_of_any_type) {
  for (auto serializer : {"pickle", "json", "msgpack"})
    for (auto page : {"0", "2"})
      for (auto type :
           {dtype::uint8, dtype::int16, dtype::uint32, dtype::int64, dtype::float32, dtype::float64}) {
        SCOPED_TRACE(std::string(serializer) + " " + page + " " + std::string(name_of(type)));
        auto got = receive({.frames = 3,
                            .shape = {4, 5},
                            .type = type,
                            .seed = 9,
                            .options = {{"serializer", serializer}, {"page", page}, {"image", "true"}}});
        expect_run(got, 3);
        for (std::uint64_t n = 0; n < 3; ++n) {
          auto expected = std::make_shared<std::byte[]>(20 * size_of(type));
          fill_pixels({expected.get(), 20 * size_of(type)}, type, 9, n);
          array pixels(type, {4, 5}, std::move(expected));
          auto event = parse_bluesky_event(got.packets[n + 1].data);
          auto found = event->data.find("img")->as_array();
          ASSERT_TRUE(found);
          ASSERT_EQ(found->shape(), pixels.shape());
          if (std::string(serializer) != "json") {
            EXPECT_EQ(*found, pixels);
            continue;
          }
          visit_dtype(found->type(), [&](auto x) {
            visit_dtype(type, [&](auto y) {
              for (std::size_t i = 0; i < 20; ++i)
                ASSERT_EQ(static_cast<double>(found->elements<decltype(x)>()[i]),
                          static_cast<double>(pixels.elements<decltype(y)>()[i]));
            });
          });
        }
      }
}

TEST(bluesky_series, has_another_stream) {
  series_settings settings{.frames = 4, .options = {{"stream", "fast"}, {"baseline", "true"}}};
  expect_run(receive(settings, {{"stream", "fast"}}), 4);
  auto series = make_bluesky_series(settings);
  auto format = make_bluesky({{"stream", "baseline"}});
  std::vector<stream_packet> packets;
  while (auto message = series->next()) format->read(*message, packets);
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[2].numbers.number, 1u);
  EXPECT_EQ(packets[3].numbers.count, 2u);
}

TEST(bluesky_series, is_the_same_for_the_same_seed) {
  auto uid = [](std::uint64_t seed) {
    auto got = receive({.frames = 1, .seed = seed});
    return parse_bluesky_event(got.packets[1].data)->uid;
  };
  EXPECT_EQ(uid(1), uid(1));
  EXPECT_NE(uid(1), uid(2));
  EXPECT_EQ(uid(1).size(), 36u);
}

TEST(bluesky_series, tells_its_messages) {
  series_settings settings{.frames = 100, .options = {{"page", "4"}}};
  EXPECT_EQ(make_bluesky_series(settings)->messages_per_frame(), 0.25);
  EXPECT_EQ(receive(settings).messages.size(), 28u);
  settings.options["external"] = "true";
  EXPECT_EQ(make_bluesky_series(settings)->messages_per_frame(), 1.25);
  EXPECT_EQ(receive({.frames = 0}).messages.size(), 3u);
}

TEST(bluesky_series, says_what_it_cannot_do) {
  for (auto& options : std::vector<protocol_options>{{{"serializer", "xml"}},
                                                     {{"prefix", "a b"}},
                                                     {{"page", "10001"}},
                                                     {{"colour", "red"}},
                                                     {{"baseline", "true"}, {"stream", "baseline"}}})
    EXPECT_THROW(make_bluesky_series({.options = options}), std::runtime_error);
  EXPECT_THROW(
      make_bluesky_series({.shape = {1 << 20}, .options = {{"image", "true"}, {"serializer", "json"}}}),
      std::runtime_error);
}

} // namespace
} // namespace dtranspose
