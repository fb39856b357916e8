#include "recording/mapped_file.hpp"

#include <fstream>
#include <random>

#include <gmock/gmock.h>

#include "recording/dump.hpp"
#include "recording/dump_writer.hpp"
#include "recording/gzip.hpp"
#include "recording/packed.hpp"
#include "recordings.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What is in `packed`, and why not more.
std::pair<std::string, std::string> unpacked(std::string_view packed, std::size_t limit = unpacked_limit) {
  // Memory of just this size, so that a sanitizer sees every step beyond.
  std::vector<std::byte> bytes(std::as_bytes(std::span(packed)).begin(),
                               std::as_bytes(std::span(packed)).end());
  auto result = unpack_gzip(bytes, limit);
  return {text({result.memory.get(), result.size}), result.cut_off};
}

std::string random_text(std::size_t size) {
  std::mt19937 random(1);
  std::string content(size, '\0');
  for (auto& c : content) c = static_cast<char>(random() % 7 * (random() % 31));
  return content;
}

TEST(gzip, contents_of_any_size_come_back) {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{65535}, std::size_t{65536},
                           std::size_t{65537}, std::size_t{131072}, std::size_t{1000003}}) {
    auto content = random_text(size);
    auto [found, cut] = unpacked(test::gzip(content));
    EXPECT_TRUE(found == content) << size;
    EXPECT_THAT(cut, IsEmpty()) << size;
  }
}

TEST(gzip, members_follow_one_another) {
  auto [found, cut] =
      unpacked(test::gzip("one,") + test::gzip("") + test::gzip("two,") + test::gzip("three"));
  EXPECT_EQ(found, "one,two,three");
  EXPECT_THAT(cut, IsEmpty());
}

TEST(gzip, zeros_behind_it_are_padding_but_nothing_else_is) {
  auto packed = test::gzip("content");
  EXPECT_EQ(unpacked(packed + std::string(512, '\0')), std::pair("content"s, ""s));
  auto [found, cut] = unpacked(packed + "more");
  EXPECT_EQ(found, "content");
  EXPECT_EQ(cut, "byte " + std::to_string(packed.size()) + " of its gzip data: what follows is no gzip");
}

TEST(gzip, what_is_cut_off_is_kept_and_reported) {
  auto content = random_text(3000);
  auto first = test::gzip(content), packed = first + test::gzip(content);
  for (std::size_t size = 2; size < packed.size(); ++size) {
    auto [found, cut] = unpacked(packed.substr(0, size));
    ASSERT_TRUE(found == (content + content).substr(0, found.size())) << size;
    if (size >= first.size()) {
      ASSERT_GE(found.size(), content.size()) << size;
    }
    // One byte of the next member could be anything.
    auto why = size == first.size() + 1 ? "what follows is no gzip" : "cut off";
    if (size == first.size())
      ASSERT_THAT(cut, IsEmpty());
    else
      ASSERT_THAT(cut, HasSubstr(why)) << size;
  }
}

TEST(gzip, damage_is_reported) {
  auto content = random_text(3000);
  auto packed = test::gzip(content);
  std::mt19937 random(2);
  int reported = 0;
  for (int i = 0; i < 3000; ++i) {
    auto damaged = packed;
    damaged[2 + random() % (damaged.size() - 2)] ^= static_cast<char>(1 + random() % 255);
    auto [found, cut] = unpacked(damaged);
    if (cut.empty())
      EXPECT_TRUE(found == content); // a byte of the header that says nothing of the content
    else
      ++reported;
  }
  EXPECT_GT(reported, 2900);
}

TEST(gzip, wrong_check_sum_is_reported) {
  auto packed = test::gzip("content");
  packed[packed.size() - 8] ^= 1;
  auto [found, cut] = unpacked(packed);
  EXPECT_EQ(found, "content");
  EXPECT_THAT(cut, HasSubstr("incorrect data check"));
}

