/// What comes of unpacking a file, whatever it was packed with.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace dtranspose {

/// What is unpacked is held in memory up to here; more goes to a file that has no name, which is mapped.
inline constexpr std::size_t unpacked_in_memory = std::size_t{256} << 20;
/// Of what is unpacked there may be any amount.
inline constexpr std::size_t unpacked_limit = std::numeric_limits<std::size_t>::max() / 2;

/// Gives back what `malloc` gave, or what was mapped.
struct free_memory {
  std::size_t mapped = 0; ///< bytes; 0: it was not mapped

  void operator()(std::byte* memory) const;
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

/// Content that grows at its end: in memory, and in a file once it is large. Stretches of zeros take no room
/// in the file.
class growing_content {
 public:
  /// `tool` unpacks such files outside of this program; beyond `limit` bytes it is refused.
  growing_content(std::size_t limit, std::size_t in_memory, const char* tool)
      : limit_(limit), in_memory_(in_memory), tool_(tool) {}
  growing_content(const growing_content&) = delete;
  growing_content& operator=(const growing_content&) = delete;
  ~growing_content();

  /// What is free behind the content; more is made when nothing is. Throws std::bad_alloc, and
  /// std::runtime_error when there is no room for the file.
  std::span<std::byte> room();

  /// Throws std::runtime_error beyond the limit.
  void filled_up_to(const std::byte* end);

  std::size_t size() const { return in_file_ + size_; }

  /// Once.
  void finish(unpacked& result);

 private:
  void resize(std::size_t capacity);
  void open_file();
  void move_to_file();
  void map_file(unpacked& result);
  [[noreturn]] void fail(const std::string& why) const;

  std::unique_ptr<std::byte, free_memory> memory_;
  std::size_t size_ = 0, capacity_ = 0; ///< of what is in memory
  std::size_t in_file_ = 0;             ///< bytes that are in the file, which are before those
  int file_ = -1;
  std::filesystem::path folder_; ///< of the file
  std::size_t limit_, in_memory_;
  const char* tool_;
};

} // namespace dtranspose
