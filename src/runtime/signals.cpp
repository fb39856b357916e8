#include "runtime/signals.hpp"

#include <csignal>
#include <ctime>

namespace dtranspose {

namespace {

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

} // namespace

void hold_signals() {
  auto set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  // A file that has grown to its limit is a full disk to who writes it.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool wait_for_signal(std::chrono::milliseconds patience) {
  auto set = ending_signals();
  timespec time{patience.count() / 1000, patience.count() % 1000 * 1'000'000};
  return sigtimedwait(&set, nullptr, &time) > 0;
}

} // namespace dtranspose
