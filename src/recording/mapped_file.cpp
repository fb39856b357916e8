#include "recording/mapped_file.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dtranspose {

namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int cause) {
  throw std::runtime_error(path.string() + ": cannot be read: " + std::strerror(cause));
}

struct descriptor {
  int number;
  ~descriptor() {
    if (number >= 0) ::close(number);
  }
};

} // namespace

std::shared_ptr<const mapped_file> mapped_file::open(const std::filesystem::path& path) {
  descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat status = {};
  if (file.number < 0 || ::fstat(file.number, &status) < 0) fail(path, errno);
  if (S_ISDIR(status.st_mode)) fail(path, EISDIR);
  std::shared_ptr<mapped_file> mapped(new mapped_file(path));
  if (status.st_size == 0) return mapped; // nothing can be mapped
  auto size = static_cast<std::size_t>(status.st_size);
  auto data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (data == MAP_FAILED) fail(path, errno);
  mapped->bytes_ = {static_cast<const std::byte*>(data), size};
  return mapped;
}

mapped_file::~mapped_file() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

} // namespace dtranspose
