/// The program's end of the socket to a Python process: it reads while it writes, so that two full sockets
/// never wait for each other, and waits for nothing without a limit.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <stdexcept>
#include <vector>

#include "python/host_message.hpp"
#include "source/file_descriptor.hpp"

namespace dtranspose {

/// The other side is gone, or speaks something else.
class link_closed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class host_link {
 public:
  /// Takes over a connected Unix stream socket.
  explicit host_link(file_descriptor socket);

  /// Queues a message and writes what the socket takes. A descriptor travels with the first byte and is
  /// closed then. Throws link_closed.
  void send(host_message_type type, std::uint32_t id, std::vector<std::byte> body, file_descriptor fd = {});

  /// The next message; nothing where none has come until then. Writes meanwhile. Throws link_closed.
  std::optional<host_message> receive(std::chrono::steady_clock::time_point until);

 private:
  struct outgoing {
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    file_descriptor fd;
  };

  void write_some();
  bool write_first();
  void read_some();
  std::optional<host_message> take();

  file_descriptor socket_;
  std::deque<outgoing> out_;
  std::vector<std::byte> in_;
  std::size_t begin_ = 0, end_ = 0; ///< of what has been read and not been taken
};

} // namespace dtranspose
