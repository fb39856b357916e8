/// What an analysis in Python is made of: `[analysis.python]` without the parameters of its classes.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

struct python_settings {
  /// `package.module:Class`. Required.
  std::string worker;
  /// The same. Default: empty, nothing is folded.
  std::string reducer;
  /// Interpreter with the package dtranspose, a path or a name in PATH. Default: python3.
  std::string interpreter = "python3";
  /// Working folder, first on the module path. Default: empty, that of the program.
  std::string directory;
  /// More folders for the module path. Default: none.
  std::vector<std::string> path;
  /// Variables of the environment, over those of the program. Default: none.
  std::map<std::string, std::string> environment;
  /// Bytes of its own memory from which on a process is replaced; 0: no limit. Default: 0.
  std::uint64_t memory_limit = 0;
  /// May results travel as pickles? Default: true.
  bool pickles = true;

  // Not in this section: `[scan]` says them for every analysis.
  std::chrono::nanoseconds event_timeout = std::chrono::seconds(60);
  std::uint32_t max_attempts = 3;

  /// How often the classes were to be read anew from their files.
  std::uint32_t reloads = 0;

  bool operator==(const python_settings&) const = default;
};

/// An entry of `analysis.use` that says all of it, and travels to who runs it: `python:{...}`.
std::string python_entry(const python_settings& settings);
bool is_python_entry(std::string_view entry);
/// The same with classes that are read anew. Throws std::runtime_error where it is none.
std::string reloaded_python_entry(std::string_view entry);
/// Throws std::runtime_error where it is none.
python_settings parse_python_entry(std::string_view entry);

} // namespace dtranspose
