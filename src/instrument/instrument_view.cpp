#include "instrument/instrument_view.hpp"

#include "protocol/array_view.hpp"
#include "protocol/compression.hpp"

namespace dtranspose {

std::vector<std::byte> camera_view::compressed(std::uint64_t frame) const {
  std::vector<std::byte> pixels(bytes_of(shape(), type()));
  fill(frame, pixels);
  return compress(codec::bslz4, size_of(type()), pixels);
}

} // namespace dtranspose
