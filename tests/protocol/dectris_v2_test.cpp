#include "protocol/dectris_v2.hpp"

#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/cbor_value.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using namespace std::string_literals;

/// Bytes of hexadecimal digits; blanks are skipped.
std::string hex(std::string_view digits) {
  std::string bare, bytes;
  for (char c : digits)
    if (c != ' ') bare += c;
  for (std::size_t i = 0; i + 1 < bare.size(); i += 2)
    bytes += static_cast<char>(std::stoi(bare.substr(i, 2), nullptr, 16));
  return bytes;
}

stream_data message(std::initializer_list<std::string_view> parts) {
  return memory_frames::of(dectris_v2_type_tag, parts);
}

stream_data message(const std::vector<std::byte>& item) {
  return message({std::string_view(reinterpret_cast<const char*>(item.data()), item.size())});
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

stream_packet read(const stream_data& data) {
  std::vector<stream_packet> packets;
  make_dectris_v2()->read(data, packets);
  EXPECT_EQ(packets.size(), 1u);
  return packets.at(0);
}

/// Elements 1 to 10 as uint16.
const std::string blob =
    hex("0000000000000014 00002000 00000012 f001 55667880 000000000000000000000000 09000a00");

/// The example of the specification: one channel of 2 rows and 5 columns.
const std::string image_example = hex("a9 64 74797065 65 696d616765"
                                      "69 7365726965735f6964 07"
                                      "70 7365726965735f756e697175655f6964 63 616263"
                                      "68 696d6167655f6964 03"
                                      "69 7265616c5f74696d65 82 18 32 19 03e8"
                                      "6b 7365726965735f64617465 c0 74") +
                                  "2024-03-12T15:29:58Z" +
                                  hex("6a 73746172745f74696d65 82 00 19 03e8"
                                      "69 73746f705f74696d65 82 18 32 19 03e8"
                                      "64 64617461 a1 6b 7468726573686f6c645f31"
                                      "d8 28 82 82 02 05 d8 45 d9 dcb4 83 65 62736c7a34 02 58 26") +
                                  blob;

/// A key with its value.
std::string pair(std::string_view key, std::string_view content) {
  std::vector<std::byte> bytes;
  cbor::writer(bytes).text(key);
  return text_of(bytes) + std::string(content);
}

std::string text(std::string_view content) {
  std::vector<std::byte> bytes;
  cbor::writer(bytes).text(content);
  return text_of(bytes);
}

const std::string an_array = hex("d828 82 82 01 02 d845 44 0100 0200");

std::string image_with(std::string_view array, std::string_view extra = {}) {
  return "\xbf" + pair("type", text("image")) + pair("series_id", hex("07")) + pair("image_id", hex("03")) +
         pair("data", "\xa1" + pair("a", array)) + std::string(extra) + "\xff";
}

void expect_example(const dectris_v2_image& image) {
  EXPECT_EQ(image.series, 7u);
  EXPECT_EQ(image.image, 3u);
  EXPECT_EQ(image.unique_id, "abc");
  EXPECT_EQ(image.real_time, (dectris_v2_rational{50, 1000}));
  EXPECT_EQ(image.start_time, (dectris_v2_rational{0, 1000}));
  EXPECT_EQ(image.stop_time, (dectris_v2_rational{50, 1000}));
  EXPECT_EQ(image.real_time->value(), 0.05);
  EXPECT_EQ(image.series_date, "2024-03-12T15:29:58Z");
  EXPECT_FALSE(image.user_data);
  EXPECT_TRUE(image.metadata.empty());
  ASSERT_EQ(image.channels.size(), 1u);
  EXPECT_EQ(image.channels[0].name, "threshold_1");
  auto& data = image.channels[0].data;
  EXPECT_EQ(data.type, dtype::uint16);
  EXPECT_FALSE(data.big_endian);
  EXPECT_THAT(data.shape, ElementsAre(2, 5));
  EXPECT_EQ(data.compression, codec::bslz4);
  EXPECT_EQ(data.algorithm, "bslz4");
  EXPECT_EQ(data.element_size, 2u);
  EXPECT_EQ(data.blob.size(), 38u);
  EXPECT_FALSE(data.plain());
  auto pixels = elements_of(data);
  EXPECT_THAT(pixels.shape(), ElementsAre(2, 5));
  EXPECT_THAT(pixels.elements<std::uint16_t>(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST(dectris_v2, reads_the_worked_example) {
  ASSERT_EQ(image_example.size(), 213u);
  auto data = message({image_example});
  auto packet = read(data);
  EXPECT_FALSE(packet.fault);
  EXPECT_EQ(packet.data, data);
  EXPECT_EQ(packet.data.frames()[0].data(), data.frames()[0].data());
  EXPECT_EQ(packet.numbers.kind, entry_kind::data);
  EXPECT_EQ(packet.numbers.number, 3u);
  EXPECT_EQ(packet.numbers.series, 7u);
  EXPECT_FALSE(packet.numbers.message_number);
  EXPECT_FALSE(packet.numbers.count);
  auto image = parse_dectris_v2_image(data);
  ASSERT_TRUE(image);
  expect_example(*image);
  EXPECT_EQ(image->channels[0].data.blob.data(), data.frames()[0].data() + 213 - 38);
  EXPECT_FALSE(parse_dectris_v2_start(data));
  EXPECT_FALSE(parse_dectris_v2_end(data));
}

TEST(dectris_v2, writes_the_worked_example) {
  auto data = message({image_example});
  auto image = parse_dectris_v2_image(data);
  ASSERT_TRUE(image);
  std::vector<std::byte> out;
  write_dectris_v2_image(out, *image, dectris_v2_tag::none);
  EXPECT_EQ(text_of(out), image_example);
  write_dectris_v2_image(out, *image);
  EXPECT_EQ(text_of(out), hex("d9d9f7") + image_example);
  auto data_again = message(out);
  auto again = parse_dectris_v2_image(data_again);
  ASSERT_TRUE(again);
  expect_example(*again);
}

value_map full_metadata() {
  return {{"arm_date", "2024-03-12T15:29:57+01:00"},
          {"beam_center_x", 10.5},
          {"channels", value_list{"threshold_1", "threshold_difference"}},
          {"count_time", 0.5},
          {"detector_translation", value_list{0.0, 0.0, -0.2}},
          {"goniometer", value_map{{"omega", value_map{{"increment", 0.1}, {"start", 0}}}}},
          {"image_dtype", "uint32"},
          {"image_size_x", 3},
          {"image_size_y", 2},
          {"number_of_images", 1000},
          {"threshold_energy", value_map{{"threshold_1", 4000.0}}},
          {"user_data", "{\"a\":1}"},
          {"virtual_pixel_interpolation_enabled", false}};
}

TEST(dectris_v2, reads_a_start_that_it_wrote) {
  const std::vector<float> factors = {1, 1.5, 2, 2.5, 3, 3.5};
  const std::vector<std::uint32_t> mask = {0, 1, 0, 2, 0, 4}, rates = {0, 1, 3};
  dectris_v2_start start{.series = 9, .unique_id = "id", .metadata = full_metadata()};
  start.flatfield = {
      {"threshold_1", {.type = dtype::float32, .shape = {2, 3}, .blob = std::as_bytes(std::span(factors))}}};
  start.pixel_mask = {
      {"threshold_1", {.type = dtype::uint32, .shape = {2, 3}, .blob = std::as_bytes(std::span(mask))}},
      {"other", {.type = dtype::uint32, .shape = {3, 2}, .blob = std::as_bytes(std::span(mask))}}};
  start.countrate_table = {.type = dtype::uint32, .shape = {3}, .blob = std::as_bytes(std::span(rates))};
  std::vector<std::byte> out;
  write_dectris_v2_start(out, start);
  EXPECT_EQ(text_of(out).substr(0, 3), hex("d9d9f7"));
  auto data = message(out);
  auto packet = read(data);
  EXPECT_FALSE(packet.fault);
  EXPECT_EQ(packet.numbers.kind, entry_kind::start);
  EXPECT_EQ(packet.numbers.series, 9u);
  EXPECT_EQ(packet.numbers.count, 1000u);
  EXPECT_FALSE(packet.numbers.number);
  EXPECT_EQ(dectris_v2_kind(data), entry_kind::start);
  auto found = parse_dectris_v2_start(data);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->series, 9u);
  EXPECT_EQ(found->unique_id, "id");
  EXPECT_EQ(found->number_of_images, 1000u);
  EXPECT_EQ(found->image_size_x, 3u);
  EXPECT_EQ(found->image_size_y, 2u);
  EXPECT_THAT(found->channels, ElementsAre("threshold_1", "threshold_difference"));
  EXPECT_EQ(found->metadata, full_metadata());
  ASSERT_EQ(found->flatfield.size(), 1u);
  EXPECT_EQ(found->flatfield[0].name, "threshold_1");
  EXPECT_EQ(elements_of(found->flatfield[0].data), array::of(std::span<const float>(factors), {2, 3}));
  EXPECT_EQ(found->flatfield[0].data.plain()->at<float>(5), 3.5F);
  ASSERT_EQ(found->pixel_mask.size(), 2u);
  EXPECT_EQ(elements_of(found->pixel_mask[1].data), array::of(std::span<const std::uint32_t>(mask), {3, 2}));
  ASSERT_TRUE(found->countrate_table);
  EXPECT_EQ(elements_of(*found->countrate_table), array::of(rates));
}

TEST(dectris_v2, asks_a_start_and_an_end_for_little) {
  auto start = message({hex("a2") + pair("type", text("start")) + pair("series_id", hex("05"))});
  auto packet = read(start);
  EXPECT_FALSE(packet.fault);
  EXPECT_EQ(packet.numbers.kind, entry_kind::start);
  EXPECT_EQ(packet.numbers.series, 5u);
  EXPECT_FALSE(packet.numbers.count);
  auto found = parse_dectris_v2_start(start);
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->number_of_images);
  EXPECT_FALSE(found->countrate_table);
  EXPECT_TRUE(found->metadata.empty());
  auto end = message({hex("a2") + pair("series_id", hex("05")) + pair("type", text("end"))});
  EXPECT_FALSE(read(end).fault);
  EXPECT_EQ(read(end).numbers.kind, entry_kind::end);
  EXPECT_EQ(read(end).numbers.series, 5u);
  EXPECT_EQ(parse_dectris_v2_end(end)->series, 5u);
  std::vector<std::byte> out;
  write_dectris_v2_end(out, {.series = 5, .unique_id = "x", .metadata = {{"sent_ns", 12}}});
  auto again = parse_dectris_v2_end(message(out));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->unique_id, "x");
  EXPECT_EQ(again->metadata, (value_map{{"sent_ns", 12}}));
  // A series that is missing or of no use is no reason to lose an entry at ingress.
  auto bare = message({hex("a1") + pair("type", text("end"))});
  EXPECT_FALSE(read(bare).fault);
  EXPECT_FALSE(read(bare).numbers.series);
  EXPECT_FALSE(parse_dectris_v2_end(bare));
  auto odd = message({hex("a2") + pair("type", text("start")) + pair("series_id", text("5"))});
  EXPECT_FALSE(read(odd).fault);
  EXPECT_FALSE(parse_dectris_v2_start(odd));
}

TEST(dectris_v2, takes_any_order_and_form) {
  auto backwards = "\xbf"s + pair("extra", hex("9f 01 bf 6161 5f 41 00 ff ff ff")) +
                   pair("data", hex("bf 7f 6161 6162 ff") + an_array + hex("ff")) + hex("01 02") +
                   pair("image_id", hex("1b 00000000 00000003")) + hex("7f 66") + "series" + hex("63") +
                   "_id" + hex("ff 18 07") +
                   pair("type", hex("7f 62") + "im" + hex("63") + "age" + hex("ff")) + "\xff";
  for (auto tags : {"", "d9d9f7", "d9d9f7 d9d9f7"}) {
    auto data = message({hex(tags) + backwards});
    auto packet = read(data);
    EXPECT_FALSE(packet.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbers.number, 3u);
    EXPECT_EQ(packet.numbers.series, 7u);
    auto image = parse_dectris_v2_image(data);
    ASSERT_TRUE(image);
    ASSERT_EQ(image->channels.size(), 1u);
    EXPECT_EQ(image->channels[0].name, "ab");
    EXPECT_THAT(elements_of(image->channels[0].data).elements<std::uint16_t>(), ElementsAre(1, 2));
    auto extra = image->metadata.find("extra");
    ASSERT_TRUE(extra);
    EXPECT_EQ(extra->as_list()->size(), 2u);
  }
}

TEST(dectris_v2, keeps_what_has_an_unusual_form_as_metadata) {
  auto data = message({image_with(
      an_array, pair("real_time", hex("01")) + pair("start_time", hex("82 20 01")) +
                    pair("series_date", hex("02")) + pair("stop_time", hex("81 01")) +
                    pair("series_unique_id", hex("03")) + pair("user_data", hex("a1 6161 82 01 f6")))});
  EXPECT_FALSE(read(data).fault);
  auto image = parse_dectris_v2_image(data);
  ASSERT_TRUE(image);
  EXPECT_FALSE(image->real_time);
  EXPECT_EQ(image->metadata, (value_map{{"real_time", 1},
                                        {"start_time", value_list{-1, 1}},
                                        {"series_date", 2},
                                        {"stop_time", value_list{1}},
                                        {"series_unique_id", 3}}));
  EXPECT_EQ(image->user_data, value(value_map{{"a", value_list{1, value()}}}));
}

TEST(dectris_v2, reads_every_form_of_array) {
  const std::pair<const char*, std::vector<double>> cases[] = {
      {"d828 82 82 01 02 d841 44 0001 0002", {1, 2}},
      {"d828 82 81 02 d840 42 0102", {1, 2}},
      {"d828 82 82 01 02 d844 42 0102", {1, 2}},
      {"d828 9f 9f 01 02 ff d846 5f 43 010000 45 0002000000 ff ff", {1, 2}},
      {"d846 48 01000000 02000000", {1, 2}},
      {"d855 44 0000803f", {1}},
      {"d852 48 4000000000000000", {2}},
      {"d849 44 fffe 0001", {-2, 1}},
      {"d828 82 83 01 02 01 d848 42 fe01", {-2, 1}},
      {"d828 82 82 00 05 d845 40", {}},
  };
  for (auto& [digits, expected] : cases) {
    auto data = message({image_with(hex(digits))});
    auto image = parse_dectris_v2_image(data);
    ASSERT_TRUE(image) << digits;
    auto pixels = elements_of(image->channels[0].data);
    std::vector<double> found;
    visit_dtype(pixels.type(), [&]<class T>(T) {
      for (T x : pixels.elements<T>()) found.push_back(static_cast<double>(x));
    });
    EXPECT_EQ(found, expected) << digits;
  }
}

TEST(dectris_v2, decodes_no_array_that_it_cannot_read) {
  const char* cases[] = {
      "01",                                                                // none at all
      "42 0102",                                                           // no type
      "d850 42 0000",                                                      // 16 bits of floating-point
      "d857 50 00000000000000000000000000000000",                          // 128 bits
      "d84c 42 0000",                                                      // reserved
      "d9 0410 82 82 01 02 d845 44 0100 0200",                             // column-major
      "d828 82 82 01 02 d845 43 010002",                                   // too short
      "d828 82 82 01 02 d845 46 010002000300",                             // too long
      "d828 82 82 01 02 d845 82 01 02",                                    // a list
      "d828 82 82 01 21 d845 44 01000200",                                 // no number
      "d828 82 01 d845 44 01000200",                                       // no shape
      "d828 81 82 01 02",                                                  // no elements
      "d828 83 82 01 02 d845 44 01000200 00",                              // something more
      "d828 82 82 1bffffffffffffffff 1bffffffffffffffff d845 44 01000200", // product out of range
      "d828 82 82 1b0000000100000000 1b0000000100000000 d845 40",          // product 0, modulo 2^64
      "d828 82 82 1901ff 1901ff d845 d9dcb4 83 63 6c7a34 00 4c 000000000000000000000000", // too much
                                                                                          // announced
      "d845 d9dcb4 83 65 62736c7a34 02 4b 0000000000000000000000",                        // no header
      "d845 d9dcb4 83 65 62736c7a34 02 4c ffffffffffffffff00000000", // too much announced
      "d845 d9dcb4 82 65 62736c7a34 02",                             // no bytes
      "d845 d9dcb4 83 65 62736c7a34 20 4c 000000000000000000000000", // no size
      "d845 d9dcb5 44 01000200",                                     // unknown tag
  };
  for (auto digits : cases) {
    auto data = message({image_with(hex(digits))});
    EXPECT_FALSE(read(data).fault) << digits;
    EXPECT_FALSE(parse_dectris_v2_image(data)) << digits;
  }
  // Announced numbers of dimensions and channels.
  std::string deep = hex("d828 82 98 21");
  for (int i = 0; i < 33; ++i) deep += '\1';
  EXPECT_FALSE(parse_dectris_v2_image(message({image_with(deep + hex("d840 41 00"))})));
}

TEST(dectris_v2, names_a_compression_that_it_does_not_know) {
  auto data = message({image_with(hex("d828 82 82 01 02 d845 d9dcb4 83 64") + "zstd" + hex("00 43 010203"))});
  auto image = parse_dectris_v2_image(data);
  ASSERT_TRUE(image);
  EXPECT_FALSE(image->channels[0].data.compression);
  try {
    elements_of(image->channels[0].data);
    ADD_FAILURE() << "decompresses anything";
  } catch (const corrupt_blob& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("zstd"));
  }
  for (auto size : {"00", "03", "1bffffffffffffffff"}) {
    auto odd = message(
        {image_with(hex("d828 82 82 02 05 d845 d9dcb4 83 65 62736c7a34") + hex(size) + hex("58 26") + blob)});
    EXPECT_THROW(elements_of(parse_dectris_v2_image(odd)->channels[0].data), corrupt_blob) << size;
  }
  // A blob that announces something else than the shape.
  auto other = message({image_with(hex("d828 82 82 02 04 d845 d9dcb4 83 65 62736c7a34 02 58 26") + blob)});
  EXPECT_THROW(elements_of(parse_dectris_v2_image(other)->channels[0].data), corrupt_blob);
}

