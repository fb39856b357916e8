#include "protocol/eiger_v1.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;

using parts = std::vector<std::string>;

stream_data message(const parts& texts) {
  std::vector<std::vector<std::byte>> copies;
  for (auto& text : texts) {
    auto bytes = std::as_bytes(std::span(text));
    copies.emplace_back(bytes.begin(), bytes.end());
  }
  return stream_data(std::make_unique<memory_frames>(std::move(copies)), eiger_v1_type_tag);
}

stream_packet read(stream_data data) {
  std::vector<stream_packet> packets;
  make_eiger_v1()->read(std::move(data), packets);
  EXPECT_EQ(packets.size(), 1u);
  return packets.at(0);
}

stream_packet read(const parts& texts) { return read(message(texts)); }

const std::string header_a = R"({"htype":"dheader-1.0","series":6,"header_detail":"none"})";
const std::string image_b0 =
    R"({"htype":"dimage-1.0","series":6,"frame":0,"hash":"00000000000000000000000000000000"})";
const std::string image_b1 =
    R"({"htype":"dimage_d-1.0","shape":[5,2],"type":"uint16","encoding":"bs16-lz4<","size":38})";
const std::string image_b2 = "\0\0\0\0\0\0\0\x14\0\0\x20\0\0\0\0\x12\xf0\x01\x55\x66\x78\x80"s +
                             std::string(12, '\0') + "\x09\0\x0a\0"s;
const std::string image_b3 = R"({"htype":"dconfig-1.0","start_time":0,"stop_time":10,"real_time":10})";
const std::string end_c = R"({"htype":"dseries_end-1.0","series":6})";
const parts image_b = {image_b0, image_b1, image_b2, image_b3};

std::string blob_text(std::string_view shape, std::string_view type, std::string_view encoding,
                      std::string_view size) {
  return R"({"htype":"dimage_d-1.0","shape":)" + std::string(shape) + R"(,"type":)" + std::string(type) +
         R"(,"encoding":)" + std::string(encoding) + R"(,"size":)" + std::string(size) + "}";
}

TEST(eiger_v1, reads_the_worked_example) {
  auto a = read({header_a});
  EXPECT_FALSE(a.fault);
  EXPECT_EQ(a.numbers.kind, entry_kind::start);
  EXPECT_EQ(a.numbers.series, 6u);
  EXPECT_EQ(a.numbers.number, std::nullopt);
  EXPECT_EQ(a.numbers.message_number, std::nullopt);
  EXPECT_EQ(a.numbers.count, std::nullopt);
  ASSERT_EQ(image_b2.size(), 38u);
  auto b = read(image_b);
  EXPECT_FALSE(b.fault);
  EXPECT_EQ(b.numbers.kind, entry_kind::data);
  EXPECT_EQ(b.numbers.series, 6u);
  EXPECT_EQ(b.numbers.number, 0u);
  EXPECT_EQ(b.numbers.message_number, std::nullopt);
  EXPECT_FALSE(b.numbers.restarts);
  auto c = read({end_c});
  EXPECT_FALSE(c.fault);
  EXPECT_EQ(c.numbers.kind, entry_kind::end);
  EXPECT_EQ(c.numbers.series, 6u);
  EXPECT_EQ(c.numbers.count, std::nullopt);
}

TEST(eiger_v1, writes_the_worked_example) {
  std::string text;
  write_eiger_v1_header(text, 6, eiger_v1_detail::none);
  EXPECT_EQ(text, header_a);
  write_eiger_v1_image(text, 6, 0, std::string(32, '0'));
  EXPECT_EQ(text, image_b0);
  const std::size_t shape[] = {2, 5};
  write_eiger_v1_blob(text, shape, dtype::uint16, "bs16-lz4<", 38);
  EXPECT_EQ(text, image_b1);
  write_eiger_v1_times(text, 0, 10, 10);
  EXPECT_EQ(text, image_b3);
  write_eiger_v1_end(text, 6);
  EXPECT_EQ(text, end_c);
  const std::size_t frame_shape[] = {3262, 3108};
  write_eiger_v1_array(text, "dflatfield-1.0", frame_shape, dtype::float32);
  EXPECT_EQ(text, R"({"htype":"dflatfield-1.0","shape":[3108,3262],"type":"float32"})");
  write_eiger_v1_end(text, 7, 12);
  EXPECT_EQ(text, R"({"htype":"dseries_end-1.0","series":7,"sent_ns":12})");
}

