#include "analysis/azint.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>

#include "images.hpp"
#include "protocol/compression.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using test::npy;
using test::numbers;
using testing::AllOf;
using testing::HasSubstr;
using settings = test::scan_of::settings;

const std::string geometry =
    "Detector_config: {\"pixel1\": 1e-4, \"pixel2\": 1.2e-4}\n"
    "Distance: 0.1\nPoni1: 0.012\nPoni2: -0.003\nRot1: -0.06\nRot2: 0.03\nRot3: 0.3\n"
    "Wavelength: 1e-10\n";
const std::string geometry_of_33_by_41 = "Detector_config: {\"pixel1\": 1e-4, \"pixel2\": 1.2e-4, "
                                         "\"max_shape\": [33, 41]}\n" +
                                         geometry.substr(geometry.find('\n') + 1);

settings with(settings more) {
  more.try_emplace("poni", geometry);
  more.try_emplace("bins", "30");
  return more;
}

test::scan_of azint(const settings& set) { return {make_azint_analysis(), with(set)}; }

std::vector<std::uint32_t> photons(unsigned seed, std::size_t n = 33 * 41) {
  std::mt19937 random(seed);
  std::poisson_distribution<std::uint32_t> counts(20);
  std::vector<std::uint32_t> pixels(n);
  for (auto& x : pixels) x = counts(random);
  return pixels;
}

TEST(azint, an_event_gives_a_row_and_the_scan_its_mean) {
  auto scan = azint({});
  ASSERT_EQ(scan.results().size(), 5u);
  EXPECT_EQ(scan.results()[0].shape, std::vector<std::size_t>{30});
  std::vector<double> signal(30), norm(30);
  for (unsigned n = 0; n < 5; ++n) {
    auto a = scan.see(test::image({33, 41}, photons(n)), n);
    ASSERT_EQ(a.what(), answer::kind::result);
    auto row = numbers(a.content(), "intensity"), errors = numbers(a.content(), "intensity_errors");
    auto divisor = numbers(a.content(), "norm");
    for (std::size_t k = 0; k < 30; ++k) {
      signal[k] += row[k] * divisor[k];
      norm[k] += divisor[k];
      EXPECT_GT(errors[k], 0);
    }
  }
  auto tree = scan.published();
  EXPECT_EQ(test::number(tree, "frames"), 5);
  EXPECT_EQ(*tree.find("_attrs")->find("default")->as_text(), "average");
  test::expect_plot(*tree.find("average"));
  test::expect_plot(*tree.find("latest"));
  auto mean = numbers(*tree.find("average"), "intensity");
  for (std::size_t k = 0; k < 30; ++k) EXPECT_NEAR(mean[k], signal[k] / norm[k], 1e-9);
  EXPECT_EQ(*tree.find("average")->find("q_attrs")->find("units")->as_text(), "1/nm");
}

TEST(azint, the_error_is_that_of_counting) {
  auto scan = azint({{"bins", "5"}});
  std::vector<double> sum(5), squares(5), told(5);
  const int frames = 400;
  for (int n = 0; n < frames; ++n) {
    auto a = scan.process(test::image({33, 41}, photons(static_cast<unsigned>(n))));
    auto row = numbers(a.content(), "intensity"), errors = numbers(a.content(), "intensity_errors");
    for (std::size_t k = 0; k < 5; ++k) {
      sum[k] += row[k];
      squares[k] += row[k] * row[k];
      told[k] += errors[k] / frames;
    }
  }
  for (std::size_t k = 0; k < 5; ++k) {
    auto spread = std::sqrt(squares[k] / frames - sum[k] * sum[k] / frames / frames);
    EXPECT_NEAR(told[k] / spread, 1, 5 / std::sqrt(2.0 * frames)) << k; // five standard deviations
  }
}

