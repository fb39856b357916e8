/// What a server answers: its routes, as its tables have them. The descriptions in docs/openapi are held
/// against these.
#pragma once

#include <string>
#include <vector>

namespace dtranspose {

/// `{name}` and `{id}` in a path stand for a part of it.
struct route_name {
  std::string method; ///< GET or POST
  std::string path;
  std::string scope; ///< what a token must open; `none`: nobody needs one

  auto operator<=>(const route_name&) const = default;
};

/// Those of the control server; of the page its own path `/` alone.
std::vector<route_name> control_routes();

/// Those of the results server.
std::vector<route_name> results_routes();

} // namespace dtranspose
