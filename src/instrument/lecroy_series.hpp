/// A generated series of a LeCroy oscilloscope.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "instrument/series_generator.hpp"

namespace dtranspose {

/// Prepare, sequences with traces of each channel, stop. `frames` counts sequences. Options:
///
/// | option   | values                     | what                                          |
/// | -------- | -------------------------- | --------------------------------------------- |
/// | mode     | continuous, sequential     | one start for all, or one for each sequence   |
/// | channels | `2,4`, or up to 64 numbers | of which there are traces                     |
/// | triggers | 1 to 65536; 20             | traces of a channel in a sequence             |
/// | samples  | 1 to 2^28; 8002            | of each trace                                 |
///
/// In continuous mode there is one trigger, and `triggers` is none of its options. Throws std::runtime_error
/// for an unknown option or a value that it can't have, and for traces of more than 2^31 bytes.
std::unique_ptr<series_generator> make_lecroy_series(const series_settings& settings);

/// What is generated for one channel in a sequence: `triggers` * `samples` numbers, V.
std::vector<double> lecroy_series_samples(std::uint64_t seed, std::uint64_t sequence, std::uint64_t channel,
                                          std::size_t triggers, std::size_t samples);

/// When they were triggered, s since 1970.
std::vector<double> lecroy_series_times(std::uint64_t sequence, std::size_t triggers);

} // namespace dtranspose