TEST(eiger_v1, decodes_the_worked_example) {
  auto header = parse_eiger_v1_header(message({header_a}));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->series, 6u);
  EXPECT_EQ(header->detail, eiger_v1_detail::none);
  EXPECT_TRUE(header->config.empty());
  EXPECT_FALSE(header->flatfield || header->pixel_mask || header->countrate_table || header->appendix);
  auto data = message(image_b);
  auto image = parse_eiger_v1_image(data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->series, 6u);
  EXPECT_EQ(image->frame, 0u);
  EXPECT_EQ(image->hash, std::string(32, '0'));
  EXPECT_THAT(image->shape, ElementsAre(2, 5));
  EXPECT_EQ(image->type, dtype::uint16);
  EXPECT_EQ(image->encoding.how, codec::bslz4);
  EXPECT_EQ(image->encoding.element_size, 2u);
  EXPECT_EQ(image->blob.data(), data.frames()[2].data());
  EXPECT_EQ(image->blob.size(), 38u);
  EXPECT_EQ(image->start_time, 0u);
  EXPECT_EQ(image->stop_time, 10u);
  EXPECT_EQ(image->real_time, 10u);
  EXPECT_FALSE(image->appendix);
  std::vector<std::uint16_t> pixels(10);
  decompress(image->encoding.how, image->encoding.element_size, image->blob,
             std::as_writable_bytes(std::span(pixels)));
  EXPECT_THAT(pixels, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  auto end = parse_eiger_v1_end(message({end_c}));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->series, 6u);
  EXPECT_FALSE(end->appendix);
}

TEST(eiger_v1, passes_the_very_bytes_on) {
  auto data = message(image_b);
  auto packet = read(data);
  EXPECT_EQ(packet.data.frames().data(), data.frames().data());
  EXPECT_EQ(packet.data.type(), "EIGER_LEGACY");
}

TEST(eiger_v1, appendices_may_be_there) {
  auto start = message({header_a, "any text"});
  auto header = parse_eiger_v1_header(start);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->appendix, "any text");
  auto with = image_b;
  with.push_back("{}");
  auto image = message(with), end = message({end_c, "bye"});
  EXPECT_FALSE(read(image).fault);
  EXPECT_EQ(parse_eiger_v1_image(image)->appendix, "{}");
  EXPECT_FALSE(read(end).fault);
  EXPECT_EQ(parse_eiger_v1_end(end)->appendix, "bye");
}

TEST(eiger_v1, knows_encodings) {
  struct {
    const char* name;
    codec how;
    std::size_t size;
  } known[] = {
      {"<", codec::none, 1},          {"lz4<", codec::lz4_block, 1},  {"bs8-lz4<", codec::bslz4, 1},
      {"bs16-lz4<", codec::bslz4, 2}, {"bs32-lz4<", codec::bslz4, 4}, {"bs64-lz4<", codec::bslz4, 8},
  };
  for (auto& k : known) {
    auto found = find_eiger_v1_encoding(k.name);
    ASSERT_TRUE(found) << k.name;
    EXPECT_EQ(found->how, k.how) << k.name;
    EXPECT_EQ(found->element_size, k.size) << k.name;
  }
  for (auto name : {"", ">", "lz4", "lz4>", "bs16-lz4>", "bs16-lz4", "bs16<", "bs4-lz4<", "bs-lz4<", "-lz4<",
                    "bs016-lz4<", "zstd<", "BS16-LZ4<"})
    EXPECT_FALSE(find_eiger_v1_encoding(name)) << name;
}

/// The parts of a start that tells everything, of a detector of 3 rows of 2 pixels.
parts full_header() {
  return {
      R"({"htype":"dheader-1.0","series":9,"header_detail":"all","extra":[1]})",
      R"({"nimages":10,"ntrigger":3,"description":"E","nested":{"a":[1,null]}})",
      R"({"htype":"dflatfield-1.0","shape":[2,3],"type":"float32"})",
      std::string(24, 'f'),
      R"({"htype":"dpixelmask-1.0","shape":[2,3],"type":"uint32"})",
      std::string("\1\0\0\0", 4) + std::string(20, '\0'),
      R"({"htype":"dcountrate_table-1.0","shape":[2,4],"type":"float32"})",
      std::string(32, 'c'),
  };
}

