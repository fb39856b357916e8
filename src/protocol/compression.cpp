#include "protocol/compression.hpp"

#include <algorithm>
#include <climits>

#include <fmt/format.h>
#include <lz4.h>

#include "protocol/bit_unshuffle.hpp"

namespace dtranspose {

namespace {

//  offset  size  header of bslz4 and lz4
//  0       8     T: bytes of the decompressed array, big endian
//  8       4     B: bytes of a block when decompressed, big endian; bslz4: a multiple of 8 elements
//
//  Behind it, or from the beginning of a blob without a header, blocks:
//  0       4     c: bytes of the block, big endian
//  4       c     one LZ4 block
//
//  bslz4   T / B blocks of B bytes, bit-shuffled; one of what remains, as far as that is whole groups of 8
//          elements; then the leftover, T % (8 elements) bytes as they are, without a length
//  lz4     T / B blocks of B bytes and one of what remains; a block whose c equals its decompressed size is
//          stored as it is
//
//  The blob ends there. Where T is 0 there is a header only, and B means nothing.

constexpr std::size_t header_bytes = 12;
constexpr std::size_t word_bytes = 4;

/// The bitshuffle library's choice for elements of 1, 2, 4 and 8 bytes.
constexpr std::size_t shuffled_block_bytes = 8192;

/// LZ4 looks back no further than this.
constexpr std::size_t lz4_block_bytes = 65536;

/// Room that liblz4 gets behind a block, of which a sound block needs nothing: its fast copies stop that far
/// before the end, and the long runs of zeros at the end of shuffled blocks take twice as long without it.
constexpr std::size_t room_behind_block = 64;

/// liblz4 counts in int.
constexpr std::size_t lz4_limit = INT_MAX;

/// Memory for a block that a thread keeps; detectors send blocks of 8 KiB. Larger ones get memory of their
/// own, so that no thread holds the largest that it ever met.
constexpr std::size_t kept_scratch_bytes = std::size_t{1} << 20;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> text, Args&&... args) {
  throw corrupt_blob(fmt::format(text, std::forward<Args>(args)...));
}

std::uint64_t read_big_endian(std::span<const std::byte> bytes) {
  std::uint64_t n = 0;
  for (auto b : bytes) n = n << 8 | std::to_integer<std::uint64_t>(b);
  return n;
}

void append_big_endian(std::vector<std::byte>& out, std::uint64_t n, std::size_t bytes) {
  while (bytes > 0) out.push_back(static_cast<std::byte>(n >> (8 * --bytes)));
}

void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

/// Takes a blob from its beginning.
class blob_reader {
 public:
  explicit blob_reader(std::span<const std::byte> blob) : x_rest(blob) {}

  std::span<const std::byte> rest() const { return x_rest; }

  std::span<const std::byte> take(std::size_t n) {
    auto taken = x_rest.first(n);
    x_rest = x_rest.subspan(n);
    return taken;
  }

  /// The compressed bytes of the next block; `size` is that of the decompressed block.
  std::span<const std::byte> take_block(std::size_t block, std::size_t size) {
    if (x_rest.size() < word_bytes)
      refuse("the blob ends before block {}: {} of its {} bytes of length are there", block, x_rest.size(),
             word_bytes);
    auto length = read_big_endian(take(word_bytes));
    if (length > x_rest.size())
      refuse("block {} ({} bytes decompressed) is {} bytes long, but the blob has {} more", block, size,
             length, x_rest.size());
    return take(length);
  }

  void finish(std::size_t blocks) const {
    if (!x_rest.empty()) refuse("the blob goes on for {} bytes behind its {} blocks", x_rest.size(), blocks);
  }

 private:
  std::span<const std::byte> x_rest;
};

/// How long the decompressed block is; negative when it is none.
int decompress_lz4(std::span<const std::byte> in, std::span<std::byte> out) {
  return LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out.data()),
                             static_cast<int>(in.size()), static_cast<int>(out.size()));
}

