#include "protocol/raw.hpp"

#include <random>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/json_text.hpp"
#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

stream_data message(std::initializer_list<std::string_view> parts) {
  return memory_frames::of(raw_type_tag, parts);
}

std::vector<stream_packet> read_all(const protocol_options& options,
                                    std::initializer_list<stream_data> messages) {
  auto reader = make_raw(options);
  std::vector<stream_packet> packets;
  for (auto& m : messages) reader->read(m, packets);
  return packets;
}

stream_packet read(const protocol_options& options, const stream_data& data) {
  auto packets = read_all(options, {data});
  EXPECT_EQ(packets.size(), 1u);
  return packets.at(0);
}

std::string complaint(const protocol_options& options) {
  try {
    make_raw(options);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "none";
}

TEST(raw, reads_paths) {
  EXPECT_THAT(parse_json_path("/header/frame"), ElementsAre("header", "frame"));
  EXPECT_THAT(parse_json_path("header.frame"), ElementsAre("header", "frame"));
  EXPECT_THAT(parse_json_path("frame"), ElementsAre("frame"));
  EXPECT_THAT(parse_json_path("/INENC1.VAL"), ElementsAre("INENC1.VAL"));
  EXPECT_THAT(parse_json_path("/a~1b/c~0d/~01/0"), ElementsAre("a/b", "c~d", "~1", "0"));
  EXPECT_THAT(parse_json_path("/"), ElementsAre(""));
  for (auto text : {"", ".", "a.", ".a", "a..b"})
    EXPECT_THROW(parse_json_path(text), std::runtime_error) << text;
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "/a";
  EXPECT_THROW(parse_json_path(deep), std::runtime_error);
}

TEST(raw, takes_any_message_without_options) {
  auto packets = read_all({}, {message({"\x01\x02"}), message({"no", "json", "{"}), message({""})});
  ASSERT_EQ(packets.size(), 3u);
  for (auto& p : packets) {
    EXPECT_FALSE(p.fault);
    EXPECT_TRUE(p.data);
    EXPECT_EQ(p.numbers.kind, entry_kind::data);
    EXPECT_FALSE(p.numbers.number);
  }
  auto reader = make_raw();
  EXPECT_EQ(reader->name(), "raw");
  EXPECT_EQ(reader->type_tag(), "raw");
  EXPECT_FALSE(reader->numbered());
  EXPECT_FALSE(reader->has_start());
  auto nothing = read({}, stream_data());
  EXPECT_EQ(nothing.fault, packet_fault::truncated);
  EXPECT_TRUE(nothing.numbered);
}

const protocol_options everything = {{"type", "MyDetector"},    {"part", "1"},
                                     {"number", "/info/frame"}, {"first", "1"},
                                     {"series", "info.series"}, {"message_number", "/info/ids/1"},
                                     {"start", "/what=0"},      {"end", "what=2"},
                                     {"data", "/what=1"},       {"count", "total"}};

TEST(raw, finds_what_it_is_told_to) {
  auto reader = make_raw(everything);
  EXPECT_EQ(reader->type_tag(), "MyDetector");
  EXPECT_TRUE(reader->numbered());
  EXPECT_TRUE(reader->has_start());
  auto packets = read_all(
      everything,
      {message({"x", R"({"what":0,"info":{"series":4,"ids":[9,10]}})"}),
       message(
           {"pixels", R"( { "info" : {"ids":[{"a":[1]}, 11 ,5], "frame" : 1 , "series":4} , "what" : 1 } )"}),
       message({"", R"({"what":"1","info":{"frame":8,"series":4,"ids":{"1":12}}})", "more"}),
       message({"", R"({"what":3})"}), message({"", R"({})"}),
       message({"x", R"({"total":2,"what":2,"info":{"series":4,"ids":["a",13]}})"})});
  ASSERT_EQ(packets.size(), 4u);
  for (auto& p : packets) {
    EXPECT_FALSE(p.fault);
    EXPECT_EQ(p.numbers.series, 4u);
  }
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_EQ(packets[0].numbers.message_number, 10u);
  EXPECT_FALSE(packets[0].numbers.number);
  EXPECT_EQ(packets[1].numbers.kind, entry_kind::data);
  EXPECT_EQ(packets[1].numbers.message_number, 11u);
  EXPECT_EQ(packets[1].numbers.number, 0u);
  EXPECT_FALSE(packets[1].numbers.count);
  EXPECT_EQ(packets[2].numbers.number, 7u);
  EXPECT_EQ(packets[2].numbers.message_number, 12u);
  EXPECT_EQ(packets[3].numbers.kind, entry_kind::end);
  EXPECT_EQ(packets[3].numbers.message_number, 13u);
  EXPECT_EQ(packets[3].numbers.count, 2u);
  EXPECT_FALSE(packets[3].numbers.number);
}

TEST(raw, compares_markers_as_texts) {
  struct {
    const char* marker;
    const char* header;
    bool start;
  } cases[] = {
      {"/a=header", R"({"a":"header"})", true},
      {"/a=header", R"({"a":"head\u0065r"})", true},
      {"/a=header", R"({"a":"header "})", false},
      {"/a=header", R"({"a":["header"]})", false},
      {"/a=header", R"({"b":"header"})", false},
      {"/a=1", R"({"a":1})", true},
      {"/a=1", R"({"a": 1 })", true},
      {"/a=1", R"({"a":"1"})", true},
      {"/a=1", R"({"a":1.0})", false},
      {"/a=1", R"({"a":10})", false},
      {"/a=-1.50", R"({"a":-1.50,"b":2})", true},
      {"/a=true", R"({"a":true})", true},
      {"/a=true", R"({"a":false})", false},
      {"/a=null", R"({"a":null})", true},
      {"/a=", R"({"a":""})", true},
      {"/a=x=y", R"({"a":"x=y"})", true},
      {"/a/b/c=1", R"({"a":{"b":{"c":1}}})", true},
      {"/a/b=1", R"({"a":{"b":{"c":1}}})", false},
      {"/a/b/c=1", R"({"a":{"b":1}})", false},
      {"/a/2=x", R"({"a":["y",[1,2],"x"]})", true},
      {"/a/02=x", R"({"a":["y",[1,2],"x"]})", false},
      {"/a=1", R"({"a":1,"a":2})", false},
      {"/a.b=1", R"({"a.b":1})", true},
      {"a.b=1", R"({"a":{"b":1}})", true},
      {"/=1", R"({"":1})", true},
      {"/a/=1", R"({"a":{"":1}})", true},
  };
  for (auto& c : cases) {
    auto packet = read({{"start", c.marker}}, message({c.header}));
    EXPECT_FALSE(packet.fault) << c.header;
    EXPECT_EQ(packet.numbers.kind == entry_kind::start, c.start) << c.marker << " " << c.header;
  }
}

TEST(raw, has_paths_that_share_keys) {
  auto packet =
      read({{"number", "/h/n"}, {"series", "/h/n"}, {"message_number", "/h/m/0"}, {"start", "/h/s=1"}},
           message({R"({"h":{"m":[8],"n":3,"s":2}})"}));
  EXPECT_EQ(packet.numbers.number, 3u);
  EXPECT_EQ(packet.numbers.series, 3u);
  EXPECT_EQ(packet.numbers.message_number, 8u);
  EXPECT_EQ(packet.numbers.kind, entry_kind::data);
}

TEST(raw, matches_by_position_without_a_number) {
  protocol_options options = {{"start", "/htype=header"}, {"end", "/htype=series_end"}};
  auto packets = read_all(options, {message({R"({"htype":"header"})"}), message({R"({"htype":"image"})"}),
                                    message({"\xff"}), message({R"({"htype":"series_end"})"})});
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_FALSE(packets[1].numbers.number);
  EXPECT_EQ(packets[2].fault, packet_fault::not_json);
  EXPECT_TRUE(packets[2].numbered);
  EXPECT_EQ(packets[2].numbers.kind, entry_kind::data);
  EXPECT_EQ(packets[3].numbers.kind, entry_kind::end);
}

TEST(raw, says_why_it_refuses) {
  using enum packet_fault;
  const protocol_options numbered = {{"number", "/n"}, {"first", "1"}};
  const protocol_options marked = {{"data", "/a=1"}};
  const protocol_options behind = {{"part", "1"}, {"start", "/a=1"}};
  std::string long_header(json_header_limit + 1, ' ');
  struct {
    const protocol_options& options;
    stream_data data;
    packet_fault fault;
    bool numbered;
  } cases[] = {
      {numbered, stream_data(), truncated, false},
      {numbered, message({""}), not_json, false},
      {numbered, message({"[1]"}), not_json, false},
      {numbered, message({R"({"n":1)"}), not_json, false},
      {numbered, message({R"({"n":1} x)"}), not_json, false},
      {numbered, message({R"({"n":{"a":})"}), not_json, false},
      {numbered, message({long_header}), oversized, false},
      {numbered, message({"{}"}), unknown, false},
      {numbered, message({R"({"n":0})"}), unknown, false},
      {numbered, message({R"({"n":-1})"}), unknown, false},
      {numbered, message({R"({"n":1.5})"}), unknown, false},
      {numbered, message({R"({"n":"1"})"}), unknown, false},
      {numbered, message({R"({"n":true})"}), unknown, false},
      {numbered, message({R"({"n":[1]})"}), unknown, false},
      {numbered, message({R"({"n":18446744073709551616})"}), unknown, false},
      {marked, message({"x"}), not_json, false},
      {behind, message({"{}"}), truncated, true},
      {behind, message({"{}", "x"}), not_json, true},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.data.frames().empty() ? "" : std::string(c.data.frames()[0].text().substr(0, 80)));
    auto packet = read(c.options, c.data);
    ASSERT_TRUE(packet.fault);
    EXPECT_EQ(*packet.fault, c.fault) << name_of(*packet.fault);
    EXPECT_EQ(packet.numbered, c.numbered);
    EXPECT_FALSE(packet.data);
    EXPECT_FALSE(packet.numbers.number);
  }
  EXPECT_EQ(read(numbered, message({R"({"n":18446744073709551615})"})).numbers.number, 18446744073709551614u);
  EXPECT_THAT(read_all(marked, {message({"{}"}), message({R"({"a":2})"})}), IsEmpty());
}

