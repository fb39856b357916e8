/// Which version of dtranspose this is: processes of different versions don't talk to each other.
#pragma once

#include <string_view>

namespace dtranspose {

std::string_view version();

} // namespace dtranspose