/// `in` becomes `size` bytes at the beginning of `out`, which may be larger; what is behind them is lost.
void decompress_block(std::span<const std::byte> in, std::size_t block, std::size_t size,
                      std::span<std::byte> out) {
  if (in.size() > lz4_limit || out.size() > lz4_limit)
    refuse("block {}: LZ4 knows no blocks of {} bytes, {} decompressed", block, in.size(), size);
  auto found = decompress_lz4(in, out);
  if (found < 0) refuse("block {}: its {} bytes are no LZ4 block of {} bytes", block, in.size(), size);
  if (static_cast<std::size_t>(found) != size)
    refuse("block {}: its {} bytes decompress to {} bytes, not {}", block, in.size(), found, size);
}

/// B of the header, whose T is that of `out`.
std::size_t read_header(blob_reader& blob, std::size_t out_bytes) {
  if (blob.rest().size() < header_bytes)
    refuse("a blob of {} bytes has no header of {} bytes", blob.rest().size(), header_bytes);
  auto total = read_big_endian(blob.take(8));
  if (total != out_bytes) refuse("the blob announces {} bytes, the array has {}", total, out_bytes);
  auto block_bytes = read_big_endian(blob.take(word_bytes));
  if (block_bytes == 0 && total > 0) refuse("the blob of {} bytes announces blocks of 0 bytes", total);
  return block_bytes;
}

/// Memory for one decompressed block.
class scratch {
 public:
  explicit scratch(std::size_t size) {
    thread_local std::vector<std::byte> kept;
    auto& memory = size <= kept_scratch_bytes ? kept : x_own;
    if (memory.size() < size) memory.resize(size);
    x_bytes = std::span(memory).first(size);
  }

  std::span<std::byte> bytes() const { return x_bytes; }

 private:
  std::vector<std::byte> x_own;
  std::span<std::byte> x_bytes;
};

void decompress_shuffled(std::size_t element_size, std::size_t block_bytes, blob_reader blob,
                         std::span<std::byte> out) {
  auto group = 8 * element_size;
  if (block_bytes % group != 0)
    refuse("blocks of {} bytes are no multiple of 8 elements of {} bytes", block_bytes, element_size);
  auto leftover = out.size() % group;
  auto shuffled = out.first(out.size() - leftover);
  scratch memory(std::min(block_bytes, shuffled.size()) + room_behind_block);
  std::size_t block = 0;
  for (; !shuffled.empty(); ++block) {
    auto size = std::min(block_bytes, shuffled.size());
    auto compressed = blob.take_block(block, size);
    decompress_block(compressed, block, size, memory.bytes().first(size + room_behind_block));
    bit_unshuffle(element_size, memory.bytes().first(size), shuffled.data());
    shuffled = shuffled.subspan(size);
  }
  if (blob.rest().size() < leftover)
    refuse("{} bytes are left behind the {} blocks; the last elements need {}", blob.rest().size(), block,
           leftover);
  copy_bytes(blob.take(leftover), out.last(leftover));
  blob.finish(block);
}

void decompress_lz4_blocks(std::size_t block_bytes, blob_reader blob, std::span<std::byte> out) {
  std::size_t block = 0;
  for (; !out.empty(); ++block) {
    auto size = std::min(block_bytes, out.size());
    auto compressed = blob.take_block(block, size);
    if (compressed.size() == size)
      copy_bytes(compressed, out.first(size));
    else
      decompress_block(compressed, block, size, out.first(std::min(size + room_behind_block, out.size())));
    out = out.subspan(size);
  }
  blob.finish(block);
}

void check_element_size(std::size_t element_size) {
  if (!can_be_shuffled(element_size)) refuse("elements of {} bytes are not bit-shuffled", element_size);
}

/// Appends a whole LZ4 block; its size.
std::size_t append_lz4(std::vector<std::byte>& out, std::span<const std::byte> in) {
  if (in.size() > LZ4_MAX_INPUT_SIZE)
    throw std::length_error(fmt::format("LZ4 knows no blocks of {} bytes", in.size()));
  auto before = out.size();
  auto room = LZ4_compressBound(static_cast<int>(in.size()));
  out.resize(before + static_cast<std::size_t>(room));
  auto size =
      LZ4_compress_default(reinterpret_cast<const char*>(in.data()),
                           reinterpret_cast<char*>(out.data() + before), static_cast<int>(in.size()), room);
  out.resize(before + static_cast<std::size_t>(size));
  return static_cast<std::size_t>(size);
}

