#include "http/connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

/// How long what a client still sends after its answer is thrown away.
constexpr auto linger_limit = 2s;
/// How soon whoever waits notices that the server stops.
constexpr nanoseconds notice = 50ms;

template <class Name>
void name(Name name_of_end, int socket, std::string& ip, int& port) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (name_of_end(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return;
  auto named = numeric_address(address, length);
  ip = named.ip;
  port = named.port;
}

} // namespace

peer_address numeric_address(const sockaddr_storage& address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> service{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(),
                    service.data(), service.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  return {host.data(), std::atoi(service.data())};
}

connection::connection(file_descriptor socket, const http_times& times, const std::atomic<bool>& stopping)
    : socket_(std::move(socket)), times_(times), stopping_(stopping), in_(times.head),
      out_(times.grace, times.least_rate) {}

connection::~connection() {
  farewell();
  SSL_free(tls_);
}

// --- waiting -------------------------------------------------------------------------------------

bool connection::wait(short events, nanoseconds limit, const std::function<bool()>& give_up) const {
  for (auto began = steady_clock::now();;) {
    auto left = std::min(limit - (steady_clock::now() - began), notice);
    if (left <= 0ns) return false;
    pollfd waiting{socket_.get(), events, 0};
    int ready = ::poll(&waiting, 1, static_cast<int>((left + 999us) / 1ms));
    if (ready > 0) return true;
    if ((ready < 0 && errno != EINTR) || stopping_ || give_up()) return false;
  }
}

bool connection::wait(short events, wait_budget& budget) const {
  auto began = steady_clock::now();
  bool ready = wait(events, std::min(budget.left(), times_.transfer), [] { return false; });
  budget.spend(steady_clock::now() - began);
  return ready;
}

bool connection::wait_for_request(const std::function<bool()>& give_up) {
  if (begin_ < end_ || (tls_ && SSL_pending(tls_) > 0)) return true;
  if (first_) return wait(POLLIN, times_.transfer, [] { return false; });
  return wait(POLLIN, times_.idle, give_up);
}

bool connection::is_readable() const {
  return begin_ < end_ || (tls_ && SSL_pending(tls_) > 0) || wait(POLLIN, in_);
}

bool connection::is_writable() const { return wait(POLLOUT, out_); }

void connection::begin_head() {
  in_ = wait_budget(times_.head);
  out_ = wait_budget(times_.grace, times_.least_rate);
  first_ = false;
  in_head_ = true;
  head_trouble_ = 0;
  parsed_ = 0;
}

void connection::begin_body() {
  in_ = wait_budget(times_.grace, times_.least_rate);
  in_head_ = false;
  parsed_ = 0;
}

bool connection::client_is_gone() const {
  pollfd hung_up{socket_.get(), POLLRDHUP, 0};
  return ::poll(&hung_up, 1, 0) > 0;
}

// --- TLS -----------------------------------------------------------------------------------------

bool connection::greet(SSL_CTX* identity) {
  tls_ = SSL_new(identity);
  if (!tls_ || SSL_set_fd(tls_, socket_.get()) != 1) return false;
  wait_budget budget(times_.greeting);
  for (;;) {
    ERR_clear_error();
    auto result = SSL_accept(tls_);
    if (result == 1) return true;
    if (!wait_for_tls(result, budget)) {
      tls_broken_ = true;
      return false;
    }
  }
}

/// Waits for what OpenSSL needs to go on. False: it cannot, or not in time.
bool connection::wait_for_tls(int result, wait_budget& budget) {
  switch (SSL_get_error(tls_, result)) {
  case SSL_ERROR_WANT_READ:
    return wait(POLLIN, budget);
  case SSL_ERROR_WANT_WRITE:
    return wait(POLLOUT, budget);
  case SSL_ERROR_ZERO_RETURN:
    return false;
  default:
    tls_broken_ = true;
    return false;
  }
}

/// Tells the client that nothing follows, so that it can know that nothing was cut off.
void connection::farewell() {
  if (!tls_ || tls_broken_ || (SSL_get_shutdown(tls_) & SSL_SENT_SHUTDOWN) != 0) return;
  ERR_clear_error();
  SSL_shutdown(tls_);
}

// --- bytes ---------------------------------------------------------------------------------------

ssize_t connection::receive(char* target, std::size_t size) {
  for (;;) {
    if (tls_) {
      ERR_clear_error();
      auto n = SSL_read(tls_, target, static_cast<int>(size));
      if (n > 0) return n;
      if (!wait_for_tls(n, in_)) return SSL_get_shutdown(tls_) != 0 ? 0 : -1;
    } else {
      auto n = ::recv(socket_.get(), target, size, 0);
      if (n >= 0) return n;
      if (errno != EINTR && (errno != EAGAIN || !wait(POLLIN, in_))) return -1;
    }
  }
}

ssize_t connection::read(char* target, size_t size) {
  if (parsed_ >= http_head_bytes) {
    if (in_head_) head_trouble_ = 431;
    return -1;
  }
  if (begin_ == end_) {
    auto received = receive(buffer_.data(), buffer_.size());
    if (received < 0 && in_head_ && in_.left() <= 0ns) head_trouble_ = 408;
    if (received <= 0) return received;
    begin_ = 0;
    end_ = static_cast<std::size_t>(received);
    in_.earn(end_);
  }
  auto taken = std::min({size, end_ - begin_, http_head_bytes - parsed_});
  std::memcpy(target, buffer_.data() + begin_, taken);
  begin_ += taken;
  parsed_ += taken;
  return static_cast<ssize_t>(taken);
}

/// Sends some of it; negative: nothing more can be sent.
ssize_t connection::send(const char* bytes, std::size_t size) {
  for (;;) {
    if (tls_) {
      ERR_clear_error();
      // OpenSSL writes without MSG_NOSIGNAL; the library has SIGPIPE ignored.
      auto n = SSL_write(tls_, bytes, static_cast<int>(std::min<std::size_t>(size, 1 << 20)));
      if (n > 0) return n;
      if (!wait_for_tls(n, out_)) return -1;
    } else {
      auto n = ::send(socket_.get(), bytes, size, MSG_NOSIGNAL);
      if (n >= 0) return n;
      if (errno != EINTR && (errno != EAGAIN || !wait(POLLOUT, out_))) return -1;
    }
  }
}

ssize_t connection::write(const char* bytes, size_t size) {
  for (std::size_t sent = 0; sent < size;) {
    auto n = send(bytes + sent, size - sent);
    if (n < 0) return -1;
    sent += static_cast<std::size_t>(n);
    out_.earn(static_cast<std::size_t>(n));
  }
  return static_cast<ssize_t>(size);
}

void connection::throw_away_rest() {
  farewell();
  ::shutdown(socket_.get(), SHUT_WR);
  wait_budget budget(linger_limit);
  auto end = steady_clock::now() + linger_limit;
  std::array<char, 4096> scrap;
  while (steady_clock::now() < end && wait(POLLIN, budget))
    if (::recv(socket_.get(), scrap.data(), scrap.size(), 0) <= 0) return;
}

void connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  name(::getpeername, socket_.get(), ip, port);
}

void connection::get_local_ip_and_port(std::string& ip, int& port) const {
  name(::getsockname, socket_.get(), ip, port);
}

} // namespace dtranspose
