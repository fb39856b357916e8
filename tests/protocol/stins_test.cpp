#include "protocol/stins.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;

stream_data message(std::initializer_list<std::string_view> parts) {
  return memory_frames::of(stins_type_tag, parts);
}

stream_packet read(stream_data data) {
  std::vector<stream_packet> packets;
  make_stins()->read(std::move(data), packets);
  EXPECT_EQ(packets.size(), 1u);
  return packets.at(0);
}

const std::string_view header_a = R"({"htype":"header","filename":"a.h5","msg_number":0})";
const std::string_view image_b =
    R"({"htype":"image","frame":0,"shape":[2,3],"type":"uint16","compression":"none","msg_number":1})";
const std::string_view end_c = R"({"htype":"series_end","msg_number":2})";
const std::string_view pixels_b("\0\0\0\0\4\0\1\0\2\0\0\0", 12);

std::string image_text(std::string_view shape, std::string_view type = R"("uint8")",
                       std::string_view compression = R"("none")") {
  return R"({"htype":"image","msg_number":8,"frame":7,"shape":)" + std::string(shape) + R"(,"type":)" +
         std::string(type) + R"(,"compression":)" + std::string(compression) + "}";
}

TEST(stins, reads_the_worked_example) {
  auto a = read(message({header_a}));
  EXPECT_FALSE(a.fault);
  EXPECT_EQ(a.numbers.kind, entry_kind::start);
  EXPECT_EQ(a.numbers.message_number, 0u);
  EXPECT_EQ(a.numbers.number, std::nullopt);
  auto b = read(message({image_b, pixels_b}));
  EXPECT_FALSE(b.fault);
  EXPECT_EQ(b.numbers.kind, entry_kind::data);
  EXPECT_EQ(b.numbers.message_number, 1u);
  EXPECT_EQ(b.numbers.number, 0u);
  auto c = read(message({end_c}));
  EXPECT_FALSE(c.fault);
  EXPECT_EQ(c.numbers.kind, entry_kind::end);
  EXPECT_EQ(c.numbers.message_number, 2u);
  EXPECT_EQ(c.numbers.count, std::nullopt);
}

TEST(stins, writes_the_worked_example) {
  std::string text;
  write_stins_header(text, 0, "a.h5");
  EXPECT_EQ(text, header_a);
  const std::size_t shape[] = {2, 3};
  write_stins_image(text, 1, {.frame = 0, .shape = shape, .type = "uint16"});
  EXPECT_EQ(text, image_b);
  write_stins_end(text, 2);
  EXPECT_EQ(text, end_c);
}

TEST(stins, passes_the_very_bytes_on) {
  auto data = message({image_b, pixels_b});
  auto packet = read(data);
  EXPECT_EQ(packet.data.frames().data(), data.frames().data());
  EXPECT_EQ(packet.data.type(), "STINS");
}

TEST(stins, views_an_image_where_it_lies) {
  auto data = message({image_b, pixels_b});
  auto image = parse_stins_image(data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->frame, 0u);
  EXPECT_THAT(image->shape, ElementsAre(2, 3));
  EXPECT_EQ(image->type, dtype::uint16);
  EXPECT_EQ(image->compression, stins_compression::none);
  EXPECT_EQ(image->pixels.data(), data.frames()[1].data());
  EXPECT_EQ(image->pixels.size(), 12u);
}

TEST(stins, tells_kinds) {
  EXPECT_EQ(stins_kind(message({header_a, R"({"energy":1})"})), entry_kind::start);
  EXPECT_EQ(stins_kind(message({image_b, pixels_b})), entry_kind::data);
  EXPECT_EQ(stins_kind(message({end_c, "more"})), entry_kind::end);
  EXPECT_EQ(stins_kind(message({"{}"})), std::nullopt);
  EXPECT_FALSE(parse_stins_image(message({header_a})));
  EXPECT_FALSE(parse_stins_image(message({end_c})));
  EXPECT_FALSE(parse_stins_image({}));
}

struct tolerated {
  const char* what;
  std::string text;
  std::size_t blob;
};

