/// A replay to a running system: the recorded streams are sent again as their instruments would.
#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include "recording/capture_index.hpp"
#include "recording/ordered_dump.hpp"
#include "recording/replay_map.hpp"
#include "recording/type_reader.hpp"
#include "runtime/commands.hpp"
#include "runtime/replayed_files.hpp"
#include "runtime/senders.hpp"
#include "runtime/signals.hpp"
#include "source/playback.hpp"

namespace dtranspose {

namespace {

/// A message, and when it was recorded.
using timed_supply = std::function<std::optional<std::pair<stream_data, std::optional<double>>>()>;

void refuse_options(const replay_command& c) {
  const std::pair<bool, const char*> of_this_process[] = {{c.from || c.to, "--from, --to"},
                                                          {c.step, "--step"},
                                                          {c.loop != 1, "--loop"},
                                                          {!c.record.empty(), "--record"},
                                                          {c.workers > 0, "--workers"},
                                                          {!c.choice.analysis.empty(), "--analysis"},
                                                          {!c.choice.params.empty(), "--param"},
                                                          {!c.params_file.empty(), "--params"},
                                                          {!c.results.empty(), "--results"},
                                                          {!c.choice.output.empty(), "--output"}};
  for (auto& [given, name] : of_this_process)
    if (given)
      throw std::runtime_error(
          fmt::format("{}: is not for a replay to a running system (--controller)", name));
  if (c.config.empty())
    throw std::runtime_error(
        "--controller: give the system's configuration with --config, which knows its streams");
}

const stream_settings& configured(const configuration& settings, const std::string& stream,
                                  const std::string& file) {
  for (auto& s : settings.streams)
    if (s.name == stream) return s;
  std::vector<std::string> names;
  for (auto& s : settings.streams) names.push_back(s.name);
  throw std::runtime_error(
      fmt::format("stream '{}' is not in {}, which has {}", stream, file, fmt::join(names, ", ")));
}

/// The messages of one stream of dumps, which are read one behind the other.
timed_supply supply_of(const recordings& all, const std::string& stream) {
  auto readers = std::make_shared<std::vector<ordered_dump_reader>>();
  for (auto& file : all.dumps) readers->emplace_back(file);
  return [readers, stream]() -> std::optional<std::pair<stream_data, std::optional<double>>> {
    for (auto& reader : *readers)
      while (auto item = reader.next())
        for (auto& s : item->streams)
          if (s.name == stream) return std::pair(std::move(s.data), item->created_at);
    return std::nullopt;
  };
}

timed_supply supply_of(const captured_stream& captured) {
  const std::shared_ptr<message_reader> reader = captured.messages({});
  return [reader]() -> std::optional<std::pair<stream_data, std::optional<double>>> {
    if (auto message = reader->next()) return std::pair(std::move(*message), reader->time());
    return std::nullopt;
  };
}

/// Only what is there with all of its numbers falls into the same events again: nobody else than the numbers
/// says where it belongs.
void check_numbers(const recorded_stream& stream, const stream_settings& settings, const recordings& all) {
  if (!entries_are_messages(stream.type))
    throw std::runtime_error(
        fmt::format("stream '{}': a dump has no messages of type {} as they were sent: a wire recording has",
                    stream.name, stream.type));
  auto format = make_protocol(settings.protocol, settings.options);
  contents_counter counter(*format);
  auto supply = supply_of(all, stream.name);
  while (auto message = supply()) counter.take(std::move(message->first));
  auto contents = counter.finish();
  if (contents.faulty() > 0)
    throw std::runtime_error(fmt::format("stream '{}': is no {}, as configured: {}", stream.name,
                                         settings.protocol, faults_text(contents)));
  if (contents.entries != stream.events.size())
    throw std::runtime_error(fmt::format(
        "stream '{}': of its {} entries {} are recorded: their numbers do not say which events they "
        "are of, replay it without --controller",
        stream.name, contents.entries, stream.events.size()));
}

class sent_replay {
 public:
  explicit sent_replay(const replay_command& command)
      : all_(open_recordings(command)), index_(index_of(all_)), settings_(read_configuration(command.config)),
        pace_(pace_of(command)) {
    for (auto& warning : index_.warnings) spdlog::warn("{}", warning);
    for (auto& stream : index_.streams) add(stream, configured(settings_, stream.name, command.config));
    if (senders_.empty()) throw std::runtime_error("there is no stream to send");
    pace_.begin();
  }

  std::string map() const { return replay_map(index_); }
  sender_group& senders() { return senders_; }
  void stop() {
    stop_.request_stop();
    senders_.stop();
  }

 private:
  playback::settings pace_of(const replay_command& command) const {
    if (command.speed > 0 && !index_.untimed.empty())
      throw std::runtime_error(fmt::format("--speed {}: when it was recorded is not known: {}, has no times",
                                           command.speed, index_.untimed));
    return {.speed = command.speed, .times = index_.times.value_or(recorded_span())};
  }

  void add(const recorded_stream& stream, const stream_settings& settings) {
    auto captured = find_capture(all_, stream.name);
    if (captured && captured->choice.protocol != settings.protocol)
      throw std::runtime_error(fmt::format("stream '{}': is recorded as {}, but configured as {}",
                                           stream.name, captured->choice.protocol, settings.protocol));
    if (!captured) check_numbers(stream, settings, all_);
    senders_.add(
        stream.name,
        sender_of(settings, 0, in_time(captured ? supply_of(*captured) : supply_of(all_, stream.name))));
  }

  message_supply in_time(timed_supply supply) {
    return [this, supply = std::move(supply)]() -> std::optional<stream_data> {
      auto message = supply();
      if (!message || !pace_.wait(0, message->second, stop_.get_token())) return std::nullopt;
      return std::move(message->first);
    };
  }

  recordings all_;
  recording_index index_;
  configuration settings_;
  playback pace_;
  std::stop_source stop_;
  sender_group senders_;
};

} // namespace

int run_sent_replay(const replay_command& command) {
  refuse_options(command);
  hold_signals();
  sent_replay replay(command);
  remote_controller controller({command.controller, command.token_file, command.authority});
  bool own_map = !command.map.empty();
  if (!controller.post(own_map ? text_of_file(command.map) : replay.map(), {.wrap = own_map && command.wrap}))
    return 1;
  auto& senders = replay.senders();
  senders.start();
  bool signalled = false;
  auto last = follow(controller, senders, signalled);
  if (signalled || (last && last->finished && !senders.done())) replay.stop();
  senders.join();
  print_sent(senders, last, command.json);
  if (!senders.complete() || !last || last->state != "finished") return 1;
  return came_to_nothing(*last) ? nothing_came_of_it : 0;
}

} // namespace dtranspose
