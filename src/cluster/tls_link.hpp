/// One connection through the tunnel: a plain socket of this machine, a TLS socket to a peer, and what passes
/// between them. Brings Boost.Asio along; for the tunnel alone.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "cluster/tls_engine.hpp"
#include "source/tcp_address.hpp"

namespace dtranspose {

boost::asio::ip::tcp::endpoint endpoint_of(const socket_address& address);

class tls_link;

/// How a link ended.
enum class tls_ending : std::uint8_t {
  closed,    ///< by both sides, or with the tunnel
  broken,    ///< one side was lost
  failed,    ///< it never came about
  timed_out, ///< it did not come about in time
};

/// Who is told what becomes of a link, in the thread of the tunnel.
class tls_link_owner {
 public:
  /// Its peer has proved who it is, as far as we can tell.
  virtual void established(tls_link& link) = 0;
  /// Called once, last. `why` is said of the peer.
  virtual void ended(tls_link& link, tls_ending how, const std::string& why) = 0;

 protected:
  ~tls_link_owner() = default;
};

/// Lives as long as something is going on in its sockets. All calls are made in the thread of the tunnel.
class tls_link : public std::enable_shared_from_this<tls_link> {
 public:
  using tcp = boost::asio::ip::tcp;
  using clock = std::chrono::steady_clock;

  /// A peer has connected.
  struct caller {
    tcp::socket wire;
    std::string address;
    std::uint16_t local_port; ///< on 127.0.0.1; where its bytes go
  };
  /// A plain connection was taken; its bytes go to a peer.
  struct call {
    tcp::socket plain;
    std::string host;
    std::uint16_t port;
  };

  tls_link(tls_link_owner& owner, ssl_ctx_st& context, caller from);
  tls_link(tls_link_owner& owner, ssl_ctx_st& context, call to);

  /// All until bytes pass takes no longer than `limit`.
  void start(std::chrono::milliseconds limit);
  /// Ends it at once; both sides see a reset.
  void cut(tls_ending how, const std::string& why);
  /// Passes on what is on its way from the plain side, for a moment; ends it at once if nothing is.
  void wind_up();

  bool dials() const { return dials_; }
  const std::string& peer() const { return peer_; }
  clock::time_point begun() const { return begun_; }

 private:
  using error_code = boost::system::error_code;

  enum class phase : std::uint8_t { connecting, shaking_hands, joining, passing, refusing, ended };

  void limit_time(std::chrono::milliseconds limit);
  void time_is_up();

  void look_up_peer();
  void take_addresses();
  void connect_to_next(const std::string& why);
  void begin_handshake();
  void shake_hands();
  void join_plain();
  void begin_passing();
  void refuse();
  void hear_out();

  void step();
  void decrypt();
  void encrypt();
  void send();
  void receive();
  void take_input(const error_code& error, std::size_t size);
  void read_plain();
  void write_plain();
  void pass_on_ends();
  void watch(tcp::socket& socket);
  void lose_wire(const std::string& why);
  bool done() const;
  bool has_last_words();
  void end(tls_ending how, const std::string& why);

  tls_link_owner& owner_;
  ssl_ctx_st& context_;
  const bool dials_;
  const std::string peer_; ///< HOST:PORT
  std::string host_;       ///< of a peer to whom we connect
  std::uint16_t port_;     ///< of that peer, or on this machine
  clock::time_point begun_ = clock::now();

  tcp::socket wire_, plain_;
  boost::asio::steady_timer timer_;
  std::chrono::milliseconds limit_{};
  phase phase_ = phase::connecting;

  std::optional<name_lookup> look_up_;
  boost::asio::posix::stream_descriptor looked_up_;
  std::vector<socket_address> addresses_;
  std::size_t next_address_ = 0;
  clock::time_point give_up_at_;

  std::optional<tls_engine> engine_;
  bool wants_input_ = true, receiving_ = false, wire_truncated_ = false;
  bool sending_ = false;
  bool heard_ = false; ///< the peer has sent something, or ended in peace: it has accepted us
  std::size_t heard_out_bytes_ = 0;

  /// From the plain side; `outgoing_` is what of it was not encrypted yet.
  std::unique_ptr<std::byte[]> from_plain_;
  std::span<const std::byte> outgoing_;
  bool reading_plain_ = false, plain_ended_ = false, told_wire_ = false;

  /// To the plain side.
  std::unique_ptr<std::byte[]> to_plain_;
  std::span<const std::byte> incoming_;
  bool writing_plain_ = false, wire_ended_ = false, told_plain_ = false;

  bool winding_up_ = false;
};

} // namespace dtranspose
