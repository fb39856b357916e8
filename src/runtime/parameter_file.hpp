/// Files with the parameters of an analysis, as they are kept beside recordings.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace dtranspose {

/// The written forms by name. The file is a list, `[{"name": "threshold", "data": "5"}, ...]`, in JSON with
/// texts or in CBOR with byte strings. The prefix of recordings (`dump_prefix`), which is in there among the
/// others, is left out. Throws std::runtime_error, naming the file, when it is no such list or a name is in
/// it twice.
std::map<std::string, std::string> read_parameter_file(const std::filesystem::path& file);

} // namespace dtranspose