TEST(raw, names_the_option_that_is_wrong) {
  EXPECT_THAT(complaint({{"color", "red"}}), HasSubstr("color"));
  EXPECT_THAT(complaint({{"part", "x"}}), HasSubstr("part"));
  EXPECT_THAT(complaint({{"first", "-1"}}), HasSubstr("first"));
  EXPECT_THAT(complaint({{"number", "a..b"}}), HasSubstr("number"));
  EXPECT_THAT(complaint({{"start", "/htype"}}), HasSubstr("start"));
  EXPECT_THAT(complaint({{"end", "=x"}}), HasSubstr("end"));
  EXPECT_THAT(complaint({{"data", "a..b=1"}}), HasSubstr("data"));
  EXPECT_THAT(complaint({{"count", "/n"}}), HasSubstr("count"));
  EXPECT_THAT(complaint({{"type", ""}}), HasSubstr("type"));
  EXPECT_EQ(complaint(everything), "none");
}

TEST(raw, gives_header_and_parts) {
  auto data = message({"pixels", R"({"a":{"b":[1,2.5]},"c":NaN})"});
  auto found = parse_raw_message(data, 1);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found->header.find("a")->find("b"), value(value_list{1, 2.5}));
  ASSERT_EQ(found->parts.size(), 2u);
  EXPECT_EQ(found->parts[0].data(), data.frames()[0].data());
  EXPECT_FALSE(parse_raw_message(data));
  EXPECT_FALSE(parse_raw_message(data, 2));
  EXPECT_FALSE(parse_raw_message(message({"[]"})));
  EXPECT_FALSE(parse_raw_message(stream_data()));
  EXPECT_TRUE(parse_raw_message(memory_frames::of("other", {"{}"})));
}

