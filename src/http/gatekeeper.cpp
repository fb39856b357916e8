#include "http/gatekeeper.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "http/control_server.hpp"
#include "http/http_listener.hpp"

namespace dtranspose {
namespace {

using std::chrono::steady_clock;

/// Refusals that are logged at once, and how many more each second.
constexpr double log_burst = 20, log_rate = 1;
/// Characters of a path that are logged.
constexpr std::size_t longest_path = 200;

/// What a client wrote, without what would end the line or colour the terminal.
std::string printable(std::string_view text) {
  std::string result(text.substr(0, longest_path));
  std::ranges::replace_if(
      result, [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

void refuse(httplib::Response& response, int status, const std::string& why) {
  answer_json(response, status, error_body(why));
}

} // namespace

bool gatekeeper::admits(const httplib::Request& request, httplib::Response& response, access_scope needed) {
  if (!tokens_) return true;
  auto headers = request.get_header_value_count("Authorization");
  auto found =
      headers == 1 ? tokens_->check(request.get_header_value("Authorization")) : std::optional<access>();
  switch (judge(request, found, headers > 0)) {
  case verdict::blocked:
    response.set_header("Retry-After", std::to_string(wrong_token_window.count()));
    refuse(response, 429, "too many wrong tokens came from this address: wait a little");
    log(request, 429, "too many wrong tokens");
    return false;
  case verdict::unknown:
    response.set_header("WWW-Authenticate", "Bearer");
    refuse(response, 401,
           headers > 0 ? "the token is not known" : "send a token: Authorization: Bearer SECRET");
    log(request, 401, headers > 0 ? "the token is not known" : "no token");
    return false;
  case verdict::known:
    break;
  }
  if (found->scope >= needed) return true;
  auto why = fmt::format("this needs a token with scope {}; \"{}\" has {}", name_of(needed), found->name,
                         name_of(found->scope));
  refuse(response, 403, why);
  log(request, 403, why);
  return false;
}

gatekeeper::verdict gatekeeper::judge(const httplib::Request& request, const std::optional<access>& found,
                                      bool presented) {
  auto client = address_group(request.remote_addr);
  auto now = steady_clock::now();
  std::lock_guard lock(mutex_);
  if (guard_.blocked(client, now) && !(found && guard_.has_used(client, found->token)))
    return verdict::blocked;
  if (found) guard_.accepted(client, found->token, now);
  // Who has no token guesses none.
  if (!found && presented) guard_.failed(client, now);
  return found ? verdict::known : verdict::unknown;
}

void gatekeeper::log(const httplib::Request& request, int status, std::string_view why) {
  std::unique_lock lock(mutex_);
  if (!may_log()) {
    ++lines_left_out_;
    return;
  }
  auto left_out = std::exchange(lines_left_out_, 0);
  lock.unlock();
  auto more = left_out > 0 ? fmt::format(" ({} others were not logged)", left_out) : "";
  spdlog::warn("REST: refused {} {} of {} with {}: {}{}", printable(request.method),
               printable(path_of(request)), request.remote_addr, status, printable(why), more);
}

bool gatekeeper::may_log() {
  auto now = steady_clock::now();
  auto passed = std::chrono::duration<double>(now - log_refilled_).count();
  log_refilled_ = now;
  log_lines_ = std::min(log_burst, log_lines_ + passed * log_rate);
  if (log_lines_ < 1) return false;
  --log_lines_;
  return true;
}

} // namespace dtranspose