void write_length(std::vector<std::byte>& out, std::size_t place, std::size_t length) {
  for (std::size_t i = 0; i < word_bytes; ++i)
    out[place + i] = static_cast<std::byte>(length >> (8 * (word_bytes - 1 - i)));
}

void append_header(std::vector<std::byte>& out, std::size_t total, std::size_t block_bytes) {
  append_big_endian(out, total, 8);
  append_big_endian(out, block_bytes, word_bytes);
}

void append_shuffled(std::vector<std::byte>& out, std::size_t element_size, std::span<const std::byte> in) {
  auto leftover = in.last(in.size() % (8 * element_size));
  in = in.first(in.size() - leftover.size());
  scratch memory(std::min(shuffled_block_bytes, in.size()));
  while (!in.empty()) {
    auto bits = memory.bytes().first(std::min(shuffled_block_bytes, in.size()));
    bit_shuffle(element_size, in.first(bits.size()), bits.data());
    auto place = out.size();
    out.resize(place + word_bytes);
    write_length(out, place, append_lz4(out, bits));
    in = in.subspan(bits.size());
  }
  out.insert(out.end(), leftover.begin(), leftover.end());
}

void append_lz4_blocks(std::vector<std::byte>& out, std::span<const std::byte> in) {
  while (!in.empty()) {
    auto block = in.first(std::min(lz4_block_bytes, in.size()));
    auto place = out.size();
    out.resize(place + word_bytes);
    auto length = append_lz4(out, block);
    if (length >= block.size()) {
      out.resize(place + word_bytes);
      out.insert(out.end(), block.begin(), block.end());
      length = block.size();
    }
    write_length(out, place, length);
    in = in.subspan(block.size());
  }
}

} // namespace

void decompress(codec how, std::size_t element_size, std::span<const std::byte> blob,
                std::span<std::byte> out) {
  blob_reader reader(blob);
  switch (how) {
  case codec::none:
    if (blob.size() != out.size()) refuse("the blob has {} bytes, the array {}", blob.size(), out.size());
    return copy_bytes(blob, out);
  case codec::lz4_block:
    return decompress_block(blob, 0, out.size(), out);
  case codec::lz4: {
    auto block_bytes = read_header(reader, out.size());
    return decompress_lz4_blocks(block_bytes, reader, out);
  }
  case codec::bslz4: {
    check_element_size(element_size);
    auto block_bytes = read_header(reader, out.size());
    return decompress_shuffled(element_size, out.empty() ? 0 : block_bytes, reader, out);
  }
  case codec::bslz4_bare:
    check_element_size(element_size);
    return decompress_shuffled(element_size, shuffled_block_bytes, reader, out);
  }
}

codec bslz4_form(std::span<const std::byte> blob, std::size_t out_bytes) {
  auto announced = blob.size() >= header_bytes && read_big_endian(blob.first(8)) == out_bytes;
  return announced ? codec::bslz4 : codec::bslz4_bare;
}

std::vector<std::byte> compress(codec how, std::size_t element_size, std::span<const std::byte> in) {
  std::vector<std::byte> out;
  auto shuffled = how == codec::bslz4 || how == codec::bslz4_bare;
  if (shuffled && (!can_be_shuffled(element_size) || in.size() % element_size != 0))
    throw std::invalid_argument(
        fmt::format("{} bytes are no elements of 1, 2, 4 or 8 bytes: {}", in.size(), element_size));
  if (how == codec::none) {
    out.assign(in.begin(), in.end());
  } else if (how == codec::lz4_block) {
    append_lz4(out, in);
  } else if (how == codec::lz4) {
    append_header(out, in.size(), std::min(lz4_block_bytes, in.size()));
    append_lz4_blocks(out, in);
  } else {
    if (how == codec::bslz4) append_header(out, in.size(), shuffled_block_bytes);
    append_shuffled(out, element_size, in);
  }
  return out;
}

} // namespace dtranspose
