/// What `dtranspose inspect` says of a recording.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "recording/mapped_file.hpp"
#include "runtime/capture_choice.hpp"

namespace dtranspose {

/// A dump, or a raw capture, which is read as `choice` says; without one as messages of an unknown protocol.
/// Throws std::runtime_error, naming the file, when it is neither, or a dump with a choice.
nlohmann::ordered_json description_of(const std::shared_ptr<const mapped_file>& file,
                                      const std::optional<capture_choice>& choice);

/// The same to be read by people: lines, each with its end.
std::string text_of_description(const nlohmann::ordered_json& description);

} // namespace dtranspose
