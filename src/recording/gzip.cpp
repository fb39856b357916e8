#include "recording/gzip.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include <zlib.h>

namespace dtranspose {

namespace {

/// zlib counts what it is given in 32 bits.
constexpr std::size_t longest_piece = std::numeric_limits<uInt>::max();

/// zlib's state, for one member after the other.
class inflater {
 public:
  explicit inflater(std::span<const std::byte> packed) : packed_(packed) {
    constexpr int gzip_of_any_window = 15 + 16;
    if (inflateInit2(&stream_, gzip_of_any_window) != Z_OK) throw std::bad_alloc();
  }
  ~inflater() { inflateEnd(&stream_); }
  inflater(const inflater&) = delete;
  inflater& operator=(const inflater&) = delete;

  /// Unpacks into `out` and moves that behind what was written. Z_OK only when `out` is full.
  int unpack(std::span<std::byte>& out) {
    for (;;) {
      auto piece = packed_.subspan(read_).first(std::min(packed_.size() - read_, longest_piece));
      auto room = out.first(std::min(out.size(), longest_piece));
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
      stream_.avail_in = static_cast<uInt>(piece.size());
      stream_.next_out = reinterpret_cast<Bytef*>(room.data());
      stream_.avail_out = static_cast<uInt>(room.size());
      auto state = inflate(&stream_, Z_NO_FLUSH);
      read_ += piece.size() - stream_.avail_in;
      out = out.subspan(room.size() - stream_.avail_out);
      bool stuck = state == Z_BUF_ERROR && !out.empty();
      if (state == Z_BUF_ERROR && !stuck) state = Z_OK;
      if (state != Z_OK || out.empty()) return state;
    }
  }

  void begin_member() { inflateReset(&stream_); }

  std::size_t read() const { return read_; }
  std::span<const std::byte> rest() const { return packed_.subspan(read_); }
  std::string why() const { return stream_.msg ? stream_.msg : "unreadable"; }

 private:
  std::span<const std::byte> packed_;
  std::size_t read_ = 0;
  z_stream stream_ = {};
};

bool is_padding(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](auto b) { return b == std::byte{0}; });
}

std::string at(std::size_t place, const std::string& what) {
  return "byte " + std::to_string(place) + " of its gzip data: " + what;
}

/// Unpacks up to the end or as far as it goes; returns why it went no further.
std::string unpack_members(inflater& in, growing_content& content, unpacked& result) {
  for (;;) {
    auto room = content.room();
    auto state = in.unpack(room);
    content.filled_up_to(room.data());
    if (state == Z_MEM_ERROR) throw std::bad_alloc();
    if (state == Z_BUF_ERROR) return at(in.read(), "cut off");
    if (state != Z_OK && state != Z_STREAM_END) return at(in.read(), in.why());
    if (state == Z_OK) continue;
    result.whole_packed = in.read();
    result.whole_size = content.size();
    if (is_padding(in.rest())) return {}; // tapes and block devices fill up with zeros
    if (!is_gzip(in.rest())) return at(in.read(), "what follows is no gzip");
    in.begin_member();
  }
}

} // namespace

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

unpacked unpack_gzip(std::span<const std::byte> packed, std::size_t limit, std::size_t in_memory) {
  inflater in(packed);
  growing_content content(limit, in_memory, "gunzip");
  unpacked result;
  result.cut_off = unpack_members(in, content, result);
  content.finish(result);
  return result;
}

} // namespace dtranspose
