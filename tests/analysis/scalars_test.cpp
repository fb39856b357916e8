#include "analysis/scalars.hpp"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "analysis/streams.hpp"
#include "protocol/bluesky.hpp"
#include "protocol/lecroy.hpp"
#include "protocol/panda_row.hpp"
#include "protocol/panda_tcp.hpp"
#include "protocol/pcap.hpp"
#include "protocol/pickle.hpp"
#include "protocol/raw.hpp"
#include "protocol/sardana.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {
namespace {

using streams::made_event;
using streams::text_message;
using testing::AllOf;
using testing::HasSubstr;

/// The number of one field of a stream called `s`, in an event that has it alone.
double number(scalar_reader& reader, const stream_data& data) {
  made_event e({{"s", data}});
  auto& found = reader.read(e.view());
  EXPECT_TRUE(found.at(0).is_number());
  return found.at(0).number;
}

double number(std::string_view field, const stream_data& data) {
  scalar_reader reader({"s:" + std::string(field)});
  return number(reader, data);
}

std::string complaint(std::string_view field, const stream_data& data) {
  scalar_reader reader({"s:" + std::string(field)});
  made_event e({{"s", data}});
  try {
    reader.read(e.view());
    return {};
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

scalar::state state(std::string_view field, const stream_data& data) {
  scalar_reader reader({"s:" + std::string(field)});
  made_event e({{"s", data}});
  return reader.read(e.view()).at(0).what;
}

stream_data pcap_row_of(std::string_view fields) {
  return text_message(pcap_type_tag, fmt::format(R"({{"message_id":2,"version":1,"message_type":"data",)"
                                                 R"("frame_number":7,{}}})",
                                                 fields));
}

TEST(scalars, of_an_electrometer) {
  auto data = streams::alba({{1, 2.5e-8}, {3, -1e-12}});
  EXPECT_EQ(number("channel1", data), 2.5e-8);
  EXPECT_EQ(number("channel3", data), -1e-12);
  EXPECT_EQ(number("timestamp", data), 0.5);
  EXPECT_THAT(complaint("channel2", data), AllOf(HasSubstr("stream 's': no number 'channel2'"),
                                                 HasSubstr("channel1"), HasSubstr("channel3")));
  std::string start;
  write_albaem_start(start, 1);
  EXPECT_EQ(state("channel1", text_message(albaem_type_tag, start)), scalar::state::message);
}

TEST(scalars, of_contrast) {
  auto inner = value_map{{"INENC1.VAL_Mean", array::of(std::vector<double>{4.5})}};
  auto data = streams::contrast({{"sx", 1.25},
                                 {"n", std::int64_t{-3}},
                                 {"panda0", inner},
                                 {"a/b", 8.0},
                                 {"two", array::of(std::vector<double>{1, 2})},
                                 {"text", "x"}});
  EXPECT_EQ(number("sx", data), 1.25);
  EXPECT_EQ(number("n", data), -3);
  EXPECT_EQ(number("panda0/INENC1.VAL_Mean", data), 4.5);
  EXPECT_EQ(number("a/b", data), 8);
  EXPECT_EQ(number("dt", data), 1.5);
  for (auto field : {"sz", "panda0", "panda0/none", "two", "text", "sx/sx"})
    EXPECT_THAT(complaint(field, data), HasSubstr("no number '" + std::string(field) + "'; there are sx, n"));
  EXPECT_EQ(state("sx", streams::contrast_start()), scalar::state::message);
}

TEST(scalars, of_a_panda_over_zmq) {
  auto data = pcap_row_of(R"("INENC1.VAL.Mean":3.5,"n":2)");
  EXPECT_EQ(number("INENC1.VAL.Mean", data), 3.5);
  EXPECT_EQ(number("n", data), 2);
  EXPECT_EQ(number("frame_number", data), 7);
  EXPECT_THAT(complaint("INENC2", data), HasSubstr("INENC1.VAL.Mean"));
}

TEST(scalars, of_a_panda_over_tcp_by_the_columns_of_its_start) {
  panda_header header;
  header.columns.push_back({.name = "INENC1.VAL", .capture = "Value", .type = panda_type::float64});
  complete_panda_header(header);
  std::string start;
  append_panda_header(start, header);
  start.pop_back(); // the empty line
  auto row = text_message(panda_tcp_type_tag, " 4.25");
  scalar_reader reader({"s:INENC1.VAL.Value"});
  made_event begin({{"s", text_message(panda_tcp_type_tag, start)}});
  EXPECT_EQ(reader.read(begin.view()).at(0).what, scalar::state::message);
  EXPECT_EQ(number(reader, row), 4.25);
  EXPECT_THAT(complaint("INENC1.VAL.Value", row), HasSubstr("header_in_rows"));
}

TEST(scalars, of_sardana_and_bluesky) {
  auto record =
      text_message(sardana_type_tag, R"({"point_nb":8,"mot01":0.05,"timestamp":0.61,"type":"RecordData"})");
  EXPECT_EQ(number("mot01", record), 0.05);
  EXPECT_EQ(number("point_nb", record), 8);
  EXPECT_EQ(number("timestamp", record), 0.61);
  auto document = value_map{{"uid", "u"},
                            {"time", 2.0},
                            {"seq_num", 3},
                            {"descriptor", "d"},
                            {"data", value_map{{"det", 5.5}}},
                            {"timestamps", value_map{}}};
  auto bluesky =
      text_message(bluesky_type_tag, write_bluesky_message("", "event", document, bluesky_serializer::json));
  EXPECT_EQ(number("det", bluesky), 5.5);
  EXPECT_EQ(number("seq_num", bluesky), 3);
}

TEST(scalars, of_an_oscilloscope) {
  const std::vector<std::uint64_t> channels{2};
  std::string start, traces, end;
  write_lecroy_start(start, {.channels = channels});
  write_lecroy_traces(traces, {.channel = 2, .ts = 9, .traces = 2, .samples = 3});
  write_lecroy_end(end, 1);
  const std::vector<double> samples{1, 2, 3, 4, 5, 9};
  auto raw = std::as_bytes(std::span(samples));
  auto data = streams::message(lecroy_type_tag, {streams::bytes_of(start),
                                                 streams::bytes_of(traces),
                                                 {raw.begin(), raw.end()},
                                                 write_pickle(value_list{1.0, 2.0}),
                                                 streams::bytes_of(end)});
  EXPECT_EQ(number("2/sum", data), 24);
  EXPECT_EQ(number("2/mean", data), 4);
  EXPECT_EQ(number("2/min", data), 1);
  EXPECT_EQ(number("2/max", data), 9);
  EXPECT_DOUBLE_EQ(number("2/rms", data), std::sqrt(136.0 / 6));
  EXPECT_EQ(number("2/ts", data), 9);
  for (auto field : {"1/sum", "2", "2/median", "x/sum"})
    EXPECT_THAT(complaint(field, data), HasSubstr("there are 2/sum, 2/mean")) << field;
}

TEST(scalars, of_spectra_and_images) {
  auto spectra = streams::xspress3<std::uint32_t>({1, 2, 3, 4}, {1.5, 2.5});
  EXPECT_EQ(number("dtc/1", spectra), 2.5);
  EXPECT_EQ(number("dead_time_correction/0", spectra), 1.5);
  EXPECT_EQ(number("sum", spectra), 10);
  EXPECT_THAT(complaint("dtc/2", spectra), HasSubstr("dtc/1"));
  EXPECT_EQ(state("sum", streams::xspress3_start()), scalar::state::message);
  EXPECT_EQ(state("sum", streams::xspress3_end()), scalar::state::message);
  std::string header;
  const std::vector<std::size_t> shape{2, 2};
  write_stins_image(header, 1, {.shape = shape, .type = "int16", .extra = R"("exposure_time":0.25)"});
  const std::vector<std::int16_t> pixels{-1, 2, 3, 4};
  auto raw = std::as_bytes(std::span(pixels));
  auto image = streams::message(stins_type_tag, {streams::bytes_of(header), {raw.begin(), raw.end()}});
  EXPECT_EQ(number("sum", image), 8);
  EXPECT_EQ(number("mean", image), 2);
  EXPECT_EQ(number("min", image), -1);
  EXPECT_EQ(number("exposure_time", image), 0.25);
  EXPECT_THAT(complaint("median", image), HasSubstr("sum, mean, min, max"));
  std::string end;
  write_stins_end(end, 3);
  EXPECT_EQ(state("sum", text_message(stins_type_tag, end)), scalar::state::message);
}

TEST(scalars, of_whatever_has_a_json_header) {
  auto data = text_message(raw_type_tag, R"({"a":{"b":1.5},"c":2,"d.e":3,"f":"text"})");
  EXPECT_EQ(number("a.b", data), 1.5);
  EXPECT_EQ(number("c", data), 2);
  EXPECT_EQ(number("d.e", data), 3);
  for (auto field : {"a", "a.c", "c.d", "f", "g"}) EXPECT_THAT(complaint(field, data), HasSubstr("a, c"));
  EXPECT_EQ(state("a", text_message(raw_type_tag, "no JSON")), scalar::state::message);
}

TEST(scalars, tells_what_is_missing_from_what_is_not_sent_here) {
  scalar_reader reader({"alba:channel1", "contrast:sx", "other:x", ""});
  made_event e({{"alba", streams::alba({{1, 4}})}}, {"contrast"});
  auto& found = reader.read(e.view());
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].number, 4);
  EXPECT_EQ(found[1].what, scalar::state::missing);
  EXPECT_EQ(found[2].what, scalar::state::absent);
  EXPECT_EQ(found[3].what, scalar::state::absent);
  for (int i = 1; i < 4; ++i) EXPECT_TRUE(std::isnan(found[i].number));
}

TEST(scalars, readings_of_an_earlier_event_do_not_stay) {
  scalar_reader reader({"alba:channel1"});
  made_event first({{"alba", streams::alba({{1, 4}})}}), second({{"contrast", streams::contrast({})}});
  EXPECT_TRUE(reader.read(first.view()).at(0).is_number());
  auto& found = reader.read(second.view());
  EXPECT_FALSE(found.at(0).is_number());
  EXPECT_TRUE(std::isnan(found.at(0).number));
}

TEST(scalars, names_have_a_stream_and_a_field) {
  for (auto name : {"alba", ":channel1", "alba:", ":"}) {
    EXPECT_THROW(scalar_reader({name}), std::invalid_argument) << name;
    EXPECT_THROW(check_scalar_name("i0", name), std::invalid_argument) << name;
  }
  EXPECT_NO_THROW(check_scalar_name("i0", ""));
  EXPECT_THROW(check_scalar_name("i0", "", false), std::invalid_argument);
}

TEST(scalars, hostile_bytes_are_no_numbers) {
  for (auto type : {albaem_type_tag, pcap_type_tag, panda_tcp_type_tag, contrast_type_tag, sardana_type_tag,
                    bluesky_type_tag, lecroy_type_tag, xspress3_type_tag, stins_type_tag, raw_type_tag})
    for (std::string_view bytes : {"", "{", "{}", "\x80\x04.", "null", "[1]"}) {
      scalar_reader reader({"s:x"});
      made_event e({{"s", text_message(type, bytes)}});
      try {
        EXPECT_FALSE(reader.read(e.view()).at(0).is_number()) << type << " " << bytes;
      } catch (const std::runtime_error& error) {
        EXPECT_THAT(error.what(), HasSubstr("stream 's'"));
      }
    }
}

} // namespace
} // namespace dtranspose
