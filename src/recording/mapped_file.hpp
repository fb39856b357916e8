/// Files read by mapping them into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <utility>

namespace dtranspose {

/// A file in memory, read only, for as long as somebody holds it. It must not be cut short
/// meanwhile: the system answers that with SIGBUS.
class mapped_file {
 public:
  /// Throws std::runtime_error, naming the file, when it cannot be read.
  static std::shared_ptr<const mapped_file> open(const std::filesystem::path& path);

  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

} // namespace dtranspose
