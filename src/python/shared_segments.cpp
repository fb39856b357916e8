#include "python/shared_segments.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace dtranspose {

namespace {

constexpr std::size_t least_segment = std::size_t{1} << 20;

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string("no memory to share with a Python process: ")
                               .append(what)
                               .append(": ")
                               .append(std::strerror(errno)));
}

} // namespace

shared_segment::shared_segment(std::size_t size, bool sealed)
    : fd_(memfd_create("dtranspose frames", MFD_CLOEXEC | MFD_ALLOW_SEALING)), size_(size) {
  if (!fd_) fail("memfd_create");
  if (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) fail("ftruncate");
  auto at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) fail("mmap");
  memory_ = static_cast<std::byte*>(at);
  if (!sealed) return;
  if (fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) fail("its size cannot be fixed");
  // Older kernels have no such seal: the other side maps it for reading only anyway.
  (void)fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  (void)fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SEAL);
}

shared_segment::shared_segment(shared_segment&& other) noexcept
    : fd_(std::move(other.fd_)), memory_(std::exchange(other.memory_, nullptr)), size_(other.size_) {}

shared_segment::~shared_segment() {
  if (memory_) munmap(memory_, size_);
}

std::optional<std::size_t> segment_store::gap_in(const entry& e, std::size_t bytes) {
  std::size_t at = 0;
  for (auto& p : e.pieces) {
    if (p.begin - at >= bytes) return at;
    at = p.end;
  }
  if (e.memory.memory().size() - at >= bytes) return at;
  return std::nullopt;
}

std::optional<segment_store::room> segment_store::take_from(std::uint32_t number, entry& e,
                                                            std::uint64_t batch, std::size_t bytes) {
  auto at = gap_in(e, bytes);
  if (!at) return std::nullopt;
  auto behind = std::ranges::find_if(e.pieces, [&](auto& p) { return p.begin >= *at; });
  e.pieces.insert(behind, {*at, *at + bytes, batch});
  return room{number, *at, e.memory.memory().subspan(*at, bytes)};
}

std::optional<segment_store::room> segment_store::take(std::uint64_t batch, std::size_t bytes,
                                                       std::vector<announcement>& added,
                                                       std::vector<std::uint32_t>& dropped) {
  bytes = aligned(std::max<std::size_t>(bytes, 1));
  for (auto& [number, e] : segments_)
    if (auto found = take_from(number, e, batch, bytes)) return found;
  // Room for some of the kind, so that one is filled while another is looked at.
  auto size = std::bit_ceil(std::max(least_segment, 4 * bytes));
  for (auto i = segments_.begin(); i != segments_.end();) {
    if (!i->second.pieces.empty() || total_ + size <= budget_) {
      ++i;
      continue;
    }
    total_ -= i->second.memory.memory().size();
    dropped.push_back(i->first);
    i = segments_.erase(i);
  }
  if (total_ + size > budget_) size = std::max(least_segment, bytes);
  if (total_ > 0 && total_ + size > budget_) return std::nullopt;
  auto number = ++last_;
  auto [i, is_new] = segments_.emplace(number, entry{shared_segment(size, true), {}});
  total_ += size;
  added.push_back({number, size, i->second.memory.take_descriptor()});
  return take_from(number, i->second, batch, bytes);
}

void segment_store::release(std::uint64_t batch) {
  for (auto& [number, e] : segments_) std::erase_if(e.pieces, [&](auto& p) { return p.batch == batch; });
}

} // namespace dtranspose
