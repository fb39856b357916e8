#include "stream_queue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dtranspose {

namespace {

/// Entries that are kept ahead of the first open one: a bound on what a gap of any size can cost.
constexpr std::uint64_t farthest = std::uint64_t{1} << 22;

std::string cause_of(const missing_run& m) {
  if (!m.number) return m.cause;
  if (m.count == 1) return fmt::format("number {}: {}", *m.number, m.cause);
  return fmt::format("numbers {} to {}: {}", *m.number, *m.number + m.count - 1, m.cause);
}

std::string fault_text(const stream_packet& packet) {
  auto what = packet.fault == packet_fault::corrupt ? "corrupt blob" : name_of(*packet.fault);
  if (packet.numbers.number) return fmt::format("number {}: {} message", *packet.numbers.number, what);
  return fmt::format("{} message", what);
}

} // namespace

void stream_queue::receive(const packet_batch& batch) {
  // A message may hold nothing of use, or many entries that count more than itself.
  std::uint64_t useful = 0;
  for (auto& packet : batch.packets)
    if (packet.data) useful += budgeted_bytes(packet.data.bytes());
  auto excess = useful - std::min(useful, batch.bytes);
  auto useless = batch.bytes - std::min(useful, batch.bytes);
  excess_bytes_ += excess;
  received_bytes_ += batch.bytes + excess;
  released_bytes_ += useless;
  assigned_bytes_ += useless;
  for (auto& packet : batch.packets) receive(packet);
}

void stream_queue::receive(const stream_packet& packet) {
  if (closed_) return drop(packet.data);
  if (packet.fault)
    take_fault(packet);
  else if (packet.numbers.event)
    take_recorded(packet);
  else
    take_numbered(packet);
}

void stream_queue::take_numbered(const stream_packet& packet) {
  scratch_.clear();
  auto decision = tracker_.take(packet.numbers, scratch_);
  place_released();
  give_up(scratch_);
  if (decision.place)
    place(*decision.place, packet.data, decision.replaces);
  else
    keep_or_drop(decision, {packet.data, {}});
}

/// A packet that is of no use, but whose place may be known: then its event is named at once.
void stream_queue::take_fault(const stream_packet& packet) {
  ++faults_[static_cast<std::size_t>(*packet.fault)];
  drop(packet.data);
  if (*packet.fault == packet_fault::interrupted) return tracker_.interrupt();
  if (!packet.numbered) return;
  scratch_.clear();
  auto decision = tracker_.take(packet.numbers, scratch_);
  place_released();
  give_up(scratch_);
  auto cause = fault_text(packet);
  if (decision.place)
    give_up(decision.place->value, 1, fate::incomplete, cause);
  else
    keep_or_drop(decision, {{}, cause});
}

void stream_queue::keep_or_drop(const number_tracker::decision& d, held_packet packet) {
  switch (d.hold) {
  case number_tracker::decision::keep::no:
    return drop(packet.data);
  case number_tracker::decision::keep::end:
    held_end_ = std::move(packet);
    return;
  case number_tracker::decision::keep::leap:
    held_leap_ = std::move(packet);
    return;
  case number_tracker::decision::keep::early:
    held_early_.push_back(std::move(packet));
  }
}

/// A recording knows the events of its packets; their positions are known once they are assigned.
void stream_queue::take_recorded(const stream_packet& packet) {
  recorded_.push_back(packet);
  resolve_recorded();
}

void stream_queue::resolve_recorded() {
  while (!recorded_.empty()) {
    auto event = event_number(*recorded_.front().numbers.event);
    if (assigned_entries_ < entries_ && (!last_assigned_ || event > *last_assigned_)) return;
    auto packet = std::move(recorded_.front());
    recorded_.pop_front();
    auto position = position_of(event);
    if (!position || *position < recorded_next_) {
      drop(packet.data);
      continue;
    }
    give_up(recorded_next_, *position - recorded_next_, fate::incomplete, "missing in the recording");
    recorded_next_ = *position + 1;
    place(stream_position(*position), packet.data, false);
  }
}

