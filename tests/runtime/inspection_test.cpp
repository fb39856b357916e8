#include "runtime/inspection.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "protocol/stins.hpp"
#include "recording/dump_writer.hpp"
#include "recording/packed.hpp"
#include "recordings.hpp"
#include "runtime/capture_choice.hpp"
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

TEST(inspection, of_a_dump) {
  test::temporary_directory directory;
  {
    dump_writer writer(directory / "dump");
    for (std::uint64_t event : {0, 1, 5}) {
      const dump_stream stream{"det", memory_frames::of("STINS", {"frame"})};
      writer.append(event, {&stream, 1});
    }
  }
  auto file = mapped_file::open(directory / "dump");
  auto d = description_of(file, {});
  EXPECT_EQ(d["form"], "dump");
  EXPECT_EQ(d["events"], 6);
  EXPECT_EQ(d["streams"],
            ordered_json::parse(R"([{"name":"det","type":"STINS","events":3,"last_event":5}])"));
  EXPECT_THAT(text_of_description(d), HasSubstr("3 entries, last in event 5"));
  EXPECT_THROW(description_of(file, parse_capture_choice("det=stins")), std::runtime_error);
}

TEST(inspection, of_what_is_no_recording) {
  std::string_view pickle = "\x80\x04\x95";
  EXPECT_THROW(description_of(mapped_file::of(std::as_bytes(std::span(pickle)), "x.pkls"), {}),
               std::runtime_error);
  EXPECT_EQ(description_of(mapped_file::of({}, "empty"), {})["events"], 0);
}

} // namespace
} // namespace dtranspose
