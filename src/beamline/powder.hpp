/// A powder in an X-ray beam: rings on an area detector, a camera that looks at the beam, the incident
/// intensity, points of a scan.
#pragma once

#include <filesystem>
#include <memory>

#include "beamline/scene.hpp"

namespace dtranspose {

// clang-format off
/// Roles: `rings` (stins), `beam` (stins), `i0` (albaem), `points` (sardana).
///
/// | option      | values       | default  |                                                                    |
/// | ----------- | ------------ | -------- | ------------------------------------------------------------------ |
/// | geometry    | a path       | required | .poni file: detector, distance, beam centre, tilt, wavelength      |
/// | frames      | from 1       | 1000     |                                                                    |
/// | peak        | 0 to 1e6     | 30       | counts of a pixel on the strongest ring                            |
/// | background  | 0 to 1e6     | 2        | counts of a pixel near the beam                                    |
/// | ring_width  | 1/nm         | 0.15     | standard deviation of a ring in q                                  |
/// | drift       | 0 to 0.5     | 0.1      | of the incident intensity, as a fraction                           |
/// | levels      | 1 to 64      | 4        | steps in which the intensity changes                               |
/// | variants    | 1 to 64      | 4        | noises that each piece of an image takes at each level             |
/// | camera      | ROWSxCOLUMNS | 1200x1920| pixels of the camera, uint16                                       |
/// | beam_width  | pixels       | 15       | standard deviation of the beam along columns, 0.7 of it along rows |
/// | wander      | 0 to 0.4     | 0.05     | amplitude of the beam's movement, as a fraction of the camera      |
/// | noise       | true, false  | true     | false: every number is what it is in the mean, rounded             |
/// | seed        | whole number | 1        |                                                                    |
///
/// The powder is LaB6 (a = 0.415682 nm). The detector is made of modules of 195 by 487 pixels with gaps of 17 rows
/// and 7 columns, where pixels are -1, as Pilatus detectors are; pixels are int32.
///
/// Images are put together from pieces of 2048 pixels (one block of bitshuffle's) that were compressed before: for
/// each piece one of `variants` is drawn, so that images differ, but noise comes again.
std::shared_ptr<const scene> make_powder(const protocol_options& options,
                                         const std::filesystem::path& folder = {});
// clang-format on

} // namespace dtranspose
