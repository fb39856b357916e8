#include "recording/gathering_file.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "output/written_pieces.hpp"

namespace dtranspose {

namespace {

/// Frames up to here are copied: that is cheaper than a piece of their own.
constexpr std::size_t small_frame = 4096;
/// Writes are worth their system call from here on.
constexpr std::size_t flush_bytes = 1 << 20;
constexpr std::size_t flush_pieces = IOV_MAX;
/// The system is asked to bring what it was given to the disk each time it is so much more.
constexpr std::uint64_t push_bytes = 16 << 20;

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

/// Fast ones: what is recorded has to keep up with a detector.
constexpr int gzip_level = 1;
constexpr int zstd_level = 1;

} // namespace

const char* ending_of(packing how) {
  constexpr const char* endings[] = {"", ".gz", ".zst"};
  return endings[static_cast<std::size_t>(how)];
}

/// Makes a member of each list of pieces.
class gathering_file::packer {
 public:
  virtual ~packer() = default;
  /// All of `pieces`, packed; valid until the next call. Throws std::runtime_error.
  virtual std::span<std::byte> pack(std::span<const iovec> pieces) = 0;

 protected:
  /// Room behind the first `used` bytes of what is packed.
  std::span<std::byte> room_behind(std::size_t used) {
    if (packed_.size() - used < smallest_room) packed_.resize(std::max(packed_.size() * 2, flush_bytes));
    return std::span(packed_).subspan(used);
  }
  std::span<std::byte> first(std::size_t used) { return std::span(packed_).first(used); }

 private:
  static constexpr std::size_t smallest_room = 4096;
  std::vector<std::byte> packed_;
};

class gathering_file::gzip_packer final : public packer {
 public:
  gzip_packer() {
    constexpr int gzip_of_largest_window = 15 + 16;
    if (deflateInit2(&stream_, gzip_level, Z_DEFLATED, gzip_of_largest_window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
  }
  ~gzip_packer() override { deflateEnd(&stream_); }

  std::span<std::byte> pack(std::span<const iovec> pieces) override {
    deflateReset(&stream_);
    std::size_t used = 0;
    for (auto& piece : pieces) {
      // zlib counts in 32 bits.
      constexpr std::size_t longest = 1 << 30;
      auto bytes = static_cast<Bytef*>(piece.iov_base);
      for (std::size_t at = 0; at < piece.iov_len; at += longest) {
        stream_.next_in = bytes + at;
        stream_.avail_in = static_cast<uInt>(std::min(longest, piece.iov_len - at));
        while (stream_.avail_in > 0) run(Z_NO_FLUSH, used);
      }
    }
    while (run(Z_FINISH, used) != Z_STREAM_END) {
    }
    return first(used);
  }

 private:
  int run(int flush, std::size_t& used) {
    auto room = room_behind(used);
    stream_.next_out = reinterpret_cast<Bytef*>(room.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(room.size(), 1 << 30));
    auto before = stream_.avail_out;
    auto state = deflate(&stream_, flush);
    used += before - stream_.avail_out;
    return state;
  }

  z_stream stream_ = {};
};

class gathering_file::zstd_packer final : public packer {
 public:
  zstd_packer() : context_(ZSTD_createCCtx()) {
    if (!context_) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, zstd_level);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }

  std::span<std::byte> pack(std::span<const iovec> pieces) override {
    ZSTD_CCtx_reset(context_.get(), ZSTD_reset_session_only);
    std::size_t used = 0;
    for (auto& piece : pieces) {
      ZSTD_inBuffer in{piece.iov_base, piece.iov_len, 0};
      while (in.pos < in.size) run(in, ZSTD_e_continue, used);
    }
    ZSTD_inBuffer none{nullptr, 0, 0};
    while (run(none, ZSTD_e_end, used) > 0) {
    }
    return first(used);
  }

 private:
  struct free_context {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };

  std::size_t run(ZSTD_inBuffer& in, ZSTD_EndDirective how, std::size_t& used) {
    auto room = room_behind(used);
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    auto left = ZSTD_compressStream2(context_.get(), &out, &in, how);
    if (ZSTD_isError(left)) throw std::runtime_error(ZSTD_getErrorName(left));
    used += out.pos;
    return left;
  }

  std::unique_ptr<ZSTD_CCtx, free_context> context_;
};

gathering_file::gathering_file(const std::filesystem::path& path, packing how) : path_(path) {
  if (how == packing::gzip) packer_ = std::make_unique<gzip_packer>();
  if (how == packing::zstd) packer_ = std::make_unique<zstd_packer>();
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
  if (unusable_) {
    drop_gathered();
    throw std::runtime_error(path_.string() + ": ends within an item, and cannot be cut back");
  }
  if (packer_) {
    try {
      auto packed = packer_->pack(vectors);
      vectors.assign(1, {packed.data(), packed.size()});
    } catch (...) {
      drop_gathered();
      throw;
    }
  }
  std::uint64_t bytes = 0;
  for (auto& v : vectors) bytes += v.iov_len;
  auto whole = ::lseek(file_, 0, SEEK_END);
  auto error = write_all(file_, vectors);
  bool cut_back = !error || (whole >= 0 && ::ftruncate(file_, whole) == 0);
  drop_gathered();
  unusable_ = !cut_back;
  if (error)
    fail(path_, cut_back ? "cannot be written" : "cannot be written, nor cut back to whole items", error);
  written_ += bytes;
  push_to_disk();
}

void gathering_file::drop_gathered() {
  small_.clear();
  pieces_.clear();
  held_.clear();
  gathered_ = 0;
}

/// The disk is kept busy while more comes: otherwise the system waits until much has gathered and then stops
/// who writes. What cannot be pushed is written by the system when it likes.
void gathering_file::push_to_disk() {
  if (written_ - pushed_ < push_bytes) return;
  ::sync_file_range(file_, 0, 0, SYNC_FILE_RANGE_WRITE);
  pushed_ = written_;
}

void gathering_file::sync() {
  flush();
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != EROFS)
    fail(path_, "cannot be brought to the disk", errno);
}

} // namespace dtranspose
