#include "analysis/azimuthal_integrator.hpp"

#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>

#include <gmock/gmock.h>

#include "analysis/images.hpp"

namespace dtranspose {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Sums of one image in one blob.
template <class T>
integral_sums integrate(const azimuthal_integrator& integrator, const std::vector<T>& pixels,
                        std::optional<valid_values> valid = {}) {
  frame blob(pixels.data(), pixels.size() * sizeof(T));
  image_view image{dtype_for<T>(), {integrator.rows(), integrator.columns()}, {&blob, 1}};
  azimuthal_integrator::scratch memory;
  integral_sums sums;
  integrator.integrate(image, valid.value_or(usual_values(image.type)), memory, sums);
  return sums;
}

std::vector<double> intensities(const integral_sums& sums) {
  std::vector<double> all;
  for (std::size_t i = 0; i < sums.norm.size(); ++i)
    all.push_back(sums.norm[i] > 0 ? sums.signal[i] / sums.norm[i] : nan);
  return all;
}

poni_geometry small() { return {.pixel1 = 1e-3, .pixel2 = 1e-3, .distance = 0.1, .wavelength = 1e-10}; }

/// Tilted, the beam inside of the image.
poni_geometry tilted() {
  return {.pixel1 = 1e-4,
          .pixel2 = 1.2e-4,
          .distance = 0.1,
          .poni1 = 0.012,
          .poni2 = -0.003,
          .rot1 = -0.06,
          .rot2 = 0.03,
          .rot3 = 0.3,
          .wavelength = 1e-10};
}

/// Figures that pyFAI gave, method "no".
TEST(azimuthal_integrator, an_example_by_pyfai) {
  azimuthal_integrator integrator({.geometry = small(), .splitting = pixel_splitting::none, .bins = 4}, 4, 4);
  std::vector<std::uint16_t> pixels(16);
  std::iota(pixels.begin(), pixels.end(), std::uint16_t{0});
  auto sums = integrate(integrator, pixels);
  const double centres[] = {0.7771407, 1.4428621, 2.1085836, 2.7743050};
  const double norms[] = {2.9991753, 2.997377, 6.9874945, 2.990799}, signals[] = {5, 15, 60, 40};
  const double means[] = {1.667125, 5.0043755, 8.586769, 13.374352};
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(integrator.radial_axis()[k], centres[k], 2e-7);
    EXPECT_EQ(sums.signal[k], signals[k]);
    EXPECT_NEAR(sums.norm[k], norms[k], 1e-6);
    EXPECT_NEAR(intensities(sums)[k], means[k], 1e-6);
    EXPECT_EQ(sums.variance[k], signals[k]); // whole pixels
  }
}

/// The definition of the bounding box, pixel by pixel and bin by bin, with trigonometry of its own.
struct plain_integral {
  std::vector<double> signal, variance, norm;

  plain_integral(const poni_geometry& g, std::size_t rows, std::size_t columns, double low, double high,
                 std::size_t bins, const std::vector<double>& pixels)
      : signal(bins), variance(bins), norm(bins) {
    poni_detector detector(g, rows, columns);
    auto q = [&](double row, double column) {
      auto d = detector.direction_of(row, column);
      return 4e-9 * std::numbers::pi / g.wavelength * std::sin(0.5 * std::atan2(std::hypot(d.x, d.y), d.z));
    };
    auto width = (high * (1 + 1.1920928955078125e-07) - low) / static_cast<double>(bins);
    for (std::size_t i = 0; i < rows * columns; ++i) {
      auto row = static_cast<double>(i / columns), column = static_cast<double>(i % columns);
      auto centre = q(row + 0.5, column + 0.5);
      double half = 0;
      for (auto [r, c] : {std::pair{0, 0}, {0, 1}, {1, 0}, {1, 1}})
        half = std::max(half, std::abs(q(row + r, column + c) - centre));
      auto n = detector.solid_angle(detector.direction_of(row + 0.5, column + 0.5));
      for (std::size_t k = 0; k < bins; ++k) {
        auto from = std::max(low + static_cast<double>(k) * width, centre - half);
        auto to = std::min(low + static_cast<double>(k + 1) * width, centre + half);
        auto fraction = std::max(to - from, 0.0) / (2 * half);
        signal[k] += fraction * pixels[i];
        variance[k] += fraction * fraction * pixels[i];
        norm[k] += fraction * n;
      }
    }
  }
};

