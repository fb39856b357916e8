#include "recording/message_reader.hpp"

#include <utility>

#include "recording/capture.hpp"
#include "recording/wire_recording.hpp"

namespace dtranspose {

namespace {

const std::string nothing;

} // namespace

const std::string& message_reader::damage() const { return nothing; }

const std::string& message_reader::gaps() const { return nothing; }

bool holds_messages(std::span<const std::byte> bytes) {
  return is_capture(bytes) || is_wire_recording(bytes);
}

std::unique_ptr<message_reader> read_messages(std::shared_ptr<const mapped_file> file,
                                              std::string_view type) {
  if (is_wire_recording(file->bytes())) return std::make_unique<wire_reader>(std::move(file), type);
  return std::make_unique<capture_reader>(std::move(file), type);
}

} // namespace dtranspose
