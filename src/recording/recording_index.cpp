#include "recording/recording_index.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

#include "recording/ordered_dump.hpp"

namespace dtranspose {

namespace {

std::string place(const mapped_file& file, const std::string& stream, std::uint64_t event) {
  return file.path().string() + ": stream '" + stream + "', event " + std::to_string(event) + ": ";
}

/// The events of one stream in one of the files.
struct part_of_stream {
  const mapped_file* file;
  event_runs events;
};

/// A stream while files are being read.
struct indexed_stream {
  std::string name;
  std::string type;
  bool type_changed = false;
  std::vector<part_of_stream> parts;
};

event_runs merged(const std::string& name, std::vector<part_of_stream>& parts) {
  if (parts.size() == 1) return std::move(parts[0].events);
  struct cursor {
    const mapped_file* file;
    event_runs::iterator at, end;
  };
  std::vector<cursor> cursors;
  for (auto& part : parts) cursors.push_back({part.file, part.events.begin(), part.events.end()});
  event_runs all;
  while (!cursors.empty()) {
    auto lowest =
        std::min_element(cursors.begin(), cursors.end(), [](auto& a, auto& b) { return *a.at < *b.at; });
    auto event = *lowest->at;
    if (!all.empty() && all.last() == event)
      throw std::runtime_error(place(*lowest->file, name, event) +
                               "this stream is in another of the files for this event already");
    all.append(event);
    if (++lowest->at == lowest->end) cursors.erase(lowest);
  }
  return all;
}

class indexer {
 public:
  void read(const std::shared_ptr<const mapped_file>& file) {
    ordered_dump_reader reader(file);
    std::uint64_t last = 0;
    while (auto item = reader.next()) {
      if (item->event < last)
        throw std::runtime_error(file->path().string() + ": event " + std::to_string(item->event) +
                                 " follows event " + std::to_string(last) +
                                 ": these are several recordings in one file");
      last = item->event;
      events_ = std::max(events_, last + 1);
      note_time(*file, *item);
      for (auto& stream : item->streams) add(*file, last, stream);
    }
    if (!reader.cut_off().empty()) warnings_.push_back(reader.cut_off());
  }

  recording_index finish() {
    recording_index index{{}, events_, std::move(warnings_), times_, 0, std::move(untimed_)};
    for (auto& stream : streams_)
      index.streams.push_back({stream.name, stream.type, merged(stream.name, stream.parts)});
    return index;
  }

 private:
  void add(const mapped_file& file, std::uint64_t event, const dump_stream& found) {
    auto& stream = stream_of(found);
    if (stream.type != found.data.type() && !std::exchange(stream.type_changed, true))
      warnings_.push_back(place(file, found.name, event) + "its type changes from '" + stream.type +
                          "' to '" + std::string(found.data.type()) + "'");
    if (stream.parts.empty() || stream.parts.back().file != &file) stream.parts.push_back({&file, {}});
    auto& events = stream.parts.back().events;
    if (!events.empty() && events.last() == event)
      throw std::runtime_error(place(file, found.name, event) + "this stream is in it twice");
    events.append(event);
  }

  void note_time(const mapped_file& file, const dump_item& item) {
    auto time = item.created_at;
    if (time) times_ = joined(times_, recorded_span{*time, *time});
    if (!time && untimed_.empty()) untimed_ = file.path().string() + ", event " + std::to_string(item.event);
  }

  indexed_stream& stream_of(const dump_stream& found) {
    auto [known, is_new] = places_.try_emplace(found.name, streams_.size());
    if (is_new) streams_.push_back({found.name, std::string(found.data.type()), false, {}});
    return streams_[known->second];
  }

  std::vector<indexed_stream> streams_;
  std::map<std::string, std::size_t> places_;
  std::uint64_t events_ = 0;
  std::vector<std::string> warnings_;
  std::optional<recorded_span> times_;
  std::string untimed_;
};

} // namespace

std::optional<recorded_span> joined(const std::optional<recorded_span>& a,
                                    const std::optional<recorded_span>& b) {
  if (!a || !b) return a ? a : b;
  return recorded_span{std::min(a->first, b->first), std::max(a->last, b->last)};
}

recording_index index_of(const std::vector<std::shared_ptr<const mapped_file>>& files) {
  indexer reading;
  for (auto& file : files) reading.read(file);
  return reading.finish();
}

} // namespace dtranspose
