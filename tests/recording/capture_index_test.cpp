#include "recording/capture_index.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

#include "protocol/stins.hpp"
#include "recording/capture.hpp"
#include "recording/capture_guess.hpp"
#include "recording/packed.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using messages = std::vector<std::string>;

std::string header(std::uint64_t message_number) {
  std::string text;
  write_stins_header(text, message_number, "");
  return test::captured({text});
}

std::string end(std::uint64_t message_number) {
  std::string text;
  write_stins_end(text, message_number);
  return test::captured({text});
}

std::string image(std::uint64_t message_number, std::uint64_t number) {
  const std::size_t shape[] = {2, 3};
  std::string text;
  write_stins_image(text, message_number, {.frame = number, .shape = shape, .type = "uint8"});
  return test::captured({text, "pixels"});
}

/// A header, that many images, and an end.
messages series(std::uint64_t images, std::uint64_t first_message_number = 0) {
  messages all{header(first_message_number)};
  for (std::uint64_t i = 0; i < images; ++i) all.push_back(image(first_message_number + i + 1, i));
  all.push_back(end(first_message_number + images + 1));
  return all;
}

/// The same by instruments that do not count messages: ends and further series are not known exactly.
messages uncounted(std::uint64_t images) {
  messages all{test::captured({R"({"htype":"header"})"})};
  for (std::uint64_t i = 0; i < images; ++i)
    all.push_back(
        test::captured({R"({"htype":"image","type":"uint8","compression":"none","shape":[1],"frame":)" +
                            std::to_string(i) + "}",
                        "x"}));
  all.push_back(test::captured({R"({"htype":"series_end"})"}));
  return all;
}

std::shared_ptr<const mapped_file> file(const messages& all) {
  std::string bytes;
  for (auto& message : all) bytes += message;
  return mapped_file::of(std::as_bytes(std::span(bytes)), "file.cbors");
}

