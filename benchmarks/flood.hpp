/// The sender of the throughput benchmarks: STINS images as fast as a bare libzmq PUSH can, or paced, from a
/// process of its own so that it takes no core of who is measured by surprise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dtranspose::benchmarks {

struct flood_options {
  std::string url;
  std::size_t size = 1 << 20;  ///< bytes of pixels per image
  std::uint64_t frames = 1000; ///< images of a stream, besides start and end
  std::size_t streams = 1;     ///< each a socket of its own, taking turns
  double rate = 0;      ///< in Hz: each header tells when it was sent (`sent_ns`); 0: as fast as it goes
  bool connect = false; ///< instead of listening, as instruments do
  bool wait = false;    ///< for a line on standard input before the first message
};

/// Sends one series of every stream and returns when the last message was taken. Prints `ready URL`, a URL
/// for each stream, on a line of its own once it listens. Throws `std::runtime_error` when a call of libzmq
/// fails.
void flood(const flood_options& options);

/// `flood --url URL [--size BYTES] [--frames N] [--streams N] [--rate HZ] [--connect] [--wait]`; returns the
/// exit code. For a program of its own, or one that starts itself again as the sender.
int flood_main(int argc, char** argv);

} // namespace dtranspose::benchmarks
