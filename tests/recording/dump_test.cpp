#include "recording/dump.hpp"

#include <fstream>
#include <random>

#include <gmock/gmock.h>

#include "model/type_tag.hpp"
#include "recording/dump_writer.hpp"
#include "recording/recording_index.hpp"
#include "recordings.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Bytes of hexadecimal digits; blanks are skipped.
std::string hex(std::string_view digits) {
  std::string bytes;
  int half = -1;
  for (char c : digits) {
    if (c == ' ') continue;
    int n = c <= '9' ? c - '0' : c - 'a' + 10;
    if (half < 0) {
      half = n;
    } else {
      bytes += static_cast<char>(half * 16 + n);
      half = -1;
    }
  }
  return bytes;
}

const std::string begin_2 = hex("d9d9f7 d9a77d 82 05");
const std::string begin_3 = hex("d9d9f7 d9a77d 83 05");
const std::string streams = hex("a1 63 646574 d9a77e 82 65 5354494e53 82 47 7b2261223a317d 42 0100");
const std::string two_items = begin_2 + streams;
const std::string three_items = begin_3 + streams + hex("c0 78 1b") + "2024-10-07T08:49:10.627000Z";

class dump : public testing::Test {
 protected:
  std::filesystem::path path(const std::string& name = "file.cbors") const { return directory_ / name; }

  std::shared_ptr<const mapped_file> file(std::string_view bytes, const std::string& name = "file.cbors") {
    std::ofstream(path(name), std::ios::binary | std::ios::trunc) << bytes;
    return mapped_file::open(path(name));
  }

  /// All items, and where reading ended.
  std::pair<std::vector<dump_item>, std::string> read(std::string_view bytes) {
    dump_reader reader(file(bytes));
    std::vector<dump_item> items;
    while (auto item = reader.next()) items.push_back(std::move(*item));
    return {std::move(items), reader.cut_off()};
  }

