#include "http/progress_watch.hpp"

#include <nlohmann/json.hpp>

namespace dtranspose {
namespace {

using std::chrono::steady_clock;

/// How long an answer is good for.
constexpr auto moment = std::chrono::milliseconds(20);

/// What people would call a change.
std::string without_time(const std::string& body) {
  auto progress = nlohmann::json::parse(body, nullptr, false);
  if (!progress.is_object()) return body;
  progress.erase("seconds");
  return progress.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace

progress_watch::reading progress_watch::read() {
  std::lock_guard lock(mutex_);
  if (latest_.version > 0 && steady_clock::now() - asked_ < moment) return latest_;
  auto answer = system_.progress();
  asked_ = steady_clock::now();
  if (answer.status != 200) return latest_;
  auto compared = without_time(answer.body);
  if (latest_.version == 0 || compared != compared_) ++latest_.version;
  compared_ = std::move(compared);
  latest_.body = std::move(answer.body);
  return latest_;
}

} // namespace dtranspose
