/// Geometry of a flat detector as .poni files of pyFAI describe it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace dtranspose {

/// Lengths in metres, angles in radian. Axis 1 runs along rows' numbers (slow), axis 2 along columns'
/// (fast), both from the outer corner of pixel (0, 0).
struct poni_geometry {
  double pixel1 = 0, pixel2 = 0;
  double distance = 0;
  double poni1 = 0, poni2 = 0; ///< foot of the perpendicular from the sample
  double rot1 = 0, rot2 = 0, rot3 = 0;
  double wavelength = 0; ///< 0: not told
  int orientation = 3;   ///< which corner pixel (0, 0) is at, as pyFAI numbers them: 1 to 4
  struct extent {
    std::size_t rows, columns;
    bool operator==(const extent&) const = default;
  };
  std::optional<extent> shape = {}; ///< of the detector, where it is told

  bool operator==(const poni_geometry&) const = default;
};

/// Reads the text of a .poni file, versions 1 to 2.1, or the JSON object of the same keys. Detectors whose
/// names begin with `Eiger` or `Pilatus` need not tell their size of pixels. Throws std::invalid_argument
/// that names the key at fault.
poni_geometry parse_poni(std::string_view text);

/// What a place on the detector sees.
struct poni_direction {
  double x = 0, y = 0, z = 0; ///< m, from the sample: along axis 1, along axis 2, along the beam
};

/// A geometry for images of one shape, ready to be asked for many places.
class poni_detector {
 public:
  poni_detector(const poni_geometry& geometry, std::size_t rows, std::size_t columns);

  /// Of a place in pixels from the outer corner of element [0, 0] of the image: its middle is at 0.5.
  poni_direction direction_of(double row, double column) const {
    const double a = (flip_rows_ ? rows_ - row : row) * g_.pixel1 - g_.poni1;
    const double b = (flip_columns_ ? columns_ - column : column) * g_.pixel2 - g_.poni2;
    return {a * x_[0] + b * x_[1] + x_[2], a * y_[0] + b * y_[1] + y_[2], a * z_[0] + b * z_[1] + z_[2]};
  }

  /// Solid angle of a pixel there, relative to one at the foot of the perpendicular: the cube of the cosine
  /// of incidence.
  double solid_angle(const poni_direction& d) const;

 private:
  poni_geometry g_;
  double rows_, columns_;
  bool flip_rows_, flip_columns_;
  double x_[3], y_[3], z_[3]; ///< factors of a and b, and what is added
};

/// |scattering vector| = 4 pi / wavelength sin(theta), in 1/nm; the wavelength in metres.
double scattering_vector(const poni_direction& d, double wavelength);
/// rad
double two_theta(const poni_direction& d);
/// From the beam, across it, in metres.
double radius(const poni_direction& d);
/// Around the beam, rad from -pi to pi: 0 along axis 2, pi / 2 along axis 1.
double azimuth(const poni_direction& d);
/// How much of a beam of that degree of polarisation, (horizontal - vertical) / all, is scattered there,
/// relative to forward.
double polarisation_factor(const poni_direction& d, double degree);

} // namespace dtranspose
