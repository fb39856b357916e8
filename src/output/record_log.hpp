/// The append-only file under the journals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "source/file_descriptor.hpp"

namespace dtranspose {

/// There is no room for what was appended: the disk is full, the quota used up or the file as long as it may
/// be.
class record_log_full : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A file of records, each with a checksum: what was committed survives the death of the process, what was
/// synced that of the machine. Used from one thread. A process that goes on after it has met the limit of
/// `ulimit -f` must ignore SIGXFSZ.
///
/// The file, all numbers little endian: a head of magic number (8 bytes), version (u32), length of the label
/// (u32), identity of the file (u64, random), label and the checksum of all that (u32); then the records:
/// length (u32), kind (u8), checksum of the file's identity, of the record's place in the file, of length and
/// kind (u32), the same checksum continued over the content (u32), content. As identity and place are in it,
/// a stale block of this or an older file is never taken for a record. The checksum is CRC-32C.
class record_log {
 public:
  struct record {
    std::uint8_t kind;
    std::span<const std::byte> content; ///< valid during the call of the reader
  };
  using reader = std::function<void(const record&)>;

  /// What a file holds.
  struct summary {
    std::string label; ///< empty if the head is not whole: then there are no records
    std::uint64_t records = 0;
    std::uint64_t whole = 0;    ///< bytes of head and whole records
    std::uint64_t trailing = 0; ///< bytes after them: torn or damaged, or just being written
    bool damaged = false;       ///< whole records lie among `trailing`
  };

  /// A length is 32 bit, and whoever reads a record holds it in memory as a whole.
  static constexpr std::size_t longest_content = std::size_t{1} << 30;
  static constexpr std::size_t longest_label = 255;

  /// Opens the file or makes it, with its directories. Calls `each`, unless it is empty, for every whole
  /// record in order; then cuts off a torn or damaged tail and syncs, so that what `each` was given survives
  /// the machine from now on. If `each` throws, the file stays as it is. No two processes have the same file
  /// open this way. Throws std::runtime_error, naming the path, also for a file of another label or version
  /// and for any other file, none of which it changes.
  record_log(std::filesystem::path path, std::string_view label, const reader& each);
  record_log(const record_log&) = delete;
  record_log& operator=(const record_log&) = delete;
  /// What was not committed is dropped.
  ~record_log() = default;

  /// Reads a file without locking or changing it. Throws std::runtime_error, naming the path.
  static summary read(const std::filesystem::path& path, const reader& each);

  /// Copies a record into memory; whoever goes on appending while commits fail watches
  /// `appended_not_committed`. Throws std::runtime_error if the content is too long.
  void append(std::uint8_t kind, std::span<const std::byte> content);

  /// Hands what was appended to the system. If that fails, throws record_log_full or std::runtime_error: the
  /// file holds no part of the batch, what was appended is kept and the next commit tries again.
  void commit();

  /// Commits, and returns once all of it is on the disk. If the disk fails here, throws std::runtime_error,
  /// and so does every later commit and sync: the system may have dropped what it could not write, so only
  /// what is found on opening the file again can be relied on.
  void sync();

  /// Bytes in the file: its head and what was committed.
  std::uint64_t size() const { return size_; }
  std::uint64_t appended_not_committed() const { return appended_; }
  std::uint64_t committed_not_synced() const { return size_ - synced_; }

  /// How many bytes were cut off on opening.
  std::uint64_t recovered() const { return recovered_; }
  /// Whole records were among what was cut off. A process that died in a write does not leave that: a disk or
  /// a program changed the file, or the machine went down while it wrote records that nobody had synced.
  bool damaged() const { return damaged_; }

  const std::filesystem::path& path() const { return path_; }

  /// Deletes the file and closes it; nothing can be appended or committed after that.
  void remove();

 private:
  using block = std::vector<std::byte>;

  void open_and_lock();
  void begin(std::string_view label);
  void write(std::span<const std::span<const std::byte>> pieces, std::uint64_t count);
  block& room_for(std::size_t count);
  void recycle_blocks();
  void check_usable() const;

  std::filesystem::path path_;
  file_descriptor file_;
  std::uint32_t identity_ = 0; ///< the checksum of the file's identity, with which all others begin
  std::vector<block> blocks_;  ///< what was appended; never grows beyond its capacity
  std::vector<block> spare_;   ///< empty ones, to be used again
  std::uint64_t size_ = 0, synced_ = 0, appended_ = 0, recovered_ = 0;
  bool damaged_ = false;
  int sync_error_ = 0;
};

/// CRC-32C (Castagnoli) of `bytes` after what gave `before`; 0 at the beginning.
std::uint32_t crc32c(std::uint32_t before, std::span<const std::byte> bytes);
/// The same for processors without an instruction for it.
std::uint32_t crc32c_by_table(std::uint32_t before, std::span<const std::byte> bytes);

} // namespace dtranspose
