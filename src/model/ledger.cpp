#include "ledger.hpp"

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

namespace dtranspose {

namespace {

/// By event; neighbours of one fate and cause as one, whoever had them and in whatever order they ended.
std::deque<ledger::trouble> joined(std::deque<ledger::trouble> troubles) {
  std::sort(troubles.begin(), troubles.end(), [](auto& a, auto& b) {
    return std::tie(a.cause, a.how, a.events.first) < std::tie(b.cause, b.how, b.events.first);
  });
  std::deque<ledger::trouble> all;
  for (auto& t : troubles) {
    bool follows = !all.empty() && all.back().cause == t.cause && all.back().how == t.how &&
                   all.back().events.end == t.events.first;
    if (follows)
      all.back().events.end = t.events.end;
    else
      all.push_back(std::move(t));
  }
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.events.first < b.events.first; });
  return all;
}

} // namespace

void ledger::open(std::uint32_t slots) {
  constexpr std::uint32_t bits = 64;
  if (closed_ || opened_ == events_) return;
  open_event e;
  e.open = slots >= bits ? ~std::uint64_t{0} : (std::uint64_t{1} << slots) - 1;
  if (slots > bits) {
    e.more = slots - bits;
    more_.emplace(opened_, std::vector<bool>(e.more, true));
  }
  open_.push_back(e);
  ++opened_;
  if (slots == 0) end_event(event_number(opened_ - 1), e);
}

void ledger::end(const slot_run& slots, fate how, const std::string& cause) {
  auto place = cause.empty() ? 0 : cause_index(cause);
  for (std::uint32_t i = 0; i < slots.events.count; ++i) {
    auto event = slots.events.at(i);
    if (event.value < base_ || event.value >= opened_) continue;
    auto& e = open_[event.value - base_];
    bool any = false;
    for (std::size_t s = 0; s < slots.slots; ++s) any |= close_slot(event, e, slots.first_slot.value + s);
    if (!any) continue;
    if (how > e.worst) {
      e.worst = how;
      e.cause = place;
    }
    if (e.over()) end_event(event, open_event(e));
  }
}

bool ledger::is_open(event_number event, slot_index slot) const {
  constexpr std::size_t bits = 64;
  if (event.value < base_ || event.value >= opened_) return false;
  if (slot.value < bits) return open_[event.value - base_].open >> slot.value & 1;
  auto i = more_.find(event.value);
  return i != more_.end() && slot.value - bits < i->second.size() && i->second[slot.value - bits];
}

std::uint32_t ledger::open_slots(event_number event) const {
  if (event.value < base_ || event.value >= opened_) return 0;
  auto& e = open_[event.value - base_];
  return static_cast<std::uint32_t>(std::popcount(e.open)) + e.more;
}

std::vector<event_range> ledger::all_ended() const {
  std::vector<event_range> list;
  if (base_ > 0) list.push_back({event_number(0), event_number(base_)});
  for (auto e = base_; e < opened_; ++e) {
    if (!open_[e - base_].over()) continue;
    if (!list.empty() && list.back().end.value == e)
      ++list.back().end;
    else
      list.push_back({event_number(e), event_number(e + 1)});
  }
  return list;
}

/// False when the event has no such slot, or it has ended.
bool ledger::close_slot(event_number event, open_event& e, std::size_t slot) {
  constexpr std::size_t bits = 64;
  if (slot < bits) {
    auto mask = std::uint64_t{1} << slot;
    if (!(e.open & mask)) return false;
    e.open &= ~mask;
    return true;
  }
  auto i = more_.find(event.value);
  if (i == more_.end() || slot - bits >= i->second.size() || !i->second[slot - bits]) return false;
  i->second[slot - bits] = false;
  if (--e.more == 0) more_.erase(i);
  return true;
}

void ledger::end_event(event_number event, const open_event& e) {
  ++ended_;
  ++counts_[static_cast<std::size_t>(e.worst)];
  if (e.worst >= fate::failed) note_trouble({event, event + 1}, e.worst, causes_[e.cause]);
  if (!ended_ranges_.empty() && ended_ranges_.back().end == event)
    ended_ranges_.back().end = event + 1;
  else
    ended_ranges_.push_back({event, event + 1});
  while (!open_.empty() && open_.front().over()) {
    open_.pop_front();
    ++base_;
  }
}

void ledger::end_unopened(fate how, const std::string& cause) {
  auto count = closed_ ? 0 : events_ - opened_;
  closed_ = true;
  if (count == 0) return;
  event_range rest{event_number(opened_), event_number(events_)};
  counts_[static_cast<std::size_t>(how)] += count;
  ended_ += count;
  note_trouble(rest, how, cause);
  ended_ranges_.push_back(rest);
}

void ledger::give_up(fate how, const std::string& cause) {
  auto place = cause_index(cause);
  for (auto event = base_; event < opened_; ++event) {
    auto& e = open_[event - base_];
    if (e.over()) continue;
    e.open = e.more = 0;
    more_.erase(event);
    if (how > e.worst) {
      e.worst = how;
      e.cause = place;
    }
    end_event(event_number(event), open_event(e));
    event = std::max(event + 1, base_) - 1;
  }
  end_unopened(how, cause);
}

void ledger::remark(const event_run& events, const std::string& cause) {
  for (std::uint32_t i = 0; i < events.count; ++i)
    note_trouble({events.at(i), events.at(i) + 1}, fate::folded, cause);
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
  if (troubles_.size() >= most_troubles && joins_) {
    join_troubles();
    joins_ = troubles_.size() <= most_troubles / 2;
  }
  if (troubles_.size() < most_troubles)
    troubles_.push_back({events, how, cause});
  else
    unlisted_ += events.end - events.first;
}

void ledger::join_troubles() { troubles_ = joined(std::move(troubles_)); }

std::uint32_t ledger::cause_index(const std::string& cause) {
  // Causes that name single numbers could grow without end: beyond the list of troubles none is needed.
  if (auto known = cause_places_.find(cause); known != cause_places_.end()) return known->second;
  if (causes_.size() > most_troubles) return 0;
  auto [i, is_new] = cause_places_.try_emplace(cause, static_cast<std::uint32_t>(causes_.size()));
  if (is_new) causes_.push_back(cause);
  return i->second;
}

value ledger::report() const {
  value_map counts;
  for (std::size_t f = 0; f < fate_count; ++f) counts.set(name_of(static_cast<fate>(f)), counts_[f]);
  value_list list;
  for (auto& t : joined(troubles_))
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
