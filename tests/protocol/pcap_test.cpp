#include "protocol/pcap.hpp"

#include <chrono>
#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;

const std::string_view start_1 =
    R"({"message_id":1,"message_type":"series-start","version":1,"arm_time":"2024-10-07T08:49:10.627Z"})";
const std::string_view worked_example =
    R"({"message_id":3,"message_type":"data","version":1,"frame_number":15,"x":[1.0,2.0],"y":[5.0,6.0]})";

stream_data message(std::initializer_list<std::string_view> parts) {
  return memory_frames::of(pcap_type_tag, parts);
}

std::vector<stream_packet> read(protocol& reader, std::string_view text) {
  std::vector<stream_packet> packets;
  reader.read(message({text}), packets);
  return packets;
}

std::vector<stream_packet> read(std::string_view text) { return read(*make_pcap(), text); }

std::string data_text(std::string_view fields, std::string_view id = "2", std::string_view frame = "0") {
  return R"({"message_id":)" + std::string(id) + R"(,"message_type":"data","version":1,"frame_number":)" +
         std::string(frame) + "," + std::string(fields) + "}";
}

std::string end_text(int id) {
  return R"({"message_id":)" + std::to_string(id) + R"(,"message_type":"series-end","version":1})";
}

std::string_view text(const stream_packet& packet) { return packet.data.frames()[0].text(); }

TEST(pcap, splits_the_worked_example) {
  auto packets = read(worked_example);
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(text(packets[0]),
            R"({"message_id":3,"version":1,"message_type":"data","frame_number":15,"x":1.0,"y":5.0})");
  EXPECT_EQ(text(packets[1]),
            R"({"message_id":3,"version":1,"message_type":"data","frame_number":16,"x":2.0,"y":6.0})");
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_FALSE(packets[i].fault);
    EXPECT_EQ(packets[i].numbers.kind, entry_kind::data);
    EXPECT_EQ(packets[i].numbers.number, 15 + i);
    EXPECT_EQ(packets[i].numbers.message_number, std::nullopt);
    EXPECT_EQ(packets[i].data.type(), "PCAP");
    EXPECT_EQ(packets[i].data.frames().size(), 1u);
  }
}

TEST(pcap, writes_the_worked_example) {
  const double x[] = {1, 2}, y[] = {5, 6};
  const pcap_field fields[] = {{"x", std::span<const double>(x)}, {"y", std::span<const double>(y)}};
  std::string out;
  write_pcap_data(out, 3, 15, fields);
  EXPECT_EQ(out, worked_example);
  write_pcap_start(out, 1, "2024-10-07T08:49:10.627Z");
  EXPECT_EQ(out, start_1);
  write_pcap_end(out, 102);
  EXPECT_EQ(out, end_text(102));
  const double odd[] = {NAN, -INFINITY, 1e300, -0.0};
  const std::int64_t whole[] = {-1, 9007199254740993, 0, 5};
  const pcap_field odd_fields[] = {{"a\"b", std::span<const double>(odd)},
                                   {"n", std::span<const std::int64_t>(whole)}};
  write_pcap_data(out, 4, 0, odd_fields, 77);
  EXPECT_EQ(out, R"({"message_id":4,"message_type":"data","version":1,"frame_number":0,)"
                 R"("a\"b":[NaN,-Infinity,1e+300,-0.0],"n":[-1,9007199254740993,0,5],"sent_ns":77})");
}

TEST(pcap, copies_every_value_as_it_is_written) {
  auto packets =
      read(R"( { "x" : [ 7.1160000000000005 , 1E5, -0.0 ] , "frame_number": 7 , "note": "a\u00e9 \"b" ,
      "n":[18446744073709551615,  -9223372036854775808,123456789012345678901234567890], "v": [ NaN,Infinity,-Infinity ],
      "w":[null,true,"t\n"],"deep":{"a":[1, {"b":2}]} ,"rows": [[1, 2],{"k":3},[]], "message_type":"data","message_id": 12 } )");
  ASSERT_EQ(packets.size(), 3u);
  EXPECT_EQ(
      text(packets[0]),
      R"({"message_id":12,"message_type":"data","frame_number":7,"x":7.1160000000000005,"note":"a\u00e9 \"b",)"
      R"("n":18446744073709551615,"v":NaN,"w":null,"deep":{"a":[1, {"b":2}]},"rows":[1, 2]})");
  EXPECT_EQ(text(packets[1]),
            R"({"message_id":12,"message_type":"data","frame_number":8,"x":1E5,"note":"a\u00e9 \"b",)"
            R"("n":-9223372036854775808,"v":Infinity,"w":true,"deep":{"a":[1, {"b":2}]},"rows":{"k":3}})");
  EXPECT_EQ(
      text(packets[2]),
      R"({"message_id":12,"message_type":"data","frame_number":9,"x":-0.0,"note":"a\u00e9 \"b",)"
      R"("n":123456789012345678901234567890,"v":-Infinity,"w":"t\n","deep":{"a":[1, {"b":2}]},"rows":[]})");
}

