/// Bit-shuffling: the bits of the elements of a block, sorted by their place in the element. Small numbers
/// leave long runs of zero bits, which LZ4 then shortens.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace dtranspose {

//  A block of n elements of E bytes (E = 1, 2, 4, 8; n a multiple of 8) is 8 * E rows of n bits. Row
//  k = 8 * byte + bit holds that bit of all elements, where byte 0 is the least significant one of a
//  little-endian element; element j is at byte j / 8 of its row, bit j % 8.

/// Whether blocks of elements of this size can be shuffled.
constexpr bool can_be_shuffled(std::size_t element_size) {
  return element_size == 1 || element_size == 2 || element_size == 4 || element_size == 8;
}

/// Takes `in`, a shuffled block, apart into `out`, the elements; the two do not overlap. Both are
/// `in.size()` bytes, a multiple of 8 * element_size. Callable from any thread.
void bit_unshuffle(std::size_t element_size, std::span<const std::byte> in, std::byte* out);

/// The reverse: `in` holds elements, `out` becomes the shuffled block.
void bit_shuffle(std::size_t element_size, std::span<const std::byte> in, std::byte* out);

/// One way to do it. All of them give the same bytes.
struct bit_shuffle_kernel {
  using function = void (*)(std::size_t element_size, std::span<const std::byte> in, std::byte* out);

  std::string_view name;
  function unshuffle;
  function shuffle;
};

/// Those that this machine can run, the fastest last: that one is used.
std::span<const bit_shuffle_kernel> bit_shuffle_kernels();

} // namespace dtranspose
