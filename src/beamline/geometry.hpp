/// Where the pixels of a flat detector are, as .poni files of pyFAI tell.
#pragma once

#include <cstddef>
#include <filesystem>

namespace dtranspose {

struct detector_geometry {
  std::size_t rows = 0, columns = 0;
  double pixel1 = 0, pixel2 = 0; ///< m, along rows and columns
  double distance = 0;           ///< m, of the sample from the detector's plane
  double poni1 = 0, poni2 = 0;   ///< m, foot of the perpendicular, from the outer corner of pixel (0, 0)
  double rot1 = 0, rot2 = 0, rot3 = 0; ///< rad
  double wavelength = 0;               ///< m
};

/// Reads a .poni file of version 2: `Detector_config` must tell `pixel1`, `pixel2` and `max_shape`, and there
/// must be a `Wavelength`. Throws std::runtime_error that names the file and what is missing.
detector_geometry read_geometry(const std::filesystem::path& file);

/// What scattering angle a place on the detector sees; both in pixels from the outer corner, so that the
/// middle of pixel (0, 0) is at 0.5.
struct scattering {
  double q = 0; ///< 1/nm
  double solid_angle =
      0; ///< relative to where the beam is perpendicular: the cube of the cosine of incidence
};
scattering scattering_at(const detector_geometry& geometry, double row, double column);

/// Where the primary beam hits the detector, in pixels as above.
struct detector_place {
  double row = 0, column = 0;
};
detector_place beam_centre(const detector_geometry& geometry);

} // namespace dtranspose
