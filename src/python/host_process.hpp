/// A Python interpreter as a child process that never outlives this one: started, listened to, ended.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "source/file_descriptor.hpp"

namespace dtranspose {

struct host_command {
  std::string interpreter;                        ///< a path, or a name to be found in PATH
  std::vector<std::string> arguments;             ///< after it; `{fd}` becomes the number of the socket
  std::map<std::string, std::string> environment; ///< over that of this process
  std::string label;                              ///< what log lines call it
};

/// How a process ended: `waitpid`'s status.
struct host_end {
  int status = 0;

  /// `ended with code 3`, `was ended by signal 11 (Segmentation fault)`
  std::string text() const;
};

/// All of these are started and looked after by one thread of the program: the kernel ends them when that is
/// gone. Each is a process group of its own, which is ended whole. What they print goes to the log, so many
/// lines a second. No other descriptor of this process gets into them.
class host_process {
 public:
  /// Throws std::runtime_error, naming the interpreter, where it cannot be started.
  explicit host_process(const host_command& command);
  host_process(const host_process&) = delete;
  host_process& operator=(const host_process&) = delete;
  /// Ends it.
  ~host_process();

  /// This side of the socket; once.
  file_descriptor take_socket();
  pid_t pid() const;
  void kill();
  /// Ends it so that it tells before where it is, if it can; without a core file. `kill` follows.
  void abort();
  /// Nothing where it has not ended by then.
  std::optional<host_end> wait(std::chrono::milliseconds patience);
  /// The last 16 KiB of what it wrote to standard error.
  std::string last_words() const;
  /// Bytes of memory that are its own; 0 where that cannot be told.
  std::size_t memory() const;

  struct state;

 private:
  std::shared_ptr<state> state_;
};

/// Where a program of that name would be found; empty: nowhere.
std::string find_program(const std::string& name);

} // namespace dtranspose
