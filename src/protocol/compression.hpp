/// Compressed arrays as detectors send them: LZ4 with and without bit-shuffling, in HDF5's framing and
/// without.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

namespace dtranspose {

/// Why a blob could not be decompressed, with sizes and the block at which it failed.
class corrupt_blob : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class codec : std::uint8_t {
  none,       ///< the bytes as they are
  lz4_block,  ///< one plain LZ4 block without any header
  lz4,        ///< HDF5 filter 32004: 12 bytes of header, then blocks
  bslz4,      ///< HDF5 filter 32008: 12 bytes of header, then bit-shuffled blocks
  bslz4_bare, ///< the same blocks without the header, in bitshuffle's default block size
};

/// Decompresses `blob` into all of `out`. `element_size` is that of the bit-shuffling, in bytes (1, 2, 4, 8);
/// not looked at by the others. Throws corrupt_blob when the blob is not exactly that, or when elements of
/// that size are not shuffled; `out` then holds anything. Allocates no more than some bytes beyond the size
/// of `out`, whatever the blob announces. Callable from any thread.
void decompress(codec how, std::size_t element_size, std::span<const std::byte> blob,
                std::span<std::byte> out);

/// `bslz4`, or `bslz4_bare` where the first 8 bytes do not announce `out_bytes`: for producers that leave the
/// header out. Only an array without a single block (of less than 8 elements) can be mistaken.
codec bslz4_form(std::span<const std::byte> blob, std::size_t out_bytes);

/// The compressed form of `in`, for senders. Throws std::invalid_argument when `in` is not whole elements of
/// a size that can be shuffled (for the shuffled ones only), std::length_error when it is too large for one
/// block of LZ4 (2 GB).
std::vector<std::byte> compress(codec how, std::size_t element_size, std::span<const std::byte> in);

} // namespace dtranspose
