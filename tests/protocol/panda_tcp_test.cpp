#include "protocol/panda_tcp.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instrument/panda_tcp_series.hpp"
#include "model/stream_queue.hpp"
#include "protocol/base64.hpp"

namespace dtranspose {
namespace {

using namespace std::literals;
using testing::ElementsAre;

/// The header and rows of the specification's example.
const std::string example_header = "arm_time: 2023-12-19T07:51:12.754Z\nmissed: 0\nprocess: Scaled\n"
                                   "format: ASCII\nfields:\n PCAP.BITS0 uint32 Value\n"
                                   " PCAP.TS_TRIG double Value scale: 8e-09 offset: 0 units: s\n"
                                   " INENC1.VAL double Mean scale: 1 offset: 0 units: \n";
const std::string example_row_1 = " 301989857 0.32175968 7", example_row_2 = " 33554401 0.43175968 -2.5e-07";
const std::string example =
    "OK\n" + example_header + "\n" + example_row_1 + "\n" + example_row_2 + "\nEND 2 Disarmed\n";

/// The header of the example for another format.
std::string header_for(std::string_view format, std::string_view sample_bytes = "20",
                       std::string_view missed = "0") {
  auto text = example_header;
  text.replace(text.find("missed: 0"), 9, "missed: " + std::string(missed));
  text.replace(text.find("ASCII"), 5, std::string(format) + "\nsample_bytes: " + std::string(sample_bytes));
  return text + "\n";
}

std::string packed(std::uint32_t bits, double time, double position) {
  std::string bytes(20, '\0');
  std::memcpy(bytes.data(), &bits, 4);
  std::memcpy(bytes.data() + 4, &time, 8);
  std::memcpy(bytes.data() + 12, &position, 8);
  return bytes;
}

std::string framed(std::string_view data, std::uint32_t extra = 8) {
  auto length = static_cast<std::uint32_t>(data.size() + extra);
  std::string frame = "BIN ";
  frame.append(reinterpret_cast<const char*>(&length), 4);
  return frame.append(data);
}

stream_data piece(std::string_view bytes) { return memory_frames::of(panda_tcp_type_tag, {bytes}); }

/// A reader that is fed in pieces, and what it found.
struct reading {
  explicit reading(const protocol_options& options = {}) : format(make_panda_tcp(options)) {}

  reading& feed(std::string_view bytes) {
    if (!bytes.empty()) format->read(piece(bytes), packets);
    return *this;
  }

  /// In pieces of that size.
  reading& feed(std::string_view bytes, std::size_t size) {
    for (std::size_t i = 0; i < bytes.size(); i += size) feed(bytes.substr(i, size));
    return *this;
  }

  std::unique_ptr<protocol> format;
  std::vector<stream_packet> packets;
};

/// A packet in words, so that lists of them compare and print.
std::string words(const stream_packet& p) {
  std::string text = p.numbers.kind == entry_kind::start ? "start"
                     : p.numbers.kind == entry_kind::end ? "end"
                                                         : "row";
  if (p.fault && !p.numbered) text = "fault";
  if (p.numbers.number) text += " " + std::to_string(*p.numbers.number);
  if (p.numbers.count) text += " of " + std::to_string(*p.numbers.count);
  if (p.fault) text += " " + std::string(name_of(*p.fault));
  if (p.fault.has_value() == static_cast<bool>(p.data)) text += " WITH THE WRONG DATA";
  return text;
}

std::vector<std::string> words(const std::vector<stream_packet>& packets) {
  std::vector<std::string> list;
  for (auto& p : packets) list.push_back(words(p));
  return list;
}

std::vector<std::string> words_of(std::string_view bytes) { return words(reading().feed(bytes).packets); }

std::string text_of(const stream_packet& p, std::size_t part = 0) {
  return std::string(p.data.frames()[part].text());
}

std::shared_ptr<const panda_header> header_of(const stream_packet& start) {
  auto header = parse_panda_header(start.data);
  return header ? std::make_shared<const panda_header>(*header) : nullptr;
}

TEST(panda_tcp, reads_the_worked_example) {
  reading got;
  got.feed(example);
  EXPECT_THAT(words(got.packets), ElementsAre("start", "row 0", "row 1", "end of 2"));
  EXPECT_EQ(text_of(got.packets[0]), example_header);
  EXPECT_EQ(text_of(got.packets[1]), example_row_1);
  EXPECT_EQ(text_of(got.packets[2]), example_row_2);
  EXPECT_EQ(text_of(got.packets[3]), "END 2 Disarmed");
  for (auto& p : got.packets) {
    EXPECT_EQ(p.data.type(), "PCAP_RAW");
    EXPECT_EQ(p.data.frames().size(), 1u);
  }

  auto header = header_of(got.packets[0]);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->arm_time, "2023-12-19T07:51:12.754Z");
  EXPECT_EQ(header->start_time, "");
  EXPECT_EQ(header->process, panda_process::scaled);
  EXPECT_EQ(header->format, panda_format::ascii);
  ASSERT_EQ(header->columns.size(), 3u);
  EXPECT_EQ(header->columns[0].key, "PCAP.BITS0.Value");
  EXPECT_EQ(header->columns[0].type, panda_type::uint32);
  EXPECT_FALSE(header->columns[0].scalable);
  EXPECT_EQ(header->columns[1].key, "PCAP.TS_TRIG.Value");
  EXPECT_EQ(header->columns[1].type, panda_type::float64);
  EXPECT_EQ(header->columns[1].scale, 8e-09);
  EXPECT_EQ(header->columns[1].units, "s");
  EXPECT_EQ(header->columns[2].key, "INENC1.VAL.Mean");
  EXPECT_EQ(header->columns[2].units, "");

  auto row = parse_panda_row(header, got.packets[2].data);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->number("PCAP.BITS0.Value"), 33554401.0);
  EXPECT_EQ(row->at(0), value(std::uint64_t{33554401}));
  EXPECT_EQ(row->number("PCAP.TS_TRIG.Value"), 0.43175968);
  EXPECT_EQ(row->number("INENC1.VAL.Mean"), -2.5e-07);
  EXPECT_EQ(row->number("INENC1.VAL"), std::nullopt);
  EXPECT_EQ(row->scaled("INENC1.VAL.Mean"), -2.5e-07); // the server has scaled it
  EXPECT_EQ(row->values(), (value_map{{"PCAP.BITS0.Value", std::uint64_t{33554401}},
                                      {"PCAP.TS_TRIG.Value", 0.43175968},
                                      {"INENC1.VAL.Mean", -2.5e-07}}));
  auto end = parse_panda_end(got.packets[3].data);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->count, 2u);
  EXPECT_EQ(end->reason, "Disarmed");
}

