/// Messages of instruments to be read by people.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model/frame.hpp"

namespace dtranspose {

/// One entry for each part, up to ten: JSON as it is, CBOR and pickles as JSON, `{"bytes": n, "begins":
/// "..."}` for anything else and for what is too long to be read: the beginning as text where most of it is,
/// else in hexadecimal digits.
nlohmann::ordered_json json_of_message(const stream_data& message);

/// `{"bytes": n, "begins": "..."}`.
nlohmann::ordered_json beginning_of(const frame& part);

} // namespace dtranspose
