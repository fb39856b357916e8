#include "recording/replay_map.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace dtranspose {

namespace {

/// Events of one part: long enough that a part is used many times, short enough to be cheap.
constexpr std::uint64_t part_length = 1000;

using nlohmann::json;

json part_of(const recording_index& index, std::uint64_t first, std::uint64_t end, bool to_everybody) {
  json part = json::object();
  for (auto& stream : index.streams) {
    auto slots = json::array();
    for (auto event = first; event < end; ++event) {
      if (!stream.events.contains(event))
        slots.push_back(nullptr);
      else if (to_everybody)
        slots.push_back(json::array({json::object()}));
      else
        slots.push_back(json::array({{{"constraint", event - first}}}));
    }
    part[stream.name] = std::move(slots);
  }
  return part;
}

} // namespace

std::string replay_map(const recording_index& index) {
  json parts = json::object(), sequence = json::array();
  std::map<std::string, std::string> names; // by text of the part
  auto add = [&](std::uint64_t first, std::uint64_t end, bool to_everybody) {
    auto part = part_of(index, first, end, to_everybody);
    auto [i, is_new] = names.try_emplace(part.dump(), "part" + std::to_string(names.size()));
    if (is_new) parts[i->second] = std::move(part);
    sequence.push_back(i->second);
  };
  auto events = index.events;
  if (events > 0) add(0, 1, true);
  for (std::uint64_t first = 1; first + 1 < events; first += part_length)
    add(first, std::min(first + part_length, events - 1), false);
  if (events > 1) add(events - 1, events, true);
  return json{{"parts", std::move(parts)}, {"sequence", std::move(sequence)}}.dump();
}

} // namespace dtranspose
