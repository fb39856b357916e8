#include "recording/unpacked.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace dtranspose {

namespace {

/// Where memory for the content begins; it is doubled as needed.
constexpr std::size_t first_memory = std::size_t{1} << 16;
/// The file is written in pieces of this size.
constexpr std::size_t piece = std::size_t{1} << 20;
/// Others need room on that disk, too.
constexpr std::uint64_t room_for_others = std::uint64_t{1} << 30;

/// Not /tmp, which may be memory.
std::filesystem::path folder_for_large_files() {
  auto own = std::getenv("TMPDIR");
  return own && *own ? own : "/var/tmp";
}

/// A file without a name, or -1 and `errno`.
int open_unnamed(const std::filesystem::path& folder) {
  auto file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
  auto name = (folder / "dtranspose-XXXXXX").string();
  file = ::mkostemp(name.data(), O_CLOEXEC);
  if (file >= 0) ::unlink(name.c_str());
  return file;
}

bool is_zero(const std::byte* bytes, std::size_t size) {
  return size > 0 && bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

bool has_room(int file) {
  struct statvfs disk = {};
  if (::fstatvfs(file, &disk) != 0) return true;
  auto block = std::uint64_t{disk.f_frsize};
  return disk.f_bavail * block > std::min(room_for_others, disk.f_blocks * block / 20);
}

/// Returns 0 or an errno. What is all zero is left as a hole.
int write_at(int file, const std::byte* bytes, std::size_t size, std::size_t place) {
  for (std::size_t done = 0; done < size;) {
    auto count = std::min(piece, size - done);
    if (is_zero(bytes + done, count)) {
      done += count;
      continue;
    }
    auto written = ::pwrite(file, bytes + done, count, static_cast<off_t>(place + done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    done += static_cast<std::size_t>(written);
  }
  return 0;
}

} // namespace

void free_memory::operator()(std::byte* memory) const {
  if (mapped > 0)
    ::munmap(memory, mapped);
  else
    std::free(memory);
}

growing_content::~growing_content() {
  if (file_ >= 0) ::close(file_);
}

std::span<std::byte> growing_content::room() {
  if (size_ == capacity_) {
    if (file_ >= 0 || size_ >= in_memory_)
      move_to_file();
    else
      resize(std::min({std::max(first_memory, capacity_ * 2), in_memory_, limit_ + 1}));
  }
  return {memory_.get() + size_, capacity_ - size_};
}

void growing_content::filled_up_to(const std::byte* end) {
  size_ = static_cast<std::size_t>(end - memory_.get());
  if (size() > limit_)
    throw std::runtime_error("unpacks to more than " + std::to_string(limit_) +
                             " bytes: unpack it first, with " + tool_);
}

void growing_content::move_to_file() {
  if (file_ < 0) open_file();
  if (!has_room(file_)) fail("the disk is nearly full");
  if (auto error = write_at(file_, memory_.get(), size_, in_file_)) fail(std::strerror(error));
  in_file_ += std::exchange(size_, 0);
  if (capacity_ > piece) resize(piece);
}

void growing_content::open_file() {
  folder_ = folder_for_large_files();
  file_ = open_unnamed(folder_);
  if (file_ < 0) fail(std::strerror(errno));
  spdlog::info("unpacking more than {} MB: the rest goes to a file in {}, for as long as it is read",
               in_memory_ >> 20, folder_.string());
}

void growing_content::fail(const std::string& why) const {
  throw std::runtime_error("unpacks to more than " + std::to_string(size()) +
                           " bytes, which cannot be kept in " + folder_.string() + ": " + why +
                           "; set TMPDIR to a folder with more room, or unpack it with " + tool_);
}

void growing_content::finish(unpacked& result) {
  if (file_ >= 0) return map_file(result);
  if (size_ == 0) return;
  resize(size_);
  result.memory = std::move(memory_);
  result.size = size_;
}

void growing_content::map_file(unpacked& result) {
  move_to_file();
  if (::ftruncate(file_, static_cast<off_t>(in_file_)) != 0) fail(std::strerror(errno));
  auto data = ::mmap(nullptr, in_file_, PROT_READ, MAP_SHARED, file_, 0);
  if (data == MAP_FAILED) fail(std::strerror(errno));
  result.memory = {static_cast<std::byte*>(data), free_memory{in_file_}};
  result.size = in_file_;
}

void growing_content::resize(std::size_t capacity) {
  auto larger = static_cast<std::byte*>(std::realloc(memory_.get(), capacity));
  if (!larger) throw std::bad_alloc();
  static_cast<void>(memory_.release());
  memory_.reset(larger);
  capacity_ = capacity;
}

} // namespace dtranspose
