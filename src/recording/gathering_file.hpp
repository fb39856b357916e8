/// A file that grows at its end, in large pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/frame.hpp"

namespace dtranspose {

/// How a file is packed while it is written.
enum class packing : std::uint8_t { none, gzip, zstd };

/// What is behind the name of a file that is packed like that: nothing, `.gz` or `.zst`.
const char* ending_of(packing how);

/// What is put is gathered and written together; a failed write drops what was gathered and cuts the file
/// back to what was written before. Used from one thread.
class gathering_file {
 public:
  /// Appends to `path`, which is made if missing. Throws std::runtime_error, naming the file.
  /// Packed, what is written together is a member of its own, so that everything before can be read when the
  /// last one is cut off.
  explicit gathering_file(const std::filesystem::path& path, packing how = packing::none);
  gathering_file(const gathering_file&) = delete;
  gathering_file& operator=(const gathering_file&) = delete;
  /// Flushes; an error then is lost, so call `flush` to hear of it.
  ~gathering_file();

  /// Copies the bytes.
  void put(const void* data, std::size_t size);
  /// The parts of `message` in their order, `before` each what that function puts. Long ones are held rather
  /// than copied.
  template <class Before>
  void put_parts(const stream_data& message, Before before) {
    bool large = false;
    for (auto& part : message.frames()) {
      before(part);
      large |= put_part(part);
    }
    if (large) held_.push_back(message);
  }

  /// Writes once enough is gathered. Throws std::runtime_error, naming the file.
  void flush_if_large();
  /// Hands what was gathered to the system. Throws std::runtime_error, naming the file.
  void flush();
  /// Flushes, and waits until all of it is on the disk. Throws std::runtime_error, naming the file.
  void sync();

  /// Bytes that were put and not handed to the system yet.
  std::size_t gathered() const { return gathered_; }
  /// Bytes that were handed to the system, as they lie in the file.
  std::uint64_t written() const { return written_; }

  /// Is there nothing in it, and nothing gathered?
  bool empty() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  /// A piece of `small_`, or large bytes that live elsewhere.
  struct piece {
    const std::byte* large; ///< null: the next `size` bytes of `small_`
    std::size_t size;
  };

  class packer;
  class gzip_packer;
  class zstd_packer;

  void push_to_disk();
  void drop_gathered();

  /// Returns whether it was not copied.
  bool put_part(const frame& part);

  std::filesystem::path path_;
  int file_ = -1;
  std::vector<std::byte> small_;
  std::vector<piece> pieces_;
  std::vector<stream_data> held_;  ///< owns the large pieces
  std::size_t gathered_ = 0;       ///< bytes in `pieces_`
  std::unique_ptr<packer> packer_; ///< null: as it is
  std::uint64_t written_ = 0;
  bool unusable_ = false;    ///< what is written now would not be found
  std::uint64_t pushed_ = 0; ///< of those, bytes that the system was asked to bring to the disk
};

} // namespace dtranspose
