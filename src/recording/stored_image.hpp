/// Images as recordings hold them: nothing is decompressed.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/compression.hpp"

namespace dtranspose {

struct stored_image {
  dtype type = dtype::uint16;
  std::vector<std::size_t> shape; ///< slowest axis first
  /// Nothing for one that is not known here.
  std::optional<codec> how = codec::none;
  std::size_t element_size = 0; ///< of the bit-shuffling, in bytes
  /// One blob with all of it, or one for each index of the first axis, little endian. Views of the stream
  /// data.
  std::vector<std::span<const std::byte>> blobs;

  /// Compressed bytes and shape say how it is stored: `bslz4` may be told from `bslz4_bare` by its bytes
  /// alone.
  bool is_same_kind(const stored_image& other) const {
    return type == other.type && shape == other.shape && how == other.how;
  }
};

/// The image in `data`, of the first channel where there are several; nothing for starts, ends, types that
/// carry none, and for what is not understood.
std::optional<stored_image> stored_image_of(const stream_data& data);

/// `none`, `lz4_block`, `lz4`, `bslz4`, `bslz4_bare`; `unknown` for nothing.
std::string_view name_of(const std::optional<codec>& how);

} // namespace dtranspose
