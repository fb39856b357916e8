/// A generated series of AlbaEM.
#pragma once

#include <cstdint>
#include <memory>

#include "instrument/series_generator.hpp"
#include "protocol/albaem.hpp"

namespace dtranspose {

/// Start, readings numbered from 0, end. Options:
///
/// | option     | values            | what                                          |
/// | ---------- | ----------------- | --------------------------------------------- |
/// | channels   | 0 to 1000; 4      | how many, numbered from 1                     |
/// | varying    | false, true       | every third reading lacks its last channel    |
/// | overflow   | false, true       | the end tells of a read overflow              |
/// | message_id | a whole number; 1 | of the start                                  |
///
/// With a view channel 1 is its first column, in A, and so on; `channels` and `varying` don't matter.
///
/// Throws std::runtime_error for an unknown option or a value that it can't have.
std::unique_ptr<series_generator> make_albaem_series(const series_settings& settings);

/// What is generated for reading `frame`, without the clock of the sender: message numbers count from 1.
albaem_reading albaem_series_reading(std::uint64_t seed, std::uint64_t frame, std::uint32_t channels,
                                     bool varying = false);

} // namespace dtranspose
