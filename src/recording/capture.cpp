#include "recording/capture.hpp"

#include <stdexcept>
#include <utility>

#include "protocol/cbor_tokens.hpp"
#include "recording/dump.hpp"
#include "recording/hdf5_reader.hpp"
#include "recording/parts.hpp"

namespace dtranspose {

namespace {

std::string_view other_form(std::span<const std::byte> bytes) {
  if (is_dump(bytes)) return "a dump of an ingester";
  if (is_pickle(bytes)) return "a pickle, which is a program rather than data and is not read";
  if (is_hdf5(bytes)) return "an HDF5 file";
  return "of an unknown form";
}

} // namespace

bool is_pickle(std::span<const std::byte> bytes) {
  // "Protocol 2" to "protocol 5". In a capture an empty message would be followed by another array.
  constexpr std::byte protocol{0x80}, lowest{2}, highest{5};
  return bytes.size() > 1 && bytes[0] == protocol && bytes[1] >= lowest && bytes[1] <= highest;
}

bool is_capture(std::span<const std::byte> bytes) {
  if (bytes.empty() || is_dump(bytes) || is_pickle(bytes) || is_hdf5(bytes)) return false;
  auto first = std::to_integer<int>(bytes[0]);
  return (first >= 0x80 && first <= 0x9b) || first == 0x9f;
}

capture_reader::capture_reader(std::shared_ptr<const mapped_file> file, std::string_view type)
    : file_(std::move(file)), type_(type) {
  auto bytes = file_->bytes();
  if (!bytes.empty() && !is_capture(bytes))
    throw std::runtime_error(file_->path().string() + ": no raw capture but " +
                             std::string(other_form(bytes)));
}

std::optional<stream_data> capture_reader::next() {
  if (!cut_off_.empty()) return std::nullopt;
  if (offset_ == file_->bytes().size()) {
    cut_off_ = file_->cut_off();
    return std::nullopt;
  }
  try {
    cbor::token_reader in(file_->bytes(), offset_);
    auto message = read_parts(in, in.next(), file_, type_);
    offset_ = in.end();
    return message;
  } catch (const cbor::unreadable& e) {
    cut_off_ = file_->path().string() + ": byte " + std::to_string(e.at) + ": " + e.what +
               ", in the message that begins at byte " + std::to_string(offset_);
    if (!file_->cut_off().empty()) cut_off_ += "; " + file_->cut_off();
    return std::nullopt;
  }
}

void capture_reader::rewind() {
  offset_ = 0;
  cut_off_.clear();
}

} // namespace dtranspose
