/// X-ray emission lines of elements, and what happens to their photons in a silicon detector.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

struct emission_line {
  double energy_kev = 0;
  double fraction = 0; ///< of the group
};

/// Lines of an element that rise and fall together.
struct line_group {
  std::string name;                 ///< e.g. `Fe_K`
  std::vector<emission_line> lines; ///< by falling fraction; the fractions add up to 1
};

/// The group that is written as an element with a shell, `Fe_K`, `Fe-K`, `Pb_L`, `Pb_L3`, `U_M`, or as an
/// element alone: then the K lines, or where those are not excited or have less than `least_kev`, L or M.
/// Energies and relative intensities at the incident energy are xraylib's (`LineEnergy`,
/// `CS_FluorLine_Kissel`). Throws std::invalid_argument for what is none, and where no line is excited.
line_group find_line_group(std::string_view written, double incident_kev, double least_kev = 1);

/// Energy that photons of silicon take with them when they escape, and from where on they can.
inline constexpr double silicon_escape_kev = 1.740, silicon_edge_kev = 1.839;

/// Counts in the escape peak for each count in the peak of a line, for normal incidence on silicon (Reed and
/// Ware): p / (1 - p), p = 0.5 w r (1 - m ln(1 + 1 / m)), where w is the fluorescence yield of silicon's K
/// shell, r = 1 - 1 / (jump ratio), and m the ratio of silicon's attenuation for its own K photons to that
/// for the line's. 0 below the edge.
double escape_ratio(double energy_kev);

/// Energy of a photon of `energy_kev` after Compton scattering by that angle.
double compton_kev(double energy_kev, double angle_degrees);

} // namespace dtranspose
