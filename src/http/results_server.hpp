/// Serves snapshots of results to viewers: HDF REST and the routes of the page, on an address of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "http/connection.hpp"
#include "http/control_server.hpp"
#include "output/snapshots.hpp"

namespace dtranspose {

struct results_limits {
  std::size_t connections = 128; ///< served at once, each by a thread of its own
  std::size_t streams = 48;      ///< of events, among them; more are answered with 503
  std::size_t body = std::size_t{64} << 20;
  /// Bytes of all answers under way. What is more is answered with 503, but for one of any size that is
  /// alone.
  std::size_t answers = std::size_t{1} << 30;
  http_times times = {};
};

class results_server {
 public:
  /// Takes the port (0: any) but answers nobody yet. Throws std::runtime_error naming the address when that
  /// cannot be had.
  results_server(const std::string& host, std::uint16_t port, std::shared_ptr<const snapshot_store> store,
                 http_protection protection = {}, results_limits limits = {});
  ~results_server();

  std::uint16_t port() const;

  /// Answers requests, in threads of its own. Called once.
  void start();

  /// Closes all connections and returns when the last one has ended. For good; may be called again.
  void stop();

 private:
  class listener;
  std::unique_ptr<listener> listener_;
};

/// The content with gzip; empty where that does not make it much smaller.
std::string packed(std::string_view content);

} // namespace dtranspose
