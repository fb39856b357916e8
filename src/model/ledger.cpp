#include "ledger.hpp"

#include <algorithm>

namespace dtranspose {

void ledger::open(std::uint32_t slots) {
  open_.push_back({slots});
  ++opened_;
  if (slots == 0) end_event(event_number(opened_ - 1), open_event(open_.back()));
}

void ledger::end(const slot_run& slots, fate how, const std::string& cause) {
  auto place = cause.empty() ? 0 : cause_index(cause);
  for (std::uint32_t i = 0; i < slots.events.count; ++i) {
    auto event = slots.events.at(i);
    if (event.value < base_ || event.value >= opened_) continue;
    auto& e = open_[event.value - base_];
    if (e.slots == 0) continue;
    e.slots -= std::min<std::uint32_t>(e.slots, slots.slots);
    if (how > e.worst) {
      e.worst = how;
      e.cause = place;
    }
    if (e.slots == 0) end_event(event, open_event(e));
  }
}

void ledger::end_event(event_number event, const open_event& e) {
  ++ended_;
  ++counts_[static_cast<std::size_t>(e.worst)];
  if (e.worst >= fate::failed) note_trouble({event, event + 1}, e.worst, causes_[e.cause]);
  if (!ended_ranges_.empty() && ended_ranges_.back().end == event)
    ended_ranges_.back().end = event + 1;
  else
    ended_ranges_.push_back({event, event + 1});
  while (!open_.empty() && open_.front().slots == 0) {
    open_.pop_front();
    ++base_;
  }
}

void ledger::end_unopened(fate how, const std::string& cause) {
  auto count = events_ - opened_;
  if (count == 0) return;
  counts_[static_cast<std::size_t>(how)] += count;
  ended_ += count;
  note_trouble({event_number(opened_), event_number(events_)}, how, cause);
  ended_ranges_.push_back({event_number(opened_), event_number(events_)});
  opened_ = events_;
  open_.resize(opened_ - base_);
}

void ledger::give_up(fate how, const std::string& cause) {
  auto place = cause_index(cause);
  for (auto event = base_; event < opened_; ++event) {
    if (event < base_) continue;
    auto& e = open_[event - base_];
    if (e.slots == 0) continue;
    e.slots = 0;
    if (how > e.worst) {
      e.worst = how;
      e.cause = place;
    }
    auto ended = e;
    end_event(event_number(event), ended);
  }
  end_unopened(how, cause);
}

std::vector<event_range> ledger::take_ended() { return std::exchange(ended_ranges_, {}); }

void ledger::note_trouble(event_range events, fate how, const std::string& cause) {
  if (!troubles_.empty()) {
    auto& last = troubles_.back();
    if (last.events.end == events.first && last.how == how && last.cause == cause) {
      last.events.end = events.end;
      return;
    }
  }
  if (troubles_.size() < most_troubles)
    troubles_.push_back({events, how, cause});
  else
    unlisted_ += events.end - events.first;
}

std::uint32_t ledger::cause_index(const std::string& cause) {
  // Causes that name single numbers could grow without end: beyond the list of troubles none is needed.
  if (causes_.size() > most_troubles) return 0;
  auto [i, is_new] = cause_places_.try_emplace(cause, static_cast<std::uint32_t>(causes_.size()));
  if (is_new) causes_.push_back(cause);
  return i->second;
}

value ledger::report() const {
  value_map counts;
  for (std::size_t f = 0; f < fate_count; ++f) counts.set(name_of(static_cast<fate>(f)), counts_[f]);
  value_list list;
  for (auto& t : troubles_)
    list.push_back(value_map{{"first", t.events.first.value},
                             {"last", t.events.end.value - 1},
                             {"fate", name_of(t.how)},
                             {"cause", t.cause}});
  return value_map{{"events", events_},
                   {"ended", ended_},
                   {"fates", std::move(counts)},
                   {"troubles", std::move(list)},
                   {"troubles_not_listed", unlisted_}};
}

} // namespace dtranspose
