#include "beamline/xrf_raster.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::HasSubstr;
using numbers = std::vector<double>;

const protocol_options small = {{"rows", "12"}, {"columns", "16"}, {"seed", "5"}};

numbers truth_at(const value_map& truth, std::initializer_list<std::string_view> path) {
  const value* found = nullptr;
  for (auto name : path) found = found ? found->find(name) : truth.find(name);
  if (!found) throw std::runtime_error("there is no such truth");
  auto elements = found->as_array()->elements<double>();
  return {elements.begin(), elements.end()};
}

constexpr std::string_view everything[][2] = {
    {"elements", "K"},  {"elements", "Ca"},    {"elements", "Fe"},    {"elements", "Cu"},
    {"elements", "Zn"}, {"others", "elastic"}, {"others", "compton"}, {"others", "continuum"}};

/// What truth says of the counts in bins [low, high) of a detector element.
double expected_counts(const value_map& truth, std::uint64_t frame, std::size_t channel, std::size_t low,
                       std::size_t high) {
  double counts = 0;
  for (auto [group, name] : everything) {
    auto spectrum = truth_at(truth, {group, name, "spectrum"});
    counts += truth_at(truth, {group, name, "photons"})[frame] *
              std::accumulate(spectrum.begin() + static_cast<long>(low),
                              spectrum.begin() + static_cast<long>(high), 0.0);
  }
  auto channels = truth_at(truth, {"spectrometer", "solid_angle"});
  return counts * channels[channel] * truth_at(truth, {"live"})[frame * channels.size() + channel];
}

struct exposure {
  std::vector<std::uint32_t> spectra;
  spectrometer_counters counters;

  double sum(std::size_t first, std::size_t n) const {
    return std::accumulate(spectra.begin() + static_cast<long>(first),
                           spectra.begin() + static_cast<long>(first + n), 0.0);
  }
};

exposure expose(const scene& s, std::uint64_t frame) {
  auto view = s.view("spectra").spectrometer;
  exposure made{.spectra = std::vector<std::uint32_t>(view->channels() * view->bins())};
  made.counters = view->fill(frame, made.spectra);
  return made;
}

/// The first point where all of the beam is on that element.
std::uint64_t point_with(const value_map& truth, std::string_view element) {
  auto map = truth_at(truth, {"elements", element, "map"});
  for (std::uint64_t i = 0; i < map.size(); ++i)
    if (map[i] == 1) return i;
  throw std::runtime_error("there is no such point");
}

TEST(xrf_raster, is_the_same_for_the_same_seed) {
  auto one = make_xrf_raster(small), same = make_xrf_raster(small);
  auto other = make_xrf_raster({{"rows", "12"}, {"columns", "16"}, {"seed", "6"}});
  EXPECT_EQ(one->frames(), 192u);
  // In whatever order they are asked for.
  auto later = expose(*same, 100);
  EXPECT_EQ(expose(*one, 7).spectra, expose(*same, 7).spectra);
  EXPECT_EQ(expose(*one, 100).spectra, later.spectra);
  EXPECT_NE(expose(*one, 7).spectra, expose(*other, 7).spectra);
  EXPECT_NE(expose(*one, 7).spectra, expose(*one, 8).spectra);
  EXPECT_EQ(one->truth(), same->truth());
}

TEST(xrf_raster, has_lines_where_they_belong) {
  auto s = make_xrf_raster({{"rows", "12"}, {"columns", "16"}, {"exposure", "1"}, {"noise", "false"}});
  auto truth = s->truth();
  struct peak {
    std::string_view element;
    std::size_t bin; ///< of 10 eV: the mean of both K-alpha lines
  };
  for (auto [element, bin] : {peak{"Fe", 640}, peak{"Cu", 804}}) {
    auto spectra = expose(*s, point_with(truth, element)).spectra;
    auto highest = std::max_element(spectra.begin() + 450, spectra.begin() + 1000) - spectra.begin();
    EXPECT_NEAR(static_cast<double>(highest), static_cast<double>(bin), 1) << element;
    // Half the height at half the width: noise 0.1 keV, Fano factor 0.114.
    auto half = 0.5 * spectra[static_cast<std::size_t>(highest)];
    auto right = static_cast<std::size_t>(highest);
    while (spectra[right] > half) ++right;
    auto fwhm = std::sqrt(0.01 + 2.3548 * 2.3548 * 0.00385 * 0.114 * static_cast<double>(bin) * 0.01);
    EXPECT_NEAR(static_cast<double>(right) - static_cast<double>(highest), 50 * fwhm, 1.5) << element;
  }
}

