#include "recording/capture.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include <gmock/gmock.h>

#include "recording/dump.hpp"
#include "recording/packed.hpp"
#include "recordings.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::string_literals;
using test::captured;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::shared_ptr<const mapped_file> file(std::string_view bytes) {
  return mapped_file::of(bytes_of(bytes), "file.cbors");
}

std::vector<std::string> texts(const stream_data& message) {
  std::vector<std::string> parts;
  for (auto& part : message.frames()) parts.emplace_back(part.text());
  return parts;
}

using messages = std::vector<std::vector<std::string>>;

/// All messages, and where reading ended.
std::pair<messages, std::string> read(std::string_view bytes) {
  capture_reader reader(file(bytes), "TYPE");
  messages all;
  while (auto message = reader.next()) {
    EXPECT_EQ(message->type(), "TYPE");
    all.push_back(texts(*message));
  }
  return {all, reader.cut_off()};
}

TEST(capture, reads_the_worked_example) {
  auto [all, end] = read("\x82\x52{\"htype\":\"header\"}\x42\x01\x02"s);
  ASSERT_THAT(all, ElementsAre(ElementsAre("{\"htype\":\"header\"}", "\x01\x02")));
  EXPECT_THAT(end, IsEmpty());
}

TEST(capture, reads_messages_of_any_size) {
  messages sent = {{},
                   {""},
                   {"a"},
                   {"a", "", "b"},
                   {std::string(23, 'c')},
                   {std::string(24, 'd')},
                   {std::string(255, 'e')},
                   {std::string(256, 'f'), "g"},
                   {std::string(70000, 'h')},
                   std::vector<std::string>(23, "i"),
                   std::vector<std::string>(24, "j"),
                   std::vector<std::string>(300, "k")};
  std::string bytes;
  for (auto& message : sent) bytes += captured(message);
  auto [all, end] = read(bytes);
  EXPECT_EQ(all, sent);
  EXPECT_THAT(end, IsEmpty());
  EXPECT_THAT(read("").first, IsEmpty());
}

TEST(capture, reads_indefinite_lengths_and_texts) {
  // [_ "ab", h'' ] [ (_ h'61', h'', h'6263'), (_ "x", "y") ] [_ ]
  auto bytes = "\x9f\x42"s + "ab\x40\xff"s + "\x82\x5f\x41"s + "a\x40\x42"s + "bc\xff\x7f\x61"s + "x\x61"s +
               "y\xff\x9f\xff\x81\x62zz"s;
  auto [all, end] = read(bytes);
  EXPECT_EQ(all, (messages{{"ab", ""}, {"abc", "xy"}, {}, {"zz"}}));
  EXPECT_THAT(end, IsEmpty());
}

TEST(capture, messages_are_views_of_the_file_and_outlive_the_reader) {
  auto recorded = file(captured({"first", "second"}) + captured({"third"}));
  auto bytes = recorded->bytes();
  std::vector<stream_data> kept;
  {
    capture_reader reader(recorded, "TYPE");
    while (auto message = reader.next()) kept.push_back(std::move(*message));
    EXPECT_EQ(reader.offset(), bytes.size());
  }
  EXPECT_EQ(kept.at(0).frames()[1].data(), bytes.data() + 8);
  std::weak_ptr<const mapped_file> held = recorded;
  recorded.reset();
  EXPECT_EQ(kept[0].frames()[0].text(), "first");
  EXPECT_EQ(kept[1].frames()[0].text(), "third");
  kept.erase(kept.begin());
  EXPECT_FALSE(held.expired());
  kept.clear();
  EXPECT_TRUE(held.expired());
}

TEST(capture, begins_anew) {
  capture_reader reader(file(captured({"a"}) + "\x81"), "TYPE");
  EXPECT_TRUE(reader.next());
  EXPECT_FALSE(reader.next());
  EXPECT_THAT(reader.cut_off(), HasSubstr("cut off"));
  reader.rewind();
  EXPECT_THAT(reader.cut_off(), IsEmpty());
  EXPECT_EQ(reader.offset(), 0u);
  EXPECT_THAT(texts(*reader.next()), ElementsAre("a"));
}

