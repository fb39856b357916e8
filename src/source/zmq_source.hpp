/// Frames from a ZeroMQ socket: one thread per source, no copies, and back pressure through the
/// socket's high-water mark to the instrument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocol/protocol.hpp"
#include "source/curve_keys.hpp"
#include "source/source.hpp"

namespace zmq {
class context_t;
}

namespace dtranspose {

/// Which side of which pattern we are: `pull` shares a PUSH sender's messages with other readers,
/// `sub` sees all of a PUB sender's, unless it falls behind.
enum class zmq_socket_kind : std::uint8_t { pull, sub };

struct zmq_source_options {
  std::string url; ///< e.g. `tcp://detector:9999`
  zmq_socket_kind kind = zmq_socket_kind::pull;
  bool bind = false; ///< wait for the instrument to connect, instead of connecting to it
  std::unique_ptr<protocol> format;
  /// Messages that ZeroMQ may hold for each instrument. Nothing: 1000 where we connect, lowered as
  /// soon as frames are seen to be large; `zmq_listening_messages` where we listen.
  std::optional<int> receive_high_water_mark = {};
  /// With keys nothing is received but from who proves to have the right ones, encrypted (CURVE).
  std::optional<curve_keys> curve = {};
};

/// A batch ends at this many packets or payload bytes, or when nothing more is waiting.
inline constexpr std::size_t zmq_batch_packets = 256;
inline constexpr std::size_t zmq_batch_bytes = 1 << 20;
/// Parts of one message. The most that an instrument of ours sends is 18; more than this is none.
inline constexpr std::size_t zmq_part_limit = 256;
/// One part. Larger than any detector's image; ZeroMQ drops the connection of who announces more,
/// so that a hostile length is never allocated.
inline constexpr std::int64_t zmq_part_bytes_limit = std::int64_t{1} << 31;
/// What waits in ZeroMQ's queue, aimed at by the high-water mark, and the messages it never goes
/// below.
inline constexpr std::size_t zmq_waiting_bytes = 64 << 20;
inline constexpr int zmq_waiting_messages = 4;
/// What waits for a socket that listens, per instrument, whatever the size of its frames.
inline constexpr int zmq_listening_messages = 64;

/// A context for all sources of a process.
std::shared_ptr<zmq::context_t> make_zmq_context();

/// See `source`. While no scan is armed, everything is received, dropped and counted. While armed,
/// every message counts `budgeted_bytes` of its payload, whether or not the format finds something
/// in it, and the `bytes` of all batches add up to that: a batch may therefore have bytes and no
/// packets. Reading stops when the sum has reached the allowance.
///
/// The socket is opened at once. If that fails `status().error` says why, and it is tried again
/// every second. Its methods may be called from any thread, that of the sink included.
///
/// With CURVE `connected` counts only peers that have proved who they are. As long as there is none, `error`
/// says how the last one failed; failures are logged as well. A source that listens with CURVE has a context
/// of its own, where it decides whom it takes.
std::unique_ptr<source> make_zmq_source(zmq_source_options options, std::shared_ptr<zmq::context_t> context);

} // namespace dtranspose
