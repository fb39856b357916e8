#include "child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace dtranspose::benchmarks {

std::filesystem::path program_folder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

child_process::child_process(std::vector<std::string> arguments, const std::filesystem::path& log) {
  auto program = program_folder() / arguments.at(0);
  if (!std::filesystem::exists(program))
    throw std::runtime_error(program.lexically_normal().string() + " is not there: build it first");
  int ends[2], input[2];
  if (pipe2(ends, O_CLOEXEC) != 0 || pipe2(input, O_CLOEXEC) != 0)
    throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(input[0], STDIN_FILENO);
    if (!log.empty())
      if (int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644); file >= 0)
        dup2(file, STDERR_FILENO);
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

bool child_process::runs() {
  if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
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
  if (pid_ <= 0) return 128;
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

} // namespace dtranspose::benchmarks