/// Every window of every detector element at every point, as far as chance allows.
TEST(xrf_raster, counts_what_truth_says) {
  auto s = make_xrf_raster(small);
  auto truth = s->truth();
  double chi2 = 0;
  int windows = 0;
  for (std::uint64_t frame = 0; frame < s->frames(); frame += 5) {
    auto seen = expose(*s, frame);
    for (std::size_t channel = 0; channel < 4; ++channel)
      for (auto [low, high] :
           {std::pair<std::size_t, std::size_t>{300, 420}, {600, 720}, {780, 980}, {1140, 1250}}) {
        auto expected = expected_counts(truth, frame, channel, low, high);
        auto found = seen.sum(channel * 4096 + low, high - low);
        chi2 += (found - expected) * (found - expected) / expected;
        ++windows;
      }
  }
  EXPECT_NEAR(chi2 / windows, 1, 5 * std::sqrt(2.0 / windows));
}

/// Every bin of the sum of many exposures of one detector element.
TEST(xrf_raster, spreads_photons_over_bins_as_truth_says) {
  auto s = make_xrf_raster(small);
  auto truth = s->truth();
  numbers seen(4096), expected(4096);
  for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
    auto spectra = expose(*s, frame).spectra;
    for (std::size_t bin = 0; bin < 4096; ++bin) seen[bin] += spectra[bin];
  }
  auto live = truth_at(truth, {"live"});
  for (auto [group, name] : everything) {
    auto photons = truth_at(truth, {group, name, "photons"}),
         spectrum = truth_at(truth, {group, name, "spectrum"});
    double counted = 0;
    for (std::uint64_t frame = 0; frame < s->frames(); ++frame) counted += photons[frame] * live[4 * frame];
    for (std::size_t bin = 0; bin < 4096; ++bin) expected[bin] += counted * spectrum[bin];
  }
  double chi2 = 0;
  int bins = 0;
  for (std::size_t bin = 0; bin < 4096; ++bin) {
    if (expected[bin] < 10) continue;
    chi2 += (seen[bin] - expected[bin]) * (seen[bin] - expected[bin]) / expected[bin];
    ++bins;
  }
  EXPECT_GT(bins, 500);
  EXPECT_NEAR(chi2 / bins, 1, 5 * std::sqrt(2.0 / bins));
}

TEST(xrf_raster, reports_the_dead_time_that_it_has) {
  auto s = make_xrf_raster({{"rows", "4"}, {"columns", "4"}, {"count_rate", "1000000"}, {"exposure", "0.1"}});
  auto truth = s->truth();
  for (std::uint64_t frame = 0; frame < 16; ++frame) {
    auto seen = expose(*s, frame);
    double arriving = 0;
    for (auto [group, name] : everything) arriving += truth_at(truth, {group, name, "photons"})[frame];
    for (std::size_t channel = 0; channel < 4; ++channel) {
      double events = seen.counters.events[channel], ticks = 8e6;
      EXPECT_EQ(events, seen.sum(channel * 4096, 4096));
      auto corrected = events * ticks / (ticks - 7 * events - seen.counters.reset_ticks[channel]);
      auto factor = truth_at(truth, {"spectrometer", "solid_angle"})[channel];
      EXPECT_LT(events, 0.9 * factor * arriving); // there is a dead time to speak of
      EXPECT_NEAR(corrected, factor * arriving, 6 * corrected / std::sqrt(events));
    }
  }
}

TEST(xrf_raster, lacks_lines_whose_edge_is_above_the_beam) {
  auto truth = make_xrf_raster({{"rows", "4"}, {"columns", "4"}, {"energy", "7"}})->truth();
  for (auto element : {"Fe", "Cu", "Zn"})
    EXPECT_EQ(truth_at(truth, {"elements", element, "photons"}), numbers(16, 0.0)) << element;
  EXPECT_GT(truth_at(truth, {"elements", "K", "photons"})[3], 0);
}

TEST(xrf_raster, reads_positions_and_the_incident_intensity) {
  auto s = make_xrf_raster(small);
  auto truth = s->truth();
  auto positions = s->view("positions").readings, monitor = s->view("i0").readings;
  EXPECT_EQ(positions->columns()[0].name, "sx");
  for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
    auto at = positions->at(frame);
    EXPECT_EQ(at[0], truth_at(truth, {"x"})[frame]);
    EXPECT_EQ(at[1], truth_at(truth, {"y"})[frame]);
    EXPECT_NEAR(at[0], 0.5 * static_cast<double>(frame % 16), 0.05);
    auto i0 = truth_at(truth, {"i0"})[frame];
    EXPECT_NEAR(monitor->at(frame)[0], i0, 3e-3 * i0);
  }
}

TEST(xrf_raster, says_what_is_wrong_with_options_and_roles) {
  auto why = [](const protocol_options& options) -> std::string {
    try {
      make_xrf_raster(options)->view("spectre");
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  };
  EXPECT_THAT(why({{"rows", "0"}}), HasSubstr("option rows: '0' is no whole number from 1"));
  EXPECT_THAT(why({{"drift", "much"}}), HasSubstr("option drift: 'much' is no number from 0 to 0.5"));
  EXPECT_THAT(why({{"colour", "1"}}), HasSubstr("option colour: is unknown"));
  EXPECT_THAT(why({}), HasSubstr("'spectre' is no role of this scene; there are spectra, positions, i0"));
}

} // namespace
} // namespace dtranspose
