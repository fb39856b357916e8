#include "analysis/cog.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "images.hpp"
#include "protocol/compression.hpp"

namespace dtranspose {
namespace {

using test::number;
using test::numbers;
using testing::AllOf;
using testing::HasSubstr;
using settings = test::scan_of::settings;

test::scan_of cog(const settings& set = {}) { return {make_cog_analysis(), set}; }

template <class T>
std::vector<T> spot(std::size_t rows, std::size_t columns, double row, double column, double sigma_row,
                    double sigma_column, double peak, double offset = 0) {
  std::vector<T> pixels(rows * columns);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    auto y = (static_cast<double>(i / columns) - row) / sigma_row;
    auto x = (static_cast<double>(i % columns) - column) / sigma_column;
    pixels[i] = static_cast<T>(offset + peak * std::exp(-0.5 * (x * x + y * y)));
  }
  return pixels;
}

std::string npy(std::size_t rows, std::size_t columns, const std::vector<float>& numbers) {
  auto header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                std::to_string(columns) + "), }\n";
  std::string file("\x93NUMPY\1\0", 8);
  file += static_cast<char>(header.size());
  file += '\0';
  file += header;
  return file.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
}

TEST(cog, a_gaussian_spot) {
  auto a = cog().process(test::image({120, 160}, spot<double>(120, 160, 51.3, 90.25, 4, 7, 3000)));
  EXPECT_NEAR(number(a.content(), "row"), 51.3, 1e-9);
  EXPECT_NEAR(number(a.content(), "column"), 90.25, 1e-9);
  EXPECT_NEAR(number(a.content(), "sigma_row"), 4, 1e-9);
  EXPECT_NEAR(number(a.content(), "sigma_column"), 7, 1e-9);
  EXPECT_NEAR(number(a.content(), "total"), 3000 * 2 * M_PI * 4 * 7, 1e-5);
  EXPECT_NEAR(number(a.content(), "peak"), 3000, 50);
  EXPECT_EQ(number(a.content(), "saturated"), 0);
  EXPECT_FALSE(a.content().find("offset"));
}

/// Loops over single pixels, of images with rows of any length.
TEST(cog, agrees_with_its_definition) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    std::size_t rows = 1 + random() % 20, columns = 1 + random() % 70;
    std::vector<std::uint16_t> pixels(rows * columns);
    std::vector<float> dark(pixels.size());
    for (auto& x : pixels) x = static_cast<std::uint16_t>(random() % 1000);
    for (auto& x : dark) x = static_cast<float>(random() % 64) / 4;
    const double background = 20, threshold = 300, saturation = 900;
    double sum = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0;
    std::uint64_t saturated = 0;
    auto counts = [&](std::size_t i) {
      auto c = pixels[i] - background - static_cast<double>(dark[i]);
      return c < threshold || pixels[i] >= saturation ? 0 : c;
    };
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      auto c = counts(i), x = static_cast<double>(i % columns), y = static_cast<double>(i / columns);
      saturated += pixels[i] >= saturation;
      sum += c, x1 += c * x, y1 += c * y, x2 += c * x * x, y2 += c * y * y;
    }
    auto scan = cog({{"background", "20"},
                     {"threshold", "300"},
                     {"saturation", "900"},
                     {"without_saturated", "True"},
                     {"dark", npy(rows, columns, dark)}});
    for (auto& data : {test::image({rows, columns}, pixels), test::image_in_rows(rows, columns, pixels),
                       test::message({test::image_header({rows, columns}, "uint16", "bslz4"),
                                      compress(codec::bslz4, 2, test::bytes_of(pixels))})}) {
      auto found = scan.process(data).content();
      EXPECT_EQ(number(found, "saturated"), static_cast<double>(saturated));
      EXPECT_NEAR(number(found, "total"), sum, 1e-6);
      if (sum == 0) {
        EXPECT_TRUE(std::isnan(number(found, "row")));
        continue;
      }
      EXPECT_NEAR(number(found, "row"), y1 / sum, 1e-9);
      EXPECT_NEAR(number(found, "column"), x1 / sum, 1e-9);
      EXPECT_NEAR(number(found, "sigma_row"), std::sqrt(std::max(0.0, y2 / sum - y1 / sum * y1 / sum)), 1e-5);
      EXPECT_NEAR(number(found, "sigma_column"), std::sqrt(std::max(0.0, x2 / sum - x1 / sum * x1 / sum)),
                  1e-5);
    }
  }
}