void stream_queue::place_released() {
  if (tracker_.dropped_leap() && held_leap_) {
    drop(held_leap_->data);
    held_leap_.reset();
  }
  auto place_if_held = [this](std::optional<stream_position> position, std::optional<held_packet>& held) {
    if (position && held) place_held(*position, *std::exchange(held, {}));
  };
  place_if_held(tracker_.released_leap(), held_leap_);
  for (auto& position : tracker_.released_early()) {
    auto packet = std::move(held_early_.front());
    held_early_.pop_front();
    position ? place_held(*position, packet) : drop(packet.data);
  }
  place_if_held(tracker_.released_end(), held_end_);
}

void stream_queue::place_held(stream_position position, const held_packet& packet) {
  if (packet.data)
    place(position, packet.data, false);
  else
    give_up(position.value, 1, fate::incomplete, packet.fault);
}

void stream_queue::place(stream_position position, const stream_data& data, bool replace) {
  if (position.value < base_) return drop(data);
  if (position.value - base_ > farthest) {
    drop(data);
    return give_up(position.value, 1, fate::incomplete, "too far ahead of what is assigned");
  }
  auto& c = at(position.value);
  if (c.what == state::present && replace && !c.sent)
    release(c);
  else if (c.what != state::waiting)
    return drop(data);
  c.data = data;
  c.received = now_;
  c.what = state::present;
  if (records_ && knows_events()) recordable_.emplace_back(known_event(position.value), data);
  note_decided(position.value, 1);
  send_if_assigned(position.value);
}

void stream_queue::give_up(const std::vector<missing_run>& missing) {
  for (auto& m : missing)
    give_up(m.first.value, m.count, m.lost ? fate::lost : fate::incomplete, cause_of(m));
}

void stream_queue::give_up(std::uint64_t first, std::uint64_t count, fate how, const std::string& cause) {
  if (count == 0) return;
  auto kept = std::make_shared<const std::string>(cause);
  auto end = first + count;
  note_decided(first, count);
  // What is not assigned yet waits as a range: there may be millions of it.
  if (end > assigned_entries_) given_up_.push_back({std::max(first, assigned_entries_), end, how, kept});
  for (auto p = std::max(first, base_); p < std::min(end, assigned_entries_); ++p) {
    if (p < base_) continue; // sending a discarded one may have trimmed beyond it
    auto& c = at(p);
    if (c.what != state::waiting) continue;
    c.what = state::missing;
    c.how = how;
    c.cause = kept;
    send_if_assigned(p);
  }
}

void stream_queue::note_decided(std::uint64_t first, std::uint64_t count) {
  if (!reports_decided_) return;
  count = std::min(count, entries_ - std::min(first, entries_));
  if (!decided_.empty() && decided_.back().first + decided_.back().count == first)
    decided_.back().count += count;
  else
    decided_.push_back({first, count});
}

stream_queue::cell& stream_queue::at(std::uint64_t position) {
  if (position - base_ >= cells_.size()) cells_.resize(position - base_ + 1);
  return cells_[position - base_];
}

void stream_queue::assign(const stream_run& run, dispatch_id dispatch) {
  auto first = assigned_entries_;
  runs_.push_back({first, run, dispatch});
  assigned_entries_ += run.events.count;
  last_assigned_ = run.events.last();
  for (auto target : run.targets)
    if (target >= outgoing_.size()) outgoing_.resize(target + std::size_t{1});
  auto stored_end = std::min(assigned_entries_, base_ + cells_.size());
  for (auto p = first; p < stored_end; ++p)
    if (p >= base_ && at(p).what != state::waiting) send(p, runs_.back());
  apply_given_up();
  if (closed_) give_up(first, run.events.count, fate::lost, close_cause_);
  resolve_recorded();
}

