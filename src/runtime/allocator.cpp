#include "runtime/allocator.hpp"

#include <malloc.h>

namespace dtranspose {

void keep_freed_memory() {
  constexpr int mapped_from = 32 << 20; // the largest that glibc takes
  constexpr int kept = 128 << 20;
  mallopt(M_MMAP_THRESHOLD, mapped_from);
  mallopt(M_TRIM_THRESHOLD, kept);
}

} // namespace dtranspose
