#include "protocol/xspress3.hpp"

#include <array>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/pickle.hpp"
#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const std::string header_text = R"({"htype":"header","filename":"a.h5","overwritable":false})";
const std::string image_text =
    R"({"htype":"image","exptime":0.1,"frame":0,"shape":[1,4],"type":"uint32","compression":"none"})";
const std::string end_text = R"({"htype":"series_end"})";
const std::string spectra("\0\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0", 16);

std::vector<array> some_counters() {
  std::vector<array> all;
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == 0 || i == 7)
      all.push_back(array::of(std::vector<double>{0.5 + static_cast<double>(i)}));
    else if (i == 6)
      all.push_back(array::of(std::vector<std::int32_t>{-6}));
    else
      all.push_back(array::of(std::vector<std::uint32_t>{static_cast<std::uint32_t>(i)}));
  }
  return all;
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const std::string meta = text_of(write_xspress3_meta(some_counters()));

stream_data message(const std::vector<std::string>& parts) {
  std::vector<std::vector<std::byte>> copies;
  for (auto& part : parts) {
    auto bytes = std::as_bytes(std::span(part));
    copies.emplace_back(bytes.begin(), bytes.end());
  }
  return stream_data(std::make_unique<memory_frames>(std::move(copies)), xspress3_type_tag);
}

std::string image_of(std::uint64_t frame) {
  std::string text;
  write_xspress3_image(text, {.frame = frame, .exptime = 0.1, .channels = 1, .bins = 4});
  return text;
}

using messages = std::vector<std::vector<std::string>>;

std::vector<stream_packet> read(const messages& all) {
  auto format = make_xspress3();
  std::vector<stream_packet> packets;
  for (auto& parts : all) format->read(message(parts), packets);
  return packets;
}

/// One word for each packet: its kind or number, or its fault, in brackets where that names no event.
std::string summary(const std::vector<stream_packet>& packets) {
  std::string text;
  for (auto& packet : packets) {
    if (!text.empty()) text += ' ';
    auto what = packet.fault ? std::string(name_of(*packet.fault)) : ""s;
    if (packet.fault && packet.numbered) what += ":"s;
    if (packet.numbers.number) what += std::to_string(*packet.numbers.number);
    if (!packet.fault && packet.numbers.kind != entry_kind::data)
      what = packet.numbers.kind == entry_kind::start ? "start" : "end";
    text += packet.fault && !packet.numbered ? "(" + what + ")" : what;
    EXPECT_NE(packet.fault.has_value(), static_cast<bool>(packet.data));
  }
  return text;
}

TEST(xspress3, reads_the_worked_example) {
  auto packets = read({{header_text}, {image_text, spectra, meta}, {end_text}});
  EXPECT_EQ(summary(packets), "start 0 end");
  EXPECT_EQ(xspress3_kind(packets[0].data), entry_kind::start);
  EXPECT_EQ(xspress3_kind(packets[1].data), entry_kind::data);
  EXPECT_EQ(xspress3_kind(packets[2].data), entry_kind::end);
  EXPECT_EQ(packets[2].numbers.count, std::nullopt);
  auto image = parse_xspress3_image(packets[1].data);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->frame, 0u);
  EXPECT_EQ(image->exptime, 0.1);
  EXPECT_EQ(image->spectra.type, dtype::uint32);
  EXPECT_THAT(image->spectra.shape, ElementsAre(1, 4));
  EXPECT_EQ(image->spectra.at<std::uint32_t>(2), 2u);
  EXPECT_EQ(image->spectra.bytes.data(), packets[1].data.frames()[1].data());
  auto counters = parse_xspress3_meta(packets[1].data);
  ASSERT_TRUE(counters);
  EXPECT_THAT(counters->counters, SizeIs(8));
  EXPECT_EQ(xspress3_fields(packets[1].data).find("exptime")->as_number(), 0.1);
}

