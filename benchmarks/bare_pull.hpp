/// The bound that every other reader is measured against: libzmq alone, which receives and looks at
/// nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dtranspose::benchmarks {

struct pull_rate {
  double messages_per_second = 0;
  double bytes_per_second = 0; ///< payload
};

/// Receives `messages` multipart messages from the PUSH senders at `urls`, to which it connects, and
/// measures from the end of the first `warm_up` part of them (0..1) to the last. Throws
/// `std::runtime_error` when a call of libzmq fails, or when nothing comes for `timeout_ms`.
pull_rate bare_pull(const std::vector<std::string>& urls, std::uint64_t messages, double warm_up = 0.1,
                    std::size_t kept = 0, int timeout_ms = 30'000);

} // namespace dtranspose::benchmarks
