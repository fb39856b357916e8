#include "analysis/crop.hpp"

#include <numeric>

#include <gmock/gmock.h>

#include "analysis/images.hpp"

namespace dtranspose {
namespace {

using test::image;
using test::image_in_rows;
using test::refusal;
using test::scan_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const scan_of::settings region{{"rows", "1:3"}, {"columns", "2:5"}};

scan_of::settings with(scan_of::settings more) {
  more.insert(region.begin(), region.end());
  return more;
}

template <class T>
std::vector<T> counting(std::size_t n, T first = 0) {
  std::vector<T> all(n);
  std::iota(all.begin(), all.end(), first);
  return all;
}

template <class T>
class crop_of : public testing::Test {};
TYPED_TEST_SUITE(crop_of, test::pixel_types);

TYPED_TEST(crop_of, is_the_region_in_the_type_of_the_image) {
  const std::string type(name_of(dtype_for<TypeParam>()));
  scan_of scan(make_crop_analysis(), with({{"type", type}}));
  ASSERT_EQ(scan.results()[0].name, "image");
  EXPECT_EQ(scan.results()[0].type, dtype_for<TypeParam>());
  EXPECT_EQ(scan.results()[0].shape, (std::vector<std::size_t>{2, 3}));
  const std::vector<TypeParam> expected{9, 10, 11, 16, 17, 18};
  auto whole = scan.process(image({4, 7}, counting<TypeParam>(28)));
  auto rows = scan.process(image_in_rows(4, 7, counting<TypeParam>(28)));
  for (auto& a : {whole, rows}) {
    ASSERT_EQ(a.what(), answer::kind::result);
    auto cut = a.content().find("image")->as_array();
    EXPECT_EQ(*cut, array::of(std::span<const TypeParam>(expected), {2, 3}));
  }
}

TEST(crop, publishes_the_mean_as_a_plot_with_the_places_of_the_whole_image) {
  scan_of scan(make_crop_analysis(), region);
  EXPECT_EQ(test::number(scan.published(), "frames"), 0);
  scan.see(image({4, 7}, counting<std::uint16_t>(28)), 1);
  scan.see(image({4, 7}, counting<std::uint16_t>(28, 3)), 2);
  auto tree = scan.published();
  EXPECT_EQ(test::number(tree, "frames"), 2);
  auto plot = *tree.find(*tree.find("_attrs")->find("default")->as_text());
  test::expect_plot(plot);
  EXPECT_THAT(test::numbers(plot, "image"), ElementsAre(10.5, 11.5, 12.5, 17.5, 18.5, 19.5));
  EXPECT_THAT(test::numbers<std::uint64_t>(plot, "row"), ElementsAre(1, 2));
  EXPECT_THAT(test::numbers<std::uint64_t>(plot, "column"), ElementsAre(2, 3, 4));
}

TEST(crop, a_region_that_reaches_out_of_the_image_fails_the_event) {
  scan_of scan(make_crop_analysis(), region);
  EXPECT_THAT(scan.failure(image({2, 7}, counting<std::uint16_t>(14))),
              AllOf(HasSubstr("rows '1:3'"), HasSubstr("[2, 7]")));
  EXPECT_THAT(scan.failure(image({4, 4}, counting<std::uint16_t>(16))), HasSubstr("[4, 4]"));
  EXPECT_THAT(scan.failure(image({28}, counting<std::uint16_t>(28))), HasSubstr("[28]"));
  EXPECT_EQ(scan.failure(image({3, 5}, counting<std::uint16_t>(15))), "");
}

TEST(crop, images_of_another_type_fail_with_both_named) {
  scan_of scan(make_crop_analysis(), region);
  EXPECT_THAT(scan.failure(image({4, 7}, counting<std::int32_t>(28))),
              AllOf(HasSubstr("int32"), HasSubstr("'type'"), HasSubstr("uint16")));
}

TEST(crop, the_file_must_know_the_shape_beforehand) {
  auto what = make_crop_analysis();
  EXPECT_THAT(refusal(*what, {{"rows", "1:"}, {"columns", "2:5"}}),
              AllOf(HasSubstr("'rows'"), HasSubstr("'1:'")));
  EXPECT_THAT(refusal(*what, {{"rows", "1:2"}}), HasSubstr("'columns'"));
  EXPECT_THAT(refusal(*what, {{"rows", "3:2"}, {"columns", "2:5"}}), HasSubstr("'rows'"));
  EXPECT_THAT(refusal(*what, with({{"type", "uint12"}})), AllOf(HasSubstr("'type'"), HasSubstr("uint12")));
  EXPECT_EQ(refusal(*what, region), "");
}

} // namespace
} // namespace dtranspose
