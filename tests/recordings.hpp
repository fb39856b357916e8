/// Where tests find recordings of real instruments, which are no part of the project.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

namespace dtranspose::test {

/// The recording of that name in the directory DTRANSPOSE_RECORDINGS, or else in
/// `shared/recordings` beside the project. Nothing when it is missing: the test then skips itself.
inline std::optional<std::filesystem::path> find_recording(std::string_view name) {
  std::filesystem::path directory;
  if (auto set = std::getenv("DTRANSPOSE_RECORDINGS")) directory = set;
#ifdef DTRANSPOSE_SOURCE_DIR
  else
    directory = std::filesystem::path(DTRANSPOSE_SOURCE_DIR) / "../shared/recordings";
#endif
  std::error_code ignored;
  auto path = directory / name;
  if (directory.empty() || !std::filesystem::exists(path, ignored)) return std::nullopt;
  return path;
}

} // namespace dtranspose::test
