#include "output/record_log.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <climits>
#include <concepts>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

#include "output/written_pieces.hpp"

namespace dtranspose {

namespace {

constexpr std::array magic{std::byte{0xd7}, std::byte{'d'}, std::byte{'t'},  std::byte{'l'},
                           std::byte{'o'},  std::byte{'g'}, std::byte{'\r'}, std::byte{'\n'}};
constexpr std::uint32_t version = 1;
/// Places in the head of a file.
constexpr std::size_t version_at = 8, label_length_at = 12, identity_at = 16, label_at = 24;
constexpr std::size_t longest_head = label_at + record_log::longest_label + 4;
/// Places in the head of a record.
constexpr std::size_t kind_at = 4, head_sum_at = 5, content_sum_at = 9, record_head_size = 13;

constexpr std::size_t read_ahead = 128 << 10;
/// Memory for what is appended comes in pieces of this size, and this much is kept to be used again.
constexpr std::size_t block_size = 1 << 20, most_spare = 8 << 20;

using bytes_view = std::span<const std::byte>;

[[noreturn]] void refuse(const std::filesystem::path& path, std::string_view what) {
  throw std::runtime_error(fmt::format("{}: {}", path.string(), what));
}

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view what, int cause) {
  refuse(path, fmt::format("{}: {}", what, std::strerror(cause)));
}

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

template <std::unsigned_integral T>
void put(std::span<std::byte> bytes, std::size_t at, T number) {
  std::memcpy(bytes.data() + at, &number, sizeof number);
}

template <std::unsigned_integral T>
T get(bytes_view bytes, std::size_t at) {
  T number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    auto rest = i;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0x82f63b78 : 0);
    table[i] = rest;
  }
  return table;
}();

/// The bytes of a file at any place, through memory that grows to the longest record. Nothing is mapped: a
/// disk that fails, or a writer that cuts the file, must be an error and not a signal.
class window {
 public:
  window(const std::filesystem::path& path, int file) : path_(path), file_(file) {
    struct stat status = {};
    if (::fstat(file, &status) < 0) fail(path, "cannot be read", errno);
    if (!S_ISREG(status.st_mode)) refuse(path, "is not an ordinary file");
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  std::uint64_t size() const { return size_; }

  /// Fewer than `count` bytes at the end of the file. Valid until the next call.
  bytes_view at(std::uint64_t offset, std::size_t count) {
    if (offset < start_ || offset + count > start_ + filled_) fill(offset, std::max(count, read_ahead));
    auto skipped = std::min<std::uint64_t>(offset - start_, filled_);
    return bytes_view(memory_.get(), filled_)
        .subspan(skipped, std::min<std::uint64_t>(count, filled_ - skipped));
  }

 private:
  void fill(std::uint64_t offset, std::size_t count) {
    start_ = std::min(offset, size_);
    filled_ = 0;
    count = std::min<std::uint64_t>(count, size_ - start_);
    reserve(count);
    while (filled_ < count) {
      auto got =
          ::pread(file_, memory_.get() + filled_, count - filled_, static_cast<off_t>(start_ + filled_));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(path_, "cannot be read", errno);
      if (got == 0) size_ = start_ + filled_; // somebody cut it meanwhile
      if (got == 0) break;
      filled_ += static_cast<std::size_t>(got);
    }
  }

  void reserve(std::size_t count) {
    if (count <= capacity_) return;
    capacity_ = 0;
    memory_.reset();
    memory_ = std::make_unique_for_overwrite<std::byte[]>(count);
    capacity_ = count;
  }

  const std::filesystem::path& path_;
  int file_;
  std::uint64_t size_ = 0, start_ = 0;
  std::size_t filled_ = 0, capacity_ = 0;
  std::unique_ptr<std::byte[]> memory_;
};

struct file_head {
  std::string label;
  std::uint32_t identity; ///< its checksum
  std::uint64_t size;
};

std::uint32_t identity_of(bytes_view head) { return crc32c(0, head.subspan(identity_at, 8)); }

std::vector<std::byte> make_head(std::string_view label) {
  std::vector<std::byte> head(label_at + label.size() + 4);
  std::ranges::copy(magic, head.begin());
  put(head, version_at, version);
  put(head, label_length_at, static_cast<std::uint32_t>(label.size()));
  std::random_device random;
  put(head, identity_at, std::uint64_t{random()} << 32 | random());
  std::ranges::copy(std::as_bytes(std::span(label)), head.begin() + label_at);
  put(head, label_at + label.size(), crc32c(0, bytes_view(head).first(label_at + label.size())));
  return head;
}

/// How much of `bytes` is there: a file may have got its length, but not its content.
std::size_t without_zeros(bytes_view bytes) {
  auto size = bytes.size();
  while (size > 0 && bytes[size - 1] == std::byte{0}) --size;
  return size;
}

/// Throws unless the first `written` bytes can be the beginning of such a file of this version.
void check_kind_of_file(const std::filesystem::path& path, bytes_view bytes, std::size_t written) {
  auto known = std::min(written, magic.size());
  if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(known), magic.begin()))
    refuse(path, "is not a file of records; move it away or choose another place");
  if (bytes.size() < label_length_at || written <= version_at) return;
  auto found = get<std::uint32_t>(bytes, version_at);
  if (found != version)
    refuse(path,
           fmt::format("is of version {} where this program knows {}; read it with the program that wrote "
                       "it, or move it away",
                       found, version));
}

