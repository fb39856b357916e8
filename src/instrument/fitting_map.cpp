#include "instrument/fitting_map.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include <nlohmann/json.hpp>

namespace dtranspose {

namespace {

constexpr std::uint64_t part_limit = 1000;

bool has_frame(const simulated_stream& stream, std::uint64_t event) {
  return event % stream.every == 0 && event / stream.every < stream.frames;
}

/// The event behind the last one that has a frame of this stream.
std::uint64_t end_of(const simulated_stream& stream) {
  return stream.frames == 0 ? 0 : (stream.frames - 1) * stream.every + 1;
}

/// The event before which the stream is armed again; beyond all events if it is not.
std::uint64_t pause_of(const simulated_stream& stream) {
  bool pauses = stream.rearmed && *stream.rearmed > 0 && *stream.rearmed < stream.frames;
  return pauses ? *stream.rearmed * stream.every : std::numeric_limits<std::uint64_t>::max();
}

/// Cuts a scan into parts and gives the same name to equal ones.
class cutter {
 public:
  explicit cutter(std::span<const simulated_stream> streams) : streams_(streams) {
    for (auto& stream : streams) end_ = std::max(end_, end_of(stream));
    std::vector<std::uint64_t> periods;
    for (auto& stream : streams) periods.push_back(stream.every);
    std::sort(periods.begin(), periods.end());
    for (auto period : periods)
      if (period <= part_limit && std::lcm(period_, period) <= part_limit)
        period_ = std::lcm(period_, period);
  }

  std::string body() {
    auto sequence = nlohmann::json::array();
    std::uint64_t event = 0;
    do {
      for (auto& name : pauses_before(event)) sequence.push_back(name);
      auto next = next_cut(event);
      sequence.push_back(part(event, next));
      event = next;
    } while (event < end_);
    return nlohmann::json{{"parts", std::move(parts_)}, {"sequence", std::move(sequence)}}.dump();
  }

 private:
  /// Parts are aligned to the period of the fast streams; each frame of a slow stream begins
  /// another one, and so does the end of a stream. Between cuts, events are alike from part to
  /// part.
  std::uint64_t next_cut(std::uint64_t event) const {
    auto aligned = part_limit / period_ * period_;
    auto next = std::min(end_, event / aligned * aligned + aligned);
    for (auto& stream : streams_) {
      auto end = end_of(stream);
      if (event < end) next = std::min(next, end);
      if (auto pause = pause_of(stream); event < pause) next = std::min(next, pause);
      if (period_ % stream.every != 0 && event < end)
        next = std::min(next, event / stream.every * stream.every + stream.every);
    }
    return next;
  }

  /// Parts of an end and a start each, which everybody must see.
  std::vector<std::string> pauses_before(std::uint64_t event) {
    std::vector<std::string> names;
    for (auto& stream : streams_) {
      if (pause_of(stream) != event) continue;
      auto everybody = nlohmann::json::array({{{"constraint", nullptr}}});
      names.push_back("rearm_" + stream.name);
      parts_[names.back()] = {{stream.name, nlohmann::json::array({everybody, everybody})}};
    }
    return names;
  }

  std::string part(std::uint64_t begin, std::uint64_t end) {
    // What the events between two cuts look like depends on these alone. The first part is kept
    // apart, as it names all streams.
    std::vector<std::uint64_t> look = {begin == 0, begin % period_, end - begin};
    for (auto& stream : streams_) {
      look.push_back(begin < end_of(stream));
      look.push_back(has_frame(stream, begin));
    }
    auto [known, fresh] = names_.try_emplace(look, "p" + std::to_string(names_.size()));
    if (fresh) parts_[known->second] = slots(begin, end);
    return known->second;
  }

  nlohmann::json slots(std::uint64_t begin, std::uint64_t end) const {
    auto part = nlohmann::json::object();
    for (auto& stream : streams_) {
      auto column = nlohmann::json::array();
      bool any = false;
      for (auto event = begin; event < end; ++event) {
        any |= has_frame(stream, event);
        column.push_back(has_frame(stream, event) ? slot(event - begin) : nlohmann::json());
      }
      // A stream that a part does not name has no frame there; one has to be named for its length.
      if (any || begin == 0 || part.empty()) part[stream.name] = std::move(column);
    }
    return part;
  }

  static nlohmann::json slot(std::uint64_t constraint) {
    return nlohmann::json::array({{{"constraint", constraint}}});
  }

  std::span<const simulated_stream> streams_;
  std::uint64_t end_ = 0;
  std::uint64_t period_ = 1; ///< of the fast streams together, at most `part_limit`
  std::map<std::vector<std::uint64_t>, std::string> names_;
  nlohmann::json parts_ = nlohmann::json::object();
};

} // namespace

std::string fitting_map(std::span<const simulated_stream> streams) {
  std::vector<simulated_stream> sound(streams.begin(), streams.end());
  for (auto& stream : sound) stream.every = std::max<std::uint64_t>(stream.every, 1);
  return cutter(sound).body();
}

} // namespace dtranspose
