#include "runtime/last_words.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>
#include <vector>

namespace dtranspose {

namespace {

constexpr std::array fatal_signals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
/// Asks a worker's thread which event it is at.
constexpr int ask_signal = SIGUSR2;
/// How long an obituary may take to leave the process.
constexpr auto delivery = std::chrono::milliseconds(300);
constexpr auto look_interval = std::chrono::milliseconds(200);
constexpr std::size_t stack_size = std::size_t{64} << 10;

/// What a signal handler writes: smaller than what a pipe takes in one piece.
struct note {
  std::size_t place;
  std::uint64_t event;
  int signal;
};

std::atomic<int> note_pipe = -1;

/// What the thread is at. Only what may be called in a signal handler.
bool tell(const execution_watch* watch, int signal) {
  if (!watch || note_pipe < 0) return false;
  auto answered = watch->answers->size();
  note n{watch->place, watch->begin[std::min<std::size_t>(answered, watch->events - 1)].number().value,
         signal};
  return write(note_pipe, &n, sizeof n) == static_cast<ssize_t>(sizeof n);
}

void on_fatal(int signal) {
  if (tell(execution_here(), signal)) {
    timespec wait{.tv_sec = 2, .tv_nsec = 0};
    nanosleep(&wait, nullptr);
  }
  std::signal(signal, SIG_DFL);
  raise(signal);
}

/// Who is asked may have gone on to something else.
void on_ask(int, siginfo_t* question, void*) {
  auto kept = errno;
  if (auto watch = execution_here(); watch == question->si_value.sival_ptr) tell(watch, 0);
  errno = kept;
}

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

void handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

/// A stack for handlers: that of the thread may have been used up, which is what the signal is about.
class handler_stack {
 public:
  handler_stack()
      : memory_(mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) return;
    stack_t stack = {};
    stack.ss_sp = memory_;
    stack.ss_size = stack_size;
    sigaltstack(&stack, nullptr);
  }
  handler_stack(const handler_stack&) = delete;
  handler_stack& operator=(const handler_stack&) = delete;
  ~handler_stack() {
    if (memory_ == MAP_FAILED) return;
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    munmap(memory_, stack_size);
  }

 private:
  void* memory_;
};

} // namespace

struct last_words::state {
  struct watched {
    std::shared_ptr<const execution_watch> watch;
    message_head head;
    worker_index worker;
    bool asked = false;
  };

  explicit state(options o) : settings(std::move(o)) {
    if (pipe(ends) != 0) throw std::runtime_error(fmt::format("no pipe: {}", std::strerror(errno)));
    note_pipe = ends[1];
    for (auto signal : fatal_signals) handle(signal, on_fatal, SA_ONSTACK | SA_NODEFER);
    handle(ask_signal, on_ask, SA_ONSTACK | SA_RESTART);
    thread = std::thread([this] { run(); });
  }

  ~state() {
    stopping = true;
    note_pipe = -1;
    close(ends[1]);
    thread.join();
    for (auto signal : fatal_signals) std::signal(signal, SIG_DFL);
    close(ends[0]);
  }

  void run() {
    while (!stopping) {
      pollfd in{ends[0], POLLIN, 0};
      poll(&in, 1, static_cast<int>(look_interval.count()));
      if (note n{}; in.revents & POLLIN && read(ends[0], &n, sizeof n) == static_cast<ssize_t>(sizeof n))
        bury(n);
      look_at_time();
    }
  }

  void bury(const note& n) {
    std::unique_lock guard(mutex);
    auto w = list.at(n.place);
    guard.unlock();
    auto seconds = std::chrono::duration_cast<std::chrono::duration<double>>(settings.event_timeout).count();
    auto cause =
        n.signal == 0
            ? fmt::format("event {}: the analysis ran for more than {} s (event_timeout)", n.event, seconds)
            : fmt::format("event {}: the analysis ended its process: {}", n.event, strsignal(n.signal));
    spdlog::critical("{}", cause);
    settings.send({w.head, w.worker, {event_number(n.event)}, cause});
    std::this_thread::sleep_for(delivery);
    if (n.signal == 0 && !settings.may_end) return;
    auto signal = n.signal == 0 ? SIGABRT : n.signal;
    std::signal(signal, SIG_DFL);
    kill(getpid(), signal);
  }

  /// Which event it is, the thread itself can tell best.
  void look_at_time() {
    if (settings.event_timeout.count() == 0) return;
    std::lock_guard guard(mutex);
    for (auto& w : list) {
      std::int64_t since = w.watch->since;
      if (since == 0 || settings.steady() - since < settings.event_timeout.count()) {
        w.asked = false;
        continue;
      }
      if (!w.asked) ask(*w.watch);
      w.asked = true;
    }
  }

  static void ask(const execution_watch& watch) {
    sigval which{};
    which.sival_ptr = const_cast<execution_watch*>(&watch);
    pthread_sigqueue(watch.thread, ask_signal, which);
  }

  options settings;
  int ends[2] = {-1, -1};
  std::atomic<bool> stopping = false;
  std::mutex mutex;
  std::vector<watched> list; ///< one per worker
  std::thread thread;
};

last_words::last_words(options o) : state_(std::make_unique<state>(std::move(o))) {}
last_words::~last_words() = default;

void last_words::prepare_thread() { thread_local handler_stack stack; }

void last_words::watch(std::shared_ptr<const execution_watch> watch, const message_head& head,
                       worker_index worker) {
  std::lock_guard guard(state_->mutex);
  auto& list = state_->list;
  auto i = std::find_if(list.begin(), list.end(), [&](auto& w) { return w.worker == worker; });
  if (i == list.end()) i = list.insert(list.end(), state::watched{});
  watch->place = static_cast<std::size_t>(i - list.begin());
  *i = {std::move(watch), head, worker};
}

} // namespace dtranspose
