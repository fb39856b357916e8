#include "recording/wire_recording.hpp"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>

#include "output/record_log.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

stream_data message(std::initializer_list<std::string_view> parts) { return memory_frames::of("", parts); }

std::vector<std::string> parts_of(const stream_data& data) {
  std::vector<std::string> parts;
  for (auto& part : data.frames()) parts.emplace_back(part.text());
  return parts;
}

const wire_description detector = {"det", "stins", {}};

class wire_recording : public testing::Test {
 protected:
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }

  wire_reader reader() const { return wire_reader(mapped_file::open(path_), "TYPE"); }

  /// Three messages; returns where each record begins, and the end.
  std::vector<std::size_t> write_three() {
    {
      wire_writer writer(path_, detector);
      writer.append_message(1'000'000'000, message({"one"}));
      writer.append_message(2'500'000'000, message({"two", std::string(10'000, 'x')}));
      writer.append_message(3'000'000'000, message({"three", "", "3"}));
    }
    auto in = reader();
    std::vector<std::size_t> places{in.offset()};
    while (in.next()) places.push_back(in.offset());
    return places;
  }

  std::string why(const std::function<void()>& what) {
    try {
      what();
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  }

  test::temporary_directory directory_;
  std::filesystem::path path_ = directory_ / "det.dtwire";
};