TEST(gzip, expansion_is_bounded) {
  auto packed = test::gzip(std::string(1000000, 'x'));
  EXPECT_LT(packed.size(), 2000u);
  EXPECT_EQ(unpacked(packed, 1000000).first.size(), 1000000u);
  try {
    unpacked(packed, 999999);
    FAIL() << "no exception";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("more than 999999 bytes"));
    EXPECT_THAT(e.what(), HasSubstr("gunzip"));
  }
  EXPECT_EQ(unpacked(test::gzip(""), 0).first, "");
  EXPECT_THROW(unpacked(test::gzip("x"), 0), std::runtime_error);
}

class mapped : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, std::string_view bytes) {
    std::ofstream(directory_ / name, std::ios::binary | std::ios::trunc) << bytes;
    return directory_ / name;
  }

  test::temporary_directory directory_;
};

TEST_F(mapped, is_the_file) {
  auto file = mapped_file::open(write("a", "content"));
  EXPECT_EQ(text(file->bytes()), "content");
  EXPECT_EQ(file->path(), directory_ / "a");
  EXPECT_THAT(file->cut_off(), IsEmpty());
  EXPECT_THAT(text(mapped_file::open(write("b", ""))->bytes()), IsEmpty());
  EXPECT_EQ(text(mapped_file::open(write("c", "\x1f"))->bytes()), "\x1f");
  EXPECT_THROW(mapped_file::open(directory_ / "missing"), std::runtime_error);
  EXPECT_THROW(mapped_file::open(directory_.path()), std::runtime_error);
}

TEST_F(mapped, gzip_is_recognised_by_its_content) {
  EXPECT_EQ(text(mapped_file::open(write("a.cbors", test::gzip("content")))->bytes()), "content");
  EXPECT_EQ(text(mapped_file::open(write("b.cbors.gz", "content"))->bytes()), "content");
  auto nothing = mapped_file::open(write("c.gz", test::gzip("")));
  EXPECT_THAT(text(nothing->bytes()), IsEmpty());
  EXPECT_THAT(nothing->cut_off(), IsEmpty());
}

TEST_F(mapped, names_the_file_whose_gzip_is_cut_off) {
  auto packed = test::gzip(random_text(3000));
  auto file = mapped_file::open(write("cut.gz", packed.substr(0, packed.size() - 9)));
  EXPECT_GT(file->bytes().size(), 2000u);
  EXPECT_EQ(file->cut_off(), (directory_ / "cut.gz").string() + ": byte " +
                                 std::to_string(packed.size() - 9) + " of its gzip data: cut off");
  auto head = mapped_file::open(write("head.gz", packed.substr(0, 3)));
  EXPECT_THAT(head->bytes(), IsEmpty());
  EXPECT_THAT(head->cut_off(), HasSubstr("head.gz: byte 3 of its gzip data: cut off"));
}

/// What is large goes to a file, zeros as holes: nothing of it may differ, wherever it is cut.
TEST(large_content, comes_back_through_a_file) {
  auto content = random_text(3'000'000) + std::string(5'000'000, '\0') + random_text(1'234'567);
  auto packed = test::gzip(content.substr(0, 2'500'000)) + test::gzip(content.substr(2'500'000));
  for (std::size_t in_memory : {std::size_t{1000}, std::size_t{1} << 20, std::size_t{5'000'000},
                                content.size() - 1, content.size(), content.size() + 1}) {
    auto result = unpack_gzip(std::as_bytes(std::span(packed)), unpacked_limit, in_memory);
    EXPECT_TRUE(text({result.memory.get(), result.size}) == content) << in_memory;
    EXPECT_EQ(result.whole_size, content.size());
    EXPECT_EQ(result.memory.get_deleter().mapped, in_memory < content.size() ? content.size() : 0)
        << in_memory;
    auto cut = std::as_bytes(std::span(packed)).first(packed.size() - 4);
    auto torn = unpack_gzip(cut, unpacked_limit, in_memory);
    EXPECT_TRUE(text({torn.memory.get(), torn.size}) == content) << in_memory;
    EXPECT_EQ(torn.whole_size, 2'500'000u);
    EXPECT_THAT(torn.cut_off, HasSubstr("cut off"));
  }
}