TEST(azimuthal_integrator, the_bounding_box_is_what_its_definition_says) {
  const std::size_t rows = 40, columns = 53;
  std::mt19937 random(7);
  std::vector<double> pixels(rows * columns);
  for (auto& x : pixels) x = random() % 1000;
  for (std::size_t bins : {1, 7, 30, 100, 400}) { // pixels lie in one bin, or in dozens
    const double low = 2, high = 9.5;
    plain_integral expected(tilted(), rows, columns, low, high, bins, pixels);
    azimuthal_integrator integrator({.geometry = tilted(), .bins = bins, .range = {{low, high}}}, rows,
                                    columns);
    auto sums = integrate(integrator, pixels);
    for (std::size_t k = 0; k < bins; ++k) {
      EXPECT_NEAR(sums.signal[k], expected.signal[k], 2e-7 * expected.signal[k] + 1e-4) << bins << " " << k;
      EXPECT_NEAR(sums.variance[k], expected.variance[k], 4e-7 * expected.variance[k] + 1e-4)
          << bins << " " << k;
      EXPECT_NEAR(sums.norm[k], expected.norm[k], 2e-7 * expected.norm[k] + 1e-7) << bins << " " << k;
    }
  }
}

/// A detector that sees the same everywhere, after all that it is corrected for.
TEST(azimuthal_integrator, an_even_sample_is_even_in_every_bin) {
  const std::size_t rows = 60, columns = 80;
  auto g = tilted();
  poni_detector detector(g, rows, columns);
  std::mt19937 random(1);
  std::uniform_real_distribution<float> sensitivity(0.5, 1.5);
  integration_setup setup{.geometry = g, .bins = 90, .polarisation = 0.95};
  std::vector<double> pixels(rows * columns);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    setup.flat.push_back(sensitivity(random));
    setup.dark.push_back(10 * sensitivity(random));
    setup.mask.push_back(random() % 10 == 0);
    auto d =
        detector.direction_of(static_cast<double>(i / columns) + 0.5, static_cast<double>(i % columns) + 0.5);
    auto norm =
        detector.solid_angle(d) * polarisation_factor(d, 0.95) * static_cast<double>(setup.flat.back());
    pixels[i] = setup.mask.back() != 0 ? 1e6 : 42 * norm + static_cast<double>(setup.dark.back());
  }
  for (auto splitting : {pixel_splitting::none, pixel_splitting::bounding_box})
    for (std::size_t around : {0, 12})
      for (auto unit : {radial_unit::q_per_nm, radial_unit::q_per_angstrom, radial_unit::degrees,
                        radial_unit::radian, radial_unit::millimetres, radial_unit::metres}) {
        setup.splitting = splitting;
        setup.azimuthal_bins = around;
        setup.unit = unit;
        azimuthal_integrator integrator(setup, rows, columns);
        auto sums = integrate(integrator, pixels);
        EXPECT_EQ(sums.norm.size(), 90 * std::max<std::size_t>(around, 1));
        std::size_t filled = 0;
        for (std::size_t k = 0; k < sums.norm.size(); ++k)
          if (sums.norm[k] > 1e-3) {
            EXPECT_NEAR(sums.signal[k] / sums.norm[k], 42, 2e-4);
            ++filled;
          }
        EXPECT_GT(filled, 80u);
      }
}

/// Pixels are shared out, but none is lost or counted twice.
TEST(azimuthal_integrator, a_full_turn_of_sectors_adds_up_to_the_whole) {
  const std::size_t rows = 70, columns = 90;
  std::mt19937 random(3);
  std::vector<std::uint32_t> pixels(rows * columns);
  for (auto& x : pixels) x = static_cast<std::uint32_t>(random() % 50);
  auto total = std::accumulate(pixels.begin(), pixels.end(), 0.0);
  auto g = tilted();
  g.poni1 = 0.006, g.poni2 = 0.005, g.rot1 = g.rot2 = 0; // the beam in the image
  for (auto splitting : {pixel_splitting::none, pixel_splitting::bounding_box}) {
    integration_setup setup{.geometry = g, .splitting = splitting, .bins = 50, .range = {{0, 30}}};
    auto line = integrate(azimuthal_integrator(setup, rows, columns), pixels);
    setup.azimuthal_bins = 18;
    for (double from : {-180.0, 0.0, -75.0}) {
      setup.azimuth_range = {from, from + 360};
      auto cake = integrate(azimuthal_integrator(setup, rows, columns), pixels);
      for (std::size_t k = 0; k < 50; ++k) {
        double signal = 0, norm = 0;
        for (std::size_t j = 0; j < 18; ++j) {
          signal += cake.signal[j * 50 + k];
          norm += cake.norm[j * 50 + k];
        }
        EXPECT_NEAR(signal, line.signal[k], 1e-6 * line.signal[k] + 1e-4) << k;
        EXPECT_NEAR(norm, line.norm[k], 1e-6 * line.norm[k] + 1e-6) << k;
      }
    }
    // But for the part of the pixels in the beam that lies below 0.
    EXPECT_NEAR(std::accumulate(line.signal.begin(), line.signal.end(), 0.0), total, 100);
  }
}

