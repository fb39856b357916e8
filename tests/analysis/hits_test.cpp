#include "analysis/hits.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "images.hpp"

namespace dtranspose {
namespace {

using test::number;
using test::numbers;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using settings = test::scan_of::settings;

test::scan_of hits(const settings& set = {}) { return {make_hits_analysis(), set}; }

/// `bright` pixels of 100 counts, the others 3.
template <class T = std::uint16_t>
std::vector<T> image_of(std::size_t bright, std::size_t pixels = 300) {
  std::vector<T> image(pixels, T{3});
  std::fill_n(image.begin(), bright, T{100});
  std::shuffle(image.begin(), image.end(), std::mt19937(static_cast<unsigned>(bright)));
  return image;
}

TEST(hits, an_image_is_one_by_its_bright_pixels_or_their_sum) {
  auto by_pixels = hits({{"threshold", "50"}, {"least", "5"}});
  auto by_sum = hits({{"threshold", "50"}, {"least", "500"}, {"score", "sum"}});
  for (std::size_t bright : {0, 4, 5, 40})
    for (auto scan : {&by_pixels, &by_sum}) {
      auto a = scan->process(test::image({10, 30}, image_of(bright)));
      EXPECT_EQ(number(a.content(), "pixels"), static_cast<double>(bright));
      EXPECT_EQ(number(a.content(), "sum"), 100.0 * static_cast<double>(bright));
      EXPECT_EQ(number(a.content(), "hit"), bright >= 5);
    }
  auto rows = by_pixels.process(test::image_in_rows(10, 30, image_of(7)));
  EXPECT_EQ(number(rows.content(), "pixels"), 7);
}

TEST(hits, marked_and_masked_pixels_are_not_bright) {
  std::vector<std::uint16_t> pixels{0xffff, 100, 100, 100};
  EXPECT_EQ(number(hits().process(test::image({2, 2}, pixels)).content(), "pixels"), 3);
  std::vector<float> reals{NAN, INFINITY, 100, -5};
  auto a = hits({{"threshold", "-10"}}).process(test::image({2, 2}, reals));
  EXPECT_EQ(number(a.content(), "pixels"), 2);
  EXPECT_EQ(number(a.content(), "sum"), 95);
  std::vector<std::int32_t> gaps{-1, -1, 0, 0};
  EXPECT_EQ(number(hits({{"threshold", "-10"}}).process(test::image({2, 2}, gaps)).content(), "pixels"), 2);
  std::string mask("\x93NUMPY\1\0\x3c\0", 10);
  mask += "{'descr': '|b1', 'fortran_order': False, 'shape': (2, 2), }\n";
  mask += std::string("\0\1\0\0", 4);
  auto masked = hits({{"mask", mask}});
  EXPECT_EQ(number(masked.process(test::image({2, 2}, pixels)).content(), "pixels"), 2);
  EXPECT_THAT(hits({{"mask", mask}}).failure(test::image({4, 1}, pixels)),
              AllOf(HasSubstr("'mask'"), HasSubstr("[4, 1]")));
}

/// Whoever looks at which image, and in whatever order it is folded.
TEST(hits, the_best_are_kept_in_any_order) {
  std::mt19937 random(9);
  std::vector<std::size_t> bright;
  for (int n = 0; n < 60; ++n) bright.push_back(random() % 30); // with equals among them
  std::vector<std::pair<int, std::uint64_t>> ranked;
  for (std::uint64_t n = 0; n < bright.size(); ++n)
    if (bright[n] >= 5) ranked.emplace_back(-static_cast<int>(bright[n]), n);
  std::sort(ranked.begin(), ranked.end());
  const settings set{{"threshold", "50"}, {"least", "5"}, {"keep", "6"}};
  for (int round = 0; round < 5; ++round) {
    auto one = hits(set), other = hits(set), scan = hits(set);
    std::vector<std::pair<std::uint64_t, value>> results;
    std::size_t sent = 0;
    for (std::uint64_t n = 0; n < bright.size(); ++n) {
      auto a = (random() % 2 ? one : other).process(test::image({10, 30}, image_of(bright[n])), n);
      sent += a.content().find("image") != nullptr;
      results.emplace_back(n, a.content());
    }
    EXPECT_LT(sent, 45u); // not every hit travels
    std::shuffle(results.begin(), results.end(), random);
    for (auto& [n, content] : results) scan.fold(content, n);
    auto tree = scan.published();
    EXPECT_EQ(number(tree, "events"), 60);
    EXPECT_EQ(number(tree, "hits"), static_cast<double>(ranked.size()));
    EXPECT_DOUBLE_EQ(number(tree, "fraction"), static_cast<double>(ranked.size()) / 60);
    test::expect_plot(*tree.find("best"));
    test::expect_plot(*tree.find("rate"));
    auto events = numbers<std::uint64_t>(*tree.find("best"), "event");
    ASSERT_EQ(events.size(), 6u);
    auto images = numbers<std::uint16_t>(*tree.find("best"), "image");
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(events[i], ranked[i].second);
      auto expected = image_of(bright[events[i]]);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(),
                             images.begin() + static_cast<std::ptrdiff_t>(i * 300)));
    }
  }
}

TEST(hits, nothing_and_nothing_kept) {
  auto scan = hits({{"keep", "0"}});
  EXPECT_EQ(number(scan.published(), "events"), 0);
  scan.see(test::image({10, 30}, image_of(5)), 1);
  scan.see(test::image({10, 30}, std::vector<std::uint16_t>(300)), 2);
  auto tree = scan.published();
  EXPECT_EQ(number(tree, "hits"), 1);
  EXPECT_FALSE(tree.find("best"));
  EXPECT_EQ(*tree.find("_attrs")->find("default")->as_text(), "rate");
  EXPECT_THAT(numbers(*tree.find("rate"), "fraction"), ElementsAre(1, 0));
  EXPECT_THAT(scan.failure(test::image({30, 10}, image_of(5))),
              AllOf(HasSubstr("[30, 10]"), HasSubstr("[10, 30]")));
  EXPECT_THROW(scan.fold(value_map{{"pixels", 3.0}}, 3), std::runtime_error);
  EXPECT_EQ(number(scan.published(), "events"), 2);
}

TEST(hits, bad_parameters_are_named) {
  auto hits = make_hits_analysis();
  EXPECT_EQ(test::refusal(*hits, {}), "");
  for (auto& set : std::vector<settings>{{{"threshold", "nan"}},
                                         {{"least", "nan"}},
                                         {{"score", "beauty"}},
                                         {{"keep", "101"}},
                                         {{"keep", "-1"}},
                                         {{"mask", "/nowhere/mask.npy"}}})
    EXPECT_THAT(test::refusal(*hits, set), HasSubstr("parameter '" + set.begin()->first + "'"));
}

} // namespace
} // namespace dtranspose
