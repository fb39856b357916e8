#include "analysis/pileup.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "analysis/event_choice.hpp"
#include "images.hpp"
#include "protocol/compression.hpp"

namespace dtranspose {
namespace {

using test::npy;
using test::number;
using test::numbers;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using settings = test::scan_of::settings;

test::scan_of pileup(const settings& set = {}) { return {make_pileup_analysis(), set}; }

TEST(event_choice, numbers_and_ranges) {
  event_choice chosen(" 1, 10:13,100:200:50");
  std::vector<int> found;
  for (int e = 0; e < 300; ++e)
    if (chosen.contains(static_cast<std::uint64_t>(e))) found.push_back(e);
  EXPECT_THAT(found, ElementsAre(1, 10, 11, 12, 100, 150));
  EXPECT_EQ(chosen.most(), 6u);
  EXPECT_EQ(event_choice("").most(), 0u);
  for (auto text : {"a", "-1", "5:5", "5:3", "1:9:0", "1:2:3:4", "1,,2", ":", "1:"})
    EXPECT_THROW(event_choice{text}, std::invalid_argument) << text;
}

template <class T>
class pileup_of : public testing::Test {};
TYPED_TEST_SUITE(pileup_of, test::pixel_types);

/// Images with bad and hot pixels, by several workers and in any order, against plain loops.
TYPED_TEST(pileup_of, agrees_with_plain_loops_in_any_order) {
  using T = TypeParam;
  using S = std::conditional_t<std::is_floating_point_v<T>, double,
                               std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;
  const std::size_t rows = 9, columns = 50, pixels = rows * columns;
  std::mt19937_64 random(8);
  std::vector<std::uint8_t> mask(pixels);
  for (auto& m : mask) m = random() % 20 == 0;
  const settings set{{"mask", npy("(9, 50)", mask)}, {"hot", "100"}, {"keep", "3, 7"}};
  std::vector<S> sums(pixels);
  std::vector<std::uint32_t> missed(pixels), hot(pixels);
  std::vector<double> totals, means, highest, missing, hot_pixels;
  std::vector<stream_data> images;
  std::vector<T> kept;
  auto bad = [&] {
    if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::quiet_NaN();
    return std::is_signed_v<T> ? T(-1) : std::numeric_limits<T>::max();
  };
  for (int n = 0; n < 12; ++n) {
    std::vector<T> image(pixels);
    double total = 0, most = -1, gone = 0, burning = 0;
    for (std::size_t i = 0; i < pixels; ++i) {
      auto kind = random() % 300;
      image[i] = kind == 0 ? bad() : kind == 1 ? T{120} : static_cast<T>(random() % 90);
      if (kind == 0 || mask[i]) {
        ++gone;
        missed[i] += !mask[i];
        continue;
      }
      hot[i] += kind == 1;
      burning += kind == 1;
      sums[i] += static_cast<S>(image[i]);
      total += static_cast<double>(image[i]);
      most = std::max(most, static_cast<double>(image[i]));
    }
    totals.push_back(total);
    means.push_back(total / (pixels - gone));
    highest.push_back(most);
    missing.push_back(gone);
    hot_pixels.push_back(burning);
    if (n == 7) kept = image;
    images.push_back(n % 2 ? test::image({rows, columns}, image) : test::image_in_rows(rows, columns, image));
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<value> partials;
    auto one = pileup(set), other = pileup(set), scan = pileup(set);
    for (std::uint64_t n = 0; n < images.size(); ++n) {
      auto& worker = random() % 2 ? one : other;
      EXPECT_EQ(worker.process(images[n], n).what(), answer::kind::deferred);
      if (random() % 4 == 0) partials.push_back(worker.flush());
    }
    partials.push_back(one.flush());
    partials.push_back(other.flush());
    std::shuffle(partials.begin(), partials.end(), random);
    for (auto& p : partials)
      if (!p.is_null()) scan.fold(p);
    auto tree = scan.published();
    auto& pile = *tree.find("pile");
    test::expect_plot(pile);
    test::expect_plot(*tree.find("statistics"));
    test::expect_plot(*tree.find("kept"));
    EXPECT_EQ(number(tree, "frames"), 12);
    EXPECT_EQ(numbers<S>(pile, "image"), sums);
    EXPECT_EQ(numbers<std::uint32_t>(pile, "missed"), missed);
    EXPECT_EQ(numbers<std::uint32_t>(pile, "hot"), hot);
    EXPECT_EQ(numbers<std::uint8_t>(pile, "mask"), mask);
    auto& told = *tree.find("statistics");
    EXPECT_EQ(numbers(told, "total"), totals);
    EXPECT_EQ(numbers(told, "mean"), means);
    EXPECT_EQ(numbers(told, "highest"), highest);
    for (std::size_t n = 0; n < images.size(); ++n) {
      EXPECT_EQ(numbers<std::uint64_t>(told, "event")[n], n);
      EXPECT_EQ(static_cast<double>(numbers<std::uint64_t>(told, "missing")[n]), missing[n]);
      EXPECT_EQ(static_cast<double>(numbers<std::uint64_t>(told, "hot_pixels")[n]), hot_pixels[n]);
    }
    EXPECT_THAT(numbers<std::uint64_t>(*tree.find("kept"), "event"), ElementsAre(3, 7));
    auto images_kept = numbers<T>(*tree.find("kept"), "image");
    ASSERT_EQ(images_kept.size(), 2 * pixels);
    EXPECT_EQ(std::memcmp(&images_kept[pixels], kept.data(), pixels * sizeof(T)), 0);
  }
}

TEST(pileup, counters_stay_where_they_are_full) {
  auto scan = pileup({{"valid", "0:1e19"}});
  const auto large = std::uint64_t{1} << 63;
  for (int n = 0; n < 3; ++n) {
    scan.process(test::image({1, 2}, std::vector<std::uint64_t>{large, 5}));
    scan.fold(scan.flush());
  }
  auto tree = scan.published();
  EXPECT_THAT(numbers<std::uint64_t>(*tree.find("pile"), "image"),
              ElementsAre(std::numeric_limits<std::uint64_t>::max(), 15));
  EXPECT_EQ(number(tree, "full_pixels"), 1);
}

TEST(pileup, pixels_that_are_hot_in_every_other_image_are_counted) {
  auto scan = pileup({{"hot", "10"}});
  for (int n = 0; n < 4; ++n)
    scan.process(
        test::image({1, 3}, std::vector<std::uint16_t>{20, static_cast<std::uint16_t>(n % 2 * 20),
                                                       static_cast<std::uint16_t>(n == 2 ? 20 : 0)}));
  scan.fold(scan.flush());
  EXPECT_EQ(number(scan.published(), "hot_pixels"), 2);
  EXPECT_THAT(numbers<std::uint32_t>(*scan.published().find("pile"), "hot"), ElementsAre(4, 2, 1));
}

TEST(pileup, floating_point_sums_are_compensated) {
  auto scan = pileup();
  for (double x : {1e16, 1.0, -1e16, 1.0}) {
    scan.process(test::image({1, 1}, std::vector<double>{x}));
    scan.fold(scan.flush());
  }
  EXPECT_THAT(numbers(*scan.published().find("pile"), "image"), ElementsAre(2.0));
}

TEST(pileup, nothing_but_zeros_nothing_but_nan_and_nothing) {
  auto scan = pileup();
  EXPECT_EQ(number(scan.published(), "frames"), 0);
  EXPECT_TRUE(scan.flush().is_null());
  scan.process(test::image({2, 2}, std::vector<float>(4)), 1);
  scan.process(test::image({2, 2}, std::vector<float>(4, std::nanf(""))), 2);
  scan.fold(scan.flush());
  auto tree = scan.published();
  EXPECT_THAT(numbers(*tree.find("pile"), "image"), Each(0.0));
  EXPECT_THAT(numbers<std::uint32_t>(*tree.find("pile"), "missed"), Each(1u));
  auto means = numbers(*tree.find("statistics"), "mean");
  EXPECT_EQ(means[0], 0);
  EXPECT_TRUE(std::isnan(means[1]));
  std::vector<std::uint8_t> all(4, 1);
  auto masked = pileup({{"mask", npy("(2, 2)", all)}});
  masked.process(test::image({2, 2}, std::vector<float>(4, 3)));
  masked.fold(masked.flush());
  EXPECT_THAT(numbers(*masked.published().find("pile"), "image"), Each(0.0));
}

TEST(pileup, compressed_images) {
  std::vector<std::uint32_t> pixels(4000, 3);
  auto scan = pileup();
  scan.process(test::message(
      {test::image_header({40, 100}, "uint32", "bslz4"), compress(codec::bslz4, 4, test::bytes_of(pixels))}));
  scan.fold(scan.flush());
  EXPECT_THAT(numbers<std::uint64_t>(*scan.published().find("pile"), "image"), Each(3u));
}

TEST(pileup, images_of_another_kind_fail_alone) {
  auto scan = pileup({{"mask", npy("(2, 3)", std::vector<std::uint8_t>(6))}});
  EXPECT_THAT(scan.failure(test::image({3, 2}, std::vector<float>(6))),
              AllOf(HasSubstr("'mask'"), HasSubstr("[2, 3]"), HasSubstr("[3, 2]")));
  auto other = pileup();
  EXPECT_EQ(other.failure(test::image({3, 2}, std::vector<float>(6, 1))), "");
  EXPECT_THAT(other.failure(test::image({2, 3}, std::vector<float>(6))),
              AllOf(HasSubstr("[2, 3]"), HasSubstr("[3, 2]")));
  EXPECT_THAT(other.failure(test::image({3, 2}, std::vector<double>(6))), HasSubstr("float64"));
  EXPECT_EQ(other.failure(test::image({3, 2}, std::vector<float>(6, 1))), "");
  other.fold(other.flush());
  EXPECT_THAT(numbers(*other.published().find("pile"), "image"), Each(2.0));
  auto third = pileup();
  third.process(test::image({2, 3}, std::vector<float>(6)));
  EXPECT_THROW(other.fold(third.flush()), std::runtime_error);
  EXPECT_THROW(other.fold(value_map{{"sum", 1.0}}), std::runtime_error);
  EXPECT_EQ(number(other.published(), "frames"), 2);
}

TEST(pileup, bad_parameters_are_named) {
  auto pileup = make_pileup_analysis();
  EXPECT_EQ(test::refusal(*pileup, {}), "");
  for (auto& set : std::vector<settings>{{{"hot", "very"}},
                                         {{"valid", "5"}},
                                         {{"valid", "5:1"}},
                                         {{"keep", "all"}},
                                         {{"keep", "0:101"}},
                                         {{"mask", "/nowhere/mask.npy"}},
                                         {{"mask", npy("(6,)", std::vector<std::uint8_t>(6))}}})
    EXPECT_THAT(test::refusal(*pileup, set), HasSubstr("parameter '" + set.begin()->first + "'"));
}

} // namespace
} // namespace dtranspose
