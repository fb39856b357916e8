#include "analysis/xrf_fit.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t channels = 2048;

xrf_model model_of(const std::vector<std::string>& elements) {
  xrf_model m;
  m.incident_kev = 12;
  m.low_kev = 2;
  m.high_kev = 12.7;
  for (auto& e : elements) m.groups.push_back(find_line_group(e, m.incident_kev));
  return m;
}

/// Adds a Gaussian by its density at the middle of each channel: not how the fit does it.
void add_peak(std::vector<double>& spectrum, const detector_response& r, double energy, double area,
              double broader = 1) {
  auto fwhm = std::sqrt(r.noise * r.noise + 2.3548 * 2.3548 * 0.00385 * r.fano * energy);
  auto sigma = fwhm / 2.3548 * broader;
  for (std::size_t c = 0; c < spectrum.size(); ++c) {
    auto off = (r.zero + r.gain * static_cast<double>(c) - energy) / sigma;
    spectrum[c] += area * r.gain / sigma / std::sqrt(2 * std::numbers::pi) * std::exp(-off * off / 2);
  }
}

/// What is expected of a sample with those areas, then of elastic and Compton scattering.
std::vector<double> expected(const xrf_model& m, const std::vector<double>& areas, double continuum = 0) {
  std::vector<double> spectrum(channels, 0.0);
  for (std::size_t i = 0; i < m.groups.size(); ++i)
    for (auto& line : m.groups[i].lines) {
      add_peak(spectrum, m.response, line.energy_kev, areas[i] * line.fraction);
      if (m.escape && line.energy_kev > 1.839)
        add_peak(spectrum, m.response, line.energy_kev - 1.74,
                 areas[i] * line.fraction * escape_ratio(line.energy_kev));
    }
  if (m.scatter) {
    add_peak(spectrum, m.response, 12, areas[m.groups.size()]);
    add_peak(spectrum, m.response, 12 / (1 + 12 / 511.0), areas[m.groups.size() + 1], m.compton_width);
  }
  for (std::size_t c = 0; c < channels; ++c)
    spectrum[c] += continuum * std::exp(-static_cast<double>(c) * m.response.gain / 4);
  return spectrum;
}

TEST(xrf_fit, finds_what_is_there_exactly_where_nothing_is_left_to_chance) {
  auto m = model_of({"Ca", "Fe", "Cu", "Zn"});
  m.background = xrf_background::none;
  const std::vector<double> areas{3000, 20000, 0, 800, 1500, 4000};
  xrf_fitter fitter(m, channels);
  EXPECT_EQ(fitter.names(), (std::vector<std::string>{"Ca_K", "Fe_K", "Cu_K", "Zn_K", "elastic", "compton"}));
  auto found = fitter.fit(expected(m, areas));
  for (std::size_t i = 0; i < areas.size(); ++i) EXPECT_NEAR(found.areas[i], areas[i], 0.5) << i;
  EXPECT_LT(found.chi2, 1e-4);
}

TEST(xrf_fit, escape_peaks_are_not_taken_for_titanium) {
  // Silicon's escape peak of iron is at 4.66 keV, next to titanium's 4.51 keV.
  auto m = model_of({"Fe", "Ti"});
  m.background = xrf_background::none;
  m.scatter = false;
  auto spectrum = expected(m, {1e6, 0});
  auto with = xrf_fitter(m, channels).fit(spectrum).areas[1];
  m.escape = false;
  auto without = xrf_fitter(m, channels).fit(spectrum).areas[1];
  EXPECT_LT(with, 20);
  EXPECT_GT(without, 500);
}

class chance : public testing::TestWithParam<double> {};

TEST_P(chance, errors_are_those_of_counting_statistics_and_the_mean_is_the_truth) {
  auto m = model_of({"K", "Ca", "Fe", "Cu", "Zn"});
  m.compton_width = 1.6;
  m.background = xrf_background::smooth;
  const auto scale = GetParam();
  std::vector<double> areas{160, 180, 500, 800, 300, 120, 320};
  for (auto& a : areas) a *= scale;
  auto mean = expected(m, areas, 0.4 * scale);
  xrf_fitter fitter(m, channels);
  std::mt19937 random(7);
  constexpr int turns = 300;
  std::vector<double> pulls(areas.size()), squares(areas.size()), spectrum(channels);
  for (int turn = 0; turn < turns; ++turn) {
    for (std::size_t c = 0; c < channels; ++c)
      spectrum[c] = mean[c] > 0 ? std::poisson_distribution<int>(mean[c])(random) : 0;
    auto& found = fitter.fit(spectrum);
    for (std::size_t i = 0; i < areas.size(); ++i) {
      auto pull = (found.areas[i] - areas[i]) / found.errors[i];
      pulls[i] += pull / turns;
      squares[i] += pull * pull / turns;
    }
  }
  for (std::size_t i = 0; i < areas.size(); ++i) {
    EXPECT_NEAR(pulls[i], 0, 0.25) << fitter.names()[i]; // four standard deviations
    EXPECT_NEAR(std::sqrt(squares[i] - pulls[i] * pulls[i]), 1, 0.18) << fitter.names()[i];
  }
}

