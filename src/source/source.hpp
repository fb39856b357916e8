/// Where a stream's bytes come from. A source runs a thread of its own, or none in tests; what it
/// received goes in batches to the sink it was armed with.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "protocol/protocol.hpp"

namespace dtranspose {

/// What a source hands over at once: packets in the order of receipt, never changed once handed over.
struct packet_batch {
  std::vector<stream_packet> packets;
  std::uint64_t bytes = 0; ///< what they count against the allowance
};

/// Takes a batch, in the thread of the source. Must not block.
using packet_sink = std::function<void(std::shared_ptr<const packet_batch>)>;

/// What a packet of that many payload bytes counts against budgets: bookkeeping is not free.
inline std::uint64_t budgeted_bytes(std::size_t payload) { return payload + 256; }

/// State of a source, as `status` shows it.
struct source_status {
  std::string address;         ///< e.g. the URL
  bool connected = false;      ///< has a peer, as far as the transport can tell
  bool reading = false;        ///< false while armed but out of allowance
  std::uint64_t discarded = 0; ///< messages dropped while no scan was armed
  std::string error;           ///< why it cannot read, empty if it can
};

class source {
 public:
  virtual ~source() = default;

  /// Drops what is waiting, then hands everything that comes to `sink`. The allowance starts at 0.
  /// Returns once that is in force; calling it again replaces the sink.
  virtual void arm(packet_sink sink) = 0;

  /// Back to dropping what comes; the sink is not called any more once this has returned.
  virtual void disarm() = 0;

  /// Allows `bytes` in total (`budgeted_bytes`) since arming; cumulative, so that no message of it can
  /// be lost. A packet of any size passes as long as less than `beyond` was handed over.
  virtual void allow(std::uint64_t bytes, std::uint64_t beyond) = 0;

  virtual source_status status() const = 0;

  /// May its methods be called, and may it be destroyed, from within the sink?
  virtual bool reentrant() const { return false; }
};

} // namespace dtranspose
