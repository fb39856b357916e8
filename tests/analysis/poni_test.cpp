#include "analysis/poni.hpp"

#include <numbers>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

const std::string usual = "poni_version: 2\n"
                          "Detector: Detector\n"
                          "Detector_config: {\"pixel1\": 1e-3, \"pixel2\": 2e-3, \"max_shape\": [4, 6]}\n"
                          "Distance: 0.1\nPoni1: 0.01\nPoni2: 0.02\nRot1: 0.1\nRot2: -0.05\nRot3: 0.3\n"
                          "Wavelength: 1e-10\n";

std::string without(const std::string& key) {
  std::string text;
  for (std::size_t at = 0; at < usual.size();) {
    auto end = usual.find('\n', at) + 1;
    auto line = usual.substr(at, end - at);
    if (!line.starts_with(key)) text += line;
    at = end;
  }
  return text;
}

TEST(poni, version_2) {
  auto g = parse_poni(usual);
  EXPECT_EQ(g.pixel1, 1e-3);
  EXPECT_EQ(g.pixel2, 2e-3);
  EXPECT_EQ(g.distance, 0.1);
  EXPECT_EQ(g.poni1, 0.01);
  EXPECT_EQ(g.poni2, 0.02);
  EXPECT_EQ(g.rot1, 0.1);
  EXPECT_EQ(g.rot2, -0.05);
  EXPECT_EQ(g.rot3, 0.3);
  EXPECT_EQ(g.wavelength, 1e-10);
  EXPECT_EQ(g.orientation, 3);
  ASSERT_TRUE(g.shape);
  EXPECT_EQ(g.shape->rows, 4u);
  EXPECT_EQ(g.shape->columns, 6u);
}

TEST(poni, the_last_of_a_key_counts_and_comments_do_not) {
  auto g = parse_poni(usual + "# Distance: 7\r\n no colon\r\n distance : 0.25 \r\n");
  EXPECT_EQ(g.distance, 0.25);
}

TEST(poni, older_and_newer_versions) {
  auto old = parse_poni(
      "PixelSize1: 1e-4\nPixelSize2: 2e-4\nDist: 0.3\nPoni1: 0\nPoni2: 0\nRot1: 0\nRot2: 0\nRot3: 0\n"
      "SplineFile: None\n");
  EXPECT_EQ(old.pixel2, 2e-4);
  EXPECT_EQ(old.distance, 0.3);
  EXPECT_EQ(old.wavelength, 0);
  EXPECT_FALSE(old.shape);
  auto known = without("Detector") + "Detector: Eiger2_4M\nDetector_config: {\"orientation\": 2}\n";
  EXPECT_EQ(parse_poni(known).pixel1, 75e-6);
  EXPECT_EQ(parse_poni(known).orientation, 2);
  EXPECT_EQ(parse_poni(without("Detector") + "Detector: Pilatus2M\n").pixel1, 172e-6);
  auto json = parse_poni(R"({"poni_version": 2.1, "detector": "Detector", "dist": 0.1, "poni1": 1, "poni2": 2,
    "rot1": 0, "rot2": 0, "rot3": 0, "wavelength": null,
    "detector_config": {"pixel1": 1e-3, "pixel2": 1e-3, "max_shape": null, "orientation": 4}})");
  EXPECT_EQ(json.poni2, 2);
  EXPECT_EQ(json.orientation, 4);
}

TEST(poni, what_is_missing_or_wrong_is_named) {
  for (auto& [text, named] : std::vector<std::pair<std::string, std::string>>{
           {"", "distance"},
           {without("Distance"), "distance"},
           {without("Rot2"), "rot2"},
           {without("Poni1") + "Poni1: near\n", "poni1"},
           {without("Poni1") + "Poni1: nan\n", "poni1"},
           {without("Distance") + "Distance: -1\n", "distance"},
           {without("Wavelength") + "Wavelength: 0\n", "wavelength"},
           {without("Detector_config"), "pixel1"},
           {without("Detector_config") + "Detector_config: {]\n", "Detector_config"},
           {without("Detector_config") + "Detector_config: {\"pixel1\": \"wide\"}\n", "Detector_config"},
           {without("Detector_config") + "Detector_config: {\"pixel1\": 1e-3, \"pixel2\": -1e-3}\n",
            "pixel2"},
           {without("Detector_config") +
                "Detector_config: {\"pixel1\": 1, \"pixel2\": 1, \"orientation\": 9}\n",
            "orientation"},
           {usual + "SplineFile: /a/file.spline\n", "SplineFile"},
       })
    try {
      parse_poni(text);
      ADD_FAILURE() << "took " << text;
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(named));
    }
}

