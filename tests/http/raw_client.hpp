/// A client of an HTTP server that does what no library does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace dtranspose::test {

class raw_client {
 public:
  explicit raw_client(std::uint16_t port, const char* from = "127.0.0.1")
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    auto own = address(from, 0), server = address("127.0.0.1", port);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&server), sizeof server), 0);
    timeval patience{30, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  ~raw_client() { ::close(socket_); }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  /// False: the server has gone.
  bool send(std::string_view bytes) {
    return ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  /// What comes until the server hangs up; ends with "(nothing more)" if it doesn't.
  std::string answer() {
    std::string all;
    char bytes[4096];
    ssize_t n = 0;
    while ((n = ::recv(socket_, bytes, sizeof bytes, 0)) > 0) all.append(bytes, static_cast<std::size_t>(n));
    return n < 0 && errno == EAGAIN ? all.append("(nothing more)") : all;
  }

  /// Has the server hung up? Does not wait.
  bool ended() {
    char byte = 0;
    auto n = ::recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
  }

  int socket() const { return socket_; }

 private:
  static sockaddr_in address(const char* ip, std::uint16_t port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    ::inet_pton(AF_INET, ip, &at.sin_addr);
    return at;
  }

  int socket_;
};

} // namespace dtranspose::test
