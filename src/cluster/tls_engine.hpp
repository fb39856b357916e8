/// One TLS connection without its sockets: turns plain bytes into what goes over the wire, and back.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "cluster/tls_identity.hpp"

struct bio_st; // OpenSSL's BIO
struct ssl_st; // OpenSSL's SSL

namespace dtranspose {

/// Plain bytes that one `write` takes at least, given that there is no output.
inline constexpr std::size_t tls_block_bytes = std::size_t{64} << 10;

class tls_engine {
 public:
  enum class outcome {
    done,
    wants_input, ///< all of it was used up
    wants_room,  ///< in `output`
    ended,       ///< the peer has said that no more will come
    failed,      ///< for good; `reason` says why. There may be output that tells the peer
  };

  /// The side that takes connections.
  explicit tls_engine(ssl_ctx_st& context);
  /// The side that connects. The peer's certificate must bear `host`, a name or an address.
  tls_engine(ssl_ctx_st& context, const std::string& host);

  outcome shake_hands();
  /// As much as there is, up to the size of `into`; what it got is in `size`, also when it is not `done`.
  outcome read(std::span<std::byte> into, std::size_t& size);
  outcome write(std::span<const std::byte> bytes, std::size_t& taken);
  /// Tells the peer that no more will come. Called once, with no output left. Reading goes on.
  void end();

  /// Where to put what comes from the wire. Asked for after an outcome `wants_input` only: there is room
  /// then, and it stays where it is until something was `received`.
  std::span<std::byte> input();
  void received(std::size_t size);
  /// What is to go to the wire. It stays where it is until it was `sent`.
  std::span<const std::byte> output() const;
  void sent(std::size_t size);

  /// Why it has failed, said of the peer: "it shows no certificate".
  const std::string& reason() const { return reason_; }

 private:
  struct freed {
    void operator()(ssl_st* ssl) const;
    void operator()(bio_st* bio) const;
  };

  outcome outcome_of(int result);

  std::unique_ptr<ssl_st, freed> ssl_;
  std::unique_ptr<bio_st, freed> wire_;
  std::string reason_;
};

} // namespace dtranspose
