#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <stdexcept>

#include "actors/messages.hpp"
#include "beamline/scene.hpp"
#include "beamline/truth_file.hpp"
#include "instrument/faults.hpp"
#include "instrument/fitting_map.hpp"
#include "instrument/panda_tcp_series.hpp"
#include "instrument/series_generator.hpp"
#include "protocol/array_view.hpp"
#include "protocol/protocol.hpp"
#include "recording/capture_index.hpp"
#include "recording/message_reader.hpp"
#include "recording/ordered_dump.hpp"
#include "recording/recording_index.hpp"
#include "runtime/commands.hpp"
#include "runtime/remote_controller.hpp"
#include "runtime/senders.hpp"
#include "runtime/signals.hpp"

namespace dtranspose {

namespace {

constexpr auto poll_interval = std::chrono::milliseconds(100);

/// The messages of one stream of a dump, in order.
message_supply supply_of(std::shared_ptr<const mapped_file> file, std::string stream) {
  auto reader = std::make_shared<ordered_dump_reader>(std::move(file));
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
  spdlog::info("stream {}: prepares {} frames of {}", s.stream, s.frames, stream.protocol);
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

/// The instruments of a configuration, and the map that fits them.
class simulation {
 public:
  simulation(const configuration& settings, const simulate_command& command) {
    for (auto& s : settings.simulate)
      if (command.streams.empty() ||
          std::find(command.streams.begin(), command.streams.end(), s.stream) != command.streams.end())
        add(settings, s);
    if (senders_.empty())
      throw std::runtime_error(command.config + ": there is no [[simulate]] entry to simulate");
  }

  std::string map() const { return fitting_map(streams_); }
  sender_group& senders() { return senders_; }

 private:
  void add(const configuration& settings, const simulate_settings& s) {
    auto stream = std::find_if(settings.streams.begin(), settings.streams.end(),
                               [&](auto& x) { return x.name == s.stream; });
    auto faults = std::make_shared<fault_report>();
    auto what = programme_of(*stream, s, settings, faults);
    std::uint64_t around = make_protocol(stream->protocol, stream->options)->has_start() ? 2 : 0;
    if (s.faults.rearm) around *= 2;
    streams_.push_back({s.stream, what.entries - std::min(around, what.entries), s.every, s.faults.rearm});
    std::stop_source stop;
    if (s.faults.any())
      what.supply = faulty_supply(std::move(what.supply), s.faults, stream->protocol, stream->options,
                                  stop.get_token(), faults);
    senders_.add(s.stream,
                 sender_of(*stream, s.rate * what.messages_per_frame, std::move(what.supply),
                           std::move(what.answer), what.frame_bytes),
                 std::move(faults), std::move(stop));
  }

  std::vector<simulated_stream> streams_;
  sender_group senders_;
};

/// The scene as it is, before anything is sent.
void write_truth(const configuration& settings, const simulate_command& command) {
  if (command.truth.empty()) return;
  if (!settings.scene)
    throw std::runtime_error(command.config + ": --truth wants a [beamline], of which something is known");
  write_truth(command.truth, settings.scene->truth());
}

} // namespace

int run_simulate(const simulate_command& command) {
  hold_signals();
  auto settings = read_configuration(command.config);
  simulation simulated(settings, command);
  write_truth(settings, command);
  auto& senders = simulated.senders();
  remote_controller controller({command.controller, command.token_file, command.authority});
  bool signalled = false;
  std::optional<progress> last;
  if (command.no_map) {
    senders.start();
    while (!senders.done() && !(signalled = wait_for_signal(poll_interval))) {
    }
  } else if (controller.post(simulated.map(), {true, command.min_workers, command.patience})) {
    senders.start();
    last = follow(controller, senders, signalled);
  } else {
    return 1;
  }
  if (signalled || (last && last->finished && !senders.done())) senders.stop();
  senders.join();
  if (!command.truth.empty()) add_truth(command.truth, {{"faults", senders.faults()}});
  print_sent(senders, last, command.json);
  // Without a map of its own it was asked to send and no more.
  if (!senders.complete() || (!command.no_map && (!last || last->state != "finished"))) return 1;
  return last && came_to_nothing(*last) ? nothing_came_of_it : 0;
}

} // namespace dtranspose
