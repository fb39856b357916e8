/// A simulated instrument: a real socket that sends what it is given. What a message says is not its
/// business.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "model/frame.hpp"

namespace dtranspose {

/// Gives the next message to send, with its parts as frames; nothing when there are no more. Called
/// when the message is due, in the thread that runs the instrument.
using message_supply = std::function<std::optional<stream_data>()>;

class instrument {
 public:
  enum class outcome : std::uint8_t {
    complete, ///< everything was handed to the operating system
    stopped,  ///< on request, or by a socket that failed
  };

  instrument() = default;
  virtual ~instrument() = default;
  instrument(const instrument&) = delete;
  instrument& operator=(const instrument&) = delete;

  /// Where it listens, or what it connects to.
  virtual const std::string& address() const = 0;

  /// Sends everything, each message at its due time: the n-th n/rate after the start, at once when
  /// that has passed. Waits for readers and for the tail to be taken; `stop` ends it at once.
  /// Called once, from any thread; what the supply throws passes through.
  virtual outcome run(const std::stop_token& stop) = 0;

  /// So far; from any thread.
  std::uint64_t messages() const { return messages_.load(std::memory_order_relaxed); }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 protected:
  void count(std::size_t bytes) {
    messages_.fetch_add(1, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> messages_ = 0, bytes_ = 0;
};

} // namespace dtranspose
