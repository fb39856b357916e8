#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "actors/messages.hpp"
#include "http/access_tokens.hpp"
#include "http/control_bridge.hpp"
#include "http/control_server.hpp"
#include "http/https_identity.hpp"
#include "output/snapshots.hpp"
#include "runtime/code_watch.hpp"
#include "runtime/commands.hpp"
#include "runtime/inquiry.hpp"
#include "runtime/log_memory.hpp"
#include "runtime/node.hpp"
#include "runtime/progress_bar.hpp"
#include "runtime/results_service.hpp"
#include "runtime/signals.hpp"

namespace dtranspose {

namespace {

host_and_port address_of(const std::string& text, const char* option) {
  if (auto address = host_and_port_of(text)) return *address;
  throw std::runtime_error(fmt::format("{} {}: expected HOST:PORT", option, text));
}

void keep_streams(configuration& settings, const std::vector<std::string>& names) {
  if (names.empty()) return;
  auto known = [&](const std::string& name) {
    return std::any_of(settings.streams.begin(), settings.streams.end(),
                       [&](auto& s) { return s.name == name; });
  };
  for (auto& name : names)
    if (!known(name))
      throw std::runtime_error(fmt::format("--stream {}: the configuration has no such stream", name));
  std::erase_if(settings.streams,
                [&](auto& s) { return std::find(names.begin(), names.end(), s.name) == names.end(); });
}

configuration settings_of(const role_command& c, const role_set& roles) {
  auto settings = c.config.empty() ? configuration() : read_configuration(c.config);
  // The process with the controller is where the others join, so that one line serves all.
  if (roles.controller) settings.cluster.listen = settings.cluster.controller;
  if (roles.all()) settings.cluster.listen = {"127.0.0.1", 0};
  if (!c.listen.empty()) settings.cluster.listen = address_of(c.listen, "--listen");
  if (!c.join.empty()) settings.cluster.controller = address_of(c.join, "--join");
  if (!c.http.empty()) settings.http.control = address_of(c.http, "--http");
  if (!c.results.empty()) settings.http.results = address_of(c.results, "--results");
  if (c.workers) settings.worker.count = *c.workers;
  if (!c.tags.empty()) {
    settings.worker.tags.clear();
    std::istringstream parts(c.tags);
    for (std::string tag; std::getline(parts, tag, ',');)
      if (!tag.empty()) settings.worker.tags.push_back(tag);
  }
  keep_streams(settings, c.streams);
  apply(c.choice, settings);
  return settings;
}

/// Null unless code is to be watched.
std::unique_ptr<code_watch> watch_of(const role_command& c, const configuration& settings) {
  if (!c.watch) return nullptr;
  auto& python = settings.analysis.python;
  if (settings.analysis.use.front() != "python")
    throw std::runtime_error("--watch is for analyses in Python: [analysis] use = [\"python\"]");
  std::vector<std::filesystem::path> folders(python.path.begin(), python.path.end());
  folders.emplace_back(python.directory);
  return std::make_unique<code_watch>(std::move(folders));
}

/// Shows the progress of scans until a signal comes, or the controller refuses us. `code` may be null.
void attend(node& process, code_watch* code) {
  progress_bar bar;
  while (!wait_for_signal(std::chrono::milliseconds(200))) {
    if (auto text = process.refusal(); !text.empty())
      throw std::runtime_error("the controller refuses this process: " + text);
    if (!process.controller()) continue;
    // How it went the controller writes to the log.
    if (code && code->changed()) caf::anon_send(process.controller(), config_atom::value, true);
    try {
      bar.show(ask_progress(process.system(), process.controller()));
    } catch (const std::exception& e) {
      spdlog::warn("{}", e.what());
    }
  }
}

/// Ends the process once its actors have ended, without taking CAF down: what is still on its way to or from
/// peers may hold handles of actors that have a thread of their own, and such a thread waits until the last
/// of them is gone. Files were closed by their actors.
[[noreturn]] void end_process(node& process, int status) {
  if (!process.stop()) spdlog::warn("an analysis does not return: ended without it");
  std::fflush(stdout);
  spdlog::shutdown();
  _exit(status);
}

/// As others reach it: what listens everywhere is found where the process itself is.
std::string results_url(const configuration& settings, std::uint16_t port) {
  auto host = settings.http.results.host;
  if (host == "0.0.0.0" || host == "::") host = settings.cluster.listen.host;
  return fmt::format("{}://{}", settings.http.certificate.empty() ? "http" : "https",
                     to_string(host_and_port{host, port}));
}

/// What can be reached from other machines lets nobody in who does not prove who they are, unless somebody
/// says that they know.
void refuse_strangers(const configuration& settings, const role_set& roles) {
  auto& cluster = settings.cluster;
  if (!is_loopback(cluster.listen.host) && cluster.tls.certificate.empty() && !cluster.insecure)
    throw std::runtime_error(fmt::format(
        "{} can be reached from other machines: give [cluster] tls = {{ certificate, key, authority }}, "
        "or say [cluster] insecure = true",
        to_string(cluster.listen)));
  auto& http = settings.http;
  auto refuse_open = [&http](const host_and_port& address) {
    if (is_loopback(address.host) || !http.tokens.empty() || http.insecure) return;
    throw std::runtime_error(
        fmt::format("{} can be reached from other machines: give [http] tokens = \"FILE\", or "
                    "say [http] insecure = true",
                    to_string(address)));
  };
  if (roles.controller) refuse_open(http.control);
  if (roles.reducer) refuse_open(http.results);
}

nlohmann::json json_of(const log_memory::record& r, const std::string& own) {
  return {{"time", r.time},
          {"levelname", r.level},
          {"msg", r.text},
          {"component", r.component.empty() ? own : r.component}};
}

std::string text_of(const nlohmann::json& content) {
  return content.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// `own`: what this process is called.
control_bridge::log_reader reader_of(const std::shared_ptr<log_memory>& log, const std::string& own) {
  auto last = [log, own](const std::string& level) {
    auto list = nlohmann::json::array();
    for (auto& r : log->last(level)) list.push_back(json_of(r, own));
    return text_of(list);
  };
  auto since = [log, own](std::uint64_t& position) {
    std::vector<std::string> lines;
    for (auto& r : log->since(position)) lines.push_back(text_of(json_of(r, own)));
    return lines;
  };
  return {last, since};
}

http_protection protection_of(const http_settings& http) {
  http_protection p;
  if (!http.tokens.empty()) p.tokens = std::make_shared<const access_tokens>(http.tokens);
  if (!http.certificate.empty())
    p.tls = std::make_shared<const https_identity>(https_files{http.certificate, http.key});
  return p;
}

} // namespace

int run_roles(const role_command& command) {
  auto log = log_memory::attach();
  auto roles = role_set::parse(command.roles);
  auto settings = settings_of(command, roles);
  if (roles.ingester && settings.streams.empty())
    throw std::runtime_error(
        "this process is to ingest and knows no stream: --config FILE with [[stream]] entries");
  refuse_strangers(settings, roles);
  auto protection = protection_of(settings.http);
  auto code = watch_of(command, settings);
  hold_signals();
  auto scheme = protection.tls ? "https" : "http";
  std::shared_ptr<snapshot_store> snapshots;
  std::unique_ptr<results_server> results;
  if (roles.reducer) {
    snapshots = std::make_shared<snapshot_store>();
    results = serve_results(settings.http.results, snapshots, protection);
  }
  node process({.settings = settings,
                .roles = roles,
                .snapshots = snapshots,
                .results_url = results ? results_url(settings, results->port()) : std::string(),
                .warnings = [log] { return log->take_warnings(); },
                .warned = [log](const std::string& who, const value& w) { log->add_of_others(who, w); }});
  spdlog::info("{} listens at {}", command.roles, process.address());
  std::unique_ptr<control_bridge> bridge;
  std::unique_ptr<control_server> server;
  if (roles.controller) {
    bridge = std::make_unique<control_bridge>(process.system(), process.controller(),
                                              settings.scan.arm_timeout, reader_of(log, command.roles));
    server = std::make_unique<control_server>(settings.http.control.host, settings.http.control.port, *bridge,
                                              protection);
    server->start();
    spdlog::info("REST at {}://{}:{}/api/v1", scheme, settings.http.control.host, server->port());
  }
  int status = 0;
  try {
    attend(process, code.get());
    spdlog::info("ending");
  } catch (const std::exception& e) {
    fmt::print(stderr, "dtranspose: {}\n", e.what());
    status = 1;
  }
  if (server) server->stop();
  if (results) results->stop();
  if (command.json)
    fmt::print("{}\n", nlohmann::json{{"role", command.roles}, {"address", process.address()}}.dump());
  end_process(process, status);
}

} // namespace dtranspose
