#include "assigner.hpp"

#include <algorithm>

namespace dtranspose {

namespace {

/// Calls `f(virtual worker, constraint)` for every virtual worker of a slot; the constraint counts only
/// for those that have one. Stops when `f` returns false, and says so.
template <class F>
bool for_each_virtual_worker(const trigger_map& map, const map_part& part, map_slot slot, bool several,
                             F&& f) {
  std::uint32_t k = 0;
  for (auto& vw : map.shapes()[slot.shape]) {
    auto constraint = vw.everyone ? 0 : several ? part.more[slot.constraints + k++] : slot.constraints;
    if (!f(vw, constraint)) return false;
  }
  return true;
}

} // namespace

assigner::assigner(std::shared_ptr<const trigger_map> map, std::uint32_t longest_run)
    : map_(std::move(map)), longest_run_(longest_run), pools_(map_->tag_sets().size()) {
  for (auto& shape : map_->shapes())
    several_.push_back(std::count_if(shape.begin(), shape.end(), [](auto& v) { return !v.everyone; }) > 1);
  for (auto part : map_->sequence()) {
    auto& uses = map_->parts()[part].first_uses;
    for (std::size_t t = 0; t < uses.size(); ++t) pools_[t].to_bind += uses[t];
  }
  enter_part();
}

worker_index assigner::add_worker(tag_set tags, bool admitted) {
  auto index = worker_index(static_cast<std::uint32_t>(workers_.size()));
  workers_.push_back({std::move(tags)});
  if (admitted) admit(index);
  return index;
}

void assigner::admit(worker_index worker) {
  for (std::size_t t = 0; t < pools_.size(); ++t)
    if (fits(map_->tag_sets()[t], workers_[worker.value].tags)) {
      pools_[t].members.push_back(worker.value);
      pools_[t].had_members = true;
    }
}

void assigner::grant(worker_index worker, std::uint64_t events) {
  auto& granted = workers_[worker.value].granted;
  granted = std::max(granted, events);
}

/// Goes to the next part instance that has events, with nothing bound in it.
void assigner::enter_part() {
  in_part_ = 0;
  auto& sequence = map_->sequence();
  while (instance_ < sequence.size() && map_->parts()[sequence[instance_]].length == 0) ++instance_;
  if (instance_ == sequence.size()) return;
  auto constraints = map_->parts()[sequence[instance_]].constraints.size();
  bindings_.assign(constraints, unbound);
  slot_stamps_.assign(constraints, 0);
}

void assigner::note_processed(worker_index worker, std::uint64_t events) {
  workers_[worker.value].processed = events;
}

void assigner::retire(worker_index worker) {
  workers_[worker.value].gone = true;
  for (auto& pool : pools_) {
    std::erase(pool.members, worker.value);
    if (pool.turn == worker.value) pool.turn = unbound;
  }
}

void assigner::rebind(worker_index from, std::optional<worker_index> to) {
  for (auto& binding : bindings_)
    if (binding == from.value) binding = to ? to->value : unbound;
}

void assigner::replay(const std::vector<binding_run>& choices) {
  replaying_ = true;
  replayed_.insert(replayed_.end(), choices.begin(), choices.end());
}

std::uint32_t assigner::replayed_choice() {
  if (replayed_.empty()) return unbound;
  auto& front = replayed_.front();
  auto worker = front.worker.value;
  if (--front.count == 0) replayed_.pop_front();
  return worker;
}

void assigner::note_choice(std::uint32_t worker) {
  if (!choices_.empty() && choices_.back().worker.value == worker)
    ++choices_.back().count;
  else
    choices_.push_back({worker_index(worker), 1});
}

bool assigner::next(bound_event& out) {
  waits_for_.reset();
  lacking_.reset();
  if (done()) return false;
  auto& part = map_->parts()[map_->sequence()[instance_]];
  // Bindings made here stay when credit is missing further on: the event is tried again with them.
  if (!bind_constraints(part) || !everyone_has_credit(part)) return false;
  collect(part, out);
  for (auto& target : out.targets) ++workers_[target.worker.value].given;
  ++next_event_;
  if (++in_part_ == part.length) {
    ++instance_;
    enter_part();
  }
  return true;
}

bool assigner::bind_constraints(const map_part& part) {
  for (auto& row : part.rows) {
    auto slot = row.slots[in_part_];
    bool all_bound = for_each_virtual_worker(
        *map_, part, slot, several_[slot.shape], [this](auto& vw, std::uint32_t constraint) {
          return vw.everyone || (bindings_[constraint] != unbound
                                     ? may_give(bindings_[constraint]) ||
                                           (waits_for_ = worker_index(bindings_[constraint]), false)
                                     : bind(constraint, vw.tags));
        });
    if (!all_bound) return false;
  }
  return true;
}

bool assigner::everyone_has_credit(const map_part& part) {
  for (auto& row : part.rows) {
    auto slot = row.slots[in_part_];
    bool ready =
        for_each_virtual_worker(*map_, part, slot, several_[slot.shape], [this](auto& vw, std::uint32_t) {
          if (!vw.everyone) return true;
          auto& members = pools_[vw.tags].members;
          if (members.empty() && pools_[vw.tags].had_members) {
            lacking_ = vw.tags;
            return false;
          }
          for (auto member : members)
            if (!may_give(member)) {
              waits_for_ = worker_index(member);
              return false;
            }
          return true;
        });
    if (!ready) return false;
  }
  return true;
}

bool assigner::bind(std::uint32_t constraint, std::uint32_t tags) {
  auto worker = replaying_ ? replayed_choice() : take_turn(pools_[tags]);
  if (worker == unbound) {
    if (pools_[tags].members.empty()) lacking_ = tags;
    return false;
  }
  note_choice(worker);
  if (pools_[tags].to_bind > 0) --pools_[tags].to_bind;
  bindings_[constraint] = worker;
  return true;
}

/// The worker whose turn it is; when its run is over or its credit spent, the one with the least in hand,
/// then the one that had least so far, so that equal workers alternate.
std::uint32_t assigner::take_turn(pool& p) {
  if (p.turn != unbound && p.left > 0 && workers_[p.turn].has_credit()) {
    --p.left;
    return p.turn;
  }
  auto best = unbound;
  for (auto member : p.members) {
    auto& candidate = workers_[member];
    if (!candidate.has_credit()) continue;
    if (best == unbound) {
      best = member;
      continue;
    }
    auto& leader = workers_[best];
    auto mine = candidate.in_hand(), theirs = leader.in_hand();
    if (mine < theirs || (mine == theirs && candidate.given < leader.given)) best = member;
  }
  p.turn = best;
  if (best != unbound) p.left = run_length(p) - 1;
  return best;
}

std::uint32_t assigner::run_length(const pool& p) const {
  auto share = p.to_bind / (4 * std::max<std::size_t>(p.members.size(), 1));
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, 1, longest_run_));
}

