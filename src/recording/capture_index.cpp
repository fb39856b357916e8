#include "recording/capture_index.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "recording/message_reader.hpp"

namespace dtranspose {

namespace {

/// As of a stream of a configuration that does not say otherwise.
constexpr std::uint64_t late_window = 64;

/// Finds how long a map must be so that each packet gets the place that a scan would give it.
class entry_counter {
 public:
  explicit entry_counter(const protocol& format)
      : tracker_(capture_entries_limit, late_window, !format.has_start()) {}

  void take(const entry_numbers& numbers) {
    auto d = tracker_.take(numbers, missing_);
    missing_.clear();
    take_released();
    if (d.place) count(*d.place);
    hold(d, numbers);
    doubtful_ |= numbers.kind == entry_kind::start && d.what == verdict::doubtful;
  }

  /// Everything was taken.
  void finish(capture_contents& contents) {
    for (std::size_t v = 0; v < verdict_count; ++v) contents.verdicts[v] = tracker_.count(verdict(v));
    contents.doubtful = doubtful_;
    contents.ends = held_end_ || early_end_;
    if (held_end_) {
      // Another start settles where the end before it belongs.
      tracker_.take({.kind = entry_kind::start}, missing_);
      take_released();
    }
    contents.entries = std::max(entries_, early_entries_) + (held_restart_ || early_end_);
  }

 private:
  using keep = number_tracker::decision::keep;

  void count(stream_position place) { entries_ = std::max(entries_, place.value + 1); }

  void hold(const number_tracker::decision& d, const entry_numbers& numbers) {
    if (d.hold == keep::end) held_end_ = true;
    if (d.hold == keep::leap) held_restart_ = numbers.restarts;
    if (d.hold != keep::early) return;
    // Should its start not come, its place is the one behind where that would have been.
    if (numbers.number && *numbers.number < capture_entries_limit)
      early_entries_ = std::max(early_entries_, *numbers.number + 2);
    early_end_ |= numbers.kind == entry_kind::end;
  }

  void take_released() {
    if (auto place = tracker_.released_end()) count(*place), held_end_ = false;
    if (tracker_.dropped_leap()) held_restart_ = false;
    if (auto place = tracker_.released_leap()) count(*place), held_restart_ = false;
    auto early = tracker_.released_early();
    if (early.empty()) return;
    early_entries_ = 0;
    early_end_ = false;
    for (auto& place : early) {
      if (!place) continue;
      // An end without a start goes to the end of the map, wherever that will be.
      if (place->value + 1 == capture_entries_limit)
        early_end_ = true;
      else
        count(*place);
    }
  }

  number_tracker tracker_;
  std::vector<missing_run> missing_;
  std::uint64_t entries_ = 0, early_entries_ = 0;
  bool held_end_ = false, held_restart_ = false, early_end_ = false, doubtful_ = false;
};

void note(const stream_packet& packet, entry_counter& counter, capture_contents& contents) {
  ++contents.packets;
  if (packet.fault) ++contents.faults[static_cast<std::size_t>(*packet.fault)];
  if (packet.fault && !packet.numbered) return;
  auto& series = packet.numbers.series;
  auto& listed = contents.series;
  if (series && listed.size() < capture_series_limit && (listed.empty() || listed.back() != *series))
    listed.push_back(*series);
  counter.take(packet.numbers);
}

recording_index index_of_entries(const std::string& name, std::string_view type,
                                 const capture_contents& contents) {
  recorded_stream stream{.name = name, .type = std::string(type), .ends = contents.ends};
  stream.events.append(0, contents.entries);
  return {.streams = {std::move(stream)}, .events = contents.entries};
}

/// The same stream, longer: its last entry in event `last`.
void move_end(recorded_stream& stream, std::uint64_t last) {
  auto entries = stream.events.size();
  if (!stream.ends || entries == 0 || stream.events.last() == last) return;
  event_runs moved;
  moved.append(0, entries - 1);
  moved.append(last);
  stream.events = std::move(moved);
}

void join_times(const recording_index& part, recording_index& all) {
  all.times = joined(all.times, part.times);
  all.longest_pause = std::max(all.longest_pause, part.longest_pause);
  if (all.untimed.empty()) all.untimed = part.untimed;
}

std::unique_ptr<protocol> format_for(const std::string& path, const std::string& name,
                                     const protocol_options& options) {
  try {
    if (auto format = make_protocol(name, options)) return format;
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(fmt::format("{}: {}", path, e.what()));
  }
  throw std::runtime_error(fmt::format("{}: protocol '{}' is unknown; known are {}", path, name,
                                       fmt::join(protocol_names(), ", ")));
}

} // namespace

std::uint64_t capture_contents::faulty() const {
  return std::accumulate(faults.begin(), faults.end(), std::uint64_t{0});
}

std::string faults_text(const capture_contents& contents) {
  std::vector<std::string> kinds;
  for (std::size_t f = 0; f < packet_fault_count; ++f)
    if (contents.faults[f] > 0)
      kinds.push_back(fmt::format("{} {}", contents.faults[f], name_of(packet_fault(f))));
  return fmt::format("{}", fmt::join(kinds, ", "));
}

struct contents_counter::state {
  explicit state(protocol& p) : format(p), entries(p) {}

