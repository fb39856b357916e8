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
#include "recording/message_reader.hpp"

namespace dtranspose {

/// Do these first bytes of a file begin a raw capture, and not a dump or something else?
bool is_capture(std::span<const std::byte> bytes);

/// Do these first bytes of a file begin a pickle, as in `.pkls`? Those are never read.
bool is_pickle(std::span<const std::byte> bytes);

/// See `message_reader`.
class capture_reader final : public message_reader {
 public:
  /// `type`: type tag of the messages, a constant or interned by `intern_type`. Throws std::runtime_error,
  /// naming the file, when it is not empty and no capture.
  explicit capture_reader(std::shared_ptr<const mapped_file> file, std::string_view type = {});

  std::optional<stream_data> next() override;
  void rewind() override;
  const std::string& cut_off() const override { return cut_off_; }

  std::size_t offset() const override { return offset_; }
  const mapped_file& file() const override { return *file_; }

 private:
  std::shared_ptr<const mapped_file> file_;
  std::string_view type_;
  std::size_t offset_ = 0;
  std::string cut_off_;
};

} // namespace dtranspose
