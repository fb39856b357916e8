#include "recording/replay_choice.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "recording/ordered_dump.hpp"
#include "recording/type_reader.hpp"

namespace dtranspose {

namespace {

/// Finds starts in one stream of a dump.
class start_finder {
 public:
  explicit start_finder(std::string_view type) : format_(reader_of_type(type)) {}

  bool is_start(const stream_data& data) {
    if (!format_) return false;
    packets_.clear();
    format_->read(data, packets_);
    return std::any_of(packets_.begin(), packets_.end(),
                       [](auto& p) { return !p.fault && p.numbers.kind == entry_kind::start; });
  }

 private:
  std::unique_ptr<protocol> format_;
  std::vector<stream_packet> packets_;
};

/// The lowest event that is not below `event`, of all streams.
std::optional<std::uint64_t> lowest_from(const recording_index& index, std::uint64_t event) {
  std::optional<std::uint64_t> lowest;
  for (auto& stream : index.streams)
    if (auto found = stream.events.from(event); found && (!lowest || *found < *lowest)) lowest = found;
  return lowest;
}

} // namespace

std::set<std::uint64_t> starts_before(const std::vector<std::shared_ptr<const mapped_file>>& files,
                                      std::uint64_t event) {
  std::map<std::string, std::uint64_t> latest;
  for (auto& file : files) {
    std::map<std::string, start_finder> finders;
    ordered_dump_reader reader(file);
    for (auto item = reader.next(); item && item->event < event; item = reader.next())
      for (auto& stream : item->streams)
        if (finders.try_emplace(stream.name, stream.data.type()).first->second.is_start(stream.data)) {
          auto& last = latest[stream.name];
          last = std::max(last, item->event);
        }
  }
  std::set<std::uint64_t> events;
  for (auto& found : latest) events.insert(found.second);
  return events;
}

recorded_span times_between(const std::vector<std::shared_ptr<const mapped_file>>& files, std::uint64_t first,
                            std::uint64_t last) {
  std::optional<recorded_span> times;
  for (auto& file : files) {
    ordered_dump_reader reader(file);
    for (auto item = reader.next(); item && item->event <= last; item = reader.next())
      if (auto time = item->created_at; time && item->event >= first)
        times = joined(times, recorded_span{*time, *time});
  }
  return times.value_or(recorded_span());
}

replay_choice choose_events(const recording_index& index, std::uint64_t first, std::uint64_t last,
                            const std::set<std::uint64_t>& starts) {
  replay_choice choice{.first = first, .last = last};
  if (index.events == 0) return choice;
  choice.for_everybody = starts;
  choice.for_everybody.insert({0, index.events - 1});
  for (auto event = lowest_from(index, 0); event; event = lowest_from(index, *event + 1))
    if ((*event >= first && *event <= last) || choice.for_everybody.contains(*event))
      choice.events.append(*event);
  return choice;
}

replay_choice all_events(const recording_index& index) {
  return choose_events(index, 0, std::numeric_limits<std::uint64_t>::max());
}

} // namespace dtranspose