TEST(cog, saturated_pixels_are_those_at_the_top_of_the_type) {
  std::vector<std::uint8_t> pixels{0, 255, 255, 10};
  auto with = cog().process(test::image({2, 2}, pixels)).content();
  EXPECT_EQ(number(with, "saturated"), 2);
  EXPECT_EQ(number(with, "total"), 520);
  auto without = cog({{"without_saturated", "True"}}).process(test::image({2, 2}, pixels)).content();
  EXPECT_EQ(number(without, "saturated"), 2);
  EXPECT_EQ(number(without, "total"), 10);
  EXPECT_EQ(number(without, "column"), 1);
}

TEST(cog, nothing_to_see) {
  auto scan = cog({{"target_row", "1"}, {"target_column", "1"}, {"limit", "5"}});
  auto zeros = scan.see(test::image({3, 3}, std::vector<std::uint16_t>(9)), 1);
  for (auto name : {"row", "column", "sigma_row", "sigma_column", "offset"})
    EXPECT_TRUE(std::isnan(number(zeros.content(), name))) << name;
  EXPECT_EQ(number(zeros.content(), "total"), 0);
  EXPECT_EQ(number(zeros.content(), "beyond_limit"), 1);
  auto nans = scan.see(test::image({3, 3}, std::vector<float>(9, std::nanf(""))), 2);
  EXPECT_EQ(number(nans.content(), "total"), 0);
  EXPECT_EQ(number(scan.published(), "without_spot"), 2);
  EXPECT_EQ(number(scan.published(), "alarms"), 2);
  // What is no number is nowhere; the rest is seen.
  std::vector<float> pixels{1, std::nanf(""), 3, INFINITY};
  auto some = cog().process(test::image({2, 2}, pixels)).content();
  EXPECT_EQ(number(some, "total"), 4);
  EXPECT_EQ(number(some, "row"), 0.75);
  EXPECT_EQ(number(some, "column"), 0);
}

