/// The bytes of one HTTP client, with or without TLS, within bounds of time and size. Unlike the library's
/// streams it waits without spinning, ends waiting when the server stops, and cannot be kept waiting for ever
/// by a client that sends or reads a byte now and then.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include <httplib.h>

#include "source/file_descriptor.hpp"

namespace dtranspose {

/// How long a client may take.
struct http_times {
  std::chrono::nanoseconds idle = std::chrono::seconds(60); ///< between two requests
  /// Until the first request begins; also how long the bytes of a request or an answer may stand still.
  std::chrono::nanoseconds transfer = std::chrono::seconds(10);
  std::chrono::nanoseconds greeting = std::chrono::seconds(5); ///< for the handshake of TLS
  std::chrono::nanoseconds head = std::chrono::seconds(10);    ///< for a request up to its body
  /// Bodies and answers may be waited for so long in all, and longer by what their bytes take at
  /// `least_rate`.
  std::chrono::nanoseconds grace = std::chrono::seconds(30);
  std::size_t least_rate = 32 << 10; ///< bytes per second
};

/// Bytes of the head of a request: its first line and its headers. Also what may lie between two pieces of a
/// body.
inline constexpr std::size_t http_head_bytes = 64 << 10;

/// How long something may still be waited for.
class wait_budget {
 public:
  /// `rate`: bytes that earn a second more; 0: none do.
  explicit wait_budget(std::chrono::nanoseconds time, std::size_t rate = 0) : left_(time), rate_(rate) {}

  std::chrono::nanoseconds left() const { return left_; }
  void spend(std::chrono::nanoseconds waited) { left_ -= waited; }
  void earn(std::size_t bytes) {
    if (rate_ > 0) left_ += std::chrono::nanoseconds(std::nano::den * bytes / rate_);
  }

 private:
  std::chrono::nanoseconds left_;
  std::size_t rate_;
};

class connection final : public httplib::Stream {
 public:
  /// `socket` does not block. `stopping` ends all waiting.
  connection(file_descriptor socket, const http_times& times, const std::atomic<bool>& stopping);
  ~connection() override;
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  /// From now on it speaks TLS, as a server. False: the client does not, or not in time.
  bool greet(SSL_CTX* identity);

  /// Waits for the first byte of a request. False: it does not come in time or, on a connection that has had
  /// requests, `give_up` says so.
  bool wait_for_request(const std::function<bool()>& give_up);

  /// A request begins: what is read is its head, until `begin_body`.
  void begin_head();
  void begin_body();
  /// What was read was of use: as much may be read again.
  void used() { parsed_ = 0; }

  /// Why the head of this request could not be read, as an HTTP status; 0: no reason of ours.
  int head_trouble() const { return head_trouble_; }

  bool client_is_gone() const;

  /// Ends a connection whose client may still be sending: closing it at once would reset it, and the client
  /// might never read its answer.
  void throw_away_rest();

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* target, size_t size) override;
  ssize_t write(const char* bytes, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_.get(); }

 private:
  ssize_t receive(char* target, std::size_t size);
  ssize_t send(const char* bytes, std::size_t size);
  bool wait_for_tls(int result, wait_budget& budget);
  void farewell();
  bool wait(short events, wait_budget& budget) const;
  bool wait(short events, std::chrono::nanoseconds limit, const std::function<bool()>& give_up) const;

  file_descriptor socket_;
  http_times times_;
  const std::atomic<bool>& stopping_;
  SSL* tls_ = nullptr;
  bool tls_broken_ = false;
  mutable wait_budget in_, out_;
  bool in_head_ = false; ///< of a request; false before the first one, too
  bool first_ = true;    ///< has no request begun yet?
  int head_trouble_ = 0;
  std::size_t parsed_ = 0; ///< bytes read since something came of them
  std::array<char, 16384> buffer_;
  std::size_t begin_ = 0, end_ = 0; ///< of what is unread in `buffer_`
};

/// The numeric address of a socket's end, and its port.
struct peer_address {
  std::string ip;
  int port = 0;
};
peer_address numeric_address(const sockaddr_storage& address, socklen_t length);

} // namespace dtranspose
