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
#include "recording/capture.hpp"
#include "recording/capture_index.hpp"
#include "recording/recording_index.hpp"
#include "recording/replay_map.hpp"
#include "runtime/capture_choice.hpp"
#include "runtime/commands.hpp"
#include "runtime/inquiry.hpp"
#include "runtime/node.hpp"
#include "runtime/progress_bar.hpp"
#include "runtime/signals.hpp"
#include "source/capture_source.hpp"
#include "source/recording_source.hpp"

namespace dtranspose {

namespace {

using mapped_files = std::vector<std::shared_ptr<const mapped_file>>;

/// A recording does not wait: what has not come after this long is not in it.
constexpr auto longest_silence = std::chrono::seconds(5);

struct captured_stream {
  std::shared_ptr<const mapped_file> file;
  capture_choice choice;
};

/// The files of a replay by their form.
struct recordings {
  mapped_files dumps;
  std::vector<captured_stream> captures;
};

recordings open_recordings(const replay_command& command) {
  recordings all;
  auto choice = command.streams.begin();
  for (auto& name : command.files) {
    auto file = mapped_file::open(name);
    if (!is_capture(file->bytes())) {
      all.dumps.push_back(std::move(file));
      continue;
    }
    if (choice == command.streams.end())
      throw std::runtime_error(
          fmt::format("{} is a raw capture: say which protocol it holds with {}", name, how_to_choose()));
    all.captures.push_back({std::move(file), parse_capture_choice(*choice++)});
  }
  if (choice != command.streams.end())
    throw std::runtime_error(fmt::format(
        "--stream {}: there is no raw capture for it: {} of the files are raw captures, the others "
        "know their streams",
        *choice, all.captures.size()));
  return all;
}

recording_index index_of(const recordings& all) {
  std::vector<recording_index> parts;
  parts.push_back(index_of(all.dumps));
  for (auto& [file, choice] : all.captures)
    parts.push_back(capture_index(choice.name, choice.protocol, choice.options, file));
  return joined(std::move(parts));
}

std::string text_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const captured_stream* find_capture(const recordings& all, const std::string& stream) {
  for (auto& capture : all.captures)
    if (capture.choice.name == stream) return &capture;
  return nullptr;
}

configuration settings_of(const replay_command& c, const recordings& all, const recording_index& index) {
  configuration settings;
  for (auto& stream : index.streams) {
    auto& s = settings.streams.emplace_back();
    s.name = stream.name;
    auto capture = find_capture(all, stream.name);
    s.protocol = capture ? capture->choice.protocol : "recording";
    if (capture) s.options = capture->choice.options;
  }
  // Streams of dumps need no such limit: what they have is known.
  if (all.dumps.empty()) settings.scan.stall_timeout = longest_silence;
  settings.worker.count = c.workers > 0 ? c.workers : std::max(1u, std::thread::hardware_concurrency());
  apply(c.choice, settings);
  return settings;
}

std::unique_ptr<source> source_of(const recordings& all, const stream_settings& stream) {
  if (auto capture = find_capture(all, stream.name))
    return make_capture_source(capture->file, make_protocol(stream.protocol, stream.options));
  return make_recording_source(all.dumps, stream.name);
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
  auto all = open_recordings(command);
  auto index = index_of(all);
  for (auto& warning : index.warnings) spdlog::warn("{}", warning);
  if (index.streams.empty())
    throw std::runtime_error(fmt::format("{}: there is no stream in it", fmt::join(command.files, ", ")));
  hold_signals();
  node process({.settings = settings_of(command, all, index),
                .roles = {true, true, true, true},
                .networked = false,
                .make_source = [&all](const stream_settings& s) { return source_of(all, s); }});
  auto own_map = !command.map.empty();
  start_scan(process.system(), process.controller(), own_map ? text_of_file(command.map) : replay_map(index),
             own_map && command.wrap);
  auto last = follow(process);
  auto status = summarise(last, command.json);
  if (!process.stop()) _exit(status);
  return status;
}

} // namespace dtranspose
