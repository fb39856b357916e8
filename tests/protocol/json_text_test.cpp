#include "protocol/json_text.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "model/value_json.hpp"

namespace dtranspose {
namespace {

value parsed(std::string_view text) {
  auto found = json_to_value(text);
  EXPECT_TRUE(found) << text;
  return found.value_or("not parsed");
}

TEST(json_to_value, takes_every_kind) {
  EXPECT_EQ(parsed("null"), value());
  EXPECT_EQ(parsed(" true "), value(true));
  EXPECT_EQ(parsed("-7"), value(std::int64_t{-7}));
  EXPECT_EQ(parsed("1.5e2"), value(150.0));
  EXPECT_EQ(parsed(R"("a\n\u00e9")"), value("a\n\u00e9"));
  EXPECT_EQ(parsed("[1,[2],{}]"),
            value(value_list{std::int64_t{1}, value_list{std::int64_t{2}}, value_map{}}));
  EXPECT_EQ(parsed(R"({"b":1,"a":{"c":[]}})"),
            value(value_map{{"b", std::int64_t{1}}, {"a", value_map{{"c", value_list{}}}}}));
}

TEST(json_to_value, keeps_whole_numbers_to_the_last_bit) {
  EXPECT_EQ(parsed("1704807770443944912"), value(std::int64_t{1704807770443944912}));
  EXPECT_EQ(parsed("18446744073709551615"), value(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_EQ(parsed("-9223372036854775808"), value(std::numeric_limits<std::int64_t>::min()));
}

TEST(json_to_value, reads_what_python_writes_for_numbers_that_are_none) {
  auto list = parsed(R"([NaN, Infinity, -Infinity, "NaN", "a\"NaN", -1])");
  auto& items = *list.as_list();
  EXPECT_TRUE(std::isnan(*items[0].as_number()));
  EXPECT_EQ(items[1].as_number(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(items[2].as_number(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(items[3], value("NaN"));
  EXPECT_EQ(items[4], value("a\"NaN"));
  EXPECT_EQ(items[5], value(std::int64_t{-1}));
}

TEST(json_to_value, of_two_entries_of_one_name_takes_the_last) {
  EXPECT_EQ(parsed(R"({"a":1,"a":2})"), value(value_map{{"a", std::int64_t{2}}}));
}

TEST(json_to_value, takes_nothing_else) {
  for (auto text :
       {"", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"a", "{\"a\":1}x", "[NaNa]", "Na", "'a'", "\"\xff\""})
    EXPECT_FALSE(json_to_value(text)) << text;
}

TEST(json_to_value, is_bounded_in_depth_and_length) {
  auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_TRUE(json_to_value(nested(json_depth_limit)));
  EXPECT_FALSE(json_to_value(nested(json_depth_limit + 2)));
  EXPECT_FALSE(json_to_value(nested(100'000)));
  EXPECT_FALSE(json_to_value("[1,2,3]", 6));
  EXPECT_TRUE(json_to_value("[1,2,3]", 7));
}

TEST(append_json_text, escapes_what_json_wants_escaped) {
  std::string out;
  append_json_text(out, "a\"b\\c\n\x01");
  EXPECT_EQ(out, R"("a\"b\\c\u000a\u0001")");
  EXPECT_EQ(parsed(out), value("a\"b\\c\n\x01"));
}

} // namespace
} // namespace dtranspose
