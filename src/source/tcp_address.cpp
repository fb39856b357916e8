#include "source/tcp_address.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include <netinet/in.h>

namespace dtranspose {

namespace {

constexpr std::string_view scheme = "tcp://";

bool is_port(std::string_view text) {
  unsigned port = 0;
  auto end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && stop == end && port > 0 && port < 65536;
}

bool is_host(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return c <= ' ' || c == '/' || c == '[' || c == ']' || c == '*' || c == 127;
  });
}

} // namespace

std::optional<tcp_endpoint> parse_tcp_url(std::string_view url, bool listen) {
  if (!url.starts_with(scheme)) return std::nullopt;
  url.remove_prefix(scheme.size());
  auto colon = url.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto host = url.substr(0, colon), port = url.substr(colon + 1);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find(':') != std::string_view::npos) return std::nullopt;
  if (!is_host(host) && !(listen && host == "*")) return std::nullopt;
  if (!is_port(port) && !(listen && (port == "*" || port == "0"))) return std::nullopt;
  return tcp_endpoint{std::string(host), port == "0" ? "*" : std::string(port)};
}

std::string url_of(const socket_address& address) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  auto error = getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port,
                           NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return std::string(scheme) + "?";
  bool bracketed = address.family() == AF_INET6;
  return std::string(scheme) + (bracketed ? "[" : "") + host + (bracketed ? "]:" : ":") + port;
}

socket_address local_address(int socket) {
  socket_address address;
  address.size = sizeof address.storage;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) return {};
  return address;
}

socket_address peer_address(int socket) {
  socket_address address;
  address.size = sizeof address.storage;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address.storage), &address.size) != 0) return {};
  return address;
}

found_addresses look_up(const tcp_endpoint& endpoint, bool listen) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (listen ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  auto host = endpoint.host == "*" ? nullptr : endpoint.host.c_str();
  auto port = endpoint.port == "*" ? "0" : endpoint.port.c_str();
  auto error = getaddrinfo(host, port, &hints, &list);
  if (error != 0) return {{}, error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error)};
  found_addresses found;
  for (auto entry = list; entry; entry = entry->ai_next) {
    auto& address = found.addresses.emplace_back();
    address.size = std::min<socklen_t>(entry->ai_addrlen, sizeof address.storage);
    std::memcpy(&address.storage, entry->ai_addr, address.size);
  }
  freeaddrinfo(list);
  return found;
}

struct name_lookup::shared {
  bell done;
  mutable std::mutex mutex;
  std::optional<found_addresses> result;
};

name_lookup::name_lookup(const tcp_endpoint& endpoint) : shared_(std::make_shared<shared>()) {
  // A name service that doesn't answer can't be interrupted: the thread may outlive whoever asked.
  std::thread([state = shared_, endpoint] {
    auto found = look_up(endpoint);
    std::lock_guard lock(state->mutex);
    state->result = std::move(found);
    state->done.ring();
  }).detach();
}

int name_lookup::fd() const { return shared_->done.fd(); }

std::optional<found_addresses> name_lookup::result() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->result;
}

} // namespace dtranspose
