/// Arrays of a recorded stream in a file of their own.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "recording/mapped_file.hpp"
#include "runtime/capture_choice.hpp"

namespace dtranspose {

/// Writes the images of `stream` to the HDF5 file `to`, see `image_file`; a file of that name is replaced. A
/// raw capture is read as `choice` says. Returns what was written, with what was left out as `warnings`.
/// Throws std::runtime_error when the stream is not there or has no images.
nlohmann::ordered_json extract_images(const std::shared_ptr<const mapped_file>& file,
                                      const std::optional<capture_choice>& choice, const std::string& stream,
                                      const std::filesystem::path& to);

/// The same to be read by people: lines, each with its end.
std::string text_of_extraction(const nlohmann::ordered_json& extraction);

} // namespace dtranspose
