#include "recording/zstd.hpp"

#include <algorithm>
#include <iterator>
#include <new>
#include <string>

#include <zstd.h>
#include <zstd_errors.h>

namespace dtranspose {

namespace {

struct free_context {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

std::string at(std::size_t place, const std::string& what) {
  return "byte " + std::to_string(place) + " of its zstd data: " + what;
}

/// Unpacks up to the end or as far as it goes; returns why it went no further.
std::string unpack_frames(std::span<const std::byte> packed, growing_content& content, unpacked& result) {
  std::unique_ptr<ZSTD_DCtx, free_context> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  for (;;) {
    auto room = content.room();
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    auto left = ZSTD_decompressStream(context.get(), &out, &in);
    content.filled_up_to(room.data() + out.pos);
    if (ZSTD_isError(left)) {
      if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) throw std::bad_alloc();
      return at(in.pos, ZSTD_getErrorName(left));
    }
    if (left == 0) {
      result.whole_packed = in.pos;
      result.whole_size = content.size();
      if (in.pos == in.size) return {};
    } else if (in.pos == in.size && out.pos < out.size) {
      return at(in.pos, "cut off");
    }
  }
}

} // namespace

bool is_zstd(std::span<const std::byte> bytes) {
  constexpr std::byte magic[] = {std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f}, std::byte{0xfd}};
  return bytes.size() >= sizeof magic && std::equal(std::begin(magic), std::end(magic), bytes.begin());
}

unpacked unpack_zstd(std::span<const std::byte> packed, std::size_t limit, std::size_t in_memory) {
  growing_content content(limit, in_memory, "unzstd");
  unpacked result;
  result.cut_off = unpack_frames(packed, content, result);
  content.finish(result);
  return result;
}

} // namespace dtranspose