TEST(raw, sets_values_where_paths_lead) {
  value_map header;
  EXPECT_TRUE(set_at(header, parse_json_path("a.b.c"), 1));
  EXPECT_TRUE(set_at(header, parse_json_path("a.b.d"), 2));
  EXPECT_TRUE(set_at(header, parse_json_path("e"), 3));
  EXPECT_FALSE(set_at(header, parse_json_path("e"), 4));
  EXPECT_FALSE(set_at(header, parse_json_path("a.b"), 4));
  EXPECT_FALSE(set_at(header, parse_json_path("e.f"), 4));
  EXPECT_FALSE(set_at(header, json_path(), 4));
  EXPECT_EQ(header, (value_map{{"a", value_map{{"b", value_map{{"c", 1}, {"d", 2}}}}}, {"e", 3}}));
}

/// What a reader with those options makes of a recording; nothing if there is no such recording.
std::optional<std::vector<stream_packet>> read_recording(std::string_view name,
                                                         const protocol_options& options) {
  auto path = test::find_recording(name);
  if (!path) return std::nullopt;
  auto reader = make_raw(options);
  capture_reader messages(mapped_file::open(*path), reader->type_tag());
  std::vector<stream_packet> packets;
  while (auto data = messages.next()) reader->read(std::move(*data), packets);
  for (auto& packet : packets) EXPECT_FALSE(packet.fault);
  return packets;
}

