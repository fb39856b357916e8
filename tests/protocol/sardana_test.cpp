#include "protocol/sardana.hpp"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/json_text.hpp"

namespace dtranspose {
namespace {

constexpr std::string_view description =
    R"({"serialno": 7, "scandir": "/data", "title": "ascan mot01 0 1 9 0.1"})";

std::vector<stream_packet> read(protocol& format, std::string_view path, std::string_view body) {
  std::vector<stream_packet> packets;
  format.read(memory_frames::of(sardana_type_tag, {path, body}), packets);
  return packets;
}

stream_packet one(protocol& format, std::string_view path, std::string_view body) {
  auto packets = read(format, path, body);
  EXPECT_EQ(packets.size(), 1u) << body;
  return packets.empty() ? stream_packet() : packets[0];
}

stream_packet record(protocol& format, std::string_view body) {
  return one(format, sardana_record_path, body);
}

stream_data entry(std::string_view body) { return memory_frames::of(sardana_type_tag, {body}); }

std::string text_of(const stream_packet& packet) {
  return packet.data ? std::string(packet.data.frames()[0].text()) : "";
}

TEST(sardana, reads_the_example_and_adds_its_type) {
  auto format = make_sardana();
  EXPECT_EQ(format->name(), "sardana");
  EXPECT_EQ(format->type_tag(), "sardana");
  EXPECT_TRUE(format->numbered());
  auto packet = record(*format, R"({"point_nb":8,"dummy_mot_01":0.05,"timestamp":0.61})");
  EXPECT_FALSE(packet.fault);
  EXPECT_EQ(packet.numbers.kind, entry_kind::data);
  EXPECT_EQ(packet.numbers.number, 8u);
  EXPECT_EQ(packet.data.type(), "sardana");
  ASSERT_EQ(packet.data.frames().size(), 1u);
  EXPECT_EQ(text_of(packet), R"({"point_nb":8,"dummy_mot_01":0.05,"timestamp":0.61,"type":"RecordData"})");
}

TEST(sardana, reads_start_and_end) {
  auto format = make_sardana();
  auto start = one(*format, sardana_description_path, description);
  EXPECT_FALSE(start.fault);
  EXPECT_EQ(start.numbers.kind, entry_kind::start);
  EXPECT_EQ(start.numbers.series, 7u);
  EXPECT_EQ(text_of(start), R"({"serialno": 7, "scandir": "/data", "title": "ascan mot01 0 1 9 0.1")"
                            R"(,"type":"DataDescription"})");
  auto end = one(*format, sardana_end_path, "{}");
  EXPECT_FALSE(end.fault);
  EXPECT_EQ(end.numbers.kind, entry_kind::end);
  EXPECT_FALSE(end.numbers.count);
  EXPECT_EQ(text_of(end), R"({"type":"RecordEnd"})");
  EXPECT_EQ(text_of(one(*format, sardana_end_path, " { \"a\" : [1] } \n")),
            " { \"a\" : [1] ,\"type\":\"RecordEnd\"} \n");
}

TEST(sardana, takes_custom_data_as_no_entry) {
  auto format = make_sardana();
  for (auto body : {"{}", "anything", ""}) EXPECT_TRUE(read(*format, sardana_custom_path, body).empty());
}

TEST(sardana, reads_entries_that_have_their_type) {
  auto format = make_sardana();
  auto body = entry(R"({"type":"RecordData","point_nb":0,"timestamp":1})");
  std::vector<stream_packet> packets;
  format->read(body, packets);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].fault);
  EXPECT_EQ(packets[0].data.frames()[0].data(), body.frames()[0].data()); // as it is
  EXPECT_EQ(packets[0].numbers.number, 0u);

  // A column named `type` does not hide what a record is.
  auto posted = record(*format, R"({"type":"slow","timestamp":1,"point_nb":1})");
  EXPECT_EQ(sardana_kind(posted.data), entry_kind::data);
}

std::vector<std::uint64_t> numbers_of(protocol& format, std::initializer_list<int> points) {
  std::vector<std::uint64_t> numbers;
  one(format, sardana_description_path, description);
  for (auto point : points)
    numbers.push_back(record(format, R"({"timestamp":1,"point_nb":)" + std::to_string(point) + "}")
                          .numbers.number.value_or(999));
  return numbers;
}