  std::string content(const std::filesystem::path& file) const {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  test::temporary_directory directory_;
};

stream_data stins() { return memory_frames::of("STINS", {"{\"a\":1}", "\1\0"s}); }

void expect_worked_example(const dump_item& item) {
  EXPECT_EQ(item.event, 5u);
  ASSERT_THAT(item.streams, SizeIs(1));
  EXPECT_EQ(item.streams[0].name, "det");
  EXPECT_EQ(item.streams[0].data, stins());
}

TEST_F(dump, reads_the_old_form) {
  auto [items, end] = read(two_items);
  ASSERT_THAT(items, SizeIs(1));
  expect_worked_example(items[0]);
  EXPECT_FALSE(items[0].created_at);
  EXPECT_EQ(items[0].end_offset, two_items.size());
  EXPECT_THAT(end, IsEmpty());
}

TEST_F(dump, reads_every_form_of_time) {
  constexpr double t = 1728290950.627;
  const std::pair<std::string, std::optional<double>> cases[] = {
      {hex("c0 78 1b") + "2024-10-07T08:49:10.627000Z", t},
      {hex("78 1b") + "2024-10-07T08:49:10.627000Z", t},
      {hex("c0 74") + "2024-10-07T08:49:10Z", 1728290950},
      {hex("c0 78 19") + "2024-10-07T09:49:10+01:00", 1728290950},
      {hex("c0 78 19") + "2024-10-07T03:19:10-05:30", 1728290950},
      {hex("c0 7f 6a") + "2024-10-07" + hex("6a") + "T08:49:10Z" + hex("ff"), 1728290950},
      {hex("c1 fb 41d9c0e821a820c5"), t},
      {hex("c1 1a 6703a086"), 1728290950},
      {hex("1a 6703a086"), 1728290950},
      {hex("c1 20"), -1},
      {hex("f6"), std::nullopt},
      {hex("c0 69") + "yesterday", std::nullopt},
      {hex("c0 74") + "2024-02-30T08:49:10Z", std::nullopt},
      {hex("c0 74") + "2024-10--7T08:49:10Z", std::nullopt},
  };
  for (auto& [bytes, time] : cases) {
    auto [items, end] = read(begin_3 + streams + bytes);
    ASSERT_THAT(items, SizeIs(1)) << bytes << end;
    expect_worked_example(items[0]);
    ASSERT_EQ(items[0].created_at.has_value(), time.has_value()) << bytes;
    EXPECT_NEAR(items[0].created_at.value_or(0), time.value_or(0), 1e-6) << bytes;
  }
}

TEST_F(dump, reads_items_that_follow_one_another) {
  auto [items, end] = read(two_items + three_items + two_items);
  ASSERT_THAT(items, SizeIs(3));
  for (auto& item : items) expect_worked_example(item);
  EXPECT_TRUE(items[1].created_at);
}

TEST_F(dump, tags_may_be_missing) {
  auto bare = hex("a1 63 646574 82 65 5354494e53 82 47 7b2261223a317d 42 0100");
  for (auto& item : {hex("d9a77d 82 05") + bare, hex("d9d9f7 82 05") + bare, hex("82 05") + bare,
                     hex("82 05") + streams}) {
    auto [items, end] = read(item + item);
    ASSERT_THAT(items, SizeIs(2)) << end;
    expect_worked_example(items[1]);
  }
}

TEST_F(dump, indefinite_lengths_and_texts_are_taken) {
  auto item = hex("d9d9f7 d9a77d 9f 05 bf 7f 62 6465 61 74 ff d9a77e 9f 65 5354494e53 9f"
                  "67 7b2261223a317d 5f 41 01 40 41 00 ff ff ff ff ff");
  auto [items, end] = read(item + item);
  ASSERT_THAT(items, SizeIs(2)) << end;
  expect_worked_example(items[0]);
  expect_worked_example(items[1]);
}

TEST_F(dump, frames_are_views_that_keep_the_file) {
  auto mapped = file(two_items);
  auto bytes = mapped->bytes();
  auto data = dump_reader(mapped).next()->streams[0].data;
  std::weak_ptr<const mapped_file> watch = mapped;
  mapped.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(data.frames()[1].data(), bytes.data() + bytes.size() - 2);
  data.reset();
  EXPECT_TRUE(watch.expired());
}

TEST_F(dump, a_cut_off_item_is_reported_and_the_rest_kept) {
  for (auto& item : {two_items, three_items})
    for (std::size_t size = 1; size < item.size(); ++size) {
      auto [items, end] = read(item + item.substr(0, size));
      ASSERT_THAT(items, SizeIs(1)) << size;
      expect_worked_example(items[0]);
      EXPECT_THAT(end, HasSubstr("file.cbors: byte " + std::to_string(item.size() + size) + ": cut off"));
      EXPECT_THAT(end, HasSubstr("begins at byte " + std::to_string(item.size())));
    }
}

TEST_F(dump, bytes_that_mean_harm_are_reported_where_they_are) {
  const std::pair<std::string, const char*> cases[] = {
      {hex("d9d9f7 d9a77d 9b 7fffffffffffffff"), "byte 6: more than the 3 elements"},
      {hex("d9d9f7 d9a77d 82 05 bb ffffffffffffffff"), "byte 8: more than the 4096 elements"},
      {hex("d9d9f7 d9a77d 82 05 a1 7b ffffffffffffffff"), "cut off"},
      {hex("d9d9f7 d9a77d 82 05 a1 63 646574 d9a77e 82 65 5354494e53 9b 00000000ffffffff"),
       "more than the 65536"},
      {hex("d9d9f7 d9a77d 82 05 a1 63 646574 d9a77e 82 65 5354494e53 81 5b ffffffffffffffff"), "cut off"},
      {hex("d9d9f7 d9a77d 82 05 a1 63 646574 d9a77e 82 65 5354494e53 81 5f 5f 41 00"),
       "a chunk that is no string"},
      {hex("d9d9f7 d9a77d 81 05"), "byte 6: no array"},
      {hex("d9d9f7 d9a77d 82 25 a0"), "byte 7: no event number"},
      {hex("d9d9f7 d9a77d 82 1b ffffffffffffffff a0"), "byte 7: no event number"},
      {hex("d9d9f7 d9a77d 82 05 80"), "byte 8: no map"},
      {hex("d9d9f7 d9a77c"), "unexpected tag 42876"},
      {hex("d9d9f7 d9a77d 82 05 a0 ff"), "byte 9: no array"},
      {hex("d9d9f7 d9a77d 83 05 a0 80"), "byte 9: no time"},
      {hex("d9d9f7 d9a77d 82 1c"), "byte 7: no valid CBOR"},
      {hex("d9d9f7 d9a77d 9f 05 a0 f6 f6 ff"), "byte 10: more than the 3 elements"},
  };
  for (auto& [bytes, expected] : cases) {
    auto [items, end] = read(bytes);
    EXPECT_THAT(end, HasSubstr(expected)) << testing::PrintToString(bytes);
  }
}

TEST_F(dump, deep_nesting_is_no_recursion) {
  for (char nest : {'\x81', '\x9f', '\xa1', '\xbf', '\xc0', '\xd8'})
    for (auto& start : {hex("d9d9f7"), hex("d9d9f7 d9a77d 82 05"), begin_2 + hex("a1 60")}) {
      auto [items, end] = read(start + std::string(1 << 20, nest));
      EXPECT_THAT(items, IsEmpty());
      EXPECT_FALSE(end.empty());
    }
}

TEST_F(dump, mutated_bytes_never_crash) {
  std::mt19937 random(20240107);
  const auto original = two_items + three_items +
                        hex("d9d9f7 d9a77d 9f 06 bf 7f 62 6465 61 74 ff d9a77e 9f 65 5354494e53 9f"
                            "67 7b2261223a317d 5f 41 01 40 41 00 ff ff ff ff ff");
  for (int round = 0; round < 2000; ++round) {
    auto bytes = original;
    for (auto changes = 1 + random() % 4; changes > 0; --changes)
      bytes[3 + random() % (bytes.size() - 3)] = static_cast<char>(random());
    auto [items, end] = read(bytes);
    std::size_t held = 0;
    for (auto& item : items)
      for (auto& stream : item.streams) held += stream.data.bytes();
    EXPECT_LE(held, bytes.size());
    EXPECT_LE(items.size(), bytes.size());
  }
}

TEST_F(dump, other_files_are_refused_by_name) {
  const std::pair<std::string, const char*> cases[] = {
      {hex("82 52 7b226874797065223a22686561646572227d 42 0102"), "raw capture"},
      {hex("80"), "raw capture"},
      {"(dp0", "pickle"},
      {hex("80 04 95"), "pickle"},
      {"hello", "unknown"},
  };
  for (auto& [bytes, expected] : cases) try {
      EXPECT_FALSE(is_dump(std::as_bytes(std::span(bytes))));
      dump_reader reader(file(bytes));
      ADD_FAILURE() << expected;
    } catch (const std::runtime_error& e) {
      EXPECT_THAT(e.what(), testing::AllOf(HasSubstr("file.cbors"), HasSubstr(expected)));
    }
}

TEST_F(dump, an_empty_file_has_no_items) {
  auto [items, end] = read("");
  EXPECT_THAT(items, IsEmpty());
  EXPECT_THAT(end, IsEmpty());
}

TEST_F(dump, a_missing_file_is_named) {
  for (auto& bad : {path("missing.cbors"), directory_.path()}) try {
      mapped_file::open(bad);
      ADD_FAILURE();
    } catch (const std::runtime_error& e) {
      EXPECT_THAT(e.what(), HasSubstr(bad.string()));
    }
}

TEST_F(dump, the_writer_writes_the_worked_examples) {
  const dump_stream stream{"det", stins()};
  dump_writer(path()).append(5, {&stream, 1});
  EXPECT_EQ(content(path()), two_items);
  dump_writer(path()).append(5, {&stream, 1}, 1728290950.627);
  EXPECT_EQ(content(path()), two_items + three_items);
  dump_writer(path("whole")).append(0, {}, 1728290950.0);
  EXPECT_EQ(content(path("whole")), hex("d9d9f7 d9a77d 83 00 a0 c0 74") + "2024-10-07T08:49:10Z");
}

TEST_F(dump, what_was_written_is_read) {
  std::mt19937 random(7);
  std::vector<std::vector<dump_stream>> written;
  {
    dump_writer writer(path());
    for (std::uint64_t event = 0; event < 2000; ++event) {
      auto& streams = written.emplace_back();
      for (auto name : {"a", "b", "c"}) {
        std::vector<std::vector<std::byte>> parts;
        for (auto n = random() % 4; n > 0; --n)
          parts.emplace_back(random() % 10 ? random() % 300 : random() % 70000, std::byte(random()));
        streams.push_back({name, stream_data(std::make_unique<memory_frames>(std::move(parts)), "T")});
      }
      writer.append(event * 1000, streams, event % 2 ? std::optional(1e9 + double(event)) : std::nullopt);
    }
    writer.flush();
  }
  dump_reader reader(mapped_file::open(path()));
  for (std::uint64_t event = 0; event < written.size(); ++event) {
    auto item = reader.next();
    ASSERT_TRUE(item) << reader.cut_off();
    EXPECT_EQ(item->event, event * 1000);
    ASSERT_EQ(item->streams.size(), 3u);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(item->streams[i].name, written[event][i].name);
      EXPECT_EQ(item->streams[i].data, written[event][i].data);
    }
    EXPECT_EQ(item->created_at.has_value(), event % 2 == 1);
  }
  EXPECT_FALSE(reader.next());
  EXPECT_THAT(reader.cut_off(), IsEmpty());
}

