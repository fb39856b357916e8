/// The clock that senders write into their headers.
#pragma once

#include <cstdint>

#include <time.h>

namespace dtranspose {

/// `CLOCK_REALTIME` in nanoseconds: the header key `sent_ns`.
inline std::int64_t realtime_ns() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

} // namespace dtranspose
