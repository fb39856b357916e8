/// Another program, started and ended by the benchmark.
#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace dtranspose::benchmarks {

class child_process {
 public:
  /// Starts `arguments[0]`, found beside the running program.
  explicit child_process(std::vector<std::string> arguments);
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  /// Ends it if it runs.
  ~child_process();

  /// The next line of its standard output.
  std::string read_line();
  /// Gives it a line of standard input.
  void write_line(const std::string& line);
  /// Waits for its end; returns its exit status.
  int wait();

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
};

} // namespace dtranspose::benchmarks
