/// Instruments with a ZeroMQ socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "instrument/instrument.hpp"

namespace dtranspose {

/// `pub` waits for its first reader, and for a slow one rather than dropping, so that what was
/// simulated arrives whole.
enum class instrument_socket : std::uint8_t { push, pub };

struct zmq_instrument_options {
  std::string url = "tcp://127.0.0.1:*";
  instrument_socket kind = instrument_socket::push;
  bool bind = true;                ///< as instruments do; false: connect to a reader that listens
  double rate = 0;                 ///< messages per second; 0: as fast as they are taken
  int send_high_water_mark = 1000; ///< messages waiting in ZeroMQ
};

/// Parts of at least this size are sent from where they lie; copying a smaller one is cheaper than
/// keeping track of it.
inline constexpr std::size_t instrument_copy_limit = 1024;

/// Sends what `supply` gives. Throws `std::runtime_error` that names the URL when the socket cannot be
/// opened.
std::unique_ptr<instrument> make_zmq_instrument(zmq_instrument_options options, message_supply supply);

} // namespace dtranspose
