#include "protocol/contrast.hpp"

#include <array>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/pickle.hpp"
#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

stream_data message(std::vector<std::byte> pickle) {
  std::vector<std::vector<std::byte>> parts = {std::move(pickle)};
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), contrast_type_tag);
}
stream_data message(const value& content, int protocol = 2) {
  return message(write_pickle(content, protocol));
}

std::vector<stream_packet> read(stream_data data) {
  std::vector<stream_packet> packets;
  make_contrast()->read(std::move(data), packets);
  return packets;
}

value one_element(double x) { return array::of(std::vector<double>{x}); }

contrast_point some_point() {
  contrast_point point;
  point.dt = 2.5;
  point.fields = {{"sx", -2.0},
                  {"panda0", value_map{{"INENC1.VAL_Mean", one_element(0.25)}}},
                  {"xspress3", to_value(contrast_link{"a.h5", "/entry", true})}};
  return point;
}

contrast_scan some_scan(contrast_status status) {
  contrast_scan scan;
  scan.status = status;
  scan.scannr = 7;
  scan.path = "/data/x";
  scan.description = "mesh";
  scan.snapshot = {{"sx", 1.5}, {"shutter", "open"}};
  return scan;
}

TEST(contrast, tells_entries_from_heartbeats) {
  EXPECT_THAT(read(message(write_contrast_heartbeat())), IsEmpty());
  const std::pair<contrast_status, entry_kind> ends[] = {{contrast_status::started, entry_kind::start},
                                                         {contrast_status::finished, entry_kind::end},
                                                         {contrast_status::interrupted, entry_kind::end}};
  for (auto [status, kind] : ends) {
    auto data = message(write_contrast_scan(some_scan(status)));
    auto packets = read(data);
    ASSERT_THAT(packets, SizeIs(1));
    EXPECT_FALSE(packets[0].fault);
    EXPECT_EQ(packets[0].numbers.kind, kind);
    EXPECT_EQ(contrast_kind(data), kind);
    EXPECT_EQ(contrast_status_of(data), status);
  }
  auto data = message(write_contrast_point(some_point()));
  auto packets = read(data);
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_FALSE(packets[0].fault);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::data);
  EXPECT_EQ(packets[0].numbers.number, std::nullopt);
  EXPECT_EQ(packets[0].numbers.message_number, std::nullopt);
  EXPECT_EQ(packets[0].data.frames().data(), data.frames().data());
  EXPECT_EQ(packets[0].data.type(), "contrast");
  EXPECT_EQ(contrast_status_of(message(write_contrast_heartbeat())), contrast_status::heartbeat);
  EXPECT_EQ(contrast_kind(message(write_contrast_heartbeat())), std::nullopt);
}

TEST(contrast, has_no_numbers) {
  auto format = make_contrast();
  EXPECT_FALSE(format->numbered());
  EXPECT_EQ(format->name(), "contrast");
  EXPECT_EQ(format->type_tag(), "contrast");
  EXPECT_THROW(make_contrast({{"x", "1"}}), std::runtime_error);
}

TEST(contrast, an_interruption_counts_between_a_start_and_its_end) {
  auto format = make_contrast();
  std::vector<stream_packet> packets;
  auto interruptions_after = [&](const char* status) {
    if (status) format->read(message(value_map{{"status", status}, {"dt", 0.5}}), packets);
    packets.clear();
    format->interrupted(packets);
    return packets.size();
  };
  EXPECT_EQ(interruptions_after(nullptr), 0u);
  EXPECT_EQ(interruptions_after("running"), 0u);
  EXPECT_EQ(interruptions_after("started"), 1u);
  EXPECT_EQ(interruptions_after("heartbeat"), 1u);
  EXPECT_EQ(interruptions_after("running"), 1u);
  EXPECT_EQ(packets[0].fault, packet_fault::interrupted);
  EXPECT_FALSE(packets[0].numbered);
  EXPECT_EQ(interruptions_after("finished"), 0u);
  EXPECT_EQ(interruptions_after("started"), 1u);
  format->reset();
  EXPECT_EQ(interruptions_after(nullptr), 0u);
}

TEST(contrast, decodes_points) {
  auto data = message(write_contrast_point(some_point()));
  auto point = parse_contrast_point(data);
  ASSERT_TRUE(point);
  EXPECT_EQ(point->dt, 2.5);
  EXPECT_EQ(point->fields, some_point().fields);
  EXPECT_EQ(point->number("sx"), -2.0);
  EXPECT_EQ(point->number("panda0", "INENC1.VAL_Mean"), 0.25);
  EXPECT_EQ(point->number("panda0"), std::nullopt);
  EXPECT_EQ(point->number("panda0", "nothing"), std::nullopt);
  EXPECT_EQ(point->number("sx", "inner"), std::nullopt);
  EXPECT_EQ(point->find("nothing"), nullptr);
  auto link = contrast_link_of(*point->find("xspress3"));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->filename, "a.h5");
  EXPECT_EQ(link->path, "/entry");
  EXPECT_TRUE(link->universal);
  EXPECT_FALSE(contrast_link_of(*point->find("panda0")));
  EXPECT_FALSE(contrast_link_of("Link"));
  EXPECT_FALSE(parse_contrast_scan(data));
}