TEST(dectris_v2, takes_the_length_of_a_compressed_list_from_its_header) {
  auto data = message({image_with(hex("d845 d9dcb4 83 65 62736c7a34 02 58 26") + blob)});
  auto image = parse_dectris_v2_image(data);
  ASSERT_TRUE(image);
  EXPECT_THAT(image->channels[0].data.shape, ElementsAre(10));
  EXPECT_EQ(elements_of(image->channels[0].data).elements<std::uint16_t>()[9], 10);
}

TEST(dectris_v2, names_what_is_cut_off) {
  auto whole = hex("d9d9f7") + image_example;
  auto number_known = whole.find("image_id") + 9;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto data = message({whole.substr(0, size)});
    auto packet = read(data);
    ASSERT_EQ(packet.fault, packet_fault::truncated) << size;
    EXPECT_FALSE(packet.data);
    EXPECT_EQ(packet.numbered, size >= number_known) << size;
    EXPECT_EQ(packet.numbers.number.has_value(), packet.numbered) << size;
    if (packet.numbered) {
      EXPECT_EQ(packet.numbers.number, 3u);
      EXPECT_EQ(packet.numbers.series, 7u);
    }
    EXPECT_FALSE(parse_dectris_v2_image(data));
  }
  // A start that lost its tables still begins a series.
  auto start = hex("a3") + pair("type", text("start")) + pair("series_id", hex("05")) +
               pair("flatfield", hex("d855 5a 7fffffff 00"));
  auto packet = read(message({start}));
  EXPECT_EQ(packet.fault, packet_fault::truncated);
  EXPECT_TRUE(packet.numbered);
  EXPECT_EQ(packet.numbers.kind, entry_kind::start);
  EXPECT_EQ(packet.numbers.series, 5u);
}

