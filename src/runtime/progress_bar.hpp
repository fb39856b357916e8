/// A scan's progress on a terminal: one line of standard error that is written over. Prints nothing where
/// standard error is no terminal.
#pragma once

#include <chrono>
#include <string>

namespace dtranspose {

struct progress;

class progress_bar {
 public:
  progress_bar();
  /// Leaves the line as it is.
  ~progress_bar();

  void show(const progress& p);

  /// The line for a terminal of that width, e.g.
  /// `running [####    ]  50%  1000/2000 events  512 /s  2 s left`.
  static std::string line(const progress& p, double rate, std::size_t width);

 private:
  bool terminal_;
  bool open_ = false; ///< the cursor is on the line
  std::string scan_, last_state_;
  std::uint64_t last_events_ = 0;
  std::chrono::steady_clock::time_point last_time_;
  double rate_ = 0;
};

} // namespace dtranspose
