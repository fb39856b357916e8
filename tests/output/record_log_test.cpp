#include "output/record_log.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <utility>

#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temporary_directory.hpp"

namespace {

/// What the next sync meets.
std::atomic<int> next_sync_error = 0;
/// Happens between opening and locking, once.
std::function<void()> before_lock;
/// No write takes more, and every other one is interrupted; 0: writes are as usual.
std::atomic<std::size_t> most_per_write = 0;
std::atomic<int> writes = 0;

} // namespace

// These stand before those of the C library, as no test can make a disk fail or be quicker than a system
// call.

extern "C" int fdatasync(int file) {
  if (auto error = next_sync_error.exchange(0)) {
    errno = error;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fdatasync, file));
}

extern "C" int flock(int file, int operation) noexcept {
  if (before_lock) std::exchange(before_lock, {})();
  return static_cast<int>(::syscall(SYS_flock, file, operation));
}

extern "C" ssize_t pwritev(int file, const iovec* pieces, int count, off_t offset) {
  if (most_per_write == 0) return ::syscall(SYS_pwritev, file, pieces, count, offset, 0);
  if (++writes % 2 == 0) {
    errno = EINTR;
    return -1;
  }
  return ::pwrite(file, pieces[0].iov_base, std::min<std::size_t>(pieces[0].iov_len, most_per_write), offset);
}

namespace dtranspose {
namespace {

using namespace std::string_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Property;
using testing::SizeIs;
using testing::StartsWith;
using testing::ThrowsMessage;

constexpr auto label = "dtranspose reducer 1";
constexpr std::size_t head_size = 24 + 20 + 4, record_head_size = 13;

struct kept {
  int kind;
  std::string content;

