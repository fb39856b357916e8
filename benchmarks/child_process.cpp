#include "child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace dtranspose::benchmarks {

child_process::child_process(std::vector<std::string> arguments) {
  auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / arguments.at(0);
  int ends[2], input[2];
  if (pipe2(ends, O_CLOEXEC) != 0 || pipe2(input, O_CLOEXEC) != 0)
    throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(input[0], STDIN_FILENO);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  close(ends[1]);
  close(input[0]);
  out_ = ends[0];
  in_ = input[1];
}

child_process::~child_process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(out_);
  close(in_);
}

std::string child_process::read_line() {
  std::string line;
  for (char c; read(out_, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

void child_process::write_line(const std::string& line) {
  auto text = line + "\n";
  if (write(in_, text.data(), text.size()) < 0)
    throw std::runtime_error(std::string("write: ") + std::strerror(errno));
}

int child_process::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

} // namespace dtranspose::benchmarks