TEST_F(wire_recording, gives_back_what_was_received) {
  write_three();
  auto in = reader();
  EXPECT_EQ(in.description().stream, "det");
  EXPECT_EQ(in.description().protocol, "stins");
  for (int pass = 0; pass < 2; ++pass) {
    auto one = in.next();
    EXPECT_THAT(parts_of(*one), ElementsAre("one"));
    EXPECT_EQ(one->type(), "TYPE");
    EXPECT_EQ(in.time(), 1.0);
    EXPECT_THAT(parts_of(*in.next()), ElementsAre("two", std::string(10'000, 'x')));
    EXPECT_EQ(in.time(), 2.5);
    EXPECT_THAT(parts_of(*in.next()), ElementsAre("three", "", "3"));
    EXPECT_FALSE(in.next());
    EXPECT_EQ(in.cut_off() + in.damage(), "");
    in.rewind();
  }
}

/// Byte for byte as docs/wire_recording.md has it.
TEST_F(wire_recording, has_the_documented_form) {
  {
    wire_writer writer(path_, {"det", "raw", {{"type", "X"}}});
    writer.append_message(0x0102030405060708, message({"ab", "c"}));
  }
  std::string text = R"({"options":{"type":"X"},"protocol":"raw","stream":"det"})";
  auto bytes = content();
  ASSERT_EQ(bytes.size(), 16 + text.size() + 4 + 16 + 16 + 8 + 3);
  EXPECT_EQ(bytes.substr(0, 16), std::string("\xf8"
                                             "dtwire\n\2\0\0\0\x38\0\0\0",
                                             16));
  EXPECT_EQ(text.size(), 0x38u);
  EXPECT_EQ(bytes.substr(16, text.size()), text);
  auto record = bytes.substr(20 + text.size());
  EXPECT_EQ(record.substr(0, 32), std::string("\1\0\0\0\2\0\0\0\x8\x7\x6\x5\x4\x3\x2\x1"
                                              "\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0",
                                              32));
  EXPECT_EQ(record.substr(40), "abc");
  // CRC-32C of "abc", from other implementations.
  EXPECT_EQ(record.substr(36, 4), "\xb7\x3f\x4b\x36");
}

TEST_F(wire_recording, knows_options) {
  { wire_writer writer(path_, {"x", "raw", {{"number", "/frame"}, {"type", "mine"}}}); }
  EXPECT_THAT(reader().description().options, ElementsAre(Pair("number", "/frame"), Pair("type", "mine")));
}

TEST_F(wire_recording, is_told_by_its_first_bytes) {
  write_three();
  auto file = mapped_file::open(path_);
  EXPECT_TRUE(is_wire_recording(file->bytes()));
  EXPECT_TRUE(holds_messages(file->bytes()));
  EXPECT_FALSE(is_wire_recording(file->bytes().first(7)));
  EXPECT_FALSE(is_wire_recording({}));
}

/// Cut at any byte, all whole records before are there, and where it is torn is told.
TEST_F(wire_recording, is_read_up_to_its_last_whole_record) {
  auto places = write_three();
  auto whole = content();
  for (std::size_t size = places[0]; size <= whole.size();
       size += size < places[1] || size > places[2] ? 1 : 97) {
    auto file = mapped_file::of(std::as_bytes(std::span(whole)).first(size), "torn");
    wire_reader in(file);
    std::size_t records = 0;
    while (in.next()) ++records;
    auto place = std::find(places.begin(), places.end(), size);
    if (place != places.end()) {
      EXPECT_EQ(in.cut_off(), "");
      EXPECT_EQ(records, place - places.begin());
    } else {
      EXPECT_EQ(in.cut_off(),
                "torn: byte " + std::to_string(in.offset()) + ": the record that begins there is cut off");
      EXPECT_EQ(in.offset(), places[records]);
      EXPECT_LT(in.offset(), size);
    }
  }
}

TEST_F(wire_recording, damaged_content_is_left_out_and_named) {
  auto places = write_three();
  auto bytes = content();
  bytes[places[2] - 1] ^= 1;
  write(bytes);
  auto in = reader();
  EXPECT_THAT(parts_of(*in.next()), ElementsAre("one"));
  EXPECT_THAT(parts_of(*in.next()), ElementsAre("three", "", "3"));
  EXPECT_EQ(in.cut_off(), "");
  EXPECT_THAT(in.damage(),
              AllOf(HasSubstr(path_.string()), HasSubstr("record at byte " + std::to_string(places[1]) +
                                                         " does not have its checksum")));
  bytes[places[1] - 1] ^= 1;
  write(bytes);
  auto more = reader();
  more.next();
  EXPECT_THAT(more.damage(), HasSubstr("; 1 more such records"));
}

TEST_F(wire_recording, a_damaged_head_of_a_record_ends_it) {
  auto places = write_three();
  auto bytes = content();
  for (std::size_t at = places[1]; at < places[1] + 36; ++at) {
    auto damaged = bytes;
    damaged[at] ^= 0x40;
    wire_reader in(mapped_file::of(std::as_bytes(std::span(damaged)), "odd"));
    EXPECT_TRUE(in.next());
    EXPECT_FALSE(in.next()) << at;
    EXPECT_THAT(in.cut_off(), HasSubstr("odd: byte " + std::to_string(places[1]))) << at;
  }
}

TEST_F(wire_recording, what_is_none_is_refused) {
  write_three();
  auto bytes = content();
  auto why_not = [&](const std::string& changed) {
    return why([&] { wire_reader(mapped_file::of(std::as_bytes(std::span(changed)), "odd")); });
  };
  EXPECT_EQ(why_not("abc"), "odd: no wire recording");
  EXPECT_EQ(why_not(bytes.substr(0, 30)), "odd: cut off in its head");
  auto damaged = bytes, newer = bytes;
  damaged[20] ^= 1;
  EXPECT_EQ(why_not(damaged), "odd: its head is damaged");
  newer[8] = 3;
  EXPECT_THAT(why_not(newer), HasSubstr("of version 3, this program reads versions 1 to 2"));
}

/// Those of before gaps were known.
TEST_F(wire_recording, of_version_1_is_read_and_not_appended_to) {
  write_three();
  auto bytes = content();
  auto head = bytes.size();
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 12, sizeof length);
  head = 16 + length;
  bytes[8] = 1;
  auto sum = crc32c(0, std::as_bytes(std::span(bytes)).first(head));
  std::memcpy(bytes.data() + head, &sum, sizeof sum);
  write(bytes);
  auto in = reader();
  EXPECT_EQ(in.version(), 1u);
  EXPECT_THAT(parts_of(*in.next()), ElementsAre("one"));
  EXPECT_THAT(why([&] { wire_writer(path_, detector); }), HasSubstr("of version 1: nothing is appended"));
}

TEST_F(wire_recording, names_what_is_not_in_it) {
  {
    wire_writer writer(path_, detector);
    writer.append_message(1, message({"one"}));
    writer.append_gap(2, {3, 5000});
    writer.append_message(3, message({"five"}));
    writer.append_gap(4, {2, 7});
  }
  auto in = reader();
  for (int pass = 0; pass < 2; ++pass) {
    in.next();
    EXPECT_EQ(in.gaps(), "");
    EXPECT_FALSE(in.interrupted());
    EXPECT_THAT(parts_of(*in.next()), ElementsAre("five"));
    EXPECT_TRUE(in.interrupted()) << "of a byte stream nobody knows what follows a gap";
    EXPECT_THAT(in.gaps(), HasSubstr("3 messages of 5000 bytes were received but not recorded"));
    EXPECT_FALSE(in.next());
    EXPECT_THAT(in.gaps(), HasSubstr("5 messages of 5007 bytes"));
    EXPECT_THAT(in.gaps(), HasSubstr("in 2 gaps"));
    EXPECT_EQ(in.cut_off(), "");
    in.rewind();
    EXPECT_EQ(in.gaps(), "");
  }
}

TEST_F(wire_recording, can_be_packed) {
  for (auto how : {packing::gzip, packing::zstd}) {
    auto packed = path_.string() + ending_of(how);
    {
      wire_writer writer(packed, detector, how);
      writer.append_message(1'000'000'000, message({"one"}));
      writer.flush();
      writer.append_message(2'000'000'000, message({std::string(100'000, 'x')}));
    }
    EXPECT_LT(std::filesystem::file_size(packed), 10'000u);
    wire_reader in(mapped_file::open(packed));
    EXPECT_EQ(in.description().stream, "det");
    EXPECT_THAT(parts_of(*in.next()), ElementsAre("one"));
    EXPECT_EQ(in.next()->bytes(), 100'000u);
    EXPECT_FALSE(in.next());
    EXPECT_EQ(in.cut_off(), "");
    EXPECT_THAT(why([&] { wire_writer(packed, detector, how); }), HasSubstr("is there already, and packed"));
  }
}

TEST_F(wire_recording, is_continued_behind_its_last_whole_record) {
  auto places = write_three();
  std::filesystem::resize_file(path_, places[2] + 5);
  { wire_writer(path_, detector).append_message(4'000'000'000, message({"four"})); }
  auto in = reader();
  in.next();
  in.next();
  EXPECT_THAT(parts_of(*in.next()), ElementsAre("four"));
  EXPECT_FALSE(in.next());
  EXPECT_EQ(in.cut_off(), "");
  EXPECT_THAT(why([&] {
                wire_writer(path_, {"other", "stins", {}});
              }),
              HasSubstr("is there already, of stream 'det'"));
}

TEST_F(wire_recording, an_interruption_stands_before_the_next_message) {
  {
    wire_writer writer(path_, {"panda", "panda_tcp", {}});
    writer.append_bytes(1, message({"OK\n"}));
    writer.append_interruption(2);
    writer.append_bytes(3, message({"OK again\n"}));
  }
  auto in = reader();
  in.next();
  EXPECT_FALSE(in.interrupted());
  in.next();
  EXPECT_TRUE(in.interrupted());
}

} // namespace
} // namespace dtranspose