TEST(sardana, counts_from_the_first_point_of_the_arm) {
  using testing::ElementsAre;
  EXPECT_THAT(numbers_of(*make_sardana(), {1, 2}), ElementsAre(1, 2)); // 0 is missing
  auto format = make_sardana({{"first_point", "auto"}});
  EXPECT_THAT(numbers_of(*format, {0, 1, 2}), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers_of(*format, {1, 2, 3}), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers_of(*format, {3, 4}), ElementsAre(3, 4)); // 0 to 2 are missing
  EXPECT_THAT(numbers_of(*format, {1, 0, 2}), ElementsAre(0, 999, 1));
  EXPECT_THAT(numbers_of(*make_sardana({{"first_point", "0"}}), {1, 2}), ElementsAre(1, 2));
  EXPECT_THAT(numbers_of(*make_sardana({{"first_point", "1"}}), {2, 3, 0}), ElementsAre(1, 2, 999));
  format->reset();
  EXPECT_EQ(record(*format, R"({"timestamp":1,"point_nb":1})").numbers.number, 0u);
}

TEST(sardana, refuses_a_point_before_the_first) {
  auto format = make_sardana({{"first_point", "1"}});
  auto packet = record(*format, R"({"timestamp":1,"point_nb":0})");
  EXPECT_EQ(packet.fault, packet_fault::unknown);
  EXPECT_FALSE(packet.numbered);
  EXPECT_FALSE(packet.data);
}

TEST(sardana, matches_records_without_numbers_by_position) {
  auto format = make_sardana();
  one(*format, sardana_description_path, description);
  for (auto body : {R"({"timestamp":1})", R"({"timestamp":1,"point_nb":-1})",
                    R"({"timestamp":1,"point_nb":"3"})", R"({"timestamp":1,"point_nb":1.5})"}) {
    auto packet = record(*format, body);
    EXPECT_FALSE(packet.fault) << body;
    EXPECT_FALSE(packet.numbers.number) << body;
    EXPECT_TRUE(packet.data) << body;
  }
  EXPECT_EQ(record(*format, R"({"timestamp":1,"point_nb":4.0})").numbers.number, 4u);
}

TEST(sardana, keeps_the_place_of_a_refused_record) {
  auto format = make_sardana();
  one(*format, sardana_description_path, description);
  auto numbered = record(*format, R"({"point_nb":1})"); // lacks the time stamp
  EXPECT_EQ(numbered.fault, packet_fault::unknown);
  EXPECT_TRUE(numbered.numbered);
  EXPECT_EQ(numbered.numbers.number, 1u);
  auto gap_tells = record(*format, "junk");
  EXPECT_EQ(gap_tells.fault, packet_fault::not_json);
  EXPECT_FALSE(gap_tells.numbered);

  one(*format, sardana_description_path, description);
  auto positioned = record(*format, "junk");
  EXPECT_TRUE(positioned.numbered);
  EXPECT_FALSE(positioned.numbers.number);
  // It was the first: this one is the second, not a first that counts from 1.
  EXPECT_EQ(record(*format, R"({"timestamp":1,"point_nb":1})").numbers.number, 1u);

  one(*format, sardana_description_path, description);
  record(*format, R"({"timestamp":1})");
  EXPECT_TRUE(record(*format, "junk").numbered);
}

TEST(sardana, says_that_requests_may_be_missing_where_numbers_do_not_tell) {
  auto lost = [](protocol& format) {
    std::vector<stream_packet> packets;
    format.interrupted(packets);
    if (!packets.empty()) {
      EXPECT_EQ(packets[0].fault, packet_fault::interrupted);
      EXPECT_FALSE(packets[0].numbered);
    }
    return packets.size();
  };
  auto format = make_sardana();
  EXPECT_EQ(lost(*format), 0u);
  one(*format, sardana_description_path, description);
  EXPECT_EQ(lost(*format), 1u);
  record(*format, R"({"timestamp":1,"point_nb":0})");
  EXPECT_EQ(lost(*format), 0u);
  one(*format, sardana_description_path, description);
  record(*format, R"({"timestamp":1})");
  EXPECT_EQ(lost(*format), 1u);
  one(*format, sardana_end_path, "{}");
  EXPECT_EQ(lost(*format), 0u);
  one(*format, sardana_description_path, description);
  format->reset();
  EXPECT_EQ(lost(*format), 0u);
}