TEST(azint, the_mean_does_not_depend_on_the_order_nor_on_who_adds_up) {
  std::vector<value> rows;
  auto maker = azint({});
  std::mt19937 random(4);
  for (unsigned n = 0; n < 60; ++n) {
    auto pixels = photons(n);
    if (n % 7 == 0) // sums of very different size
      for (auto& x : pixels) x *= 10'000'000;
    rows.push_back(maker.process(test::image({33, 41}, pixels)).content());
  }
  std::vector<double> first;
  for (int round = 0; round < 5; ++round) {
    auto scan = azint({});
    for (std::size_t n = 0; n < rows.size(); ++n) scan.fold(rows[n], n);
    std::shuffle(rows.begin(), rows.end(), random);
    auto mean = numbers(*scan.published().find("average"), "intensity");
    if (first.empty()) first = mean;
    for (std::size_t k = 0; k < mean.size(); ++k) EXPECT_DOUBLE_EQ(mean[k], first[k]);
  }
  // Two workers that defer.
  auto one = azint({{"rows", "False"}}), other = azint({{"rows", "False"}});
  for (unsigned n = 0; n < 60; ++n) {
    auto pixels = photons(n);
    if (n % 7 == 0)
      for (auto& x : pixels) x *= 10'000'000;
    EXPECT_EQ((n % 3 ? one : other).process(test::image({33, 41}, pixels)).what(), answer::kind::deferred);
    if (n % 10 == 9) one.fold(one.flush(), {}, 6);
  }
  one.fold(other.flush(), {}, 20);
  EXPECT_TRUE(one.flush().is_null());
  EXPECT_EQ(test::number(one.published(), "frames"), 60);
  auto mean = numbers(*one.published().find("average"), "intensity");
  for (std::size_t k = 0; k < mean.size(); ++k) EXPECT_NEAR(mean[k] / first[k], 1, 1e-13);
  EXPECT_EQ(one.results().size(), 3u);
  EXPECT_FALSE(one.published().find("latest"));
}

TEST(azint, a_cake) {
  auto scan = azint({{"chi_bins", "8"}, {"unit", "2th_deg"}});
  auto a = scan.see(test::image({33, 41}, photons(1)));
  EXPECT_EQ(a.content().find("intensity")->as_array()->shape(), (std::vector<std::size_t>{8, 30}));
  EXPECT_EQ(scan.results()[0].shape, (std::vector<std::size_t>{8, 30}));
  EXPECT_EQ(scan.results()[0].axes, (std::vector<std::string>{"chi", "two_theta"}));
  auto tree = scan.published();
  test::expect_plot(*tree.find("average"));
  EXPECT_EQ(numbers(tree, "chi").front(), -157.5);
  auto deferring = azint({{"chi_bins", "8"}, {"unit", "2th_deg"}, {"rows", "False"}});
  deferring.process(test::image({33, 41}, photons(1)));
  deferring.fold(deferring.flush());
  test::expect_plot(*deferring.published().find("average"));
}

TEST(azint, compressed_images_and_images_in_pieces) {
  auto scan = azint({});
  auto pixels = photons(3);
  auto plain = numbers(scan.process(test::image({33, 41}, pixels)).content(), "intensity");
  auto packed = test::message(
      {test::image_header({33, 41}, "uint32", "bslz4"), compress(codec::bslz4, 4, test::bytes_of(pixels))});
  EXPECT_EQ(numbers(scan.process(packed).content(), "intensity"), plain);
  auto rows = numbers(scan.process(test::image_in_rows(33, 41, pixels)).content(), "intensity");
  for (std::size_t k = 0; k < 30; ++k) EXPECT_DOUBLE_EQ(rows[k], plain[k]);
  EXPECT_EQ(numbers(scan.process(test::image({1, 33, 41}, pixels)).content(), "intensity"), plain);
}

TEST(azint, images_of_another_shape_fail_alone) {
  auto known = azint({{"poni", geometry_of_33_by_41}});
  EXPECT_THAT(known.failure(test::image({41, 33}, photons(1))),
              AllOf(HasSubstr("[41, 33]"), HasSubstr("the geometry is of shape [33, 41]")));
  EXPECT_EQ(known.failure(test::image({33, 41}, photons(1))), "");
  auto unknown = azint({});
  EXPECT_EQ(unknown.failure(test::image({20, 30}, photons(1, 600))), "");
  EXPECT_THAT(unknown.failure(test::image({33, 41}, photons(1))),
              AllOf(HasSubstr("[33, 41]"), HasSubstr("first image"), HasSubstr("[20, 30]")));
  EXPECT_EQ(unknown.failure(test::image({20, 30}, photons(2, 600))), "");
  EXPECT_THAT(unknown.failure(test::image({600}, photons(1, 600))), HasSubstr("[600]"));
  EXPECT_THAT(unknown.failure(test::image({2, 15, 20}, photons(1, 600))), HasSubstr("[2, 15, 20]"));
  EXPECT_THAT(unknown.failure(test::image({0, 20}, std::vector<float>{})), HasSubstr("[0, 20]"));
}

