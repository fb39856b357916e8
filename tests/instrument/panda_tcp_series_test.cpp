#include "instrument/panda_tcp_series.hpp"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/panda_tcp.hpp"

namespace dtranspose {
namespace {

std::vector<std::string> texts_of(const series_settings& settings) {
  auto series = make_panda_tcp_series(settings);
  std::vector<std::string> texts;
  while (auto message = series->next()) {
    EXPECT_EQ(message->type(), "PCAP_RAW");
    EXPECT_EQ(message->frames().size(), 1u);
    texts.emplace_back(message->frames()[0].text());
  }
  EXPECT_FALSE(series->next());
  return texts;
}

std::vector<std::string> keys_of(const panda_header& header) {
  std::vector<std::string> keys;
  for (auto& column : header.columns) keys.push_back(column.key);
  return keys;
}

TEST(panda_tcp_series, sends_arms_of_rows) {
  series_settings settings = {.frames = 9, .options = {{"arms", "2"}}};
  auto texts = texts_of(settings);
  ASSERT_EQ(texts.size(), 22u); // as the trigger map counts a re-armed PandABox
  EXPECT_EQ(make_panda_tcp_series(settings)->entries(), 22u);
  EXPECT_EQ(make_panda_tcp_series(settings)->messages_per_frame(), 1);
  for (int arm : {0, 11}) {
    EXPECT_THAT(texts[arm], testing::StartsWith("arm_time: 20"));
    EXPECT_THAT(texts[arm], testing::EndsWith("units: um\n\n"));
    for (int i = 1; i < 10; ++i) {
      EXPECT_EQ(texts[arm + i].front(), ' ');
      EXPECT_EQ(texts[arm + i].find('\n'), texts[arm + i].size() - 1);
    }
    EXPECT_EQ(texts[arm + 10], "END 9 Ok\n");
  }
  EXPECT_NE(texts[0], texts[11]); // another arm time
  EXPECT_NE(texts[1], texts[12]);
}

TEST(panda_tcp_series, depends_on_its_seed_alone) {
  series_settings settings = {.frames = 20, .seed = 3};
  auto a = texts_of(settings), b = texts_of(settings);
  settings.seed = 4;
  auto c = texts_of(settings);
  for (std::size_t i = 1; i < 21; ++i) {
    EXPECT_EQ(a[i], b[i]);
    EXPECT_NE(a[i], c[i]);
  }
  EXPECT_EQ(std::set<std::string>(a.begin(), a.end()).size(), 22u);
}

TEST(panda_tcp_series, puts_several_rows_into_a_message) {
  series_settings settings = {.frames = 25, .options = {{"rows_per_message", "10"}}};
  auto texts = texts_of(settings);
  ASSERT_EQ(texts.size(), 5u);
  EXPECT_EQ(std::count(texts[3].begin(), texts[3].end(), '\n'), 5);
  EXPECT_DOUBLE_EQ(make_panda_tcp_series(settings)->messages_per_frame(), 3.0 / 25);
  EXPECT_EQ(make_panda_tcp_series(settings)->entries(), 27u);
  settings.options["format"] = "framed";
  EXPECT_EQ(texts_of(settings)[1].size(), 8 + 10 * panda_series_header(settings).sample_bytes);
}

TEST(panda_tcp_series, sends_empty_arms) {
  series_settings settings = {.frames = 0, .options = {{"arms", "3"}}};
  auto texts = texts_of(settings);
  ASSERT_EQ(texts.size(), 6u);
  EXPECT_EQ(texts[5], "END 0 Ok\n");
  EXPECT_EQ(make_panda_tcp_series(settings)->messages_per_frame(), 1);
}

TEST(panda_tcp_series, sorts_columns_as_a_server_does) {
  series_settings settings = {
      .options = {{"fields", "A.V.StdDev,B.V.Mean,B.V.Sum,A.V.Value,PCAP.TS_START.Value,"
                             "PCAP.BITS2.Value,A.V.Max"}}};
  auto header = panda_series_header(settings);
  EXPECT_THAT(keys_of(header), testing::ElementsAre("PCAP.BITS2.Value", "A.V.Value", "A.V.Max", "B.V.Sum",
                                                    "PCAP.TS_START.Value", "B.V.Mean", "A.V.StdDev"));
  EXPECT_EQ(header.sample_bytes, 4 + 6 * 8u);
  EXPECT_EQ(header.find("PCAP.TS_START.Value")->units, "s");
  EXPECT_EQ(header.find("A.V.Max")->type, panda_type::float64);
  settings.options["process"] = "raw";
  header = panda_series_header(settings);
  EXPECT_THAT(keys_of(header),
              testing::ElementsAre("PCAP.BITS2.Value", "PCAP.GATE_DURATION.Value", "A.V.Value", "A.V.Max",
                                   "B.V.Sum", "PCAP.TS_START.Value", "B.V.Mean", "A.V.Mean", "A.V.StdDev"));
  EXPECT_EQ(header.sample_bytes, 4 * 4 + 4 * 8 + 12u);
  EXPECT_EQ(header.find("A.V.StdDev")->type, panda_type::int96);
  EXPECT_EQ(header.find("A.V.Max")->type, panda_type::int32);
}

TEST(panda_tcp_series, says_what_it_cannot_do) {
  const std::pair<protocol_options, const char*> cases[] = {{{{"form", "ascii"}}, "form"},
                                                            {{{"format", "xml"}}, "format"},
                                                            {{{"process", "unscaled"}}, "process"},
                                                            {{{"arms", "0"}}, "arms"},
                                                            {{{"rows_per_message", "0"}}, "rows_per_message"},
                                                            {{{"fields", ""}}, "NAME.CAPTURE"},
                                                            {{{"fields", "A.V.Mean,"}}, "NAME.CAPTURE"},
                                                            {{{"fields", "A"}}, "'A'"},
                                                            {{{"fields", "A B.V.Mean"}}, "NAME.CAPTURE"},
                                                            {{{"fields", "A.V.Median"}}, "Median"},
                                                            {{{"fields", "PCAP.BITS0.Mean"}}, "PCAP.BITS0"},
                                                            {{{"fields", "A.V.Mean,A.V.Mean"}}, "twice"}};
  for (auto& [options, word] : cases) {
    try {
      make_panda_tcp_series({.options = options});
      FAIL() << word;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(word));
    }
  }
}

TEST(panda_tcp_series, answers_like_a_panda_box_that_sends_it) {
  auto plain = answer_of_panda_series({});
  for (auto line : {"", "ASCII", "SCALED ASCII", "  ASCII\t", "DEFAULT", "RAW XML DEFAULT", "BASE64 ASCII"})
    EXPECT_EQ(plain(line), "OK\n") << line;
  EXPECT_EQ(plain("ASCII\r"), "ERR Invalid data capture option\n");
  EXPECT_EQ(plain("ascii"), "ERR Invalid data capture option\n");
  EXPECT_EQ(plain("FRAMED"), "ERR this simulation sends ASCII Scaled\n");
  EXPECT_EQ(plain("BARE"), "ERR BARE is not simulated\n");
  for (auto format : {"ascii", "base64", "framed", "unframed"})
    for (auto process : {"scaled", "raw"})
      for (auto xml : {"true", "false"}) {
        protocol_options options = {{"format", format}, {"process", process}, {"xml", xml}};
        auto greeting = std::string(make_panda_tcp(options)->greeting());
        greeting.pop_back();
        EXPECT_EQ(answer_of_panda_series(options)(greeting), "OK\n") << greeting;
      }
}

} // namespace
} // namespace dtranspose
