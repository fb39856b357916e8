#include "python/host_process.hpp"

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "python/host_link.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto patience = 20s;

host_command shell(const std::string& script) {
  return {"sh", {"-c", script, "sh", "{fd}"}, {{"DTRANSPOSE_TEST", "here"}}, "test"};
}

bool exists(pid_t pid) { return kill(pid, 0) == 0; }

template <class F>
bool eventually(F&& holds) {
  for (auto until = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < until;) {
    if (holds()) return true;
    std::this_thread::yield();
  }
  return holds();
}

/// What the process writes to its socket until it closes it.
std::string said(host_process& process) {
  auto socket = process.take_socket();
  std::string all;
  char bytes[256];
  for (ssize_t n; (n = read(socket.get(), bytes, sizeof bytes)) > 0;)
    all.append(bytes, static_cast<std::size_t>(n));
  return all;
}

TEST(host_process, talks_over_its_descriptor) {
  host_process process(shell("echo $DTRANSPOSE_TEST >&$1"));
  EXPECT_EQ(said(process), "here\n");
  auto end = process.wait(patience);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->text(), "ended with code 0");
}

TEST(host_process, gets_no_other_descriptor) {
  file_descriptor open_file(open("/dev/null", O_RDONLY)); // not close-on-exec
  host_process process(shell("ls /proc/self/fd | tr '\\n' ' ' >&$1"));
  // ls has one of its own, for the folder.
  EXPECT_EQ(said(process), "0 1 2 3 4 ");
}

TEST(host_process, is_a_group_of_its_own_that_is_ended_whole) {
  host_process process(shell("sleep 1000 3>&- & echo $! >&$1; exec 3>&-; wait"));
  auto child = static_cast<pid_t>(std::stol(said(process)));
  EXPECT_TRUE(exists(child));
  process.kill();
  auto end = process.wait(patience);
  ASSERT_TRUE(end);
  EXPECT_THAT(end->text(), HasSubstr("signal 9"));
  EXPECT_TRUE(eventually([&] { return !exists(child); }));
}

TEST(host_process, children_that_it_leaves_behind_are_ended) {
  host_process process(shell("sleep 1000 3>&- & echo $! >&$1"));
  auto child = static_cast<pid_t>(std::stol(said(process)));
  ASSERT_TRUE(process.wait(patience));
  EXPECT_TRUE(eventually([&] { return !exists(child); }));
}

TEST(host_process, ends_with_its_owner) {
  pid_t pid = 0;
  {
    host_process process(shell("exec sleep 1000"));
    pid = process.pid();
  }
  EXPECT_TRUE(eventually([&] { return !exists(pid); }));
}

TEST(host_process, remembers_the_last_that_was_written_to_standard_error) {
  host_process process(
      shell("i=0; while [ $i -lt 60 ]; do printf '%1000d line %d\n' 0 $i >&2; i=$((i+1)); done; exit 3"));
  auto end = process.wait(patience);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->text(), "ended with code 3");
  auto words = process.last_words();
  EXPECT_THAT(words, HasSubstr("line 59\n"));
  EXPECT_LE(words.size(), 16u << 10);
}

TEST(host_process, a_program_that_is_not_there_is_named) {
  try {
    host_process process({"no-such-interpreter", {}, {}, "test"});
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("no-such-interpreter"));
  }
}

TEST(host_process, a_file_that_is_no_program_is_refused) {
  test::temporary_directory folder;
  auto path = folder.path() / "text";
  std::ofstream(path) << "\x7f";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  EXPECT_THROW(host_process({path.string(), {}, {}, "test"}), std::runtime_error);
}

TEST(host_link, reads_while_it_writes) {
  // It sends back what it gets: neither side reads before the socket is full.
  host_process process(shell("exec cat <&$1 >&$1"));
  host_link link(process.take_socket());
  const std::size_t size = 4 << 20;
  for (std::uint32_t id = 1; id <= 8; ++id)
    link.send(host_message_type::batch, id, std::vector<std::byte>(size, std::byte(id)));
  for (std::uint32_t id = 1; id <= 8; ++id) {
    auto message = link.receive(std::chrono::steady_clock::now() + patience);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->id, id);
    EXPECT_EQ(message->body, std::vector<std::byte>(size, std::byte(id)));
  }
  EXPECT_FALSE(link.receive(std::chrono::steady_clock::now() + 10ms));
  process.kill();
  EXPECT_THROW(link.receive(std::chrono::steady_clock::now() + patience), link_closed);
}

TEST(host_link, what_announces_too_much_is_no_message) {
  host_process process(
      shell("printf '\\001\\000\\000\\000\\000\\000\\000\\000\\377\\377\\377\\377\\377\\000\\000\\000' >&$1; "
            "exec sleep 1000"));
  host_link link(process.take_socket());
  EXPECT_THROW(link.receive(std::chrono::steady_clock::now() + patience), link_closed);
}

} // namespace
} // namespace dtranspose