TEST(contrast, decodes_starts_and_ends) {
  auto content = some_scan(contrast_status::finished);
  content.extra = {{"user", "me"}};
  auto data = message(write_contrast_scan(content));
  auto scan = parse_contrast_scan(data);
  ASSERT_TRUE(scan);
  EXPECT_EQ(scan->status, contrast_status::finished);
  EXPECT_EQ(scan->scannr, 7);
  EXPECT_EQ(scan->path, "/data/x");
  EXPECT_EQ(scan->description, "mesh");
  EXPECT_EQ(scan->snapshot, content.snapshot);
  EXPECT_EQ(scan->extra, content.extra);
  EXPECT_FALSE(parse_contrast_point(data));
  auto bare =
      parse_contrast_scan(message(value_map{{"status", "started"}, {"scannr", "x"}, {"snapshot", 1}}));
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->scannr, std::nullopt);
  EXPECT_EQ(bare->extra, (value_map{{"snapshot", 1}}));
  EXPECT_FALSE(parse_contrast_scan(message(write_contrast_heartbeat())));
  EXPECT_FALSE(parse_contrast_point(message(write_contrast_heartbeat())));
  EXPECT_FALSE(parse_contrast_scan({}));
}

TEST(contrast, takes_numbers_in_every_form) {
  EXPECT_EQ(contrast_number(1.5), 1.5);
  EXPECT_EQ(contrast_number(std::int64_t{-3}), -3.0);
  EXPECT_EQ(contrast_number(std::uint64_t{3}), 3.0);
  EXPECT_EQ(contrast_number(one_element(2.5)), 2.5);
  EXPECT_EQ(
      contrast_number(array::of(std::span<const std::int16_t>(std::array<std::int16_t, 1>{-4}), {1, 1})),
      -4.0);
  EXPECT_EQ(contrast_number(array::of(std::span<const float>(std::array{0.5F}), {})), 0.5);
  EXPECT_EQ(contrast_number(array::of(std::vector<double>{1, 2})), std::nullopt);
  EXPECT_EQ(contrast_number(array::of(std::vector<double>{})), std::nullopt);
  EXPECT_EQ(contrast_number(array()), std::nullopt);
  EXPECT_EQ(contrast_number(value()), std::nullopt);
  EXPECT_EQ(contrast_number("1"), std::nullopt);
  EXPECT_EQ(contrast_number(value_map()), std::nullopt);
}

struct refused {
  const char* what;
  stream_data data;
  packet_fault fault;
  bool numbered;
};

TEST(contrast, refuses_what_is_none) {
  using enum packet_fault;
  auto text = [](std::string_view part) { return memory_frames::of(contrast_type_tag, {part}); };
  auto good = write_contrast_point(some_point());
  std::string_view good_text(reinterpret_cast<const char*>(good.data()), good.size());
  const refused cases[] = {
      {"nothing", {}, truncated, true},
      {"no bytes", text(""), corrupt, true},
      {"JSON", text(R"({"status":"running"})"), corrupt, true},
      {"a call",
       text("\x80\x02"
            "cos\nsystem\nX\1\1\1\1."),
       corrupt, true},
      {"cut short", text(good_text.substr(0, good.size() - 1)), corrupt, true},
      {"two parts", memory_frames::of(contrast_type_tag, {good_text, ""}), oversized, true},
      {"no map", message(value_list{"status", "running"}), unknown, false},
      {"no status", message(value_map{{"dt", 1.0}}), unknown, false},
      {"another status", message(value_map{{"status", "paused"}}), unknown, false},
      {"a status that is no text", message(value_map{{"status", 1}}), unknown, false},
      {"too long", message(std::vector<std::byte>(contrast_message_limit + 1)), oversized, true},
      {"as long as can be", message(std::vector<std::byte>(contrast_message_limit)), corrupt, true},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    auto packets = read(c.data);
    ASSERT_THAT(packets, SizeIs(1));
    ASSERT_TRUE(packets[0].fault);
    EXPECT_EQ(*packets[0].fault, c.fault) << name_of(*packets[0].fault);
    EXPECT_EQ(packets[0].numbered, c.numbered);
    EXPECT_EQ(packets[0].numbers.kind, entry_kind::data);
    EXPECT_FALSE(packets[0].data);
    EXPECT_EQ(contrast_status_of(c.data), std::nullopt);
    EXPECT_FALSE(parse_contrast_point(c.data));
    EXPECT_FALSE(parse_contrast_scan(c.data));
  }
}

