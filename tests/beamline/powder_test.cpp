#include "beamline/powder.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>

#include <gtest/gtest.h>

#include "beamline/geometry.hpp"
#include "protocol/compression.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

/// A detector of two by one modules with the beam on it, straight or tilted.
class powder : public testing::Test {
 protected:
  static constexpr std::size_t rows = 300, columns = 487;

  detector_geometry write_geometry(double rot1 = 0, double rot2 = 0) {
    std::ofstream(folder.path() / "d.poni")
        << "# a comment: none\nponi_version: 2\nDetector: Detector\n"
        << R"(Detector_config: {"pixel1": 0.0002, "pixel2": 0.0001, "max_shape": [300, 487]})"
        << "\nDistance: 0.1\nPoni1: 0.02\nPoni2: 0.03\nRot1: " << rot1 << "\nRot2: " << rot2
        << "\nRot3: 0.2\nWavelength: 5e-11\n";
    return read_geometry(folder.path() / "d.poni");
  }

  std::shared_ptr<const scene> make(protocol_options options) const {
    options.emplace("geometry", "d.poni");
    options.emplace("frames", "40");
    options.emplace("camera", "120x160");
    options.emplace("beam_width", "6");
    return make_powder(options, folder.path());
  }

  template <class T>
  static std::vector<T> image(const scene& s, std::string_view role, std::uint64_t frame) {
    auto camera = s.view(role).camera;
    std::vector<T> pixels(camera->shape()[0] * camera->shape()[1]);
    camera->fill(frame, std::as_writable_bytes(std::span(pixels)));
    return pixels;
  }

  test::temporary_directory folder;
};

const array& array_in(const value_map& truth, std::string_view group, std::string_view name) {
  return *truth.find(group)->find(name)->as_array();
}

double number_in(const value_map& truth, std::string_view group, std::string_view name) {
  return *truth.find(group)->find(name)->as_number();
}

TEST_F(powder, wants_a_geometry) {
  EXPECT_THROW(make_powder({{"geometry", "missing.poni"}}, folder.path()), std::runtime_error);
  EXPECT_THROW(make_powder({}, folder.path()), std::runtime_error);
  write_geometry();
  EXPECT_THROW(make({{"variants", "0"}}), std::runtime_error);
  EXPECT_THROW(make_powder({{"geometry", "d.poni"}, {"camera", "1200"}}, folder.path()), std::runtime_error);
}

/// Along the row through the beam centre, counts are highest at the radius that Bragg's law gives each ring.
TEST_F(powder, has_rings_at_their_radius) {
  auto g = write_geometry();
  auto s = make({{"noise", "false"}, {"peak", "10000"}, {"background", "0"}, {"ring_width", "0.2"}});
  auto pixels = image<std::int32_t>(*s, "rings", 0);
  auto row = static_cast<std::size_t>(beam_centre(g).row);
  auto centre = beam_centre(g).column;
  int rings = 0;
  for (int squares : {1, 2, 3}) {
    auto two_theta = 2 * std::asin(5e-11 * std::sqrt(squares) / (2 * 0.415682e-9));
    auto radius = 0.1 * std::tan(two_theta) / 1e-4;
    auto expected = centre - radius - 0.5;
    if (expected < 10) continue;
    auto from = pixels.begin() + static_cast<long>(row * columns) + std::lround(expected) - 8;
    auto highest = std::max_element(from, from + 17) - from;
    EXPECT_NEAR(static_cast<double>(std::lround(expected) - 8 + highest), expected, 1.0) << squares;
    EXPECT_GT(from[highest], 2000) << squares;
    ++rings;
  }
  EXPECT_GE(rings, 2);
}

/// All pixels of a tilted detector: rings are where truth says, gaps are -1.
TEST_F(powder, has_the_profile_that_truth_tells) {
  auto g = write_geometry(0.05, -0.08);
  auto s = make({{"noise", "false"}, {"peak", "10000"}, {"levels", "1"}});
  auto truth = s->truth();
  auto q = array_in(truth, "rings", "q").elements<double>();
  auto heights = array_in(truth, "rings", "heights").elements<double>();
  auto sigma = number_in(truth, "rings", "sigma_q"), background = number_in(truth, "rings", "background");
  auto pixels = image<std::int32_t>(*s, "rings", 3);
  for (std::size_t row = 0; row < rows; row += 7)
    for (std::size_t column = 0; column < columns; ++column) {
      auto found = pixels[row * columns + column];
      if (row >= 195 && row < 212) {
        EXPECT_EQ(found, -1);
        continue;
      }
      auto at = scattering_at(g, static_cast<double>(row) + 0.5, static_cast<double>(column) + 0.5);
      auto expected = background * std::exp(-at.q / 40);
      for (std::size_t i = 0; i < q.size(); ++i)
        expected += heights[i] * std::exp(-0.5 * (at.q - q[i]) * (at.q - q[i]) / (sigma * sigma));
      ASSERT_NEAR(found, expected * at.solid_angle, 0.51 + 1e-5 * expected) << row << " " << column;
    }
}

