/// Which protocol may a raw capture hold? It does not say.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "recording/mapped_file.hpp"

namespace dtranspose {

/// Name of the protocol that reads the first messages of the capture `file` best, by its own options; nothing
/// when all of them refuse most. A guess: formats can look alike. Throws std::runtime_error, naming the file,
/// when it is no capture.
std::optional<std::string_view> guess_protocol(const std::shared_ptr<const mapped_file>& file);

} // namespace dtranspose