TEST(pcap, decodes_rows) {
  auto packets = read(R"({"x":[7.1160000000000005,1e5,2],"n":[18446744073709551615,-9007199254740993,5],
      "v":[NaN,Infinity,-Infinity],"s":"text","big":[123456789012345678901234567890,0,1],"l":[null,[],{"a":[1]}],"huge":[1e400,-1e400,1e-400],
      "frame_number":7,"message_type":"data","message_id":12,"version":1})");
  ASSERT_EQ(packets.size(), 3u);
  auto first = parse_pcap_row(packets[0].data);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->frame_number, 7u);
  EXPECT_EQ(first->message_id, 12u);
  EXPECT_THAT(first->names(), ElementsAre("x", "n", "v", "s", "big", "l", "huge"));
  EXPECT_EQ(first->column("x"), 7.1160000000000005);
  EXPECT_EQ(*first->find("n"), value(std::uint64_t{18446744073709551615u}));
  EXPECT_TRUE(std::isnan(first->column("v").value()));
  EXPECT_EQ(first->column("s"), std::nullopt);
  EXPECT_EQ(*first->find("s"), value("text"));
  EXPECT_EQ(first->column("big"), 123456789012345678901234567890.0);
  EXPECT_EQ(first->column("l"), std::nullopt);
  EXPECT_EQ(first->column("missing"), std::nullopt);
  EXPECT_EQ(first->column("frame_number"), std::nullopt);
  EXPECT_EQ(first->column("huge"), INFINITY);
  auto second = parse_pcap_row(packets[1].data);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->frame_number, 8u);
  EXPECT_EQ(*second->find("x"), value(1e5));
  EXPECT_EQ(*second->find("n"), value(std::int64_t{-9007199254740993}));
  EXPECT_EQ(second->column("v"), INFINITY);
  EXPECT_TRUE(second->find("l")->as_list());
  EXPECT_EQ(second->column("huge"), -INFINITY);
  auto third = parse_pcap_row(packets[2].data);
  ASSERT_TRUE(third);
  EXPECT_EQ(*third->find("x"), value(2));
  EXPECT_EQ(third->column("v"), -INFINITY);
  EXPECT_EQ(third->column("huge"), 0.0);
  EXPECT_EQ(third->find("l")->find("a")->as_list()->at(0), value(1));
}

TEST(pcap, of_equal_names_the_last_holds) {
  auto packets = read(data_text(R"("x":[1],"x":[2])"));
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(parse_pcap_row(packets[0].data)->column("x"), 2.0);
}

TEST(pcap, tells_kinds) {
  EXPECT_EQ(pcap_kind(message({start_1})), entry_kind::start);
  EXPECT_EQ(pcap_kind(message({end_text(2)})), entry_kind::end);
  EXPECT_EQ(pcap_kind(read(worked_example)[0].data), entry_kind::data);
  EXPECT_EQ(pcap_kind(message({"{}"})), std::nullopt);
  EXPECT_EQ(pcap_kind({}), std::nullopt);
  EXPECT_FALSE(parse_pcap_row(message({start_1})));
  EXPECT_EQ(parse_pcap_row(message({worked_example}))->column("x"), std::nullopt);
  EXPECT_FALSE(parse_pcap_row(message({data_text(R"("x":1.2.3)")})));
  EXPECT_FALSE(parse_pcap_row(message({R"({"message_type":"data","x":1})"})));
  EXPECT_FALSE(parse_pcap_row(message({data_text(R"("x":1)"), "more"})));
  EXPECT_FALSE(parse_pcap_start(message({end_text(2)})));
  auto start = parse_pcap_start(message({start_1}));
  ASSERT_TRUE(start);
  EXPECT_EQ(start->arm_time, "2024-10-07T08:49:10.627Z");
  EXPECT_EQ(*start->keys.find("message_id"), value(1));
}

