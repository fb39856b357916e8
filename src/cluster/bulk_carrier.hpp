/// Carries frames between processes beside the connection of their actors, on ZeroMQ: from where they were
/// received to where they are needed without a copy in user space. What they belong to, the actors tell each
/// other; here only a ticket and a number say which message of theirs a piece goes with.
///
/// Nothing is lost as long as the connection holds. Once it is lost it stays so: who sends begins anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/frame.hpp"
#include "model/scan_id.hpp"

namespace zmq {
class context_t;
}

namespace dtranspose {

/// Where a process takes frames.
struct bulk_address {
  std::string url; ///< `tcp://HOST:PORT`; empty: nowhere
  std::string key; ///< its public key for CURVE, Z85; empty: without CURVE
};

/// The frames of one message.
struct bulk_piece {
  scan_id scan;
  std::uint64_t ticket = 0;
  std::uint64_t sequence = 0;
  /// All frames of the message's entries, one entry's after the other.
  std::vector<frame> frames;
  std::shared_ptr<const void> keep; ///< what the frames are views of
};

struct bulk_limits {
  std::chrono::milliseconds heartbeat = std::chrono::seconds(1);
  std::chrono::milliseconds timeout = std::chrono::seconds(5); ///< silence after which a connection is lost
};

/// The way to one process. Used by one thread at a time.
class bulk_outlet {
 public:
  virtual ~bulk_outlet() = default;

  /// Sends without waiting; keeps what it sends until it has left.
  virtual void send(const scan_id& scan, std::uint64_t ticket, std::uint64_t sequence,
                    std::vector<stream_data> entries) = 0;

  enum class condition : std::uint8_t {
    connecting,
    connected,
    lost,       ///< what was sent last may not have arrived
    unreachable ///< it never came to a connection
  };
  virtual condition look() = 0;
};

/// Makes a way to an address. Throws std::runtime_error if that is none.
using bulk_outlet_factory = std::function<std::unique_ptr<bulk_outlet>(const bulk_address&)>;
bulk_outlet_factory zmq_bulk_outlets(const std::shared_ptr<zmq::context_t>& context, bulk_limits limits);

/// Takes frames of other processes, in a thread of its own.
class bulk_inlet {
 public:
  struct options {
    std::string host;       ///< name or address where it listens, an IPv6 address without brackets
    std::uint16_t port = 0; ///< 0: any
    bool encrypted = false; ///< with CURVE: only who was told the key gets through
    bulk_limits limits = {};
    /// Called in the thread of the inlet. Must not block.
    std::function<void(std::shared_ptr<const bulk_piece>)> sink;
  };

  /// Throws std::runtime_error naming the address when it cannot listen there.
  explicit bulk_inlet(options o);
  ~bulk_inlet();

  const bulk_address& address() const;

 private:
  class receiving;
  std::unique_ptr<receiving> receiving_;
};

} // namespace dtranspose
