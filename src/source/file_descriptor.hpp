/// File descriptors that are closed by their owners, and the one that wakes a poll.
#pragma once

#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

namespace dtranspose {

class file_descriptor {
 public:
  file_descriptor() = default;
  explicit file_descriptor(int fd) : fd_(fd) {}
  file_descriptor(file_descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  file_descriptor& operator=(file_descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~file_descriptor() { close(); }

  explicit operator bool() const { return fd_ >= 0; }
  /// Negative: none.
  int get() const { return fd_; }

  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

/// Wakes a poll from another thread.
class bell {
 public:
  bell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  /// Readable after a ring.
  int fd() const { return fd_.get(); }
  void ring() const { (void)!eventfd_write(fd(), 1); }
  void clear() const {
    eventfd_t rings = 0;
    (void)!eventfd_read(fd(), &rings);
  }

 private:
  file_descriptor fd_;
};

} // namespace dtranspose
