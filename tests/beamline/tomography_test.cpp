#include "beamline/tomography.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

constexpr std::size_t rows = 24, columns = 90, slabs = 3;
constexpr std::uint64_t darks = 2, flats = 3, projections = 36;

protocol_options options(protocol_options more = {}) {
  more.insert({{"rows", "24"},
               {"columns", "90"},
               {"slabs", "3"},
               {"darks", "2"},
               {"flats", "3"},
               {"projections", "36"}});
  return more;
}

std::vector<std::uint16_t> image(const scene& s, std::uint64_t frame) {
  std::vector<std::uint16_t> pixels(rows * columns);
  s.view("projections").camera->fill(frame, std::as_writable_bytes(std::span(pixels)));
  return pixels;
}

template <class T>
std::span<const T> at(const value_map& truth, std::string_view name) {
  return truth.find(name)->as_array()->elements<T>();
}

/// Counts of a pixel in the mean, out of truth alone.
double expected(const value_map& truth, std::uint64_t frame, std::size_t row, std::size_t column) {
  double dark = at<float>(truth, "dark")[column], flat = at<float>(truth, "flat")[row * columns + column];
  if (frame < darks) return dark;
  if (frame < darks + flats) return dark + flat;
  auto slab = static_cast<std::size_t>(at<std::int32_t>(truth, "slab_of_row")[row]);
  auto n = frame - darks - flats;
  return dark + flat * std::exp(-at<float>(truth, "sinograms")[(slab * projections + n) * columns + column]);
}

TEST(tomography, shows_darks_flats_and_projections) {
  auto s = make_tomography(options({{"noise", "false"}}));
  auto truth = s->truth();
  ASSERT_EQ(s->frames(), darks + flats + projections);
  for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
    EXPECT_EQ(at<std::int32_t>(truth, "image_key")[frame], frame < 2 ? 2 : frame < 5 ? 1 : 0);
    auto pixels = image(*s, frame);
    for (std::size_t i = 0; i < pixels.size(); ++i)
      ASSERT_NEAR(pixels[i], expected(truth, frame, i / columns, i % columns), 0.51) << frame << " " << i;
  }
}

/// Sums through the slices at right angles, where the grid of the slices is that of the rays.
TEST(tomography, has_sinograms_that_are_line_integrals_of_the_slices) {
  auto truth = make_tomography(options({{"centre", "0"}}))->truth();
  auto slices = at<float>(truth, "slices"), sinograms = at<float>(truth, "sinograms");
  for (std::size_t slab = 0; slab < slabs; ++slab) {
    double off_0 = 0, off_90 = 0, total = 0;
    for (std::size_t k = 0; k < columns; ++k) {
      double along_y = 0, along_x = 0;
      for (std::size_t i = 0; i < columns; ++i) {
        along_y += slices[(slab * columns + i) * columns + k];
        along_x += slices[(slab * columns + k) * columns + i];
      }
      // 36 projections of 5 degrees: number 18 is at 90 degrees.
      off_0 += std::abs(sinograms[slab * projections * columns + k] - along_y);
      off_90 += std::abs(sinograms[(slab * projections + 18) * columns + k] - along_x);
      total += along_x;
    }
    // Pixels at the edges of the ellipses are either in or out.
    EXPECT_LT(off_0, 0.03 * total) << slab;
    EXPECT_LT(off_90, 0.03 * total) << slab;
  }
  // Slabs differ, and so do angles.
  auto one_slab = sinograms.first(projections * columns),
       next_slab = sinograms.subspan(projections * columns);
  EXPECT_FALSE(std::equal(one_slab.begin(), one_slab.end(), next_slab.begin()));
  EXPECT_NE(sinograms[30], sinograms[18 * columns + 30]);
}

/// At any angle the centre of mass of a projection is where that of the slice is seen.
TEST(tomography, turns_the_sample_about_the_axis) {
  auto truth = make_tomography(options({{"centre", "4.5"}}))->truth();
  auto slices = at<float>(truth, "slices"), sinograms = at<float>(truth, "sinograms");
  double axis = *truth.find("axis")->as_number();
  EXPECT_EQ(axis, 44.5 + 4.5);
  for (std::size_t slab = 0; slab < slabs; ++slab) {
    double mass = 0, x = 0, y = 0;
    for (std::size_t i = 0; i < columns; ++i)
      for (std::size_t j = 0; j < columns; ++j) {
        double density = slices[(slab * columns + i) * columns + j];
        mass += density;
        x += density * (static_cast<double>(j) - 44.5);
        y += density * (static_cast<double>(i) - 44.5);
      }
    for (std::size_t n = 0; n < projections; ++n) {
      auto angle = static_cast<double>(n) * 5 * std::numbers::pi / 180;
      double seen = 0, sum = 0;
      for (std::size_t k = 0; k < columns; ++k) {
        double p = sinograms[(slab * projections + n) * columns + k];
        sum += p;
        seen += p * static_cast<double>(k);
      }
      EXPECT_NEAR(seen / sum, axis + (x * std::cos(angle) + y * std::sin(angle)) / mass, 0.15);
    }
  }
}

TEST(tomography, has_the_noise_of_photons_and_of_the_camera) {
  auto s = make_tomography(options());
  auto truth = s->truth();
  double chi2 = 0, light = 0;
  int n = 0;
  for (std::uint64_t frame = 0; frame < s->frames(); ++frame) {
    auto pixels = image(*s, frame);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      auto mean = expected(truth, frame, i / columns, i % columns);
      auto variance = mean - at<float>(truth, "dark")[i % columns] + 4;
      chi2 += (pixels[i] - mean) * (pixels[i] - mean) / variance;
      light += mean;
      ++n;
    }
  }
  EXPECT_NEAR(chi2 / n, 1, 0.03);
  EXPECT_GT(light / n, 1000);
}

TEST(tomography, is_the_same_for_the_same_seed) {
  auto one = make_tomography(options()), same = make_tomography(options());
  EXPECT_EQ(image(*one, 9), image(*same, 9));
  EXPECT_NE(image(*one, 9), image(*one, 10));
  EXPECT_NE(image(*one, 9), image(*make_tomography(options({{"seed", "2"}})), 9));
}

TEST(tomography, reads_the_angle) {
  auto s = make_tomography(options());
  auto truth = s->truth();
  auto readings = s->view("angle").readings;
  for (std::uint64_t frame = 0; frame < s->frames(); ++frame)
    EXPECT_EQ(readings->at(frame)[0], at<double>(truth, "angle")[frame]);
  EXPECT_EQ(at<double>(truth, "angle")[4], 0);
  EXPECT_EQ(at<double>(truth, "angle")[5 + 18], 90);
}

} // namespace
} // namespace dtranspose
