/// A sample under a small X-ray beam, moved line by line: fluorescence spectra, positions, incident
/// intensity.
#pragma once

#include <filesystem>
#include <memory>

#include "beamline/scene.hpp"

namespace dtranspose {

// clang-format off
/// Roles: `spectra` (xspress3), `positions` (contrast), `i0` (albaem).
///
/// | option     | values             | default |                                                           |
/// | ---------- | ------------------ | ------- | --------------------------------------------------------- |
/// | rows       | 1 to 3000          | 60      | lines of the raster                                       |
/// | columns    | 1 to 3000          | 80      | points of a line                                          |
/// | step       | um                 | 0.5     | between points and between lines                          |
/// | exposure   | s                  | 0.01    |                                                           |
/// | elements   | 1 to 64            | 4       | detector elements                                         |
/// | bins       | 16 to 65536        | 4096    | of each spectrum                                          |
/// | gain       | keV                | 0.01    | width of a bin; bin 0 is centred at 0                     |
/// | energy     | keV, 5 to 100      | 12      | of the beam                                               |
/// | count_rate | 1/s                | 100000  | that a detector element sees where all of the sample is   |
/// | drift      | 0 to 0.5           | 0.05    | of the incident intensity, as a fraction                  |
/// | noise      | true, false        | true    | false: every number is what it is in the mean, rounded    |
/// | seed       | whole number       | 1       |                                                           |
///
/// The sample has smooth elements (Ca, K), sharp ones (Fe in grains, Cu in bars) and a ring of Zn; beside
/// their K lines spectra have the elastic and the Compton peak and a continuum. Lines are Gaussians with the
/// width of a silicon detector: noise of 0.1 keV, Fano factor 0.114, 3.85 eV for each pair. A detector element is
/// blind for 7 ticks of 12.5 ns after each photon it counts and for 90 more ticks of resets, and says so in its
/// counters.
std::shared_ptr<const scene> make_xrf_raster(const protocol_options& options,
                                             const std::filesystem::path& folder = {});
// clang-format on

} // namespace dtranspose
