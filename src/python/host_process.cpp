#include "python/host_process.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace dtranspose {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t most_kept_bytes = 16 << 10;
constexpr std::size_t longest_line = 4 << 10;
/// Lines of one process that get into the log: at once, and each second for long.
constexpr double lines_at_once = 200, lines_per_second = 20;
/// Where the kernel cannot tell us that a process has ended, we ask it as often as this.
constexpr auto look_interval = std::chrono::milliseconds(100);

/// One of its pipes: bytes to lines of the log.
class drain {
 public:
  drain(file_descriptor end, bool kept, std::string label)
      : end_(std::move(end)), kept_(kept), label_(std::move(label)) {}

  int fd() const { return end_.get(); }

  /// Reads what is there, but so much at most that others get their turn. False: there will be no more.
  bool read(std::string& kept, std::mutex& mutex) {
    char bytes[16 << 10];
    for (int turns = 0; turns < 16; ++turns) {
      auto n = ::read(end_.get(), bytes, sizeof bytes);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      if (n == 0) {
        end_line();
        return false;
      }
      take({bytes, static_cast<std::size_t>(n)});
      if (!kept_) continue;
      std::lock_guard guard(mutex);
      kept.append(bytes, static_cast<std::size_t>(n));
      if (kept.size() > most_kept_bytes) kept.erase(0, kept.size() - most_kept_bytes);
    }
    return true;
  }

  void close() {
    end_line();
    end_.close();
    tell_of_others();
  }

 private:
  void take(std::string_view text) {
    while (!text.empty()) {
      auto end = std::min(text.find('\n'), text.size());
      auto room = longest_line - std::min(longest_line, line_.size());
      line_.append(text.substr(0, std::min(end, room)));
      if (end < text.size()) end_line();
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  void end_line() {
    if (line_.empty()) return;
    auto now = steady::now();
    auto seconds = std::chrono::duration<double>(now - refilled_).count();
    allowance_ = std::min(lines_at_once, allowance_ + seconds * lines_per_second);
    refilled_ = now;
    if (allowance_ >= 1) {
      tell_of_others();
      allowance_ -= 1;
      spdlog::info("{}: {}", label_, line_);
    } else {
      ++others_;
    }
    line_.clear();
  }

  void tell_of_others() {
    if (others_ > 0)
      spdlog::warn("{}: {} more lines, which are not shown", label_, std::exchange(others_, 0));
  }

  file_descriptor end_;
  bool kept_;
  std::string label_;
  std::string line_;
  double allowance_ = lines_at_once;
  steady::time_point refilled_ = steady::now();
  std::uint64_t others_ = 0;
};

/// A descriptor above those that the child gets.
file_descriptor moved_up(file_descriptor fd) {
  file_descriptor higher(fcntl(fd.get(), F_DUPFD_CLOEXEC, 10));
  if (!higher) throw std::runtime_error(fmt::format("no descriptor left: {}", std::strerror(errno)));
  return higher;
}

struct pipe_ends {
  file_descriptor ours, theirs;
};

pipe_ends make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(fmt::format("no pipe: {}", std::strerror(errno)));
  pipe_ends p{file_descriptor(ends[0]), file_descriptor(ends[1])};
  fcntl(p.ours.get(), F_SETFL, O_NONBLOCK);
  p.theirs = moved_up(std::move(p.theirs));
  return p;
}

pipe_ends make_socket_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error(fmt::format("no socket: {}", std::strerror(errno)));
  pipe_ends p{file_descriptor(ends[0]), file_descriptor(ends[1])};
  p.theirs = moved_up(std::move(p.theirs));
  return p;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (auto& t : texts) list.push_back(t.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& more) {
  std::vector<std::string> all;
  for (auto entry = environ; *entry; ++entry) {
    std::string_view text(*entry);
    if (!more.contains(std::string(text.substr(0, text.find('='))))) all.emplace_back(text);
  }
  for (auto& [name, content] : more) all.push_back(name + "=" + content);
  return all;
}

/// Descriptor of the socket in the child.
constexpr int socket_place = 3;

/// What is needed between fork and exec, where nothing may be allocated.
struct launch {
  const char* program;
  char** arguments;
  char** environment;
  int input, output, error, socket;
  pid_t parent;
  int most_descriptors;
};

/// In the child, which shares memory with its parent until it is another program.
int become(const launch& l) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
  // The parent may have gone in between.
  if (getppid() != l.parent) _exit(1);
  setpgid(0, 0);
  if (dup2(l.input, 0) < 0 || dup2(l.output, 1) < 0 || dup2(l.error, 2) < 0 ||
      dup2(l.socket, socket_place) < 0)
    return errno;
  if (syscall(SYS_close_range, socket_place + 1U, ~0U, 0U) != 0)
    for (int fd = socket_place + 1; fd < l.most_descriptors; ++fd) close(fd);
  struct sigaction usual = {};
  usual.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &usual, nullptr);
  sigaction(SIGTERM, &usual, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(l.program, l.arguments, l.environment);
  return errno;
}