TEST(stins, is_tolerant_where_it_can_be) {
  const tolerated cases[] = {
      {"spaces", R"( { "htype" : "image" , "msg_number" : 1, "frame": 7,
                "shape": [ 2, 3 ], "type": "uint16", "compression": "none" } )",
       12},
      {"another order",
       R"({"compression":"none","type":"uint16","shape":[2,3],"frame":7,"msg_number":1,"htype":"image"})",
       12},
      {"extra keys",
       R"({"exposure_time":0.1,"timestamps":{"a":"2024-01-01","b":[1,{"c":null}]},"discard":false,
                "htype":"image","frame":7,"shape":[2,3],"chunks":[1,2,3],"type":"uint16","compression":"none","msg_number":1})",
       12},
      {"an extra NaN",
       R"({"x":NaN,"htype":"image","frame":7,"shape":[2,3],"type":"uint16","compression":"none"})", 12},
      {"an escaped key",
       R"({"\u0066rame":7,"htype":"image","shape":[2,3],"type":"uint16","compression":"none"})", 12},
      {"no message number",
       R"({"htype":"image","frame":7,"shape":[2,3],"type":"uint16","compression":"none"})", 12},
      {"an odd message number",
       R"({"htype":"image","msg_number":"x","frame":7,"shape":[2,3],"type":"uint16","compression":"none"})",
       12},
      {"a scalar", image_text("[]"), 1},
      {"an empty image", image_text("[0,5]"), 0},
      {"an empty image of impossible width", image_text("[18446744073709551615,18446744073709551615,0]"), 0},
      {"32 dimensions", image_text("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), 1},
      {"an element type of others", image_text("[2,3]", R"("complex128")"), 5},
      {"bslz4 of any length", image_text("[2,3]", R"("uint16")", R"("bslz4")"), 3},
      {"a compression of others", image_text("[2,3]", R"("uint16")", R"("zstd")"), 3},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    auto packet = read(message({c.text, std::string(c.blob, 'x')}));
    EXPECT_FALSE(packet.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbers.number, 7u);
    EXPECT_EQ(packet.data.frames().size(), 2u);
  }
}

struct refused {
  std::string text;
  std::vector<std::size_t> blobs;
  packet_fault fault;
  bool numbered;
};

stream_data with_blobs(std::string_view text, const std::vector<std::size_t>& blobs) {
  std::vector<std::vector<std::byte>> parts(1);
  for (char c : text) parts[0].push_back(static_cast<std::byte>(c));
  for (auto size : blobs) parts.emplace_back(size);
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), stins_type_tag);
}

