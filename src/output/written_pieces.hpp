/// Writing in pieces: what is left when the system took only a part.
#pragma once

#include <cstddef>
#include <span>

#include <sys/uio.h>

namespace dtranspose {

/// The pieces behind the first `written` bytes; cuts the one that they end in.
inline std::span<iovec> behind(std::span<iovec> pieces, std::size_t written) {
  while (!pieces.empty() && written >= pieces[0].iov_len) {
    written -= pieces[0].iov_len;
    pieces = pieces.subspan(1);
  }
  if (!pieces.empty()) {
    pieces[0].iov_base = static_cast<char*>(pieces[0].iov_base) + written;
    pieces[0].iov_len -= written;
  }
  return pieces;
}

} // namespace dtranspose