TEST(pcap, passes_starts_and_ends_on_as_they_are) {
  auto reader = make_pcap();
  std::vector<stream_packet> packets;
  auto data = message({start_1});
  reader->read(data, packets);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_EQ(packets[0].numbers.message_number, std::nullopt);
  EXPECT_EQ(packets[0].data.frames().data(), data.frames().data());
}

struct refused {
  const char* what;
  std::vector<std::string> parts;
  packet_fault fault;
  std::vector<std::uint64_t> rows; ///< empty: one packet without a number
};

TEST(pcap, names_what_it_refuses) {
  auto x = [](std::string_view list) { return data_text(R"("x":)" + std::string(list), "2", "5"); };
  std::string names;
  for (std::size_t i = 0; i <= pcap_field_limit; ++i) names += "\"f" + std::to_string(i) + "\":[1,2],";
  names += R"("z":[1,2])";
  std::string many = "[0";
  for (std::size_t i = 0; i < pcap_row_limit; ++i) many += ",0";
  auto long_name = "\"" + std::string(2 << 20, 'n') + "\":1,\"x\":[1" + [] {
    std::string ones;
    for (int i = 0; i < 40; ++i) ones += ",1";
    return ones;
  }() + "]";
  std::vector<std::uint64_t> rows_41;
  for (std::uint64_t i = 0; i < 41; ++i) rows_41.push_back(5 + i);
  const refused cases[] = {
      {"no parts", {}, packet_fault::truncated, {}},
      {"an empty part", {""}, packet_fault::not_json, {}},
      {"text", {"hello"}, packet_fault::not_json, {}},
      {"a list", {"[1,2]"}, packet_fault::not_json, {}},
      {"cut off", {std::string(worked_example.substr(0, 80))}, packet_fault::not_json, {}},
      {"more behind it", {std::string(worked_example) + "}"}, packet_fault::not_json, {}},
      {"a malformed list", {x("[1 2]")}, packet_fault::not_json, {}},
      {"too long", {x("[1," + std::string(pcap_message_limit, ' ') + "2]")}, packet_fault::oversized, {}},
      {"no message_type", {R"({"frame_number":1,"x":[1]})"}, packet_fault::unknown, {}},
      {"another message_type", {R"({"message_type":"heartbeat"})"}, packet_fault::unknown, {}},
      {"a number for a type", {R"({"message_type":1,"frame_number":1,"x":[1]})"}, packet_fault::unknown, {}},
      {"no frame_number", {R"({"message_type":"data","x":[1]})"}, packet_fault::unknown, {}},
      {"a negative frame_number", {data_text(R"("x":[1])", "2", "-1")}, packet_fault::unknown, {}},
      {"a text for a frame_number", {data_text(R"("x":[1])", "2", "\"1\"")}, packet_fault::unknown, {}},
      {"a list for a frame_number", {data_text(R"("x":[1])", "2", "[1]")}, packet_fault::unknown, {}},
      {"a frame_number at the limit",
       {data_text(R"("x":[1])", "2", "18446744073709551615")},
       packet_fault::unknown,
       {}},
      {"no list", {data_text(R"("x":1)")}, packet_fault::unknown, {}},
      {"lists of different lengths", {data_text(R"("x":[1,2],"y":[1])")}, packet_fault::corrupt, {}},
      {"an empty list and another", {data_text(R"("x":[],"y":[1])")}, packet_fault::corrupt, {}},
      {"too many rows", {x(many + "]")}, packet_fault::oversized, {}},
      {"too many rows in one list", {data_text(R"("y":[1],"x":)" + many + "]")}, packet_fault::oversized, {}},
      {"two parts", {x("[1,2]"), "more"}, packet_fault::oversized, {5, 6}},
      {"too many fields", {data_text(names, "2", "5")}, packet_fault::oversized, {5, 6}},
      {"a long name in many rows", {data_text(long_name, "2", "5")}, packet_fault::oversized, rows_41},
      {"no number", {x("[1,1.2.3]")}, packet_fault::not_json, {5, 6}},
      {"leading zeros", {x("[1,01]")}, packet_fault::not_json, {5, 6}},
      {"no digits", {x("[1,-]")}, packet_fault::not_json, {5, 6}},
      {"no fraction", {x("[1,1.]")}, packet_fault::not_json, {5, 6}},
      {"no exponent", {x("[1,1e]")}, packet_fault::not_json, {5, 6}},
      {"another word", {x("[1,nan]")}, packet_fault::not_json, {5, 6}},
      {"a malformed text", {x(R"([1,"\x"])")}, packet_fault::not_json, {5, 6}},
      {"a malformed object", {x(R"([1,{"a":tru}])")}, packet_fault::not_json, {5, 6}},
      {"a malformed value of all rows",
       {data_text(R"("x":[1,2],"c":+1)", "2", "5")},
       packet_fault::not_json,
       {5, 6}},
      {"a malformed message_id", {data_text(R"("k":[1,2])", "x", "5")}, packet_fault::not_json, {5, 6}},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    std::vector<std::vector<std::byte>> parts;
    for (auto& part : c.parts) {
      auto bytes = std::as_bytes(std::span(part));
      parts.emplace_back(bytes.begin(), bytes.end());
    }
    std::vector<stream_packet> packets;
    make_pcap()->read(stream_data(std::make_unique<memory_frames>(std::move(parts)), pcap_type_tag), packets);
    ASSERT_EQ(packets.size(), std::max<std::size_t>(1, c.rows.size()));
    for (std::size_t i = 0; i < packets.size(); ++i) {
      EXPECT_EQ(packets[i].fault, c.fault);
      EXPECT_FALSE(packets[i].data);
      EXPECT_EQ(packets[i].numbered, !c.rows.empty());
      EXPECT_EQ(packets[i].numbers.number, c.rows.empty() ? std::nullopt : std::optional(c.rows[i]));
    }
  }
}

