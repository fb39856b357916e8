/// A generated series of Contrast: a mesh scan with its heartbeats.
#pragma once

#include <cstdint>
#include <memory>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// A heartbeat, started, `frames` points with heartbeats between them, finished, a heartbeat. Options:
///
/// | option          | values                | default             |                                      |
/// | --------------- | --------------------- | ------------------- | ------------------------------------ |
/// | columns         | from 1                | root of `frames`    | points of a row of the mesh          |
/// | motors          | 0 to 1000             | 2                   | fields `motor1` ..: floats           |
/// | counters        | 0 to 1000             | 3                   | `COUNTER1.OUT_Value` .. in `panda0`  |
/// | readings        | 1 to 1000000          | 1                   | elements of each array in `panda0`   |
/// | positions       | float, array          | float               | what `sx` and `sy` are               |
/// | heartbeat_every | from 0                | 10                  | points; 0: no heartbeats at all      |
/// | scannr          | whole number          | 1                   |                                      |
/// | end             | finished, interrupted | finished            | status of the end                    |
///
/// A point has `sx`, which steps from row to row, and `sy`, which steps within a row (both from -2 to 2,
/// within a hundredth of a step), the map `pseudo` with arrays `x`, `y` of one element near them, the map
/// `panda0`, the link `xspress3`, and `sent_ns`, which is `CLOCK_REALTIME`. `shape` and `type` are not used.
/// With a view its columns are fields of these names, `sx` and `sy` among them (0 where they are missing);
/// the description is its title. Throws std::runtime_error for an unknown option or a value that it can't
/// have.
std::unique_ptr<series_generator> make_contrast_series(const series_settings& settings);

/// Where the point of that number is: `sx` and `sy`. Throws as `make_contrast_series`.
struct contrast_position {
  double sx = 0, sy = 0;
};
contrast_position contrast_series_position(const series_settings& settings, std::uint64_t number);

} // namespace dtranspose