TEST(stins, refuses_hostile_headers) {
  using enum packet_fault;
  const std::string deep(5000, '['), long_text(json_header_limit + 1, ' ');
  const refused cases[] = {
      {"", {}, not_json, false},
      {"   ", {}, not_json, false},
      {"[1,2]", {}, not_json, false},
      {"7", {}, not_json, false},
      {"\"header\"", {}, not_json, false},
      {"{", {}, not_json, false},
      {R"({"htype")", {}, not_json, false},
      {R"({"htype":)", {}, not_json, false},
      {R"({"htype":"header")", {}, not_json, false},
      {R"({"htype":"header","a":)" + deep, {}, not_json, false},
      {R"({"htype":"header"}{"htype":"header"})", {}, not_json, false},
      {R"({"htype":"header"} x)", {}, not_json, false},
      {"\xff\xfe{\"htype\":\"header\"}", {}, not_json, false},
      {std::string("\0\0\0", 3), {}, not_json, false},
      {long_text, {}, oversized, false},
      {"{}", {}, unknown, false},
      {R"({"htype":7})", {}, unknown, false},
      {R"({"htype":null})", {}, unknown, false},
      {R"({"htype":"dimage-1.0","frame":7})", {4}, unknown, false},
      {R"({"htype":"image","shape":[1],"type":"uint8","compression":"none"})", {1}, unknown, false},
      {R"({"htype":"image","frame":-1,"shape":[1],"type":"uint8","compression":"none"})",
       {1},
       unknown,
       false},
      {R"({"htype":"image","frame":1.5,"shape":[1],"type":"uint8","compression":"none"})",
       {1},
       unknown,
       false},
      {R"({"htype":"image","frame":"7","shape":[1],"type":"uint8","compression":"none"})",
       {1},
       unknown,
       false},
      {R"({"htype":"image","frame":18446744073709551616,"shape":[1],"type":"uint8","compression":"none"})",
       {1},
       unknown,
       false},
      {R"({"htype":"image","frame":7,"type":"uint8","compression":"none"})", {1}, unknown, true},
      {R"({"htype":"image","frame":7,"shape":[1],"compression":"none"})", {1}, unknown, true},
      {R"({"htype":"image","frame":7,"shape":[1],"type":"uint8"})", {1}, unknown, true},
      {image_text("3"), {3}, unknown, true},
      {image_text("[-1,3]"), {3}, unknown, true},
      {image_text("[1.5]"), {1}, unknown, true},
      {image_text("[[2,3]]"), {6}, unknown, true},
      {image_text("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), {1}, unknown, true},
      {image_text("[2,3]", "8"), {6}, unknown, true},
      {image_text("[2,3]", R"("uint8")", "null"), {6}, unknown, true},
      {image_text("[2,3]"), {}, truncated, true},
      {image_text("[2,3]"), {5}, truncated, true},
      {image_text("[2,3]"), {7}, oversized, true},
      {image_text("[2,3]"), {0}, truncated, true},
      {image_text("[4294967296,4294967296]"), {0}, truncated, true},
      {image_text("[18446744073709551615,2]", R"("float64")"), {8}, truncated, true},
      {image_text("[3,2]"), {2, 2}, truncated, true},
      {image_text("[3,2]"), {2, 2, 2, 2}, oversized, true},
      {image_text("[3,2]"), {2, 1, 2}, truncated, true},
      {image_text("[3,2]"), {2, 2, 3}, oversized, true},
      {image_text("[]"), {1, 1}, oversized, true},
      {image_text("[3,2]", R"("uint8")", R"("bslz4")"), {9, 9}, truncated, true},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.text.substr(0, 120));
    auto data = with_blobs(c.text, c.blobs);
    auto packet = read(data);
    ASSERT_TRUE(packet.fault);
    EXPECT_EQ(*packet.fault, c.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbered, c.numbered);
    EXPECT_FALSE(packet.data);
    EXPECT_EQ(packet.numbers.number, c.numbered ? std::optional(std::uint64_t{7}) : std::nullopt);
    EXPECT_FALSE(parse_stins_image(data));
  }
  EXPECT_EQ(read(with_blobs("", {})).fault, packet_fault::not_json);
  EXPECT_EQ(read(stream_data()).fault, packet_fault::truncated);
}

TEST(stins, takes_an_image_in_several_blobs) {
  auto data = with_blobs(image_text("[3,2]"), {2, 2, 2});
  EXPECT_FALSE(read(data).fault);
  auto image = parse_stins_image(data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->blobs.size(), 3u);
  EXPECT_TRUE(image->pixels.empty());
  auto one = with_blobs(image_text("[3,2]"), {6});
  EXPECT_FALSE(read(one).fault);
  EXPECT_EQ(parse_stins_image(one)->pixels.size(), 6u);
  EXPECT_FALSE(read(with_blobs(image_text("[2,2]", R"("uint8")", R"("bslz4")"), {31, 5})).fault);
}

TEST(stins, writes_further_keys) {
  std::string text;
  const std::size_t shape[] = {2, 3};
  write_stins_image(text, 1, {.frame = 0, .shape = shape, .extra = R"("chunks":[1,3],"spots":{"n":2})"}, 5);
  EXPECT_EQ(text, R"({"htype":"image","frame":0,"shape":[2,3],"type":"uint16","compression":"none",)"
                  R"("chunks":[1,3],"spots":{"n":2},"msg_number":1,"sent_ns":5})");
  auto keys = stins_keys(message({text, pixels_b}));
  EXPECT_EQ(keys.size(), 9u);
  EXPECT_EQ(keys.find("chunks")->as_list()->at(1).as_number(), 3);
  EXPECT_EQ(keys.find("spots")->find("n")->as_number(), 2);
  EXPECT_TRUE(stins_keys(message({"{}"})).empty());
  EXPECT_TRUE(stins_keys(message({image_b})).empty());
}

TEST(stins, decodes_starts) {
  auto a = parse_stins_header(message({header_a}));
  ASSERT_TRUE(a);
  EXPECT_EQ(a->message_number, 0u);
  EXPECT_EQ(a->filename, "a.h5");
  EXPECT_EQ(a->keys.size(), 3u);
  EXPECT_TRUE(a->metadata.empty());
  auto null =
      parse_stins_header(message({R"({"msg_number":-1,"x":[1],"filename":null,"htype":"header"})",
                                  R"({"scan":{"energy":[8041.0,"eV"],"big":18446744073709551615}})"}));
  ASSERT_TRUE(null);
  EXPECT_EQ(null->message_number, std::nullopt);
  EXPECT_EQ(null->filename, "");
  EXPECT_EQ(null->keys.find("x")->as_list()->size(), 1u);
  auto scan = null->metadata.find("scan");
  ASSERT_TRUE(scan);
  EXPECT_EQ(*scan->find("energy")->as_list()->at(1).as_text(), "eV");
  EXPECT_EQ(*scan->find("big"), value(std::uint64_t{18446744073709551615u}));
  for (auto part : {"", "[1]", "{\"a\":", "\xff"})
    EXPECT_TRUE(parse_stins_header(message({header_a, part}))->metadata.empty());
  EXPECT_FALSE(parse_stins_header(message({image_b, pixels_b})));
  EXPECT_FALSE(parse_stins_header(message({end_c})));
  EXPECT_FALSE(parse_stins_header({}));
}

TEST(stins, decodes_ends) {
  auto c = parse_stins_end(message({R"({"htype":"series_end","why":"stopped","msg_number":2})", "more"}));
  ASSERT_TRUE(c);
  EXPECT_EQ(c->message_number, 2u);
  EXPECT_EQ(*c->keys.find("why")->as_text(), "stopped");
  EXPECT_FALSE(parse_stins_end(message({header_a})));
  EXPECT_FALSE(parse_stins_end({}));
}

TEST(stins, passes_bslz4_through) {
  auto data = with_blobs(image_text("[2,3]", R"("uint16")", R"("bslz4")"), {31});
  auto image = parse_stins_image(data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->compression, stins_compression::bslz4);
  EXPECT_EQ(image->pixels.data(), data.frames()[1].data());
  EXPECT_EQ(image->pixels.size(), 31u);
}

TEST(stins, reads_what_it_writes) {
  std::mt19937_64 random(5);
  auto reader = make_stins();
  std::vector<stream_packet> packets;
  std::string text;
  for (int i = 0; i < 500; ++i) {
    auto type = static_cast<dtype>(random() % 10);
    std::vector<std::size_t> shape;
    for (auto n = random() % 4; n > 0; --n) shape.push_back(random() % 5);
    std::size_t bytes = size_of(type);
    for (auto n : shape) bytes *= n;
    auto frame = random(), number = random();
    write_stins_image(text, number, {frame, shape, name_of(type)}, static_cast<std::int64_t>(i));
    auto data = with_blobs(text, {bytes});
    reader->read(data, packets);
    auto& packet = packets.back();
    ASSERT_FALSE(packet.fault) << text;
    EXPECT_EQ(packet.numbers.number, frame);
    EXPECT_EQ(packet.numbers.message_number, number);
    auto image = parse_stins_image(data);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->shape, shape);
    EXPECT_EQ(image->type, type);
  }
  write_stins_header(text, 3, "a \"quoted\"\\\n\x01 na\u00efve name", 12);
  EXPECT_EQ(stins_kind(message({text})), entry_kind::start) << text;
  write_stins_end(text, 4, 12);
  EXPECT_EQ(stins_kind(message({text})), entry_kind::end) << text;
}