/// Figures that pyFAI gave: 4 x 4 pixels of 1 mm at 0.1 m, without tilt.
TEST(poni, an_example_by_pyfai) {
  poni_geometry g{.pixel1 = 1e-3, .pixel2 = 1e-3, .distance = 0.1};
  poni_detector detector(g, 4, 4);
  auto d = detector.direction_of(0.5, 3.5);
  EXPECT_NEAR(two_theta(d), 0.03534062, 1e-8);
  EXPECT_NEAR(azimuth(d), 0.14189706, 1e-8);
  EXPECT_NEAR(scattering_vector(d, 1e-10), 2.2204011, 1e-7);
  EXPECT_NEAR(detector.solid_angle(d), 0.99812793, 1e-8);
  EXPECT_NEAR(polarisation_factor(d, 0.99), 0.9987825, 1e-7);
}

/// Rotations one by one, written out as matrices, against their product.
TEST(poni, rotations_and_the_textbook_formulae) {
  auto g = parse_poni(usual);
  poni_detector detector(g, 4, 6);
  for (double row : {0.0, 1.5, 4.0})
    for (double column : {0.0, 2.5, 6.0}) {
      double v[3] = {row * g.pixel1 - g.poni1, column * g.pixel2 - g.poni2, g.distance};
      auto cos_alpha = g.distance / std::hypot(v[0], v[1], v[2]);
      auto turn = [&](int a, int b, double angle) {
        auto x = v[a], y = v[b];
        v[a] = std::cos(angle) * x - std::sin(angle) * y;
        v[b] = std::sin(angle) * x + std::cos(angle) * y;
      };
      turn(1, 2, -g.rot1); // left-handed
      turn(0, 2, g.rot2);
      turn(0, 1, g.rot3);
      auto d = detector.direction_of(row, column);
      EXPECT_NEAR(d.x, v[0], 1e-15);
      EXPECT_NEAR(d.y, v[1], 1e-15);
      EXPECT_NEAR(d.z, v[2], 1e-15);
      auto tth = std::atan2(std::hypot(v[0], v[1]), v[2]), chi = std::atan2(v[0], v[1]);
      EXPECT_NEAR(scattering_vector(d, 1e-10), 40 * std::numbers::pi * std::sin(tth / 2), 1e-12);
      EXPECT_NEAR(detector.solid_angle(d), std::pow(cos_alpha, 3), 1e-14);
      auto squared = std::cos(tth) * std::cos(tth);
      EXPECT_NEAR(polarisation_factor(d, 0.9), 0.5 * (1 + squared - 0.9 * std::cos(2 * chi) * (1 - squared)),
                  1e-14);
    }
}

TEST(poni, behind_the_sample_and_in_the_beam) {
  EXPECT_EQ(scattering_vector({0, 0, 1}, 1e-10), 0);
  EXPECT_NEAR(scattering_vector({0, 0, -1}, 1e-10), 40 * std::numbers::pi, 1e-12);
  EXPECT_NEAR(scattering_vector({0, 1, -1}, 1e-10),
              40 * std::numbers::pi * std::sin(3 * std::numbers::pi / 8), 1e-12);
}

TEST(poni, orientations_turn_the_image) {
  auto g = parse_poni(usual);
  auto at = [&](int orientation, double row, double column) {
    g.orientation = orientation;
    auto d = poni_detector(g, 4, 6).direction_of(row, column);
    return std::array{d.x, d.y, d.z};
  };
  auto usual_place = at(3, 0.5, 1.5);
  EXPECT_EQ(at(1, 3.5, 4.5), usual_place);
  EXPECT_EQ(at(2, 3.5, 1.5), usual_place);
  EXPECT_EQ(at(4, 0.5, 4.5), usual_place);
}

} // namespace
} // namespace dtranspose
