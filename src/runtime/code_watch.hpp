/// Notices that files of code have changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace dtranspose {

/// Python files in some folders and those below. Folders of environments, and those whose names begin with a
/// dot, are passed by.
class code_watch {
 public:
  explicit code_watch(std::vector<std::filesystem::path> folders)
      : folders_(std::move(folders)), last_(look()) {}

  /// Has one come, gone or changed since the last time? Looks at most once a second.
  bool changed();

 private:
  std::uint64_t look() const;

  std::vector<std::filesystem::path> folders_;
  std::uint64_t last_; ///< all names and times as one number
  std::chrono::steady_clock::time_point looked_ = std::chrono::steady_clock::now();
};

} // namespace dtranspose