TEST(xspress3, writes_the_worked_example) {
  std::string text;
  write_xspress3_header(text, {.filename = "a.h5"});
  EXPECT_EQ(text, header_text);
  write_xspress3_image(text, {.frame = 0, .exptime = 0.1, .channels = 1, .bins = 4});
  EXPECT_EQ(text, image_text);
  write_xspress3_end(text);
  EXPECT_EQ(text, end_text);
  write_xspress3_image(text, {.frame = 3, .channels = 2, .bins = 5, .compression = {}}, 7);
  EXPECT_EQ(text, R"({"htype":"image","frame":3,"shape":[2,5],"type":"uint32","sent_ns":7})");
  const std::vector<std::int64_t> limits = {1, 2, 3, 4};
  write_xspress3_header(text, {.filename = "\"",
                               .overwritable = true,
                               .limits = array::of(std::span<const std::int64_t>(limits), {2, 1, 2}),
                               .extra_tags = {"a", "b"}});
  EXPECT_EQ(text, R"({"htype":"header","filename":"\"","overwritable":true,"limits":[[[1,2]],[[3,4]]],)"
                  R"("extra_tags":["a","b"]})");
}

TEST(xspress3, joins_three_messages_without_copying) {
  auto format = make_xspress3();
  std::vector<stream_packet> packets;
  const stream_data pieces[] = {message({image_text}), message({spectra}), message({meta})};
  for (auto& piece : pieces) {
    EXPECT_THAT(packets, IsEmpty());
    format->read(piece, packets);
  }
  ASSERT_EQ(summary(packets), "0");
  auto parts = packets[0].data.frames();
  ASSERT_EQ(parts.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(parts[i].data(), pieces[i].frames()[0].data());
  EXPECT_EQ(packets[0].data, message({image_text, spectra, meta}));
  EXPECT_EQ(packets[0].data.type(), "xspress");
}

TEST(xspress3, passes_one_message_on_as_it_is) {
  auto data = message({image_text, spectra, meta});
  std::vector<stream_packet> packets;
  make_xspress3()->read(data, packets);
  ASSERT_EQ(summary(packets), "0");
  EXPECT_EQ(packets[0].data.frames().data(), data.frames().data());
}

TEST(xspress3, marks_where_the_counter_may_begin_again) {
  std::string other_spectra(spectra);
  other_spectra.back() ^= 1;
  auto packets = read({{header_text},
                       {image_of(0), spectra, meta},
                       {image_of(1)},
                       {spectra},
                       {meta},
                       {image_of(0), spectra, meta},
                       {image_of(0)},
                       {other_spectra},
                       {meta}});
  ASSERT_EQ(summary(packets), "start 0 1 0 0");
  for (auto i : {0, 1, 2}) EXPECT_FALSE(packets[static_cast<std::size_t>(i)].numbers.restarts);
  EXPECT_FALSE(packets[3].numbers.restarts) << "the same frame 0 again";
  EXPECT_TRUE(packets[4].numbers.restarts);
}

struct sequence {
  const char* what;
  messages all;
  const char* packets;
};

TEST(xspress3, finds_its_way_back) {
  const std::string binary = "\xff\xfe\0\1"s, zero = image_of(0), one = image_of(1), two = image_of(2),
                    header = header_text, end = end_text;
  const sequence cases[] = {
      {"joins at spectra", {{spectra}, {meta}, {one}, {spectra}, {meta}}, "1"},
      {"joins at counters", {{meta}, {one}, {spectra}, {meta}}, "1"},
      {"joins at an image", {{one}, {spectra}, {meta}}, "1"},
      {"junk for ever", {{binary}, {binary}, {binary}, {binary}}, "(not_json) (not_json)"},
      {"spectra lost", {{header}, {zero}, {meta}, {one}, {spectra}, {meta}}, "start (unknown) truncated:0 1"},
      {"counters lost", {{header}, {zero}, {spectra}, {one}, {spectra}, {meta}}, "start truncated:0 1"},
      {"both lost", {{header}, {zero}, {one}, {spectra}, {meta}}, "start truncated:0 1"},
      {"header lost",
       {{header}, {zero}, {spectra}, {meta}, {spectra}, {meta}, {two}, {spectra}, {meta}},
       "start 0 (not_json) (not_json) 2"},
      {"everything behind spectra lost", {{header}, {zero}, {spectra}, {end}}, "start truncated:0 end"},
      {"another start in the middle",
       {{header}, {zero}, {header}, {zero}, {spectra}, {meta}, {end}},
       "start truncated:0 start 0 end"},
      {"the new form in the middle", {{zero}, {one, spectra, meta}}, "truncated:0 1"},
      {"two parts in the middle",
       {{zero}, {binary, binary}, {one, spectra, meta}},
       "truncated:0 (not_json) 1"},
      {"too short", {{zero}, {"abc"}, {meta}, {one}, {spectra}, {meta}}, "truncated:0 1"},
      {"too long", {{zero}, {spectra + "x"}, {meta}, {one}, {spectra}, {meta}}, "oversized:0 1"},
      {"too short and cut off", {{zero}, {"abc"}, {one}, {spectra}, {meta}}, "truncated:0 1"},
      {"too long and cut off", {{zero}, {spectra + "x"}, {one}, {spectra}, {meta}}, "oversized:0 1"},
      {"counters beyond the limit",
       {{zero}, {spectra}, {std::string(xspress3_meta_limit + 1, 'x')}, {one}, {spectra}, {meta}},
       "oversized:0 1"},
      {"an image of no known type",
       {{R"({"htype":"image","frame":0,"shape":[1,4],"type":"mono12p"})"},
        {spectra},
        {meta},
        {one},
        {spectra},
        {meta}},
       "unknown:0 1"},
      {"an image without a number",
       {{R"({"htype":"image","shape":[1,4],"type":"uint32"})"}, {spectra}, {meta}, {one}, {spectra}, {meta}},
       "(unknown) 1"},
      {"JSON that is no header counts as spectra",
       {{zero}, {"{}"}, {meta}, {one}, {spectra}, {meta}},
       "truncated:0 1"},
      {"spectra that begin like JSON",
       {{zero}, {"{\"htype\":\"imag\"}"}, {meta}, {one, spectra, meta}},
       "0 1"},
      {"an empty message", {{zero}, {""}, {meta}}, "truncated:0"},
      {"unknown messages",
       {{header}, {"{}"}, {R"({"htype":"dimage-1.0"})"}, {end}},
       "start (unknown) (unknown) end"},
      {"text after the start", {{header}, {"x"}, {end}}, "start (not_json) end"},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(summary(read(c.all)), c.packets);
  }
}

TEST(xspress3, forgets_what_it_kept) {
  auto format = make_xspress3();
  std::vector<stream_packet> packets;
  format->read(message({image_text}), packets);
  format->reset();
  format->read(message({spectra}), packets);
  format->read(message({meta}), packets);
  EXPECT_THAT(packets, IsEmpty());
  format->read(message({image_text}), packets);
  format->read(message({spectra}), packets);
  format->interrupted(packets);
  EXPECT_EQ(summary(packets), "truncated:0");
  format->read(message({meta}), packets);
  format->interrupted(packets);
  EXPECT_EQ(summary(packets), "truncated:0");
}

TEST(xspress3, refuses_hostile_messages) {
  const std::string shape = R"("shape":[1,4],)", type = R"("type":"uint32",)",
                    frame = R"({"htype":"image","frame":7,)";
  const auto last = R"("x":1})"s;
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{frame + shape + type + last, spectra, meta}, "7"},
      {{" \n" + frame + shape + type + last, spectra, ""}, "7"},
      {{frame + R"("exptime":"x",)" + shape + type + last, spectra, meta}, "7"},
      {{frame + R"("x":NaN,)" + shape + type + last, spectra, meta}, "7"},
      {{header_text, "and", "more"}, "start"},
      {{end_text, "more"}, "end"},
      {{frame + type + last, spectra, meta}, "unknown:7"},
      {{frame + shape + last, spectra, meta}, "unknown:7"},
      {{frame + shape + R"("type":4,)" + last, spectra, meta}, "unknown:7"},
      {{frame + R"("shape":[4],)" + type + last, spectra, meta}, "unknown:7"},
      {{frame + R"("shape":[1,1,4],)" + type + last, spectra, meta}, "unknown:7"},
      {{frame + R"("shape":[1,-4],)" + type + last, spectra, meta}, "unknown:7"},
      {{frame + R"("shape":4,)" + type + last, spectra, meta}, "unknown:7"},
      {{frame + shape + type + R"("compression":"bslz4"})", spectra, meta}, "unknown:7"},
      {{frame + shape + type + R"("compression":null})", spectra, meta}, "unknown:7"},
      {{frame + shape + type + last, spectra}, "truncated:7"},
      {{frame + shape + type + last, spectra, meta, ""}, "oversized:7"},
      {{frame + shape + type + last, spectra.substr(1), meta}, "truncated:7"},
      {{frame + shape + type + last, spectra + "x", meta}, "oversized:7"},
      {{frame + shape + type + last, spectra, std::string(xspress3_meta_limit + 1, 'x')}, "oversized:7"},
      {{frame + R"("shape":[4294967296,4294967296],)" + type + last, "", meta}, "truncated:7"},
      {{frame + R"("shape":[18446744073709551615,18446744073709551615],)" + type + last, "", meta},
       "truncated:7"},
      {{frame + R"("shape":[0,5],)" + type + last, "", meta}, "7"},
      {{R"({"htype":"image","frame":-1,)" + shape + type + last, spectra, meta}, "(unknown)"},
      {{R"({"htype":"image","frame":1.5,)" + shape + type + last, spectra, meta}, "(unknown)"},
      {{R"({"htype":"image","frame":"7",)" + shape + type + last, spectra, meta}, "(unknown)"},
      {{"{}", spectra, meta}, "(unknown)"},
      {{R"({"htype":7})", spectra, meta}, "(unknown)"},
      {{"[1]", spectra, meta}, "(not_json)"},
      {{"", ""}, "(not_json)"},
      {{spectra, spectra, meta}, "(not_json)"},
      {{"{" + std::string(5000, '['), spectra, meta}, "(not_json)"},
      {{"{" + std::string(json_header_limit, ' ') + "}", spectra, meta}, "(oversized)"},
      {{}, "(truncated)"},
  };
  for (auto& [parts, expected] : cases) {
    SCOPED_TRACE(parts.empty() ? "" : parts[0].substr(0, 100));
    EXPECT_EQ(summary(read({parts})), expected);
    auto is_image = expected == "7"s;
    EXPECT_EQ(parse_xspress3_image(message(parts)).has_value(), is_image);
    EXPECT_EQ(xspress3_kind(message(parts)).has_value(),
              is_image || expected == "start"s || expected == "end"s);
    EXPECT_EQ(parse_xspress3_header(message(parts)).has_value(), expected == "start"s);
    EXPECT_EQ(xspress3_fields(message(parts)).empty(), !xspress3_kind(message(parts)));
  }
  EXPECT_EQ(summary([] {
              std::vector<stream_packet> packets;
              make_xspress3()->read({}, packets);
              return packets;
            }()),
            "(truncated)");
  EXPECT_EQ(parse_xspress3_image(message({frame + shape + type + last, spectra, meta}))->exptime, 1);
}