INSTANTIATE_TEST_SUITE_P(xrf_fit, chance, testing::Values(1.0, 30.0));

TEST(xrf_fit, multiplied_counts_have_larger_errors) {
  auto m = model_of({"Fe"});
  auto spectrum = expected(m, {4000, 100, 100});
  xrf_fitter fitter(m, channels);
  auto plain = fitter.fit(spectrum);
  for (auto& counts : spectrum) counts *= 4;
  auto multiplied = fitter.fit(spectrum, 4);
  EXPECT_NEAR(multiplied.areas[0], 4 * plain.areas[0], 8);
  EXPECT_NEAR(multiplied.errors[0] / plain.errors[0], 4, 0.05);
}

TEST(xrf_fit, snip_and_weights_by_counts_come_near_with_many_counts) {
  auto m = model_of({"Fe", "Cu"});
  m.background = xrf_background::snip;
  auto spectrum = expected(m, {4e5, 2e5, 3e4, 6e4}, 100);
  for (auto weights : {xrf_weights::model, xrf_weights::counts, xrf_weights::equal}) {
    m.weights = weights;
    auto found = xrf_fitter(m, channels).fit(spectrum);
    EXPECT_NEAR(found.areas[0], 4e5, 4e3);
    EXPECT_NEAR(found.areas[1], 2e5, 4e3);
  }
}

TEST(xrf_fit, nothing_gives_nothing_and_an_error_of_one_count) {
  auto m = model_of({"Fe", "Cu"});
  for (auto background : {xrf_background::smooth, xrf_background::snip, xrf_background::none})
    for (auto weights : {xrf_weights::model, xrf_weights::counts, xrf_weights::equal}) {
      m.background = background;
      m.weights = weights;
      xrf_fitter fitter(m, channels);
      auto found = fitter.fit(std::vector<double>(channels, 0.0));
      EXPECT_EQ(found.areas, std::vector<double>(4, 0.0));
      EXPECT_EQ(found.errors, std::vector<double>(4, 1.0));
      EXPECT_EQ(found.chi2, 0);
    }
}

TEST(xrf_fit, fitted_and_background_are_those_of_the_spectrum) {
  auto m = model_of({"Fe"});
  m.background = xrf_background::smooth;
  auto spectrum = expected(m, {5e4, 1e3, 1e3}, 50);
  xrf_fitter fitter(m, channels);
  fitter.fit(spectrum);
  auto fitted = fitter.fitted();
  ASSERT_EQ(fitted.size(), fitter.fitted_channels());
  EXPECT_EQ(fitter.first_channel(), 200u);
  double off = 0;
  for (std::size_t i = 0; i < fitted.size(); ++i)
    off = std::max(off, std::abs(fitted[i] - spectrum[200 + i]) / std::sqrt(spectrum[200 + i] + 1));
  EXPECT_LT(off, 0.5);
}

std::string complaint(const xrf_model& m, std::size_t n = channels) {
  try {
    xrf_fitter fitter(m, n);
    return {};
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

TEST(xrf_fit, says_what_cannot_be_fitted) {
  EXPECT_THAT(complaint(model_of({"Fe", "Cu", "Fe"})),
              AllOf(HasSubstr("'elements'"), HasSubstr("told apart")));
  auto low = model_of({"Fe"});
  low.high_kev = 5;
  EXPECT_THAT(complaint(low), AllOf(HasSubstr("Fe_K has no lines"), HasSubstr("'fit_range'")));
  auto scatter = model_of({"Fe"});
  scatter.high_kev = 9;
  EXPECT_THAT(complaint(scatter), AllOf(HasSubstr("'fit_range'"), HasSubstr("scatter = false")));
  scatter.scatter = false;
  EXPECT_EQ(complaint(scatter), "");
  EXPECT_THAT(complaint(model_of({"Fe"}), 100), HasSubstr("'fit_range'"));
  EXPECT_THAT(complaint(model_of({"Fe"}), 0), HasSubstr("'fit_range'"));
}

} // namespace
} // namespace dtranspose
