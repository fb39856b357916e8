/// What comes of unpacking a file, whatever it was packed with.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

namespace dtranspose {

/// What is unpacked is held in memory as a whole, and a few megabytes can ask for gigabytes: more than this
/// is better unpacked to a file once, which is then mapped.
inline constexpr std::size_t unpacked_limit = std::size_t{4} << 30;

struct free_memory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

/// Packed files are made of members, one behind the other, each of which can be unpacked without the others.
struct unpacked {
  std::unique_ptr<std::byte, free_memory> memory; ///< null if it held nothing
  std::size_t size = 0;
  /// Empty, or at which byte of the packed ones it cannot be read on and why; everything before is there.
  std::string cut_off;
  /// Where the last whole member ends, in the packed bytes and in the unpacked ones.
  std::size_t whole_packed = 0, whole_size = 0;
};

/// Memory that keeps its content while it grows.
class growing_memory {
 public:
  /// `tool` unpacks such files outside of this program.
  growing_memory(std::size_t limit, const char* tool) : limit_(limit), tool_(tool) {}

  /// What is free behind the content; more is made when nothing is. One byte beyond the limit is granted,
  /// so that a content of just the limit comes to its end. Throws std::bad_alloc.
  std::span<std::byte> room();

  /// Throws std::runtime_error beyond the limit.
  void filled_up_to(const std::byte* end);

  std::size_t size() const { return size_; }

  void finish(unpacked& result);

 private:
  void resize(std::size_t capacity);

  std::unique_ptr<std::byte, free_memory> memory_;
  std::size_t size_ = 0, capacity_ = 0;
  std::size_t limit_;
  const char* tool_;
};

} // namespace dtranspose
