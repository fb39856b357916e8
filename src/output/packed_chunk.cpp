#include "output/packed_chunk.hpp"

#include <stdexcept>

#include <zlib.h>

namespace dtranspose {

namespace {

/// The first bytes of all elements, then the second ones, and so on.
void shuffle(std::span<const std::byte> from, std::size_t element, std::byte* to) {
  auto count = from.size() / element;
  for (std::size_t k = 0; k < element; ++k)
    for (std::size_t i = 0; i < count; ++i) *to++ = from[i * element + k];
}

void unshuffle(const std::byte* from, std::size_t element, std::span<std::byte> to) {
  auto count = to.size() / element;
  for (std::size_t k = 0; k < element; ++k)
    for (std::size_t i = 0; i < count; ++i) to[i * element + k] = *from++;
}

} // namespace

bool pack_chunk(std::span<const std::byte> chunk, std::size_t element, int level,
                std::vector<std::byte>& packed) {
  std::vector<std::byte> shuffled(chunk.size());
  shuffle(chunk, element, shuffled.data());
  packed.resize(::compressBound(chunk.size()));
  auto size = static_cast<uLongf>(packed.size());
  auto status = ::compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                            reinterpret_cast<const Bytef*>(shuffled.data()), shuffled.size(), level);
  if (status != Z_OK) throw std::runtime_error("a chunk cannot be packed");
  packed.resize(size);
  return size < chunk.size();
}

void unpack_chunk(std::span<const std::byte> packed, std::size_t element, std::span<std::byte> chunk) {
  std::vector<std::byte> shuffled(chunk.size());
  auto size = static_cast<uLongf>(shuffled.size());
  auto status = ::uncompress(reinterpret_cast<Bytef*>(shuffled.data()), &size,
                             reinterpret_cast<const Bytef*>(packed.data()), packed.size());
  if (status != Z_OK || size != chunk.size()) throw std::runtime_error("a chunk cannot be unpacked");
  unshuffle(shuffled.data(), element, chunk);
}

} // namespace dtranspose
