#include "event_joiner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace dtranspose {

std::uint32_t event_joiner::node_of(event_number event, dispatch_id dispatch) {
  auto [i, is_new] = index_.try_emplace(key{event.value, dispatch.value}, 0);
  if (!is_new) return i->second;
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(nodes_.size()));
    nodes_.emplace_back().data.resize(names_.size());
  }
  i->second = free_.back();
  free_.pop_back();
  nodes_[i->second].number = event;
  nodes_[i->second].dispatch = dispatch;
  return i->second;
}

void event_joiner::free_node(std::uint32_t place) {
  auto& n = nodes_[place];
  index_.erase(key{n.number.value, n.dispatch.value});
  for (auto rest = n.arrived & ~n.missing; rest != 0; rest &= rest - 1) {
    auto& data = n.data[static_cast<std::size_t>(std::countr_zero(rest))];
    if (data) open_bytes_ -= data.bytes();
    data.reset();
  }
  n.arrived = n.missing = 0;
  n.targets.clear();
  n.reasons.clear();
  free_.push_back(place);
}

void event_joiner::expect(std::size_t worker, const worker_run& run, dispatch_id dispatch) {
  last_expected_ = std::max(last_expected_, dispatch);
  for (std::uint32_t i = 0; i < run.events.count; ++i) {
    auto place = node_of(run.events.at(i), dispatch);
    auto& n = nodes_[place];
    n.targets.push_back(
        {static_cast<std::uint32_t>(worker), run.first_slot, run.slots, run.streams, dispatch});
    ++n.open_targets;
    queues_[worker].nodes.push_back(place);
  }
  sort_queue(worker, run.events.count);
}

/// What was moved here goes before what lies behind it in the scan: an event that waits for an instrument
/// must not hold up those whose frames fill the budgets.
void event_joiner::sort_queue(std::size_t worker, std::size_t added) {
  auto& nodes = queues_[worker].nodes;
  auto middle = nodes.end() - static_cast<std::ptrdiff_t>(added);
  if (added == 0 || middle == nodes.begin()) return;
  auto before = [this](auto a, auto b) { return nodes_[a].number < nodes_[b].number; };
  if (before(*middle, *std::prev(middle))) std::inplace_merge(nodes.begin(), middle, nodes.end(), before);
}

void event_joiner::match() {
  for (std::size_t w = 0; w < queues_.size(); ++w) drain(w);
}

void event_joiner::add(stream_index stream, const outgoing_entry& entry) {
  if (entry.dispatch <= last_expected_ && !index_.contains(key{entry.event.value, entry.dispatch.value}))
    return;
  auto place = node_of(entry.event, entry.dispatch);
  auto& n = nodes_[place];
  if (n.arrived & bit(stream)) return;
  n.arrived |= bit(stream);
  if (entry.missing) {
    n.missing |= bit(stream);
    auto at =
        std::partition_point(n.reasons.begin(), n.reasons.end(), [&](auto& r) { return r.first < stream; });
    n.reasons.insert(at, {stream, *entry.missing});
  } else {
    n.data[stream.value] = entry.data;
    open_bytes_ += entry.data.bytes();
  }
  // Draining may free the node, so its workers are looked at by place.
  for (std::size_t t = 0; t < nodes_[place].targets.size(); ++t) {
    auto worker = nodes_[place].targets[t].worker;
    auto& nodes = queues_[worker].nodes;
    if (!nodes.empty() && nodes.front() == place) drain(worker);
  }
}

/// Hands over, in order, every event at the head of the worker's queue that has all its streams.
void event_joiner::drain(std::size_t worker) {
  auto& nodes = queues_[worker].nodes;
  while (!nodes.empty()) {
    auto place = nodes.front();
    auto& n = nodes_[place];
    auto t = std::find_if(n.targets.begin(), n.targets.end(),
                          [&](auto& x) { return x.worker == worker && !x.done; });
    if ((n.arrived & t->streams) != t->streams) return;
    bool in_part = n.missing & t->streams;
    bool to_look_at = t->slots == 0;
    if (in_part && !to_look_at) note(deliver_incomplete_ ? in_part_ : given_up_, n, *t);
    if (in_part && (to_look_at || !deliver_incomplete_))
      ++queues_[worker].given_up;
    else
      hand_over(worker, n, *t);
    t->done = true;
    nodes.pop_front();
    if (--n.open_targets == 0) free_node(place);
  }
}

void event_joiner::hand_over(std::size_t worker, node& n, const target& t) {
  auto& batch = batches_[worker];
  auto first = static_cast<std::uint32_t>(batch.entries.size());
  for (auto rest = t.streams & ~n.missing; rest != 0; rest &= rest - 1) {
    auto stream = static_cast<std::uint16_t>(std::countr_zero(rest));
    auto& data = n.data[stream];
    if (n.open_targets > 1) {
      batch.entries.push_back({stream_index(stream), data});
    } else {
      open_bytes_ -= data.bytes();
      batch.entries.push_back({stream_index(stream), std::move(data)});
    }
  }
  auto entries = static_cast<std::uint32_t>(batch.entries.size()) - first;
  batch.events.push_back(
      {n.number, t.first_slot, t.slots, t.dispatch, first, entries, t.streams & n.missing});
}

/// Appends an event's slots, with the reason, to the last of the list where they go on alike.
void event_joiner::note(std::vector<unmappable>& list, const node& n, const target& t) const {
  auto why = reason_for(n, t.streams);
  if (!list.empty()) {
    auto& last = list.back();
    if (last.worker.value == t.worker && last.how == why.how && last.cause == why.cause &&
        last.slots.extend(n.number, t.first_slot, t.slots))
      return;
  }
  list.push_back(
      {{{n.number, 1, 1}, t.first_slot, t.slots}, why.how, std::move(why.cause), worker_index(t.worker)});
}

/// Why a worker that would get these streams cannot: the worst of them, all named.
missing_data event_joiner::reason_for(const node& n, stream_mask streams) const {
  missing_data why;
  for (auto& [stream, reason] : n.reasons) {
    if (!(streams & bit(stream))) continue;
    why.how = std::max(why.how, reason.how);
    why.cause +=
        fmt::format("{}stream '{}': {}", why.cause.empty() ? "" : "; ", names_[stream.value], reason.cause);
  }
  return why;
}

} // namespace dtranspose
