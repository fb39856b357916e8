#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "actors/messages.hpp"
#include "recording/recording_index.hpp"
#include "recording/replay_map.hpp"
#include "runtime/commands.hpp"
#include "runtime/inquiry.hpp"
#include "runtime/node.hpp"
#include "runtime/progress_bar.hpp"
#include "runtime/signals.hpp"
#include "source/recording_source.hpp"

namespace dtranspose {

namespace {

using mapped_files = std::vector<std::shared_ptr<const mapped_file>>;

std::string text_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

configuration settings_of(const replay_command& c, const recording_index& index) {
  configuration settings;
  for (auto& stream : index.streams)
    settings.streams.push_back({.name = stream.name, .protocol = "recording"});
  settings.worker.count = c.workers > 0 ? c.workers : std::max(1u, std::thread::hardware_concurrency());
  apply(c.choice, settings);
  return settings;
}

/// Follows the scan to its end; a signal stops it.
progress follow(node& process) {
  progress_bar bar;
  for (;;) {
    auto p = ask_progress(process.system(), process.controller());
    bar.show(p);
    if (p.finished) return p;
    // A short recording is done in no time; a long one needs no closer look than a person can take.
    auto patience = p.seconds < 0.1 ? std::chrono::milliseconds(5) : std::chrono::milliseconds(100);
    if (wait_for_signal(patience)) caf::anon_send(process.controller(), stop_atom::value);
  }
}

int summarise(const progress& p, bool json) {
  auto fate_of = [&](const char* name) {
    auto i = p.fates.find(name);
    return i == p.fates.end() ? 0 : i->second;
  };
  nlohmann::ordered_json summary{{"scan", p.scan}, {"state", p.state}, {"events", p.total_events}};
  for (auto name : {"folded", "empty", "discarded", "failed", "incomplete", "lost"})
    summary[name] = fate_of(name);
  summary["seconds"] = p.seconds;
  summary["output"] = p.output;
  if (!p.trouble.empty()) summary["trouble"] = p.trouble;
  if (!json) {
    fmt::print(
        "{} events in {:.3f} s: {} folded, {} empty, {} discarded, {} failed, {} incomplete, {} lost\n",
        p.total_events, p.seconds, fate_of("folded"), fate_of("empty"), fate_of("discarded"),
        fate_of("failed"), fate_of("incomplete"), fate_of("lost"));
    if (!p.output.empty()) fmt::print("results in {}\n", p.output);
  } else {
    fmt::print("{}\n", summary.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  std::fflush(stdout);
  if (p.state == "finished") return 0;
  fmt::print(stderr, "dtranspose: the scan {}: {}\n", p.state, p.trouble);
  return 1;
}

} // namespace

int run_replay(const replay_command& command) {
  mapped_files files;
  for (auto& name : command.files) files.push_back(mapped_file::open(name));
  auto index = index_of(files);
  for (auto& warning : index.warnings) spdlog::warn("{}", warning);
  if (index.streams.empty())
    throw std::runtime_error(fmt::format("{}: there is no stream in it", fmt::join(command.files, ", ")));
  hold_signals();
  node process(
      {.settings = settings_of(command, index),
       .roles = {true, true, true, true},
       .networked = false,
       .make_source = [files](const stream_settings& s) { return make_recording_source(files, s.name); }});
  auto own_map = !command.map.empty();
  start_scan(process.system(), process.controller(), own_map ? text_of_file(command.map) : replay_map(index),
             own_map && command.wrap);
  auto last = follow(process);
  auto status = summarise(last, command.json);
  if (!process.stop()) _exit(status);
  return status;
}

} // namespace dtranspose