TEST(xspress3, is_cut_short_at_every_byte) {
  for (std::size_t n = 0; n < image_text.size(); ++n) {
    auto packets = read({{image_text.substr(0, n), spectra, meta}});
    EXPECT_EQ(summary(packets), "(not_json)") << n;
  }
  for (std::size_t n = 0; n < spectra.size(); ++n)
    EXPECT_EQ(summary(read({{image_text, spectra.substr(0, n), meta}})), "truncated:0") << n;
  for (std::size_t n = 0; n < meta.size(); ++n) {
    auto packets = read({{image_text, spectra, meta.substr(0, n)}});
    ASSERT_EQ(summary(packets), "0") << n;
    EXPECT_FALSE(parse_xspress3_meta(packets[0].data)) << n;
  }
}

TEST(xspress3, outlives_mutations) {
  std::mt19937 random(11);
  const std::string seeds[] = {header_text, image_text, end_text, spectra, meta};
  auto format = make_xspress3();
  std::size_t faults = 0, images = 0;
  for (int i = 0; i < 40'000; ++i) {
    std::vector<std::string> parts = {seeds[random() % 5]};
    if (parts[0] == image_text && random() % 2 == 0) parts = {image_text, spectra, meta};
    auto& part = parts[random() % parts.size()];
    if (random() % 3 == 0) part[random() % part.size()] = static_cast<char>(random());
    if (random() % 9 == 0) part.resize(random() % (part.size() + 1));
    std::vector<stream_packet> packets;
    auto data = message(parts);
    format->read(data, packets);
    ASSERT_LE(packets.size(), 2u);
    for (auto& packet : packets) {
      ASSERT_NE(packet.fault.has_value(), static_cast<bool>(packet.data));
      faults += packet.fault.has_value();
      if (packet.fault) continue;
      ASSERT_EQ(xspress3_kind(packet.data), packet.numbers.kind);
      ASSERT_EQ(parse_xspress3_image(packet.data).has_value(), packet.numbers.kind == entry_kind::data);
      images += packet.numbers.kind == entry_kind::data;
      parse_xspress3_meta(packet.data);
      parse_xspress3_header(packet.data);
    }
  }
  EXPECT_GT(faults, 1000u);
  EXPECT_GT(images, 1000u);
}

