/// A simulated instrument: a real ZeroMQ socket that sends what it is given. What a message says is
/// not its business.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "model/frame.hpp"

namespace dtranspose {

/// Gives the next message to send, with its parts as frames; nothing when there are no more. Called
/// when the message is due, in the thread that runs the instrument.
using message_supply = std::function<std::optional<stream_data>()>;

/// `pub` waits for its first reader, and for a slow one rather than dropping, so that what was
/// simulated arrives whole.
enum class instrument_socket : std::uint8_t { push, pub };

struct instrument_options {
  std::string url = "tcp://127.0.0.1:*";
  instrument_socket kind = instrument_socket::push;
  bool bind = true;                ///< as instruments do; false: connect to a reader that listens
  double rate = 0;                 ///< messages per second; 0: as fast as they are taken
  int send_high_water_mark = 1000; ///< messages waiting in ZeroMQ
};

/// Parts of at least this size are sent from where they lie; copying a smaller one is cheaper than
/// keeping track of it.
inline constexpr std::size_t instrument_copy_limit = 1024;

class instrument {
 public:
  enum class outcome : std::uint8_t {
    complete, ///< everything was handed to the operating system
    stopped,  ///< on request, or by a socket that failed
  };

  /// Opens the socket. Throws `std::runtime_error` that names the URL when that fails.
  instrument(instrument_options options, message_supply supply);
  ~instrument();
  instrument(const instrument&) = delete;
  instrument& operator=(const instrument&) = delete;

  /// Where it listens, or what it connects to.
  const std::string& address() const { return address_; }

  /// Sends everything, each message at its due time: the n-th n/rate after the start, at once when
  /// that has passed. Waits for readers and for the tail to be taken; `stop` ends it at once.
  /// Called once, from any thread; what the supply throws passes through.
  outcome run(const std::stop_token& stop);

  /// So far; from any thread.
  std::uint64_t messages() const { return messages_.load(std::memory_order_relaxed); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  class outlet;

  instrument_options options_;
  message_supply supply_;
  std::unique_ptr<outlet> outlet_;
  std::string address_;
  std::atomic<std::uint64_t> messages_ = 0, bytes_ = 0;
};

} // namespace dtranspose
