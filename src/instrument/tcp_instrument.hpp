/// Instruments that wait for a TCP client and send it a byte stream, as a PandABox does.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "instrument/instrument.hpp"

namespace dtranspose {

/// What an instrument answers to the line that a client begins with (given without its LF); the answer has
/// its own LF. One that begins with `ERR` refuses: the connection is closed, and the next client waited for.
using line_answer = std::function<std::string(std::string_view)>;

struct tcp_instrument_options {
  std::string url = "tcp://127.0.0.1:*"; ///< where to listen; `*` for any port, or any address
  double rate = 0;                       ///< messages per second; 0: as fast as they are taken
  line_answer answer = {};               ///< empty: a client need not say anything
};

/// Longest line that a client may begin with.
inline constexpr std::size_t tcp_request_limit = 4096;

/// Sends the bytes of what `supply` gives to the first client that is not refused, and closes the connection
/// behind the last. A client that goes ends it: outcome `stopped`. Throws `std::runtime_error` that names the
/// URL when it cannot listen there.
std::unique_ptr<instrument> make_tcp_instrument(tcp_instrument_options options, message_supply supply);

} // namespace dtranspose
