#include "runtime/inspection.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/utc_time.hpp"
#include "protocol/protocol.hpp"
#include "recording/capture.hpp"
#include "recording/capture_guess.hpp"
#include "recording/capture_index.hpp"
#include "recording/dump.hpp"
#include "recording/message_json.hpp"
#include "recording/recording_index.hpp"
#include "recording/stream_survey.hpp"
#include "recording/type_reader.hpp"
#include "recording/wire_recording.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;

/// Of a capture, messages and parts of each that are shown: enough to recognise a format.
constexpr std::size_t shown_messages = 8;
constexpr std::size_t shown_parts = 10;

ordered_json shown(const stream_data& message, std::size_t offset) {
  auto parts = ordered_json::array();
  for (auto& part : message.frames().first(std::min(message.frames().size(), shown_parts)))
    parts.push_back(beginning_of(part));
  return {{"offset", offset}, {"part_count", message.frames().size()}, {"parts", std::move(parts)}};
}

std::string utc_text_of(double seconds) {
  std::chrono::microseconds since_1970(std::llround(seconds * 1e6));
  return utc_text(std::chrono::sys_time<std::chrono::microseconds>(since_1970));
}

/// `first_time`, `last_time` and `seconds` between; null where it is not known.
void add_times(ordered_json& about, const std::optional<recorded_span>& times) {
  about["first_time"] = times ? ordered_json(utc_text_of(times->first)) : ordered_json();
  about["last_time"] = times ? ordered_json(utc_text_of(times->last)) : ordered_json();
  about["seconds"] = times ? ordered_json(times->last - times->first) : ordered_json();
}

/// Where the file is torn, if it is: everything before is there.
void add_tear(ordered_json& about, const std::string& cut_off, std::size_t byte, const char* last_name,
              const std::optional<std::uint64_t>& last) {
  about["torn"] = ordered_json();
  if (cut_off.empty()) return;
  about["torn"] = {{"byte", byte}, {last_name, last ? ordered_json(*last) : ordered_json()}};
  auto& warnings = about["warnings"];
  if (std::find(warnings.begin(), warnings.end(), cut_off) == warnings.end()) warnings.push_back(cut_off);
}

/// How its numbers fit together, and what of it is faulty.
void add_numbers(ordered_json& about, const capture_contents& contents) {
  auto verdicts = ordered_json::object(), faults = ordered_json::object();
  for (std::size_t v = 0; v < verdict_count; ++v)
    if (contents.verdicts[v] > 0) verdicts[name_of(verdict(v))] = contents.verdicts[v];
  for (std::size_t f = 0; f < packet_fault_count; ++f)
    if (contents.faults[f] > 0) faults[std::string(name_of(packet_fault(f)))] = contents.faults[f];
  about["verdicts"] = std::move(verdicts);
  about["faults"] = std::move(faults);
  about["series"] = contents.series;
}

/// Images by kind, times, the first and the last message.
void add_survey(ordered_json& about, const stream_survey& survey) {
  about["images"] = ordered_json::array();
  for (auto& kind : survey.images())
    about["images"].push_back({{"shape", kind.shape},
                               {"dtype", std::string(name_of(kind.type))},
                               {"compression", std::string(kind.compression)},
                               {"count", kind.count}});
  add_times(about, survey.times());
  about["first"] = json_of_message(survey.first());
  about["last"] = json_of_message(survey.last());
}

ordered_json messages_of(const std::shared_ptr<const mapped_file>& file) {
  capture_reader reader(file);
  std::map<std::size_t, std::uint64_t> part_counts;
  std::uint64_t messages = 0, bytes = 0;
  auto first = ordered_json::array();
  for (auto offset = reader.offset(); auto message = reader.next(); offset = reader.offset()) {
    ++part_counts[message->frames().size()];
    bytes += message->bytes();
    if (messages++ < shown_messages) first.push_back(shown(*message, offset));
  }
  auto counts = ordered_json::array();
  for (auto& [parts, times] : part_counts) counts.push_back({{"parts", parts}, {"messages", times}});
  ordered_json about{{"file", file->path().string()},
                     {"form", "capture"},
                     {"messages", messages},
                     {"bytes", bytes},
                     {"part_counts", std::move(counts)},
                     {"first_messages", std::move(first)}};
  auto guess = guess_protocol(file);
  about["looks_like"] = guess ? ordered_json(*guess) : ordered_json();
  about["warnings"] = ordered_json::array();
  add_tear(about, reader.cut_off(), reader.offset(), "messages", messages);
  return about;
}

