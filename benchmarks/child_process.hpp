/// Another program, started and ended by the benchmark.
#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace dtranspose::benchmarks {

/// Where the running program lies, and the others of the benchmark with it.
std::filesystem::path program_folder();

class child_process {
 public:
  /// Starts `arguments[0]`, a path from the folder of the running program. Its standard error goes to the
  /// file `log`, if there is one. It ends with the benchmark, however that ends.
  explicit child_process(std::vector<std::string> arguments, const std::filesystem::path& log = {});
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  /// Ends it if it runs.
  ~child_process();

  pid_t pid() const { return pid_; }
  /// Has it not ended by itself?
  bool runs();
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
