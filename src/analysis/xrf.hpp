/// `xrf`: X-ray fluorescence spectra, fitted as sums of element line groups, as maps of the sample.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// Per event: spectra of an Xspress3 are corrected for their dead time, summed over the detector elements,
/// counted in windows and fitted. Over the scan: maps by position, normalised to the incident intensity.
/// docs/analyses/xrf.md has parameters, results and formulae.
std::unique_ptr<analysis> make_xrf_analysis();

} // namespace dtranspose
