#include "runtime/inspection.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "protocol/stins.hpp"
#include "recording/dump_writer.hpp"
#include "recording/packed.hpp"
#include "recordings.hpp"
#include "runtime/capture_choice.hpp"
#include "runtime/extraction.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

std::string why(const std::string& text) {
  try {
    parse_capture_choice(text);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "";
}

TEST(capture_choice, has_name_protocol_and_options) {
  auto plain = parse_capture_choice("det=stins");
  EXPECT_EQ(plain.name, "det");
  EXPECT_EQ(plain.protocol, "stins");
  EXPECT_THAT(plain.options, IsEmpty());
  auto with = parse_capture_choice("x=raw,number=/header/frame,start=/kind=begin,type=mine");
  EXPECT_EQ(with.protocol, "raw");
  EXPECT_THAT(with.options, ElementsAre(Pair("number", "/header/frame"), Pair("start", "/kind=begin"),
                                        Pair("type", "mine")));
}

TEST(capture_choice, refusals_say_what_is_expected) {
  for (auto text : {"", "=stins", "a:b=stins", "a b=stins"})
    EXPECT_THAT(why(text), AllOf(HasSubstr("expected a name without ':' and blanks"),
                                 HasSubstr("--stream NAME=PROTOCOL; known are stins, ")))
        << text;
  for (auto text : {"det", "det=", "det=stains", "det= stins"})
    EXPECT_THAT(why(text), AllOf(HasSubstr("is unknown"), HasSubstr("known are stins, "))) << text;
  for (auto text : {"det=stins,a", "det=stins,=b", "det=stins,,a=b"})
    EXPECT_THAT(why(text), HasSubstr("expected OPTION=VALUE")) << text;
  EXPECT_EQ(why("det=stins,speed=1"),
            "--stream det=stins,speed=1: option speed: this protocol takes no options");
}

std::string image(std::uint64_t number) {
  const std::size_t shape[] = {3};
  std::string text;
  write_stins_image(text, number + 1, {.frame = number, .shape = shape, .type = "uint8"});
  return test::captured({text, std::string("\1\2\3")});
}

/// A start, images 0, 1 and 3, one faulty message, an end.
std::shared_ptr<const mapped_file> capture() {
  std::string header, end;
  write_stins_header(header, 0, "a.h5");
  write_stins_end(end, 5);
  auto bytes = test::captured({header}) + image(0) + image(1) + image(3) + test::captured({"junk"}) +
               test::captured({end});
  return mapped_file::of(std::as_bytes(std::span(bytes)), "file.cbors");
}

TEST(inspection, of_a_capture_shows_its_messages) {
  auto d = description_of(capture(), {});
  EXPECT_EQ(d["file"], "file.cbors");
  EXPECT_EQ(d["form"], "capture");
  EXPECT_EQ(d["messages"], 6);
  EXPECT_EQ(d["part_counts"], ordered_json::parse(R"([{"parts":1,"messages":3},{"parts":2,"messages":3}])"));
  ASSERT_EQ(d["first_messages"].size(), 6u);
  auto& second = d["first_messages"][1];
  EXPECT_EQ(second["part_count"], 2);
  EXPECT_THAT(second["parts"][0]["begins"].get<std::string>(), HasSubstr(R"({"htype":"image","frame":0)"));
  EXPECT_EQ(second["parts"][1], ordered_json::parse(R"({"bytes":3,"begins":"01 02 03"})"));
  EXPECT_EQ(d["looks_like"], "stins");
  EXPECT_THAT(d["warnings"], IsEmpty());
  auto text = text_of_description(d);
  EXPECT_THAT(text,
              AllOf(HasSubstr("file.cbors: raw capture of 6 messages, "), HasSubstr("3 messages of 2 parts"),
                    HasSubstr("3 bytes: 01 02 03"), HasSubstr("looks like stins: try --stream NAME=stins")));
}

TEST(inspection, of_a_capture_is_bounded) {
  std::string bytes;
  for (int i = 0; i < 50; ++i)
    bytes += test::captured(std::vector<std::string>(40, std::string(3000, '\xff')));
  bytes.pop_back();
  auto d = description_of(mapped_file::of(std::as_bytes(std::span(bytes)), "file.cbors"), {});
  EXPECT_EQ(d["messages"], 49);
  EXPECT_EQ(d["first_messages"].size(), 8u);
  EXPECT_EQ(d["first_messages"][0]["part_count"], 40);
  EXPECT_EQ(d["first_messages"][0]["parts"].size(), 10u);
  EXPECT_TRUE(d["looks_like"].is_null());
  EXPECT_THAT(d["warnings"].dump(), HasSubstr("cut off"));
  EXPECT_LT(d.dump().size(), 20000u);
  auto text = text_of_description(d);
  EXPECT_THAT(text, AllOf(HasSubstr("of no protocol that is known here"), HasSubstr("cut off")));
}

TEST(inspection, of_a_capture_with_its_protocol_counts_entries) {
  auto d = description_of(capture(), parse_capture_choice("det=stins"));
  EXPECT_EQ(d["stream"], "det");
  EXPECT_EQ(d["type"], "STINS");
  EXPECT_EQ(d["matched_by"], "number");
  EXPECT_EQ(d["entries"], 6); // image 2 is missing
  EXPECT_EQ(d["ends"], true);
  EXPECT_EQ(d["verdicts"], ordered_json::parse(R"({"ok":4,"gap":1})"));
  EXPECT_EQ(d["faults"], ordered_json::parse(R"({"not_json":1})"));
  EXPECT_THAT(text_of_description(d),
              AllOf(HasSubstr("stream det as stins: 6 entries with an end, matched by number, type STINS"),
                    HasSubstr("verdicts: ok 4, gap 1"), HasSubstr("faults: not_json 1")));
}

/// A start, images 0, 1 and 3, 1 once more, and an end, in events 0 to 5, recorded a second apart.
void write_dump(const std::filesystem::path& path) {
  dump_writer writer(path);
  std::uint64_t event = 0;
  auto append = [&](const stream_data& data) {
    const dump_stream stream{"det", data};
    writer.append(event, {&stream, 1}, 1e9 + static_cast<double>(event));
    ++event;
  };
  std::string text;
  write_stins_header(text, 0, "a.h5");
  append(memory_frames::of(stins_type_tag, {text}));
  const std::size_t shape[] = {3};
  for (std::uint64_t number : {0, 1, 3, 1}) {
    write_stins_image(text, number + 1, {.frame = number, .shape = shape, .type = "uint8"});
    append(memory_frames::of(stins_type_tag, {text, "\1\2\3"}));
  }
  write_stins_end(text, 5);
  append(memory_frames::of(stins_type_tag, {text}));
}

TEST(inspection, of_a_dump) {
  test::temporary_directory directory;
  write_dump(directory / "dump");
  auto file = mapped_file::open(directory / "dump");
  auto d = description_of(file, {});
  EXPECT_EQ(d["form"], "dump");
  EXPECT_EQ(d["events"], 6);
  ASSERT_EQ(d["streams"].size(), 1u);
  auto& s = d["streams"][0];
  EXPECT_EQ(s["name"], "det");
  EXPECT_EQ(s["type"], "STINS");
  EXPECT_EQ(s["events"], 6);
  EXPECT_EQ(s["first_event"], 0);
  EXPECT_EQ(s["last_event"], 5);
  EXPECT_EQ(s["verdicts"], ordered_json::parse(R"({"ok":4,"gap":1,"duplicate":1})"));
  EXPECT_EQ(s["images"],
            ordered_json::parse(R"([{"shape":[3],"dtype":"uint8","compression":"none","count":4}])"));
  EXPECT_EQ(s["first"][0]["filename"], "a.h5");
  EXPECT_EQ(s["last"], ordered_json::parse(R"([{"htype":"series_end","msg_number":5}])"));
  EXPECT_EQ(d["first_time"], "2001-09-09T01:46:40Z");
  EXPECT_EQ(d["last_time"], "2001-09-09T01:46:45Z");
  EXPECT_EQ(d["seconds"], 5.0);
  EXPECT_TRUE(d["torn"].is_null());
  EXPECT_THAT(text_of_description(d),
              AllOf(HasSubstr("6 entries, last in event 5"), HasSubstr("verdicts: ok 4, gap 1, duplicate 1"),
                    HasSubstr("4 images [3] uint8"), HasSubstr(": 5.000 s"),
                    HasSubstr("last: [{\"htype\":")));
  EXPECT_THROW(description_of(file, parse_capture_choice("det=stins")), std::runtime_error);
}

TEST(inspection, of_a_torn_dump_says_where) {
  test::temporary_directory directory;
  write_dump(directory / "dump");
  std::size_t whole = 0;
  dump_reader reader(mapped_file::open(directory / "dump"));
  for (int i = 0; i < 3; ++i) whole = reader.next()->end_offset;
  std::filesystem::resize_file(directory / "dump", whole + 20);
  auto d = description_of(mapped_file::open(directory / "dump"), {});
  EXPECT_EQ(d["torn"], ordered_json({{"byte", whole}, {"last_event", 2}}));
  EXPECT_EQ(d["streams"][0]["events"], 3);
  EXPECT_EQ(d["warnings"].size(), 1u);
  EXPECT_THAT(text_of_description(d), HasSubstr("torn at byte " + std::to_string(whole) +
                                                ", behind event 2: what is before is there"));
}

TEST(inspection, of_a_dump_of_rows_has_no_verdicts) {
  test::temporary_directory directory;
  {
    dump_writer writer(directory / "dump");
    const dump_stream stream{"panda", memory_frames::of("PCAP", {R"({"frame_number":0,"x":1})"})};
    writer.append(0, {&stream, 1});
  }
  auto d = description_of(mapped_file::open(directory / "dump"), {});
  EXPECT_FALSE(d["streams"][0].contains("verdicts"));
  EXPECT_TRUE(d["first_time"].is_null());
}

TEST(extraction, of_a_stream) {
  test::temporary_directory directory;
  write_dump(directory / "dump");
  auto file = mapped_file::open(directory / "dump");
  auto e = extract_images(file, {}, "det", directory / "out.h5");
  EXPECT_EQ(e["shape"], ordered_json::parse("[4,3]"));
  EXPECT_EQ(e["dtype"], "uint8");
  EXPECT_EQ(e["left_out"], 0);
  EXPECT_TRUE(std::filesystem::exists(directory / "out.h5"));
  EXPECT_EQ(extract_images(capture(), parse_capture_choice("x=stins"), "x", directory / "x.h5")["shape"],
            ordered_json::parse("[3,3]"));
}

TEST(extraction, refusals) {
  test::temporary_directory directory;
  write_dump(directory / "dump");
  auto file = mapped_file::open(directory / "dump");
  auto why_not = [&](auto file, std::optional<capture_choice> choice, const char* stream) -> std::string {
    try {
      extract_images(file, choice, stream, directory / "out.h5");
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(why_not(file, {}, "other"), "--extract other: there is no such stream in it");
  EXPECT_EQ(why_not(capture(), {}, "x"), "--extract x: say how to read it with --stream x=PROTOCOL");
  EXPECT_EQ(why_not(capture(), parse_capture_choice("x=contrast"), "x"),
            "--extract x: there is no image in it");
  EXPECT_FALSE(std::filesystem::exists(directory / "out.h5"));
}

TEST(inspection, of_what_is_no_recording) {
  std::string_view pickle = "\x80\x04\x95";
  EXPECT_THROW(description_of(mapped_file::of(std::as_bytes(std::span(pickle)), "x.pkls"), {}),
               std::runtime_error);
  EXPECT_EQ(description_of(mapped_file::of({}, "empty"), {})["events"], 0);
}

} // namespace
} // namespace dtranspose
