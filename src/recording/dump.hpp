/// Dumps of ingesters: files of recorded stream data, one CBOR item per event and ingester, that
/// follow one another up to the end of the file.
///
///     item   = tag 55799 ( tag 42877 ( [ event, { name: stream, ... }, created_at? ] ) )
///     stream = tag 42878 ( [ type, [ part, ... ] ] )
///
/// The tags may be missing. Raw captures of messages share the file name's ending, not the form.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/frame.hpp"
#include "recording/mapped_file.hpp"

namespace dtranspose {

/// What one stream gave to a recorded event.
struct dump_stream {
  std::string name;
  stream_data data; ///< of the recorded type; its frames are views of the file, which it keeps
};

/// What one ingester gave to an event.
struct dump_item {
  std::uint64_t event = 0;
  std::vector<dump_stream> streams;
  /// When the ingester made it, in seconds since 1970 (UTC). Nothing where the file has no usable
  /// time.
  std::optional<double> created_at = {};
  std::size_t end_offset = 0; ///< where the next item begins
};

/// Do these first bytes of a file begin a dump, and not a raw capture or something else?
bool is_dump(std::span<const std::byte> bytes);

/// Reads a dump from its first item to its last. Used from one thread; what it returned is free of
/// it.
class dump_reader {
 public:
  /// Throws std::runtime_error, naming the file, when it is not empty and no dump.
  explicit dump_reader(std::shared_ptr<const mapped_file> file);

  /// The next item; nothing at the end of the file and where it cannot be read on.
  std::optional<dump_item> next();

  /// Empty, or in which file and at which byte the file is cut off or malformed, once `next` got
  /// there.
  const std::string& cut_off() const { return cut_off_; }

  const mapped_file& file() const { return *file_; }

 private:
  std::shared_ptr<const mapped_file> file_;
  std::size_t offset_ = 0;
  std::string cut_off_;
};

} // namespace dtranspose
