#include "output/file_claim.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>

namespace dtranspose {

namespace {

constexpr off_t far_behind_the_end = off_t{1} << 62;

file_descriptor opened(const std::filesystem::path& file, int flags) {
  file_descriptor fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | flags, 0666));
  if (!fd) throw std::runtime_error(file.string() + ": " + std::strerror(errno));
  return fd;
}

/// Of this descriptor, not of the process: the library opens and closes the file too.
bool lock(const file_descriptor& fd) {
  struct flock byte {};
  byte.l_type = F_WRLCK;
  byte.l_whence = SEEK_SET;
  byte.l_start = far_behind_the_end;
  byte.l_len = 1;
  return ::fcntl(fd.get(), F_OFD_SETLK, &byte) == 0 || (errno != EAGAIN && errno != EACCES);
}

} // namespace

std::optional<file_claim> file_claim::take(const std::filesystem::path& file) {
  auto fd = opened(file, 0);
  if (!lock(fd)) return std::nullopt;
  return file_claim(std::move(fd));
}

std::optional<file_claim> file_claim::make(const std::filesystem::path& file) {
  auto fd = opened(file, O_CREAT);
  if (!lock(fd)) return std::nullopt;
  return file_claim(std::move(fd));
}

} // namespace dtranspose
