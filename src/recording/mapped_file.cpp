#include "recording/mapped_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recording/gzip.hpp"
#include "recording/zstd.hpp"

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
  if (is_gzip(mapped->bytes_))
    mapped->unpack(unpack_gzip);
  else if (is_zstd(mapped->bytes_))
    mapped->unpack(unpack_zstd);
  return mapped;
}

std::shared_ptr<const mapped_file> mapped_file::of(std::span<const std::byte> content,
                                                   std::filesystem::path name) {
  std::shared_ptr<mapped_file> file(new mapped_file(std::move(name)));
  if (content.empty()) return file;
  file->memory_.reset(static_cast<std::byte*>(std::malloc(content.size())));
  if (!file->memory_) throw std::bad_alloc();
  std::memcpy(file->memory_.get(), content.data(), content.size());
  file->bytes_ = {file->memory_.get(), content.size()};
  return file;
}

void mapped_file::unpack(unpacked (*unpack)(std::span<const std::byte>, std::size_t, std::size_t)) {
  unpacked content;
  try {
    content = unpack(bytes_, unpacked_limit, unpacked_in_memory);
  } catch (const std::bad_alloc&) {
    throw std::runtime_error(path_.string() + ": there is not enough memory to unpack it");
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(path_.string() + ": " + e.what());
  }
  unmap();
  packed_ = true;
  whole_packed_ = content.whole_packed;
  whole_size_ = content.whole_size;
  memory_ = std::move(content.memory);
  bytes_ = {memory_.get(), content.size};
  if (!content.cut_off.empty()) cut_off_ = path_.string() + ": " + content.cut_off;
}

void mapped_file::unmap() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

mapped_file::~mapped_file() {
  if (!memory_) unmap();
}

} // namespace dtranspose
