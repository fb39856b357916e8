/// A generated series of an Xspress3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// So many different spectra are made, which images take by turns: those of image n, counted from the start
/// of the series, are those of n modulo this.
inline constexpr std::uint64_t xspress3_patterns = 4;

/// Start, `frames` images, end. `shape` is [channels, bins], with a view that of the spectrometer; `type` is
/// not used, spectra are uint32. Headers of images have `sent_ns`, which is `CLOCK_REALTIME`. Options:
///
/// | option      | values           | default     |                                                        |
/// | ----------- | ---------------- | ----------- | ------------------------------------------------------ |
/// | form        | multipart, old   | multipart   | an image is one message, or three                      |
/// | segments    | 1 to `frames`    | 1           | parts, each of which has `frame` from 0 on             |
/// | counters    | 8, 9             | 9; old: 8   | arrays for each image; 9: the start has their names    |
/// | pickle      | 3, 4             | 4; old: 3   | protocol of the counters                               |
/// | exptime     | true, false      | true        | do images tell it?                                     |
/// | compression | true, false      | true        | likewise                                               |
///
/// Throws std::runtime_error for an unknown option, a value that it can't have, and other shapes.
std::unique_ptr<series_generator> make_xspress3_series(const series_settings& settings);

/// The spectra of that pattern, [channels, bins]: two peaks, whose heights differ between channels, on a
/// background from 0 to 3 counts. Equal for equal arguments on every machine.
void fill_spectra(std::span<std::uint32_t> spectra, std::size_t channels, std::uint64_t seed,
                  std::uint64_t pattern);

} // namespace dtranspose
