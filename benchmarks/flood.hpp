/// The sender of the throughput benchmarks: STINS images as fast as a bare libzmq PUSH can, from a
/// process of its own so that it takes no core of who is measured by surprise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dtranspose::benchmarks {

struct flood_options {
  std::string url;
  std::size_t size = 1 << 20;  ///< bytes of pixels per image
  std::uint64_t frames = 1000; ///< images, besides start and end
  bool connect = false;        ///< instead of listening, as instruments do
  bool wait = false;           ///< for a line on standard input before the first message
};

/// Sends one series and returns when the last message was taken. Prints `ready URL` on a line of
/// its own once it listens. Throws `std::runtime_error` when a call of libzmq fails.
void flood(const flood_options& options);

/// `flood --url URL [--size BYTES] [--frames N] [--connect] [--wait]`; returns the exit code. For a
/// program of its own, or one that starts itself again as the sender.
int flood_main(int argc, char** argv);

} // namespace dtranspose::benchmarks
