#include "protocol/nested_list.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "protocol/array_view.hpp"
#include "protocol/json_text.hpp"

namespace dtranspose {
namespace {

std::optional<array> array_in(std::string_view json) {
  auto list = json_to_value(json);
  EXPECT_TRUE(list && list->as_list()) << json;
  return array_of(*list->as_list());
}

TEST(nested_list, becomes_an_array) {
  std::vector<std::int64_t> whole = {1, -2, 3, 4, 5, 6};
  EXPECT_EQ(array_in("[1,-2,3,4,5,6]"), array::of(whole));
  EXPECT_EQ(array_in("[[1,-2,3],[4,5,6]]"), array::of(std::span<const std::int64_t>(whole), {2, 3}));
  EXPECT_EQ(array_in("[[[1],[-2]],[[3],[4]],[[5],[6]]]"),
            array::of(std::span<const std::int64_t>(whole), {3, 2, 1}));
  EXPECT_EQ(array_in("[1,2.5]"), array::of(std::vector<double>{1, 2.5}));
  EXPECT_EQ(array_in("[1,18446744073709551615]"),
            array::of(std::vector<std::uint64_t>{1, std::numeric_limits<std::uint64_t>::max()}));
  EXPECT_EQ(array_in("[-1,18446744073709551615]"), array::of(std::vector<double>{-1, 18446744073709551615.}));
}

TEST(nested_list, stays_a_list_otherwise) {
  for (auto json : {"[]", "[[]]", "[1,\"a\"]", "[\"a\"]", "[1,[2]]", "[[1],2]", "[[1],[2,3]]", "[[1,2],[3]]",
                    "[true,false]", "[1,null]", "[[1],[[2]]]", "[{}]"})
    EXPECT_FALSE(array_in(json)) << json;
  auto nested = [](std::size_t levels) { return std::string(levels, '[') + "1" + std::string(levels, ']'); };
  EXPECT_TRUE(array_in(nested(dimension_limit)));
  EXPECT_FALSE(array_in(nested(dimension_limit + 1)));
}

TEST(nested_list, is_replaced_within_a_map) {
  value_map map{{"list", value_list{1, 2}}, {"text", "x"}, {"mixed", value_list{1, "y"}}};
  auto out = with_arrays(map);
  EXPECT_EQ(*out.find("list"), value(array::of(std::vector<std::int64_t>{1, 2})));
  EXPECT_EQ(*out.find("text"), value("x"));
  EXPECT_EQ(*out.find("mixed"), *map.find("mixed"));
}

} // namespace
} // namespace dtranspose