TEST(xspress3, names_counters) {
  auto data = message({image_text, spectra, meta});
  auto usual = parse_xspress3_meta(data);
  ASSERT_TRUE(usual);
  std::vector<std::string> names;
  for (auto& counter : usual->counters) names.push_back(counter.name);
  EXPECT_THAT(names, ElementsAre("ocr", "AllEvents", "AllGood", "ClockTicks", "TotalTicks", "ResetTicks",
                                 "event_widths", "dtc"));
  EXPECT_EQ(usual->find("dtc"), usual->find("dead_time_correction"));
  EXPECT_EQ(usual->find("event_width")->type(), dtype::int32);
  EXPECT_EQ(usual->numbers("dtc"), std::vector<double>{7.5});
  EXPECT_EQ(usual->numbers("event_widths"), std::vector<double>{-6});
  EXPECT_EQ(usual->numbers("window_counts"), std::nullopt);
  EXPECT_EQ(usual->find("nothing"), nullptr);

  const std::vector<std::string> tags = {"output_count_rate", "all_events", "mine"};
  auto named = parse_xspress3_meta(data, tags);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->counters[1].name, "all_events");
  EXPECT_EQ(named->find("AllEvents"), named->find("all_events"));
  EXPECT_NE(named->find("mine"), nullptr);
  EXPECT_EQ(named->counters[7].name, "dtc");
}