/// Turns what was given up before it was assigned into tombstones, as far as it is assigned now.
void stream_queue::apply_given_up() {
  auto later = std::stable_partition(given_up_.begin(), given_up_.end(),
                                     [this](auto& range) { return range.first < assigned_entries_; });
  std::vector<given_up_range> due(std::make_move_iterator(given_up_.begin()), std::make_move_iterator(later));
  given_up_.erase(given_up_.begin(), later);
  for (auto& range : due) give_up(range.first, range.end - range.first, range.how, *range.cause);
}

void stream_queue::send_if_assigned(std::uint64_t position) {
  if (auto run = run_of(position)) send(position, *run);
}

void stream_queue::send(std::uint64_t position, const placed_run& placed) {
  auto& c = at(position);
  if (c.sent) return;
  c.sent = true;
  ++sent_;
  if (c.data) assigned_bytes_ += budgeted_bytes(c.data.bytes());
  auto event = placed.run.events.at(static_cast<std::uint32_t>(position - placed.first));
  if (records_ && !knows_events() && c.what == state::present && !c.restored)
    recordable_.emplace_back(event, c.data);
  for (auto target : placed.run.targets) push(target, event, placed.dispatch, c);
  for (auto& r : repeats_)
    if (r.events.contains(event)) push(r.target, event, r.dispatch, c);
  if (placed.run.targets.empty() && !placed.run.keep) {
    if (c.what == state::present) ++discarded_;
    release(c);
    c.what = state::released;
    trim();
  }
}

void stream_queue::push(process_index target, event_number event, dispatch_id dispatch, const cell& c) {
  if (target >= outgoing_.size()) outgoing_.resize(target + std::size_t{1});
  auto& out = outgoing_[target];
  if (out.empty()) ready_.push_back(target);
  auto& entry = out.emplace_back(outgoing_entry{event, dispatch, c.data, {}, 0});
  if (c.what == state::missing) entry.missing = missing_data{c.how, *c.cause};
}

void stream_queue::resume(stream_position position, const arm_place& place) {
  tracker_.resume(position, place);
  base_ = assigned_entries_ = sent_ = std::min(position.value, entries_);
}

void stream_queue::know_events(const std::vector<event_run>& runs) {
  known_.clear();
  std::uint64_t first = 0;
  for (auto& run : runs) {
    known_.emplace_back(first, run);
    first += run.count;
  }
  if (first != entries_) known_.clear();
}

event_number stream_queue::known_event(std::uint64_t position) const {
  auto i = std::upper_bound(known_.begin(), known_.end(), position,
                            [](std::uint64_t p, auto& k) { return p < k.first; });
  auto& [first, run] = *std::prev(i);
  return run.at(static_cast<std::uint32_t>(position - first));
}

std::optional<std::uint64_t> stream_queue::known_position(event_number event) const {
  auto i = std::upper_bound(known_.begin(), known_.end(), event,
                            [](event_number e, auto& k) { return e < k.second.first; });
  if (i == known_.begin()) return std::nullopt;
  auto& [first, run] = *std::prev(i);
  if (!run.contains(event)) return std::nullopt;
  return first + (event - run.first) / run.stride;
}

void stream_queue::restore(event_number event, const stream_data& data) {
  auto position = knows_events() ? known_position(event) : position_of(event);
  if (!position || *position < base_ || *position - base_ > farthest) return;
  if (at(*position).what != state::waiting) return;
  auto bytes = budgeted_bytes(data.bytes());
  received_bytes_ += bytes;
  excess_bytes_ += bytes;
  tracker_.note_placed(stream_position(*position));
  at(*position).restored = true;
  place(stream_position(*position), data, false);
}

