#include "recording/dump_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include <cbor.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "model/utc_time.hpp"
#include "output/written_pieces.hpp"

namespace dtranspose {

namespace {

/// Frames up to here are copied: that is cheaper than a piece of their own.
constexpr std::size_t small_frame = 4096;
/// Writes are worth their system call from here on.
constexpr std::size_t flush_bytes = 1 << 20;
constexpr std::size_t flush_pieces = IOV_MAX;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int cause) {
  throw std::runtime_error(path.string() + ": " + what + ": " + std::strerror(cause));
}

/// Writes all of `pieces`, which it changes. Returns 0 or an errno.
int write_all(int file, std::span<iovec> pieces) {
  while (!pieces.empty()) {
    auto count = static_cast<int>(std::min<std::size_t>(pieces.size(), IOV_MAX));
    auto written = ::writev(file, pieces.data(), count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    pieces = behind(pieces, static_cast<std::size_t>(written));
  }
  return 0;
}

} // namespace

dump_writer::dump_writer(const std::filesystem::path& path) : path_(path) {
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail(path, "cannot be opened for writing", errno);
}

dump_writer::~dump_writer() {
  try {
    flush();
  } catch (const std::exception&) {
  }
  ::close(file_);
}

void dump_writer::append(std::uint64_t event, std::span<const dump_stream> streams,
                         std::optional<double> created_at) {
  put_head(cbor_encode_tag, 55799);
  put_head(cbor_encode_tag, 42877);
  put_head(cbor_encode_array_start, created_at ? 3 : 2);
  put_head(cbor_encode_uint, event);
  put_head(cbor_encode_map_start, streams.size());
  for (auto& stream : streams) put_stream(stream);
  if (created_at) {
    put_head(cbor_encode_tag, 0);
    std::chrono::microseconds since_1970(std::llround(*created_at * 1e6));
    put_text(utc_text(std::chrono::sys_time<std::chrono::microseconds>(since_1970)));
  }
  if (gathered_ >= flush_bytes || pieces_.size() >= flush_pieces) flush();
}

void dump_writer::put_stream(const dump_stream& stream) {
  put_text(stream.name);
  put_head(cbor_encode_tag, 42878);
  put_head(cbor_encode_array_start, 2);
  put_text(stream.data.type());
  put_head(cbor_encode_array_start, stream.data.frames().size());
  bool large = false;
  for (auto& part : stream.data.frames()) {
    put_head(cbor_encode_bytestring_start, part.size());
    if (part.size() <= small_frame) {
      put_small(part.data(), part.size());
    } else {
      large = true;
      pieces_.push_back({part.data(), part.size()});
      gathered_ += part.size();
    }
  }
  if (large) held_.push_back(stream.data);
}

void dump_writer::put_head(encoder encode, std::uint64_t n) {
  unsigned char head[9];
  put_small(head, encode(n, head, sizeof head));
}

void dump_writer::put_text(std::string_view text) {
  put_head(cbor_encode_string_start, text.size());
  put_small(text.data(), text.size());
}

void dump_writer::put_small(const void* data, std::size_t size) {
  auto bytes = static_cast<const std::byte*>(data);
  small_.insert(small_.end(), bytes, bytes + size);
  if (pieces_.empty() || pieces_.back().large) pieces_.push_back({nullptr, 0});
  pieces_.back().size += size;
  gathered_ += size;
}

void dump_writer::flush() {
  if (gathered_ == 0) return;
  std::vector<iovec> vectors;
  vectors.reserve(pieces_.size());
  auto small = small_.data();
  for (auto& piece : pieces_) {
    auto data = piece.large ? const_cast<std::byte*>(piece.large) : small;
    if (!piece.large) small += piece.size;
    vectors.push_back({data, piece.size});
  }
  auto whole = ::lseek(file_, 0, SEEK_END);
  auto error = write_all(file_, vectors);
  bool cut_back = !error || (whole >= 0 && ::ftruncate(file_, whole) == 0);
  small_.clear();
  pieces_.clear();
  held_.clear();
  gathered_ = 0;
  if (error)
    fail(path_, cut_back ? "cannot be written" : "cannot be written, nor cut back to whole items", error);
}

} // namespace dtranspose