TEST(eiger_v1, decodes_a_start_that_tells_everything) {
  auto texts = full_header();
  for (bool appendix : {false, true}) {
    if (appendix) texts.push_back("{\"a\":1}");
    auto data = message(texts);
    auto packet = read(data);
    EXPECT_FALSE(packet.fault);
    EXPECT_EQ(packet.numbers.kind, entry_kind::start);
    EXPECT_EQ(packet.numbers.series, 9u);
    EXPECT_EQ(packet.numbers.count, 30u);
    auto header = parse_eiger_v1_header(data);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->detail, eiger_v1_detail::all);
    EXPECT_EQ(header->config.find("description")->as_text()->c_str(), "E"s);
    EXPECT_EQ(header->config.find("nested")->find("a")->as_list()->size(), 2u);
    ASSERT_TRUE(header->flatfield && header->pixel_mask && header->countrate_table);
    EXPECT_THAT(header->flatfield->shape, ElementsAre(3, 2));
    EXPECT_EQ(header->flatfield->type, dtype::float32);
    EXPECT_EQ(header->flatfield->bytes.data(), data.frames()[3].data());
    EXPECT_THAT(header->pixel_mask->shape, ElementsAre(3, 2));
    EXPECT_EQ(header->pixel_mask->at<std::uint32_t>(0), 1u);
    EXPECT_EQ(header->pixel_mask->size(), 6u);
    EXPECT_THAT(header->countrate_table->shape, ElementsAre(4, 2));
    EXPECT_EQ(header->countrate_table->bytes.size(), 32u);
    EXPECT_EQ(header->appendix.has_value(), appendix);
    EXPECT_EQ(eiger_v1_keys(data).find("extra")->as_list()->size(), 1u);
  }
}

TEST(eiger_v1, takes_a_start_whatever_follows_part_0) {
  auto all = full_header();
  for (std::size_t n = 1; n <= all.size(); ++n) {
    parts some(all.begin(), all.begin() + static_cast<long>(n));
    EXPECT_FALSE(read(some).fault) << n;
    auto header = parse_eiger_v1_header(message(some));
    ASSERT_TRUE(header) << n;
    EXPECT_EQ(header->config.empty(), n < 2);
    EXPECT_EQ(header->flatfield.has_value(), n >= 4);
    EXPECT_EQ(header->pixel_mask.has_value(), n >= 6);
    EXPECT_EQ(header->countrate_table.has_value(), n >= 8);
  }
  auto cut = all;
  cut[3].resize(23);
  cut[5] += 'x';
  cut[1] = "{\"nimages\":";
  auto header = parse_eiger_v1_header(message(cut));
  EXPECT_FALSE(read(cut).fault);
  EXPECT_EQ(read(cut).numbers.count, std::nullopt);
  EXPECT_TRUE(header->config.empty());
  EXPECT_FALSE(header->flatfield || header->pixel_mask);
  EXPECT_TRUE(header->countrate_table);
  auto odd = all;
  odd[2] = "no JSON";
  EXPECT_FALSE(read(odd).fault);
  EXPECT_FALSE(parse_eiger_v1_header(message(odd))->countrate_table);
  odd = all;
  odd[4] = R"({"htype":"dpixelmask-1.0","shape":[4294967296,4294967296],"type":"uint32"})";
  EXPECT_FALSE(parse_eiger_v1_header(message(odd))->pixel_mask);
  odd[4] = R"({"htype":"dpixelmask-1.0","shape":"x","type":"uint32"})";
  EXPECT_FALSE(parse_eiger_v1_header(message(odd))->pixel_mask);
  odd[4] = R"({"htype":"dpixelmask-1.0","shape":[2,3],"type":"bits"})";
  EXPECT_FALSE(parse_eiger_v1_header(message(odd))->pixel_mask);
  EXPECT_TRUE(parse_eiger_v1_header(message(odd))->countrate_table);
  all.insert(all.end(), 20, "more");
  auto longer = message(all);
  EXPECT_FALSE(read(longer).fault);
  EXPECT_EQ(parse_eiger_v1_header(longer)->appendix, "more");
}