TEST_F(powder, sends_compressed_what_it_sends_plain) {
  write_geometry();
  auto s = make({});
  auto rings = s->view("rings").camera;
  for (std::uint64_t frame : {0, 1, 39}) {
    std::vector<std::int32_t> unpacked(rows * columns);
    decompress(codec::bslz4, 4, rings->compressed(frame), std::as_writable_bytes(std::span(unpacked)));
    EXPECT_EQ(unpacked, image<std::int32_t>(*s, "rings", frame));
  }
  EXPECT_EQ(rings->compressed(5), make({})->view("rings").camera->compressed(5));
  EXPECT_NE(rings->compressed(5), rings->compressed(6));
  EXPECT_NE(rings->compressed(5), make({{"seed", "2"}})->view("rings").camera->compressed(5));
}

TEST_F(powder, knows_the_sum_of_its_images) {
  write_geometry();
  auto s = make({});
  auto truth = s->truth();
  auto totals = array_in(truth, "rings", "totals").elements<std::int64_t>();
  std::vector<std::int64_t> sum(rows * columns);
  for (std::uint64_t frame = 0; frame < 40; ++frame) {
    auto pixels = image<std::int32_t>(*s, "rings", frame);
    EXPECT_EQ(totals[frame], std::accumulate(pixels.begin(), pixels.end(), std::int64_t{0}));
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += pixels[i];
  }
  auto told = array_in(truth, "rings", "sum").elements<std::int64_t>();
  EXPECT_TRUE(std::equal(sum.begin(), sum.end(), told.begin(), told.end()));
}

TEST_F(powder, has_poisson_noise_around_the_expected_image) {
  write_geometry();
  auto s = make({{"levels", "1"}});
  auto truth = s->truth();
  auto mean = array_in(truth, "rings", "image").elements<float>();
  auto pixels = image<std::int32_t>(*s, "rings", 11);
  double chi2 = 0;
  int n = 0;
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (mean[i] < 0) continue;
    chi2 += (pixels[i] - mean[i]) * (pixels[i] - mean[i]) / mean[i];
    ++n;
  }
  EXPECT_NEAR(chi2 / n, 1, 0.02);
}

TEST_F(powder, has_the_beam_where_truth_says) {
  write_geometry();
  for (auto noise : {"false", "true"}) {
    auto s = make({{"noise", noise}});
    auto truth = s->truth();
    auto row = array_in(truth, "beam", "row").elements<double>();
    auto column = array_in(truth, "beam", "column").elements<double>();
    for (std::uint64_t frame = 0; frame < 40; frame += 3) {
      auto pixels = image<std::uint16_t>(*s, "beam", frame);
      double sum = 0, rows_sum = 0, columns_sum = 0;
      for (std::size_t i = 0; i < pixels.size(); ++i) {
        auto light = std::max(0.0, pixels[i] - 64.0 - 20); // a threshold above the noise
        sum += light;
        rows_sum += light * static_cast<double>(i / 160);
        columns_sum += light * static_cast<double>(i % 160);
      }
      auto near = noise == std::string_view("true") ? 0.1 : 0.01;
      EXPECT_NEAR(rows_sum / sum, row[frame], near) << frame;
      EXPECT_NEAR(columns_sum / sum, column[frame], near) << frame;
    }
    EXPECT_GT(std::abs(column[30] - column[0]), 1); // it moves
  }
}

TEST_F(powder, reads_intensity_and_points) {
  write_geometry();
  auto s = make({});
  auto truth = s->truth();
  auto i0 = truth.find("i0")->as_array()->elements<double>();
  auto x = truth.find("sample_x")->as_array()->elements<double>();
  for (std::uint64_t frame = 0; frame < 40; ++frame) {
    EXPECT_NEAR(s->view("i0").readings->at(frame)[0], i0[frame], 6e-3 * i0[frame]);
    EXPECT_EQ(s->view("points").readings->at(frame)[0], x[frame]);
  }
  EXPECT_EQ(x[0], -1);
  EXPECT_EQ(x[39], 1);
}

} // namespace
} // namespace dtranspose
