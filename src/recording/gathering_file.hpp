/// A file that grows at its end, in large pieces.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "model/frame.hpp"

namespace dtranspose {

/// What is put is gathered and written together; a failed write drops what was gathered and cuts the file
/// back to what was written before. Used from one thread.
class gathering_file {
 public:
  /// Appends to `path`, which is made if missing. Throws std::runtime_error, naming the file.
  explicit gathering_file(const std::filesystem::path& path);
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

  /// Is there nothing in it, and nothing gathered?
  bool empty() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  /// A piece of `small_`, or large bytes that live elsewhere.
  struct piece {
    const std::byte* large; ///< null: the next `size` bytes of `small_`
    std::size_t size;
  };

  /// Returns whether it was not copied.
  bool put_part(const frame& part);

  std::filesystem::path path_;
  int file_ = -1;
  std::vector<std::byte> small_;
  std::vector<piece> pieces_;
  std::vector<stream_data> held_; ///< owns the large pieces
  std::size_t gathered_ = 0;      ///< bytes in `pieces_`
};

} // namespace dtranspose