TEST(azimuthal_integrator, sectors) {
  auto g = small();
  g.poni1 = g.poni2 = 0.01;
  const std::size_t side = 20;
  std::vector<float> pixels(side * side);
  for (std::size_t i = 0; i < pixels.size(); ++i) // 1 right, 2 above, 3 left, 4 below, as columns and rows go
    pixels[i] = [&] {
      auto y = static_cast<double>(i / side) - 9.5, x = static_cast<double>(i % side) - 9.5;
      return std::abs(x) > std::abs(y) ? (x > 0 ? 1.f : 3.f) : (y > 0 ? 2.f : 4.f);
    }();
  auto mean = [&](double from, double to) {
    integration_setup setup{.geometry = g,
                            .splitting = pixel_splitting::none,
                            .bins = 1,
                            .azimuth_range = {{from, to}},
                            .solid_angle = false};
    return intensities(integrate(azimuthal_integrator(setup, side, side), pixels))[0];
  };
  EXPECT_EQ(mean(-40, 40), 1);
  EXPECT_EQ(mean(50, 130), 2);
  EXPECT_EQ(mean(140, 220), 3);
  EXPECT_EQ(mean(-220, -140), 3);
  EXPECT_EQ(mean(-130, -50), 4);
  EXPECT_NEAR(mean(-180, 180), 2.5, 0.3);
}

template <class T>
class integrator_of : public testing::Test {};
TYPED_TEST_SUITE(integrator_of, test::pixel_types);

TYPED_TEST(integrator_of, types_blobs_and_addresses_do_not_matter) {
  using T = TypeParam;
  const std::size_t rows = 33, columns = 41;
  std::mt19937 random(11);
  std::vector<T> pixels(rows * columns);
  std::vector<double> reals;
  for (auto& x : pixels) reals.push_back(static_cast<double>(x = static_cast<T>(random() % 100)));
  for (std::size_t bins : {20, 300}) {
    azimuthal_integrator integrator({.geometry = tilted(), .bins = bins}, rows, columns);
    auto expected = integrate(integrator, reals);
    EXPECT_EQ(integrate(integrator, pixels).signal, expected.signal);
    EXPECT_EQ(integrate(integrator, pixels).variance, expected.variance);
    // A blob for each row, shifted by a byte.
    std::vector<std::vector<std::byte>> kept;
    std::vector<frame> blobs;
    for (std::size_t row = 0; row < rows; ++row) {
      auto bytes = std::as_bytes(std::span(pixels).subspan(row * columns, columns));
      kept.emplace_back(1);
      kept.back().insert(kept.back().end(), bytes.begin(), bytes.end());
    }
    for (auto& k : kept) blobs.emplace_back(k.data() + 1, k.size() - 1);
    azimuthal_integrator::scratch memory;
    integral_sums sums;
    integrator.integrate({dtype_for<T>(), {rows, columns}, blobs}, usual_values(dtype_for<T>()), memory,
                         sums);
    for (std::size_t k = 0; k < bins; ++k) EXPECT_NEAR(sums.signal[k], expected.signal[k], 1e-9);
    EXPECT_EQ(sums.norm, expected.norm);
  }
}