TEST(eiger_v1, announces_what_the_configuration_says) {
  struct {
    std::string config;
    std::optional<std::uint64_t> count;
  } cases[] = {
      {R"({"nimages":3,"ntrigger":1})", 3},
      {R"( { "ntrigger" : 4 , "x":{"nimages":9}, "nimages" : 3 } )", 12},
      {R"({"nimages":3,"ntrigger":0})", 3},
      {R"({"nimages":3})", 3},
      {R"({"nimages":18446744073709551615,"ntrigger":1})", 18446744073709551615u},
      {R"({"nimages":4294967296,"ntrigger":4294967296})", std::nullopt},
      {R"({"nimages":9223372036854775808,"ntrigger":2})", std::nullopt},
      {R"({"nimages":0,"ntrigger":5})", std::nullopt},
      {R"({"nimages":3,"ntrigger":-1})", std::nullopt},
      {R"({"nimages":3,"ntrigger":1.5})", std::nullopt},
      {R"({"nimages":"3","ntrigger":1})", std::nullopt},
      {R"({"ntrigger":5})", std::nullopt},
      {R"([3])", std::nullopt},
      {"", std::nullopt},
  };
  for (auto& c : cases)
    for (auto detail : {"basic", "all", "none"}) {
      auto part0 = R"({"htype":"dheader-1.0","series":6,"header_detail":")"s + detail + "\"}";
      auto packet = read({part0, c.config});
      EXPECT_FALSE(packet.fault);
      EXPECT_EQ(packet.numbers.count, detail == "none"s ? std::nullopt : c.count) << c.config << detail;
    }
}

TEST(eiger_v1, is_tolerant_where_it_can_be) {
  struct {
    const char* what;
    parts texts;
  } cases[] = {
      {"spaces, another order, extra keys",
       {R"( { "x" : {"y":[1,{}]} , "frame" : 7 , "series" : 6 , "htype" : "dimage-1.0" } )",
        R"( {"size":12,"encoding":"<","z":null,"type":"uint16","shape":[ 3 , 2 ],"htype":"dimage_d-1.0"} )",
        std::string(12, 'x'), image_b3}},
      {"no hash, no size, no times",
       {R"({"htype":"dimage-1.0","series":6,"frame":7})",
        R"({"htype":"dimage_d-1.0","shape":[3,2],"type":"uint16","encoding":"<"})", std::string(12, 'x'),
        ""}},
      {"3 axes",
       {R"({"htype":"dimage-1.0","series":6,"frame":7,"hash":3})",
        blob_text("[3,2,4]", R"("uint8")", R"("<")", "24"), std::string(24, 'x'), image_b3}},
      {"shuffled otherwise than its pixels",
       {R"({"htype":"dimage-1.0","series":6,"frame":7,"hash":""})",
        blob_text("[3,2]", R"("uint8")", R"("bs32-lz4<")", "5"), "xxxxx", image_b3}},
      {"an escaped key",
       {R"({"htype":"dimage-1.0","series":6,"\u0066rame":7})",
        blob_text("[3,2]", R"("uint8")", R"("lz4<")", "0"), "", image_b3}},
      {"impossible, but empty",
       {R"({"htype":"dimage-1.0","series":6,"frame":7})",
        blob_text("[18446744073709551615,18446744073709551615,0]", R"("uint8")", R"("<")", "0"), "",
        image_b3}},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    auto packet = read(c.texts);
    EXPECT_FALSE(packet.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbers.number, 7u);
    EXPECT_EQ(packet.numbers.series, 6u);
    auto image = parse_eiger_v1_image(message(c.texts));
    ASSERT_TRUE(image);
    EXPECT_EQ(image->frame, 7u);
  }
  EXPECT_THAT(parse_eiger_v1_image(message(cases[2].texts))->shape, ElementsAre(4, 2, 3));
  EXPECT_FALSE(parse_eiger_v1_image(message(cases[1].texts))->start_time);
  auto unnamed = read({R"({"htype":"dheader-1.0","series":"six","header_detail":7})"});
  EXPECT_FALSE(unnamed.fault);
  EXPECT_EQ(unnamed.numbers.series, std::nullopt);
  EXPECT_EQ(parse_eiger_v1_header(message({R"({"htype":"dheader-1.0"})"}))->detail, eiger_v1_detail::none);
  EXPECT_FALSE(read({R"({"htype":"dseries_end-1.0"})", "a", "b"}).fault);
}