void assigner::collect(const map_part& part, bound_event& out) {
  out.number = event_number(next_event_);
  out.read = 0;
  out.targets.clear();
  auto stamp = next_event_ + 1;
  for (auto& row : part.rows) {
    auto slot = row.slots[in_part_];
    if (slot.shape != trigger_map::no_frame) out.read |= bit(row.stream);
    for_each_virtual_worker(*map_, part, slot, several_[slot.shape], [&](auto& vw, std::uint32_t constraint) {
      auto& seen = vw.everyone ? pools_[vw.tags].event_stamp : slot_stamps_[constraint];
      bool new_slot = seen != stamp;
      seen = stamp;
      if (vw.everyone)
        for (auto member : pools_[vw.tags].members) add_target(out, member, row.stream, new_slot, true);
      else
        add_target(out, bindings_[constraint], row.stream, new_slot, false);
      return true;
    });
  }
  std::uint16_t slots = 0;
  out.for_everyone = !out.targets.empty();
  for (auto& target : out.targets) {
    target.first_slot = slot_index(slots);
    slots = static_cast<std::uint16_t>(slots + target.slots);
    out.for_everyone = out.for_everyone && target.for_everyone;
  }
}

void assigner::add_target(bound_event& out, std::uint32_t worker, stream_index stream, bool new_slot,
                          bool everyone) {
  auto& w = workers_[worker];
  if (w.event_stamp != out.number.value + 1) {
    w.event_stamp = out.number.value + 1;
    w.target = static_cast<std::uint32_t>(out.targets.size());
    out.targets.push_back({worker_index(worker), slot_index(), 0, 0, true});
  }
  auto& target = out.targets[w.target];
  target.streams |= bit(stream);
  target.for_everyone = target.for_everyone && everyone;
  if (new_slot) ++target.slots;
}

} // namespace dtranspose
