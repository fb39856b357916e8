/// A sample on a turntable in a parallel X-ray beam: a camera's projections with darks and flats before them,
/// and the angle of the turntable.
#pragma once

#include <filesystem>
#include <memory>

#include "beamline/scene.hpp"

namespace dtranspose {

// clang-format off
/// Roles: `projections` (stins), `angle` (panda_tcp).
///
/// | option      | values       | default |                                                                     |
/// | ----------- | ------------ | ------- | ------------------------------------------------------------------- |
/// | rows        | 1 to 16384   | 2048    | of the camera, along the axis of rotation                           |
/// | columns     | 8 to 16384   | 2048    | of the camera                                                       |
/// | darks       | from 0       | 20      | frames without beam, which come first                               |
/// | flats       | from 0       | 40      | frames without sample, which follow                                 |
/// | projections | from 1       | 1000    |                                                                     |
/// | range       | degrees      | 180     | angle of projection n: n * range / projections                      |
/// | centre      | pixels       | 3.5     | of the axis of rotation from the middle of the columns              |
/// | slabs       | 1 to 16      | 4       | the sample is a stack of so many slabs of equal height              |
/// | absorption  | 0 to 20      | 1.5     | of a ray along the diameter of the largest ellipse                  |
/// | light       | 1 to 60000   | 20000   | counts of a bright pixel without sample                             |
/// | noise       | true, false  | true    | false: every number is what it is in the mean, rounded              |
/// | seed        | whole number | 1       |                                                                     |
///
/// Within a slab every slice is alike: ellipses, whose line integrals are exact. Pixels are uint16: an offset with
/// a pattern of columns, and light in stripes and fading to the edges, times exp(-line integral). Noise is that of
/// as many photons as there are counts, and 2 counts of the camera's own.
///
/// With slices in pixels from the axis (x along columns at angle 0, y along the beam), a point is seen at column
/// s = x cos(angle) + y sin(angle) + axis.
std::shared_ptr<const scene> make_tomography(const protocol_options& options,
                                             const std::filesystem::path& folder = {});
// clang-format on

} // namespace dtranspose