/// Whether the file, all of which is `bytes`, is the beginning of a head with this label.
bool torn_head_of(bytes_view bytes, std::string_view label) {
  auto whole = make_head(label);
  auto written = without_zeros(bytes);
  if (bytes.size() > whole.size() || written == whole.size()) return false;
  for (std::size_t i = 0; i < written; ++i)
    if (bytes[i] != whole[i] && (i < identity_at || i >= label_at) && i < whole.size() - 4) return false;
  return true;
}

/// The same of any label. Only for reading, as damage can look like that.
bool may_be_torn_head(bytes_view bytes) {
  if (bytes.size() < label_at || without_zeros(bytes) <= label_length_at) return true;
  return bytes.size() <= label_at + std::uint64_t{get<std::uint32_t>(bytes, label_length_at)} + 4;
}

/// Nothing if the file ends in its head, which had `label` if that is given. As the head is on the disk
/// before the first record, there was no record then.
std::optional<file_head> read_head(const std::filesystem::path& path, window& file,
                                   std::optional<std::string_view> label) {
  auto bytes = file.at(0, longest_head);
  check_kind_of_file(path, bytes, without_zeros(bytes));
  if (bytes.size() >= label_at) {
    auto length = get<std::uint32_t>(bytes, label_length_at);
    auto size = label_at + std::uint64_t{length} + 4;
    if (bytes.size() >= size && crc32c(0, bytes.first(size - 4)) == get<std::uint32_t>(bytes, size - 4)) {
      auto text = reinterpret_cast<const char*>(bytes.data()) + label_at;
      return file_head{{text, length}, identity_of(bytes), size};
    }
  }
  bool torn = file.size() <= bytes.size() && (label ? torn_head_of(bytes, *label) : may_be_torn_head(bytes));
  if (!torn) refuse(path, "its head is damaged, so that no record can be trusted; move it away");
  return {};
}

struct record_head {
  std::uint8_t kind;
  std::uint32_t length, sum, content_sum;
};

/// The checksum of the head of a record.
std::uint32_t head_sum(std::uint32_t identity, std::uint64_t offset, bytes_view length_and_kind) {
  std::array<std::byte, 8 + head_sum_at> bytes{};
  put(bytes, 0, offset);
  std::ranges::copy(length_and_kind.first<head_sum_at>(), bytes.begin() + 8);
  return crc32c(identity, bytes);
}

std::optional<record_head> record_head_at(window& file, std::uint32_t identity, std::uint64_t offset) {
  auto bytes = file.at(offset, record_head_size);
  if (bytes.size() < record_head_size) return {};
  record_head head{std::to_integer<std::uint8_t>(bytes[kind_at]), get<std::uint32_t>(bytes, 0),
                   get<std::uint32_t>(bytes, head_sum_at), get<std::uint32_t>(bytes, content_sum_at)};
  if (head.length > record_log::longest_content || head.sum != head_sum(identity, offset, bytes)) return {};
  return head;
}

/// Nothing if the content is not whole.
std::optional<bytes_view> content_at(window& file, const record_head& head, std::uint64_t offset) {
  offset += record_head_size;
  auto content = file.at(offset, head.length);
  if (content.size() < head.length || crc32c(head.sum, content) != head.content_sum) return {};
  return content;
}

/// Looks at every place, but at no content twice: a head whose checksum is right is believed.
bool whole_record_after(window& file, std::uint32_t identity, std::uint64_t offset) {
  while (offset + record_head_size <= file.size()) {
    auto head = record_head_at(file, identity, offset);
    if (head && content_at(file, *head, offset)) return true;
    offset += head ? record_head_size + head->length : 1;
  }
  return false;
}

/// Adds to `found` what follows the head.
void read_records(window& file, std::uint32_t identity, const record_log::reader& each,
                  record_log::summary& found) {
  while (auto head = record_head_at(file, identity, found.whole)) {
    auto content = content_at(file, *head, found.whole);
    if (!content) break;
    if (each) each({head->kind, *content});
    found.whole += record_head_size + head->length;
    ++found.records;
  }
  found.damaged = whole_record_after(file, identity, found.whole);
}

