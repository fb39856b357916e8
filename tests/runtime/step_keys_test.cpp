#include "runtime/step_keys.hpp"

#include <atomic>
#include <string_view>

#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include "source/collector.hpp"

namespace dtranspose {
namespace {

using test::soon;

class step_keys_test : public testing::Test {
 protected:
  void listen(int input) {
    keys_ = std::make_unique<step_keys>(
        input, [this] { ++steps_; }, [this] { ++runs_on_; });
  }
  static void type(int end, std::string_view text) {
    ASSERT_EQ(write(end, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  std::atomic<int> steps_ = 0, runs_on_ = 0;
  std::unique_ptr<step_keys> keys_;
};

TEST_F(step_keys_test, each_line_of_a_pipe_is_a_step_and_its_end_runs_on) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  listen(ends[0]);
  type(ends[1], "\nnext\nne");
  EXPECT_TRUE(soon([&] { return steps_ == 2; }));
  type(ends[1], "xt\nc"); // `c` means nothing here
  EXPECT_TRUE(soon([&] { return steps_ == 3; }));
  EXPECT_EQ(runs_on_, 0);
  close(ends[1]);
  EXPECT_TRUE(soon([&] { return runs_on_ == 1; }));
  EXPECT_EQ(steps_, 4); // a last line without its end
  keys_.reset();
  close(ends[0]);
}

TEST_F(step_keys_test, each_key_of_a_terminal_is_a_step) {
  int master, terminal;
  ASSERT_EQ(openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  termios before = {}, meanwhile = {}, after = {};
  tcgetattr(terminal, &before);
  listen(terminal);
  tcgetattr(terminal, &meanwhile);
  EXPECT_EQ(meanwhile.c_lflag & (ICANON | ECHO), 0u);
  type(master, "x ");
  EXPECT_TRUE(soon([&] { return steps_ == 2; }));
  type(master, "\n");
  EXPECT_TRUE(soon([&] { return steps_ == 3; }));
  type(master, "c");
  EXPECT_TRUE(soon([&] { return runs_on_ == 1; }));
  EXPECT_EQ(steps_, 3);
  keys_.reset();
  tcgetattr(terminal, &after);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  close(terminal);
  close(master);
}

TEST_F(step_keys_test, ends_while_nobody_types) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  listen(ends[0]);
  keys_.reset();
  EXPECT_EQ(steps_ + runs_on_, 0);
  close(ends[0]);
  close(ends[1]);
}

} // namespace
} // namespace dtranspose
