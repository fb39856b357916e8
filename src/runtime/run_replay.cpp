#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "actors/messages.hpp"
#include "recording/recording_index.hpp"
#include "recording/replay_choice.hpp"
#include "recording/replay_map.hpp"
#include "runtime/commands.hpp"
#include "runtime/inquiry.hpp"
#include "runtime/node.hpp"
#include "runtime/parameter_file.hpp"
#include "runtime/progress_bar.hpp"
#include "runtime/replayed_files.hpp"
#include "runtime/results_service.hpp"
#include "runtime/senders.hpp"
#include "runtime/signals.hpp"
#include "runtime/step_keys.hpp"
#include "source/capture_source.hpp"
#include "source/recording_source.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;

/// A recording does not wait: what has not come after this long is not in it.
constexpr auto longest_silence = std::chrono::seconds(5);
/// Step by step even what is there may be long in coming.
constexpr auto longest_step = std::chrono::hours(24);
/// As events may take by default.
constexpr auto longest_event = std::chrono::seconds(60);

constexpr const char* fate_names[] = {"folded", "empty", "discarded", "failed", "incomplete", "lost"};

/// What of the recordings is played, and when.
struct programme {
  recording_index index;
  std::optional<replay_choice> choice; ///< nothing: all of it
  play_options how;
};

/// Of the events `--from` to `--to`; nothing when neither was given.
std::optional<replay_choice> choice_of(const replay_command& c, const recordings& all,
                                       const recording_index& index) {
  if (!c.from && !c.to) return std::nullopt;
  if (!c.map.empty())
    throw std::runtime_error(
        "--from and --to choose among the recorded events; what a --map wants it says itself");
  auto first = c.from.value_or(0), last = c.to.value_or(index.events - 1);
  if (first >= index.events)
    throw std::runtime_error(
        fmt::format("--from {}: the last event of the recording is {}", first, index.events - 1));
  if (last < first) throw std::runtime_error(fmt::format("--to {} is before --from {}", last, first));
  return choose_events(index, first, last, starts_before(all.dumps, first));
}

/// Streams of dumps have the chosen events alone; those of captures are read as they are.
void leave_out_events(const recordings& all, const event_runs& kept, recording_index& index) {
  for (auto& stream : index.streams) {
    if (find_capture(all, stream.name)) continue;
    event_runs events;
    for (auto event : stream.events)
      if (kept.contains(event)) events.append(event);
    stream.events = std::move(events);
  }
}

playback::settings pace_of(const replay_command& c, const recordings& all, const programme& what) {
  auto& index = what.index;
  if (c.speed > 0 && !index.untimed.empty())
    throw std::runtime_error(fmt::format("--speed {}: when it was recorded is not known: {}, has no times",
                                         c.speed, index.untimed));
  playback::settings pace{.speed = c.speed, .stepwise = c.step};
  pace.times = index.times.value_or(recorded_span());
  // What is left out of dumps takes no time: a start before it, and the end, are there at once.
  if (what.choice && c.speed > 0 && all.captures.empty())
    pace.times = times_between(all.dumps, what.choice->first, what.choice->last);
  if (c.step) pace.events = what.choice ? what.choice->events : all_events(index).events;
  return pace;
}

programme programme_of(const replay_command& c, const recordings& all) {
  programme what{.index = index_of(all)};
  for (auto& warning : what.index.warnings) spdlog::warn("{}", warning);
  if (what.index.streams.empty())
    throw std::runtime_error(fmt::format("{}: there is no stream in it", fmt::join(c.files, ", ")));
  what.choice = choice_of(c, all, what.index);
  what.how.pace = std::make_shared<playback>(pace_of(c, all, what));
  if (what.choice) {
    leave_out_events(all, what.choice->events, what.index);
    what.how.events = std::make_shared<const event_runs>(what.choice->events);
  }
  return what;
}

