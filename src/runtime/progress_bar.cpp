#include "runtime/progress_bar.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "actors/messages.hpp"

namespace dtranspose {

namespace {

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string rate_text(double per_second) {
  if (per_second >= 1e6) return fmt::format("{:.2f} M/s", per_second / 1e6);
  if (per_second >= 1e3) return fmt::format("{:.1f} k/s", per_second / 1e3);
  return fmt::format("{:.0f} /s", per_second);
}

/// Of a scan that goes on as it did; empty where that is not known.
std::string time_left_text(const progress& p) {
  if (p.finished || p.completed_events == 0 || p.completed_events >= p.total_events) return {};
  auto left = static_cast<double>(p.total_events - p.completed_events);
  auto seconds = p.seconds * left / static_cast<double>(p.completed_events);
  if (seconds < 99.5) return fmt::format("  {:.0f} s left", seconds);
  if (seconds < 99.5 * 60) return fmt::format("  {:.0f} min left", seconds / 60);
  return fmt::format("  {:.1f} h left", seconds / 3600);
}

} // namespace

progress_bar::progress_bar()
    : terminal_(isatty(STDERR_FILENO)), last_time_(std::chrono::steady_clock::now()) {}

progress_bar::~progress_bar() {
  if (open_) std::fputs("\n", stderr);
}

std::string progress_bar::line(const progress& p, double rate, std::size_t width) {
  auto done = p.total_events == 0
                  ? (p.finished ? 1.0 : 0.0)
                  : static_cast<double>(p.completed_events) / static_cast<double>(p.total_events);
  auto left = fmt::format("{:<8} ", p.state);
  auto right = fmt::format(" {:3.0f}%  {}/{} events  {}", done * 100, p.completed_events, p.total_events,
                           rate_text(rate));
  right += time_left_text(p);
  for (auto name : {"failed", "incomplete", "lost"})
    if (auto i = p.fates.find(name); i != p.fates.end() && i->second > 0)
      right += fmt::format("  {} {}", i->second, name);
  auto used = left.size() + right.size() + 2;
  auto room = width > used + 10 ? std::min<std::size_t>(width - used - 1, 40) : 10;
  auto filled = static_cast<std::size_t>(done * static_cast<double>(room));
  auto text =
      fmt::format("{}[{}{}]{}", left, std::string(filled, '#'), std::string(room - filled, ' '), right);
  return text.substr(0, width > 0 ? width - 1 : 0);
}

void progress_bar::show(const progress& p) {
  if (!terminal_ || p.scan.empty()) return;
  if (p.scan == scan_ && p.finished && last_state_ == p.state) return;
  auto now = std::chrono::steady_clock::now();
  auto elapsed = std::chrono::duration<double>(now - last_time_).count();
  if (p.scan != scan_) {
    if (open_) std::fputs("\n", stderr);
    scan_ = p.scan;
    last_events_ = 0;
    rate_ = 0;
  } else if (elapsed > 0) {
    rate_ = static_cast<double>(p.completed_events - last_events_) / elapsed;
  }
  if (p.finished && p.seconds > 0) rate_ = static_cast<double>(p.completed_events) / p.seconds;
  last_events_ = p.completed_events;
  last_time_ = now;
  last_state_ = p.state;
  fmt::print(stderr, "\r\x1b[K{}", line(p, rate_, terminal_width()));
  if (p.finished) std::fputs("\n", stderr);
  open_ = !p.finished;
  std::fflush(stderr);
}

} // namespace dtranspose
