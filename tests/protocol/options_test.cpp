#include "protocol/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/protocol.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;

template <class F>
std::string complaint_of(F action) {
  try {
    action();
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return {};
}

TEST(option_reader, gives_what_is_set_and_defaults) {
  protocol_options options{{"name", "x"}, {"count", "3"}, {"on", "True"}, {"mode", "fast"}};
  option_reader reader(options);
  EXPECT_EQ(reader.text("name"), "x");
  EXPECT_EQ(reader.text("other", "default"), "default");
  EXPECT_EQ(reader.whole("count", 1, 0, 10), 3u);
  EXPECT_EQ(reader.whole("more", 5, 0, 10), 5u);
  EXPECT_TRUE(reader.flag("on", false));
  EXPECT_TRUE(reader.flag("off", true));
  EXPECT_EQ(reader.choice("mode", {"slow", "fast"}), "fast");
  EXPECT_EQ(reader.choice("kind", {"first", "second"}), "first");
  EXPECT_NO_THROW(reader.finish());
}

TEST(option_reader, names_what_cannot_be) {
  protocol_options options{{"count", "3x"}, {"on", "yes"}, {"mode", "medium"}};
  option_reader reader(options);
  EXPECT_THAT(complaint_of([&] { reader.whole("count", 1, 0, 10); }), HasSubstr("count: '3x'"));
  EXPECT_THAT(complaint_of([&] { reader.flag("on", false); }), HasSubstr("on: 'yes'"));
  EXPECT_THAT(complaint_of([&] { reader.choice("mode", {"slow", "fast"}); }), HasSubstr("slow, fast"));
  protocol_options large{{"count", "11"}};
  EXPECT_THAT(complaint_of([&] { option_reader(large).whole("count", 1, 0, 10); }),
              HasSubstr("from 0 to 10"));
}

TEST(option_reader, names_what_is_unknown_and_what_is_known) {
  protocol_options options{{"colour", "red"}};
  option_reader reader(options);
  reader.flag("on", false);
  reader.text("name");
  EXPECT_THAT(complaint_of([&] { reader.finish(); }), HasSubstr("colour: is unknown; known are on, name"));
}

TEST(protocols, each_can_be_made_and_says_who_it_is) {
  for (auto& info : protocols()) {
    auto format = make_protocol(info.name);
    ASSERT_TRUE(format) << info.name;
    EXPECT_EQ(format->name(), info.name);
    EXPECT_EQ(format->type_tag(), info.type_tag);
    EXPECT_EQ(find_protocol(info.name), &info);
    EXPECT_THROW(make_protocol(info.name, {{"no_such_option", "1"}}), std::runtime_error) << info.name;
  }
  EXPECT_FALSE(make_protocol("no such protocol"));
  EXPECT_FALSE(find_protocol("no such protocol"));
}

TEST(options, numbers_have_a_range) {
  protocol_options options = {
      {"whole", "3"}, {"fraction", "-2.5e-1"}, {"word", "much"}, {"rest", "1.5s"}, {"none", "nan"}};
  option_reader in(options);
  EXPECT_EQ(in.number("whole", 0, 0, 10), 3.0);
  EXPECT_EQ(in.number("fraction", 0, -1, 1), -0.25);
  EXPECT_EQ(in.number("absent", 7.5, 0, 1), 7.5);
  EXPECT_THAT(complaint_of([&] { in.number("whole", 0, 0, 2); }),
              HasSubstr("option whole: '3' is no number from 0 to 2"));
  for (auto name : {"word", "rest", "none"})
    EXPECT_THAT(complaint_of([&] { in.number(name, 0, -1e9, 1e9); }), HasSubstr("is no number from")) << name;
}

} // namespace
} // namespace dtranspose
