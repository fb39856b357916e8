#include <fmt/format.h>
#include <spdlog/spdlog.h>

// httplib's classes depend on macros that its package sets.
#include <httplib.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "actors/messages.hpp"
#include "beamline/scene.hpp"
#include "beamline/truth_file.hpp"
#include "instrument/faults.hpp"
#include "instrument/fitting_map.hpp"
#include "instrument/http_instrument.hpp"
#include "instrument/panda_tcp_series.hpp"
#include "instrument/series_generator.hpp"
#include "instrument/tcp_instrument.hpp"
#include "instrument/zmq_instrument.hpp"
#include "protocol/array_view.hpp"
#include "protocol/protocol.hpp"
#include "recording/capture_index.hpp"
#include "recording/dump.hpp"
#include "recording/message_reader.hpp"
#include "recording/recording_index.hpp"
#include "runtime/commands.hpp"
#include "runtime/progress_bar.hpp"
#include "runtime/signals.hpp"
#include "source/secret_file.hpp"

namespace dtranspose {

namespace {

using nlohmann::json;

/// How long the end of the scan is waited for after everything was sent, when nothing moves any more.
constexpr auto idle_patience = std::chrono::seconds(10);
constexpr auto poll_interval = std::chrono::milliseconds(100);
/// What an instrument may have waiting in ZeroMQ when we are slower than it: so many messages, and about so
/// many bytes.
constexpr std::uint64_t most_waiting = 1000, most_waiting_bytes = std::uint64_t{512} << 20;

/// One instrument, its thread, and what the map says of it.
struct simulated {
  simulated_stream what;
  std::shared_ptr<fault_report> faults = std::make_shared<fault_report>();
  std::stop_source stop; ///< of waiting on request; of its thread there is another
  std::unique_ptr<instrument> sender;
  std::jthread thread;
  std::atomic<bool> done = false;
  std::atomic<bool> complete = false;
};

/// The messages of one stream of a dump, in order.
message_supply supply_of(std::shared_ptr<const mapped_file> file, std::string stream) {
  auto reader = std::make_shared<dump_reader>(std::move(file));
  return [reader, stream = std::move(stream)]() -> std::optional<stream_data> {
    while (auto item = reader->next())
      for (auto& s : item->streams)
        if (s.name == stream) return std::move(s.data);
    return std::nullopt;
  };
}

/// The stream of a dump that is sent: the one of the same name, or the only one.
const recorded_stream& stream_in(const recording_index& index, const simulate_settings& settings) {
  for (auto& s : index.streams)
    if (s.name == settings.stream) return s;
  if (index.streams.size() == 1) return index.streams.front();
  throw std::runtime_error(
      fmt::format("{}: there is no stream '{}' in it", settings.recording.string(), settings.stream));
}

/// What an instrument sends, and what of it the trigger map has to know.
struct programme {
  message_supply supply;
  std::uint64_t entries = 0;     ///< of its stream, the first start and the last end included
  double messages_per_frame = 1; ///< a rate of frames becomes one of messages
  std::uint64_t frame_bytes = 0; ///< about
  line_answer answer = {};       ///< of an instrument that is asked first
};

/// What the sender is told: its own options, and those that it shares with the reader of its stream.
protocol_options sender_options(const stream_settings& stream, const simulate_settings& s) {
  auto options = s.options;
  for (auto& [name, content] : stream.options) {
    bool shared =
        stream.protocol == "raw" ||
        (stream.protocol == "panda_tcp" && (name == "format" || name == "process" || name == "xml")) ||
        (stream.protocol == "bluesky" && (name == "stream" || name == "prefix"));
    if (shared) options.emplace(name, content);
  }
  return options;
}

/// Another series of the same instrument: its counters go on.
void number_on(protocol_options& options, std::string_view protocol, std::uint64_t entries) {
  auto add = [&options](const char* name, std::uint64_t otherwise, std::uint64_t more) {
    auto found = options.find(name);
    auto before = found == options.end() ? otherwise : std::stoull(found->second);
    options[name] = std::to_string(before + more);
  };
  if (protocol == "stins") add("message_number", 0, entries);
  if (protocol == "albaem") add("message_id", 1, entries);
  if (protocol == "eiger_v1" || protocol == "dectris_v2") add("series", 1, 1);
  if (protocol == "sardana") add("serialno", 1, 1);
}

/// The series one after the other: two, if the instrument is armed again.
std::vector<std::shared_ptr<series_generator>>
series_of(const stream_settings& stream, const simulate_settings& s, const configuration& all) {
  series_settings what{.frames = s.frames,
                       .shape = s.shape,
                       .type = s.type,
                       .seed = s.seed,
                       .options = sender_options(stream, s)};
  if (!s.role.empty()) what.view = all.scene->view(s.role);
  std::vector<std::shared_ptr<series_generator>> series;
  auto add = [&] {
    series.push_back(make_series(stream.protocol, what));
    if (!series.back()) throw std::runtime_error(fmt::format("nothing generates {}", stream.protocol));
  };
  if (s.faults.rearm) {
    what.frames = *s.faults.rearm;
    add();
    number_on(what.options, stream.protocol, series.back()->entries());
    what.first_frame = what.frames;
    what.frames = s.frames - what.frames;
  }
  add();
  return series;
}

/// Before compression.
std::uint64_t frame_bytes_of(const simulate_settings& s, const configuration& all) {
  if (s.role.empty()) return bytes_of(s.shape, s.type);
  auto camera = all.scene->view(s.role).camera;
  return camera ? bytes_of(camera->shape(), camera->type()) : 0;
}

programme generated(const stream_settings& stream, const simulate_settings& s, const configuration& all,
                    const std::shared_ptr<fault_report>& report) {
  programme what;
  try {
    auto series = series_of(stream, s, all);
    if (stream.protocol == "panda_tcp") what.answer = answer_of_panda_series(sender_options(stream, s));
    for (auto& one : series) what.entries += one->entries();
    what.messages_per_frame = series.front()->messages_per_frame();
    what.frame_bytes = frame_bytes_of(s, all);
    what.supply = [series, report, rearm = s.faults.rearm, i = std::size_t{0}]() mutable {
      auto message = series[i]->next();
      if (message || i + 1 == series.size()) return message;
      report->rearmed(*rearm);
      return series[++i]->next();
    };
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(fmt::format("[[simulate]] of stream '{}': {}", s.stream, e.what()));
  }
  return what;
}

programme of_dump(std::shared_ptr<const mapped_file> file, const simulate_settings& s) {
  auto index = index_of({file});
  for (auto& warning : index.warnings) spdlog::warn("{}", warning);
  auto& stream = stream_in(index, s);
  return {supply_of(file, stream.name), stream.events.size()};
}

programme of_capture(std::shared_ptr<const mapped_file> file, const stream_settings& stream) {
  auto index = capture_index(stream.name, stream.protocol, stream.options, file);
  const std::shared_ptr<message_reader> reader = read_messages(std::move(file));
  return {[reader] { return reader->next(); }, index.streams.front().events.size()};
}

programme programme_of(const stream_settings& stream, const simulate_settings& s, const configuration& all,
                       const std::shared_ptr<fault_report>& report) {
  if (s.recording.empty()) return generated(stream, s, all, report);
  auto file = mapped_file::open(s.recording);
  return holds_messages(file->bytes()) ? of_capture(std::move(file), stream) : of_dump(std::move(file), s);
}

std::unique_ptr<instrument> sender_of(const stream_settings& stream, const simulate_settings& s,
                                      programme what) {
  auto rate = s.rate * what.messages_per_frame;
  switch (find_protocol(stream.protocol)->usual) {
  case transport::tcp:
    return make_tcp_instrument({.url = stream.url, .rate = rate, .answer = std::move(what.answer)},
                               std::move(what.supply));
  case transport::http:
    return make_http_instrument({.url = stream.url, .rate = rate}, std::move(what.supply));
  default:
    break;
  }
  auto kind = stream.socket == socket_kind::sub ? instrument_socket::pub : instrument_socket::push;
  auto fitting = most_waiting_bytes / std::max<std::uint64_t>(what.frame_bytes, 1);
  auto waiting = static_cast<int>(std::clamp<std::uint64_t>(fitting, 4, most_waiting));
  return make_zmq_instrument({.url = stream.url,
                              .kind = kind,
                              .bind = stream.connect,
                              .rate = rate,
                              .send_high_water_mark = waiting},
                             std::move(what.supply));
}

json json_of(const fault_report& report) {
  auto what = report.so_far();
  json faults{{"dropped", what.dropped}, {"duplicated", what.duplicated}};
  if (what.stalled) faults["stalled"] = *what.stalled;
  if (what.cut_off) faults["cut_off"] = *what.cut_off;
  if (what.rearmed) faults["rearmed"] = *what.rearmed;
  return faults;
}

class simulation {
 public:
  simulation(const configuration& settings, const simulate_command& command) : command_(command) {
    for (auto& s : settings.simulate)
      if (command.streams.empty() ||
          std::find(command.streams.begin(), command.streams.end(), s.stream) != command.streams.end())
        add(settings, s);
    if (instruments_.empty())
      throw std::runtime_error(command.config + ": there is no [[simulate]] entry to simulate");
  }

