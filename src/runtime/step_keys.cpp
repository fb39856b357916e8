#include "runtime/step_keys.hpp"

#include <cerrno>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace dtranspose {

namespace {

/// How long the end of this may have to wait for the thread, in ms.
constexpr int poll_interval = 50;

constexpr char key_to_run_on = 'c';

} // namespace

step_keys::step_keys(int input, std::function<void()> step, std::function<void()> run_on)
    : input_(input), step_(std::move(step)), run_on_(std::move(run_on)) {
  terminal_ = ::tcgetattr(input_, &before_) == 0;
  if (terminal_) {
    auto at_once = before_;
    at_once.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(input_, TCSANOW, &at_once);
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { read_keys(stop); });
}

step_keys::~step_keys() {
  thread_ = std::jthread();
  if (terminal_) ::tcsetattr(input_, TCSANOW, &before_);
}

void step_keys::read_keys(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    pollfd waiting{input_, POLLIN, 0};
    if (::poll(&waiting, 1, poll_interval) <= 0) continue;
    char keys[256];
    auto count = ::read(input_, keys, sizeof keys);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) break;
    for (auto key = keys; key != keys + count; ++key)
      if (!take(*key)) return;
  }
  if (stop.stop_requested()) return;
  if (line_begun_) step_();
  run_on_();
}

/// False when no further key plays a role.
bool step_keys::take(char key) {
  if (terminal_ && key == key_to_run_on) return run_on_(), false;
  line_begun_ = !terminal_ && key != '\n';
  if (!line_begun_) step_();
  return true;
}

} // namespace dtranspose
