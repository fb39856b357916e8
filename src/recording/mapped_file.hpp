/// Files read by mapping them into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "recording/unpacked.hpp"

namespace dtranspose {

/// A file in memory, read only, for as long as somebody holds it. It must not be cut short
/// meanwhile: the system answers that with SIGBUS.
class mapped_file {
 public:
  /// What is in gzip or Zstandard, whatever the file's name, is unpacked: into memory, or where it is large
  /// into a file without a name in TMPDIR, else /var/tmp. Throws std::runtime_error, naming the file, when it
  /// cannot be read, or when there is no room to unpack it.
  static std::shared_ptr<const mapped_file> open(const std::filesystem::path& path);

  /// A copy of `content` as it is, for what never was a file. `name` is its path.
  static std::shared_ptr<const mapped_file> of(std::span<const std::byte> content,
                                               std::filesystem::path name);

  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file();

  /// The content; of a packed file what was in it.
  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }
  /// Empty, or in which file and at which byte what it is packed in is cut off or damaged: `bytes` is what
  /// could be unpacked before.
  const std::string& cut_off() const { return cut_off_; }

  bool packed() const { return packed_; }
  /// Of a packed file: where its last whole member ends, in the file and in `bytes`.
  std::size_t whole_packed() const { return whole_packed_; }
  std::size_t whole_size() const { return whole_size_; }

 private:
  explicit mapped_file(std::filesystem::path path) : path_(std::move(path)) {}

  void unmap();
  void unpack(unpacked (*unpack)(std::span<const std::byte>, std::size_t, std::size_t));

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
  std::string cut_off_;
  bool packed_ = false;
  std::size_t whole_packed_ = 0, whole_size_ = 0;
  std::unique_ptr<std::byte, free_memory> memory_; ///< what `bytes_` is in if it is not the file itself
};

} // namespace dtranspose