  std::string map() const {
    std::vector<simulated_stream> streams;
    for (auto& i : instruments_) streams.push_back(i->what);
    return fitting_map(streams);
  }

  void start() {
    for (auto& i : instruments_)
      i->thread = std::jthread([&i = *i](std::stop_token stop) {
        i.complete = i.sender->run(stop) == instrument::outcome::complete;
        i.done = true;
      });
  }

  void stop() {
    for (auto& i : instruments_) {
      i->stop.request_stop();
      i->thread.request_stop();
    }
  }

  void join() {
    for (auto& i : instruments_) i->thread.join();
  }

  bool done() const {
    return std::all_of(instruments_.begin(), instruments_.end(), [](auto& i) { return i->done.load(); });
  }
  bool complete() const {
    return std::all_of(instruments_.begin(), instruments_.end(), [](auto& i) { return i->complete.load(); });
  }

  json summary() const {
    json list = json::array();
    for (auto& i : instruments_)
      list.push_back({{"stream", i->what.name},
                      {"address", i->sender->address()},
                      {"messages", i->sender->messages()},
                      {"bytes", i->sender->bytes()},
                      {"faults", json_of(*i->faults)},
                      {"complete", i->complete.load()}});
    return list;
  }

  /// What went wrong on request, by stream.
  value_map faults() const {
    value_map all;
    for (auto& i : instruments_) all.set(i->what.name, i->faults->tree());
    return all;
  }

