/// Times as texts, ISO 8601 in UTC, as files hold them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dtranspose {

/// E.g. `2024-10-07T08:49:10.627000Z`, to the microsecond; without a fraction where that is zero.
std::string utc_text(std::chrono::system_clock::time_point time);

/// Seconds since 1970 of a time as in RFC 3339: any offset, any number of digits; without an offset
/// it is UTC. Nothing where the text is no time.
std::optional<double> parse_utc(std::string_view text);

} // namespace dtranspose
