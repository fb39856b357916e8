#include "output/result_tree.hpp"

#include <cstdint>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> paths(const result_tree& tree) {
  std::vector<std::string> list;
  for (auto& object : tree.objects()) list.push_back(object.path);
  return list;
}

using shape = std::vector<std::size_t>;

TEST(result_tree, of_nothing_is_a_root) {
  for (auto& nothing : {value(), value(value_map()), value(3)}) {
    const result_tree tree(nothing);
    EXPECT_THAT(paths(tree), ElementsAre("/"));
    EXPECT_TRUE(tree.root().is_group());
  }
}

TEST(result_tree, has_the_objects_in_the_order_in_which_they_were_set) {
  const result_tree tree(value_map{{"b", 1},
                                   {"a", value_map{{"z", 2}, {"y", value_map{{"x", 3}}}}},
                                   {"b_attrs", value_map{{"units", "mm"}}},
                                   {"c", "text"}});
  EXPECT_THAT(paths(tree), ElementsAre("/", "/b", "/a", "/a/z", "/a/y", "/a/y/x", "/c"));
  EXPECT_EQ(tree.root().children.size(), 3u);
  EXPECT_EQ(tree.find("/a/y/x")->name, "x");
  EXPECT_EQ(tree.find("a/y/x"), tree.find("/a/y/x"));
  EXPECT_EQ(tree.find("/"), &tree.root());
  EXPECT_EQ(tree.find("/a/q"), nullptr);
}

TEST(result_tree, kinds_types_and_shapes) {
  auto bytes = value_bytes{std::byte(1), std::byte(2)};
  const result_tree tree(value_map{
      {"int", -1},
      {"uint", 1u},
      {"real", 1.5},
      {"bool", true},
      {"text", "x"},
      {"bytes", bytes},
      {"array",
       array::of(std::span<const std::uint16_t>(std::vector<std::uint16_t>{1, 2, 3, 4, 5, 6}), {2, 3})},
      {"numbers", value_list{1, 2}},
      {"mixed_numbers", value_list{1, 2.5}},
      {"texts", value_list{"a", "b", "c"}},
      {"empty", value_list{}}});
  auto expect = [&](const char* path, result_kind kind, const char* type, const shape& dims) {
    auto object = tree.find(path);
    ASSERT_TRUE(object) << path;
    EXPECT_EQ(object->data.kind, kind) << path;
    EXPECT_EQ(object->data.type_name(), type) << path;
    EXPECT_EQ(object->data.shape(), dims) << path;
  };
  expect("/int", result_kind::number, "int64", {});
  expect("/uint", result_kind::number, "uint64", {});
  expect("/real", result_kind::number, "float64", {});
  expect("/bool", result_kind::boolean, "bool", {});
  expect("/text", result_kind::text, "text", {});
  expect("/bytes", result_kind::bytes, "uint8", {2});
  expect("/array", result_kind::array, "uint16", {2, 3});
  expect("/numbers", result_kind::array, "int64", {2});
  expect("/mixed_numbers", result_kind::array, "float64", {2});
  expect("/texts", result_kind::texts, "text", {3});
  expect("/empty", result_kind::array, "float64", {0});
  EXPECT_EQ(tree.find("/bytes")->data.content.as_array()->elements<std::uint8_t>()[1], 2);
}

TEST(result_tree, a_list_of_this_and_that_is_a_group) {
  const result_tree tree(value_map{{"l", value_list{1, "two", value_map{{"three", 3}}, value()}}});
  EXPECT_THAT(paths(tree), ElementsAre("/", "/l", "/l/0", "/l/1", "/l/2", "/l/2/three"));
}

TEST(result_tree, attributes_belong_to_their_object) {
  const result_tree tree(value_map{{"_attrs", value_map{{"NX_class", "NXroot"}}},
                                   {"x", 1},
                                   {"x_attrs", value_map{{"units", "mm"},
                                                         {"axes", value_list{"a", "b"}},
                                                         {"nothing", value()},
                                                         {"group", value_map{}},
                                                         {"", 3}}},
                                   {"g", value_map{{"_attrs", value_map{{"inner", 1}}}}},
                                   {"g_attrs", value_map{{"outer", 2}}},
                                   {"gone_attrs", value_map{{"a", 1}}},
                                   {"odd_attrs", 7}});
  EXPECT_THAT(paths(tree), ElementsAre("/", "/x", "/g"));
  EXPECT_EQ(tree.root().attribute("NX_class")->content, value("NXroot"));
  auto x = tree.find("/x");
  ASSERT_EQ(x->attributes.size(), 2u);
  EXPECT_EQ(x->attributes[0].first, "units");
  EXPECT_EQ(x->attribute("axes")->shape(), shape{2});
  EXPECT_EQ(x->attribute("group"), nullptr);
  EXPECT_EQ(tree.find("/g")->attribute("inner")->content, value(1));
  EXPECT_EQ(tree.find("/g")->attribute("outer")->content, value(2));
}

TEST(result_tree, what_no_file_takes_is_left_out) {
  const result_tree tree(
      value_map{{"null", value()},
                {"", 1},
                {".", 1},
                {"a/b", 1},
                {std::string("a\0b", 3), 1},
                {"no_data", array(dtype::float64, {1000, 1000}, nullptr)},
                {"dimensions", array::of(std::span<const double>(std::vector<double>{1}), shape(33, 1))},
                {"fine", 1}});
  EXPECT_THAT(paths(tree), ElementsAre("/", "/fine"));
}

TEST(result_tree, ends_where_it_is_too_deep) {
  value deep = 1;
  for (int i = 0; i < 10000; ++i) deep = value_map{{"d", deep}};
  EXPECT_LT(result_tree(deep).objects().size(), 70u);
}

TEST(result_tree, ids_are_those_of_the_paths) {
  const result_tree a(value_map{{"x", 1}, {"g", value_map{{"x", 2}}}});
  const result_tree b(value_map{{"g", value_map{{"y", 0}, {"x", array::of(std::vector<int>{1})}}}});
  EXPECT_EQ(a.find("/g/x")->id, b.find("/g/x")->id);
  EXPECT_EQ(a.find_id(result_id("/g/x")), a.find("/g/x"));
  EXPECT_EQ(a.find_id("nonsense"), nullptr);
  std::set<std::string> ids;
  for (int i = 0; i < 10000; ++i) {
    auto id = result_id("/group/" + std::to_string(i));
    ASSERT_EQ(id.size(), 36u);
    for (auto c : id) ASSERT_TRUE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-') << id;
    ASSERT_TRUE(ids.insert(id).second);
  }
}

} // namespace
} // namespace dtranspose