TEST(azint, masked_zero_and_missing_pixels) {
  std::vector<std::uint8_t> mask(33 * 41, 1);
  auto scan = azint({{"mask", npy("(33, 41)", mask)}});
  EXPECT_THAT(scan.failure(test::image({33, 41}, photons(1))), HasSubstr("mask"));
  EXPECT_THAT(scan.failure(test::image({33, 41}, photons(1))), HasSubstr("mask"));
  auto other = azint({{"mask", npy("(41, 33)", mask)}});
  EXPECT_THAT(other.failure(test::image({33, 41}, photons(1))),
              AllOf(HasSubstr("'mask'"), HasSubstr("[41, 33]"), HasSubstr("[33, 41]")));
  auto plain = azint({});
  auto nothing = plain.see(test::image({33, 41}, std::vector<double>(33 * 41, NAN)), 1);
  EXPECT_THAT(numbers(nothing.content(), "intensity"), testing::Each(testing::IsNan()));
  plain.see(test::image({33, 41}, std::vector<double>(33 * 41, 0)), 2);
  auto mean = *plain.published().find("average");
  EXPECT_THAT(numbers(mean, "intensity"), testing::Each(0.0));
  EXPECT_THAT(numbers(mean, "intensity_errors"), testing::Each(0.0));
}

TEST(azint, only_images_are_looked_at) {
  auto scan = azint({});
  std::string end;
  write_stins_end(end, 2);
  EXPECT_EQ(scan.process(memory_frames::of(stins_type_tag, {end})).what(), answer::kind::nothing);
  EXPECT_EQ(test::number(scan.published(), "frames"), 0);
}

TEST(azint, bad_parameters_are_named) {
  auto azint = make_azint_analysis();
  EXPECT_EQ(test::refusal(*azint, with({})), "");
  test::temporary_directory folder;
  auto file = (folder / "a.poni").string();
  EXPECT_THAT(test::refusal(*azint, with({{"poni", file}})), AllOf(HasSubstr("'poni'"), HasSubstr(file)));
  std::ofstream(file) << geometry;
  EXPECT_EQ(test::refusal(*azint, with({{"poni", file}})), "");
  const std::vector<std::uint8_t> six(6);
  for (auto& [name, written, named] : std::vector<std::array<std::string, 3>>{
           {"poni", "", "poni"},
           {"poni", "nonsense\n", "distance"},
           {"poni", geometry.substr(0, geometry.find("Wave")), "Wavelength"},
           {"unit", "q", "q_nm^-1"},
           {"bins", "0", "bins"},
           {"bins", "-3", "bins"},
           {"chi_bins", "-1", "chi_bins"},
           {"chi_bins", "999999", "50 million"},
           {"range", "5", "range"},
           {"range", "5:2", "range"},
           {"range", "nan:2", "range"},
           {"chi_range", "0:361", "full turn"},
           {"splitting", "full", "splitting"},
           {"polarisation", "2", "polarisation"},
           {"polarisation", "much", "polarisation"},
           {"valid", "10:0", "valid"},
           {"mask", "/nowhere/mask.npy", "/nowhere/mask.npy"},
           {"dark", npy("(6,)", six), "'dark'"},
           {"flat", npy("(2, 4)", six), "'flat'"},
       })
    EXPECT_THAT(test::refusal(*azint, with({{name, written}, {"bins", "1000"}})),
                AllOf(HasSubstr(name), HasSubstr(named)))
        << name << " = " << written;
  EXPECT_THAT(test::refusal(*azint, with({{"poni", geometry_of_33_by_41}, {"mask", npy("(2, 3)", six)}})),
              AllOf(HasSubstr("mask"), HasSubstr("[33, 41]")));
  EXPECT_THAT(test::refusal(*azint, with({{"mask", npy("(3, 2)", six)}, {"flat", npy("(2, 3)", six)}})),
              AllOf(HasSubstr("flat"), HasSubstr("'mask'")));
}

TEST(azint, results_that_are_none_are_not_folded) {
  auto scan = azint({});
  EXPECT_THROW(scan.fold(value_map{{"sum", 3.0}}, 1), std::runtime_error);
  scan.see(test::image({33, 41}, photons(1)), 1);
  auto other = azint({{"bins", "31"}}).process(test::image({33, 41}, photons(1)));
  EXPECT_THROW(scan.fold(other.content(), 2), std::runtime_error);
  EXPECT_EQ(test::number(scan.published(), "frames"), 1);
}

} // namespace
} // namespace dtranspose