TEST(sardana, refuses_what_does_not_validate) {
  struct {
    std::string_view path, body;
    packet_fault fault;
    std::string_view complaint;
  } cases[] = {
      {"/v1/other", "{}", packet_fault::unknown, "path"},
      {"", "{}", packet_fault::unknown, "path"},
      {sardana_description_path, "", packet_fault::not_json, "JSON"},
      {sardana_description_path, "[]", packet_fault::not_json, "JSON"},
      {sardana_description_path, R"({"serialno":1,"scandir":"a","title":"b"}})", packet_fault::not_json,
       "JSON"},
      {sardana_description_path, "{}", packet_fault::unknown, "serialno"},
      {sardana_description_path, R"({"serialno":"1","scandir":"a","title":"b"})", packet_fault::unknown,
       "serialno"},
      {sardana_description_path, R"({"serialno":1.5,"scandir":"a","title":"b"})", packet_fault::unknown,
       "serialno"},
      {sardana_description_path, R"({"serialno":1,"scandir":2,"title":"b"})", packet_fault::unknown,
       "scandir"},
      {sardana_description_path, R"({"serialno":1,"scandir":"a"})", packet_fault::unknown, "title"},
      {sardana_record_path, R"({"point_nb":1,"timestamp":"now"})", packet_fault::unknown, "timestamp"},
      {sardana_record_path, R"({"point_nb":1,"timestamp":null})", packet_fault::unknown, "timestamp"},
      {sardana_record_path, R"({"timestamp":1,"a":})", packet_fault::not_json, "JSON"},
      {sardana_end_path, "null", packet_fault::not_json, "JSON"},
  };
  auto format = make_sardana();
  for (auto& c : cases) {
    auto packet = one(*format, c.path, c.body);
    EXPECT_EQ(packet.fault, c.fault) << c.body;
    EXPECT_FALSE(packet.data);
    EXPECT_THAT(std::string(sardana_complaint(sardana_message(c.path, std::string(c.body)))),
                testing::HasSubstr(std::string(c.complaint)))
        << c.body;
  }
  EXPECT_EQ(sardana_complaint(sardana_message(sardana_end_path, "{}")), "");
}

TEST(sardana, refuses_messages_of_other_parts) {
  auto format = make_sardana();
  std::vector<stream_packet> packets;
  format->read(memory_frames::of(sardana_type_tag, {}), packets);
  format->read(memory_frames::of(sardana_type_tag, {sardana_end_path, "{}", ""}), packets);
  format->read(entry("{}"), packets);
  format->read(entry(R"({"type":"Other","timestamp":1})"), packets);
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[0].fault, packet_fault::truncated);
  EXPECT_EQ(packets[1].fault, packet_fault::oversized);
  EXPECT_EQ(packets[2].fault, packet_fault::unknown);
  EXPECT_EQ(packets[3].fault, packet_fault::unknown);
  for (auto& packet : packets) EXPECT_FALSE(packet.numbered);
}

TEST(sardana, bounds_bodies) {
  auto format = make_sardana();
  std::string long_body = R"({"timestamp":1,"a":")" + std::string(sardana_body_limit, 'x') + "\"}";
  EXPECT_EQ(record(*format, long_body).fault, packet_fault::oversized);
  auto wide = [](std::size_t keys) {
    std::string object = "{";
    for (std::size_t i = 0; i < keys; ++i) (object += i ? ",\"" : "\"") += std::to_string(i) + "\":1";
    return object + "}";
  };
  auto many = [&](std::size_t objects) {
    std::string body = R"({"timestamp":1,"a":[{})";
    for (std::size_t i = 0; i < objects; ++i) body += "," + wide(1000);
    return body + "]}";
  };
  EXPECT_FALSE(record(*format, many(sardana_key_limit / 1000 - 1)).fault);
  EXPECT_EQ(record(*format, many(sardana_key_limit / 1000)).fault, packet_fault::oversized);
  std::string deep = R"({"timestamp":1,"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  EXPECT_EQ(record(*format, deep).fault, packet_fault::not_json);
}

