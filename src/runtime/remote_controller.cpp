#include "runtime/remote_controller.hpp"

// httplib's classes depend on macros that its package sets.
#include <httplib.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "actors/messages.hpp"
#include "runtime/signals.hpp"
#include "source/secret_file.hpp"

namespace dtranspose {

namespace {

using nlohmann::json;

std::string secret_of(const std::string& path) {
  auto text = read_secret_file(path);
  auto end = text.find_last_not_of(" \t\r\n");
  return text.substr(0, end == std::string::npos ? 0 : end + 1);
}

} // namespace

struct remote_controller::client {
  explicit client(const controller_access& access) : http(access.url) {
    if (!access.token_file.empty()) http.set_bearer_token_auth(secret_of(access.token_file).c_str());
    if (!access.authority.empty()) http.set_ca_cert_path(access.authority.c_str());
    http.set_connection_timeout(std::chrono::seconds(2));
    http.set_read_timeout(std::chrono::seconds(60));
  }

  httplib::Client http;
};

remote_controller::remote_controller(const controller_access& access)
    : url_(access.url), client_(std::make_unique<client>(access)) {}

remote_controller::~remote_controller() = default;

bool remote_controller::post(const std::string& map, const posting& how) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(how.patience);
  for (std::string last;;) {
    auto reason = try_post(map, how);
    if (reason.empty()) return true;
    if (reason != last) spdlog::info("waiting: {}", reason);
    last = reason;
    if (std::chrono::steady_clock::now() >= deadline)
      throw std::runtime_error(fmt::format("{} did not take the trigger map: {}", url_, reason));
    if (wait_for_signal(std::chrono::milliseconds(200))) return false;
  }
}

std::optional<progress> remote_controller::ask_progress() {
  auto answer = client_->http.Get("/api/v1/progress");
  if (!answer || answer->status != 200) return std::nullopt;
  auto body = json::parse(answer->body, nullptr, false);
  if (!body.is_object()) return std::nullopt;
  progress p;
  p.scan = body.value("scan", "");
  p.state = body.value("state", "");
  p.completed_events = body.value("completed_events", std::uint64_t{0});
  p.total_events = body.value("total_events", std::uint64_t{0});
  p.finished = body.value("finished", false);
  p.fates = body.value("fates", p.fates);
  p.output = body.value("output", "");
  p.trouble = body.value("trouble", "");
  p.seconds = body.value("seconds", 0.0);
  return p;
}

/// Why it was not taken, empty if it was. Throws for a map that will never be taken.
std::string remote_controller::try_post(const std::string& map, const posting& how) {
  if (auto missing = missing_workers(how); !missing.empty()) return missing;
  auto path = how.wrap ? "/api/v1/sequence" : "/api/v1/sequence?all_wrap=false";
  auto answer = client_->http.Post(path, map, "application/json");
  if (!answer) return url_ + " does not answer (see --controller)";
  if (answer->status == 200) return {};
  auto parsed = json::parse(answer->body, nullptr, false);
  auto text = parsed.is_object() && parsed.contains("detail") ? parsed["detail"].dump() : answer->body;
  if (answer->status == 422) throw std::runtime_error("the trigger map was refused: " + text);
  return text;
}

std::string remote_controller::missing_workers(const posting& how) {
  if (how.min_workers <= 1) return {};
  auto answer = client_->http.Get("/api/v1/config");
  if (!answer) return url_ + " does not answer (see --controller)";
  auto body = json::parse(answer->body, nullptr, false);
  auto there = body.is_object() && body.contains("workers") ? body["workers"].size() : 0;
  return there >= how.min_workers ? "" : fmt::format("{} of {} workers are there", there, how.min_workers);
}

} // namespace dtranspose