/// Id of the child; throws what keeps it from being one. No signal handler of ours may run in it.
pid_t start(const launch& l) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  volatile int trouble = 0;
  auto pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): the alternative has no PDEATHSIG
  if (pid == 0) {
    trouble = become(l);
    _exit(127);
  }
  auto failure = pid < 0 ? errno : trouble;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failure == 0) return pid;
  if (pid > 0) waitpid(pid, nullptr, 0);
  throw std::runtime_error(fmt::format("'{}' cannot be started: {}", l.program, std::strerror(failure)));
}

} // namespace

struct host_process::state {
  file_descriptor socket;
  pid_t pid = 0;
  file_descriptor end_notice; ///< readable when it has ended; none on old kernels
  std::vector<drain> drains;  ///< of the supervising thread alone

  std::mutex mutex;
  std::condition_variable changed;
  std::string last_words;
  std::optional<host_end> end;
  bool abandoned = false;

  void abort() {
    std::lock_guard guard(mutex);
    if (end) return;
    const rlimit none{0, 0};
    prlimit(pid, RLIMIT_CORE, &none, nullptr);
    ::kill(pid, SIGABRT);
  }

  /// Its whole group, and only as long as the number is its own.
  void kill() {
    std::lock_guard guard(mutex);
    if (!end) ::kill(-pid, SIGKILL);
  }
};

namespace {

using process_state = host_process::state;

/// The thread that starts processes, reads what they print and notices their ends. It lives as long as the
/// program, and they no longer than it.
class supervisor {
 public:
  static supervisor& instance() {
    static auto& only = *new supervisor;
    return only;
  }

  std::shared_ptr<process_state> start(const host_command& command) {
    std::packaged_task<std::shared_ptr<process_state>()> task([&] { return launch_here(command); });
    auto result = task.get_future();
    {
      std::lock_guard guard(mutex_);
      tasks_.push_back([&task] { task(); });
    }
    bell_.ring();
    return result.get();
  }

 private:
  supervisor() {
    std::thread([this] { run(); }).detach();
  }

  std::shared_ptr<process_state> launch_here(const host_command& command) {
    auto program = find_program(command.interpreter);
    if (program.empty())
      throw std::runtime_error(fmt::format("there is no program '{}'", command.interpreter));
    auto socket = make_socket_pair();
    auto output = make_pipe(), error = make_pipe();
    file_descriptor input = moved_up(file_descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    std::vector<std::string> arguments{program};
    for (auto a : command.arguments)
      arguments.push_back(a == "{fd}" ? std::to_string(socket_place) : std::move(a));
    auto environment = environment_with(command.environment);
    auto argument_list = pointers(arguments), environment_list = pointers(environment);
    rlimit files = {};
    getrlimit(RLIMIT_NOFILE, &files);
    auto made = std::make_shared<process_state>();
    made->pid = dtranspose::start({program.c_str(), argument_list.data(), environment_list.data(),
                                   input.get(), output.theirs.get(), error.theirs.get(), socket.theirs.get(),
                                   getpid(), static_cast<int>(std::min<rlim_t>(files.rlim_cur, 1 << 16))});
    made->socket = std::move(socket.ours);
    made->end_notice = file_descriptor(static_cast<int>(syscall(SYS_pidfd_open, made->pid, 0U)));
    auto label = fmt::format("{} {}", command.label, made->pid);
    made->drains.emplace_back(std::move(output.ours), false, label);
    made->drains.emplace_back(std::move(error.ours), true, label);
    processes_.push_back(made);
    return made;
  }

  void run() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    for (;;) {
      wait();
      bell_.clear();
      run_tasks();
      for (auto& p : processes_) look_after(*p);
      std::erase_if(processes_, [](auto& p) {
        std::lock_guard guard(p->mutex);
        return p->end.has_value();
      });
    }
  }

