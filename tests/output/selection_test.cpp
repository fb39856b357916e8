#include "output/selection.hpp"

#include <numeric>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using extents = std::vector<std::size_t>;

/// 0, 1, 2, ... in C order.
array counted(const extents& shape) {
  std::size_t n = 1;
  for (auto extent : shape) n *= extent;
  std::vector<std::int32_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  return array::of(std::span<const std::int32_t>(all), shape);
}

std::vector<std::int32_t> numbers(const array& a) {
  auto elements = a.elements<std::int32_t>();
  return {elements.begin(), elements.end()};
}

std::vector<std::int32_t> selected(const std::string& text, const extents& shape) {
  return numbers(selection(text, shape).of(counted(shape)));
}

std::string fault(const std::string& text, const extents& shape) {
  try {
    const selection s(text, shape);
    return "none";
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

TEST(selection, ranges_indices_and_steps) {
  EXPECT_THAT(selected("[1:3]", {5}), ElementsAre(1, 2));
  EXPECT_THAT(selected("[:2]", {5}), ElementsAre(0, 1));
  EXPECT_THAT(selected("[3:]", {5}), ElementsAre(3, 4));
  EXPECT_THAT(selected("[:]", {3}), ElementsAre(0, 1, 2));
  EXPECT_THAT(selected("[4]", {5}), ElementsAre(4));
  EXPECT_THAT(selected("[0:5:2]", {5}), ElementsAre(0, 2, 4));
  EXPECT_THAT(selected("[1::3]", {8}), ElementsAre(1, 4, 7));
  EXPECT_THAT(selected("[ 1 : 3 , 0 ]", {3, 2}), ElementsAre(2, 4));
  EXPECT_THAT(selected("[1:3:1,2:3:1]", {4, 4}), ElementsAre(6, 10));
  EXPECT_THAT(selected("[0,:,1]", {2, 3, 2}), ElementsAre(1, 3, 5));
}

TEST(selection, keeps_all_dimensions) {
  EXPECT_EQ(selection("[0,:,1:2]", extents({2, 3, 4})).shape(), extents({1, 3, 1}));
  EXPECT_EQ(selection("[[0,2],1]", extents({3, 4})).shape(), extents({2, 1}));
}

TEST(selection, an_end_beyond_the_extent_is_the_extent) {
  EXPECT_THAT(selected("[2:5,8:20]", {4, 10}), ElementsAre(28, 29, 38, 39));
  EXPECT_EQ(selection("[2:5,7:20]", extents({10, 10})).shape(), extents({3, 3}));
}

TEST(selection, lists) {
  EXPECT_THAT(selected("[[0,2],0:2]", {3, 4}), ElementsAre(0, 1, 8, 9));
  EXPECT_THAT(selected("[1,[3,0,0]]", {3, 4}), ElementsAre(7, 4, 4));
  EXPECT_THAT(selected("[[0,2],[1,3]]", {3, 4}), ElementsAre(1, 11)) << "in step";
  EXPECT_THAT(selected("[[0,1],:,[1,0]]", {2, 2, 2}), ElementsAre(1, 3, 4, 6));
  EXPECT_EQ(selection("[[0,1],:,[1,0]]", extents({2, 2, 2})).shape(), extents({2, 2, 1}));
}

TEST(selection, everything_copies_nothing) {
  auto whole = counted({4, 4});
  for (auto& s : {selection(extents({4, 4})), selection("[:,0:4:1]", extents({4, 4}))}) {
    EXPECT_TRUE(s.everything());
    EXPECT_EQ(s.of(whole).buffer(), whole.buffer());
  }
  EXPECT_FALSE(selection("[:,0:3]", extents({4, 4})).everything());
}

TEST(selection, of_texts) {
  const value_list all{"a", "b", "c", "d"};
  EXPECT_EQ(selection("[1:4:2]", extents{4}).of(all), (value_list{"b", "d"}));
}

TEST(selection, of_an_empty_array) {
  EXPECT_EQ(selection("[:,:]", extents({0, 3})).shape(), extents({0, 3}));
  EXPECT_EQ(selection("[0:0:1,1:2]", extents({0, 3})).shape(), extents({0, 1}));
  EXPECT_EQ(selection("[:,1:2]", extents({0, 3})).of(counted({0, 3})).size(), 0u);
}

TEST(selection, faults_name_what_is_wrong) {
  EXPECT_THAT(fault("1:2", {4}), HasSubstr("'1:2' is not in brackets"));
  EXPECT_THAT(fault("", {4}), HasSubstr("brackets"));
  EXPECT_THAT(fault("[1:2]", {4, 4}), HasSubstr("1 items for 2 dimensions"));
  EXPECT_THAT(fault("[1,2,3]", {4, 4}), HasSubstr("3 items for 2 dimensions"));
  EXPECT_THAT(fault("[:,4]", {4, 4}), HasSubstr("dimension 1: there is no 4, the last is 3"));
  EXPECT_THAT(fault("[4:5]", {4}), HasSubstr("4 is beyond its end, 4"));
  EXPECT_THAT(fault("[2:2]", {4}), HasSubstr("'2:2' ends before it begins"));
  EXPECT_THAT(fault("[3:1]", {4}), HasSubstr("ends before it begins"));
  EXPECT_THAT(fault("[0:4:0]", {4}), HasSubstr("a step of 0"));
  EXPECT_THAT(fault("[-1:4]", {4}), HasSubstr("'-1' is no place"));
  EXPECT_THAT(fault("[x]", {4}), HasSubstr("'x' is no place"));
  EXPECT_THAT(fault("[99999999999999999999]", {4}), HasSubstr("is no place"));
  EXPECT_THAT(fault("[[0,9]]", {4}), HasSubstr("there is no 9"));
  EXPECT_THAT(fault("[[]]", {4}), HasSubstr("an empty list"));
  EXPECT_THAT(fault("[[0,1],[0,1,2]]", {4, 4}), HasSubstr("not as long"));
  EXPECT_THAT(fault("[0]", {0}), HasSubstr("there is no 0"));
  EXPECT_THAT(fault("[]", {4}), HasSubstr("0 items"));
  EXPECT_THAT(fault("[[[0]]]", {4}), HasSubstr("is no place"));
}

/// Against the plainest way to select: one element after another.
TEST(selection, agrees_with_loops) {
  std::mt19937 random(7);
  auto below = [&](std::size_t n) { return random() % n; };
  for (int round = 0; round < 3000; ++round) {
    extents shape;
    for (auto dimensions = 1 + below(4); shape.size() < dimensions;) shape.push_back(1 + below(5));
    std::string text = "[";
    std::vector<std::vector<std::size_t>> places;
    for (auto extent : shape) {
      auto start = below(extent), end = start + 1 + below(extent - start), step = 1 + below(3);
      std::vector<std::size_t> some;
      if (below(4) == 0) {
        for (std::size_t i = 0; i < extent; ++i) some.push_back(i);
        text += ":,";
      } else if (below(4) == 0) {
        some.push_back(start);
        text += std::to_string(start) + ",";
      } else {
        for (auto i = start; i < end; i += step) some.push_back(i);
        text += std::to_string(start) + ":" + std::to_string(end) + ":" + std::to_string(step) + ",";
      }
      places.push_back(some);
    }
    text.back() = ']';
    std::vector<std::size_t> expected{0};
    for (std::size_t d = 0; d < shape.size(); ++d) {
      std::vector<std::size_t> next;
      for (auto at : expected)
        for (auto place : places[d]) next.push_back(at * shape[d] + place);
      expected = next;
    }
    auto found = selected(text, shape);
    ASSERT_TRUE(std::equal(found.begin(), found.end(), expected.begin(), expected.end())) << text;
  }
}

std::vector<std::byte> points(const std::vector<std::uint64_t>& places) {
  auto bytes = std::as_bytes(std::span(places));
  return {bytes.begin(), bytes.end()};
}

TEST(elements_at, in_the_order_in_which_they_are_asked_for) {
  EXPECT_THAT(numbers(elements_at(counted({5}), points({4, 0, 4}))), ElementsAre(4, 0, 4));
  EXPECT_THAT(numbers(elements_at(counted({3, 4}), points({2, 3, 0, 1}))), ElementsAre(11, 1));
  EXPECT_EQ(elements_at(counted({3, 4}), {}).size(), 0u);
}

TEST(elements_at, refuses_what_is_not_there) {
  EXPECT_THROW(elements_at(counted({5}), points({5})), std::invalid_argument);
  EXPECT_THROW(elements_at(counted({3, 4}), points({0, 4})), std::invalid_argument);
  EXPECT_THROW(elements_at(counted({3, 4}), points({0})), std::invalid_argument);
  EXPECT_THROW(elements_at(counted({5}), std::vector<std::byte>(7)), std::invalid_argument);
}

} // namespace
} // namespace dtranspose
