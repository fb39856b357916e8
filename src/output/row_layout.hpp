/// How results of events lie in a file.
#pragma once

#include <cstdint>

namespace dtranspose {

/// How rows are laid out in the file.
struct row_layout {
  /// Bytes that a chunk aims at, up to 1 MiB; 0: 256 KiB, and of scalars 1024 of them.
  std::uint64_t chunk = 0;
  /// 1 to 9: chunks are shuffled and deflated at that level; 0: they are not packed.
  int deflate = 0;
  /// What a row holds that nothing was set in: 0 instead of the missing value of its type.
  bool zero_is_missing = false;
};

} // namespace dtranspose