  void wait() {
    std::vector<pollfd> list{{bell_.fd(), POLLIN, 0}};
    bool must_look = false;
    for (auto& p : processes_) {
      for (auto& d : p->drains) list.push_back({d.fd(), POLLIN, 0});
      if (p->end_notice)
        list.push_back({p->end_notice.get(), POLLIN, 0});
      else
        must_look = true;
    }
    poll(list.data(), list.size(), must_look ? static_cast<int>(look_interval.count()) : -1);
  }

  void run_tasks() {
    std::vector<std::function<void()>> due;
    {
      std::lock_guard guard(mutex_);
      due.swap(tasks_);
    }
    for (auto& task : due) task();
  }

  static void look_after(process_state& p) {
    std::erase_if(p.drains, [&](auto& d) {
      if (d.read(p.last_words, p.mutex)) return false;
      d.close();
      return true;
    });
    siginfo_t about = {};
    if (waitid(P_PID, static_cast<id_t>(p.pid), &about, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        about.si_pid != p.pid)
      return;
    // Those that it has left behind, while the number of the group cannot be another's.
    ::kill(-p.pid, SIGKILL);
    for (auto& d : p.drains) {
      d.read(p.last_words, p.mutex);
      d.close();
    }
    p.drains.clear();
    std::lock_guard guard(p.mutex);
    host_end end;
    waitpid(p.pid, &end.status, 0);
    p.end = end;
    p.changed.notify_all();
  }

  bell bell_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  std::vector<std::shared_ptr<process_state>> processes_;
};

} // namespace

std::string host_end::text() const {
  if (WIFSIGNALED(status))
    return fmt::format("was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

host_process::host_process(const host_command& command) : state_(supervisor::instance().start(command)) {}

host_process::~host_process() { kill(); }

file_descriptor host_process::take_socket() { return std::move(state_->socket); }

void host_process::abort() { state_->abort(); }

pid_t host_process::pid() const { return state_->pid; }

void host_process::kill() { state_->kill(); }

std::optional<host_end> host_process::wait(std::chrono::milliseconds patience) {
  std::unique_lock guard(state_->mutex);
  state_->changed.wait_for(guard, patience, [this] { return state_->end.has_value(); });
  return state_->end;
}

std::string host_process::last_words() const {
  std::lock_guard guard(state_->mutex);
  return state_->last_words;
}

std::size_t host_process::memory() const {
  // Pages: in all, resident, of those shared.
  std::ifstream in(fmt::format("/proc/{}/statm", state_->pid));
  std::size_t all = 0, resident = 0, shared = 0;
  if (!(in >> all >> resident >> shared) || resident < shared) return 0;
  return (resident - shared) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::string find_program(const std::string& name) {
  if (name.empty()) return {};
  if (name.find('/') != name.npos) return access(name.c_str(), X_OK) == 0 ? name : std::string();
  auto path = getenv("PATH");
  std::string_view rest = path ? path : "/usr/bin:/bin";
  while (true) {
    auto colon = std::min(rest.find(':'), rest.size());
    auto candidate = std::string(rest.substr(0, colon)).append("/").append(name);
    if (colon > 0 && access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == rest.size()) return {};
    rest.remove_prefix(colon + 1);
  }
}

} // namespace dtranspose
