/// Writes dumps of ingesters, the form that `dump.hpp` describes: definite lengths, shortest heads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "recording/dump.hpp"

namespace dtranspose {

/// Used from one thread. Items are gathered and written in large pieces; a failed write drops what
/// was gathered and cuts the file back to whole items, so that what was written before stays
/// readable.
class dump_writer {
 public:
  /// Appends to `path`, which is made if missing. Throws std::runtime_error, naming the file.
  explicit dump_writer(const std::filesystem::path& path);
  dump_writer(const dump_writer&) = delete;
  dump_writer& operator=(const dump_writer&) = delete;
  /// Flushes; an error then is lost, so call `flush` to hear of it.
  ~dump_writer();

  /// Adds an item. `created_at` is in seconds since 1970 (UTC), written to the microsecond. Large
  /// frames are held rather than copied until they are written. Throws std::runtime_error, naming
  /// the file.
  void append(std::uint64_t event, std::span<const dump_stream> streams,
              std::optional<double> created_at = {});

  /// Hands what was gathered to the system. Throws std::runtime_error, naming the file.
  void flush();

 private:
  /// A piece of `small_`, or large bytes that live elsewhere.
  struct piece {
    const std::byte* large; ///< null: the next `size` bytes of `small_`
    std::size_t size;
  };

  /// One of libcbor's encoders of heads: number, buffer, its size; returns the bytes used.
  using encoder = std::size_t (*)(std::uint64_t, unsigned char*, std::size_t);

  void put_stream(const dump_stream& stream);
  void put_head(encoder encode, std::uint64_t n);
  void put_text(std::string_view text);
  void put_small(const void* data, std::size_t size);

  std::filesystem::path path_;
  int file_ = -1;
  std::vector<std::byte> small_; ///< heads, names and short frames
  std::vector<piece> pieces_;
  std::vector<stream_data> held_; ///< owns the large pieces
  std::size_t gathered_ = 0;      ///< bytes in `pieces_`
};

} // namespace dtranspose