  bool operator==(const kept&) const = default;
};

std::ostream& operator<<(std::ostream& out, const kept& x) {
  return out << x.kind << ":" << x.content.size() << " bytes:" << x.content.substr(0, 20);
}

using kept_list = std::vector<kept>;

record_log::reader into(kept_list& list) {
  return [&list](const record_log::record& x) {
    list.push_back({x.kind, {reinterpret_cast<const char*>(x.content.data()), x.content.size()}});
  };
}

void append(record_log& log, const kept& x) {
  log.append(static_cast<std::uint8_t>(x.kind), std::as_bytes(std::span(x.content)));
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void set_content(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

/// The record with this number, of short, long and very long ones.
kept numbered(std::uint64_t n) {
  auto size = n % 50 == 49 ? 300000 + n : n % 7 == 0 ? 0 : n * 37 % 400;
  std::string content(size, '\0');
  for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(n * 31 + i * 7 + i / 251);
  return {static_cast<int>(n % 256), std::move(content)};
}

class record_log_test : public testing::Test {
 protected:
  void TearDown() override {
    next_sync_error = 0;
    before_lock = {};
    most_per_write = 0;
  }

  std::unique_ptr<record_log> open(const record_log::reader& each = {}) {
    return std::make_unique<record_log>(path_, label, each);
  }

  /// Opens the file for writing and closes it.
  kept_list reopened() {
    kept_list list;
    open(into(list));
    return list;
  }

  kept_list read() const {
    kept_list list;
    record_log::read(path_, into(list));
    return list;
  }

  void write(const kept_list& list) {
    auto log = open();
    for (auto& x : list) append(*log, x);
    log->commit();
  }

  std::string error_of_opening() {
    try {
      open();
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "none";
  }

  const kept_list three_{{1, "the first"}, {2, ""}, {255, "and the last one"}};
  test::temporary_directory directory_;
  std::filesystem::path path_ = directory_ / "deep" / "down" / "journal";
};

TEST(crc32c_test, known_values) {
  auto sum = [](std::string_view text) { return crc32c(0, std::as_bytes(std::span(text))); };
  EXPECT_EQ(sum(""), 0u);
  EXPECT_EQ(sum("123456789"), 0xe3069283u);
  EXPECT_EQ(sum(std::string(32, '\0')), 0x8a9136aau);
}

TEST(crc32c_test, the_table_and_pieces_give_the_same) {
  auto text = numbered(99).content.substr(0, 100);
  auto bytes = std::as_bytes(std::span(text));
  for (std::size_t from = 0; from < 9; ++from)
    for (std::size_t size = 0; from + size <= bytes.size(); ++size) {
      auto part = bytes.subspan(from, size);
      ASSERT_EQ(crc32c(7, part), crc32c_by_table(7, part));
      ASSERT_EQ(crc32c(7, part), crc32c(crc32c(7, part.first(size / 3)), part.subspan(size / 3)));
    }
}

TEST_F(record_log_test, what_is_committed_is_read_again) {
  write(three_);
  EXPECT_EQ(read(), three_);
  EXPECT_EQ(reopened(), three_);
  write({{9, "one more"}});
  EXPECT_THAT(reopened(), ElementsAre(three_[0], three_[1], three_[2], kept{9, "one more"}));
}

TEST_F(record_log_test, records_of_all_sizes_in_batches) {
  kept_list list;
  auto log = open();
  for (std::uint64_t n = 0; n < 700; ++n) {
    list.push_back(numbered(n));
    append(*log, list.back());
    if (n % 90 == 5) log->commit();
    if (n == 400) append(*log, list.emplace_back(kept{3, std::string(9 << 20, 'x')}));
  }
  log->commit();
  EXPECT_EQ(log->size(), std::filesystem::file_size(path_));
  log.reset();
  EXPECT_TRUE(reopened() == list);
}

TEST_F(record_log_test, counts_what_is_where) {
  auto log = open();
  EXPECT_EQ(log->size(), head_size);
  EXPECT_EQ(log->committed_not_synced(), 0u);
  append(*log, {1, "12345"});
  EXPECT_EQ(log->appended_not_committed(), record_head_size + 5);
  EXPECT_EQ(std::filesystem::file_size(path_), head_size);
  log->commit();
  EXPECT_EQ(log->appended_not_committed(), 0u);
  EXPECT_EQ(log->size(), head_size + record_head_size + 5);
  EXPECT_EQ(std::filesystem::file_size(path_), log->size());
  EXPECT_EQ(log->committed_not_synced(), record_head_size + 5);
  append(*log, {1, "1"});
  log->sync();
  EXPECT_EQ(log->appended_not_committed(), 0u);
  EXPECT_EQ(log->committed_not_synced(), 0u);
  EXPECT_EQ(log->size(), head_size + 2 * record_head_size + 6);
  append(*log, {1, "never committed"});
  log.reset();
  EXPECT_EQ(reopened(), (kept_list{{1, "12345"}, {1, "1"}}));
}

TEST_F(record_log_test, summary_of_a_file_that_is_open) {
  auto log = open();
  append(*log, three_[0]);
  log->commit();
  auto found = record_log::read(path_, {});
  EXPECT_EQ(found.label, label);
  EXPECT_EQ(found.records, 1u);
  EXPECT_EQ(found.whole, log->size());
  EXPECT_EQ(found.trailing, 0u);
  EXPECT_FALSE(found.damaged);
}

TEST_F(record_log_test, too_long_a_record_is_refused) {
  auto log = open();
  auto nothing = static_cast<const std::byte*>(nullptr);
  EXPECT_THAT(
      [&] {
        log->append(1, {nothing, record_log::longest_content + 1});
      },
      ThrowsMessage<std::runtime_error>(
          AllOf(StartsWith(path_.string() + ": "), HasSubstr("1073741825 bytes is longer"))));
  EXPECT_EQ(log->appended_not_committed(), 0u);
}

TEST_F(record_log_test, torn_at_every_byte_of_the_last_record) {
  write(three_);
  auto whole = content_of(path_);
  auto last = record_head_size + three_[2].content.size();
  for (std::size_t cut = 1; cut <= last; ++cut)
    for (bool zeros : {false, true}) { // a machine that died may leave the length, but not the content
      set_content(path_, whole.substr(0, whole.size() - cut) + std::string(zeros ? cut : 0, '\0'));
      kept_list list;
      auto log = open(into(list));
      ASSERT_THAT(list, ElementsAre(three_[0], three_[1]));
      ASSERT_EQ(log->recovered(), zeros ? last : last - cut);
      ASSERT_FALSE(log->damaged());
      ASSERT_EQ(std::filesystem::file_size(path_), whole.size() - last);
      append(*log, three_[2]);
      log->commit();
      log.reset();
      ASSERT_EQ(content_of(path_), whole);
    }
}

TEST_F(record_log_test, a_flipped_bit_ends_the_records_and_is_told_from_a_torn_write) {
  write({{1, "abc"}, {2, "defgh"}, {3, ""}, {4, "ij"}});
  auto whole = content_of(path_);
  const std::size_t ends[] = {head_size, head_size + 16, head_size + 34, head_size + 47, head_size + 62};
  ASSERT_EQ(whole.size(), ends[4]);
  for (std::size_t at = head_size; at < whole.size(); ++at) {
    auto before = static_cast<std::size_t>(std::upper_bound(ends, ends + 5, at) - ends - 1);
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      set_content(path_, changed);
      auto found = record_log::read(path_, {});
      ASSERT_EQ(found.records, before) << at;
      ASSERT_EQ(found.trailing, whole.size() - ends[before]) << at;
      ASSERT_EQ(found.damaged, before < 3) << at;
      ASSERT_EQ(content_of(path_), changed);
    }
    auto log = open();
    ASSERT_EQ(log->recovered(), whole.size() - ends[before]);
    ASSERT_EQ(log->damaged(), before < 3);
    ASSERT_EQ(content_of(path_), whole.substr(0, ends[before]));
    log.reset();
    log = open();
    ASSERT_EQ(log->recovered(), 0u);
    ASSERT_FALSE(log->damaged());
  }
}

TEST_F(record_log_test, a_flipped_bit_in_the_head_is_an_error_and_changes_nothing) {
  write({{1, "x"}});
  auto whole = content_of(path_);
  for (std::size_t at = 0; at < head_size; ++at)
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      set_content(path_, changed);
      ASSERT_THAT(error_of_opening(), AllOf(StartsWith(path_.string() + ": "), HasSubstr("move it away")))
          << at;
      ASSERT_EQ(content_of(path_), changed);
      try {
        ASSERT_EQ(record_log::read(path_, {}).records, 0u);
      } catch (const std::runtime_error&) {
      }
    }
}

TEST_F(record_log_test, records_of_another_place_or_file_are_none) {
  write({{1, "aaaa"}, {2, "bbbb"}});
  auto one = content_of(path_);
  auto second = one.substr(head_size + 17);
  set_content(path_, one.substr(0, head_size + 17) + second + second);
  EXPECT_THAT(reopened(), SizeIs(2));
  set_content(path_, one.substr(0, head_size) + second);
  EXPECT_THAT(reopened(), IsEmpty());
  std::filesystem::remove(path_);
  write({{1, "aaaa"}});
  auto other = content_of(path_);
  set_content(path_, other + second); // at its place, but of the older file
  EXPECT_THAT(reopened(), SizeIs(1));
}

TEST_F(record_log_test, hostile_length_is_not_believed) {
  write(three_);
  auto whole = content_of(path_);
  set_content(path_, whole + "\xff\xff\xff\xff\x01 and more than a head"s);
  EXPECT_EQ(reopened(), three_);
  // Even with the checksums that belong to it and to what follows.
  auto bytes = std::as_bytes(std::span(whole));
  std::uint64_t place = whole.size();
  auto forged = "\x00\x00\x00\x3f\x01"s;
  auto sum = crc32c(crc32c(0, bytes.subspan(16, 8)), std::as_bytes(std::span(&place, 1)));
  sum = crc32c(sum, std::as_bytes(std::span(forged)));
  forged.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  auto rest = "what there is of the content"s;
  sum = crc32c(sum, std::as_bytes(std::span(rest)));
  forged.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  set_content(path_, whole + forged + rest);
  EXPECT_EQ(reopened(), three_);
}

TEST_F(record_log_test, empty_file_is_a_new_one) {
  std::filesystem::create_directories(path_.parent_path());
  set_content(path_, "");
  EXPECT_EQ(record_log::read(path_, {}).label, "");
  auto log = open();
  EXPECT_EQ(log->recovered(), 0u);
  EXPECT_EQ(log->size(), head_size);
  EXPECT_EQ(record_log::read(path_, {}).label, label);
}

TEST_F(record_log_test, torn_head_is_written_anew) {
  std::string head;
  do { // the last byte must be none of the zeros that may follow what was written
    open()->remove();
    open();
    head = content_of(path_);
  } while (head.back() == 0);
  for (std::size_t left = 0; left < head_size; ++left)
    for (auto& torn : {head.substr(0, left), head.substr(0, left) + std::string(head_size - left, '\0')}) {
      set_content(path_, torn);
      auto found = record_log::read(path_, {});
      ASSERT_EQ(found.label, "");
      ASSERT_EQ(found.trailing, torn.size());
      auto log = open();
      ASSERT_EQ(log->recovered(), torn.size());
      ASSERT_FALSE(log->damaged());
      append(*log, three_[0]);
      log->commit();
      log.reset();
      ASSERT_THAT(reopened(), ElementsAre(three_[0]));
    }
}

TEST_F(record_log_test, other_files_are_errors_and_stay_as_they_are) {
  write(three_);
  auto ours = content_of(path_);
  EXPECT_THAT([&] { record_log(path_, "dtranspose reducer 2", {}); },
              ThrowsMessage<std::runtime_error>(
                  AllOf(StartsWith(path_.string() + ": "),
                        HasSubstr("belongs to 'dtranspose reducer 1', not to 'dtranspose reducer 2'"))));
  EXPECT_EQ(content_of(path_), ours);
  auto newer = ours;
  newer[8] = 2;
  auto longer_label = ours.substr(0, head_size - 10);
  longer_label[12] = 21;
  for (auto& [content, error] :
       {std::pair(newer, "is of version 2 where this program knows 1"s),
        std::pair(longer_label, "its head is damaged"s),
        std::pair(std::string(1000, '\0'), "head is damaged"s),
        std::pair("important"s, "is not a file of records"s), std::pair("x"s, "is not a file of records"s)}) {
    set_content(path_, content);
    EXPECT_THAT(error_of_opening(), AllOf(StartsWith(path_.string() + ": "), HasSubstr(error)));
    EXPECT_EQ(content_of(path_), content);
  }
}

TEST_F(record_log_test, places_that_cannot_be_used_are_named) {
  EXPECT_THAT(
      [&] { record_log::read(path_, {}); },
      ThrowsMessage<std::runtime_error>(path_.string() + ": cannot be opened: No such file or directory"));
  std::filesystem::create_directories(path_);
  EXPECT_EQ(error_of_opening(), path_.string() + ": cannot be opened for writing: Is a directory");
  set_content(directory_ / "file", "x");
  path_ = directory_ / "file" / "below" / "journal";
  EXPECT_THAT(error_of_opening(), AllOf(StartsWith((directory_ / "file").string()), HasSubstr("directory")));
  path_ = directory_ / "pipe";
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(error_of_opening(), path_.string() + ": is not an ordinary file");
  for (auto& bad : {std::string(), std::string(256, 'x')})
    EXPECT_THAT([&] { record_log(directory_ / "journal", bad, {}); },
                ThrowsMessage<std::runtime_error>(HasSubstr("1 to 255 bytes")));
}

TEST_F(record_log_test, a_reader_that_throws_leaves_the_file_alone) {
  write(three_);
  auto torn = content_of(path_).substr(0, 70);
  set_content(path_, torn);
  EXPECT_THROW(open([](auto&) { throw std::logic_error("no"); }), std::logic_error);
  EXPECT_EQ(content_of(path_), torn);
  EXPECT_THAT(reopened(), SizeIs(1)); // and the lock is gone
}

TEST_F(record_log_test, removed_file_is_gone) {
  auto log = open();
  append(*log, three_[0]);
  log->remove();
  EXPECT_FALSE(std::filesystem::exists(path_));
  log->remove();
  EXPECT_THAT([&] { log->commit(); }, ThrowsMessage<std::runtime_error>(path_.string() + ": was removed"));
  EXPECT_THROW(append(*log, three_[0]), std::runtime_error);
  EXPECT_THAT(reopened(), IsEmpty());
}

TEST_F(record_log_test, a_file_removed_before_it_was_locked_is_made_anew) {
  auto other = open();
  before_lock = [&] { other->remove(); };
  auto log = open();
  append(*log, three_[0]);
  log->commit();
  EXPECT_THAT(read(), ElementsAre(three_[0]));
}

TEST_F(record_log_test, short_and_interrupted_writes_are_continued) {
  most_per_write = 70000;
  kept_list list;
  for (std::uint64_t n = 0; n < 100; ++n) list.push_back(numbered(n));
  list.push_back({1, std::string(2 << 20, 'z')});
  write(list);
  EXPECT_GT(writes, 50);
  most_per_write = 0;
  EXPECT_TRUE(reopened() == list);
}

TEST_F(record_log_test, sync_that_fails_is_not_made_good_by_another) {
  auto log = open();
  append(*log, three_[0]);
  next_sync_error = EIO;
  auto fails = ThrowsMessage<std::runtime_error>(AllOf(
      StartsWith(path_.string() + ": "), HasSubstr("the disk failed"), HasSubstr("Input/output error")));
  EXPECT_THAT([&] { log->sync(); }, fails);
  EXPECT_EQ(log->committed_not_synced(), record_head_size + three_[0].content.size());
  EXPECT_THAT([&] { log->sync(); }, fails);
  EXPECT_THAT([&] { log->commit(); }, fails);
  log = nullptr;
  EXPECT_THAT(reopened(), ElementsAre(three_[0]));
}

/// A process of its own. What it returns is its exit code; exceptions end it.
class child {
 public:
  explicit child(const std::function<int()>& run) : id_(::fork()) {
    if (id_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = 99;
    try {
      code = run();
    } catch (const std::exception& e) {
      (void)!::write(STDERR_FILENO, e.what(), std::strlen(e.what()));
    }
    ::_exit(code);
  }
  ~child() {
    if (id_ > 0) kill();
  }

  pid_t id() const { return id_; }
  int code() {
    int status = -1;
    ::waitpid(std::exchange(id_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void kill() {
    ::kill(id_, SIGKILL);
    code();
  }

 private:
  pid_t id_;
};

struct pipe_ends {
  pipe_ends() { EXPECT_EQ(::pipe(ends), 0); }
  ~pipe_ends() { close_in(), ::close(ends[0]); }
  void close_in() { ::close(std::exchange(ends[1], -1)); }
  void put(std::uint64_t n) const { (void)!::write(ends[1], &n, sizeof n); }
  /// False once all writers are gone.
  bool get(std::uint64_t& n) const { return ::read(ends[0], &n, sizeof n) == sizeof n; }

  int ends[2];
};

TEST_F(record_log_test, all_that_was_committed_outlives_a_killed_process) {
  std::uint64_t there = 0;
  for (std::uint64_t round = 0; round < 20; ++round) {
    pipe_ends committed;
    child writer([&] {
      auto log = open();
      for (auto n = there;;) {
        for (auto end = n + 1 + n % 12; n < end; ++n) append(*log, numbered(n));
        if (n % 5 == 0)
          log->sync();
        else
          log->commit();
        committed.put(n);
      }
      return 0;
    });
    committed.close_in();
    std::uint64_t told = 0;
    for (std::uint64_t i = 0; i < 1 + round * 3; ++i) ASSERT_TRUE(committed.get(told));
    writer.kill();
    while (committed.get(told)) {
    }
    std::uint64_t n = 0;
    auto log = open([&](auto& x) {
      auto expected = numbered(n++);
      ASSERT_EQ(x.kind, expected.kind);
      ASSERT_TRUE(std::ranges::equal(x.content, std::as_bytes(std::span(expected.content)))) << n;
    });
    ASSERT_GE(n, told);
    ASSERT_GE(n, there);
    ASSERT_FALSE(log->damaged());
    there = n;
  }
}

TEST_F(record_log_test, two_processes_never_have_the_same_file) {
  pipe_ends ready;
  child holder([&] {
    auto log = open();
    ready.put(1);
    ::pause();
    return 0;
  });
  ready.close_in();
  std::uint64_t one = 0;
  ASSERT_TRUE(ready.get(one));
  auto before = content_of(path_);
  std::string name;
  std::ifstream("/proc/self/comm") >> name;
  EXPECT_EQ(error_of_opening(), path_.string() + ": is in use by process " + std::to_string(holder.id()) +
                                    " (" + name + "); end that one, or choose another place");
  EXPECT_EQ(content_of(path_), before);
  EXPECT_EQ(record_log::read(path_, {}).label, label);
  holder.kill();
  EXPECT_EQ(error_of_opening(), "none");
}

/// Appends and commits until there is no room. Returns the records that the file must hold, without `left`,
/// which are appended and not committed.
kept_list fill(record_log& log, const std::filesystem::path& path, std::string_view cause, kept_list& left) {
  kept_list whole;
  for (std::uint64_t n = 0; n < 10000; ++n) {
    left.assign({numbered(n % 49), numbered(n % 49 + 1), {7, std::string(5000, 'y')}});
    auto before = log.size();
    for (auto& x : left) append(log, x);
    try {
      log.commit();
    } catch (const record_log_full& e) {
      EXPECT_THAT(e.what(),
                  AllOf(StartsWith(path.string() + ": "), HasSubstr(cause), HasSubstr("bytes are free")));
      EXPECT_EQ(log.size(), before);
      EXPECT_EQ(std::filesystem::file_size(path), before);
      return whole;
    }
    for (auto& x : left) whole.push_back(x);
  }
  ADD_FAILURE() << "there is always room";
  return whole;
}

/// What is to hold around a lack of room, which `make_room` ends.
void check_full(const std::filesystem::path& path, std::string_view cause,
                const std::function<void()>& make_room) {
  record_log log(path, label, {});
  kept_list left, there;
  auto whole = fill(log, path, cause, left);
  EXPECT_THROW(log.commit(), record_log_full);
  append(log, left.emplace_back(kept{8, "appended while there is no room"}));
  EXPECT_THROW(log.sync(), record_log_full);
  record_log::read(path, into(there));
  EXPECT_TRUE(there == whole);
  make_room();
  append(log, left.emplace_back(kept{9, "appended afterwards"}));
  log.sync();
  EXPECT_EQ(log.appended_not_committed(), 0u);
  whole.insert(whole.end(), left.begin(), left.end());
  there.clear();
  EXPECT_EQ(record_log::read(path, into(there)).trailing, 0u);
  EXPECT_TRUE(there == whole);
}

TEST_F(record_log_test, the_limit_of_the_length_of_files_is_survived) {
  child limited([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit low{100000, 200000}, high{200000, 200000};
    ::setrlimit(RLIMIT_FSIZE, &low);
    check_full(path_, "File too large", [&] { ::setrlimit(RLIMIT_FSIZE, &high); });
    return testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(limited.code(), 0);
}

TEST_F(record_log_test, no_room_for_the_head_is_survived) {
  child limited([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit low{10, 200000}, high{200000, 200000};
    ::setrlimit(RLIMIT_FSIZE, &low);
    EXPECT_THROW(open(), record_log_full);
    EXPECT_EQ(std::filesystem::file_size(path_), 0u);
    ::setrlimit(RLIMIT_FSIZE, &high);
    write(three_);
    EXPECT_TRUE(reopened() == three_);
    return testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(limited.code(), 0);
}

/// A file system of 256 KiB over a directory.
class small_disk {
 public:
  explicit small_disk(std::filesystem::path at) : at_(std::move(at)) {
    mounted_ = ::mount("none", at_.c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  small_disk(const small_disk&) = delete;
  small_disk& operator=(const small_disk&) = delete;
  ~small_disk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  explicit operator bool() const { return mounted_; }

 private:
  std::filesystem::path at_;
  bool mounted_;
};

TEST_F(record_log_test, a_full_disk_is_survived) {
  small_disk disk(directory_.path());
  if (!disk) GTEST_SKIP() << "only root can mount a file system";
  auto ballast = directory_ / "ballast";
  set_content(ballast, std::string(100000, 'b'));
  check_full(path_, "No space left on device", [&] { std::filesystem::remove(ballast); });
}

} // namespace
} // namespace dtranspose
