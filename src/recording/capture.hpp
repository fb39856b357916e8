/// Raw captures: files of the messages of one instrument as they came, one CBOR item per message, that
/// follow one another up to the end of the file.
///
///     item = [ part, ... ]
///
/// They have no stream name, no event number and no time: the protocol of the instrument finds the numbers.
/// Dumps of ingesters share the file name's ending, not the form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/frame.hpp"
#include "recording/mapped_file.hpp"

namespace dtranspose {

/// Do these first bytes of a file begin a raw capture, and not a dump or something else?
bool is_capture(std::span<const std::byte> bytes);

/// Do these first bytes of a file begin a pickle, as in `.pkls`? Those are never read.
bool is_pickle(std::span<const std::byte> bytes);

/// Reads a capture from its first message to its last. Used from one thread; what it returned is free of it.
class capture_reader {
 public:
  /// `type`: type tag of the messages, a constant or interned by `intern_type`. Throws std::runtime_error,
  /// naming the file, when it is not empty and no capture.
  explicit capture_reader(std::shared_ptr<const mapped_file> file, std::string_view type = {});

  /// The next message, whose frames are views of the file, which it keeps; nothing at the end of the file
  /// and where it cannot be read on.
  std::optional<stream_data> next();

  /// Begins anew.
  void rewind();

  /// Empty, or in which file and at which byte the file is cut off or malformed, once `next` got there.
  const std::string& cut_off() const { return cut_off_; }

  /// Where the next message begins.
  std::size_t offset() const { return offset_; }
  const mapped_file& file() const { return *file_; }

 private:
  std::shared_ptr<const mapped_file> file_;
  std::string_view type_;
  std::size_t offset_ = 0;
  std::string cut_off_;
};

} // namespace dtranspose
