/// The descriptions of the REST interfaces, OpenAPI 3.1, which lie in the program: docs/openapi/control.json
/// and results.json. The build writes the source of it.
#pragma once

#include <string_view>

namespace dtranspose {

std::string_view control_description();
std::string_view results_description();

} // namespace dtranspose
