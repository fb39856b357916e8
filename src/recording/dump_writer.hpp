/// Writes dumps of ingesters, the form that `dump.hpp` describes: definite lengths, shortest heads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "recording/dump.hpp"
#include "recording/gathering_file.hpp"

namespace dtranspose {

/// Used from one thread. Items are gathered as in a `gathering_file`; as a failed write cuts the file back to
/// whole items, what was written before stays readable. What is left at the end is flushed; an error then is
/// lost, so call `flush` to hear of it.
class dump_writer {
 public:
  /// Appends to `path`, which is made if missing. Throws std::runtime_error, naming the file.
  explicit dump_writer(const std::filesystem::path& path, packing how = packing::none);

  /// Adds an item. `created_at` is in seconds since 1970 (UTC), written to the microsecond. Large
  /// frames are held rather than copied until they are written. Throws std::runtime_error, naming
  /// the file.
  void append(std::uint64_t event, std::span<const dump_stream> streams,
              std::optional<double> created_at = {});

  /// Hands what was gathered to the system. Throws std::runtime_error, naming the file.
  void flush() { file_.flush(); }
  /// The same, and waits until it is on the disk.
  void sync() { file_.sync(); }

  const gathering_file& file() const { return file_; }

 private:
  /// One of libcbor's encoders of heads: number, buffer, its size; returns the bytes used.
  using encoder = std::size_t (*)(std::uint64_t, unsigned char*, std::size_t);

  void put_stream(const dump_stream& stream);
  void put_head(encoder encode, std::uint64_t n);
  void put_text(std::string_view text);

  gathering_file file_;
};

} // namespace dtranspose
