/// What tests of sources have in common.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "source/source.hpp"

namespace dtranspose::test {

/// An allowance for whatever comes.
inline constexpr std::uint64_t everything = ~std::uint64_t{0};

/// Gathers what a source hands over.
class collector {
 public:
  packet_sink sink() {
    return [this](std::shared_ptr<const packet_batch> batch) {
      std::lock_guard lock(mutex_);
      bytes_ += batch->bytes;
      batches_.push_back(std::move(batch));
      changed_.notify_all();
    };
  }

  /// Waits for at least that many packets, for as long as a slow machine may take.
  std::vector<stream_packet> wait_for(std::size_t packets) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return all().size() >= packets; });
    return all();
  }

  /// What is there after a moment in which more could have come.
  std::vector<stream_packet> settled() {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    std::lock_guard lock(mutex_);
    return all();
  }

  std::vector<std::shared_ptr<const packet_batch>> batches() {
    std::lock_guard lock(mutex_);
    return batches_;
  }

  std::uint64_t bytes() {
    std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  std::vector<stream_packet> all() const {
    std::vector<stream_packet> packets;
    for (auto& batch : batches_) packets.insert(packets.end(), batch->packets.begin(), batch->packets.end());
    return packets;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<const packet_batch>> batches_;
  std::uint64_t bytes_ = 0;
};

/// Waits until `condition` holds, for as long as a slow machine may take.
template <class Condition>
bool soon(Condition condition) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (; std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(std::chrono::milliseconds(1)))
    if (condition()) return true;
  return false;
}

} // namespace dtranspose::test