TEST(capture, cut_off_at_every_byte_it_keeps_what_is_whole) {
  messages sent = {{"a", std::string(300, 'b')}, {"c"}, {}, {"d", "e", "f"}};
  std::vector<std::size_t> ends;
  std::string bytes;
  for (auto& message : sent) ends.push_back((bytes += captured(message)).size());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    auto [all, end] = read(bytes.substr(0, size));
    auto whole = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), size) - ends.begin());
    ASSERT_THAT(all, SizeIs(whole)) << size;
    auto last = whole == 0 ? 0 : ends[whole - 1];
    if (size == last)
      EXPECT_THAT(end, IsEmpty());
    else
      EXPECT_EQ(end, "file.cbors: byte " + std::to_string(size) +
                         ": cut off, in the message that begins at byte " + std::to_string(last));
  }
}

TEST(capture, refuses_what_no_message_is) {
  auto why = [](const std::string& bytes) { return read(captured({"a"}) + bytes).second; };
  EXPECT_THAT(why("\x42zz"), HasSubstr("byte 3: no array"));
  EXPECT_THAT(why("\xa1\x41x\x41y"), HasSubstr("no array"));
  EXPECT_THAT(why("\xff"), HasSubstr("no array"));
  EXPECT_THAT(why("\x81\x05"), HasSubstr("a part that is no string"));
  EXPECT_THAT(why("\x81\x81\x41x"), HasSubstr("a part that is no string"));
  EXPECT_THAT(why("\x81\xff"), HasSubstr("a part that is no string"));
  EXPECT_THAT(why("\x81\xc1\x41x"), HasSubstr("a part that is no string"));
  EXPECT_THAT(why("\x81\x5f\x61x\xff"), HasSubstr("a chunk that is no string"));
  EXPECT_THAT(why("\x81\x5f\x5f\x41x\xff\xff"), HasSubstr("a chunk that is no string"));
  EXPECT_THAT(why("\x81\x5c"), HasSubstr("no valid CBOR"));
}