TEST(panda_tcp, writes_the_worked_example) {
  auto header = *header_of(reading().feed(example).packets[0]);
  std::string text = "OK\n";
  append_panda_header(text, header);
  std::string rows = packed(301989857, 0.32175968, 7) + packed(33554401, 0.43175968, -2.5e-07);
  append_panda_rows(text, header, std::as_bytes(std::span(rows)));
  append_panda_end(text, 2, "Disarmed");
  EXPECT_EQ(text, example);
}

TEST(panda_tcp, reads_the_worked_frame) {
  auto frame = framed(packed(301989857, 0.32175968, 7));
  EXPECT_EQ(frame.substr(0, 8), "\x42\x49\x4e\x20\x1c\0\0\0"s);
  reading got;
  got.feed("OK\n" + header_for("Framed") + frame + "END 1 Ok\n");
  EXPECT_THAT(words(got.packets), ElementsAre("start", "row 0", "end of 1"));
  auto row = parse_panda_row(header_of(got.packets[0]), got.packets[1].data);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->number("PCAP.BITS0.Value"), 301989857.0);
  EXPECT_EQ(row->number("PCAP.TS_TRIG.Value"), 0.32175968);
  EXPECT_EQ(row->number("INENC1.VAL.Mean"), 7);
  std::string written;
  auto header = header_of(got.packets[0]);
  append_panda_rows(written, *header, row->sample());
  EXPECT_EQ(written, frame);
}

TEST(panda_tcp, asks_for_what_its_options_say) {
  auto greeting = [](const protocol_options& options) {
    return std::string(make_panda_tcp(options)->greeting());
  };
  EXPECT_EQ(greeting({}), "\n");
  EXPECT_EQ(greeting({{"format", "ascii"}, {"process", "scaled"}, {"xml", "false"}}), "\n");
  EXPECT_EQ(greeting({{"format", "framed"}}), "FRAMED\n");
  EXPECT_EQ(greeting({{"format", "base64"}, {"process", "raw"}}), "BASE64 RAW\n");
  EXPECT_EQ(greeting({{"format", "unframed"}, {"xml", "true"}}), "UNFRAMED XML\n");
  EXPECT_THROW(make_panda_tcp({{"format", "binary"}}), std::runtime_error);
  EXPECT_THROW(make_panda_tcp({{"process", "unscaled"}}), std::runtime_error);
  EXPECT_THROW(make_panda_tcp({{"xml", "yes"}}), std::runtime_error);
  EXPECT_THROW(make_panda_tcp({{"fields", "a"}}), std::runtime_error);
  auto format = make_panda_tcp();
  EXPECT_EQ(format->name(), "panda_tcp");
  EXPECT_EQ(format->type_tag(), "PCAP_RAW");
  EXPECT_FALSE(format->numbered());
}

/// Everything that a simulated PandABox sends.
std::string sent_by(const series_settings& settings) {
  auto series = make_panda_tcp_series(settings);
  std::string bytes = "OK\n";
  while (auto message = series->next()) bytes += message->frames()[0].text();
  return bytes;
}

std::vector<series_settings> all_forms() {
  std::vector<series_settings> all;
  for (auto format : {"ascii", "base64", "framed", "unframed"})
    for (auto process : {"scaled", "raw"})
      for (auto xml : {"false", "true"})
        for (auto rows : {"1", "3", "7"})
          all.push_back({.frames = 7,
                         .seed = 5,
                         .options = {{"arms", "2"},
                                     {"format", format},
                                     {"process", process},
                                     {"xml", xml},
                                     {"rows_per_message", rows},
                                     {"fields", "INENC1.VAL.StdDev,PCAP.BITS0.Value,INENC1.VAL.Mean,"
                                                "PCAP.TS_TRIG.Value,INENC2.VAL.Min,INENC2.VAL.Sum"}}});
  return all;
}

std::string name_of(const series_settings& settings) {
  std::string text;
  for (auto& [key, content] : settings.options)
    if (key != "fields") text += key + "=" + content + " ";
  return text;
}

TEST(panda_tcp, does_not_care_where_pieces_are_cut) {
  for (auto& settings : all_forms()) {
    SCOPED_TRACE(name_of(settings));
    auto bytes = sent_by(settings);
    reading whole;
    whole.feed(bytes);
    std::vector<std::string> expected;
    for (int arm = 0; arm < 2; ++arm) {
      expected.push_back("start");
      for (int i = 0; i < 7; ++i) expected.push_back("row " + std::to_string(i));
      expected.push_back("end of 7");
    }
    ASSERT_EQ(words(whole.packets), expected);
    auto compare = [&](const reading& cut) {
      ASSERT_EQ(words(cut.packets), expected);
      for (std::size_t i = 0; i < expected.size(); ++i)
        ASSERT_EQ(cut.packets[i].data, whole.packets[i].data) << i;
    };
    for (std::size_t i = 1; i < bytes.size(); i += 3) {
      reading cut;
      cut.feed(std::string_view(bytes).substr(0, i)).feed(std::string_view(bytes).substr(i));
      compare(cut);
    }
    for (std::size_t size : {1, 2, 3, 5, 57, 64}) {
      reading cut;
      cut.feed(bytes, size);
      compare(cut);
    }
  }
}

TEST(panda_tcp, decodes_what_was_sent) {
  for (auto& settings : all_forms()) {
    SCOPED_TRACE(name_of(settings));
    reading got;
    got.feed(sent_by(settings), 100);
    ASSERT_EQ(got.packets.size(), 18u);
    auto header = header_of(got.packets[0]);
    ASSERT_TRUE(header);
    bool exact = settings.options.at("process") == "raw" || settings.options.at("format") != "ascii";
    auto expected_header = panda_series_header(settings);
    ASSERT_EQ(header->columns.size(), expected_header.columns.size());
    for (std::size_t c = 0; c < header->columns.size(); ++c) {
      EXPECT_EQ(header->columns[c].key, expected_header.columns[c].key);
      EXPECT_EQ(header->columns[c].type, expected_header.columns[c].type);
      EXPECT_EQ(header->columns[c].scale, expected_header.columns[c].scale);
      EXPECT_EQ(header->columns[c].units, expected_header.columns[c].units);
      EXPECT_EQ(header->columns[c].position, expected_header.columns[c].position);
    }
    for (std::uint64_t i = 0; i < 14; ++i) {
      auto row = parse_panda_row(header, got.packets[i < 7 ? i + 1 : i + 3].data);
      ASSERT_TRUE(row) << i;
      auto sent = panda_series_row(settings, i / 7, i % 7);
      if (exact) {
        ASSERT_TRUE(std::equal(sent.begin(), sent.end(), row->sample().begin(), row->sample().end()));
        continue;
      }
      panda_row original(header, sent);
      for (std::size_t c = 0; c < row->size(); ++c) {
        char text[32]; // as a server prints it
        std::snprintf(text, sizeof text, "%.10g", original.number(c));
        ASSERT_EQ(row->number(c), std::strtod(text, nullptr)) << c;
      }
    }
  }
}

