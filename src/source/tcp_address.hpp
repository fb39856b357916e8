/// Addresses of TCP sockets: from URLs, through the name service, and back.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <netdb.h>
#include <sys/socket.h>

#include "source/file_descriptor.hpp"

namespace dtranspose {

/// `tcp://HOST:PORT` with a name, an IPv4 address, or an IPv6 address in brackets.
struct tcp_endpoint {
  std::string host; ///< without brackets; `*` for any
  std::string port; ///< a number from 1 to 65535; `*` for any
};

/// Nothing if that is no such URL. `*` is taken only where we `listen`.
std::optional<tcp_endpoint> parse_tcp_url(std::string_view url, bool listen = false);

struct socket_address {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

/// `tcp://127.0.0.1:8889`, `tcp://[::1]:8889`.
std::string url_of(const socket_address& address);

/// Where a socket is bound, or what it is connected to.
socket_address local_address(int socket);
socket_address peer_address(int socket);

/// What a look-up found.
struct found_addresses {
  std::vector<socket_address> addresses; ///< in the order in which to try them
  std::string error;                     ///< why there are none
};

/// Looks an endpoint up, which may take as long as the name service does. `listen`: to bind to.
found_addresses look_up(const tcp_endpoint& endpoint, bool listen = false);

/// Looks an endpoint up in a thread of its own, which nobody has to wait for.
class name_lookup {
 public:
  /// Throws std::system_error when there can't be a thread.
  explicit name_lookup(const tcp_endpoint& endpoint);

  /// Readable when it is done.
  int fd() const;
  /// What was found; nothing before it is done.
  std::optional<found_addresses> result() const;

 private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

} // namespace dtranspose