void stream_queue::repeat(const repeat_run& run) {
  for (std::uint32_t i = 0; i < run.events.count; ++i) {
    auto event = run.events.at(i);
    auto position = position_of(event);
    if (!position || *position < base_ || at(*position).what == state::released)
      send_context(event, run);
    else if (auto& c = at(*position); c.what != state::waiting)
      push(run.target, event, run.dispatch, c);
  }
  repeats_.push_back(run);
}

/// Of an event that is over: what was kept for late comers, or why there is nothing.
void stream_queue::send_context(event_number event, const repeat_run& run) {
  cell c;
  if (auto i = context_.find(event); i != context_.end()) {
    c.data = i->second;
    c.what = state::present;
  } else {
    c.what = state::missing;
    c.how = fate::lost;
    c.cause = std::make_shared<const std::string>("its frames are gone");
  }
  push(run.target, event, run.dispatch, c);
}

void stream_queue::send_again(process_index process) {
  if (process < outgoing_.size()) outgoing_[process].clear();
  std::erase(ready_, process);
  for (auto& placed : runs_) {
    if (std::find(placed.run.targets.begin(), placed.run.targets.end(), process) == placed.run.targets.end())
      continue;
    auto end = std::min(placed.end(), base_ + cells_.size());
    for (auto p = std::max(placed.first, base_); p < end; ++p)
      if (auto& c = at(p); c.sent && c.what != state::released)
        push(process, placed.run.events.at(static_cast<std::uint32_t>(p - placed.first)), placed.dispatch, c);
  }
  for (auto run : repeats_) {
    if (run.target != process) continue;
    for (std::uint32_t i = 0; i < run.events.count; ++i) {
      auto position = position_of(run.events.at(i));
      if (!position || *position < base_ || at(*position).what == state::released)
        send_context(run.events.at(i), run);
      else if (auto& c = at(*position); c.sent)
        push(process, run.events.at(i), run.dispatch, c);
    }
  }
}

void stream_queue::drop_process(process_index process) {
  if (process < outgoing_.size()) outgoing_[process].clear();
  std::erase(ready_, process);
  std::erase_if(repeats_, [&](auto& r) { return r.target == process; });
  for (auto& placed : runs_)
    if (std::erase(placed.run.targets, process) > 0) placed.run.keep = true;
}

void stream_queue::keep_context(event_number event, cell& c) {
  if (!c.data) return;
  auto bytes = budgeted_bytes(c.data.bytes());
  if (!context_.empty() && context_bytes_ + bytes > limits_.context) return;
  if (context_.emplace(event, c.data).second) context_bytes_ += bytes;
}

const stream_queue::placed_run* stream_queue::run_of(std::uint64_t position) {
  if (position >= assigned_entries_ || runs_.empty() || position < runs_.front().first) return nullptr;
  // Entries come in rising order but for the late ones, so the run is nearly always this or the next.
  for (auto i = last_run_; i < runs_.size() && i < last_run_ + 2; ++i)
    if (position >= runs_[i].first && position < runs_[i].end()) return &runs_[last_run_ = i];
  auto i = std::upper_bound(runs_.begin(), runs_.end(), position,
                            [](std::uint64_t p, auto& r) { return p < r.first; });
  last_run_ = static_cast<std::size_t>(i - runs_.begin()) - 1;
  return &runs_[last_run_];
}

std::uint64_t stream_queue::lower_position(event_number event) const {
  auto i =
      std::partition_point(runs_.begin(), runs_.end(), [&](auto& r) { return r.run.events.last() < event; });
  if (i == runs_.end()) return assigned_entries_;
  if (event <= i->run.events.first) return i->first;
  auto distance = event - i->run.events.first;
  return i->first + (distance + i->run.events.stride - 1) / i->run.events.stride;
}

std::optional<std::uint64_t> stream_queue::position_of(event_number event) const {
  auto position = lower_position(event);
  if (position == assigned_entries_ || lower_position(event + 1) == position) return std::nullopt;
  return position;
}

