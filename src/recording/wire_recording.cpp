#include "recording/wire_recording.hpp"

#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "model/utc_time.hpp"
#include "output/record_log.hpp"

namespace dtranspose {

namespace {

using nlohmann::json;
using bytes_view = std::span<const std::byte>;

// File:   magic, 8 | version, 4 | length n of the description, 4 | description, n | checksum of all before, 4
// Record: kind, 2 | 0, 2 | parts, 4 | time, 8 | length of each part, 8 | checksum of all before in the
// record, 4 |
//         checksum of the content, 4 | content
// Numbers are little endian, as those of the machines this is built for.
constexpr std::array<unsigned char, 8> magic = {0xf8, 'd', 't', 'w', 'i', 'r', 'e', '\n'};
constexpr std::uint32_t version = 2, oldest_version = 1; // 1 knew no gaps
constexpr std::size_t description_at = 16, lengths_at = 16, checksum_size = 4;
/// Far above any set-up.
constexpr std::uint32_t longest_description = 1 << 20;

constexpr auto cut_off_text = "cut off";
constexpr std::uint16_t message_kind = 1, bytes_kind = 2, interruption_kind = 3, gap_kind = 4;

template <class T>
void add(std::vector<std::byte>& to, T number) {
  auto bytes = std::as_bytes(std::span(&number, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

template <class T>
T get(bytes_view from, std::size_t at) {
  T number;
  std::memcpy(&number, from.data() + at, sizeof number);
  return number;
}

std::vector<std::byte> head_of(const wire_description& what) {
  auto text = json{{"stream", what.stream}, {"protocol", what.protocol}, {"options", what.options}}.dump();
  auto bytes = std::as_bytes(std::span(magic));
  std::vector<std::byte> head(bytes.begin(), bytes.end());
  add(head, version);
  add(head, static_cast<std::uint32_t>(text.size()));
  auto description = std::as_bytes(std::span(text));
  head.insert(head.end(), description.begin(), description.end());
  add(head, crc32c(0, head));
  return head;
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw std::runtime_error(path.string() + ": " + what);
}

/// Reads the head of a file; sets `end` to where it ends.
wire_description read_description(const std::filesystem::path& path, bytes_view bytes, std::size_t& end) {
  if (!is_wire_recording(bytes)) fail(path, "no wire recording");
  if (bytes.size() < description_at) fail(path, "cut off in its head");
  if (auto found = get<std::uint32_t>(bytes, magic.size()); found < oldest_version || found > version)
    fail(path, "a wire recording of version " + std::to_string(found) + ", this program reads versions " +
                   std::to_string(oldest_version) + " to " + std::to_string(version));
  auto length = get<std::uint32_t>(bytes, magic.size() + 4);
  end = description_at + length + checksum_size;
  if (length > longest_description) fail(path, "its head is damaged");
  if (bytes.size() < end) fail(path, "cut off in its head");
  auto sum = crc32c(0, bytes.first(end - checksum_size));
  if (sum != get<std::uint32_t>(bytes, end - checksum_size)) fail(path, "its head is damaged");
  auto text = reinterpret_cast<const char*>(bytes.data()) + description_at;
  auto said = json::parse(text, text + length, nullptr, false);
  try {
    return {said.at("stream").get<std::string>(), said.at("protocol").get<std::string>(),
            said.at("options").get<protocol_options>()};
  } catch (const json::exception&) {
    fail(path, "its head does not say which stream it is of");
  }
}

bool same(const wire_description& a, const wire_description& b) {
  return a.stream == b.stream && a.protocol == b.protocol && a.options == b.options;
}

} // namespace

bool is_wire_recording(bytes_view bytes) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

wire_writer::wire_writer(const std::filesystem::path& path, const wire_description& what, packing how)
    : file_(path, how) {
  if (file_.empty()) {
    auto head = head_of(what);
    file_.put(head.data(), head.size());
    return;
  }
  if (how != packing::none) fail(path, "is there already, and packed: nothing is appended to it");
  wire_reader before(mapped_file::open(path));
  if (before.version() != version)
    fail(path,
         "is there already, of version " + std::to_string(before.version()) + ": nothing is appended to it");
  if (!same(before.description(), what))
    fail(path, "is there already, of stream '" + before.description().stream + "' and " +
                   before.description().protocol);
  while (before.next()) {
  }
  if (before.cut_off().empty()) return;
  if (!before.cut_off().ends_with(cut_off_text))
    fail(path, "is there already, and damaged: what is appended could not be read: " + before.cut_off());
  // What is torn would hide what is written behind it.
  std::filesystem::resize_file(path, before.offset());
}

void wire_writer::append_message(std::int64_t time, const stream_data& message) {
  append(message_kind, time, message);
}

void wire_writer::append_bytes(std::int64_t time, const stream_data& piece) {
  append(bytes_kind, time, piece);
}

void wire_writer::append_interruption(std::int64_t time) { append(interruption_kind, time, {}); }

void wire_writer::append_gap(std::int64_t time, const wire_gap& gap) {
  std::string_view numbers(reinterpret_cast<const char*>(&gap), sizeof gap);
  append(gap_kind, time, memory_frames::of("", {numbers}));
}

void wire_writer::append(std::uint16_t kind, std::int64_t time, const stream_data& message) {
  std::vector<std::byte> head;
  auto parts = message.frames();
  add(head, kind);
  add(head, std::uint16_t{0});
  add(head, static_cast<std::uint32_t>(parts.size()));
  add(head, time);
  std::uint32_t content_sum = 0;
  for (auto& part : parts) {
    add(head, std::uint64_t{part.size()});
    content_sum = crc32c(content_sum, part.bytes());
  }
  add(head, crc32c(0, head));
  add(head, content_sum);
  file_.put(head.data(), head.size());
  file_.put_parts(message, [](const frame&) {});
  file_.flush_if_large();
}

static_assert(sizeof(wire_gap) == 2 * sizeof(std::uint64_t), "it is written as it lies in memory");

/// A record as it lies in the file.
struct wire_reader::record {
  std::uint16_t kind = 0;
  std::int64_t time = 0;
  std::vector<frame> parts;
  std::size_t end = 0;
  bool whole = true; ///< has its content the checksum?
};

wire_reader::wire_reader(std::shared_ptr<const mapped_file> file, std::string_view type)
    : file_(std::move(file)), type_(type),
      description_(read_description(file_->path(), file_->bytes(), first_)),
      version_(get<std::uint32_t>(file_->bytes(), magic.size())), offset_(first_) {}

/// Throws a text that says why there is none.
wire_reader::record wire_reader::read_record() const {
  auto rest = file_->bytes().subspan(offset_);
  if (rest.size() < lengths_at + 2 * checksum_size) throw std::runtime_error(cut_off_text);
  auto count = get<std::uint32_t>(rest, 4);
  if (count > wire_part_limit) throw std::runtime_error("damaged");
  auto sums_at = lengths_at + count * sizeof(std::uint64_t);
  auto content_at = sums_at + 2 * checksum_size;
  if (rest.size() < content_at) throw std::runtime_error(cut_off_text);
  if (crc32c(0, rest.first(sums_at)) != get<std::uint32_t>(rest, sums_at))
    throw std::runtime_error("damaged");
  record found{.kind = get<std::uint16_t>(rest, 0), .time = get<std::int64_t>(rest, 8)};
  std::uint32_t sum = 0;
  auto content = rest.subspan(content_at);
  for (std::uint32_t part = 0; part < count; ++part) {
    auto length = get<std::uint64_t>(rest, lengths_at + part * sizeof(std::uint64_t));
    if (length > content.size()) throw std::runtime_error(cut_off_text);
    found.parts.emplace_back(content.first(length));
    sum = crc32c(sum, found.parts.back().bytes());
    content = content.subspan(length);
  }
  found.whole = sum == get<std::uint32_t>(rest, sums_at + checksum_size);
  found.end = offset_ + rest.size() - content.size();
  return found;
}

void wire_reader::note_damage(std::size_t at) {
  ++damaged_;
  if (damaged_ == 1)
    damage_ = file_->path().string() + ": the content of the record at byte " + std::to_string(at) +
              " does not have its checksum: left out";
  else
    damage_ =
        damage_.substr(0, damage_.find("; ")) + "; " + std::to_string(damaged_ - 1) + " more such records";
}

void wire_reader::note_gap(const record& found, std::size_t at) {
  wire_gap gap;
  if (found.parts.size() == 1 && found.parts[0].size() == sizeof gap)
    std::memcpy(&gap, found.parts[0].data(), sizeof gap);
  left_out_.add(gap);
  if (++gap_count_ == 1) first_gap_ = at;
  gaps_ = file_->path().string() + ": " + std::to_string(left_out_.messages) + " messages of " +
          std::to_string(left_out_.bytes) +
          " bytes were received but not recorded, as the disk was behind, in " + std::to_string(gap_count_) +
          (gap_count_ == 1 ? " gap" : " gaps") + " from byte " + std::to_string(first_gap_) + " on";
}

std::optional<stream_data> wire_reader::next() {
  interrupted_ = false;
  while (cut_off_.empty()) {
    if (offset_ == file_->bytes().size()) {
      cut_off_ = file_->cut_off();
      return std::nullopt;
    }
    try {
      auto found = read_record();
      auto at = std::exchange(offset_, found.end);
      if (found.kind == interruption_kind || found.kind == gap_kind) interrupted_ = true;
      if (found.whole && found.kind == gap_kind) note_gap(found, at);
      if (!found.whole) {
        note_damage(at);
        // Of a byte stream nobody knows what follows such a hole.
        interrupted_ |= found.kind == bytes_kind;
      }
      if (!found.whole || (found.kind != message_kind && found.kind != bytes_kind)) continue;
      time_ = static_cast<double>(found.time) * 1e-9;
      return stream_data(std::make_unique<borrowed_frames>(std::move(found.parts), file_), type_);
    } catch (const std::runtime_error& e) {
      cut_off_ = file_->path().string() + ": byte " + std::to_string(offset_) +
                 ": the record that begins there is " + e.what();
      if (!file_->cut_off().empty()) cut_off_ += "; " + file_->cut_off();
    }
  }
  return std::nullopt;
}

void wire_reader::rewind() {
  offset_ = first_;
  time_.reset();
  interrupted_ = false;
  cut_off_.clear();
  damage_.clear();
  gaps_.clear();
  damaged_ = gap_count_ = 0;
  left_out_ = {};
}

std::string wire_file_name(const std::string& stream, std::int64_t time) {
  using clock = std::chrono::system_clock;
  auto text = utc_text(
      clock::time_point(std::chrono::duration_cast<clock::duration>(std::chrono::nanoseconds(time))));
  std::erase(text, ':');
  return stream + "-wire-" + text + ".dtwire";
}

} // namespace dtranspose