  protocol& format;
  entry_counter entries;
  capture_contents contents;
  std::vector<stream_packet> packets;
};

contents_counter::contents_counter(protocol& format) : state_(std::make_unique<state>(format)) {}

contents_counter::~contents_counter() = default;

std::span<const stream_packet> contents_counter::take(stream_data message, std::optional<double> time,
                                                      bool interrupted) {
  auto& [format, entries, contents, packets] = *state_;
  ++contents.messages;
  contents.bytes += message.bytes();
  if (time) {
    if (contents.times)
      contents.longest_pause = std::max(contents.longest_pause, *time - contents.times->last);
    contents.times = joined(contents.times, recorded_span{*time, *time});
  }
  packets.clear();
  if (interrupted) format.interrupted(packets);
  format.read(std::move(message), packets);
  for (auto& packet : packets) note(packet, entries, contents);
  return packets;
}

capture_contents contents_counter::finish() {
  state_->entries.finish(state_->contents);
  return std::move(state_->contents);
}

capture_contents read_capture(const std::shared_ptr<const mapped_file>& file, protocol& format) {
  auto reader = read_messages(file, format.type_tag());
  contents_counter counter(format);
  while (auto message = reader->next())
    counter.take(std::move(*message), reader->time(), reader->interrupted());
  auto contents = counter.finish();
  contents.cut_off = reader->cut_off();
  contents.damage = reader->damage();
  contents.gaps = reader->gaps();
  return contents;
}

recording_index capture_index(const std::string& name, const std::string& protocol_name,
                              const protocol_options& options,
                              const std::shared_ptr<const mapped_file>& file) {
  auto path = file->path().string();
  auto format = format_for(path, protocol_name, options);
  auto contents = read_capture(file, *format);
  if (contents.entries == 0)
    throw std::runtime_error(fmt::format("{}: none of its {} messages is an entry of a stream of {}{}{}",
                                         path, contents.messages, protocol_name,
                                         contents.faulty() > 0 ? ": " : "", faults_text(contents)));
  auto index = index_of_entries(name, format->type_tag(), contents);
  index.times = contents.times;
  index.longest_pause = contents.longest_pause;
  if (!contents.times) index.untimed = path + ", a raw capture";
  auto& warnings = index.warnings;
  if (contents.faulty() > 0)
    warnings.push_back(
        fmt::format("{}: stream '{}': faulty messages: {}", path, name, faults_text(contents)));
  if (contents.doubtful)
    warnings.push_back(
        fmt::format("{}: stream '{}': a series did not end exactly, so that the places of those "
                    "behind it are not known: they are left out",
                    path, name));
  if (!contents.cut_off.empty()) warnings.push_back(contents.cut_off);
  if (!contents.damage.empty()) warnings.push_back(contents.damage);
  if (!contents.gaps.empty()) warnings.push_back(contents.gaps);
  return index;
}

recording_index joined(std::vector<recording_index> parts) {
  recording_index all;
  for (auto& part : parts) {
    all.events = std::max(all.events, part.events);
    std::move(part.streams.begin(), part.streams.end(), std::back_inserter(all.streams));
    std::move(part.warnings.begin(), part.warnings.end(), std::back_inserter(all.warnings));
    join_times(part, all);
  }
  std::set<std::string_view> names;
  for (auto& stream : all.streams) {
    if (!names.insert(stream.name).second)
      throw std::runtime_error(fmt::format("stream '{}' is in several of the files", stream.name));
    move_end(stream, all.events - 1);
  }
  return all;
}

} // namespace dtranspose
