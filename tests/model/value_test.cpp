#include "model/value.hpp"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;

constexpr dtype all_types[] = {dtype::uint8, dtype::int8,   dtype::uint16, dtype::int16,   dtype::uint32,
                               dtype::int32, dtype::uint64, dtype::int64,  dtype::float32, dtype::float64};

TEST(dtype, names_go_both_ways) {
  for (auto type : all_types) EXPECT_EQ(dtype_of(name_of(type)), type);
  for (auto text : {"", "uint", "UINT8", "float16", "bool", "uint8 "})
    EXPECT_EQ(dtype_of(text), std::nullopt) << text;
}

TEST(dtype, sizes_and_types_agree) {
  for (auto type : all_types)
    visit_dtype(type, [type]<class T>(T) {
      EXPECT_EQ(sizeof(T), size_of(type));
      EXPECT_EQ(dtype_for<T>(), type);
    });
}

TEST(array, keeps_its_elements_and_shape) {
  const std::vector<std::uint16_t> numbers = {1, 2, 3, 4, 5, 6};
  auto a = array::of(std::span<const std::uint16_t>(numbers), {2, 3});
  EXPECT_EQ(a.type(), dtype::uint16);
  EXPECT_EQ(a.size(), 6u);
  EXPECT_EQ(a.bytes().size(), 12u);
  EXPECT_THAT(a.elements<std::uint16_t>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(array, copies_share_their_buffer) {
  auto a = array::of(std::vector<double>{1, 2});
  auto b = a;
  EXPECT_EQ(a.buffer(), b.buffer());
  value v(a);
  EXPECT_EQ(v.as_array()->buffer(), a.buffer());
}

TEST(array, may_be_a_scalar_or_empty) {
  const double x = 2.5;
  auto scalar = array::of(std::span(&x, 1), {});
  EXPECT_EQ(scalar.size(), 1u);
  EXPECT_THAT(scalar.elements<double>(), ElementsAre(2.5));
  EXPECT_EQ(array().size(), 0u);
  EXPECT_TRUE(array().bytes().empty());
  auto empty = array::of(std::vector<float>{});
  EXPECT_TRUE(empty.elements<float>().empty());
}

TEST(array, equality_is_of_type_shape_and_bytes) {
  const std::vector<std::int32_t> n = {1, 2};
  auto a = array::of(n);
  EXPECT_EQ(a, array::of(n));
  EXPECT_NE(a, array::of(std::vector<std::int32_t>{1, 3}));
  EXPECT_NE(a, array::of(std::vector<std::uint32_t>{1, 2}));
  EXPECT_NE(a, array::of(std::span<const std::int32_t>(n), {1, 2}));
  EXPECT_EQ(array::of(std::vector<double>{std::nan("")}), array::of(std::vector<double>{std::nan("")}));
}

TEST(value, takes_each_kind_as_what_it_is) {
  EXPECT_TRUE(value().is_null());
  EXPECT_EQ(*value(true).as_bool(), true);
  EXPECT_EQ(*value("text").as_text(), "text");
  EXPECT_EQ(*value(std::string_view("te\0t", 4)).as_text(), std::string("te\0t", 4));
  EXPECT_EQ(value(value_bytes(3)).as_bytes()->size(), 3u);
  EXPECT_EQ(value(value_list{1, 2}).as_list()->size(), 2u);
  EXPECT_EQ(value(value_map{{"a", 1}}).as_map()->size(), 1u);
}

TEST(value, is_asked_for_another_kind_in_vain) {
  value v(7);
  EXPECT_FALSE(v.is_null());
  EXPECT_EQ(v.as_bool(), nullptr);
  EXPECT_EQ(v.as_text(), nullptr);
  EXPECT_EQ(v.as_bytes(), nullptr);
  EXPECT_EQ(v.as_array(), nullptr);
  EXPECT_EQ(v.as_list(), nullptr);
  EXPECT_EQ(v.as_map(), nullptr);
  EXPECT_EQ(v.find("x"), nullptr);
  EXPECT_EQ(value("7").as_number(), std::nullopt);
  EXPECT_EQ(value(true).as_number(), std::nullopt);
}

TEST(value, numbers_keep_their_sign_and_size) {
  auto index_of = [](const value& v) { return v.content().index(); };
  EXPECT_EQ(index_of(value(1)), index_of(value(std::int8_t{1})));
  EXPECT_EQ(index_of(value(1u)), index_of(value(std::uint64_t{1})));
  EXPECT_EQ(index_of(value(1.0f)), index_of(value(1.0)));
  EXPECT_EQ(std::get<std::int64_t>(value(std::numeric_limits<std::int64_t>::min()).content()),
            std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(std::get<std::uint64_t>(value(std::numeric_limits<std::uint64_t>::max()).content()),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(value(-2).as_number(), -2.0);
  EXPECT_EQ(value(2u).as_number(), 2.0);
  EXPECT_EQ(value(2.5f).as_number(), 2.5);
}

TEST(value, equality_looks_inside) {
  auto tree = [](double x) {
    return value(
        value_map{{"list", value_list{1, "a", value()}}, {"array", array::of(std::vector<double>{x})}});
  };
  EXPECT_EQ(tree(1), tree(1));
  EXPECT_NE(tree(1), tree(2));
  EXPECT_NE(value(1), value(1u));
  EXPECT_NE(value(1), value(1.0));
  EXPECT_NE(value(), value(false));
  EXPECT_EQ(value(value_bytes(2)), value(value_bytes(2)));
  EXPECT_NE(value(value_bytes(2)), value(value_bytes(3)));
}

TEST(value, copies_share_what_is_large) {
  value a(value_list{1, 2, 3});
  value b = a;
  EXPECT_EQ(a.as_list(), b.as_list());
}

TEST(value_map, keeps_the_order_in_which_keys_were_set) {
  value_map m;
  m.set("z", 1).set("a", 2).set("m", 3).set("z", 4);
  std::vector<std::string> keys;
  for (auto& [key, content] : m) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("z", "a", "m"));
  EXPECT_EQ(*m.find("z"), value(4));
  EXPECT_EQ(m.find("b"), nullptr);
}

TEST(value_map, a_key_is_in_it_once_however_it_was_made) {
  value_map m{{"a", 1}, {"a", 2}};
  EXPECT_EQ(m.size(), 1u);
  EXPECT_EQ(*m.find("a"), value(2));
}

TEST(value_map, a_value_is_found_through_its_map) {
  value v(value_map{{"outer", value_map{{"inner", 5}}}});
  EXPECT_EQ(*v.find("outer")->find("inner"), value(5));
  EXPECT_EQ(v.find("inner"), nullptr);
}

TEST(value_map, may_be_empty) {
  value_map m;
  EXPECT_TRUE(m.empty());
  EXPECT_EQ(m.begin(), m.end());
  EXPECT_EQ(m, value_map{});
}

} // namespace
} // namespace dtranspose
