/// Messages that an instrument posts: an HTTP server for one stream, which holds the instrument back by
/// answering late.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "protocol/protocol.hpp"
#include "source/source.hpp"

namespace dtranspose {

struct http_source_options {
  std::string url; ///< where to listen, e.g. `http://*:9997`; port 0 or `*`: any
  std::unique_ptr<protocol> format;
  /// How long a request may wait for allowance before it is answered 503. Less than the 30 s or more that
  /// clients usually wait.
  std::chrono::milliseconds patience = std::chrono::seconds(10);
  /// How long after a request its sender counts as connected: many connect for each request anew.
  std::chrono::milliseconds remembered = std::chrono::seconds(10);
};

/// Connections at once; each has a thread and may hold one body. An instrument has one or two.
inline constexpr std::size_t http_source_connections = 16;

/// See `source`. Takes POST requests to the four paths of Sardana's recorder; a message of the format is
/// path and body.
///
/// | answer        | when                                                                          |
/// | ------------- | ----------------------------------------------------------------------------- |
/// | 200 `null`    | taken, or dropped as no scan is armed                                         |
/// | 404, 405, 415 | another path, another method, a form of several parts                         |
/// | 400           | a body that ends too early                                                    |
/// | 413, 422      | the format refuses the body as oversized, or for another reason               |
/// | 503           | the allowance was used up for as long as `patience`; the same can be posted again |
///
/// Errors have a JSON body with `detail`. Requests become messages in the order in which their bodies were
/// complete. What was refused with 503, or whose sender hung up while it waited, was not taken; unless the
/// next message is the same again, the format is told that messages may be missing
/// (`protocol::interrupted`).
///
/// While armed, every message counts `budgeted_bytes` of its payload, custom data excepted. The address is
/// taken at once; if that fails `status().error` says why, and it is tried again every second. Its methods
/// may be called from any thread but that of the sink.
std::unique_ptr<source> make_http_source(http_source_options options);

struct http_address {
  std::string host;       ///< without brackets; 0.0.0.0 for `*`
  std::uint16_t port = 0; ///< 0 for `*`
};

/// Of `http://host:port`, with or without a `/` at its end. Throws std::runtime_error that names the address
/// when it is none.
http_address parse_http_address(std::string_view url);

} // namespace dtranspose