TEST(sardana, accepts_bare_nan) {
  auto format = make_sardana();
  auto packet = record(*format, R"({"timestamp":NaN,"point_nb":0,"ct":NaN,"spectrum":[1,-Infinity]})");
  EXPECT_FALSE(packet.fault);
  auto parsed = parse_sardana_record(packet.data);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(std::isnan(parsed->timestamp));
  EXPECT_TRUE(std::isnan(*parsed->columns.find("ct")->as_number()));
  EXPECT_EQ(parsed->columns.find("spectrum")->as_array()->elements<double>()[1], -INFINITY);
}

TEST(sardana, decodes_records) {
  auto record = parse_sardana_record(
      entry(R"({"point_nb":3,"timestamp":0.5,"mot":-1.5,"ct":7,"name":"x","flag":true,"none":null,)"
            R"("mca":[1,2,3],"image":[[1,2],[3,4.5]],"ragged":[[1],[2,3]],"type":"RecordData"})"));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->point_nb, 3u);
  EXPECT_EQ(record->timestamp, 0.5);
  EXPECT_EQ(*record->columns.find("mot"), value(-1.5));
  EXPECT_EQ(*record->columns.find("ct"), value(7));
  EXPECT_EQ(*record->columns.find("name"), value("x"));
  EXPECT_EQ(*record->columns.find("flag"), value(true));
  EXPECT_TRUE(record->columns.find("none")->is_null());
  EXPECT_EQ(*record->columns.find("mca"), value(array::of(std::vector<std::int64_t>{1, 2, 3})));
  std::vector<double> image = {1, 2, 3, 4.5};
  EXPECT_EQ(*record->columns.find("image"), value(array::of(std::span<const double>(image), {2, 2})));
  EXPECT_TRUE(record->columns.find("ragged")->as_list());
  EXPECT_EQ(record->columns.size(), 8u);
  EXPECT_FALSE(record->columns.find("type"));
}

TEST(sardana, decodes_descriptions) {
  auto d = parse_sardana_description(
      entry(R"({"type":"DataDescription","serialno":5,"title":"t","scandir":"/d","scanfile":["a.h5","b"],)"
            R"("starttime":"now","estimatedtime":-1.5,"total_scan_intervals":10,"counters":["c1","c2"],)"
            R"("ref_moveables":["m"],"column_desc":[{"name":"n","label":"l","dtype":"float64","shape":[2,3],)"
            R"("min_value":-1,"max_value":null,"instrument":"i","is_reference":true},7],"more":{"x":1}})"));
  ASSERT_TRUE(d);
  EXPECT_EQ(d->serialno, 5);
  EXPECT_EQ(d->title, "t");
  EXPECT_EQ(d->scandir, "/d");
  EXPECT_EQ(d->scanfile, "a.h5");
  EXPECT_EQ(d->starttime, "now");
  EXPECT_EQ(d->estimatedtime, -1.5);
  EXPECT_EQ(d->total_scan_intervals, 10);
  EXPECT_THAT(d->counters, testing::ElementsAre("c1", "c2"));
  EXPECT_THAT(d->ref_moveables, testing::ElementsAre("m"));
  ASSERT_EQ(d->columns.size(), 1u);
  EXPECT_EQ(d->columns[0], (sardana_column{"n", "l", "float64", "i", {2, 3}, -1.0, std::nullopt, true}));
  EXPECT_EQ(*d->fields.find("more")->find("x"), value(1));
}