 private:
  void add(const configuration& settings, const simulate_settings& s) {
    auto stream = std::find_if(settings.streams.begin(), settings.streams.end(),
                               [&](auto& x) { return x.name == s.stream; });
    auto made = std::make_unique<simulated>();
    auto what = programme_of(*stream, s, settings, made->faults);
    std::uint64_t around = make_protocol(stream->protocol, stream->options)->has_start() ? 2 : 0;
    if (s.faults.rearm) around *= 2;
    made->what = {s.stream, what.entries - std::min(around, what.entries), s.every, s.faults.rearm};
    if (s.faults.any())
      what.supply = faulty_supply(std::move(what.supply), s.faults, stream->protocol, stream->options,
                                  made->stop.get_token(), made->faults);
    made->sender = sender_of(*stream, s, std::move(what));
    spdlog::info("stream {}: sends from {}", s.stream, made->sender->address());
    instruments_.push_back(std::move(made));
  }

  const simulate_command& command_;
  std::vector<std::unique_ptr<simulated>> instruments_;
};

/// The system's REST interface, as its user.
class remote_controller {
 public:
  explicit remote_controller(const simulate_command& command) : client_(command.controller) {
    if (!command.token_file.empty()) client_.set_bearer_token_auth(secret_of(command.token_file).c_str());
    if (!command.authority.empty()) client_.set_ca_cert_path(command.authority.c_str());
    client_.set_connection_timeout(std::chrono::seconds(2));
    client_.set_read_timeout(std::chrono::seconds(60));
  }

  /// Posts the map until it is taken; false on a signal. Throws when it never is, with the last reason.
  bool post(const std::string& body, const simulate_command& command) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(command.patience);
    for (std::string last;;) {
      auto reason = try_post(body, command);
      if (reason.empty()) return true;
      if (reason != last) spdlog::info("waiting: {}", reason);
      last = reason;
      if (std::chrono::steady_clock::now() >= deadline)
        throw std::runtime_error(
            fmt::format("{} did not take the trigger map: {}", command.controller, reason));
      if (wait_for_signal(std::chrono::milliseconds(200))) return false;
    }
  }

