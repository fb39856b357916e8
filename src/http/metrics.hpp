/// The system's numbers in the text form that Prometheus collects.
#pragma once

#include <string>
#include <string_view>

namespace dtranspose {

inline constexpr const char* metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// Out of what `progress` and `status` of the REST interface say, both JSON. What is not there is left out.
std::string metrics_text(std::string_view progress, std::string_view status);

} // namespace dtranspose
