/// Chunks of HDF5 data sets, packed as its own filters do: shuffle, then deflate.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dtranspose {

/// The levels of deflate: 1 is the fastest, 9 packs most.
inline constexpr int fastest_deflate = 1, best_deflate = 9;

/// Replaces `packed` by what the filters make of a chunk with elements of that size; false where that is no
/// shorter, and the chunk is better written as it is.
bool pack_chunk(std::span<const std::byte> chunk, std::size_t element, int level,
                std::vector<std::byte>& packed);

/// The way back. Throws std::runtime_error where `packed` does not become exactly `chunk`.
void unpack_chunk(std::span<const std::byte> packed, std::size_t element, std::span<std::byte> chunk);

} // namespace dtranspose
