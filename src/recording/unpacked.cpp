#include "recording/unpacked.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>

namespace dtranspose {

namespace {

/// Where memory for the content begins; it is doubled as needed.
constexpr std::size_t first_memory = std::size_t{1} << 16;

} // namespace

std::span<std::byte> growing_memory::room() {
  if (size_ == capacity_) resize(std::min(std::max(first_memory, capacity_ * 2), limit_ + 1));
  return {memory_.get() + size_, capacity_ - size_};
}

void growing_memory::filled_up_to(const std::byte* end) {
  size_ = static_cast<std::size_t>(end - memory_.get());
  if (size_ > limit_)
    throw std::runtime_error("unpacks to more than " + std::to_string(limit_) +
                             " bytes, which would be held in memory: unpack it first, with " + tool_);
}

void growing_memory::finish(unpacked& result) {
  if (size_ == 0) return;
  resize(size_);
  result.memory = std::move(memory_);
  result.size = size_;
}

void growing_memory::resize(std::size_t capacity) {
  auto larger = static_cast<std::byte*>(std::realloc(memory_.get(), capacity));
  if (!larger) throw std::bad_alloc();
  static_cast<void>(memory_.release());
  memory_.reset(larger);
  capacity_ = capacity;
}

} // namespace dtranspose
