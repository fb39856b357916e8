/// Memory of large messages, used again: an instrument would otherwise spend its time on fresh pages.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace dtranspose {

/// Buffers of one size. As many exist as are held at once. A buffer is given back from whatever thread drops
/// the last handle of it, also after the pool is gone.
class buffer_pool : public std::enable_shared_from_this<buffer_pool> {
 public:
  explicit buffer_pool(std::size_t size) : size_(size) {}

  std::size_t size() const { return size_; }

  /// `size()` bytes of anything. The pool must be held by a std::shared_ptr.
  std::shared_ptr<std::byte[]> take() {
    auto bytes = take_used();
    if (!bytes) bytes = std::make_unique_for_overwrite<std::byte[]>(size_);
    auto give_back = [pool = shared_from_this()](std::byte* used) {
      pool->put_back(std::unique_ptr<std::byte[]>(used));
    };
    return {bytes.release(), std::move(give_back)};
  }

 private:
  std::unique_ptr<std::byte[]> take_used() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;
    auto bytes = std::move(free_.back());
    free_.pop_back();
    return bytes;
  }

  void put_back(std::unique_ptr<std::byte[]> bytes) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(bytes));
  }

  std::size_t size_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> free_;
};

} // namespace dtranspose
