/// How analyses are named in configurations, on the command line and between processes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

/// Anything with a `/` in it, or ending in `.so`: a shared object, not a built-in analysis.
bool is_plugin_path(std::string_view entry);

/// What parameters and results of an entry are called by: itself, or for a path the file's stem without a
/// leading `lib`.
std::string analysis_name_of(std::string_view entry);

/// Several analyses, one behind the other: a line for each; on a line of its own, people write `A,B`.
std::vector<std::string> split_analyses(std::string_view text);
std::string joined_analyses(const std::vector<std::string>& entries);

} // namespace dtranspose
