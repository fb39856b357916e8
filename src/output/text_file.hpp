/// Small files of text, whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace dtranspose {

/// Writes `path`, replacing what is there, by way of a file beside it that is renamed: whoever reads it sees
/// the old text or the new one. Throws std::runtime_error that names the file.
void write_text_file(const std::filesystem::path& path, std::string_view text);

} // namespace dtranspose