  /// Nothing where there is no answer.
  std::optional<progress> ask_progress() {
    auto answer = client_.Get("/api/v1/progress");
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

 private:
  static std::string secret_of(const std::string& path) {
    auto text = read_secret_file(path);
    auto end = text.find_last_not_of(" \t\r\n");
    return text.substr(0, end == std::string::npos ? 0 : end + 1);
  }

  /// Why it was not taken, empty if it was. Throws for a map that will never be taken.
  std::string try_post(const std::string& body, const simulate_command& command) {
    if (auto missing = missing_workers(command); !missing.empty()) return missing;
    auto answer = client_.Post("/api/v1/sequence", body, "application/json");
    if (!answer) return command.controller + " does not answer (see --controller)";
    if (answer->status == 200) return {};
    auto parsed = json::parse(answer->body, nullptr, false);
    auto text = parsed.is_object() && parsed.contains("detail") ? parsed["detail"].dump() : answer->body;
    if (answer->status == 422) throw std::runtime_error("the trigger map was refused: " + text);
    return text;
  }

  std::string missing_workers(const simulate_command& command) {
    if (command.min_workers <= 1) return {};
    auto answer = client_.Get("/api/v1/config");
    if (!answer) return command.controller + " does not answer (see --controller)";
    auto body = json::parse(answer->body, nullptr, false);
    auto there = body.is_object() && body.contains("workers") ? body["workers"].size() : 0;
    return there >= command.min_workers
               ? ""
               : fmt::format("{} of {} workers are there", there, command.min_workers);
  }

  httplib::Client client_;
};

/// Follows the scan until it is over; nothing is waited for longer than its events stand still.
std::optional<progress> follow(remote_controller& controller, simulation& instruments, bool& signalled) {
  progress_bar bar;
  std::optional<progress> last;
  auto moved = std::chrono::steady_clock::now();
  while (!(signalled = wait_for_signal(poll_interval))) {
    auto p = controller.ask_progress();
    auto now = std::chrono::steady_clock::now();
    if (p) {
      bar.show(*p);
      if (!last || p->completed_events != last->completed_events) moved = now;
      last = p;
      if (p->finished && instruments.done()) return last;
    }
    if (!instruments.done()) moved = now;
    // A scan that ended before its instruments did has nobody left who takes what they send.
    if (p && p->finished && now - moved > idle_patience) return last;
    if (now - moved > idle_patience) return last;
  }
  return last;
}

/// "3 dropped, 1 duplicated, cut off before frame 800"; empty if nothing went wrong.
std::string told(const json& faults) {
  std::string text;
  auto add = [&text](const std::string& what) { text.append(text.empty() ? "" : ", ").append(what); };
  for (auto key : {"dropped", "duplicated"})
    if (!faults[key].empty()) add(fmt::format("{} {}", faults[key].size(), key));
  for (auto [key, words] :
       {std::pair("stalled", "stalled"), {"cut_off", "cut off"}, {"rearmed", "armed again"}})
    if (faults.contains(key)) add(fmt::format("{} before frame {}", words, faults[key].get<std::uint64_t>()));
  return text;
}

/// The scene as it is, before anything is sent.
void write_truth(const configuration& settings, const simulate_command& command) {
  if (command.truth.empty()) return;
  if (!settings.scene)
    throw std::runtime_error(command.config + ": --truth wants a [beamline], of which something is known");
  write_truth(command.truth, settings.scene->truth());
}

void print_summary(const json& summary, bool as_json) {
  if (as_json) {
    fmt::print("{}\n", summary.dump());
  } else {
    for (auto& s : summary["streams"]) {
      auto faults = told(s["faults"]);
      fmt::print("stream {}: {} messages, {} bytes{}{}\n", s["stream"].get<std::string>(),
                 s["messages"].get<std::uint64_t>(), s["bytes"].get<std::uint64_t>(),
                 faults.empty() ? "" : "; ", faults);
    }
    if (summary.contains("output") && summary["output"] != "")
      fmt::print("results in {}\n", summary["output"].get<std::string>());
  }
  std::fflush(stdout);
}

} // namespace

int run_simulate(const simulate_command& command) {
  hold_signals();
  auto settings = read_configuration(command.config);
  simulation instruments(settings, command);
  write_truth(settings, command);
  remote_controller controller(command);
  bool signalled = false;
  std::optional<progress> last;
  if (command.no_map) {
    instruments.start();
    while (!instruments.done() && !(signalled = wait_for_signal(poll_interval))) {
    }
  } else if (controller.post(instruments.map(), command)) {
    instruments.start();
    last = follow(controller, instruments, signalled);
  } else {
    return 1;
  }
  if (signalled || (last && last->finished && !instruments.done())) instruments.stop();
  instruments.join();
  if (!command.truth.empty()) add_truth(command.truth, {{"faults", instruments.faults()}});
  json summary{{"streams", instruments.summary()}};
  if (last) {
    summary.update({{"scan", last->scan},
                    {"state", last->state},
                    {"events", last->total_events},
                    {"fates", last->fates},
                    {"seconds", last->seconds},
                    {"output", last->output}});
    if (!last->finished) spdlog::warn("everything was sent, but the scan is {}", last->state);
    if (last->finished && last->state != "finished")
      spdlog::warn("the scan {}: {}", last->state, last->trouble);
  }
  print_summary(summary, command.json);
  // Without a map of its own it was asked to send and no more.
  return instruments.complete() && (command.no_map || (last && last->state == "finished")) ? 0 : 1;
}

} // namespace dtranspose
