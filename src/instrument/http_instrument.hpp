/// Instruments that post what they have to an HTTP server.
#pragma once

#include <memory>
#include <string>

#include "instrument/instrument.hpp"

namespace dtranspose {

struct http_instrument_options {
  std::string url; ///< of the server, e.g. `http://127.0.0.1:9997`
  double rate = 0; ///< messages per second; 0: as fast as they are answered
};

/// Posts what `supply` gives, one after the other over one connection: a message has two parts, path and JSON
/// body. Waits for a server that is not there yet, and posts again what was answered with 503 or lost with
/// its connection (which the server may have taken all the same: then it has it twice). A body that the
/// server refuses (422, 413) is left behind, as instruments do; `run` throws std::runtime_error for any other
/// answer, and for a message that has no two parts. Throws std::runtime_error when `url` is none.
std::unique_ptr<instrument> make_http_instrument(http_instrument_options options, message_supply supply);

} // namespace dtranspose