TEST(dectris_v2, says_why_it_refuses) {
  using enum packet_fault;
  auto type = pair("type", text("image")), id = pair("image_id", hex("03")), series = pair("series_id", "\7");
  auto data = pair("data", hex("a0"));
  std::string deep(100, '\x81');
  std::string many("\x9b\0\0\0\0\x7f\xff\xff\xff", 9);
  many.append(2'000'000, '\0');
  struct {
    std::string item;
    packet_fault fault;
    bool numbered;
  } cases[] = {
      {"", truncated, false},
      {hex("a3") + type + id + series + data, corrupt, true}, // a key more than announced
      {hex("a4") + type + id + series + data + hex("00"), corrupt, true},
      {hex("a5") + type + id + series + data + hex("01"), truncated, true},
      {hex("a4") + type + id + series + pair("x", hex("1c")), corrupt, true},
      {hex("a4") + type + pair("x", hex("ff")) + id + series, corrupt, false},
      {hex("bf") + type + id + pair("x", hex("ff")), corrupt, true},
      {hex("a4") + type + id + series + pair("x", deep + "\1"), oversized, true},
      {hex("a4") + type + id + series + pair("x", many), oversized, true},
      {hex("a4") + pair("x", deep + "\1") + type + id + series, oversized, false},
      {hex("bb ffffffffffffffff") + type + id, oversized, false},
      {hex("a3") + type + id + series, unknown, true}, // no data
      {hex("a4") + type + id + series + pair("data", hex("80")), unknown, true},
      {hex("a3") + type + series + data, unknown, false},
      {hex("a4") + type + pair("image_id", hex("20")) + series + data, unknown, false},
      {hex("a4") + type + pair("image_id", hex("fa40400000")) + series + data, unknown, false},
      {hex("a4") + type + pair("image_id", text("3")) + series + data, unknown, false},
      {hex("a3") + id + series + data, unknown, false},
      {hex("a4") + pair("type", text("imagine")) + id + series + data, unknown, false},
      {hex("a4") + pair("type", hex("01")) + id + series + data, unknown, false},
      {hex("a4") + pair("type", hex("45") + "image") + id + series + data, unknown, false},
      {hex("a0"), unknown, false},
      {hex("80"), unknown, false},
      {hex("01"), unknown, false},
      {hex("c1 a0"), unknown, false},
      {hex("d9d9f7 01"), unknown, false},
      {"{\"htype\":\"header\"}", truncated, false},
      {hex("ff"), unknown, false},
      {hex("1c"), corrupt, false},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(testing::PrintToString(c.item.substr(0, 80)));
    auto packet = read(message({c.item}));
    ASSERT_TRUE(packet.fault);
    EXPECT_EQ(*packet.fault, c.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbered, c.numbered);
    EXPECT_FALSE(packet.data);
    EXPECT_EQ(packet.numbers.number, c.numbered ? std::optional(std::uint64_t{3}) : std::nullopt);
    EXPECT_FALSE(dectris_v2_kind(message({c.item})));
  }
  EXPECT_EQ(read(stream_data()).fault, truncated);
  EXPECT_FALSE(read(stream_data()).numbered);
  auto two = read(message({image_example, "more"}));
  EXPECT_EQ(two.fault, oversized);
  EXPECT_TRUE(two.numbered);
  EXPECT_EQ(two.numbers.number, 3u);
}

