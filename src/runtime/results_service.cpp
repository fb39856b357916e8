#include "runtime/results_service.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <stdexcept>

namespace dtranspose {

std::unique_ptr<results_server> serve_results(const host_and_port& at,
                                              std::shared_ptr<const snapshot_store> snapshots,
                                              const http_protection& protection) {
  std::unique_ptr<results_server> server;
  try {
    server = std::make_unique<results_server>(at.host, at.port, std::move(snapshots), protection);
  } catch (const std::exception& e) {
    throw std::runtime_error(fmt::format("{} (see [http] results, --results)", e.what()));
  }
  spdlog::info("results at {}://{}", protection.tls ? "https" : "http",
               to_string(host_and_port{at.host, server->port()}));
  server->start();
  return server;
}

} // namespace dtranspose