ordered_json stream_of(const std::shared_ptr<const mapped_file>& file, const capture_choice& choice) {
  auto format = make_protocol(choice.protocol, choice.options);
  auto reader = read_messages(file, format->type_tag());
  contents_counter counter(*format);
  stream_survey survey;
  while (auto message = reader->next())
    for (auto& packet : counter.take(std::move(*message), reader->time(), reader->interrupted()))
      if (!packet.fault) survey.take(packet.data, reader->time());
  auto contents = counter.finish();
  ordered_json about{{"file", file->path().string()},
                     {"form", is_wire_recording(file->bytes()) ? "wire" : "capture"},
                     {"messages", contents.messages},
                     {"bytes", contents.bytes},
                     {"stream", choice.name},
                     {"protocol", choice.protocol},
                     {"options", choice.options},
                     {"type", std::string(format->type_tag())},
                     {"matched_by", format->numbered() ? "number" : "position"},
                     {"packets", contents.packets},
                     {"entries", contents.entries},
                     {"ends", contents.ends}};
  add_numbers(about, contents);
  add_survey(about, survey);
  about["warnings"] = ordered_json::array();
  if (contents.doubtful)
    about["warnings"].push_back("a series did not end exactly: the places of those behind it are not known");
  for (auto& trouble : {reader->damage(), reader->gaps()})
    if (!trouble.empty()) about["warnings"].push_back(trouble);
  add_tear(about, reader->cut_off(), reader->offset(), "messages", contents.messages);
  return about;
}

/// A stream of a dump while that is read.
struct dumped_stream {
  explicit dumped_stream(std::string_view type) : format(reader_of_type(type)) {
    if (format && entries_are_messages(type)) numbers.emplace(*format);
  }

  void take(const stream_data& data, std::optional<double> time) {
    survey.take(data, time);
    if (numbers) numbers->take(data);
  }

  std::unique_ptr<protocol> format;
  std::optional<contents_counter> numbers;
  stream_survey survey;
};

/// Does it have data for that event? What was left out may have come after all.
bool holds(const recording_index& index, std::uint64_t event) {
  return std::any_of(index.streams.begin(), index.streams.end(),
                     [&](auto& stream) { return stream.events.contains(event); });
}

/// What is not recorded, as the disk was behind or a process ended: first and last events.
void note_gap(std::vector<std::pair<std::uint64_t, std::uint64_t>>& gaps, std::uint64_t event) {
  if (!gaps.empty() && gaps.back().second + 1 == event)
    gaps.back().second = event;
  else
    gaps.emplace_back(event, event);
}

ordered_json dump_of(const std::shared_ptr<const mapped_file>& file) {
  auto index = index_of({file});
  std::map<std::string, dumped_stream> found;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps;
  dump_reader reader(file);
  std::optional<std::uint64_t> last_event;
  std::size_t end = 0;
  while (auto item = reader.next()) {
    last_event = item->event;
    end = item->end_offset;
    if (item->streams.empty() && !holds(index, item->event)) note_gap(gaps, item->event);
    for (auto& s : item->streams)
      found.try_emplace(s.name, s.data.type()).first->second.take(s.data, item->created_at);
  }
  auto streams = ordered_json::array();
  for (auto& s : index.streams) {
    auto& stream = found.at(s.name);
    ordered_json about{{"name", s.name},
                       {"type", s.type},
                       {"events", s.events.size()},
                       {"first_event", *s.events.begin()},
                       {"last_event", s.events.last()},
                       {"bytes", stream.survey.bytes()}};
    if (stream.numbers) add_numbers(about, stream.numbers->finish());
    add_survey(about, stream.survey);
    streams.push_back(std::move(about));
  }
  ordered_json about{{"file", file->path().string()},
                     {"form", "dump"},
                     {"events", index.events},
                     {"streams", std::move(streams)}};
  about["gaps"] = gaps;
  add_times(about, index.times);
  about["warnings"] = index.warnings;
  add_tear(about, reader.cut_off(), end, "last_event", last_event);
  return about;
}

} // namespace

ordered_json description_of(const std::shared_ptr<const mapped_file>& file,
                            const std::optional<capture_choice>& choice) {
  auto knows_streams = [&](const char* form) {
    return std::runtime_error(
        fmt::format("{} is a {}, which knows its streams: leave --stream out", file->path().string(), form));
  };
  if (is_wire_recording(file->bytes())) {
    if (choice) throw knows_streams("wire recording");
    return stream_of(file, choice_in(wire_reader(file).description()));
  }
  if (!is_capture(file->bytes())) {
    auto description = dump_of(file);
    if (choice) throw knows_streams("dump");
    return description;
  }
  return choice ? stream_of(file, *choice) : messages_of(file);
}

} // namespace dtranspose