TEST(capture, lengths_are_never_believed) {
  auto why = [](const std::string& bytes) { return read(bytes).second; };
  EXPECT_THAT(why("\x81\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), HasSubstr("cut off"));
  EXPECT_THAT(why("\x81\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"), HasSubstr("cut off"));
  EXPECT_THAT(why("\x81\x5a\xff\xff\xff\xffxx"), HasSubstr("cut off"));
  EXPECT_THAT(why("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x40"), HasSubstr("more than the 65536"));
  EXPECT_THAT(why("\x9a\x00\x01\x00\x01"s), HasSubstr("more than the 65536"));
  auto most = test::cbor_head(4, 65536) + std::string(65536, '\x40');
  EXPECT_THAT(read(most).first, ElementsAre(SizeIs(65536)));
  EXPECT_THAT(why("\x9f" + std::string(65537, '\x40') + "\xff"), HasSubstr("more than the 65536"));
  EXPECT_THAT(read("\x9f" + std::string(65536, '\x40') + "\xff").first, ElementsAre(SizeIs(65536)));
}

TEST(capture, damaged_files_never_do_harm) {
  std::string bytes;
  for (int i = 0; i < 20; ++i)
    bytes += captured({"{\"frame\":" + std::to_string(i) + "}", std::string(40, 'x')});
  std::mt19937 random(1);
  std::size_t ended_early = 0;
  for (int round = 0; round < 3000; ++round) {
    auto damaged = bytes;
    for (auto n = 1 + random() % 4; n > 0; --n)
      damaged[2 + random() % (damaged.size() - 2)] = static_cast<char>(random()); // stays a capture
    ended_early += !read(damaged).second.empty();
  }
  EXPECT_GT(ended_early, 100u);
}

TEST(capture, is_told_from_other_forms_by_its_beginning) {
  auto is = [](std::string_view bytes) { return is_capture(bytes_of(bytes)); };
  for (int first = 0; first < 256; ++first) {
    auto bytes = std::string(1, static_cast<char>(first)) + "\x41x";
    EXPECT_EQ(is(bytes), (first >= 0x80 && first <= 0x9b) || first == 0x9f) << first;
  }
  EXPECT_FALSE(is(""));
  EXPECT_TRUE(is("\x80"));
  EXPECT_TRUE(is("\x80\x81\x41x"));
  EXPECT_FALSE(is("\x82\x05\xa0"s)); // a dump whose items have no tags
  for (auto version : {'\2', '\3', '\4', '\5'}) {
    EXPECT_FALSE(is("\x80"s + version));
    EXPECT_TRUE(is_pickle(bytes_of("\x80"s + version)));
  }
  EXPECT_FALSE(is_pickle(bytes_of("\x80\x81")));
}

TEST(capture, other_forms_are_refused_by_name) {
  auto why = [](std::string_view bytes) -> std::string {
    try {
      capture_reader reader(file(bytes));
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(why("\xd9\xd9\xf7"), "file.cbors: no raw capture but a dump of an ingester");
  EXPECT_EQ(why("\x80\x04\x95"),
            "file.cbors: no raw capture but a pickle, which is a program rather than data and is not read");
  EXPECT_EQ(why("%PDF"), "file.cbors: no raw capture but of an unknown form");
  EXPECT_EQ(why(""), "");
  EXPECT_EQ(why("\x80"), "");
  try {
    dump_reader reader(file("\x80\x04\x95"));
    FAIL() << "no exception";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("a pickle"));
  }
}

TEST(capture, gzip_that_is_cut_off_is_named) {
  std::string bytes;
  for (int i = 0; i < 200; ++i) bytes += captured({std::to_string(i * 7919)});
  auto packed = test::gzip(bytes);
  test::temporary_directory directory;
  auto path = directory / "cut.cbors.gz";
  std::ofstream(path, std::ios::binary) << packed.substr(0, packed.size() / 2);
  capture_reader reader(mapped_file::open(path));
  int count = 0;
  while (reader.next()) ++count;
  EXPECT_GT(count, 10);
  EXPECT_LT(count, 200);
  EXPECT_THAT(reader.cut_off(), HasSubstr(path.string() + ": byte "));
  EXPECT_THAT(reader.cut_off(), HasSubstr("gzip data: cut off"));
}

/// Messages of each recording, how many of them have how many parts, and bytes of some message.
struct recording {
  const char* name;
  std::map<std::size_t, std::size_t> part_counts;
  std::size_t message, part, bytes;

  friend void PrintTo(const recording& r, std::ostream* out) { *out << r.name; }
};

class real_captures : public testing::TestWithParam<recording> {};

TEST_P(real_captures, are_read_to_the_end) {
  auto& expected = GetParam();
  auto path = test::find_recording(expected.name);
  if (!path) GTEST_SKIP() << expected.name << " is not there: set DTRANSPOSE_RECORDINGS";
  capture_reader reader(mapped_file::open(*path));
  std::map<std::size_t, std::size_t> part_counts;
  std::vector<stream_data> all;
  while (auto message = reader.next()) {
    ++part_counts[message->frames().size()];
    all.push_back(std::move(*message));
  }
  EXPECT_THAT(reader.cut_off(), IsEmpty());
  EXPECT_EQ(part_counts, expected.part_counts);
  EXPECT_EQ(reader.offset(), reader.file().bytes().size());
  EXPECT_EQ(all.at(expected.message).frames()[expected.part].size(), expected.bytes);
}

INSTANTIATE_TEST_SUITE_P(
    all, real_captures,
    testing::Values(recording{"contrast-dump.cbors", {{1, 26}}, 0, 0, 36},
                    recording{"eiger-small.cbors", {{1, 1}, {5, 3}, {9, 1}}, 1, 2, 20000},
                    recording{"pcap-zmq.cbors", {{1, 102}}, 0, 0, 103},
                    recording{"xspress3-dump.cbors", {{1, 62}}, 2, 0, 65536},
                    recording{"xspress3-multipart.cbors", {{1, 2}, {3, 5}}, 1, 2, 653},
                    recording{"maui-02-continuous-3.cbor.gz", {{1, 5}, {3, 4}}, 2, 1, 64016}),
    [](auto& about) {
      std::string name = about.param.name;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
      return name;
    });

} // namespace
} // namespace dtranspose