TEST(panda_tcp, scales_raw_numbers_as_the_server_does) {
  auto settings = all_forms().front();
  settings.options["format"] = "framed";
  for (std::uint64_t i = 0; i < 7; ++i) {
    settings.options["process"] = "scaled";
    auto scaled_header = std::make_shared<const panda_header>(panda_series_header(settings));
    auto scaled_sample = panda_series_row(settings, 0, i);
    settings.options["process"] = "raw";
    auto raw_header = std::make_shared<const panda_header>(panda_series_header(settings));
    auto raw_sample = panda_series_row(settings, 0, i);
    panda_row scaled(scaled_header, scaled_sample), raw(raw_header, raw_sample);
    for (auto& column : scaled_header->columns) {
      ASSERT_TRUE(raw.scaled(column.key)) << column.key;
      EXPECT_DOUBLE_EQ(*raw.scaled(column.key), *scaled.number(column.key)) << column.key;
      EXPECT_EQ(scaled.scaled(column.key), scaled.number(column.key));
    }
  }
}

/// A raw row of columns with these types and captures, all of scale 2 and offset 1.
struct raw_row {
  raw_row() { header->process = panda_process::raw, header->format = panda_format::unframed; }

  template <class T>
  raw_row& add(std::string_view name, std::string_view capture, panda_type type, T number) {
    panda_column column;
    column.name = name;
    column.capture = capture;
    column.type = type;
    column.scalable = type != panda_type::uint32;
    column.scale = 2;
    column.offset = 1;
    header->columns.push_back(column);
    complete_panda_header(*header);
    sample.resize(header->sample_bytes);
    std::memcpy(sample.data() + header->columns.back().position, &number, sizeof number);
    return *this;
  }

  panda_row row() const { return panda_row(header, sample); }

  std::shared_ptr<panda_header> header = std::make_shared<panda_header>();
  std::vector<std::byte> sample;
};

struct [[gnu::packed]] int96 {
  std::uint64_t low;
  std::int32_t high;
};

TEST(panda_tcp, computes_deviations_without_losing_digits) {
  // A billion samples of which half are 2147483647 and half 2147483645: both terms of the variance
  // agree in 60 bits.
  constexpr std::uint32_t n = 1'000'000'000;
  constexpr std::int64_t a = 2147483647, b = 2147483645;
  constexpr std::int64_t sum = (a + b) * (n / 2);
  __extension__ using wide = unsigned __int128;
  wide squares = (wide(a) * wide(a) + wide(b) * wide(b)) * (n / 2);
  raw_row made;
  made.add("PCAP.SAMPLES", "Value", panda_type::uint32, n)
      .add("X", "Mean", panda_type::int64, sum)
      .add("X", "StdDev", panda_type::int96,
           int96{static_cast<std::uint64_t>(squares), static_cast<std::int32_t>(squares >> 64)});
  EXPECT_EQ(made.row().scaled("X.Mean"), 2.0 * 2147483646 + 1);
  EXPECT_DOUBLE_EQ(*made.row().scaled("X.StdDev"), 2.0);
  EXPECT_EQ(made.row().wide(2).high, static_cast<std::int32_t>(squares >> 64));
  EXPECT_EQ(made.row().wide(2).low, static_cast<std::uint64_t>(squares));
  EXPECT_EQ(made.row().wide(1).low, 0u);
  EXPECT_EQ(*made.row().number("X.StdDev"), static_cast<double>(squares));
}

TEST(panda_tcp, scales_nothing_that_it_cannot) {
  raw_row made;
  made.add("X", "Mean", panda_type::int64, std::int64_t{-7})
      .add("Y", "StdDev", panda_type::int96, int96{100, 0})
      .add("X", "Sum", panda_type::int64, std::int64_t{-7})
      .add("X", "Value", panda_type::int32, std::int32_t{-7})
      .add("BITS", "Value", panda_type::uint32, 0xffffffffu);
  EXPECT_EQ(made.row().scaled("X.Mean"), std::nullopt); // how many samples?
  EXPECT_EQ(made.row().scaled("Y.StdDev"), std::nullopt);
  EXPECT_EQ(made.row().scaled("X.Sum"), -13.0);
  EXPECT_EQ(made.row().scaled("X.Value"), -13.0);
  EXPECT_EQ(made.row().scaled("BITS.Value"), 4294967295.0);
  EXPECT_EQ(made.row().scaled("X"), std::nullopt);
  made.add("PCAP.GATE_DURATION", "Value", panda_type::uint32, 0u);
  EXPECT_EQ(made.row().scaled("X.Mean"), -13.0);          // none counts as one
  EXPECT_EQ(made.row().scaled("Y.StdDev"), std::nullopt); // of which sum?
  made.add("Y", "Mean", panda_type::int64, std::int64_t{11});
  EXPECT_EQ(made.row().scaled("Y.StdDev"), std::nullopt); // 100 / 1 is less than 11^2
  EXPECT_EQ(made.row().at(0), value(std::int64_t{-7}));
  EXPECT_EQ(made.row().at(1), value(100.0));
  EXPECT_EQ(made.row().at(3), value(std::int64_t{-7}));
}

TEST(panda_tcp, reads_an_xml_header) {
  const std::string text = "<header>\n<data arm_time=\"2024-10-07T08:49:10.627123456Z\" "
                           "start_time=\"2024-10-07T08:49:11.000000001Z\" hw_time_offset_ns=\"-105\" "
                           "missed=\"3\" process=\"Raw\" format=\"Framed\" sample_bytes=\"20\" />\n<fields>\n"
                           "<field name=\"PCAP.SAMPLES\" type=\"uint32\" capture=\"Value\" />\n"
                           "<field name=\"A.B\" type=\"int32\" capture=\"Value\" scale=\"0.001\" "
                           "offset=\"-5\" units=\"&lt;&amp;&gt; &quot;x&apos; &amp;lt;\" />\n"
                           "<field name=\"A.B\" type=\"int96\" capture=\"StdDev\" scale=\"1\" offset=\"0\"\n"
                           "units=\"\" />\n</fields>\n</header>\n";
  reading got;
  got.feed(text + "\n" + framed("01234567890123456789") + "END 1 Ok\n");
  EXPECT_THAT(words(got.packets), ElementsAre("start", "row 3", "end of 4"));
  EXPECT_EQ(text_of(got.packets[0]), text);
  auto header = header_of(got.packets[0]);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->arm_time, "2024-10-07T08:49:10.627123456Z");
  EXPECT_EQ(header->start_time, "2024-10-07T08:49:11.000000001Z");
  EXPECT_EQ(header->hw_time_offset_ns, -105);
  EXPECT_EQ(header->missed, 3u);
  EXPECT_EQ(header->process, panda_process::raw);
  EXPECT_EQ(header->sample_bytes, 20u);
  ASSERT_EQ(header->columns.size(), 3u);
  EXPECT_EQ(header->columns[1].scale, 0.001);
  EXPECT_EQ(header->columns[1].offset, -5);
  EXPECT_EQ(header->columns[1].units, "<&> \"x' &lt;");
  EXPECT_EQ(header->columns[2].type, panda_type::int96);
  EXPECT_EQ(header->columns[2].position, 8u);
}

