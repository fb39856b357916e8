#include "recording/gathering_file.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

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

gathering_file::gathering_file(const std::filesystem::path& path) : path_(path) {
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail(path, "cannot be opened for writing", errno);
}

gathering_file::~gathering_file() {
  try {
    flush();
  } catch (const std::exception&) {
  }
  ::close(file_);
}

bool gathering_file::empty() const { return gathered_ == 0 && ::lseek(file_, 0, SEEK_END) == 0; }

bool gathering_file::put_part(const frame& part) {
  if (part.size() <= small_frame) {
    put(part.data(), part.size());
    return false;
  }
  pieces_.push_back({part.data(), part.size()});
  gathered_ += part.size();
  return true;
}

void gathering_file::put(const void* data, std::size_t size) {
  auto bytes = static_cast<const std::byte*>(data);
  small_.insert(small_.end(), bytes, bytes + size);
  if (pieces_.empty() || pieces_.back().large) pieces_.push_back({nullptr, 0});
  pieces_.back().size += size;
  gathered_ += size;
}

void gathering_file::flush_if_large() {
  if (gathered_ >= flush_bytes || pieces_.size() >= flush_pieces) flush();
}

void gathering_file::flush() {
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