TEST_F(dump, a_writer_names_what_it_cannot_write) {
  EXPECT_THROW(dump_writer(directory_ / "missing/file"), std::runtime_error);
  dump_writer full("/dev/full");
  const dump_stream stream{"det", stins()};
  full.append(5, {&stream, 1});
  try {
    full.flush();
    ADD_FAILURE();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(),
                HasSubstr("/dev/full: cannot be written, nor cut back to whole items: No space left"));
  }
  full.flush(); // nothing is left
}

TEST(event_runs, are_compact_and_know_what_they_hold) {
  std::mt19937 random(3);
  event_runs runs;
  std::vector<std::uint64_t> numbers;
  std::uint64_t at = 0;
  for (auto stride : {1u, 7u, 0u, 2u, 1u})
    for (int i = 0; i < 500; ++i) {
      at += stride ? stride : 1 + random() % 5;
      numbers.push_back(at);
      runs.append(at);
    }
  EXPECT_EQ(runs.size(), numbers.size());
  EXPECT_EQ(std::vector<std::uint64_t>(runs.begin(), runs.end()), numbers);
  for (std::uint64_t n = 0; n < at + 10; ++n)
    ASSERT_EQ(runs.contains(n), std::binary_search(numbers.begin(), numbers.end(), n)) << n;
  EXPECT_FALSE(event_runs().contains(0));

  event_runs regular;
  for (std::uint64_t n = 0; n < 1000000; ++n) regular.append(5 + 3 * n);
  EXPECT_THAT(regular.runs(), ElementsAre(event_runs::run{5, 1000000, 3}));
}

