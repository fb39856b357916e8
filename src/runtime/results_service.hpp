/// The results server of a process.
#pragma once

#include <memory>
#include <string>

#include "http/control_server.hpp"
#include "http/results_server.hpp"
#include "runtime/quantities.hpp"

namespace dtranspose {

/// Serves snapshots at an address from now on, and says so. Throws std::runtime_error that names the address
/// and where it can be changed.
std::unique_ptr<results_server> serve_results(const host_and_port& at,
                                              std::shared_ptr<const snapshot_store> snapshots,
                                              const http_protection& protection);

} // namespace dtranspose
