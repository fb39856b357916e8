/// Says of a file that a process is writing it, as long as that process lives.
#pragma once

#include <filesystem>
#include <optional>

#include "source/file_descriptor.hpp"

namespace dtranspose {

/// Holds a lock on a byte far behind the end of a file: it is in nobody's way who reads it, and goes with the
/// process, however that ends. A file system without locks has no claims: nobody is ever found there.
class file_claim {
 public:
  /// Nothing where a process, be it this one, holds the claim on that file. Throws std::runtime_error where
  /// it cannot be opened for writing.
  static std::optional<file_claim> take(const std::filesystem::path& file);
  /// The same of a file that is made, empty, where it is not there.
  static std::optional<file_claim> make(const std::filesystem::path& file);

 private:
  explicit file_claim(file_descriptor file) : file_(std::move(file)) {}

  file_descriptor file_;
};

} // namespace dtranspose