class dump_index : public dump {
 protected:
  /// A file with those events of those streams.
  std::shared_ptr<const mapped_file>
  recorded(const std::string& name,
           std::initializer_list<std::pair<std::uint64_t, std::vector<std::string>>> items) {
    {
      dump_writer writer(path(name));
      for (auto& [event, names] : items) {
        std::vector<dump_stream> streams;
        for (auto& stream : names) streams.push_back({stream, stins()});
        writer.append(event, streams);
      }
    }
    return mapped_file::open(path(name));
  }

  std::string error_of(const std::vector<std::shared_ptr<const mapped_file>>& files) {
    try {
      index_of(files);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  }
};

std::vector<std::uint64_t> numbers(const recorded_stream& stream) {
  return {stream.events.begin(), stream.events.end()};
}

TEST_F(dump_index, joins_files) {
  auto found = index_of({recorded("1", {{0, {"a", "b"}}, {1, {"a"}}, {3, {"a"}}, {9, {}}}),
                         recorded("2", {{0, {"c"}}, {2, {"a", "c"}}, {4, {"a"}}})});
  ASSERT_THAT(found.streams, SizeIs(3));
  EXPECT_EQ(found.streams[0].name, "a");
  EXPECT_EQ(found.streams[0].type, "STINS");
  EXPECT_THAT(numbers(found.streams[0]), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(numbers(found.streams[1]), ElementsAre(0));
  EXPECT_THAT(numbers(found.streams[2]), ElementsAre(0, 2));
  EXPECT_EQ(found.events, 10u);
  EXPECT_THAT(found.warnings, IsEmpty());
  EXPECT_EQ(index_of({}).events, 0u);
}

TEST_F(dump_index, refuses_a_stream_that_is_twice_in_an_event) {
  EXPECT_THAT(error_of({recorded("1", {{7, {"a", "a"}}})}), HasSubstr("/1: stream 'a', event 7: "));
  EXPECT_THAT(error_of({recorded("2", {{7, {"a"}}, {7, {"b"}}, {7, {"a"}}})}),
              HasSubstr("/2: stream 'a', event 7: "));
  EXPECT_THAT(error_of({recorded("3", {{6, {"a"}}, {7, {"a"}}}), recorded("4", {{7, {"a"}}})}),
              HasSubstr("stream 'a', event 7: "));
}

TEST_F(dump_index, refuses_several_recordings_in_one_file) {
  EXPECT_THAT(error_of({recorded("1", {{0, {"a"}}, {1, {"a"}}, {0, {"a"}}, {1, {"a"}}})}),
              HasSubstr("stream 'a', event 0: this stream is in it twice"));
  EXPECT_EQ(error_of({recorded("2", {{7, {"a"}}, {0, {"a"}}})}), "") << "one frame was late";
}

TEST_F(dump_index, warns_of_cut_off_files_and_changing_types) {
  auto cut = two_items + two_items.substr(0, 20);
  auto found = index_of({file(cut)});
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("cut off")));
  EXPECT_EQ(found.events, 6u);

