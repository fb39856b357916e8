#include "beamline/geometry.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;

/// The worked example of pyFAI 0.21: 4 by 4 pixels of 1 mm at 0.1 m.
TEST(geometry, agrees_with_pyfai) {
  detector_geometry g{
      .rows = 4, .columns = 4, .pixel1 = 1e-3, .pixel2 = 1e-3, .distance = 0.1, .wavelength = 1e-10};
  auto at = scattering_at(g, 0.5, 3.5);
  EXPECT_NEAR(at.q, 2.2204011, 1e-7);
  EXPECT_NEAR(at.solid_angle, 0.99812793, 1e-8);
}

TEST(geometry, knows_where_a_tilted_detector_has_the_beam) {
  detector_geometry g{.rows = 300,
                      .columns = 487,
                      .pixel1 = 2e-4,
                      .pixel2 = 1e-4,
                      .distance = 0.1,
                      .poni1 = 0.02,
                      .poni2 = 0.03,
                      .wavelength = 5e-11};
  EXPECT_NEAR(beam_centre(g).row, 100, 1e-9);
  EXPECT_NEAR(beam_centre(g).column, 300, 1e-9);
  g.rot1 = 0.05;
  g.rot2 = -0.08;
  g.rot3 = 0.2;
  auto centre = beam_centre(g);
  EXPECT_LT(scattering_at(g, centre.row, centre.column).q, 1e-9);
  EXPECT_GT(scattering_at(g, centre.row + 1, centre.column).q, 0.1);
}

TEST(geometry, is_read_from_a_file) {
  test::temporary_directory folder;
  auto file = folder / "d.poni";
  std::ofstream(file) << "# Distance: 9\nponi_version: 2\nDetector: Detector\nDistance: 7\n"
                      << R"(Detector_config: {"pixel1": 0.0002, "pixel2": 0.0001, "max_shape": [300, 487]})"
                      << "\nDistance: 0.1\nPoni1: 0.02\nPoni2: 0.03\nRot1: 1e-3\nRot2: -2e-3\nRot3: 3e-3\n"
                      << "Wavelength: 5e-11\n";
  auto g = read_geometry(file);
  EXPECT_EQ(g.rows, 300u);
  EXPECT_EQ(g.columns, 487u);
  EXPECT_EQ(g.pixel1, 2e-4);
  EXPECT_EQ(g.pixel2, 1e-4);
  EXPECT_EQ(g.distance, 0.1); // the last one counts
  EXPECT_EQ(g.poni1, 0.02);
  EXPECT_EQ(g.poni2, 0.03);
  EXPECT_EQ(g.rot1, 1e-3);
  EXPECT_EQ(g.rot2, -2e-3);
  EXPECT_EQ(g.rot3, 3e-3);
  EXPECT_EQ(g.wavelength, 5e-11);
}

TEST(geometry, says_what_is_missing) {
  test::temporary_directory folder;
  auto file = folder / "d.poni";
  auto why = [&](const std::string& text) -> std::string {
    std::ofstream(file) << text;
    try {
      read_geometry(file);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  };
  const std::string detector = "Detector_config: {\"pixel1\":1,\"pixel2\":1,\"max_shape\":[1,1]}\n";
  EXPECT_THAT(why("Distance: 1\n"), HasSubstr("d.poni: there is no usable Detector_config"));
  EXPECT_THAT(why("Detector_config: {\"pixel1\": 1}\n"), HasSubstr("pixel1, pixel2 and max_shape"));
  EXPECT_THAT(why("Detector_config: Pilatus\n"), HasSubstr("pixel1, pixel2 and max_shape"));
  EXPECT_THAT(why(detector + "Distance: far\n"), HasSubstr("there is no usable distance"));
  EXPECT_THAT(why(detector + "Distance: 1\nPoni1: 0\nPoni2: 0\nRot1: 0\nRot2: 0\nRot3: 0\n"),
              HasSubstr("there is no usable wavelength"));
  EXPECT_THAT(
      why(detector + "Distance: 0\nPoni1: 0\nPoni2: 0\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n"),
      HasSubstr("must be above 0"));
  EXPECT_THROW(read_geometry(folder / "none.poni"), std::runtime_error);
}

} // namespace
} // namespace dtranspose