TEST(contrast, is_cut_short_at_every_byte_and_outlives_mutations) {
  const auto good = write_contrast_point(some_point());
  for (std::size_t n = 0; n < good.size(); ++n) {
    auto packets = read(message(std::vector<std::byte>(good.begin(), good.begin() + static_cast<long>(n))));
    ASSERT_THAT(packets, SizeIs(1));
    ASSERT_EQ(packets[0].fault, packet_fault::corrupt) << n;
  }
  std::mt19937 random(4);
  std::size_t taken = 0, faulty = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = good;
    for (auto n = 1 + random() % 3; n > 0; --n)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    auto data = message(bytes);
    auto packets = read(data);
    ASSERT_LE(packets.size(), 1u);
    if (packets.empty()) continue;
    ++(packets[0].fault ? faulty : taken);
    ASSERT_EQ(packets[0].fault.has_value(), !parse_contrast_point(data) && !parse_contrast_scan(data));
  }
  EXPECT_GT(taken, 100u);
  EXPECT_GT(faulty, 100u);
}

TEST(contrast, reads_the_recording) {
  auto path = test::find_recording("contrast-dump.cbors");
  if (!path) GTEST_SKIP() << "no recording of Contrast";
  capture_reader capture(mapped_file::open(*path), contrast_type_tag);
  auto format = make_contrast();
  std::vector<stream_packet> packets;
  std::size_t messages = 0;
  while (auto data = capture.next()) {
    ++messages;
    if (messages == 1) {
      auto heartbeat = write_contrast_heartbeat();
      EXPECT_EQ(*data, message(heartbeat));
    }
    format->read(*data, packets);
  }
  EXPECT_EQ(messages, 26u);
  ASSERT_THAT(packets, SizeIs(22));
  for (auto& packet : packets) ASSERT_FALSE(packet.fault);

  for (std::size_t i : {0, 21}) {
    auto scan = parse_contrast_scan(packets[i].data);
    ASSERT_TRUE(scan);
    EXPECT_EQ(packets[i].numbers.kind, i == 0 ? entry_kind::start : entry_kind::end);
    EXPECT_EQ(scan->status, i == 0 ? contrast_status::started : contrast_status::finished);
    EXPECT_EQ(scan->scannr, 2);
    EXPECT_EQ(scan->description, "mesh sx -2 2 3 sy -2 2 4 0.1");
    EXPECT_THAT(scan->path, testing::HasSubstr("diff_1130_stream_test/raw/dummy"));
    EXPECT_EQ(scan->snapshot.size(), 92u);
    for (auto& [name, position] : scan->snapshot)
      EXPECT_TRUE(std::holds_alternative<double>(position.content())) << name;
    EXPECT_EQ(scan->snapshot.find("attenuator3_x")->as_number(), i == 0 ? 0.536 : 0.537);
  }

  double last = 0;
  for (std::size_t i = 0; i < 20; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(packets[i + 1].numbers.kind, entry_kind::data);
    auto point = parse_contrast_point(packets[i + 1].data);
    ASSERT_TRUE(point);
    EXPECT_GT(point->dt, last);
    last = point->dt;
    EXPECT_NEAR(*point->number("sx"), -2 + static_cast<double>(i / 5) * 4 / 3, 0.01);
    EXPECT_NEAR(*point->number("sy"), -2 + static_cast<double>(i % 5), 0.01);
    EXPECT_EQ(point->fields.size(), 5u);
    EXPECT_EQ(point->find("pseudo")->as_map()->size(), 6u);
    ASSERT_EQ(point->find("panda0")->as_map()->size(), 19u);
    for (auto& [name, reading] : *point->find("panda0")->as_map()) {
      EXPECT_EQ(reading.as_array()->shape(), std::vector<std::size_t>{1}) << name;
      EXPECT_EQ(reading.as_array()->type(), dtype::float64) << name;
    }
    auto link = contrast_link_of(*point->find("xspress3"));
    ASSERT_TRUE(link);
    EXPECT_EQ(link->path, "/entry/instrument/xspress3/");
    EXPECT_TRUE(link->universal);
  }
  auto first = parse_contrast_point(packets[1].data);
  EXPECT_EQ(first->dt, 2.410903215408325);
  EXPECT_EQ(first->number("sx"), -2.000431059888797);
  EXPECT_NEAR(*first->number("panda0", "INENC2.VAL_Mean"), -2.00405186, 1e-8);
}

} // namespace
} // namespace dtranspose