/// How long it may be between two messages of what is played in recorded time.
std::chrono::nanoseconds longest_pause(const replay_command& c, const recording_index& index) {
  if (c.speed == 0) return {};
  auto seconds = std::min(index.longest_pause / c.speed, std::chrono::duration<double>(longest_step).count());
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

configuration settings_of(const replay_command& c, const recordings& all, const recording_index& index) {
  configuration settings;
  auto pauses = longest_pause(c, index);
  for (auto& stream : index.streams) {
    auto& s = settings.streams.emplace_back();
    s.name = stream.name;
    auto capture = find_capture(all, stream.name);
    s.protocol = capture ? capture->choice.protocol : "recording";
    if (capture) s.options = capture->choice.options;
    // The next step may be long in coming, and so may the next series.
    s.rearm_timeout += pauses;
    if (c.step) s.rearm_timeout = longest_step;
  }
  // Streams of dumps need no such limit: what they have is known.
  if (all.dumps.empty() && !c.step) settings.scan.stall_timeout = longest_silence + pauses;
  settings.worker.count = c.workers > 0 ? c.workers : std::max(1u, std::thread::hardware_concurrency());
  settings.recording.directory = c.record;
  if (!c.config.empty()) {
    auto configured = read_configuration(c.config);
    settings.analysis = configured.analysis;
    settings.scan.event_timeout = configured.scan.event_timeout;
    settings.scan.max_attempts = configured.scan.max_attempts;
  }
  apply(c.choice, settings);
  if (settings.analysis.use.front() == "none" && c.choice.analysis.empty())
    spdlog::warn(
        "nothing is analysed: say what to do with --analysis NAME (see `dtranspose analyses`), or with "
        "--config FILE that has an [analysis]");
  if (c.params_file.empty()) return settings;
  auto given = parameters_in_use(settings.analysis);
  for (auto& [name, written] : read_parameter_file(c.params_file))
    if (!given.contains(name)) set_parameter_in_use(settings.analysis, name, written);
  return settings;
}

std::unique_ptr<source> source_of(const captured_stream& captured, const stream_settings& stream,
                                  const play_options& how) {
  auto format = make_protocol(stream.protocol, stream.options);
  auto messages = captured.messages(format->type_tag());
  return make_capture_source(std::move(messages), std::move(format), how);
}

std::unique_ptr<source> source_of(const recordings& all, const stream_settings& stream,
                                  const play_options& how) {
  if (auto capture = find_capture(all, stream.name)) return source_of(*capture, stream, how);
  return make_recording_source(all.dumps, stream.name, how);
}

/// What a replay is made of while it runs.
class replaying {
 public:
  replaying(const replay_command& command, const recordings& all, programme& what)
      : command_(command), what_(what), snapshots_(snapshots_for(command)), results_(results_of(command)),
        process_({.settings = settings_of(command, all, what.index),
                  .roles = {true, true, true, true},
                  .networked = false,
                  .make_source = [&](const stream_settings& s) { return source_of(all, s, what.how); },
                  .snapshots = snapshots_}) {
    if (command.map.empty())
      map_ = what.choice ? replay_map(what.index, *what.choice) : replay_map(what.index);
    else
      map_ = text_of_file(command.map);
  }

  /// One scan from its beginning to its end.
  progress run() {
    pace().begin();
    start_scan(process_.system(), process_.controller(), map_, !command_.map.empty() && command_.wrap);
    if (command_.step && !keys_)
      keys_.emplace(
          STDIN_FILENO, [this] { step(); }, [this] { pace().run_on(); });
    return follow();
  }

  /// A signal ended the last scan.
  bool stopped() const { return stopped_; }
  node& process() { return process_; }

 private:
  static std::shared_ptr<snapshot_store> snapshots_for(const replay_command& c) {
    return c.results.empty() ? nullptr : std::make_shared<snapshot_store>();
  }

  /// Null unless viewers are to be served.
  std::unique_ptr<results_server> results_of(const replay_command& c) const {
    if (!snapshots_) return nullptr;
    auto at = host_and_port_of(c.results);
    if (!at) throw std::runtime_error(fmt::format("--results {}: expected HOST:PORT", c.results));
    if (!is_loopback(at->host))
      throw std::runtime_error(
          fmt::format("--results {}: a replay serves viewers on this machine only, as at "
                      "127.0.0.1:5001",
                      c.results));
    return serve_results(*at, snapshots_, {});
  }

  playback& pace() { return *what_.how.pace; }

  void step() {
    pace().step();
    if (auto event = pace().stepped_to()) spdlog::info("event {} of {}", *event, what_.index.events);
  }

  /// Follows the scan to its end; a signal stops it.
  progress follow() {
    progress_bar bar;
    auto moved = std::chrono::steady_clock::now();
    std::uint64_t completed = 0;
    for (;;) {
      auto p = ask_progress(process_.system(), process_.controller());
      bar.show(p);
      if (p.finished) return p;
      if (std::exchange(completed, p.completed_events) != p.completed_events)
        moved = std::chrono::steady_clock::now();
      auto signalled = wait_for_signal(patience_for(p));
      stopped_ |= signalled;
      if (!signalled && !is_stuck(moved)) continue;
      caf::anon_send(process_.controller(), stop_atom::value);
      moved = std::chrono::steady_clock::now();
    }
  }

  /// A short recording is done in no time; a long one needs no closer look than a person can take.
  std::chrono::milliseconds patience_for(const progress& p) const {
    return std::chrono::milliseconds(p.seconds < 0.1 || command_.step ? 5 : 100);
  }

  /// Everything was played, and still something is waited for: it is not there.
  bool is_stuck(std::chrono::steady_clock::time_point moved) {
    return command_.step && pace().ended() == what_.index.streams.size() &&
           std::chrono::steady_clock::now() - moved > longest_event;
  }

  const replay_command& command_;
  programme& what_;
  std::shared_ptr<snapshot_store> snapshots_; ///< null: nobody looks on
  std::unique_ptr<results_server> results_;
  node process_;
  std::string map_;
  bool stopped_ = false;
  std::optional<step_keys> keys_;
};

ordered_json summary_of(const progress& p, std::uint64_t bytes) {
  ordered_json summary{{"scan", p.scan}, {"state", p.state}, {"events", p.total_events}};
  for (auto name : fate_names) {
    auto i = p.fates.find(name);
    summary[name] = i == p.fates.end() ? 0 : i->second;
  }
  summary["seconds"] = p.seconds;
  summary["bytes"] = bytes;
  summary["output"] = p.output;
  if (!p.trouble.empty()) summary["trouble"] = p.trouble;
  return summary;
}

void add_rates(ordered_json& summary) {
  auto seconds = summary["seconds"].get<double>();
  for (auto what : {"events", "bytes"})
    summary[fmt::format("{}_per_second", what)] = seconds > 0 ? summary[what].get<double>() / seconds : 0;
}

/// Several scans as one.
ordered_json total_of(const std::vector<ordered_json>& scans) {
  ordered_json total{{"scans", scans}};
  for (auto name : {"events", "bytes"}) {
    std::uint64_t sum = 0;
    for (auto& scan : scans) sum += scan[name].get<std::uint64_t>();
    total[name] = sum;
  }
  double seconds = 0;
  for (auto& scan : scans) seconds += scan["seconds"].get<double>();
  total["seconds"] = seconds;
  add_rates(total);
  return total;
}

void print_scan(const ordered_json& s) {
  fmt::print("{} events in {:.3f} s", s["events"].get<std::uint64_t>(), s["seconds"].get<double>());
  for (auto separator = ':'; auto name : fate_names) {
    fmt::print("{} {} {}", separator, s[name].get<std::uint64_t>(), name);
    separator = ',';
  }
  auto output = s["output"].get<std::string>();
  fmt::print("\n{}", output.empty() ? "" : fmt::format("results in {}\n", output));
  std::fflush(stdout);
}

/// A replay leaves no ledger to look it up in.
void tell_why(replaying& replay) {
  for (auto& text : ask_troubles(replay.process().system(), replay.process().controller()))
    fmt::print(stderr, "dtranspose: {}\n", text);
}

void print_json(const ordered_json& summary) {
  fmt::print("{}\n", summary.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  std::fflush(stdout);
}

} // namespace

int run_replay(const replay_command& command) {
  if (!command.controller.empty()) return run_sent_replay(command);
  auto all = open_recordings(command);
  auto what = programme_of(command, all);
  hold_signals();
  replaying replay(command, all, what);
  std::vector<ordered_json> scans;
  int status = 0;
  while (scans.size() < command.loop && !replay.stopped()) {
    auto last = replay.run();
    scans.push_back(summary_of(last, what.how.pace->bytes()));
    add_rates(scans.back());
    if (!command.json) print_scan(scans.back());
    if (last.state == "finished") {
      if (status == 0 && came_to_nothing(last)) {
        status = nothing_came_of_it;
        tell_why(replay);
      }
      continue;
    }
    fmt::print(stderr, "dtranspose: the scan {}: {}\n", last.state, last.trouble);
    status = 1;
  }
  if (command.json) print_json(command.loop > 1 ? total_of(scans) : scans.front());
  if (!replay.process().stop()) _exit(status);
  return status;
}

} // namespace dtranspose