TEST(panda_tcp, keeps_what_a_header_says_beyond_what_is_known) {
  reading got;
  got.feed("missed: 0\nformat: ASCII\nmood: fine: very\nprocess: Scaled\nhw_time_offset_ns: 12\nfields:\n"
           " A uint32 Value\n B double Value scale: 1 offset: -inf units: (null)\n"
           " C double Value scale: nan offset: 0 units: mm per turn \n\n 1 inf -nan\n");
  ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0"));
  auto header = header_of(got.packets[0]);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->more, (value_map{{"mood", "fine: very"}}));
  EXPECT_EQ(header->hw_time_offset_ns, 12);
  EXPECT_EQ(header->columns[1].units, "(null)");
  EXPECT_EQ(header->columns[2].units, "mm per turn ");
  EXPECT_TRUE(std::isnan(header->columns[2].scale));
  auto row = parse_panda_row(header, got.packets[1].data);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->number(1), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(row->number(2)));
}

TEST(panda_tcp, writes_headers_that_it_reads) {
  raw_row made;
  made.add("PCAP.SAMPLES", "Value", panda_type::uint32, 1u)
      .add("A.B", "Min", panda_type::int32, 1)
      .add("A.B", "StdDev", panda_type::int96, int96{});
  auto& header = *made.header;
  header.arm_time = "2024-01-01T00:00:00.5Z";
  header.hw_time_offset_ns = -4;
  header.missed = 17;
  header.columns[1].units = R"(<a & "b">)";
  header.columns[1].scale = 1.0 / 3;
  for (auto format :
       {panda_format::ascii, panda_format::base64, panda_format::framed, panda_format::unframed})
    for (bool xml : {false, true}) {
      header.format = format;
      std::string text;
      append_panda_header(text, header, xml);
      ASSERT_TRUE(text.ends_with("\n\n"));
      text.pop_back();
      panda_header read;
      EXPECT_EQ(read_panda_header(text, read), panda_header_use::everything) << text;
      EXPECT_EQ(read.arm_time, header.arm_time);
      EXPECT_EQ(read.hw_time_offset_ns, header.hw_time_offset_ns);
      EXPECT_EQ(read.missed, 17u);
      EXPECT_EQ(read.format, format);
      EXPECT_EQ(read.process, panda_process::raw);
      EXPECT_EQ(read.sample_bytes, 20u);
      ASSERT_EQ(read.columns.size(), 3u);
      EXPECT_EQ(read.columns[1].units, header.columns[1].units);
      EXPECT_NEAR(read.columns[1].scale, header.columns[1].scale, 1e-12);
      EXPECT_EQ(read.columns[2].key, "A.B.StdDev");
    }
}

TEST(panda_tcp, finds_samples_that_old_servers_do_not_list) {
  const std::string head = "missed: 0\nprocess: Raw\nformat: ",
                    fields = "fields:\n A.B int64 Mean scale: 2 offset: 1 units: \n\n";
  std::string sample("\5\0\0\0\xce\xff\xff\xff\xff\xff\xff\xff", 12); // 5 samples, sum -50
  reading got;
  got.feed(head + "Framed\nsample_bytes: 12\n" + fields + framed(sample) + "END 1 Ok\n");
  ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0", "end of 1"));
  auto header = header_of(got.packets[0]);
  ASSERT_TRUE(header);
  ASSERT_EQ(header->columns.size(), 2u);
  EXPECT_EQ(header->columns[0].key, "PCAP.SAMPLES.Value");
  EXPECT_FALSE(header->columns[0].listed);
  auto row = parse_panda_row(header, got.packets[1].data);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->number("PCAP.SAMPLES.Value"), 5.0);
  EXPECT_EQ(row->number("A.B.Mean"), -50.0);
  EXPECT_EQ(row->scaled("A.B.Mean"), -19.0);

  for (auto line : {" 5 -50", " 0x00000005 0xffffffce 0xffffffff"}) {
    reading text;
    text.feed(head + "ASCII\n" + fields + line + "\n");
    ASSERT_THAT(words(text.packets), ElementsAre("start", "row 0")) << line;
    row = parse_panda_row(header_of(text.packets[0]), text.packets[1].data);
    ASSERT_TRUE(row) << line;
    EXPECT_EQ(row->number("A.B.Mean"), -50.0);
    EXPECT_EQ(row->scaled("A.B.Mean"), -19.0);
  }
}

TEST(panda_tcp, counts_from_the_first_row_of_the_arm) {
  reading got;
  got.feed(header_for("Unframed", "20", "1000") + packed(1, 2, 3) + packed(4, 5, 6) + "END 2 Ok\n" +
           header_for("Unframed") + packed(7, 8, 9) + "END 1 Ok\n");
  EXPECT_THAT(words(got.packets),
              ElementsAre("start", "row 1000", "row 1001", "end of 1002", "start", "row 0", "end of 1"));
}

TEST(panda_tcp, reads_one_arm_after_the_other) {
  auto arm = example.substr(3);
  reading got;
  got.feed(example + arm + arm);
  EXPECT_THAT(words(got.packets), ElementsAre("start", "row 0", "row 1", "end of 2", "start", "row 0",
                                              "row 1", "end of 2", "start", "row 0", "row 1", "end of 2"));
}

TEST(panda_tcp, reads_arms_without_rows) {
  for (auto format : {"Base64", "Framed", "Unframed"})
    EXPECT_THAT(words_of(header_for(format) + "END 0 Disarmed\n"), ElementsAre("start", "end of 0"))
        << format;
  EXPECT_THAT(words_of(example_header + "\nEND 0 Ok\n"), ElementsAre("start", "end of 0"));
}

