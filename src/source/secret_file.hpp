/// Files with secrets: read only if nobody else can read or change them.
#pragma once

#include <filesystem>
#include <string>

namespace dtranspose {

/// The text of a file that belongs to us or root and that nobody else may read or change. Throws
/// std::runtime_error naming the file and what to change when it is missing or not like that, is no ordinary
/// file, or is larger than 1 MiB.
std::string read_secret_file(const std::filesystem::path& file);

} // namespace dtranspose