TEST(large_content, without_a_place_for_it_is_refused_and_says_what_to_do) {
  ::setenv("TMPDIR", "/nowhere/at/all", 1);
  auto packed = test::gzip(std::string(100'000, 'x'));
  try {
    unpack_gzip(std::as_bytes(std::span(packed)), unpacked_limit, 1000);
    ADD_FAILURE() << "it was unpacked";
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("/nowhere/at/all: No such file"));
    EXPECT_THAT(e.what(), HasSubstr("set TMPDIR"));
  }
  ::unsetenv("TMPDIR");
}

/// Out of a file of some hundred kilobytes.
TEST_F(mapped, a_packed_dump_of_more_than_4_gib_is_read_as_any_other) {
  constexpr std::size_t frame_bytes = std::size_t{64} << 20, events = 70;
  {
    const dump_stream stream{"det", memory_frames::of("STINS", {std::string(frame_bytes, '\0')})};
    dump_writer writer(directory_ / "dump.zst", packing::zstd);
    for (std::uint64_t event = 0; event < events; ++event) writer.append(event, {&stream, 1});
  }
  dump_reader reader(mapped_file::open(directory_ / "dump.zst"));
  EXPECT_GT(reader.file().bytes().size(), std::size_t{4} << 30);
  std::uint64_t found = 0;
  while (auto item = reader.next()) {
    ASSERT_EQ(item->event, found++);
    auto part = item->streams.at(0).data.frames()[0].bytes();
    ASSERT_EQ(part.size(), frame_bytes);
    ASSERT_EQ(part.back(), std::byte{0});
  }
  EXPECT_EQ(found, events);
  EXPECT_EQ(reader.cut_off(), "");
}

TEST_F(mapped, bytes_of_memory_are_copied) {
  auto content = "content"s;
  auto file = mapped_file::of(std::as_bytes(std::span(content)), "memory");
  content = "changed";
  EXPECT_EQ(text(file->bytes()), "content");
  EXPECT_EQ(file->path(), "memory");
  EXPECT_THAT(mapped_file::of({}, "nothing")->bytes(), IsEmpty());
}

TEST_F(mapped, dumps_in_gzip_are_read_to_their_cut) {
  {
    dump_writer writer(directory_ / "dump");
    for (std::uint64_t event = 0; event < 5; ++event) {
      const dump_stream stream{"det", memory_frames::of("STINS", {"frame", std::to_string(event)})};
      writer.append(event, {&stream, 1});
    }
  }
  std::ifstream in(directory_ / "dump", std::ios::binary);
  const std::string dump(std::istreambuf_iterator<char>(in), {});
  auto packed = test::gzip(dump.substr(0, dump.size() / 2)) + test::gzip(dump.substr(dump.size() / 2));
  auto events_and_end = [&](std::string_view bytes) {
    dump_reader reader(mapped_file::open(write("dump.gz", bytes)));
    std::uint64_t events = 0;
    while (auto item = reader.next()) EXPECT_EQ(item->event, events++);
    return std::pair(events, reader.cut_off());
  };
  EXPECT_EQ(events_and_end(packed), std::pair(std::uint64_t{5}, ""s));
  auto [events, end] = events_and_end(packed.substr(0, packed.size() - 12));
  EXPECT_LT(events, 5u);
  EXPECT_GE(events, 2u);
  EXPECT_THAT(end, HasSubstr("in the item that begins at byte"));
  EXPECT_THAT(end, HasSubstr("gzip data: cut off"));
  // All items are there, but the gzip around them does not end.
  std::tie(events, end) = events_and_end(packed.substr(0, packed.size() - 4));
  EXPECT_EQ(events, 5u);
  EXPECT_THAT(end, HasSubstr("dump.gz: byte "));
}

} // namespace
} // namespace dtranspose