TEST(sardana, writes_what_it_reads) {
  sardana_description d;
  d.serialno = 9;
  d.title = "a \"title\"";
  d.scandir = "/d";
  d.scanfile = "f";
  d.starttime = "s";
  d.columns = {{"n", "l", "int64", "i", {4}, 0.5, 1e300, true}};
  d.ref_moveables = {"m"};
  d.counters = {"c"};
  d.estimatedtime = 0.1;
  d.total_scan_intervals = 3;
  d.fields.set("extra", 1);
  auto format = make_sardana();
  auto read_back =
      parse_sardana_description(one(*format, sardana_description_path, write_sardana_description(d)).data);
  ASSERT_TRUE(read_back);
  EXPECT_EQ(read_back->serialno, d.serialno);
  EXPECT_EQ(read_back->title, d.title);
  EXPECT_EQ(read_back->scanfile, d.scanfile);
  EXPECT_EQ(read_back->columns, d.columns);
  EXPECT_EQ(read_back->counters, d.counters);
  EXPECT_EQ(read_back->estimatedtime, d.estimatedtime);
  EXPECT_EQ(read_back->total_scan_intervals, d.total_scan_intervals);
  EXPECT_EQ(*read_back->fields.find("extra"), value(1));

  sardana_record r{.point_nb = 4, .timestamp = 0.1, .columns = {{"x", 1e-300}, {"y", "text"}}};
  r.columns.set("a", array::of(std::vector<std::int64_t>{-1, 2}));
  auto record_back = parse_sardana_record(record(*format, write_sardana_record(r)).data);
  ASSERT_TRUE(record_back);
  EXPECT_EQ(record_back->point_nb, r.point_nb);
  EXPECT_EQ(record_back->timestamp, r.timestamp);
  EXPECT_EQ(record_back->columns, r.columns);
}

TEST(sardana, decodes_nothing_else) {
  auto record = entry(R"({"type":"RecordData","timestamp":1})");
  auto start = entry(R"({"type":"DataDescription","serialno":1,"scandir":"","title":""})");
  auto end = entry(R"({"type":"RecordEnd"})");
  EXPECT_EQ(sardana_kind(start), entry_kind::start);
  EXPECT_EQ(sardana_kind(record), entry_kind::data);
  EXPECT_EQ(sardana_kind(end), entry_kind::end);
  EXPECT_FALSE(parse_sardana_description(record));
  EXPECT_FALSE(parse_sardana_description(end));
  EXPECT_FALSE(parse_sardana_record(start));
  for (auto& bad : {entry("junk"), entry("{}"), entry(R"({"type":"RecordData"})"), stream_data(),
                    sardana_message(sardana_custom_path, "{}")}) {
    EXPECT_FALSE(sardana_kind(bad));
    EXPECT_FALSE(parse_sardana_record(bad));
    EXPECT_FALSE(parse_sardana_description(bad));
  }
}

TEST(sardana, survives_hostile_bytes) {
  auto format = make_sardana();
  const std::string bodies[] = {std::string(description),
                                R"({"point_nb":8,"a":[[1,2],[3,NaN]],"b":"\u00e9\"x","timestamp":0.61})",
                                "{}"};
  const std::string_view paths[] = {sardana_description_path, sardana_record_path, sardana_end_path};
  std::mt19937 random(1);
  int passed = 0;
  auto feed = [&](std::string_view path, const std::string& body) {
    for (auto& packet : read(*format, path, body)) {
      EXPECT_EQ(packet.fault.has_value(), !packet.data);
      if (packet.fault) continue;
      ++passed;
      // What the reader passes is readable, also behind it.
      EXPECT_TRUE(sardana_kind(packet.data)) << body;
      EXPECT_TRUE(json_to_value(packet.data.frames()[0].text())) << body;
    }
  };
  for (int p = 0; p < 3; ++p) {
    for (std::size_t n = 0; n < bodies[p].size(); ++n) {
      EXPECT_EQ(one(*format, paths[p], bodies[p].substr(0, n)).fault, packet_fault::not_json);
      for (int i = 0; i < 20; ++i) {
        auto body = bodies[p];
        body[n] = static_cast<char>(random());
        feed(paths[p], body);
      }
    }
  }
  EXPECT_GT(passed, 100);
}

TEST(sardana, rejects_options) {
  EXPECT_THROW(make_sardana({{"first_point", "2"}}), std::runtime_error);
  EXPECT_THROW(make_sardana({{"other", "1"}}), std::runtime_error);
}

} // namespace
} // namespace dtranspose
