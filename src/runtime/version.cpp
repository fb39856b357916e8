#include "runtime/version.hpp"

namespace dtranspose {

std::string_view version() { return DTRANSPOSE_VERSION; }

} // namespace dtranspose