TEST(panda_tcp, says_when_a_count_is_not_that_of_the_rows) {
  auto rows = example_row_1 + "\n" + example_row_2 + "\n";
  for (auto [line, expected] :
       {std::pair("END 3 Ok\n", "end of 3 corrupt"), std::pair("END 1 Data overrun\n", "end of 1 corrupt"),
        std::pair("END\n", "end corrupt"), std::pair("END x Ok\n", "end corrupt"),
        std::pair("END -2 Ok\n", "end corrupt"), std::pair("END 2x Ok\n", "end corrupt"),
        std::pair("END 18446744073709551616 Ok\n", "end corrupt")})
    EXPECT_THAT(words_of(example_header + "\n" + rows + line),
                ElementsAre("start", "row 0", "row 1", expected))
        << line;
  EXPECT_THAT(words_of(example_header + "\n" + rows + "END 2\n"),
              ElementsAre("start", "row 0", "row 1", "end of 2"));
  // Half a row is left over.
  EXPECT_THAT(words_of(header_for("Framed") + framed(packed(1, 2, 3) + "half") + "END 1 Ok\n"),
              ElementsAre("start", "row 0", "end of 1 corrupt"));
  // A count that nothing can be added to.
  EXPECT_THAT(words_of(header_for("Framed", "20", "4") + "END 18446744073709551615 Ok\n"),
              ElementsAre("start", "end corrupt"));
}

