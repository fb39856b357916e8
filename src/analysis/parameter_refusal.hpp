/// Why a parameter cannot be used.
#pragma once

#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

namespace dtranspose {

/// What `describe_results` throws: `parameter 'NAME': WHY`.
inline std::invalid_argument refusal(std::string_view parameter, std::string_view why) {
  return std::invalid_argument(fmt::format("parameter '{}': {}", parameter, why));
}

} // namespace dtranspose
