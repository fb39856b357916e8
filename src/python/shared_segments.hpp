/// Memory that is shared with one Python process: frames go there once, and are looked at without a copy. It
/// has no name: when both processes are gone, however they went, so is the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "source/file_descriptor.hpp"

namespace dtranspose {

/// A piece of such memory, written by this side and read by the other.
class shared_segment {
 public:
  /// With `sealed` nobody can change its size, and nobody but this mapping its content. Throws
  /// std::runtime_error.
  shared_segment(std::size_t size, bool sealed);
  shared_segment(shared_segment&& other) noexcept;
  shared_segment& operator=(shared_segment&&) = delete;
  ~shared_segment();

  std::span<std::byte> memory() const { return {memory_, size_}; }
  /// The descriptor, to be handed on.
  file_descriptor take_descriptor() { return std::move(fd_); }

 private:
  file_descriptor fd_;
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
};

/// Where the frames of batches lie, from when they are sent until the other side says that nobody looks at
/// them any more. Bounded: what does not fit is refused.
class segment_store {
 public:
  explicit segment_store(std::size_t budget) : budget_(budget) {}

  struct room {
    std::uint32_t segment = 0;
    std::size_t offset = 0;
    std::span<std::byte> memory;
  };
  /// A segment that the other side has to be told of before it is used.
  struct announcement {
    std::uint32_t segment = 0;
    std::size_t size = 0;
    file_descriptor fd;
  };

  /// Room for the frames of a batch, in one piece, 64-aligned; nothing where the budget is used up. New
  /// segments are appended to `added`, those that are too small and held by nobody to `dropped`.
  std::optional<room> take(std::uint64_t batch, std::size_t bytes, std::vector<announcement>& added,
                           std::vector<std::uint32_t>& dropped);
  /// Nobody looks at the frames of that batch any more.
  void release(std::uint64_t batch);

  std::size_t bytes() const { return total_; }

 private:
  struct piece {
    std::size_t begin, end;
    std::uint64_t batch;
  };
  struct entry {
    shared_segment memory;
    std::vector<piece> pieces; ///< by place
  };

  static std::optional<std::size_t> gap_in(const entry& e, std::size_t bytes);
  std::optional<room> take_from(std::uint32_t number, entry& e, std::uint64_t batch, std::size_t bytes);

  std::size_t budget_;
  std::size_t total_ = 0;
  std::uint32_t last_ = 0;
  std::map<std::uint32_t, entry> segments_;
};

} // namespace dtranspose