TEST(panda_tcp, skips_what_it_came_into_the_middle_of) {
  auto after = example.substr(3);
  for (auto before : {"97 0.2 3\n 1 2 3\n 4 5 6\nEND 12 Ok\n"s, " QUJDRA==\n AAAA\nEND 5 Ok\n"s,
                      packed(1, 2, 3).substr(7) + framed("data\nwith\nlines\n\n") + "END 2 Ok\n",
                      std::string(300'000, 'x') + "\nEND 7 Disarmed\n",
                      ": 0\nprocess: Scaled\nfields:\n A uint32 Value\n\n 1\n 2\n\nEND 2 Ok\n"s}) {
    std::vector<std::string> expected = {"fault unknown", "start", "row 0", "row 1", "end of 2"};
    EXPECT_EQ(words_of(before + after), expected);
    reading got;
    got.feed(before + after, 11);
    EXPECT_EQ(words(got.packets), expected);
  }
  // Twice, twice a fault.
  EXPECT_THAT(words_of("x\ny\n" + after + "z\n" + after),
              ElementsAre("fault unknown", "start", "row 0", "row 1", "end of 2", "fault unknown", "start",
                          "row 0", "row 1", "end of 2"));
  // What is no row is none.
  EXPECT_THAT(words_of("OK\n\n\nOK\n" + after), ElementsAre("start", "row 0", "row 1", "end of 2"));
}

TEST(panda_tcp, reads_a_header_that_lacks_its_first_line) {
  auto after = example.substr(example.find("missed: "));
  EXPECT_THAT(words_of(after), ElementsAre("start", "row 0", "row 1", "end of 2"));
}

TEST(panda_tcp, reports_a_refusal) {
  EXPECT_THAT(words_of("ERR Invalid data capture option\n"), ElementsAre("fault unknown"));
}

TEST(panda_tcp, forgets_when_a_scan_is_armed) {
  for (std::size_t cut = 1; cut + 1 < example.size(); ++cut) {
    reading got;
    got.feed(example.substr(0, cut));
    got.format->reset();
    got.packets.clear();
    got.feed(example.substr(3));
    ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0", "row 1", "end of 2")) << cut;
  }
  auto binary = header_for("Framed") + framed(packed(1, 2, 3)) + "END 1 Ok\n";
  for (std::size_t cut = 1; cut + 1 < binary.size(); ++cut) {
    reading got;
    got.feed(binary.substr(0, cut));
    got.format->reset();
    got.packets.clear();
    got.feed(binary);
    ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0", "end of 1")) << cut;
  }
}

TEST(panda_tcp, tells_an_interruption) {
  // Within the rows: what was half there is dropped. The same arm goes on with the rows that the server still
  // has.
  reading got;
  got.feed(example_header + "\n 1 2 3\n 4 5 6\n 7 8");
  got.packets.clear();
  got.format->interrupted(got.packets);
  auto again = example_header;
  again.replace(again.find("missed: 0"), 9, "missed: 1");
  got.feed("OK\n" + again + "\n 4 5 6\n 7 8 9\nEND 2 Ok\n");
  EXPECT_THAT(words(got.packets), ElementsAre("fault interrupted", "row 1", "row 2", "end of 3"));

  // Another arm is another arm.
  got.feed(example_header + "\n 1 2 3\n");
  got.packets.clear();
  got.format->interrupted(got.packets);
  again.replace(again.find("12.754Z"), 7, "13.000Z");
  got.feed("OK\n" + again + "\n 4 5 6\nEND 1 Ok\n");
  EXPECT_THAT(words(got.packets), ElementsAre("fault interrupted", "start", "row 1", "end of 2"));

  // So is one that can't be told from others.
  auto timeless = example_header.substr(example_header.find('\n') + 1);
  got.feed(timeless + "\n 1 2 3\n");
  got.packets.clear();
  got.format->interrupted(got.packets);
  got.feed(timeless + "\n 4 5 6\nEND 1 Ok\n");
  EXPECT_THAT(words(got.packets), ElementsAre("fault interrupted", "start", "row 0", "end of 1"));
}

TEST(panda_tcp, tells_an_interruption_once_and_only_within_an_arm) {
  reading got;
  got.format->interrupted(got.packets);
  got.feed("OK\n");
  got.format->interrupted(got.packets);
  EXPECT_THAT(words(got.packets), ElementsAre());
  got.feed(example);
  got.packets.clear();
  got.feed("half a li");
  got.format->interrupted(got.packets);
  got.feed(example_header.substr(0, 60));
  EXPECT_THAT(words(got.packets), ElementsAre());
  got.format->interrupted(got.packets); // within a header
  EXPECT_THAT(words(got.packets), ElementsAre("fault interrupted"));

  // Twice in a row, and the arm is still known.
  got.feed(example_header + "\n 1 2 3\n");
  got.packets.clear();
  got.format->interrupted(got.packets);
  got.feed("OK\n");
  got.format->interrupted(got.packets);
  got.feed(example_header + "\n 1 2 3\n");
  EXPECT_THAT(words(got.packets), ElementsAre("fault interrupted", "row 0"));
  // A new scan knows nothing of it.
  got.format->interrupted(got.packets);
  got.format->reset();
  got.packets.clear();
  got.feed(example_header + "\n 1 2 3\n");
  EXPECT_THAT(words(got.packets), ElementsAre("start", "row 0"));
}

/// What each event of a scan of that many entries gets: the text of its row, or why there is none.
std::vector<std::string> events_of(const std::vector<stream_packet>& packets, std::uint32_t entries) {
  constexpr std::uint64_t plenty = std::uint64_t{1} << 40;
  stream_queue queue(entries, 64, {plenty, plenty});
  queue.assign({{event_number(0), entries, 1}, {0}}, dispatch_id(1));
  packet_batch batch;
  batch.packets = packets;
  for (auto& p : packets) batch.bytes += budgeted_bytes(p.data.bytes());
  queue.receive(batch);
  queue.settle();
  queue.close("stopped");
  std::vector<std::string> events(entries);
  for (auto& entry : queue.outgoing(0)) {
    auto& text = events[entry.event.value];
    EXPECT_EQ(text, "") << "twice";
    text = entry.data ? std::string(entry.data.frames()[0].text()) : entry.missing->cause;
  }
  return events;
}

TEST(panda_tcp, shifts_nothing_when_it_is_interrupted) {
  reading got;
  got.feed(example_header + "\n 0 0 0\n 1 1 1\n 2 2");
  got.format->interrupted(got.packets);
  auto again = example_header;
  again.replace(again.find("missed: 0"), 9, "missed: 4");
  got.feed("OK\n" + again + "\n 4 4 4\n 5 5 5\nEND 2 Ok\n" + example_header + "\n 6 6 6\nEND 1 Ok\n");
  EXPECT_THAT(events_of(got.packets, 11),
              ElementsAre(example_header, " 0 0 0", " 1 1 1", testing::HasSubstr("missing"),
                          testing::HasSubstr("missing"), " 4 4 4", " 5 5 5", "END 2 Ok", example_header,
                          " 6 6 6", "END 1 Ok"));
  // A server that still has all rows sends them again.
  got.packets.clear();
  got.feed(example_header + "\n 0 0 0\n 1 1 1\n 2 2");
  got.format->interrupted(got.packets);
  got.feed("OK\n" + example_header + "\n 0 0 0\n 1 1 1\n 2 2 2\nEND 3 Ok\n");
  EXPECT_THAT(events_of(got.packets, 5),
              ElementsAre(example_header, " 0 0 0", " 1 1 1", " 2 2 2", "END 3 Ok"));
  // Once another arm has begun, where it begins is not known.
  got.packets.clear();
  got.feed(example_header + "\n 0 0 0\n 1 1 1\n 2 2");
  got.format->interrupted(got.packets);
  again.replace(again.find("12.754Z"), 7, "13.000Z");
  got.feed("OK\n" + again + "\n 4 4 4\nEND 1 Ok\n");
  for (auto& event : events_of(got.packets, 9)) EXPECT_NE(event, " 4 4 4");
}

TEST(panda_tcp, finds_rows_although_it_was_late) {
  reading got;
  auto late = example_header;
  late.replace(late.find("missed: 0"), 9, "missed: 2");
  got.feed(late + "\n 2 2 2\n 3 3 3\nEND 2 Ok\n");
  EXPECT_THAT(events_of(got.packets, 6),
              ElementsAre(late, testing::HasSubstr("missing"), testing::HasSubstr("missing"), " 2 2 2",
                          " 3 3 3", "END 2 Ok"));
}

TEST(panda_tcp, names_rows_that_are_none) {
  auto head = example_header + "\n 1 2 3\n";
  const std::pair<std::string, const char*> cases[] = {
      {" 1 2\n", "row 1 truncated"},
      {" 1\n", "row 1 truncated"},
      {" 1 2 3 4\n", "row 1 oversized"},
      {"1 2 3\n", "row 1 unknown"},
      {"\n", "row 1 unknown"},
      {"ENDING\n", "row 1 unknown"},
      {"OK\n", "row 1 unknown"},
      {" " + std::string(panda_line_limit, '1') + "\n", "row 1 oversized"},
      {" 0x1 0x2 0x3\n", "row 1 truncated"}};
  for (auto& [line, expected] : cases) {
    EXPECT_THAT(words_of(head + line + " 4 5 6\nEND 3 Ok\n"),
                ElementsAre("start", "row 0", expected, "row 2", "end of 3"))
        << line.substr(0, 40);
    reading got;
    got.feed(head + line + " 4 5 6\nEND 3 Ok\n", 1000);
    EXPECT_THAT(words(got.packets), ElementsAre("start", "row 0", expected, "row 2", "end of 3"));
  }
}

TEST(panda_tcp, refuses_to_decode_what_does_not_fit) {
  auto header = header_of(reading().feed(example).packets[0]);
  for (auto text : {"", " ", " 1 2", " 1 2 3 4", "1 2 3", " 1 2 x", " -1 2 3", " 4294967296 2 3", " 1 2 3x",
                    " 1  3", " 1 2 3 ", " 0x1 0x2 0x3", " 1.5 2 3", "END 2 Disarmed"})
    EXPECT_FALSE(parse_panda_row(header, piece(text))) << text;
  EXPECT_TRUE(parse_panda_row(header, piece(" 0x00000001 0x00000002 0x3 0x4 0xffffffff")));
  EXPECT_FALSE(parse_panda_row(header, piece(" 0x00000001 0x00000002 0x3 0x4 0x1ffffffff")));
  EXPECT_FALSE(parse_panda_row(header, piece(" 0x00000001 0x00000002 0x3 0x4 5")));
  EXPECT_FALSE(parse_panda_row(header, {}));
  auto binary = header_of(reading().feed(header_for("Framed")).packets[0]);
  EXPECT_TRUE(parse_panda_row(binary, piece(packed(1, 2, 3))));
  EXPECT_FALSE(parse_panda_row(binary, piece(packed(1, 2, 3) + "x")));
  EXPECT_FALSE(parse_panda_row(binary, piece("END 2 Disarmed")));
  EXPECT_FALSE(parse_panda_row(piece(packed(1, 2, 3))));
  auto broken = std::make_shared<panda_header>(*binary);
  broken->sample_bytes = 19;
  EXPECT_FALSE(parse_panda_row(broken, piece(packed(1, 2, 3).substr(1))));
  for (auto text : {"", "END", "END 1x", "ENDED 1", " 1 2 3", "END  1"})
    EXPECT_FALSE(parse_panda_end(piece(text))) << text;
  EXPECT_FALSE(parse_panda_end({}));
  EXPECT_FALSE(parse_panda_header({}));
  EXPECT_FALSE(parse_panda_header(piece(" 1 2 3")));
  EXPECT_FALSE(parse_panda_header(piece("arm_time: now")));
}

TEST(panda_tcp, passes_on_rows_that_it_cannot_decode) {
  // Their places in the scan are known all the same.
  const std::string rows = framed(packed(1, 2, 3)) + "END 1 Ok\n";
  auto strange = header_for("Framed");
  strange.replace(strange.find("double"), 6, "float80");
  EXPECT_THAT(words_of(strange + rows), ElementsAre("start corrupt", "row 0", "end of 1"));
  auto longer = header_for("Framed", "40");
  EXPECT_THAT(words_of(longer + framed(packed(1, 2, 3) + packed(4, 5, 6)) + "END 1 Ok\n"),
              ElementsAre("start corrupt", "row 0", "end of 1"));
  auto unscaled = example_header;
  unscaled.replace(unscaled.find("8e-09"), 5, "wide");
  EXPECT_THAT(words_of(unscaled + "\n 1 2\nEND 1 Ok\n"), ElementsAre("start corrupt", "row 0", "end of 1"));
  auto other = example_header;
  other.replace(other.find("Scaled"), 6, "Purple");
  EXPECT_THAT(words_of(other + "\n 1 2\nEND 1 Ok\n"), ElementsAre("start corrupt", "row 0", "end of 1"));
}

TEST(panda_tcp, skips_arms_whose_rows_it_cannot_find) {
  std::vector<std::string> heads;
  for (auto size : {"0", "-1", "x", "18446744073709551616", "12289"})
    heads.push_back(header_for("Framed", size));
  for (auto missed : {"-1", "x", "", "9999999999999999999"})
    heads.push_back(header_for("Framed", "20", missed));
  heads.push_back(header_for("Packed"));
  heads.push_back("arm_time: now\nmissed: 0\n\n");
  heads.push_back("missed: 0\nprocess: Scaled\nformat: ASCII\nfields:\n\n"); // every line would be a row
  heads.push_back("<header>\n</header>\n\n");
  for (auto& head : heads)
    EXPECT_THAT(words_of(head + "\n 1 2 3\n" + "END 1 Ok\n" + example),
                ElementsAre("start corrupt", "end of 1 corrupt", "start", "row 0", "row 1", "end of 2"))
        << head;
}

TEST(panda_tcp, bounds_what_it_keeps) {
  auto endless = "arm_time: x\n" + std::string(60'000, 'k') + ": v\n";
  std::string long_header;
  while (long_header.size() <= panda_header_limit) long_header += endless;
  EXPECT_THAT(words_of(long_header + "\nEND 0 Ok\n" + example),
              ElementsAre("start oversized", "end of 0", "start", "row 0", "row 1", "end of 2"));
  EXPECT_THAT(words_of("arm_time: x\n" + std::string(panda_line_limit + 1, 'k') + "\n" + example),
              ElementsAre("start oversized", "start", "row 0", "row 1", "end of 2"));
  std::string columns = "missed: 0\nprocess: Scaled\nformat: ASCII\nfields:\n";
  for (std::size_t i = 0; i <= panda_column_limit; ++i)
    columns += " A" + std::to_string(i) + " uint32 Value\n";
  EXPECT_THAT(words_of(columns + "\nEND 0 Ok\n"), ElementsAre("start corrupt", "end of 0"));
  columns.erase(columns.rfind(" A"));
  EXPECT_THAT(words_of(columns + "\nEND 0 Ok\n"), ElementsAre("start", "end of 0"));
  EXPECT_THAT(words_of("missed: 0\n" + std::string(50'000, ' ') + "\n" + std::string(50'000, ' ') + "\n\n"),
              ElementsAre("start corrupt"));
}

TEST(panda_tcp, gives_an_arm_up_whose_frames_are_none) {
  auto head = header_for("Framed"), row = framed(packed(1, 2, 3));
  auto tail = "\nEND 3 Ok\n" + example;
  for (auto [broken, fault] :
       {std::pair("BIT \x1c\0\0\0"s, "fault corrupt"), std::pair("BIN \7\0\0\0"s, "fault corrupt"),
        std::pair("BIN \0\0\0\0"s, "fault corrupt"), std::pair("\n\n\n\n"s, "fault corrupt"),
        std::pair("BIN \xff\xff\xff\xff"s, "fault oversized"),
        std::pair("BIN \1\0\0\4"s, "fault oversized")}) {
    EXPECT_THAT(
        words_of(head + row + broken + packed(4, 5, 6) + tail),
        ElementsAre("start", "row 0", fault, "end of 3 corrupt", "start", "row 0", "row 1", "end of 2"))
        << broken;
    reading got;
    got.feed(head + row + broken + packed(4, 5, 6) + tail, 1);
    EXPECT_THAT(words(got.packets), ElementsAre("start", "row 0", fault, "end of 3 corrupt", "start", "row 0",
                                                "row 1", "end of 2"));
  }
  // A header instead of END begins an arm.
  EXPECT_THAT(words_of(head + row + head + row + "END 1 Ok\n"),
              ElementsAre("start", "row 0", "fault corrupt", "start", "row 0", "end of 1"));
  EXPECT_THAT(words_of(header_for("Base64") + example_header + "\n 1 2 3\n" + header_for("Unframed")),
              ElementsAre("start", "start", "row 0", "start"));
}

TEST(panda_tcp, takes_frames_as_a_byte_stream) {
  auto rows = packed(1, 2, 3) + packed(4, 5, 6) + packed(7, 8, 9);
  for (std::size_t size = 1; size <= rows.size(); ++size) {
    auto bytes = header_for("Framed") + framed("");
    for (std::size_t i = 0; i < rows.size(); i += size) bytes += framed(rows.substr(i, size));
    reading got;
    got.feed(bytes + "END 3 Ok\n", size);
    ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0", "row 1", "row 2", "end of 3")) << size;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(text_of(got.packets[i + 1]), rows.substr(20 * i, 20));
  }
}

TEST(panda_tcp, decodes_every_line_of_base64_on_its_own) {
  auto rows = packed(1, 2, 3) + packed(4, 5, 6) + packed(7, 8, 9);
  for (std::size_t size = 1; size <= rows.size(); ++size) { // most lines are padded
    auto bytes = header_for("Base64");
    for (std::size_t i = 0; i < rows.size(); i += size) {
      bytes += ' ';
      append_base64(bytes, std::as_bytes(std::span(rows).subspan(i, std::min(size, rows.size() - i))));
      bytes += '\n';
    }
    reading got;
    got.feed(bytes + " \nEND 3 Ok\n", 17);
    ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0", "row 1", "row 2", "end of 3")) << size;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(text_of(got.packets[i + 1]), rows.substr(20 * i, 20));
  }
  for (auto line : {" A\n", " AA=A\n", " A===\n", " AA!A\n", " AAAA \n", "AAAA\n", "\n"})
    EXPECT_THAT(
        words_of(header_for("Base64") + " AAAA\n" + line + " AAAA\nEND 2 Ok\n" + example),
        ElementsAre("start", "fault corrupt", "end of 2 corrupt", "start", "row 0", "row 1", "end of 2"))
        << line;
}

TEST(panda_tcp, finds_the_end_of_rows_without_frames) {
  // Rows that look like the beginning of an END line, and like one of another count.
  auto rows = "END 4 Ok\nand what follow"s.substr(0, 20) + "END 1 \x01 is no reason!"s.substr(0, 20) +
              "EEEEENDEND 2END 2 Ok"s;
  ASSERT_EQ(rows.size(), 60u);
  auto bytes = header_for("Unframed") + rows + "END 3 Ok\n" + example.substr(3);
  for (std::size_t size = 1; size < 70; ++size) {
    reading got;
    got.feed(bytes, size);
    ASSERT_THAT(words(got.packets), ElementsAre("start", "row 0", "row 1", "row 2", "end of 3", "start",
                                                "row 0", "row 1", "end of 2"))
        << size;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(text_of(got.packets[i + 1]), rows.substr(20 * i, 20));
  }
  // Short rows: several of them lie within what might have been an END line.
  const std::string head =
      "missed: 0\nprocess: Scaled\nformat: Unframed\nsample_bytes: 4\nfields:\n A uint32 Value\n\n";
  for (std::size_t size = 1; size < 30; ++size) {
    reading got;
    got.feed(head + "END 0 oh no" + "\x02" + "END 4 OkEND 5 Ok\n", size);
    ASSERT_THAT(words(got.packets),
                ElementsAre("start", "row 0", "row 1", "row 2", "row 3", "row 4", "end of 5"))
        << size;
  }
  // Only a reason that is too long is no reason.
  EXPECT_EQ(words_of(head + "END 0 " + std::string(panda_end_limit, 'x') + "\n").size(), 34u);
}

TEST(panda_tcp, gives_each_row_its_header_if_asked) {
  for (auto& settings : all_forms()) {
    SCOPED_TRACE(name_of(settings));
    reading got(protocol_options{{"header_in_rows", "true"}});
    got.feed(sent_by(settings), 300);
    ASSERT_EQ(got.packets.size(), 18u);
    auto start = got.packets[0].data;
    EXPECT_EQ(start.frames().size(), 1u);
    EXPECT_EQ(got.packets[8].data.frames().size(), 1u);
    for (std::size_t i = 1; i < 8; ++i) {
      auto data = got.packets[i].data;
      ASSERT_EQ(data.frames().size(), 2u);
      EXPECT_EQ(data.frames()[1].data(), start.frames()[0].data()); // no copy
      auto row = parse_panda_row(data);
      ASSERT_TRUE(row);
      auto same = parse_panda_row(header_of(got.packets[0]), data);
      ASSERT_TRUE(same);
      EXPECT_EQ(row->values(), same->values());
      EXPECT_EQ(&row->header(), &parse_panda_row(data)->header()); // read once
    }
    EXPECT_FALSE(parse_panda_row(start));
    EXPECT_NE(text_of(got.packets[10], 1), text_of(got.packets[1], 1)); // another arm_time
  }
}

TEST(panda_tcp, copies_no_row_that_lies_within_a_piece) {
  for (auto format : {"ascii", "framed", "unframed"}) {
    series_settings settings = {.frames = 50, .options = {{"format", format}, {"rows_per_message", "50"}}};
    auto whole = piece(sent_by(settings));
    reading got;
    got.format->read(whole, got.packets);
    ASSERT_EQ(got.packets.size(), 52u);
    auto begin = whole.frames()[0].data(), end = begin + whole.frames()[0].size();
    for (std::size_t i = 1; i < 51; ++i) {
      auto row = got.packets[i].data.frames()[0];
      EXPECT_TRUE(row.data() >= begin && row.data() + row.size() <= end) << format << i;
    }
  }
}

TEST(panda_tcp, keeps_bytes_as_long_as_they_are_held) {
  for (auto& settings : all_forms()) {
    std::vector<stream_data> held;
    std::vector<std::string> copies;
    {
      reading got(protocol_options{{"header_in_rows", "true"}});
      got.feed(sent_by(settings), 71);
      for (auto& p : got.packets) {
        held.push_back(p.data);
        copies.push_back(text_of(p));
      }
    }
    for (std::size_t i = 0; i < held.size(); ++i) EXPECT_EQ(held[i].frames()[0].text(), copies[i]);
  }
}

TEST(panda_tcp, outlives_mutated_streams) {
  std::mt19937 random(23);
  auto forms = all_forms();
  std::vector<std::string> seeds;
  for (auto& settings : forms) seeds.push_back(sent_by(settings));
  const std::string_view spice = "\n\n  0129.e-+xEND BIN \xff\x01<>\"&=:";
  for (int i = 0; i < 6000; ++i) {
    auto bytes = seeds[random() % seeds.size()];
    for (auto n = 1 + random() % 5; n > 0 && !bytes.empty(); --n) {
      auto at = random() % bytes.size();
      switch (random() % 5) {
      case 0:
        bytes[at] = spice[random() % spice.size()];
        break;
      case 1:
        bytes.insert(at, 1, spice[random() % spice.size()]);
        break;
      case 2:
        bytes.erase(at, 1 + random() % 40);
        break;
      case 3:
        bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 200));
        break;
      default:
        bytes.resize(at);
      }
    }
    reading got(protocol_options{{"header_in_rows", i % 2 ? "true" : "false"}});
    for (std::size_t at = 0; at < bytes.size();) {
      auto size = 1 + random() % 400;
      if (random() % 50 == 0) got.format->interrupted(got.packets);
      got.feed(std::string_view(bytes).substr(at, size));
      at += size;
    }
    std::shared_ptr<const panda_header> header;
    for (auto& p : got.packets) {
      ASSERT_NE(p.fault.has_value(), static_cast<bool>(p.data));
      if (p.fault) continue;
      parse_panda_end(p.data);
      if (p.numbers.kind == entry_kind::start) {
        header = header_of(p);
        ASSERT_TRUE(header); // what is passed on can be used
      }
      auto row = header ? parse_panda_row(header, p.data) : parse_panda_row(p.data);
      if (!row) continue;
      for (std::size_t c = 0; c < row->size(); ++c) row->scaled(c);
      row->values();
    }
  }
}

