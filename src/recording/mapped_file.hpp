/// Files read by mapping them into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "recording/gzip.hpp"

namespace dtranspose {

/// A file in memory, read only, for as long as somebody holds it. It must not be cut short
/// meanwhile: the system answers that with SIGBUS.
class mapped_file {
 public:
  /// What is in gzip, whatever the file's name, is unpacked into memory. Throws std::runtime_error, naming
  /// the file, when it cannot be read, or when more is in gzip than `gzip_limit`.
  static std::shared_ptr<const mapped_file> open(const std::filesystem::path& path);

  /// A copy of `content` as it is, for what never was a file. `name` is its path.
  static std::shared_ptr<const mapped_file> of(std::span<const std::byte> content,
                                               std::filesystem::path name);

  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file();

  /// The content; of gzip what was in it.
  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }
  /// Empty, or in which file and at which byte the gzip around the content is cut off or damaged: `bytes` is
  /// what could be unpacked before.
  const std::string& cut_off() const { return cut_off_; }

 private:
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {}

  void unmap();
  void unpack();

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  std::unique_ptr<std::byte, free_memory> memory_; ///< what `bytes_` is in if it is not mapped
  std::string cut_off_;
};

} // namespace dtranspose