TEST(pcap, an_empty_message_yields_nothing) { EXPECT_TRUE(read(data_text(R"("x":[],"y":[])")).empty()); }

TEST(pcap, takes_no_options) {
  EXPECT_THROW(make_pcap({{"rows", "1"}}), std::runtime_error);
  auto reader = make_pcap();
  EXPECT_EQ(reader->name(), "pcap");
  EXPECT_EQ(reader->type_tag(), "PCAP");
  EXPECT_TRUE(reader->numbered());
}

std::optional<std::uint64_t> count_after(std::initializer_list<std::string> texts) {
  auto reader = make_pcap();
  std::vector<stream_packet> packets;
  for (auto& text : texts) packets = read(*reader, text);
  EXPECT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets.at(0).numbers.kind, entry_kind::end);
  return packets.at(0).numbers.count;
}

TEST(pcap, knows_the_count_when_nothing_before_the_end_is_missing) {
  std::string start(start_1);
  auto two = data_text(R"("x":[1,2])", "2", "0"), three = data_text(R"("x":[1,2,3])", "3", "2");
  EXPECT_EQ(count_after({start, end_text(2)}), 0u);
  EXPECT_EQ(count_after({start, two, three, end_text(4)}), 5u);
  EXPECT_EQ(count_after({start, three, end_text(4)}), 5u) << "a hole before it is found by its number";
  EXPECT_EQ(count_after({start, two, end_text(4)}), std::nullopt) << "the last message is missing";
  EXPECT_EQ(count_after({start, end_text(3)}), std::nullopt) << "all are missing";
  EXPECT_EQ(count_after({start, two, three, "rubbish", end_text(5)}), std::nullopt);
  EXPECT_EQ(count_after({start, two, three, data_text(R"("x":[])", "4", "5"), end_text(5)}), 5u);
  EXPECT_EQ(count_after({start, two, data_text(R"("x":[1,tru,3])", "3", "2"), end_text(4)}), 5u)
      << "faulty rows with numbers";
  EXPECT_EQ(count_after({start, two, data_text(R"("x":[1,2],"y":[1])", "3", "2"), end_text(4)}), std::nullopt)
      << "nobody knows how many rows";
  EXPECT_EQ(count_after({start, data_text(R"("x":[1])", "2", "99999999"), three, end_text(4)}), std::nullopt)
      << "one wild number";
  EXPECT_EQ(count_after({start, two, three, start, end_text(4)}), 5u) << "the same start again";
  EXPECT_EQ(count_after({start, two, three, end_text(4), start, end_text(2)}), 0u)
      << "each series counts for itself";
  EXPECT_EQ(count_after({start, two, R"({"message_type":"series-end"})"}), std::nullopt);
  EXPECT_EQ(count_after({end_text(1)}), std::nullopt);
}

TEST(pcap, forgets_on_reset) {
  auto reader = make_pcap();
  read(*reader, start_1);
  reader->reset();
  auto packets = read(*reader, end_text(2));
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].numbers.count, std::nullopt);
}