/// Writes all of `pieces`, which it changes, from `offset` on. Returns 0 or an errno.
int write_at(int file, std::span<iovec> pieces, std::uint64_t offset) {
  while (!pieces.empty()) {
    auto count = static_cast<int>(std::min<std::size_t>(pieces.size(), IOV_MAX));
    auto written = ::pwritev(file, pieces.data(), count, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    offset += static_cast<std::uint64_t>(written);
    pieces = behind(pieces, static_cast<std::size_t>(written));
  }
  return 0;
}

int truncate_to(int file, std::uint64_t size) {
  int result = 0;
  do {
    result = ::ftruncate(file, static_cast<off_t>(size));
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

bool no_room(int cause) { return cause == ENOSPC || cause == EDQUOT || cause == EFBIG; }

std::string free_space(int file) {
  struct statvfs status = {};
  if (::fstatvfs(file, &status) < 0) return "an unknown number of";
  return std::to_string(std::uint64_t{status.f_bavail} * status.f_frsize);
}

/// Makes the names in a directory survive the machine.
void sync_directory(const std::filesystem::path& directory) {
  file_descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) fail(directory, "cannot be opened to sync it", errno);
  // Some file systems keep names safe by themselves and say so this way.
  if (::fsync(opened.get()) < 0 && errno != EINVAL) fail(directory, "cannot be synced", errno);
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

void make_directory(const std::filesystem::path& directory) {
  if (std::error_code none; std::filesystem::is_directory(directory, none)) return;
  auto above = directory_of(directory);
  if (above != directory) make_directory(above);
  if (::mkdir(directory.c_str(), 0777) < 0 && errno != EEXIST) fail(directory, "cannot be made", errno);
  sync_directory(above);
}

/// Whom the kernel names as holding the lock, or who it may be.
std::string holder_of(int file) {
  struct stat status = {};
  ::fstat(file, &status);
  auto id = fmt::format("{:02x}:{:02x}:{}", major(status.st_dev), minor(status.st_dev), status.st_ino);
  std::ifstream locks("/proc/locks");
  std::string number, kind, advisory, mode, process, place, rest;
  while (locks >> number >> kind >> advisory >> mode >> process >> place && std::getline(locks, rest)) {
    if (kind != "FLOCK" || place != id) continue;
    if (process == std::to_string(::getpid())) return "this very process";
    std::string name;
    std::ifstream("/proc/" + process + "/comm") >> name;
    return fmt::format("process {} ({}); end that one, or choose another place", process,
                       name.empty() ? "of unknown name" : name);
  }
  return "another process, most likely a dtranspose that has not ended yet, in another container or on "
         "another "
         "machine; end that one, or choose another place";
}

void lock(const std::filesystem::path& path, int file) {
  while (::flock(file, LOCK_EX | LOCK_NB) < 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) refuse(path, "is in use by " + holder_of(file));
    fail(path, "cannot be locked; choose a file system that has locks", errno);
  }
}

/// False if the file was removed after it had been opened.
bool still_there(const std::filesystem::path& path, int file) {
  struct stat opened = {}, named = {};
  return ::fstat(file, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

} // namespace

record_log::record_log(std::filesystem::path path, std::string_view label, const reader& each)
    : path_(std::move(path)) {
  if (label.empty() || label.size() > longest_label)
    refuse(path_, fmt::format("its label must have 1 to {} bytes", longest_label));
  make_directory(directory_of(path_));
  open_and_lock();
  window file(path_, file_.get());
  summary found;
  if (auto head = read_head(path_, file, label)) {
    if (head->label != label)
      refuse(path_, fmt::format("belongs to '{}', not to '{}'; move it away or choose another place",
                                head->label, label));
    identity_ = head->identity;
    found.whole = head->size;
    read_records(file, identity_, each, found);
  }
  size_ = found.whole;
  recovered_ = file.size() - size_;
  damaged_ = found.damaged;
  if (recovered_ > 0)
    if (auto error = truncate_to(file_.get(), size_)) fail(path_, "its torn end cannot be cut off", error);
  if (size_ == 0) begin(label);
  if (::fsync(file_.get()) < 0) fail(path_, "cannot be synced", errno);
  sync_directory(directory_of(path_));
  synced_ = size_;
}

void record_log::open_and_lock() {
  do {
    file_ = file_descriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (!file_) fail(path_, "cannot be opened for writing", errno);
    lock(path_, file_.get());
  } while (!still_there(path_, file_.get()));
}

void record_log::begin(std::string_view label) {
  auto head = make_head(label);
  bytes_view piece(head);
  write({&piece, 1}, head.size());
  identity_ = identity_of(head);
}

record_log::summary record_log::read(const std::filesystem::path& path, const reader& each) {
  file_descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!opened) fail(path, "cannot be opened", errno);
  window file(path, opened.get());
  summary found;
  if (auto head = read_head(path, file, {})) {
    found.label = head->label;
    found.whole = head->size;
    read_records(file, head->identity, each, found);
  }
  found.trailing = file.size() - found.whole;
  return found;
}

void record_log::append(std::uint8_t kind, std::span<const std::byte> content) {
  check_usable();
  if (content.size() > longest_content)
    refuse(path_, fmt::format("a record of {} bytes is longer than the {} that one may have", content.size(),
                              longest_content));
  std::array<std::byte, record_head_size> head{};
  put(head, 0, static_cast<std::uint32_t>(content.size()));
  put(head, kind_at, kind);
  auto sum = head_sum(identity_, size_ + appended_, head);
  put(head, head_sum_at, sum);
  put(head, content_sum_at, crc32c(sum, content));
  auto& into = room_for(head.size() + content.size());
  into.insert(into.end(), head.begin(), head.end());
  into.insert(into.end(), content.begin(), content.end());
  appended_ += head.size() + content.size();
}

record_log::block& record_log::room_for(std::size_t count) {
  if (!blocks_.empty() && blocks_.back().capacity() - blocks_.back().size() >= count) return blocks_.back();
  auto fitting = std::ranges::find_if(spare_, [&](auto& block) { return block.capacity() >= count; });
  if (fitting != spare_.end()) {
    blocks_.push_back(std::move(*fitting));
    spare_.erase(fitting);
    return blocks_.back();
  }
  block fresh;
  fresh.reserve(std::max(count, block_size));
  return blocks_.emplace_back(std::move(fresh));
}

void record_log::recycle_blocks() {
  std::size_t kept = 0;
  for (auto& block : spare_) kept += block.capacity();
  for (auto& block : blocks_) {
    if (kept + block.capacity() > most_spare) continue;
    kept += block.capacity();
    block.clear();
    spare_.push_back(std::move(block));
  }
  blocks_.clear();
}

void record_log::commit() {
  check_usable();
  if (appended_ == 0) return;
  std::vector<bytes_view> pieces(blocks_.begin(), blocks_.end());
  spare_.reserve(spare_.size() + blocks_.size()); // what is written must not be forgotten half
  write(pieces, appended_);
  appended_ = 0;
  recycle_blocks();
}

/// Adds `count` bytes to the file, or none.
void record_log::write(std::span<const bytes_view> pieces, std::uint64_t count) {
  std::vector<iovec> vectors;
  vectors.reserve(pieces.size());
  for (auto piece : pieces) vectors.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  auto error = write_at(file_.get(), vectors, size_);
  if (!error) {
    size_ += count;
    return;
  }
  auto room = no_room(error) ? free_space(file_.get()) : std::string(); // before the rest is given back
  auto left_over = truncate_to(file_.get(), size_);
  auto text = fmt::format("{}: {} bytes cannot be written: {}", path_.string(), count, std::strerror(error));
  if (left_over)
    text += fmt::format("; nor can what was written of them be cut off: {}", std::strerror(left_over));
  if (!no_room(error)) throw std::runtime_error(text);
  throw record_log_full(fmt::format("{}; {} bytes are free there: make room{}", text, room,
                                    error == EFBIG ? ", or raise the limit of the length of files" : ""));
}

void record_log::sync() {
  commit();
  if (synced_ == size_) return;
  int result = 0;
  do {
    result = ::fdatasync(file_.get());
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    sync_error_ = errno;
    check_usable();
  }
  synced_ = size_;
}

void record_log::check_usable() const {
  if (!file_) refuse(path_, "was removed");
  if (sync_error_)
    fail(path_, "the disk failed to take what was written; look after it and start again from what is there",
         sync_error_);
}

void record_log::remove() {
  if (!file_) return;
  if (::unlink(path_.c_str()) < 0 && errno != ENOENT) fail(path_, "cannot be removed", errno);
  file_.close(); // not earlier: while it is locked, nobody else begins to use it
  blocks_.clear();
  appended_ = 0;
  synced_ = size_ = 0;
  sync_directory(directory_of(path_));
}

std::uint32_t crc32c_by_table(std::uint32_t before, std::span<const std::byte> bytes) {
  auto sum = ~before;
  for (auto b : bytes) sum = crc_table[(sum ^ std::to_integer<std::uint32_t>(b)) & 0xff] ^ (sum >> 8);
  return ~sum;
}

std::uint32_t crc32c(std::uint32_t before, std::span<const std::byte> bytes) {
#ifdef __SSE4_2__
  std::uint64_t sum = ~before;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    sum = _mm_crc32_u64(sum, word);
  }
  auto rest = static_cast<std::uint32_t>(sum);
  for (auto b : bytes) rest = _mm_crc32_u8(rest, std::to_integer<std::uint8_t>(b));
  return ~rest;
#else
  return crc32c_by_table(before, bytes);
#endif
}

} // namespace dtranspose
