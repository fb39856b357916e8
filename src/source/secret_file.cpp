#include "source/secret_file.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "source/file_descriptor.hpp"

namespace dtranspose {
namespace {

constexpr std::size_t largest_file = 1 << 20;

[[noreturn]] void refuse(const std::filesystem::path& file, std::string_view why) {
  throw std::runtime_error(fmt::format("{}: {}", file.string(), why));
}

[[noreturn]] void refuse_unread(const std::filesystem::path& file) {
  refuse(file, fmt::format("cannot be read: {}", std::strerror(errno)));
}

/// Of the open file, so that nobody can put another one in its place in between.
void check(int fd, const std::filesystem::path& file) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) refuse_unread(file);
  if (!S_ISREG(about.st_mode)) refuse(file, "is no ordinary file");
  if (about.st_uid != ::geteuid() && about.st_uid != 0)
    refuse(file,
           "holds secrets and belongs to another user: chown it to the user that runs this, or to root");
  if ((about.st_mode & 077) != 0)
    refuse(file, fmt::format("holds secrets and others have access to it (mode {:04o}): chmod 600 it",
                             about.st_mode & 07777));
}

} // namespace

std::string read_secret_file(const std::filesystem::path& file) {
  // Not blocking: a named pipe would wait for its writer.
  file_descriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!opened) refuse_unread(file);
  check(opened.get(), file);
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    auto n = ::read(opened.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse_unread(file);
    if (n == 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(n));
    if (text.size() > largest_file) refuse(file, "is larger than 1 MiB");
  }
}

} // namespace dtranspose
