/// Mutual TLS between the processes of a cluster: stands in front of a middleman that speaks plain TCP and is
/// kept on loopback.
///
///     middleman -> door ==== TLS ====> listen -> middleman
///
/// One peer's bytes are handed to the other's middleman only after both have shown a certificate that the
/// authority has signed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cluster/tls_identity.hpp"

namespace dtranspose {

struct tls_limits {
  std::chrono::milliseconds handshake = std::chrono::seconds(5); ///< from connecting until bytes pass
  std::chrono::milliseconds door = std::chrono::seconds(10);     ///< until somebody comes through it
  std::size_t handshakes = 64;                                   ///< at once, of peers that connect to us
  std::size_t connections = 512;                                 ///< at once, of both kinds, doors included
  std::size_t connects_per_second = 100;                         ///< to us from one address
};

/// All may be called from any thread. What is refused or fails is logged with the peer's address and the
/// reason, each reason of an address once a minute.
class tls_tunnel {
 public:
  struct counts {
    std::size_t open = 0;                ///< connections through which bytes may pass now
    std::uint64_t accepted = 0;          ///< peers that connected to us and proved who they are
    std::uint64_t dialled = 0;           ///< peers to whom we connected, that proved who they are
    std::uint64_t refused = 0;           ///< connects over a limit, or to a door by another user
    std::uint64_t failed_handshakes = 0; ///< of both kinds; peers that could not be reached included
    std::uint64_t timed_out = 0;         ///< connections of both kinds that did not come about in time
    std::uint64_t unused_doors = 0;      ///< closed because nobody came through
  };

  /// Throws std::runtime_error naming the file and what is wrong with it.
  explicit tls_tunnel(const tls_files& files, tls_limits limits = {});
  /// Closes all. What a side that has closed its connection had written before is still passed on, for a
  /// second at most.
  ~tls_tunnel();

  /// Takes TLS connections at `host`:`port` (port 0: any) and passes their bytes to 127.0.0.1:`local_port`.
  /// Returns the port. Throws std::runtime_error naming the address when that cannot be had, and when our
  /// certificate bears no names, so that no peer could find its own.
  std::uint16_t listen(const std::string& host, std::uint16_t port, std::uint16_t local_port);

  /// A port on 127.0.0.1 that takes one connection of this user and passes its bytes to `host`:`port`, whose
  /// certificate must bear that name or address (subjectAltName). A peer that cannot be reached or trusted
  /// shows as a reset of that connection. Throws std::runtime_error when there are too many connections.
  std::uint16_t door_to(const std::string& host, std::uint16_t port);

  counts status() const;

 private:
  class inside;
  std::unique_ptr<inside> inside_;
};

} // namespace dtranspose