/// What marks a pixel as bad in an image does what the mask would.
TYPED_TEST(integrator_of, pixels_that_do_not_count_leave_the_norm) {
  using T = TypeParam;
  const std::size_t rows = 33, columns = 41;
  std::mt19937 random(5);
  std::vector<T> bad;
  if constexpr (std::is_floating_point_v<T>)
    bad = {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(),
           -std::numeric_limits<T>::infinity()};
  else if constexpr (std::is_signed_v<T>)
    bad = {T{-1}, std::numeric_limits<T>::min()};
  else
    bad = {std::numeric_limits<T>::max()};
  for (std::size_t bins : {20, 300}) {
    integration_setup setup{.geometry = tilted(), .bins = bins, .range = {{2, 9}}};
    setup.dark.resize(rows * columns);
    for (auto& x : setup.dark) x = static_cast<float>(random() % 5);
    azimuthal_integrator plain(setup, rows, columns);
    azimuthal_integrator::scratch memory;
    for (int round = 0; round < 3; ++round) {
      std::vector<T> pixels(rows * columns);
      setup.mask.assign(rows * columns, 0);
      for (std::size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = static_cast<T>(random() % 100);
        if (random() % 5 != 0 && i / columns > 3) continue; // the first rows are missing altogether
        pixels[i] = bad[random() % bad.size()];
        setup.mask[i] = 1;
      }
      azimuthal_integrator masked(setup, rows, columns);
      auto expected = integrate(masked, pixels);
      for (int again = 0; again < 2; ++again) { // the second time it is known which
        frame blob(pixels.data(), pixels.size() * sizeof(T));
        integral_sums sums;
        plain.integrate({dtype_for<T>(), {rows, columns}, {&blob, 1}}, usual_values(dtype_for<T>()), memory,
                        sums);
        for (std::size_t k = 0; k < bins; ++k) {
          EXPECT_NEAR(sums.signal[k], expected.signal[k], 1e-8);
          EXPECT_NEAR(sums.variance[k], expected.variance[k], 1e-8);
          EXPECT_NEAR(sums.norm[k], expected.norm[k], 1e-10);
          EXPECT_EQ(sums.norm[k] == 0, expected.norm[k] == 0);
        }
      }
    }
  }
}

TEST(azimuthal_integrator, limits_of_values) {
  azimuthal_integrator integrator(
      {.geometry = small(), .splitting = pixel_splitting::none, .bins = 1, .solid_angle = false}, 2, 2);
  auto sums = integrate(integrator, std::vector<float>{-5, 3, 7, 100}, valid_values{0, 10});
  EXPECT_EQ(sums.signal[0], 10);
  EXPECT_EQ(sums.norm[0], 2);
  // Below 0 there is no variance.
  sums = integrate(integrator, std::vector<float>{-5, 3, 7, 100});
  EXPECT_EQ(sums.signal[0], 105);
  EXPECT_EQ(sums.variance[0], 110);
}

TEST(azimuthal_integrator, nothing_but_zeros_and_nothing_at_all) {
  azimuthal_integrator integrator({.geometry = tilted(), .bins = 20}, 33, 41);
  auto zeros = integrate(integrator, std::vector<std::uint16_t>(33 * 41));
  for (std::size_t k = 0; k < 20; ++k) {
    EXPECT_EQ(zeros.signal[k], 0);
    EXPECT_EQ(zeros.variance[k], 0);
    EXPECT_GT(zeros.norm[k], 0);
  }
  auto none = integrate(integrator, std::vector<float>(33 * 41, std::nanf("")));
  EXPECT_THAT(none.norm, testing::Each(0.0));
  EXPECT_THAT(none.signal, testing::Each(0.0));
}

TEST(azimuthal_integrator, what_cannot_be_integrated_is_refused) {
  auto refusal = [](integration_setup setup, std::size_t rows = 10, std::size_t columns = 10) -> std::string {
    try {
      azimuthal_integrator integrator(setup, rows, columns);
      return {};
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
  };
  EXPECT_EQ(refusal({.geometry = small()}), "");
  EXPECT_THAT(refusal({.geometry = small(), .mask = std::vector<float>(100, 1)}), testing::HasSubstr("mask"));
  EXPECT_THAT(refusal({.geometry = small(), .mask = std::vector<float>(99)}), testing::HasSubstr("shape"));
  EXPECT_THAT(refusal({.geometry = small(), .flat = std::vector<float>(100, std::nanf(""))}),
              testing::HasSubstr("flat"));
  EXPECT_THAT(refusal({.geometry = small(), .range = {{1000, 1001}}}), testing::HasSubstr("range"));
  EXPECT_THAT(refusal({.geometry = small()}, 0, 10), testing::HasSubstr("without pixels"));
  auto g = small();
  g.wavelength = 0;
  EXPECT_THAT(refusal({.geometry = g}), testing::HasSubstr("wavelength"));
  EXPECT_EQ(refusal({.geometry = g, .unit = radial_unit::degrees}), "");
  EXPECT_EQ(refusal({.geometry = small()}, 1, 1), "");
}

} // namespace
} // namespace dtranspose