TEST(pcap, reads_the_recording) {
  auto path = test::find_recording("pcap-zmq.cbors");
  if (!path) GTEST_SKIP() << "no recordings here";
  capture_reader messages(mapped_file::open(*path), pcap_type_tag);
  auto reader = make_pcap();
  std::vector<stream_packet> packets;
  std::size_t count = 0;
  while (auto message = messages.next()) {
    reader->read(std::move(*message), packets);
    ++count;
  }
  EXPECT_EQ(messages.cut_off(), "");
  EXPECT_EQ(count, 102u);
  ASSERT_EQ(packets.size(), 1502u);
  auto start = parse_pcap_start(packets[0].data);
  ASSERT_TRUE(start);
  EXPECT_EQ(start->arm_time, "2024-10-07T08:49:10.627Z");
  EXPECT_EQ(packets[1501].numbers.kind, entry_kind::end);
  EXPECT_EQ(packets[1501].numbers.count, 1500u);
  for (std::size_t i = 0; i < 1500; ++i) {
    auto& packet = packets[i + 1];
    ASSERT_FALSE(packet.fault);
    ASSERT_EQ(packet.numbers.number, i);
    auto row = parse_pcap_row(packet.data);
    ASSERT_TRUE(row);
    EXPECT_EQ(row->frame_number, i);
    EXPECT_THAT(row->names(),
                ElementsAre("inttime", "triggernumber", "repeatindex", "energy", "INENC3.VAL.Mean"));
    EXPECT_EQ(row->column("triggernumber"), static_cast<double>(i + 1));
    EXPECT_EQ(row->column("INENC3.VAL.Mean"), 0.0);
  }
  EXPECT_EQ(
      text(packets[1]),
      R"({"message_id":2,"version":1,"message_type":"data","frame_number":0,"inttime":7.1160000000000005,)"
      R"("triggernumber":1.0,"repeatindex":1.0,"energy":8879.101048716273,"INENC3.VAL.Mean":0.0})");
  auto last = parse_pcap_row(packets[1500].data);
  EXPECT_EQ(last->message_id, 101u);
  EXPECT_EQ(last->column("inttime"), 6.5178);
  EXPECT_EQ(last->column("energy"), 9178.90056771702);
}

TEST(pcap, survives_a_message_cut_anywhere) {
  for (std::size_t length = 0; length < worked_example.size(); ++length) {
    auto packets = read(worked_example.substr(0, length));
    ASSERT_EQ(packets.size(), 1u);
    EXPECT_EQ(packets[0].fault, packet_fault::not_json) << length;
    EXPECT_FALSE(packets[0].numbered);
  }
}

TEST(pcap, survives_random_changes) {
  std::mt19937 random(3);
  auto reader = make_pcap();
  std::size_t good = 0, bad = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text(round % 8 == 0 ? start_1 : worked_example);
    for (auto n = 1 + random() % 4; n-- > 0;) {
      auto& c = text[random() % text.size()];
      c = random() % 2 ? static_cast<char>(random()) : "{}[],:\"019.-eEN\\"[random() % 16];
    }
    for (auto& packet : read(*reader, text)) {
      packet.fault ? ++bad : ++good;
      EXPECT_EQ(static_cast<bool>(packet.data), !packet.fault);
      if (!packet.fault && packet.numbers.kind == entry_kind::data) {
        auto row = parse_pcap_row(packet.data);
        ASSERT_TRUE(row) << packet.data.frames()[0].text();
        EXPECT_EQ(row->frame_number, packet.numbers.number);
      }
      parse_pcap_start(packet.data);
    }
  }
  EXPECT_GT(good, 1000u);
  EXPECT_GT(bad, 1000u);
}

TEST(pcap, is_fast_enough) {
  std::string fields;
  for (int f = 0; f < 5; ++f) {
    fields += f ? ",\"field" : "\"field";
    fields += std::to_string(f) + "\":[8879.101048716273";
    for (int i = 1; i < 15; ++i) fields += ",7.1160000000000005";
    fields += "]";
  }
  auto data = message({data_text(fields)});
  auto reader = make_pcap();
  std::vector<stream_packet> packets;
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 2000; ++i) {
    packets.clear();
    reader->read(data, packets);
  }
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  // 30,000 rows; sanitizers and busy machines take their time.
  EXPECT_LT(seconds.count(), 3.0);
  RecordProperty("rows_per_second", static_cast<int>(30000 / seconds.count()));
}

} // namespace
} // namespace dtranspose