TEST(cog, offset_alarm_and_drift) {
  auto scan = cog({{"target_row", "30"}, {"target_column", "40"}, {"limit", "2.5"}});
  EXPECT_EQ(scan.results().size(), 7u + 4u + 3u);
  std::vector<value> rows;
  for (std::uint64_t n = 0; n < 50;
       ++n) { // 0.1 pixels per event to the right: beyond the limit from event 46 on
    auto column = 40 + 0.1 * (static_cast<double>(n) - 20.5);
    auto data = test::image({60, 80}, spot<double>(60, 80, 30, column, 3, 3, 100));
    rows.push_back(scan.process(data, n).content());
    EXPECT_NEAR(number(rows.back(), "offset"), std::abs(column - 40), 1e-9);
    EXPECT_NEAR(number(rows.back(), "offset_column"), column - 40, 1e-9);
  }
  std::vector<std::uint64_t> order(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  for (auto n : order) scan.fold(rows[n], n);
  auto tree = scan.published();
  EXPECT_EQ(number(tree, "events"), 50);
  EXPECT_EQ(number(tree, "alarms"), 4);
  EXPECT_EQ(number(tree, "first_alarm"), 46);
  EXPECT_EQ(number(tree, "latest_alarm"), 49);
  EXPECT_TRUE(*tree.find("alarm")->as_bool());
  EXPECT_NEAR(number(tree, "drift_column"), 0.1, 1e-9);
  EXPECT_NEAR(number(tree, "drift_row"), 0, 1e-9);
  EXPECT_NEAR(number(*tree.find("mean"), "column"), 40.4, 1e-9);
  test::expect_plot(*tree.find("drift"));
  EXPECT_EQ(*tree.find("_attrs")->find("default")->as_text(), "drift");
  EXPECT_EQ(numbers(*tree.find("drift"), "column").size(), 50u);
  EXPECT_NEAR(numbers(*tree.find("drift"), "column")[7], 40 - 1.35, 1e-9);
}

TEST(cog, decides_when_the_spot_leaves_its_target_and_when_it_is_back) {
  auto scan = cog({{"target_row", "1"}, {"target_column", "1"}, {"limit", "0.5"}});
  std::vector<std::string> told;
  const std::vector<std::uint8_t> there{0, 0, 0, 0, 9, 0, 0, 0, 0}, away{0, 0, 9, 0, 0, 0, 0, 0, 0};
  std::uint64_t n = 0;
  for (auto& pixels : {there, away, away, there, there}) {
    scan.see(test::image({3, 3}, pixels), n++);
    for (auto& d : scan.decisions())
      told.push_back(d.name + " " + (*d.content.find("beyond_limit")->as_bool() ? "lost" : "back") + " at " +
                     std::to_string(d.event->value));
  }
  EXPECT_THAT(told, testing::ElementsAre("beam_position lost at 1", "beam_position back at 3"));
}

TEST(cog, another_limit_is_no_reason_to_begin_anew) {
  settings set{{"target_row", "30"}, {"target_column", "40"}, {"limit", "2.5"}};
  auto scan = cog(set);
  scan.see(test::image({60, 80}, spot<double>(60, 80, 30, 45, 3, 3, 100)), 1);
  set["limit"] = "10";
  EXPECT_TRUE(scan.goes_on(set));
  EXPECT_EQ(number(scan.published(), "events"), 1);
  EXPECT_EQ(number(scan.published(), "alarms"), 1);
  set["threshold"] = "5";
  EXPECT_FALSE(scan.goes_on(set)) << "what it has seen is of other pixels";
  set.erase("limit");
  set["threshold"] = "0";
  EXPECT_TRUE(scan.goes_on(set));
}

TEST(cog, images_of_another_shape_fail_alone) {
  auto scan = cog();
  EXPECT_EQ(scan.failure(test::image({3, 3}, std::vector<float>(9, 1))), "");
  EXPECT_THAT(scan.failure(test::image({3, 4}, std::vector<float>(12, 1))),
              AllOf(HasSubstr("[3, 4]"), HasSubstr("[3, 3]")));
  EXPECT_THAT(scan.failure(test::image({9}, std::vector<float>(9, 1))), HasSubstr("[9]"));
  EXPECT_EQ(scan.failure(test::image({3, 3}, std::vector<float>(9, 1))), "");
  auto dark = cog({{"dark", npy(2, 3, std::vector<float>(6))}});
  EXPECT_THAT(dark.failure(test::image({3, 3}, std::vector<float>(9, 1))),
              AllOf(HasSubstr("'dark'"), HasSubstr("[2, 3]"), HasSubstr("[3, 3]")));
}

TEST(cog, bad_parameters_are_named) {
  auto cog = make_cog_analysis();
  EXPECT_EQ(test::refusal(*cog, {}), "");
  for (auto& set : std::vector<settings>{{{"threshold", "-1"}},
                                         {{"threshold", "nan"}},
                                         {{"background", "inf"}},
                                         {{"saturation", "full"}},
                                         {{"target_row", "3"}},
                                         {{"target_column", "3"}},
                                         {{"limit", "3"}},
                                         {{"limit", "-3"}, {"target_row", "1"}, {"target_column", "1"}},
                                         {{"dark", "/nowhere/dark.npy"}}})
    EXPECT_THAT(test::refusal(*cog, set), HasSubstr("parameter '")) << set.begin()->first;
}

} // namespace
} // namespace dtranspose