TEST(panda_tcp, is_cut_off_anywhere) {
  for (auto& settings : all_forms()) {
    SCOPED_TRACE(name_of(settings));
    auto bytes = sent_by(settings);
    auto whole = words_of(bytes);
    for (std::size_t size = 0; size < bytes.size(); size += 2) {
      auto part = words_of(std::string_view(bytes).substr(0, size));
      ASSERT_LE(part.size(), whole.size());
      ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin())) << size;
    }
  }
}

TEST(base64, knows_the_vectors_of_the_standard) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"},
                                                         {"\xff\xfe\xfb\xef", "//777w=="}};
  for (auto& [plain, text] : vectors) {
    std::string encoded, decoded(base64_bytes(text.size()), '\0');
    append_base64(encoded, std::as_bytes(std::span(plain)));
    EXPECT_EQ(encoded, text);
    auto size = decode_base64(text, reinterpret_cast<std::byte*>(decoded.data()));
    ASSERT_TRUE(size) << text;
    EXPECT_EQ(decoded.substr(0, *size), plain);
  }
  std::byte to[64];
  for (auto text : {"Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9=v", "Zm 9", "Zm9\n", "Zm9-", "=Zm9"})
    EXPECT_FALSE(decode_base64(text, to)) << text;
}

} // namespace
} // namespace dtranspose