TEST(eiger_v1, refuses_hostile_messages) {
  using enum packet_fault;
  const auto long_text = std::string(json_header_limit + 1, ' '), deep = std::string(5000, '[');
  const std::string part0 = R"({"htype":"dimage-1.0","series":6,"frame":7})";
  auto image = [&](std::string part1, std::size_t bytes) {
    return parts{part0, std::move(part1), std::string(bytes, 'x'), image_b3};
  };
  auto raw = blob_text("[3,2]", R"("uint16")", R"("<")", "12");
  struct {
    parts texts;
    packet_fault fault;
    bool numbered;
  } cases[] = {
      {{""}, not_json, false},
      {{"7"}, not_json, false},
      {{R"(["dheader-1.0"])"}, not_json, false},
      {{R"({"htype":"dheader-1.0","series":6)"}, not_json, false},
      {{R"({"htype":"dheader-1.0","series":6} x)"}, not_json, false},
      {{R"({"htype":"dheader-1.0","a":)" + deep}, not_json, false},
      {{"\xff\xfe" + header_a}, not_json, false},
      {{long_text}, oversized, false},
      {{"{}"}, unknown, false},
      {{R"({"htype":7})"}, unknown, false},
      {{R"({"htype":"header"})"}, unknown, false},
      {{R"({"htype":"dheader-2.0","series":6})"}, unknown, false},
      {{R"({"htype":"dimage-1.0","series":6})", raw, std::string(12, 'x'), image_b3}, unknown, false},
      {{R"({"htype":"dimage-1.0","series":6,"frame":-7})", raw, std::string(12, 'x'), image_b3},
       unknown,
       false},
      {{R"({"htype":"dimage-1.0","series":6,"frame":7.0})", raw, std::string(12, 'x'), image_b3},
       unknown,
       false},
      {{R"({"htype":"dimage-1.0","series":6,"frame":"7"})", raw, std::string(12, 'x'), image_b3},
       unknown,
       false},
      {{R"({"htype":"dimage-1.0","series":6,"frame":18446744073709551616})", raw, std::string(12, 'x'),
        image_b3},
       unknown,
       false},
      {{part0}, truncated, true},
      {{part0, raw}, truncated, true},
      {{part0, raw, std::string(12, 'x')}, truncated, true},
      {{part0, raw, std::string(12, 'x'), image_b3, "{}", "{}"}, oversized, true},
      {image("", 12), not_json, true},
      {image("[1]", 12), not_json, true},
      {image(raw + "x", 12), not_json, true},
      {image(long_text, 12), oversized, true},
      {image("{}", 12), unknown, true},
      {image(R"({"htype":"dimage_d-1.1","shape":[3,2],"type":"uint16","encoding":"<","size":12})", 12),
       unknown, true},
      {image(R"({"htype":"dimage_d-1.0","type":"uint16","encoding":"<","size":12})", 12), unknown, true},
      {image(R"({"htype":"dimage_d-1.0","shape":[3,2],"encoding":"<","size":12})", 12), unknown, true},
      {image(R"({"htype":"dimage_d-1.0","shape":[3,2],"type":"uint16","size":12})", 12), unknown, true},
      {image(blob_text("6", R"("uint16")", R"("<")", "12"), 12), unknown, true},
      {image(blob_text("[3,-2]", R"("uint16")", R"("<")", "12"), 12), unknown, true},
      {image(blob_text("[[3,2]]", R"("uint16")", R"("<")", "12"), 12), unknown, true},
      {image(blob_text("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", R"("uint8")",
                       R"("<")", "1"),
             1),
       unknown, true},
      {image(blob_text("[3,2]", "16", R"("<")", "12"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("complex64")", R"("<")", "12"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("uint16")", R"(">")", "12"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("bs16-lz4>")", "12"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("zstd<")", "12"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("uint16")", "null", "12"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("<")", R"("12")"), 12), unknown, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("<")", "-12"), 12), unknown, true},
      {image(raw, 11), corrupt, true},
      {image(raw, 13), corrupt, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("<")", "11"), 11), corrupt, true},
      {image(R"({"htype":"dimage_d-1.0","shape":[3,2],"type":"uint16","encoding":"<"})", 11), corrupt, true},
      {image(blob_text("[4294967296,4294967296]", R"("uint16")", R"("<")", "0"), 0), corrupt, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("bs16-lz4<")", "20"), 19), corrupt, true},
      {image(blob_text("[3,2]", R"("uint16")", R"("lz4<")", "18446744073709551615"), 20), corrupt, true},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.texts.size() < 2 ? c.texts[0].substr(0, 120) : c.texts[1].substr(0, 120));
    auto data = message(c.texts);
    auto packet = read(data);
    ASSERT_TRUE(packet.fault);
    EXPECT_EQ(*packet.fault, c.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbered, c.numbered);
    EXPECT_FALSE(packet.data);
    EXPECT_EQ(packet.numbers.number, c.numbered ? std::optional(std::uint64_t{7}) : std::nullopt);
    EXPECT_EQ(packet.numbers.series, c.numbered ? std::optional(std::uint64_t{6}) : std::nullopt);
    EXPECT_FALSE(parse_eiger_v1_header(data) || parse_eiger_v1_image(data) || parse_eiger_v1_end(data));
    EXPECT_TRUE(eiger_v1_keys(data).empty());
  }
  EXPECT_EQ(read(stream_data()).fault, packet_fault::truncated);
  EXPECT_FALSE(read(stream_data()).numbered);
}

TEST(eiger_v1, decoders_take_their_own_kind_only) {
  EXPECT_FALSE(parse_eiger_v1_header(message(image_b)));
  EXPECT_FALSE(parse_eiger_v1_header(message({end_c})));
  EXPECT_FALSE(parse_eiger_v1_image(message({header_a})));
  EXPECT_FALSE(parse_eiger_v1_end(message({header_a})));
  EXPECT_FALSE(parse_eiger_v1_image({}));
}

/// Every message cut short at every byte of every part is refused or, where what is cut does not matter,
/// taken.
TEST(eiger_v1, outlives_truncation) {
  for (std::size_t part = 0; part < image_b.size(); ++part)
    for (std::size_t size = 0; size < image_b[part].size(); ++size) {
      auto texts = image_b;
      texts[part].resize(size);
      auto packet = read(texts);
      EXPECT_EQ(packet.fault.has_value(), part < 3) << part << " " << size;
      EXPECT_EQ(parse_eiger_v1_image(message(texts)).has_value(), part == 3);
    }
  auto all = full_header();
  for (std::size_t part = 0; part < all.size(); ++part)
    for (std::size_t size = 0; size < all[part].size(); ++size) {
      auto texts = all;
      texts[part].resize(size);
      EXPECT_EQ(read(texts).fault.has_value(), part == 0);
      EXPECT_EQ(parse_eiger_v1_header(message(texts)).has_value(), part > 0);
    }
}

TEST(eiger_v1, outlives_mutations) {
  std::mt19937 random(23);
  auto reader = make_eiger_v1();
  const parts seeds[] = {{header_a}, image_b, {end_c, "{}"}, full_header()};
  const std::string_view spice = "{}[]\":,0123456789-.eE\\u \n\xff\x80tfn";
  std::size_t good = 0, bad = 0;
  for (int i = 0; i < 40'000; ++i) {
    auto texts = seeds[random() % std::size(seeds)];
    for (auto n = 1 + random() % 3; n > 0; --n) {
      auto& text = texts[random() % texts.size()];
      if (text.empty()) continue;
      auto at = random() % text.size();
      switch (random() % 5) {
      case 0:
        text[at] = spice[random() % spice.size()];
        break;
      case 1:
        text.insert(at, 1, spice[random() % spice.size()]);
        break;
      case 2:
        text.erase(at, 1 + random() % 8);
        break;
      case 3:
        std::swap(text, texts[random() % texts.size()]);
        break;
      default:
        text.resize(at);
      }
    }
    std::vector<stream_packet> packets;
    auto data = message(texts);
    reader->read(data, packets);
    ASSERT_EQ(packets.size(), 1u);
    ASSERT_NE(packets[0].fault.has_value(), static_cast<bool>(packets[0].data));
    auto decoded = parse_eiger_v1_header(data) || parse_eiger_v1_image(data) || parse_eiger_v1_end(data);
    ASSERT_NE(packets[0].fault.has_value(), decoded);
    ++(decoded ? good : bad);
  }
  EXPECT_GT(good, 1000u);
  EXPECT_GT(bad, 1000u);
}

TEST(eiger_v1, knows_no_options) {
  EXPECT_EQ(make_eiger_v1()->name(), "eiger_v1");
  EXPECT_EQ(make_eiger_v1()->type_tag(), "EIGER_LEGACY");
  EXPECT_TRUE(make_eiger_v1()->numbered());
  EXPECT_THROW(make_eiger_v1({{"series", "1"}}), std::runtime_error);
}

/// An EIGER2 9M, whose arrays were cut to 20,000 bytes by whoever recorded it.
TEST(eiger_v1, a_recording_of_a_detector) {
  auto path = test::find_recording("eiger-small.cbors");
  if (!path) GTEST_SKIP() << "no recordings here";
  capture_reader file(mapped_file::open(*path), eiger_v1_type_tag);
  auto reader = make_eiger_v1();
  std::vector<stream_packet> packets;
  std::vector<stream_data> messages;
  while (auto data = file.next()) {
    messages.push_back(*data);
    reader->read(std::move(*data), packets);
  }
  EXPECT_EQ(file.cut_off(), "");
  ASSERT_EQ(packets.size(), 5u);
  for (auto& packet : packets) EXPECT_EQ(packet.numbers.series, 6u);

  EXPECT_FALSE(packets[0].fault);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_EQ(packets[0].numbers.count, 3u);
  auto header = parse_eiger_v1_header(packets[0].data);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->detail, eiger_v1_detail::all);
  EXPECT_EQ(header->config.size(), 48u);
  EXPECT_EQ(*header->config.find("description")->as_text(), "Dectris EIGER2 CdTe 9M");
  EXPECT_EQ(*header->config.find("data_collection_date")->as_text(), "2024-03-12T15:29:58.142+01:00");
  EXPECT_EQ(header->config.find("x_pixels_in_detector")->as_number(), 3108);
  EXPECT_EQ(header->config.find("y_pixels_in_detector")->as_number(), 3262);
  EXPECT_EQ(header->config.find("wavelength")->as_number(), 1.5419002416764116);
  EXPECT_EQ(header->config.find("detector_translation")->as_list()->size(), 3u);
  EXPECT_FALSE(header->flatfield);
  EXPECT_FALSE(header->pixel_mask);
  ASSERT_TRUE(header->countrate_table);
  EXPECT_THAT(header->countrate_table->shape, ElementsAre(1001, 2));
  EXPECT_EQ(header->countrate_table->at<float>(2), 8327.119140625F);
  EXPECT_EQ(header->countrate_table->at<float>(3), 8319.4423828125F);
  ASSERT_TRUE(header->appendix);
  EXPECT_EQ(header->appendix->size(), 546u);
  EXPECT_TRUE(header->appendix->starts_with(R"({"collect_dict": {"col_id": 128579,)"));

  for (std::uint64_t n = 0; n < 3; ++n) {
    auto& packet = packets[1 + n];
    EXPECT_EQ(packet.fault, packet_fault::corrupt);
    EXPECT_TRUE(packet.numbered);
    EXPECT_EQ(packet.numbers.kind, entry_kind::data);
    EXPECT_EQ(packet.numbers.number, n);
    EXPECT_FALSE(parse_eiger_v1_image(messages[1 + n]));
  }
  EXPECT_FALSE(packets[4].fault);
  EXPECT_EQ(packets[4].numbers.kind, entry_kind::end);
  EXPECT_TRUE(parse_eiger_v1_end(packets[4].data));

  // As they would be had nobody cut them: with a size of what is there.
  auto frames = messages[1].frames();
  std::string shorter(frames[1].text());
  shorter.replace(shorter.find("755083"), 6, "20000");
  auto whole = message({std::string(frames[0].text()), shorter, std::string(frames[2].text()),
                        std::string(frames[3].text()), std::string(frames[4].text())});
  auto image = parse_eiger_v1_image(whole);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->hash, "59bb3a04cd9d59d54e283c465036085c");
  EXPECT_THAT(image->shape, ElementsAre(3262, 3108));
  EXPECT_EQ(image->type, dtype::uint32);
  EXPECT_EQ(image->encoding.element_size, 4u);
  EXPECT_EQ(image->start_time, 103597359252740u);
  EXPECT_EQ(image->stop_time, 103597369252640u);
  EXPECT_EQ(image->real_time, 9999900u);
  EXPECT_EQ(image->appendix, "{}");
  std::vector<std::byte> pixels(bytes_of(image->shape, image->type));
  EXPECT_THROW(decompress(image->encoding.how, image->encoding.element_size, image->blob, pixels),
               corrupt_blob);
}

} // namespace
} // namespace dtranspose