messages operator+(messages a, const messages& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

capture_contents contents_of(const messages& all) { return read_capture(file(all), *make_stins()); }

std::uint64_t count_of(const capture_contents& contents, verdict v) {
  return contents.verdicts[static_cast<std::size_t>(v)];
}

TEST(capture_contents, of_a_whole_series) {
  auto contents = contents_of(series(5));
  EXPECT_EQ(contents.messages, 7u);
  EXPECT_EQ(contents.packets, 7u);
  EXPECT_EQ(contents.entries, 7u);
  EXPECT_TRUE(contents.ends);
  EXPECT_FALSE(contents.doubtful);
  EXPECT_EQ(contents.faulty(), 0u);
  EXPECT_EQ(count_of(contents, verdict::ok), 7u);
  EXPECT_THAT(contents.series, IsEmpty());
  EXPECT_THAT(contents.cut_off, IsEmpty());
}

TEST(capture_contents, of_less_than_a_series) {
  EXPECT_EQ(contents_of({}).entries, 0u);
  EXPECT_EQ(contents_of(series(0)).entries, 2u);
  auto all = series(5);
  all.pop_back();
  EXPECT_EQ(contents_of(all).entries, 6u);
  EXPECT_FALSE(contents_of(all).ends);
  EXPECT_EQ(contents_of({header(0)}).entries, 1u);
}

TEST(capture_contents, what_is_missing_has_its_place) {
  auto all = series(8);
  all.erase(all.begin() + 7, all.begin() + 9); // the last images: the end tells that they were there
  all.erase(all.begin() + 3);
  auto contents = contents_of(all);
  EXPECT_EQ(contents.entries, 10u);
  EXPECT_TRUE(contents.ends);
  EXPECT_EQ(count_of(contents, verdict::gap), 1u);
}

TEST(capture_contents, order_and_repetition_do_not_matter) {
  auto all = series(8);
  std::swap(all[2], all[5]);
  all.insert(all.begin() + 7, all[4]);
  auto contents = contents_of(all);
  EXPECT_EQ(contents.entries, 10u);
  EXPECT_EQ(count_of(contents, verdict::duplicate), 1u);
  EXPECT_EQ(count_of(contents, verdict::late), 3u);
}

TEST(capture_contents, faults_have_their_place_if_their_number_is_known) {
  auto all = series(3);
  all[2] = test::captured({R"({"htype":"image","frame":1})"});
  all.insert(all.begin() + 2, test::captured({"no json"}));
  all.insert(all.begin(), test::captured({}));
  auto contents = contents_of(all);
  EXPECT_EQ(contents.entries, 5u);
  EXPECT_EQ(contents.faulty(), 3u);
  EXPECT_EQ(contents.faults[static_cast<std::size_t>(packet_fault::not_json)], 1u);
  EXPECT_EQ(faults_text(contents), "1 truncated, 1 not_json, 1 unknown");
  EXPECT_EQ(count_of(contents, verdict::ok), 5u);
}

TEST(capture_contents, series_follow_one_another_when_they_end_exactly) {
  auto contents = contents_of(series(3) + series(4, 5) + series(2, 11));
  EXPECT_EQ(contents.entries, 5u + 6 + 4);
  EXPECT_TRUE(contents.ends);
  EXPECT_EQ(count_of(contents, verdict::restarted), 2u);
  auto all = series(3) + series(4, 5);
  all.pop_back();
  contents = contents_of(all);
  EXPECT_EQ(contents.entries, 5u + 5);
  EXPECT_FALSE(contents.ends);
}

TEST(capture_contents, what_follows_an_end_that_is_not_exact_is_left_out) {
  auto contents = contents_of(uncounted(3));
  EXPECT_EQ(contents.entries, 5u);
  EXPECT_FALSE(contents.doubtful);
  contents = contents_of(uncounted(3) + uncounted(4));
  EXPECT_EQ(contents.entries, 5u);
  EXPECT_TRUE(contents.doubtful);
  EXPECT_GE(count_of(contents, verdict::doubtful), 1u);
}

TEST(capture_contents, what_belongs_to_no_series_has_no_place) {
  auto stray = messages{image(6, 5), image(7, 6), end(8)};
  auto contents = contents_of(stray + series(3));
  EXPECT_EQ(contents.entries, 5u);
  EXPECT_EQ(count_of(contents, verdict::stray), 3u);
  EXPECT_EQ(contents_of(series(3) + stray).entries, 5u);
}

TEST(capture_contents, a_missing_start_has_its_place) {
  auto all = series(3);
  all.erase(all.begin());
  auto contents = contents_of(all);
  EXPECT_EQ(contents.entries, 5u);
  EXPECT_TRUE(contents.ends);
  all.pop_back();
  EXPECT_EQ(contents_of(all).entries, 4u);
  all = series(300);
  all.erase(all.begin());
  EXPECT_EQ(contents_of(all).entries, 302u);
}

TEST(capture_contents, one_wild_number_is_not_believed) {
  auto all = series(5);
  all.insert(all.begin() + 3, image(77, 1000000));
  EXPECT_EQ(contents_of(all).entries, 7u);
  all = series(5);
  all.back() = image(77, 1000000);
  EXPECT_EQ(contents_of(all).entries, 6u);
}

TEST(capture_contents, numbers_that_no_map_can_hold_have_no_place) {
  auto all = series(5);
  for (std::uint64_t i = 0; i < 5; ++i) all.insert(all.end() - 1, image(77, capture_entries_limit + i));
  EXPECT_EQ(contents_of(all).entries, 7u);
  for (std::uint64_t i = 0; i < 5; ++i) all.insert(all.end() - 1, image(77, ~std::uint64_t{0} - i));
  EXPECT_EQ(contents_of(all).entries, 7u);
}

TEST(capture_contents, says_where_the_file_is_cut_off) {
  auto all = series(5);
  all.back().pop_back();
  auto contents = contents_of(all);
  EXPECT_EQ(contents.entries, 6u);
  EXPECT_THAT(contents.cut_off, HasSubstr("cut off"));
}

std::vector<std::uint64_t> events_of(const recorded_stream& stream) {
  return {stream.events.begin(), stream.events.end()};
}

/// What an ingester does with the packets of a replay.
bool completes(const messages& all, std::uint64_t entries) {
  capture_reader reader(file(all));
  auto format = make_stins();
  number_tracker tracker(entries, 64);
  std::vector<missing_run> missing;
  std::vector<stream_packet> packets;
  while (auto message = reader.next()) {
    packets.clear();
    format->read(std::move(*message), packets);
    for (auto& packet : packets)
      if (!packet.fault || packet.numbered) tracker.take(packet.numbers, missing);
  }
  for (int i = 0; i < 3; ++i) tracker.settle(missing);
  return tracker.complete();
}

TEST(capture_contents, a_replay_with_as_many_events_completes) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    bool counted = random() % 2;
    auto images = [&] { return random() % 100; };
    auto all = counted ? series(images()) : uncounted(images());
    if (random() % 2) all = all + (counted ? series(images(), all.size()) : uncounted(images()));
    for (auto n = random() % 6; n > 0; --n) {
      auto at = all.begin() + static_cast<std::ptrdiff_t>(random() % all.size());
      switch (random() % 5) {
      case 0:
        if (at + 1 != all.end()) all.erase(at);
        break;
      case 1:
        all.insert(at, *at);
        break;
      case 2:
        std::swap(*at, all[random() % all.size()]);
        break;
      case 3:
        *at = test::captured({R"({"htype":"image","frame":)" + std::to_string(random() % 200) + "}"});
        break;
      default:
        *at = test::captured({"junk"});
      }
    }
    auto contents = contents_of(all);
    if (contents.ends) {
      ASSERT_TRUE(completes(all, contents.entries)) << round;
    }
  }
}

