/// gzip around recordings: it is unpacked into memory, as far as it can be.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

namespace dtranspose {

/// What is unpacked is held in memory as a whole, and a few megabytes can ask for gigabytes: more than this
/// is better unpacked to a file once, which is then mapped.
inline constexpr std::size_t gzip_limit = std::size_t{4} << 30;

/// Do these first bytes of a file begin gzip?
bool is_gzip(std::span<const std::byte> bytes);

struct free_memory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

/// What gzip held.
struct unpacked_gzip {
  std::unique_ptr<std::byte, free_memory> memory; ///< null if it held nothing
  std::size_t size = 0;
  /// Empty, or at which byte of the packed ones it cannot be read on and why; everything before is there.
  std::string cut_off;
};

/// Unpacks all members, one behind the other. Throws std::runtime_error when that is more than `limit`
/// bytes, std::bad_alloc when there is no memory for it.
unpacked_gzip unpack_gzip(std::span<const std::byte> packed, std::size_t limit = gzip_limit);

} // namespace dtranspose
