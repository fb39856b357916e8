#include "fate_map.hpp"

#include <algorithm>

namespace dtranspose {

namespace {

/// Runs whose events touch are intervals, others single events.
template <class F>
void for_each_interval(const event_run& run, F&& f) {
  if (run.count == 0) return;
  if (run.stride == 1 || run.count == 1) return f(run.first.value, run.last().value + 1);
  for (std::uint32_t i = 0; i < run.count; ++i) f(run.at(i).value, run.at(i).value + 1);
}

} // namespace

bool fate_map::overlaps(const interval_map& map, std::uint64_t first, std::uint64_t end) {
  auto i = map.lower_bound(end);
  return i != map.begin() && std::prev(i)->second.end > first;
}

bool fate_map::overlaps(const slot_run& run) const {
  bool found = false;
  auto end = std::min(by_slot_.size(), std::size_t{run.first_slot.value} + run.slots);
  for (std::size_t s = run.first_slot.value; s < end && !found; ++s)
    for_each_interval(run.events,
                      [&](auto first, auto last) { found = found || overlaps(by_slot_[s], first, last); });
  return found;
}

void fate_map::insert(interval_map& map, std::uint64_t first, interval added) {
  auto behind = map.lower_bound(first);
  if (behind != map.begin()) {
    auto before = std::prev(behind);
    if (before->second.end == first && before->second.is_like(added)) {
      first = before->first;
      map.erase(before);
    }
  }
  if (behind != map.end() && behind->first == added.end && behind->second.is_like(added)) {
    added.end = behind->second.end;
    behind = map.erase(behind);
  }
  map.emplace_hint(behind, first, added);
}

void fate_map::insert(const slot_run& run, fate how, const std::string& cause) {
  auto place = cause.empty() ? 0 : cause_index(cause);
  auto end = std::size_t{run.first_slot.value} + run.slots;
  if (run.events.count > 0) by_slot_.resize(std::max(by_slot_.size(), end));
  for (std::size_t s = run.first_slot.value; s < end; ++s)
    for_each_interval(run.events, [&](auto first, auto last) {
      insert(by_slot_[s], first, {last, place, how});
    });
}

std::uint32_t fate_map::cause_index(const std::string& cause) {
  auto [i, is_new] = cause_places_.try_emplace(cause, static_cast<std::uint32_t>(causes_.size()));
  if (is_new) causes_.push_back(cause);
  return i->second;
}

std::vector<ended_slots> fate_map::all() const {
  constexpr std::uint64_t longest = ~std::uint32_t{0};
  std::vector<ended_slots> list;
  for (std::size_t s = 0; s < by_slot_.size(); ++s)
    for (auto& [begin, content] : by_slot_[s])
      for (auto first = begin; first < content.end; first += longest) {
        auto count = static_cast<std::uint32_t>(std::min(content.end - first, longest));
        slot_run run{{event_number(first), count, 1}, slot_index(static_cast<std::uint16_t>(s)), 1};
        list.push_back({run, content.how, causes_[content.cause]});
      }
  return list;
}

} // namespace dtranspose
