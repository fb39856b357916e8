#include "recording/dump.hpp"

#include <stdexcept>
#include <string_view>
#include <utility>

#include "model/type_tag.hpp"
#include "model/utc_time.hpp"
#include "protocol/cbor_tokens.hpp"
#include "recording/capture.hpp"
#include "recording/hdf5_reader.hpp"
#include "recording/parts.hpp"

namespace dtranspose {

namespace {

constexpr std::uint64_t tag_self_described = 55799;
constexpr std::uint64_t tag_item = 42877;
constexpr std::uint64_t tag_stream = 42878;

/// Far above any set-up; keeps an item that a few bytes describe from taking much memory and time.
constexpr std::uint64_t max_streams = 4096;
/// Names become names of data sets and show up in every log line.
constexpr std::size_t max_name = 1024;
/// Leaves room to add counts to event numbers without a thought of overflow.
constexpr std::uint64_t max_event = std::uint64_t{1} << 62;

using cbor::array_of;
using cbor::close;
using cbor::container;
using cbor::element;
using cbor::kind;
using cbor::short_text;
using cbor::token;
using cbor::token_reader;
using cbor::without_tags;

stream_data read_stream(token_reader& in, const token& first,
                        const std::shared_ptr<const mapped_file>& file) {
  auto stream = array_of(in, without_tags(in, first, {tag_stream}), 2, 2, "type and parts of a stream");
  auto type = intern_type(short_text(in, element(in, stream, "the type"), max_name, "the type of a stream"));
  auto data = read_parts(in, element(in, stream, "the parts"), file, type);
  close(in, stream);
  return data;
}

std::vector<dump_stream> read_streams(token_reader& in, const token& start,
                                      const std::shared_ptr<const mapped_file>& file) {
  if (start.what != kind::map) in.fail("no map of streams");
  container entries(start, max_streams, in);
  std::vector<dump_stream> streams;
  token t;
  while (entries.next(t)) {
    auto name = short_text(in, t, max_name, "the name of a stream");
    auto data = read_stream(in, in.next(), file);
    streams.push_back({std::move(name), std::move(data)});
  }
  return streams;
}

/// Tag 0 with a text, tag 1 with a number, or either bare. A time that makes no sense is none: it
/// is no reason to lose the item.
std::optional<double> read_time(token_reader& in, const token& first) {
  auto t = without_tags(in, first, {0, 1});
  switch (t.what) {
  case kind::number:
    return static_cast<double>(t.n);
  case kind::negative:
    return -1.0 - static_cast<double>(t.n);
  case kind::real:
    return t.real;
  case kind::null:
  case kind::boolean:
    return std::nullopt;
  case kind::text:
  case kind::text_chunks:
    return parse_utc(short_text(in, t, max_name, "the time of an item"));
  default:
    in.fail("no time where one is expected");
  }
}

dump_item read_item(token_reader& in, const std::shared_ptr<const mapped_file>& file) {
  auto first = without_tags(in, in.next(), {tag_self_described, tag_item});
  auto parts = array_of(in, first, 2, 3, "an item has event number, streams and perhaps a time");
  dump_item item;
  auto number = element(in, parts, "the event number");
  if (number.what != kind::number || number.n >= max_event) in.fail("no event number");
  item.event = number.n;
  item.streams = read_streams(in, element(in, parts, "the streams"), file);
  token t;
  if (parts.next(t)) {
    item.created_at = read_time(in, t);
    close(in, parts);
  }
  item.end_offset = in.end();
  return item;
}

std::string_view other_form(std::span<const std::byte> bytes) {
  if (is_capture(bytes))
    return "a raw capture of messages, which has no event numbers: say which protocol it holds";
  if (is_pickle(bytes) || bytes[0] == std::byte{'('})
    return "a pickle, which is a program rather than data and is not read";
  if (is_hdf5(bytes)) return "an HDF5 file: replay takes its images with --stream NAME=stins --dataset PATH";
  return "of an unknown form";
}

} // namespace

bool is_dump(std::span<const std::byte> bytes) {
  constexpr int tag_of_two_bytes = 0xd9;
  if (bytes.empty()) return false;
  auto first = std::to_integer<int>(bytes[0]);
  if (first == tag_of_two_bytes) return true;
  // Without tags: an array that begins with a number. In a raw capture it begins with a byte
  // string.
  bool short_array = first == 0x82 || first == 0x83 || first == 0x9f;
  return short_array && bytes.size() > 1 && std::to_integer<int>(bytes[1]) <= 0x1b;
}

dump_reader::dump_reader(std::shared_ptr<const mapped_file> file) : file_(std::move(file)) {
  auto bytes = file_->bytes();
  if (!bytes.empty() && !is_dump(bytes))
    throw std::runtime_error(file_->path().string() + ": no dump of an ingester but " +
                             std::string(other_form(bytes)));
}

std::optional<dump_item> dump_reader::next() {
  if (!cut_off_.empty()) return std::nullopt;
  if (offset_ == file_->bytes().size()) {
    cut_off_ = file_->cut_off();
    return std::nullopt;
  }
  try {
    token_reader in(file_->bytes(), offset_);
    auto item = read_item(in, file_);
    offset_ = item.end_offset;
    return item;
  } catch (const cbor::unreadable& e) {
    cut_off_ = file_->path().string() + ": byte " + std::to_string(e.at) + ": " + e.what +
               ", in the item that begins at byte " + std::to_string(offset_);
    if (!file_->cut_off().empty()) cut_off_ += "; " + file_->cut_off();
    return std::nullopt;
  }
}

} // namespace dtranspose