TEST(stins, outlives_mutated_headers) {
  std::mt19937 random(17);
  auto reader = make_stins();
  const std::string seeds[] = {std::string(header_a), std::string(image_b), std::string(end_c),
                               image_text("[3,2]")};
  const std::string_view spice = "{}[]\":,0123456789-.eE\\u \n\xff\x80tfn";
  for (int i = 0; i < 40'000; ++i) {
    auto text = seeds[random() % std::size(seeds)];
    for (auto n = 1 + random() % 4; n > 0 && !text.empty(); --n) {
      auto at = random() % text.size();
      switch (random() % 4) {
      case 0:
        text[at] = spice[random() % spice.size()];
        break;
      case 1:
        text.insert(at, 1, spice[random() % spice.size()]);
        break;
      case 2:
        text.erase(at, 1 + random() % 8);
        break;
      default:
        text.resize(at);
      }
    }
    std::vector<stream_packet> packets;
    auto data = with_blobs(text, {random() % 14});
    reader->read(data, packets);
    ASSERT_EQ(packets.size(), 1u);
    ASSERT_NE(packets[0].fault.has_value(), static_cast<bool>(packets[0].data)) << text;
    parse_stins_image(data);
  }
}

TEST(stins, is_found_by_name) {
  auto names = protocol_names();
  EXPECT_THAT(names, testing::Contains("stins"));
  for (auto name : names) {
    auto format = make_protocol(name);
    ASSERT_TRUE(format) << name;
    EXPECT_EQ(format->name(), name);
  }
  EXPECT_EQ(make_protocol("stins")->type_tag(), "STINS");
  EXPECT_FALSE(make_protocol("sting"));
  EXPECT_EQ(name_of(packet_fault::truncated), "truncated");
  EXPECT_EQ(name_of(packet_fault::unknown), "unknown");
}

} // namespace
} // namespace dtranspose
