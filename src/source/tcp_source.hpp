/// Frames from a TCP connection that we open: one thread per source, and back pressure by not reading.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "protocol/protocol.hpp"
#include "source/source.hpp"

namespace dtranspose {

struct tcp_source_options {
  std::string url; ///< `tcp://host:port`, `tcp://[::1]:8889`
  std::unique_ptr<protocol> format;
};

/// Largest piece that is read at once. What is kept of it keeps all of it.
inline constexpr std::size_t tcp_piece_bytes = 64 << 10;
/// Smallest piece that is waited for when little is allowed.
inline constexpr std::size_t tcp_least_piece_bytes = 1 << 10;
/// A batch ends with the piece that reaches this many packets or received bytes, or when nothing more is
/// waiting.
inline constexpr std::size_t tcp_batch_packets = 256;
inline constexpr std::size_t tcp_batch_bytes = 1 << 20;
/// A connection that was closed after at most this many bytes has told why.
inline constexpr std::size_t tcp_farewell_bytes = 256;

/// See `source`. It connects at once, sends the format's greeting, and connects again whenever the connection
/// is lost, at most once a second. While no scan is armed, everything is received, dropped and counted by
/// pieces, as they came from the operating system. What the format kept of before is forgotten when a
/// scan is armed; when the connection was lost and is there again in a scan, the format is told so.
///
/// While armed, a piece counts `budgeted_bytes` of its size, or those of the packets that the format
/// made of it if these are more, and the `bytes` of all batches add up to that: a batch may
/// therefore have bytes and no packets. Reading stops when the sum has reached the allowance.
///
/// `status().error` says why there is no connection. A loss is found out by the operating system's probes
/// where the instrument says nothing, but not while the allowance is used up. Methods may be called
/// from any thread but that of the sink.
std::unique_ptr<source> make_tcp_source(tcp_source_options options);

} // namespace dtranspose