TEST(capture_index, has_one_stream_with_all_entries) {
  auto index = capture_index("det", "stins", {}, file(series(3)));
  ASSERT_THAT(index.streams, SizeIs(1));
  EXPECT_EQ(index.streams[0].name, "det");
  EXPECT_EQ(index.streams[0].type, "STINS");
  EXPECT_TRUE(index.streams[0].ends);
  EXPECT_THAT(events_of(index.streams[0]), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(index.events, 5u);
  EXPECT_THAT(index.warnings, IsEmpty());
}

TEST(capture_index, warns_of_what_a_replay_will_lack) {
  auto all = uncounted(3) + uncounted(1);
  all.insert(all.begin() + 1, test::captured({"junk"}));
  all.back().pop_back();
  auto index = capture_index("det", "stins", {}, file(all));
  EXPECT_EQ(index.events, 5u);
  EXPECT_THAT(index.warnings, ElementsAre(HasSubstr("stream 'det': faulty messages: 1 not_json"),
                                          HasSubstr("a series did not end exactly"), HasSubstr("cut off")));
}

TEST(capture_index, refusals_name_the_file_and_what_can_be_changed) {
  auto why = [](const std::string& protocol, const protocol_options& options, const messages& all) {
    try {
      capture_index("det", protocol, options, file(all));
    } catch (const std::runtime_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(why("stains", {}, series(1)),
              HasSubstr("file.cbors: protocol 'stains' is unknown; known are stins"));
  EXPECT_THAT(why("stins", {{"speed", "1"}}, series(1)), HasSubstr("file.cbors: option speed"));
  EXPECT_THAT(why("stins", {}, {test::captured({"junk"}), test::captured({})}),
              HasSubstr("file.cbors: none of its 2 messages is an entry of a stream of stins: 1 truncated, "
                        "1 not_json"));
  EXPECT_THAT(why("stins", {}, {"\xd9\xd9\xf7"}), HasSubstr("file.cbors: no raw capture"));
}

TEST(joined_index, ends_belong_to_the_last_event_of_all) {
  auto cut = series(2);
  cut.pop_back();
  recording_index dump{.streams = {{.name = "dumped", .type = "STINS"}}, .events = 4, .warnings = {"a"}};
  for (std::uint64_t event : {0, 3}) dump.streams[0].events.append(event);
  auto index = joined({dump, capture_index("long", "stins", {}, file(series(5))),
                       capture_index("short", "stins", {}, file(series(1))),
                       capture_index("cut", "stins", {}, file(cut))});
  EXPECT_EQ(index.events, 7u);
  ASSERT_THAT(index.streams, SizeIs(4));
  EXPECT_THAT(events_of(index.streams[0]), ElementsAre(0, 3)); // a dump knows its events
  EXPECT_THAT(events_of(index.streams[1]), ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(events_of(index.streams[2]), ElementsAre(0, 1, 6));
  EXPECT_THAT(events_of(index.streams[3]), ElementsAre(0, 1, 2));
  EXPECT_THAT(index.warnings, ElementsAre("a"));
}

TEST(joined_index, a_longer_dump_moves_the_end_as_well) {
  recording_index dump{.streams = {{.name = "dumped"}}, .events = 50};
  dump.streams[0].events.append(49);
  auto index = joined({dump, capture_index("det", "stins", {}, file(series(1)))});
  EXPECT_EQ(index.events, 50u);
  EXPECT_THAT(events_of(index.streams[1]), ElementsAre(0, 1, 49));
  EXPECT_THAT(joined({}).streams, IsEmpty());
}

TEST(joined_index, a_stream_is_in_one_of_them) {
  auto one = capture_index("det", "stins", {}, file(series(1)));
  EXPECT_THROW(joined({one, one}), std::runtime_error);
}

TEST(event_runs, many_numbers_are_appended_at_once) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    event_runs one_by_one, at_once;
    std::uint64_t next = 0;
    for (int i = 0; i < 6; ++i) {
      next += random() % 3;
      auto count = random() % 5;
      at_once.append(next, count);
      for (auto n = count; n > 0; --n) one_by_one.append(next++);
    }
    ASSERT_EQ(std::vector<std::uint64_t>(at_once.begin(), at_once.end()),
              std::vector<std::uint64_t>(one_by_one.begin(), one_by_one.end()));
    ASSERT_EQ(at_once.runs(), one_by_one.runs());
    ASSERT_EQ(at_once.size(), one_by_one.size());
  }
  event_runs huge;
  huge.append(7, std::uint64_t{1} << 60);
  EXPECT_THAT(huge.runs(), SizeIs(1));
  EXPECT_TRUE(huge.contains((std::uint64_t{1} << 60) + 6));
  EXPECT_FALSE(huge.contains((std::uint64_t{1} << 60) + 7));
}

TEST(guess, a_format_that_knows_the_messages) {
  EXPECT_EQ(guess_protocol(file(series(3))), "stins");
  EXPECT_EQ(guess_protocol(file({test::captured({"junk"}), test::captured({"more"})})), std::nullopt);
  EXPECT_EQ(guess_protocol(file({})), std::nullopt);
}

/// Entries of the real recordings, read by their protocols.
struct recording {
  const char* name;
  const char* protocol;
  std::uint64_t entries;
  std::string faults = {};

  friend void PrintTo(const recording& r, std::ostream* out) { *out << r.name; }
};

class real_entries : public testing::TestWithParam<recording> {};

TEST_P(real_entries, are_as_many_as_the_instrument_sent) {
  auto& expected = GetParam();
  auto path = test::find_recording(expected.name);
  if (!path) GTEST_SKIP() << expected.name << " is not there: set DTRANSPOSE_RECORDINGS";
  auto format = make_protocol(expected.protocol);
  ASSERT_TRUE(format) << "there is no protocol " << expected.protocol;
  auto recorded = mapped_file::open(*path);
  auto contents = read_capture(recorded, *format);
  EXPECT_EQ(contents.entries, expected.entries);
  EXPECT_TRUE(contents.ends);
  EXPECT_FALSE(contents.doubtful);
  EXPECT_EQ(faults_text(contents), expected.faults);
  EXPECT_EQ(guess_protocol(recorded), expected.protocol);
  EXPECT_EQ(capture_index("det", expected.protocol, {}, recorded).events, expected.entries);
}

// The blobs of the Eiger's images are cut.
INSTANTIATE_TEST_SUITE_P(all, real_entries,
                         testing::Values(recording{"contrast-dump.cbors", "contrast", 22},
                                         recording{"eiger-small.cbors", "eiger_v1", 5, "3 corrupt"},
                                         recording{"pcap-zmq.cbors", "pcap", 1502},
                                         recording{"xspress3-dump.cbors", "xspress3", 22},
                                         recording{"xspress3-multipart.cbors", "xspress3", 7},
                                         recording{"maui-02-continuous-3.cbor.gz", "lecroy", 4}),
                         [](auto& about) {
                           std::string name = about.param.name;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

} // namespace
} // namespace dtranspose
