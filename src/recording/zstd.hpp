/// Zstandard around recordings: it is unpacked as far as it can be.
#pragma once

#include <cstddef>
#include <span>

#include "recording/unpacked.hpp"

namespace dtranspose {

/// Do these first bytes of a file begin Zstandard?
bool is_zstd(std::span<const std::byte> bytes);

/// Unpacks all frames, one behind the other: the first `in_memory` bytes into memory, more into a file that
/// is mapped. Throws std::runtime_error when that is more than `limit` bytes or has no room, std::bad_alloc
/// when there is no memory for it.
unpacked unpack_zstd(std::span<const std::byte> packed, std::size_t limit = unpacked_limit,
                     std::size_t in_memory = unpacked_in_memory);

} // namespace dtranspose
