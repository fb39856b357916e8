/// Wire recordings: what the instrument of one stream sent, as it was received, with the time of receipt.
/// `docs/wire_recording.md` describes the form byte for byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/frame.hpp"
#include "protocol/options.hpp"
#include "recording/gathering_file.hpp"
#include "recording/message_reader.hpp"

namespace dtranspose {

/// What a file says of itself.
struct wire_description {
  std::string stream;
  std::string protocol; ///< as `make_protocol` takes it, with `options`
  protocol_options options;
};

/// Parts of one message; as many as any source takes.
inline constexpr std::uint32_t wire_part_limit = 65536;

/// Do these first bytes of a file begin a wire recording?
bool is_wire_recording(std::span<const std::byte> bytes);

/// Messages, or pieces of a byte stream, that were received and are not in the recording.
struct wire_gap {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0; ///< of their parts

  void add(const wire_gap& other) {
    messages += other.messages;
    bytes += other.bytes;
  }
};

/// Appends to a file what is received. Used from one thread; the parts of a message are written from where
/// they are. What is left at the end is flushed; an error then is lost, so call `flush` to hear of it.
class wire_writer {
 public:
  /// Appends to `path`, which is made if missing. Throws std::runtime_error, naming the file, when that
  /// cannot be, or when it is there and is packed, of an older version, or no wire recording of the same
  /// stream.
  wire_writer(const std::filesystem::path& path, const wire_description& what, packing how = packing::none);

  /// A message of parts, received at `time` (CLOCK_REALTIME, ns since 1970).
  void append_message(std::int64_t time, const stream_data& message);
  /// A piece of a byte stream, cut wherever it was: the one part of `piece`.
  void append_bytes(std::int64_t time, const stream_data& piece);
  /// The connection was lost, and is there again.
  void append_interruption(std::int64_t time);
  /// What was received from `time` on is not in the recording, up to what follows.
  void append_gap(std::int64_t time, const wire_gap& gap);

  /// Hands what was gathered to the system. All of these throw std::runtime_error, naming the file; what was
  /// written before stays readable.
  void flush() { file_.flush(); }
  /// The same, and waits until it is on the disk.
  void sync() { file_.sync(); }

  const gathering_file& file() const { return file_; }

 private:
  void append(std::uint16_t kind, std::int64_t time, const stream_data& message);

  gathering_file file_;
};

/// See `message_reader`. A record whose content does not have its checksum is left out, and named in
/// `damage`; where the head of one is damaged it cannot be read on.
class wire_reader final : public message_reader {
 public:
  /// Throws std::runtime_error, naming the file, when it is no wire recording or of a version that is not
  /// known.
  explicit wire_reader(std::shared_ptr<const mapped_file> file, std::string_view type = {});

  const wire_description& description() const { return description_; }
  std::uint32_t version() const { return version_; }

  std::optional<stream_data> next() override;
  std::optional<double> time() const override { return time_; }
  bool interrupted() const override { return interrupted_; }
  void rewind() override;
  const std::string& cut_off() const override { return cut_off_; }
  const mapped_file& file() const override { return *file_; }
  std::size_t offset() const override { return offset_; }
  const std::string& damage() const override { return damage_; }
  const std::string& gaps() const override { return gaps_; }

 private:
  struct record;

  record read_record() const;
  void note_damage(std::size_t at);
  void note_gap(const record& found, std::size_t at);

  std::shared_ptr<const mapped_file> file_;
  std::string_view type_;
  std::size_t first_ = 0; ///< where the first record begins
  wire_description description_;
  std::uint32_t version_ = 0;
  std::size_t offset_ = 0;
  std::optional<double> time_;
  bool interrupted_ = false;
  std::string cut_off_, damage_, gaps_;
  std::uint64_t damaged_ = 0, gap_count_ = 0;
  std::size_t first_gap_ = 0; ///< where its record begins
  wire_gap left_out_;
};

/// Name of the file of a stream whose recording begins at `time` (ns since 1970).
std::string wire_file_name(const std::string& stream, std::int64_t time);

} // namespace dtranspose