  const dump_stream first{"a", memory_frames::of("X", {})}, second{"a", memory_frames::of("Y", {})};
  {
    dump_writer writer(path("types"));
    writer.append(0, {&first, 1});
    writer.append(1, {&second, 1});
    writer.append(2, {&first, 1});
  }
  EXPECT_THAT(index_of({mapped_file::open(path("types"))}).warnings,
              ElementsAre(HasSubstr("event 1: its type changes from 'X' to 'Y'")));
}

TEST_F(dump_index, finds_what_a_real_recording_holds) {
  auto recording = test::find_recording("dump_xrd.cbors");
  if (!recording) GTEST_SKIP() << "dump_xrd.cbors is not there: set DTRANSPOSE_RECORDINGS";
  auto mapped = mapped_file::open(*recording);
  EXPECT_TRUE(is_dump(mapped->bytes()));
  auto found = index_of({mapped});
  ASSERT_THAT(found.streams, SizeIs(1));
  EXPECT_EQ(found.streams[0].name, "xrd");
  EXPECT_EQ(found.streams[0].type, "STINS");
  EXPECT_THAT(found.streams[0].events.runs(), ElementsAre(event_runs::run{0, 11, 1}));
  EXPECT_EQ(found.events, 11u);
  EXPECT_THAT(found.warnings, IsEmpty());

  dump_reader reader(mapped);
  for (std::uint64_t event = 0; auto item = reader.next(); ++event) {
    auto frames = item->streams.at(0).data.frames();
    bool image = event >= 1 && event <= 9;
    EXPECT_EQ(item->event, event);
    ASSERT_EQ(frames.size(), image ? 2u : 1u);
    EXPECT_EQ(frames.back().size() == 200, image);
    EXPECT_THAT(frames[0].text(), HasSubstr("\"htype\": "));
  }
}

TEST(type_tag, is_the_same_for_equal_texts_and_bounded) {
  auto tag = intern_type("some tag"s);
  EXPECT_EQ(tag, "some tag");
  EXPECT_EQ(tag.data(), intern_type("some tag"s).data());
  EXPECT_EQ(intern_type(std::string(10000, 'x')), "other");
}

} // namespace
} // namespace dtranspose
