/// Frames and stream data: the bytes that instruments sent, shared and never copied. No dependencies:
/// part of the plug-in contract.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace dtranspose {

/// One immutable run of bytes, e.g. one part of a ZeroMQ message: a view that is valid as long as a
/// copy of the stream data it came from is held.
class frame {
 public:
  frame() = default;
  explicit frame(std::span<const std::byte> bytes) : bytes_(bytes) {}
  frame(const void* data, std::size_t size) : bytes_(static_cast<const std::byte*>(data), size) {}

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  std::string_view text() const { return {reinterpret_cast<const char*>(data()), size()}; }

 private:
  std::span<const std::byte> bytes_;
};

/// What owns the bytes of one stream's contribution to an event: ZeroMQ messages, memory of our own, a
/// mapped file or shared memory alike. Counted by `stream_data`, which alone uses it; a class that
/// derives from it calls `set_frames` once, before it is shared.
class frame_owner {
 public:
  frame_owner() = default;
  frame_owner(const frame_owner&) = delete;
  frame_owner& operator=(const frame_owner&) = delete;
  virtual ~frame_owner() = default;

 protected:
  /// `frames` is owned by the derived class and outlives this.
  void set_frames(std::span<const frame> frames) { frames_ = frames; }

 private:
  friend class stream_data;
  mutable std::atomic<std::uint32_t> references_{0};
  std::span<const frame> frames_;
  std::string_view type_;
};

/// A type tag and the frames that one stream contributes to one event. A handle of one pointer: copies
/// share the bytes, may be made and dropped in any thread, and nothing behind it changes.
class stream_data {
 public:
  stream_data() = default;

  /// Takes over `owner`. `type` names the wire format and must outlive every handle: a constant, or
  /// interned by `intern_type`.
  stream_data(std::unique_ptr<frame_owner> owner, std::string_view type) {
    owner->type_ = type;
    owner->references_.store(1, std::memory_order_relaxed);
    owner_ = owner.release();
  }

  stream_data(const stream_data& other) : owner_(other.owner_) {
    if (owner_) owner_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  stream_data(stream_data&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
  stream_data& operator=(stream_data other) noexcept {
    std::swap(owner_, other.owner_);
    return *this;
  }
  ~stream_data() { reset(); }

  void reset() {
    auto owner = std::exchange(owner_, nullptr);
    if (owner && owner->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete owner;
  }

  explicit operator bool() const { return owner_ != nullptr; }

  /// Name of the wire format, e.g. `STINS`.
  std::string_view type() const { return owner_ ? owner_->type_ : std::string_view(); }
  std::span<const frame> frames() const { return owner_ ? owner_->frames_ : std::span<const frame>(); }
  /// Sum of the sizes of the frames.
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (auto& f : frames()) sum += f.size();
    return sum;
  }

  /// The same type and the same bytes.
  friend bool operator==(const stream_data& a, const stream_data& b) {
    auto x = a.frames(), y = b.frames();
    if (a.type() != b.type() || x.size() != y.size()) return false;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (x[i].text() != y[i].text()) return false;
    return true;
  }

 private:
  const frame_owner* owner_ = nullptr;
};

/// Frames in memory of our own.
class memory_frames final : public frame_owner {
 public:
  explicit memory_frames(std::vector<std::vector<std::byte>> parts) : parts_(std::move(parts)) {
    for (auto& part : parts_) views_.emplace_back(std::span<const std::byte>(part));
    set_frames(views_);
  }

  /// Copies texts, e.g. for tests and headers that we write ourselves.
  static stream_data of(std::string_view type, std::initializer_list<std::string_view> parts) {
    std::vector<std::vector<std::byte>> copies;
    for (auto part : parts) {
      auto bytes = std::as_bytes(std::span(part));
      copies.emplace_back(bytes.begin(), bytes.end());
    }
    return stream_data(std::make_unique<memory_frames>(std::move(copies)), type);
  }

 private:
  std::vector<std::vector<std::byte>> parts_;
  std::vector<frame> views_;
};

/// Views of something that `keep` keeps alive: a mapped file, shared memory, another message.
class borrowed_frames final : public frame_owner {
 public:
  borrowed_frames(std::vector<frame> views, std::shared_ptr<const void> keep)
      : views_(std::move(views)), keep_(std::move(keep)) {
    set_frames(views_);
  }

 private:
  std::vector<frame> views_;
  std::shared_ptr<const void> keep_;
};

} // namespace dtranspose
