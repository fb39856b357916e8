/// Fluorescence spectra as sums of element line groups: the model, and the fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "analysis/xrf_lines.hpp"

namespace dtranspose {

/// How channels and energies belong together: channel c is about zero + gain * c (keV), and a line of energy
/// E is a Gaussian of full width at half maximum sqrt(noise^2 + 2.3548^2 * 0.00385 * fano * E), all in keV.
struct detector_response {
  double zero = 0, gain = 0.01, noise = 0.1, fano = 0.114;

  double energy(double channel) const { return zero + gain * channel; }
  double channel(double energy_kev) const { return (energy_kev - zero) / gain; }
  double sigma(double energy_kev) const;
};

enum class xrf_background : std::uint8_t {
  snip,   ///< taken off beforehand
  smooth, ///< fitted along: straight pieces between knots, nowhere negative
  none,
};

enum class xrf_weights : std::uint8_t {
  model,  ///< 1 / max(expected, 1), as an unweighted fit expects them: without bias for few counts
  counts, ///< 1 / max(counts, 1)
  equal,
};

struct xrf_model {
  detector_response response;
  double incident_kev = 0;
  double low_kev = 0, high_kev = 0; ///< what is fitted
  bool escape = true;               ///< add escape peaks
  bool scatter = true;              ///< fit the elastic and the Compton peak
  double angle_degrees = 90;        ///< of scattering
  double compton_width = 1.5;       ///< of the Compton peak, relative to that of a line of its energy
  xrf_background background = xrf_background::snip;
  std::size_t snip_width = 0;   ///< in channels; 0: twice the full width at half maximum at `high_kev`
  double knot_distance_kev = 1; ///< of a smooth background
  xrf_weights weights = xrf_weights::model;
  std::vector<line_group> groups;
};

/// What a fit finds. Areas are counts of all lines of a group without their escape peaks, whether they are
/// within the fitted range or not.
struct xrf_result {
  std::vector<double> areas;  ///< of the groups, then elastic, Compton
  std::vector<double> errors; ///< standard deviations by counting statistics, at least that of one count
  double chi2 = 0;            ///< sum of squared residuals in standard deviations, per degree of freedom
};

/// Fits spectra of one form. Not for several threads at once.
class xrf_fitter {
 public:
  /// `channels`: of the spectra. Throws std::invalid_argument, in words of the parameters of `xrf`, where a
  /// group has no line in the range, no channels are left or two columns cannot be told apart.
  xrf_fitter(const xrf_model& model, std::size_t channels);
  xrf_fitter(xrf_fitter&&) noexcept;
  ~xrf_fitter();

  /// Of the groups, then `elastic` and `compton`.
  const std::vector<std::string>& names() const;
  std::size_t first_channel() const;
  std::size_t fitted_channels() const;

  /// `spectrum` has all channels. `variance` is that of what stands for a count: more than 1 where counts
  /// were multiplied to make up for dead time.
  const xrf_result& fit(std::span<const double> spectrum, double variance = 1);

  /// Of the last fit, for each fitted channel: the background, and everything together.
  std::span<const double> background() const;
  std::vector<double> fitted() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