TEST(xspress3, takes_eight_counters_or_more) {
  auto counters = some_counters();
  auto with = [&](std::size_t n) {
    auto list = counters;
    list.resize(n, counters[1]);
    return message({image_text, spectra, text_of(write_xspress3_meta(list, 3))});
  };
  EXPECT_FALSE(parse_xspress3_meta(with(7)));
  EXPECT_EQ(parse_xspress3_meta(with(8))->counters.size(), 8u);
  auto eleven = parse_xspress3_meta(with(11));
  ASSERT_TRUE(eleven);
  EXPECT_EQ(eleven->counters[8].name, "window_counts");
  EXPECT_EQ(eleven->counters[10].name, "meta10");
  auto pickled = [](const value& content) {
    return message({image_text, spectra, text_of(write_pickle(content))});
  };
  EXPECT_FALSE(parse_xspress3_meta(pickled(value_map())));
  EXPECT_FALSE(parse_xspress3_meta(pickled(value_list(8))));
  EXPECT_FALSE(parse_xspress3_meta(message({image_text, spectra, "no pickle"})));
  EXPECT_FALSE(parse_xspress3_meta(message({header_text})));
}

TEST(xspress3, decodes_headers) {
  auto header = parse_xspress3_header(message({R"({"htype":"header","filename":"a.h5","overwritable":true,
      "limits":[[[1,2],[3,4]],[[5,6],[7,8]]],"extra_tags":["a",7],"more":{"x":1}})"}));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->filename, "a.h5");
  EXPECT_TRUE(header->overwritable);
  ASSERT_TRUE(header->limits);
  EXPECT_THAT(header->limits->shape(), ElementsAre(2, 2, 2));
  EXPECT_THAT(header->limits->elements<std::int64_t>(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(header->extra_tags, ElementsAre("a", ""));
  EXPECT_EQ(header->extra, (value_map{{"more", value_map{{"x", 1}}}}));
  auto bare = parse_xspress3_header(
      message({R"({"htype":"header","filename":null,"overwritable":1,"limits":7,"extra_tags":"a"})"}));
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->filename, "");
  EXPECT_FALSE(bare->overwritable);
  EXPECT_FALSE(bare->limits);
  EXPECT_THAT(bare->extra_tags, IsEmpty());
  EXPECT_FALSE(parse_xspress3_header(message({end_text})));
  EXPECT_FALSE(parse_xspress3_header({}));
}

TEST(xspress3, takes_no_options) {
  EXPECT_THROW(make_xspress3({{"x", "1"}}), std::runtime_error);
  EXPECT_EQ(make_xspress3()->name(), "xspress3");
  EXPECT_EQ(make_xspress3()->type_tag(), "xspress");
  EXPECT_TRUE(make_xspress3()->numbered());
}

// ---- recordings -----------------------------------------------------------------------------------------

struct recorded {
  std::size_t messages = 0;
  std::vector<stream_packet> packets;
};

recorded read_recording(const std::filesystem::path& path) {
  recorded all;
  capture_reader capture(mapped_file::open(path), xspress3_type_tag);
  auto format = make_xspress3();
  for (; auto data = capture.next(); ++all.messages) format->read(*data, all.packets);
  EXPECT_EQ(capture.cut_off(), "");
  return all;
}

/// Counts of each channel.
std::vector<std::uint64_t> sums(const array_view& spectra) {
  std::vector<std::uint64_t> sums(spectra.shape.at(0));
  for (std::size_t i = 0; i < spectra.size(); ++i) sums[i / spectra.shape[1]] += spectra.at<std::uint32_t>(i);
  return sums;
}

TEST(xspress3, reads_the_recording_of_three_messages) {
  auto path = test::find_recording("xspress3-dump.cbors");
  if (!path) GTEST_SKIP() << "no recording of an Xspress3";
  auto all = read_recording(*path);
  EXPECT_EQ(all.messages, 62u);
  ASSERT_THAT(all.packets, SizeIs(22));
  auto header = parse_xspress3_header(all.packets[0].data);
  ASSERT_TRUE(header);
  EXPECT_THAT(header->filename, testing::EndsWith("scan_000002_xspress3.hdf5"));
  EXPECT_FALSE(header->overwritable);
  EXPECT_FALSE(header->limits);
  EXPECT_THAT(header->extra_tags, IsEmpty());
  EXPECT_EQ(all.packets[21].numbers.kind, entry_kind::end);
  for (std::uint64_t i = 0; i < 20; ++i) {
    SCOPED_TRACE(i);
    auto& packet = all.packets[i + 1];
    ASSERT_FALSE(packet.fault);
    EXPECT_EQ(packet.numbers.number, i);
    auto image = parse_xspress3_image(packet.data);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->frame, i);
    EXPECT_EQ(image->exptime, 0.099999875);
    EXPECT_THAT(image->spectra.shape, ElementsAre(4, 4096));
    EXPECT_EQ(image->spectra.type, dtype::uint32);
    EXPECT_EQ(image->meta.size(), 658u);
    auto counters = parse_xspress3_meta(packet.data);
    ASSERT_TRUE(counters);
    ASSERT_THAT(counters->counters, SizeIs(8));
    for (auto& counter : counters->counters) EXPECT_THAT(counter.values.shape(), ElementsAre(4));
    EXPECT_EQ(counters->numbers("ClockTicks"), std::vector<double>(4, 7999990));
    EXPECT_EQ(counters->find("event_widths")->type(), dtype::int32);
    // As the sender pickled it, to the byte.
    std::vector<array> values;
    for (auto& counter : counters->counters) values.push_back(counter.values);
    EXPECT_EQ(parse_xspress3_meta(message({image_text, spectra, text_of(write_xspress3_meta(values, 3))}))
                  ->counters[7]
                  .values,
              values[7]);
  }
  EXPECT_THAT(sums(parse_xspress3_image(all.packets[1].data)->spectra), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(sums(parse_xspress3_image(all.packets[14].data)->spectra), ElementsAre(1, 1, 0, 2));
  EXPECT_THAT(sums(parse_xspress3_image(all.packets[20].data)->spectra), ElementsAre(0, 1, 0, 2));
  auto first = parse_xspress3_meta(all.packets[1].data);
  EXPECT_EQ(first->numbers("AllEvents"), (std::vector<double>{2, 0, 0, 3}));
  EXPECT_EQ(first->numbers("dead_time_correction")->at(1), 1);
}

TEST(xspress3, reads_the_recording_of_one_message) {
  auto path = test::find_recording("xspress3-multipart.cbors");
  if (!path) GTEST_SKIP() << "no recording of an Xspress3 in one message for each image";
  auto all = read_recording(*path);
  EXPECT_EQ(all.messages, 7u);
  ASSERT_THAT(all.packets, SizeIs(7));
  auto header = parse_xspress3_header(all.packets[0].data);
  ASSERT_TRUE(header);
  ASSERT_TRUE(header->limits);
  EXPECT_THAT(header->limits->shape(), ElementsAre(2, 4, 2));
  EXPECT_THAT(header->extra_tags,
              ElementsAre("output_count_rate", "all_events", "all_good", "clock_ticks", "total_ticks",
                          "reset_ticks", "event_width", "dead_time_correction", "window_counts"));
  EXPECT_EQ(all.packets[6].numbers.kind, entry_kind::end);
  const std::uint64_t counts[] = {12303, 14079, 11091, 9818, 6717};
  for (std::uint64_t i = 0; i < 5; ++i) {
    SCOPED_TRACE(i);
    auto& packet = all.packets[i + 1];
    ASSERT_FALSE(packet.fault);
    EXPECT_EQ(packet.numbers.number, i);
    auto image = parse_xspress3_image(packet.data);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->exptime, 0.049999875);
    EXPECT_THAT(sums(image->spectra), ElementsAre(0, 0, 0, counts[i]));
    EXPECT_EQ(image->meta.size(), 653u);
    auto counters = parse_xspress3_meta(packet.data, header->extra_tags);
    ASSERT_TRUE(counters);
    ASSERT_THAT(counters->counters, SizeIs(9));
    EXPECT_THAT(counters->find("window_counts")->shape(), ElementsAre(2, 4));
    EXPECT_EQ(counters->numbers("all_good")->at(3), static_cast<double>(counts[i]));
    EXPECT_EQ(counters->find("AllGood"), counters->find("all_good"));
    EXPECT_EQ(counters->numbers("ClockTicks"), std::vector<double>(4, 3999990));
  }
}

} // namespace
} // namespace dtranspose
