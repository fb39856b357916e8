#include "instrument/tcp_instrument.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "instrument/pace.hpp"
#include "source/file_descriptor.hpp"
#include "source/tcp_address.hpp"

namespace dtranspose {

namespace {

/// Clients that may wait while one is served.
constexpr int backlog = 8;
/// How often it is looked whether the last bytes were taken.
constexpr int tail_check_ms = 10;

/// Waits for a descriptor until it is to stop.
class stoppable_wait {
 public:
  explicit stoppable_wait(const std::stop_token& stop) : stop_(stop), callback_(stop, ring{&bell_}) {}

  /// False: stopped. After `timeout_ms` (negative: never) it returns although nothing has happened.
  bool until(int fd, short events, int timeout_ms = -1) const {
    std::array<pollfd, 2> items = {{{bell_.fd(), POLLIN, 0}, {fd, events, 0}}};
    if (!stop_.stop_requested()) (void)poll(items.data(), items.size(), timeout_ms);
    return !stop_.stop_requested();
  }

 private:
  struct ring {
    const bell* which;
    void operator()() const { which->ring(); }
  };

  const std::stop_token& stop_;
  bell bell_;
  std::stop_callback<ring> callback_;
};

file_descriptor listen_at(const socket_address& address) {
  file_descriptor listener(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int yes = 1;
  if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(listener.get(), address.get(), address.size) != 0 || listen(listener.get(), backlog) != 0)
    throw std::runtime_error(std::strerror(errno));
  return listener;
}

file_descriptor listen_at(const std::string& url) {
  auto endpoint = parse_tcp_url(url, true);
  if (!endpoint) throw std::runtime_error("this is no address of the form tcp://HOST:PORT");
  auto found = look_up(*endpoint, true);
  if (found.addresses.empty()) throw std::runtime_error(found.error);
  return listen_at(found.addresses.front());
}

/// A connection, as far as an instrument uses one.
class client {
 public:
  client(file_descriptor socket, const stoppable_wait& wait) : socket_(std::move(socket)), wait_(wait) {}

  /// For rows that shall arrive when they are due, not when a packet is full.
  void hurry() {
    int yes = 1;
    (void)setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }

  /// The first line without its LF; nothing when stopped, when the client went, and when there is none.
  std::optional<std::string> read_line() {
    std::string line;
    while (line.size() < tcp_request_limit) {
      char c = 0;
      auto size = recv(socket_.get(), &c, 1, 0);
      if (size == 1 && c == '\n') return line;
      if (size == 1)
        line += c;
      else if (size == 0 || !would_block() || !wait_.until(socket_.get(), POLLIN))
        return std::nullopt;
    }
    return std::nullopt;
  }

  /// False: stopped, or the client went.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto size = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size >= 0)
        bytes.remove_prefix(static_cast<std::size_t>(size));
      else if (!would_block() || !wait_.until(socket_.get(), POLLOUT))
        return false;
    }
    return true;
  }

  /// Says that nothing follows, and waits until the other side has everything. False: stopped, or the
  /// client went.
  bool finish() {
    if (shutdown(socket_.get(), SHUT_WR) != 0) return false;
    while (true) {
      int unsent = 0;
      if (ioctl(socket_.get(), SIOCOUTQ, &unsent) != 0 || failed()) return false;
      if (unsent == 0) return true;
      if (!wait_.until(-1, 0, tail_check_ms)) return false;
    }
  }

 private:
  static bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  bool failed() const {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0;
  }

  file_descriptor socket_;
  const stoppable_wait& wait_;
};

class tcp_instrument final : public instrument {
 public:
  tcp_instrument(tcp_instrument_options options, message_supply supply)
      : options_(std::move(options)), supply_(std::move(supply)) {
    try {
      listener_ = listen_at(options_.url);
      address_ = url_of(local_address(listener_.get()));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error("cannot send on " + options_.url + ": " + error.what());
    }
  }

  const std::string& address() const override { return address_; }

  outcome run(const std::stop_token& stop) override {
    stoppable_wait wait(stop);
    while (!stop.stop_requested()) {
      auto to = accept_client(wait);
      if (!to) break;
      if (receives(*to)) return serve(*to, stop);
    }
    return outcome::stopped;
  }

 private:
  /// Nothing: stopped, or the listening socket failed.
  std::optional<client> accept_client(const stoppable_wait& wait) {
    while (true) {
      file_descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket) return std::optional<client>(std::in_place, std::move(socket), wait);
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if ((errno != EAGAIN && errno != EWOULDBLOCK) || !wait.until(listener_.get(), POLLIN))
        return std::nullopt;
    }
  }

  /// Hears what the client wants and answers; false: it gets nothing.
  bool receives(client& to) {
    if (options_.rate > 0) to.hurry();
    if (!options_.answer) return true;
    auto request = to.read_line();
    if (!request) return false;
    auto answer = options_.answer(*request);
    if (!to.send(answer)) return false;
    if (!answer.starts_with("ERR")) return true;
    to.finish();
    return false;
  }

  outcome serve(client& to, const std::stop_token& stop) {
    pace due(options_.rate);
    for (std::uint64_t n = 0; due.wait(n, stop); ++n) {
      auto message = supply_();
      if (!message) return to.finish() ? outcome::complete : outcome::stopped;
      for (auto& part : message->frames())
        if (!to.send(part.text())) return outcome::stopped;
      count(message->bytes());
    }
    return outcome::stopped;
  }

  tcp_instrument_options options_;
  message_supply supply_;
  file_descriptor listener_;
  std::string address_;
};

} // namespace

std::unique_ptr<instrument> make_tcp_instrument(tcp_instrument_options options, message_supply supply) {
  return std::make_unique<tcp_instrument>(std::move(options), std::move(supply));
}

} // namespace dtranspose