void stream_queue::forget(event_range events) {
  auto first = std::max(lower_position(events.first), base_), end = lower_position(events.end);
  for (auto p = first; p < end; ++p) {
    auto& c = at(p);
    auto run = run_of(p);
    auto event = run ? run->run.events.at(static_cast<std::uint32_t>(p - run->first)) : event_number();
    if (run && run->run.for_everyone) keep_context(event, c);
    if (c.what == state::present && c.received > 0) latencies_.add(now_ - c.received);
    release(c);
    if (!c.sent) {
      ++sent_;
      over_unsent_.push_back(event);
    }
    c.sent = true;
    c.what = state::released;
  }
  trim();
  // Somebody may wait to look at what will not come any more.
  for (auto event : std::exchange(over_unsent_, {}))
    for (auto& r : repeats_)
      if (r.to_look_at && r.events.contains(event)) send_context(event, r);
  std::erase_if(repeats_, [&](auto& r) {
    // What somebody looks at is over anyway, and may have to be sent again all the same.
    return !r.to_look_at && r.events.last() < events.end &&
           (r.events.first >= events.first || over_before(r.events.last()));
  });
}

/// Is every entry up to that event's over?
bool stream_queue::over_before(event_number event) const { return lower_position(event + 1) <= base_; }

void stream_queue::release(cell& c) {
  if (!c.data) return;
  released_bytes_ += budgeted_bytes(c.data.bytes());
  if (!c.sent) assigned_bytes_ += budgeted_bytes(c.data.bytes());
  c.data.reset();
}

void stream_queue::drop(const stream_data& data) {
  if (!data) return;
  released_bytes_ += budgeted_bytes(data.bytes());
  assigned_bytes_ += budgeted_bytes(data.bytes());
}

void stream_queue::trim() {
  while (!cells_.empty() && cells_.front().what == state::released && cells_.front().sent) {
    cells_.pop_front();
    ++base_;
  }
  while (!runs_.empty() && runs_.front().end() <= base_) {
    runs_.pop_front();
    if (last_run_ > 0) --last_run_;
  }
}

void stream_queue::settle() {
  if (!tracker_.unsettled()) return;
  scratch_.clear();
  tracker_.settle(scratch_);
  place_released();
  give_up(scratch_);
}

void stream_queue::close(const std::string& cause) {
  closed_ = true;
  close_cause_ = cause;
  for (auto& packet : recorded_) drop(packet.data);
  recorded_.clear();
  for (auto held : {&held_end_, &held_leap_})
    if (auto packet = std::exchange(*held, {})) drop(packet->data);
  for (auto& packet : std::exchange(held_early_, {})) drop(packet.data);
  give_up(base_, assigned_entries_ - std::min(base_, assigned_entries_), fate::lost, cause);
}

std::uint64_t stream_queue::allowance() const {
  auto ahead = limits_.read_ahead - std::min(limits_.read_ahead, noted_bytes());
  auto allowed = std::min(released_bytes_ + limits_.retain, assigned_bytes_ + ahead);
  return allowed - std::min(allowed, excess_bytes_);
}

bool stream_queue::may_exceed() const {
  if (tracker_.has_gap()) return true;
  if (noted_bytes() >= limits_.read_ahead && !given_up_.empty()) return false;
  auto nothing_held = received_bytes_ == released_bytes_;
  auto nothing_unassigned = received_bytes_ == assigned_bytes_;
  return nothing_held || (nothing_unassigned && received_bytes_ < released_bytes_ + limits_.retain);
}

std::optional<event_number> stream_queue::waiting_for() const {
  for (auto& placed : runs_)
    for (auto p = std::max(placed.first, base_); p < placed.end(); ++p)
      if (p - base_ >= cells_.size() || cells_[p - base_].what == state::waiting)
        return placed.run.events.at(static_cast<std::uint32_t>(p - placed.first));
  return std::nullopt;
}

} // namespace dtranspose
