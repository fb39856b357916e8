/// What files of the messages of one instrument have in common, whatever their form.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/frame.hpp"
#include "recording/mapped_file.hpp"

namespace dtranspose {

/// Gives the messages from the first to the last. Used from one thread; what it returned is free of it.
class message_reader {
 public:
  virtual ~message_reader() = default;

  /// The next message, whose frames are views of the file, which it keeps; of a byte stream the next piece.
  /// Nothing at the end of the file and where it cannot be read on.
  virtual std::optional<stream_data> next() = 0;

  /// When the message that was read last was received, in seconds since 1970 (UTC); nothing where that was
  /// not written down.
  virtual std::optional<double> time() const { return std::nullopt; }

  /// Was the connection lost between the message that was read last and the one before?
  virtual bool interrupted() const { return false; }

  /// Where the next message begins.
  virtual std::size_t offset() const = 0;

  /// Empty, or what of the file was left out as it is damaged, as far as it was read.
  virtual const std::string& damage() const;
  /// Begins anew.
  virtual void rewind() = 0;

  /// Empty, or in which file and at which byte the file is cut off or malformed, once `next` got there.
  virtual const std::string& cut_off() const = 0;

  virtual const mapped_file& file() const = 0;

  /// Empty, or what was received and not recorded, as far as the file was read.
  virtual const std::string& gaps() const;
};

/// Do these first bytes of a file begin one of the messages of an instrument: a raw capture or a wire
/// recording?
bool holds_messages(std::span<const std::byte> bytes);

/// A reader of `file`, by what its first bytes say it is. `type`: type tag of the messages, a constant or
/// interned by `intern_type`. Throws std::runtime_error, naming the file, when it holds no messages.
std::unique_ptr<message_reader> read_messages(std::shared_ptr<const mapped_file> file,
                                              std::string_view type = {});

} // namespace dtranspose