TEST(dectris_v2, leaves_out_metadata_beyond_the_limits) {
  std::string many = "\xbf";
  for (std::uint64_t i = 0; i <= cbor::key_limit; ++i) many += pair(std::to_string(i), hex("00"));
  auto data = message({image_with(an_array, pair("many", many + "\xff") + pair("user_data", hex("01")))});
  EXPECT_FALSE(read(data).fault);
  auto image = parse_dectris_v2_image(data);
  ASSERT_TRUE(image);
  EXPECT_TRUE(image->metadata.empty());
  EXPECT_EQ(image->user_data, value(1));
}

TEST(dectris_v2, outlives_mutated_messages) {
  std::mt19937 random(11);
  std::vector<std::byte> out;
  dectris_v2_start start{.series = 9, .unique_id = "id", .metadata = full_metadata()};
  const std::vector<float> factors(6, 1.0F);
  start.flatfield = {
      {"a", {.type = dtype::float32, .shape = {6}, .blob = std::as_bytes(std::span(factors))}}};
  write_dectris_v2_start(out, start);
  const std::string seeds[] = {image_example, image_with(an_array), text_of(out)};
  auto reader = make_dectris_v2();
  std::size_t good = 0;
  for (int i = 0; i < 40'000; ++i) {
    auto item = seeds[random() % std::size(seeds)];
    for (auto n = 1 + random() % 4; n > 0 && !item.empty(); --n) {
      auto at = random() % item.size();
      switch (random() % 4) {
      case 0:
        item[at] = static_cast<char>(random());
        break;
      case 1:
        item.insert(at, 1, static_cast<char>(random()));
        break;
      case 2:
        item.erase(at, 1 + random() % 8);
        break;
      default:
        item[at] = static_cast<char>(item[at] ^ 1 << random() % 8);
      }
    }
    auto data = message({item});
    std::vector<stream_packet> packets;
    reader->read(data, packets);
    ASSERT_EQ(packets.size(), 1u);
    ASSERT_NE(packets[0].fault.has_value(), static_cast<bool>(packets[0].data));
    ASSERT_EQ(packets[0].fault.has_value(), !dectris_v2_kind(data));
    good += !packets[0].fault;
    parse_dectris_v2_start(data);
    parse_dectris_v2_end(data);
    auto image = parse_dectris_v2_image(data);
    if (!image) continue;
    for (auto& channel : image->channels) {
      try {
        elements_of(channel.data);
      } catch (const corrupt_blob&) {
      }
    }
  }
  EXPECT_GT(good, 1000u);
}

TEST(dectris_v2, takes_no_options) {
  EXPECT_THROW(make_dectris_v2({{"part", "0"}}), std::runtime_error);
  EXPECT_EQ(make_dectris_v2()->name(), "dectris_v2");
  EXPECT_EQ(make_dectris_v2()->type_tag(), "DECTRIS_V2");
  EXPECT_TRUE(make_dectris_v2()->numbered());
}

} // namespace
} // namespace dtranspose
