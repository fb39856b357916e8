/// Keys by which a person, or another program, goes through a replay step by step.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include <termios.h>

namespace dtranspose {

/// Reads `input` in a thread of its own. On a terminal each key is a step but `c`, which lets the rest run;
/// from anything else each line is a step, and so is what stands behind the last. At its end the rest runs.
class step_keys {
 public:
  /// The functions are called in that thread. `input` stays open as long as this lives.
  step_keys(int input, std::function<void()> step, std::function<void()> run_on);
  step_keys(const step_keys&) = delete;
  step_keys& operator=(const step_keys&) = delete;
  /// Leaves a terminal as it was.
  ~step_keys();

 private:
  void read_keys(const std::stop_token& stop);
  bool take(char key);

  const int input_;
  const std::function<void()> step_, run_on_;
  bool terminal_ = false;
  termios before_ = {};
  bool line_begun_ = false;
  std::jthread thread_;
};

} // namespace dtranspose