TEST(raw, reads_a_recording_by_options_alone) {
  auto packets = read_recording(
      "xspress3-multipart.cbors",
      {{"number", "frame"}, {"start", "/htype=header"}, {"end", "/htype=series_end"}, {"type", "xspress"}});
  if (!packets) GTEST_SKIP() << "no recording xspress3-multipart.cbors";
  ASSERT_EQ(packets->size(), 7u);
  EXPECT_EQ(packets->front().numbers.kind, entry_kind::start);
  EXPECT_EQ(packets->back().numbers.kind, entry_kind::end);
  for (std::uint64_t i = 1; i < 6; ++i) {
    EXPECT_EQ((*packets)[i].numbers.number, i - 1);
    EXPECT_EQ((*packets)[i].data.type(), "xspress");
    auto found = parse_raw_message((*packets)[i].data);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found->header.find("shape"), value(value_list{4, 4096}));
    ASSERT_EQ(found->parts.size(), 3u);
    EXPECT_EQ(found->parts[1].size(), 4u * 4096 * 4);
  }
}

TEST(raw, outlives_mutated_headers) {
  std::mt19937 random(23);
  const std::string seeds[] = {R"({"what":0,"info":{"series":4,"ids":[9,10]}})",
                               R"({"info":{"ids":[{"a":[1]},11,5],"frame":1,"series":4},"what":1})",
                               R"({"total":2,"what":"2","info":{"series":4,"ids":["a",13]}})"};
  const std::string_view spice = "{}[]\":,0123456789-.eE\\u \n\xff\x80tfn";
  auto reader = make_raw(everything);
  std::size_t good = 0;
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
        text.resize(random() % 8 ? text.size() : at);
      }
    }
    auto data = message({"x", text});
    std::vector<stream_packet> packets;
    reader->read(data, packets);
    ASSERT_LE(packets.size(), 1u);
    for (auto& packet : packets) {
      ASSERT_NE(packet.fault.has_value(), static_cast<bool>(packet.data)) << text;
      if (packet.fault) continue;
      ASSERT_TRUE(packet.numbers.kind != entry_kind::data || packet.numbers.number) << text;
      ++good;
    }
    parse_raw_message(data, 1);
  }
  EXPECT_GT(good, 1000u);
}

} // namespace
} // namespace dtranspose
