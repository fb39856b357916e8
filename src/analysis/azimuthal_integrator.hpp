/// Azimuthal integration: images into rings about the beam, by a sparse matrix that is made once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/image.hpp"
#include "analysis/pixel_values.hpp"
#include "analysis/poni.hpp"

namespace dtranspose {

/// What bins along the first axis count.
enum class radial_unit : std::uint8_t { q_per_nm, q_per_angstrom, degrees, radian, millimetres, metres };

struct radial_unit_info {
  std::string_view name;  ///< as pyFAI calls it: `q_nm^-1`, `2th_deg`, ...
  std::string_view axis;  ///< of the data set: `q`, `two_theta`, `radius`
  std::string_view units; ///< `1/nm`, `deg`, ...
};
const radial_unit_info& info_of(radial_unit unit);
/// The unit of that name; nothing for any other text.
std::optional<radial_unit> radial_unit_of(std::string_view name);

/// How a pixel is spread over bins.
enum class pixel_splitting : std::uint8_t {
  none,         ///< whole into the bin of its middle
  bounding_box, ///< evenly over [x - d, x + d], d being how far x is at the farthest of its corners
};

struct integration_setup {
  poni_geometry geometry;
  radial_unit unit = radial_unit::q_per_nm;
  pixel_splitting splitting = pixel_splitting::bounding_box;
  std::size_t bins = 1000;
  std::size_t azimuthal_bins = 0;                              ///< 0: no second axis
  std::optional<std::pair<double, double>> range = {};         ///< in `unit`; else all pixels in use
  std::optional<std::pair<double, double>> azimuth_range = {}; ///< degrees, of at most a full turn
  bool solid_angle = true;
  std::optional<double> polarisation = {}; ///< degree of; nothing: no correction
  /// Of the image's shape or empty: not 0 is left out; subtracted; divided by.
  std::vector<float> mask = {}, dark = {}, flat = {};
};

/// The sums that integrals are made of, for each bin; bins of the first axis are neighbours.
struct integral_sums {
  std::vector<double> signal;   ///< sum of fraction * (I - dark)
  std::vector<double> variance; ///< sum of fraction^2 * I, I below 0 being 0
  std::vector<double> norm;     ///< sum of fraction * flat * solid angle * polarisation; 0: no pixel
};

/// Immutable, and used from any number of threads, each with a scratch of its own.
class azimuthal_integrator {
 public:
  /// Throws std::invalid_argument when no pixel is left, and where the setup contradicts itself.
  azimuthal_integrator(const integration_setup& setup, std::size_t rows, std::size_t columns);

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t bins() const { return bins_; }
  std::size_t azimuthal_bins() const { return azimuthal_bins_; } ///< 0: no second axis

  /// Middles of the bins, in the unit, and in degrees.
  const std::vector<double>& radial_axis() const { return radial_axis_; }
  const std::vector<double>& azimuthal_axis() const { return azimuthal_axis_; }
  /// Bytes that it holds.
  std::size_t bytes() const;

  class scratch;
  /// Requires an image of as many pixels as rows() * columns(). What is left out of it leaves the norm too.
  void integrate(const image_view& image, const valid_values& valid, scratch& memory,
                 integral_sums& sums) const;

 private:
  friend class integrator_builder;

  /// `width_` neighbouring bins from `first` on that take a part of a pixel. Every pixel has one at its place
  /// in `first_` and `weights_`, of weight 0 if it is not in use; what does not fit in there has more of
  /// them.
  struct part {
    std::uint32_t pixel, first;
    float weights[4];
  };

  template <class T, std::size_t width>
  void add(const image_view& image, const valid_values& valid, scratch& memory, integral_sums& sums) const;
  template <class T, std::size_t width>
  void add_pixels(const std::byte* pixels, std::size_t first, std::size_t n, const valid_values& valid,
                  scratch& memory) const;
  template <class T, std::size_t width>
  void add_parts(const image_view& image, const valid_values& valid, scratch& memory) const;
  void leave_out(scratch& memory) const;

  std::uint64_t id_; ///< of this one alone
  std::size_t rows_, columns_, bins_, azimuthal_bins_;
  std::size_t all_bins_;  ///< of both axes; one more takes what belongs to none
  std::size_t width_ = 2; ///< 2 or 4
  std::vector<double> radial_axis_, azimuthal_axis_;
  std::vector<std::uint32_t> first_;     ///< bin, by pixel
  std::vector<float> weights_;           ///< `width_` of each pixel
  std::vector<part> parts_;              ///< by pixel
  std::vector<float> pixel_norm_, dark_; ///< by pixel; `dark_` may be empty
  std::vector<double> norm_, dark_sum_;  ///< by bin
  std::vector<std::uint32_t> count_;     ///< pixels, by bin
};

/// Memory of one thread; it may serve several integrators, one after the other.
class azimuthal_integrator::scratch {
 private:
  friend class azimuthal_integrator;
  std::uint64_t owner_ = 0; ///< whose sums are below
  void take_cells(std::size_t bytes);

  struct freed {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, freed> cells_; ///< sums by first bin of a part
  std::size_t capacity_ = 0;                ///< bytes
  std::vector<std::uint32_t> left_out_;     ///< pixels of this image
  std::vector<std::uint32_t> known_;        ///< those that the sums below lack
  std::vector<double> norm_, dark_sum_;
};

} // namespace dtranspose
