#include "workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace dtranspose {

namespace {

constexpr std::uint64_t longest_period = 1'000'000;
constexpr double evened_out = 1000; ///< events

/// The virtual worker with that constraint, or a new one.
planned_visit& visit_with(std::vector<planned_visit>& visits, std::uint64_t constraint, bool everyone) {
  for (auto& v : visits)
    if (v.constraint == constraint && v.everyone == everyone) return v;
  return visits.emplace_back(planned_visit{0, constraint, everyone});
}

/// Calls `f` with each virtual worker of a slot and the number of its constraint.
template <class F>
void for_each_worker(const trigger_map& map, const map_part& part, map_slot slot, F&& f) {
  auto& shape = map.shapes()[slot.shape];
  auto bound = std::count_if(shape.begin(), shape.end(), [](auto& w) { return !w.everyone; });
  std::uint32_t k = 0;
  for (auto& worker : shape) {
    auto number = worker.everyone ? 0 : bound > 1 ? part.more[slot.constraints + k++] : slot.constraints;
    f(worker, number);
  }
}

} // namespace

workload::workload(const plan_setup& setup) : setup_(setup) {
  if (!setup.map) {
    for (auto& s : setup.streams) {
      period_ = std::lcm(period_, std::uint64_t{s.every});
      if (period_ > longest_period)
        throw plan_error(
            fmt::format("[[plan.stream]] every: these numbers fall together only after more than "
                        "{} events; choose some that have common factors",
                        longest_period));
    }
    return;
  }
  for (auto& name : setup.map->streams()) {
    auto i =
        std::find_if(setup.streams.begin(), setup.streams.end(), [&](auto& s) { return s.name == name; });
    if (i == setup.streams.end())
      throw plan_error(
          fmt::format("[plan] map: its stream '{}' is not in the plan; add a [[plan.stream]]", name));
    stream_of_.push_back(static_cast<std::size_t>(i - setup.streams.begin()));
  }
  period_ = 0;
  for (auto index : setup.map->sequence()) ends_.push_back(period_ += setup.map->parts()[index].length);
  if (period_ == 0) throw plan_error("[plan] map: it has no events");
}

workload::place workload::place_of(std::uint64_t event) const {
  auto within = event % period_;
  auto i = std::upper_bound(ends_.begin(), ends_.end(), within);
  auto index = static_cast<std::size_t>(i - ends_.begin());
  return {event / period_ * ends_.size() + index, &setup_.map->parts()[setup_.map->sequence()[index]],
          within - (index == 0 ? 0 : ends_[index - 1])};
}

stream_mask workload::frames_of(std::uint64_t event) const {
  stream_mask mask = 0;
  if (!setup_.map) {
    for (std::size_t s = 0; s < setup_.streams.size(); ++s)
      if (event % setup_.streams[s].every == 0) mask |= stream_mask{1} << s;
    return mask;
  }
  auto at = place_of(event);
  for (auto& row : at.part->rows)
    if (row.slots[at.event].shape != trigger_map::no_frame)
      mask |= stream_mask{1} << stream_of_[row.stream.value];
  return mask;
}

void workload::visits_of(std::uint64_t event, std::vector<planned_visit>& visits) const {
  visits.clear();
  if (setup_.map) return visits_of_map(event, visits);
  for (std::size_t s = 0; s < setup_.streams.size(); ++s) {
    if (event % setup_.streams[s].every != 0) continue;
    visits.resize(std::max<std::size_t>(visits.size(), setup_.streams[s].workers));
    for (std::uint32_t k = 0; k < setup_.streams[s].workers; ++k) visits[k].streams |= stream_mask{1} << s;
  }
  if (setup_.constraints == 0) return;
  for (std::size_t k = 0; k < visits.size(); ++k)
    visits[k].constraint = event % setup_.constraints + (std::uint64_t{k} << 32);
}

void workload::visits_of_map(std::uint64_t event, std::vector<planned_visit>& visits) const {
  auto at = place_of(event);
  for (auto& row : at.part->rows)
    for_each_worker(*setup_.map, *at.part, row.slots[at.event], [&](auto& worker, std::uint32_t number) {
      auto constraint = worker.everyone ? planned_visit::nobody_else : (at.instance << 32 | number);
      visit_with(visits, constraint, worker.everyone).streams |= stream_mask{1}
                                                                 << stream_of_[row.stream.value];
    });
}

mean_load workload::mean() const {
  mean_load sum;
  auto streams = setup_.streams.size();
  sum.frames.resize(streams);
  sum.copies.resize(streams);
  sum.broadcasts.resize(streams);
  auto add = [&](std::vector<double>& to, stream_mask mask) {
    for (std::size_t s = 0; s < streams; ++s)
      if (mask >> s & 1) to[s] += 1 / double(period_);
  };
  std::vector<planned_visit> visits;
  for (std::uint64_t e = 0; e < period_; ++e) {
    add(sum.frames, frames_of(e));
    visits_of(e, visits);
    std::uint32_t single = 0;
    for (auto& v : visits) {
      add(v.everyone ? sum.broadcasts : sum.copies, v.streams);
      (v.everyone ? sum.visits_of_everyone : sum.visits) += 1 / double(period_);
      if (!v.everyone) ++single;
    }
    sum.min_workers = std::max(sum.min_workers, single);
  }
  sum.busiest = setup_.map ? busiest_of_map() : setup_.constraints == 0 ? 0 : 1.0 / setup_.constraints;
  return sum;
}

double workload::busiest_of_map() const {
  double busiest = 0;
  for (auto& part : setup_.map->parts()) {
    std::vector<std::uint64_t> events(part.constraints.size()),
        last(part.constraints.size(), ~std::uint64_t{0});
    for (std::uint64_t e = 0; e < part.length; ++e)
      for (auto& row : part.rows)
        for_each_worker(*setup_.map, part, row.slots[e], [&](auto& worker, std::uint32_t number) {
          if (worker.everyone || last[number] == e) return;
          last[number] = e;
          ++events[number];
        });
    auto length = std::max(double(part.length), std::min(evened_out, double(period_)));
    for (auto n : events) busiest = std::max(busiest, double(n) / length);
  }
  return busiest;
}

} // namespace dtranspose
