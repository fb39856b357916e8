#include "model/value_json.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dtranspose {
namespace {

value_bytes bytes_of(std::string_view text) {
  auto first = reinterpret_cast<const std::byte*>(text.data());
  return value_bytes(first, first + text.size());
}

TEST(value_json, scalars) {
  EXPECT_EQ(to_json({}), "null");
  EXPECT_EQ(to_json(true), "true");
  EXPECT_EQ(to_json(false), "false");
  EXPECT_EQ(to_json(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(to_json(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(to_json(0.1), "0.1");
  EXPECT_EQ(to_json(1e-9), "1e-09");
  EXPECT_EQ(to_json("text"), "\"text\"");
}

TEST(value_json, numbers_read_back_as_they_were) {
  for (double x : {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -2.5, 123456789.125, 1e22})
    EXPECT_EQ(nlohmann::json::parse(to_json(x)).get<double>(), x);
  for (float x : {0.1f, 1.0f / 3, 1.17549435e-38f, 3.4028235e38f}) {
    auto text = to_json(array::of(std::vector<float>{x}));
    EXPECT_EQ(static_cast<float>(nlohmann::json::parse(text)[0].get<double>()), x) << text;
  }
}

TEST(value_json, what_is_not_finite) {
  double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  value list = value_list{nan, infinity, -infinity, array::of(std::vector<double>{nan, 1.5})};
  EXPECT_EQ(to_json(list), "[null,null,null,[null,1.5]]");
  EXPECT_EQ(to_json(list, false), "[NaN,Infinity,-Infinity,[NaN,1.5]]");
}

TEST(value_json, text_is_escaped) {
  EXPECT_EQ(to_json("a\"b\\c\n\r\t\b\f/"), R"("a\"b\\c\n\r\t\b\f/")");
  EXPECT_EQ(to_json(std::string("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\x7f\"");
  EXPECT_EQ(to_json("\xC3\xA5 \xE2\x82\xAC \xF0\x9F\x98\x80"), "\"\xC3\xA5 \xE2\x82\xAC \xF0\x9F\x98\x80\"");
}

TEST(value_json, what_is_not_utf8_is_replaced) {
  const std::string r = "\xEF\xBF\xBD";
  const std::pair<std::string, std::string> cases[] = {
      {"\xFF", r},
      {"a\x80z", "a" + r + "z"},
      {"\xC0\xAF", r + r},                 // an overlong form
      {"\xE0\x80\x80", r + r + r},         // another
      {"\xED\xA0\x80", r + r + r},         // a surrogate
      {"\xF4\x90\x80\x80", r + r + r + r}, // beyond U+10FFFF
      {"\xE2\x82", r},                     // cut short by the end
      {"\xE2\x82x", r + "x"},              // cut short by text
      {"\xF0\x9F\x98\"", r + "\\\""},      // what cuts it short is still escaped
  };
  for (auto& [bytes, expected] : cases) EXPECT_EQ(to_json(bytes), "\"" + expected + "\"");
}

TEST(value_json, any_text_gives_valid_json) {
  for (unsigned a = 0; a < 256; ++a)
    for (unsigned b = 0; b < 256; ++b) {
      std::string text{static_cast<char>(a), static_cast<char>(b), 'x'};
      ASSERT_TRUE(nlohmann::json::accept(to_json(text))) << a << " " << b;
    }
}

TEST(value_json, bytes_are_base64) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
      {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xFF\xFE\xFD", "//79"}};
  for (auto& [bytes, expected] : cases)
    EXPECT_EQ(to_json(bytes_of(bytes)), "\"" + std::string(expected) + "\"");
}

TEST(value_json, arrays_are_nested_lists) {
  std::vector<std::int16_t> six{1, -2, 3, 4, 5, 6};
  EXPECT_EQ(to_json(array::of(six)), "[1,-2,3,4,5,6]");
  EXPECT_EQ(to_json(array::of(std::span<const std::int16_t>(six), {2, 3})), "[[1,-2,3],[4,5,6]]");
  EXPECT_EQ(to_json(array::of(std::span<const std::int16_t>(six), {3, 1, 2})), "[[[1,-2]],[[3,4]],[[5,6]]]");
  EXPECT_EQ(to_json(array::of(std::span<const std::int16_t>(six).first(1), {})), "1");
  EXPECT_EQ(to_json(array::of(std::vector<std::uint8_t>{0, 255})), "[0,255]");
}

TEST(value_json, arrays_without_elements_are_short_whatever_their_shape) {
  EXPECT_EQ(to_json(array()), "[]");
  EXPECT_EQ(to_json(array(dtype::uint8, {std::size_t{1} << 60, 0}, nullptr)), "[]");
}

TEST(value_json, lists_and_maps) {
  EXPECT_EQ(to_json(value_list{}), "[]");
  EXPECT_EQ(to_json(value_map{}), "{}");
  value tree = value_map{{"b", 1}, {"a\n", value_list{1, "x", value_map{{"k", value()}}}}};
  EXPECT_EQ(to_json(tree), R"({"b":1,"a\n":[1,"x",{"k":null}]})");
}

} // namespace
} // namespace dtranspose
