#include "recording/replay_map.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace dtranspose {

namespace {

/// Events of one part: long enough that a part is used many times, short enough to be cheap.
constexpr std::uint64_t part_length = 1000;

using nlohmann::json;

/// Which events are given to workers at all, and which of them to all workers.
class slot_maker {
 public:
  slot_maker(const recording_index& index, const replay_choice* choice) : index_(index), choice_(choice) {}

  json part(std::uint64_t first, std::uint64_t end) const {
    json part = json::object();
    for (auto& stream : index_.streams) {
      auto slots = json::array();
      for (auto event = first; event < end; ++event) slots.push_back(slot(stream, event, event - first));
      part[stream.name] = std::move(slots);
    }
    return part;
  }

 private:
  json slot(const recorded_stream& stream, std::uint64_t event, std::uint64_t constraint) const {
    if (!stream.events.contains(event)) return nullptr;
    if (choice_ && !choice_->events.contains(event)) return json::array();
    if (is_for_everybody(event)) return json::array({json::object()});
    return json::array({{{"constraint", constraint}}});
  }

  bool is_for_everybody(std::uint64_t event) const {
    if (choice_) return choice_->for_everybody.contains(event);
    return event == 0 || event + 1 == index_.events;
  }

  const recording_index& index_;
  const replay_choice* choice_;
};

std::string map_of(const recording_index& index, const replay_choice* choice) {
  json parts = json::object(), sequence = json::array();
  std::map<std::string, std::string> names; // by text of the part
  const slot_maker slots(index, choice);
  auto add = [&](std::uint64_t first, std::uint64_t end) {
    auto part = slots.part(first, end);
    auto [i, is_new] = names.try_emplace(part.dump(), "part" + std::to_string(names.size()));
    if (is_new) parts[i->second] = std::move(part);
    sequence.push_back(i->second);
  };
  auto events = index.events;
  if (events > 0) add(0, 1);
  for (std::uint64_t first = 1; first + 1 < events; first += part_length)
    add(first, std::min(first + part_length, events - 1));
  if (events > 1) add(events - 1, events);
  return json{{"parts", std::move(parts)}, {"sequence", std::move(sequence)}}.dump();
}

} // namespace

std::string replay_map(const recording_index& index) { return map_of(index, nullptr); }

std::string replay_map(const recording_index& index, const replay_choice& choice) {
  return map_of(index, &choice);
}

} // namespace dtranspose
