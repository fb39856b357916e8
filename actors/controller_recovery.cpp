/// Who is gone, who is back, who is new: what is fenced, moved, told again or given up.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>

#include "actors/controller_state.hpp"
#include "model/error.hpp"

namespace dtranspose {

namespace {

std::uint64_t events_in(const std::vector<given_run>& runs) {
  std::uint64_t sum = 0;
  for (auto& given : runs) sum += given.run.events.count;
  return sum;
}

std::vector<worker_run> runs_of(const std::vector<given_run>& given, worker_index to) {
  std::vector<worker_run> runs;
  for (auto& g : given) {
    runs.push_back(g.run);
    runs.back().worker = to;
  }
  return runs;
}

/// A worker is given its events in rising order.
void sort_by_event(std::vector<given_run>& runs) {
  std::stable_sort(runs.begin(), runs.end(),
                   [](auto& a, auto& b) { return a.run.events.first < b.run.events.first; });
}

/// The same as runs of single events.
std::vector<given_run> one_by_one(const std::vector<given_run>& runs) {
  std::vector<given_run> single;
  for (auto& g : runs)
    for (std::uint32_t i = 0; i < g.run.events.count; ++i) {
      single.push_back(g);
      single.back().run.events = {g.run.events.at(i), 1, 1};
    }
  return single;
}

/// Cut to runs of single events where strides lie within each other.
std::vector<given_run> in_order(std::vector<given_run> runs) {
  sort_by_event(runs);
  bool rising = true;
  for (std::size_t i = 1; i < runs.size(); ++i)
    rising = rising && runs[i - 1].run.events.last() < runs[i].run.events.first;
  if (rising) return runs;
  auto single = one_by_one(runs);
  sort_by_event(single);
  return single;
}

} // namespace

// -- time -----------------------------------------------------------------------------------------------

void controller_state::look_at_time() {
  auto& s = *current;
  auto now = options.around.steady();
  auto overdue = [&](std::int64_t since) {
    return since > 0 && now - since >= options.return_timeout.count();
  };
  if (restoring && now - restored_at >= options.rejoin_timeout.count()) {
    // Whoever has not come back by now is gone.
    restoring = false;
    s.reducer_lost_at = now;
    for (auto& stream : s.streams) stream.lost_at = now;
    for (process_index p = 0; p < s.processes.size() && s.life.active(); ++p)
      if (!s.processes[p].ready && !s.is_gone(s.processes[p])) miss_process(p);
    if (!s.life.active()) return;
    move_unmoved();
    return assign();
  }
  come_back_if_missed();
  ask_again();
  if (!s.reducer_ready && overdue(s.reducer_lost_at))
    return fail("the reducer is gone and has not come back");
  for (std::uint16_t i = 0; i < s.streams.size(); ++i)
    if (!s.streams[i].ready && overdue(s.streams[i].lost_at) && !s.life.stopping()) {
      stop(fmt::format("stream '{}': its ingester is gone and has not come back", s.setup.streams[i]));
      return;
    }
  if (s.life.state() != scan_state::running) return;
  std::vector<unmappable> failed;
  auto give_up = [&](const given_run& g, const tag_set& tags) {
    failed.push_back(
        {{g.run.events, g.run.first_slot, g.run.slots},
         fate::failed,
         fmt::format("its worker is gone, and none with the tags {{{}}} has come", fmt::join(tags, ", ")),
         g.run.worker});
  };
  std::erase_if(s.waiting_for_workers, [&](auto& parked) {
    if (!overdue(parked.since)) return false;
    for (auto& g : parked.runs) give_up(g, parked.tags);
    return true;
  });
  if (overdue(s.untried_since)) {
    for (auto& [what, g] : std::exchange(s.suspects, {})) give_up(g, tags_needed(g.run.worker));
    s.untried_since = 0;
  }
  if (!failed.empty()) close_slots(std::move(failed));
  // Only known while events are bound.
  auto lacking = s.reducer_ready && !restoring ? s.bindings.lacking() : nullptr;
  if (!lacking)
    s.lacking_since = 0;
  else if (s.lacking_since == 0)
    s.lacking_since = now;
  else if (overdue(s.lacking_since))
    stop(fmt::format("no worker with the tags {{{}}} is left", fmt::join(*lacking, ", ")));
}

/// What the reducer has not answered in time.
void controller_state::ask_again() {
  auto& s = *current;
  for (process_index p = 0; p < s.processes.size(); ++p)
    if (!s.processes[p].fenced && s.is_gone(s.processes[p])) fence_process(p);
  send_closes();
}

/// Who could not take up its part at once is asked again.
void controller_state::come_back_if_missed() {
  auto& s = *current;
  bool missed = !s.reducer;
  for (auto& stream : s.streams) missed = missed || !stream.ingester;
  if (!missed) return;
  auto number = scan_number;
  auto there = members;
  for (auto& [life, m] : there)
    if ((m.reducer || !m.ingesters.empty()) && number == scan_number && s.life.active()) come_back(m);
}

// -- who is gone ----------------------------------------------------------------------------------------

void controller_state::miss_reducer() {
  auto& s = *current;
  s.reducer = nullptr;
  s.reducer_life = {};
  s.reducer_ready = false;
  s.reducer_lost_at = options.around.steady();
  spdlog::warn("scan {}: waits for its reducer to come back", to_string(s.setup.head.scan));
}

/// What it has sent stays good; what is missing comes from who takes its stream up.
void controller_state::miss_ingester(stream_index stream) {
  auto& s = *current;
  auto& gone = s.streams[stream.value];
  gone.ingester = nullptr;
  gone.life = {};
  gone.ready = false;
  gone.lost_at = options.around.steady();
  spdlog::warn("scan {}: stream '{}' has no ingester: waits for one", to_string(s.setup.head.scan),
               s.setup.streams[stream.value]);
  bury_context(stream);
  if (s.life.stopping()) bury_stream(stream, s.cause);
}

/// Nothing of it counts any more, once the reducer knows; then what it had moves.
void controller_state::miss_process(process_index place) {
  auto& s = *current;
  auto& process = s.processes[place];
  if (process.fenced) return;
  process.ready = false;
  for (auto worker : process.workers) {
    s.setup.workers[worker.value].gone = true;
    s.bindings.retire(worker);
  }
  note(record_kind::gone, place);
  commit_journal();
  // A broken connection may have been all that was wrong: its ingesters need not be told to stop sending.
  fence_process(place);
  if (s.life.state() == scan_state::draining)
    for (auto worker : process.workers) {
      if (!s.to_finish.contains(worker)) continue;
      s.complaints.push_back(fmt::format("worker {} is gone: what it would have given at the end is lost",
                                         s.setup.workers[worker.value].name));
      has_finished(worker);
      if (!current->life.active()) return;
    }
}

void controller_state::fence_process(process_index place) {
  auto& s = *current;
  if (!s.reducer_ready || s.processes[place].fencing) return; // told when it is back
  s.processes[place].fencing = true;
  self->request(s.reducer, options.return_timeout, fence{s.head(), s.processes[place].workers})
      .then(
          [this, place, number = scan_number](bool) {
            if (number != scan_number || !current->life.active() || current->processes[place].fenced) return;
            current->processes[place].fencing = false;
            current->processes[place].fenced = true;
            scan::batch gone{++current->last_dispatch,
                             std::vector<std::vector<stream_run>>(current->streams.size()),
                             std::vector<std::vector<repeat_run>>(current->streams.size()),
                             {place}};
            post(std::move(gone));
            current->unmoved.push_back(place);
            go_on_if_all_are_back();
            move_unmoved();
            assign();
          },
          [this, place, number = scan_number](const caf::error& e) {
            if (number != scan_number || !current->life.active()) return;
            // It is asked again as long as the reducer is there.
            current->processes[place].fencing = false;
            spdlog::warn("a lost worker process is not fenced yet: {}", text_of(e));
          });
}

/// While it is not known who is left, nothing moves.
void controller_state::move_unmoved() {
  if (restoring) return;
  for (auto place : std::exchange(current->unmoved, {})) {
    auto workers = current->processes[place].workers;
    for (auto worker : workers) move_from(worker);
  }
  try_next();
}

// -- moving ---------------------------------------------------------------------------------------------

/// Are these slots of an event, which are for everyone, as good as done without this worker?
bool controller_state::lapses(const given_run& g, event_number event) const {
  auto& s = *current;
  if (!g.run.for_everyone) return false;
  if (s.fates.worst_so_far(event) == fate::folded) return true;
  for (std::uint32_t w = 0; w < s.workers.size(); ++w) {
    if (s.setup.workers[w].gone || !s.processes[s.process_of[w]].ready) continue;
    for (auto& other : s.book.of(worker_index(w)))
      if (other.run.for_everyone && other.run.events.contains(event) &&
          s.fates.is_open(event, other.run.first_slot))
        return true;
  }
  return false;
}

/// Nobody said what ended the worker: one of the events that it was not through with may have. Those that
/// were there often enough are tried one by one, so that who is to blame dies alone; what is left of `runs`
/// moves as usual.
void controller_state::suspect(worker_index worker, std::vector<given_run>& runs) {
  auto& s = *current;
  auto& trial = s.trial;
  auto single = one_by_one(runs);
  // What moved to the worker overtakes what it had, as far as that was not joined: what it was not through
  // with lies at the end in the order of events or in that of dispatches.
  auto unprocessed = std::min<std::uint64_t>(single.size(), s.bindings.in_hand(worker));
  auto given_at = [](const given_run& g) { return std::pair(g.dispatch, g.run.events.first); };
  std::vector<std::pair<dispatch_id, event_number>> as_given;
  for (auto& unit : single) as_given.push_back(given_at(unit));
  std::sort(as_given.begin(), as_given.end());
  bool alone = trial.on && trial.going && s.process_of[trial.to.value] == s.process_of[worker.value];
  auto enough = std::max<std::uint32_t>(options.max_attempts, 2) - 1;
  std::vector<unmappable> failed;
  runs.clear();
  for (std::size_t i = 0; i < single.size(); ++i) {
    auto& run = single[i].run;
    scan::unit unit{run.events.first, run.first_slot};
    bool under_way = i + unprocessed >= single.size() ||
                     (unprocessed > 0 && given_at(single[i]) >= as_given[single.size() - unprocessed]);
    if (trial.on && trial.what == unit && trial.to == worker) {
      if (!alone) {
        s.suspects.emplace(unit, single[i]);
        continue;
      }
      failed.push_back({{run.events, run.first_slot, run.slots},
                        fate::failed,
                        fmt::format("it ended {} processes, the last of them alone", ++s.attempts[unit]),
                        worker});
    } else if (!alone && under_way && ++s.attempts[unit] >= enough) {
      s.suspects.emplace(unit, single[i]);
    } else {
      runs.push_back(single[i]);
    }
  }
  if (!failed.empty()) close_slots(std::move(failed));
}

/// Tries the next suspect, in any process: there it is processed when nothing else is. The lowest goes first,
/// as what lies behind it may have no room for its frames.
void controller_state::try_next() {
  auto& s = *current;
  auto& trial = s.trial;
  if (trial.on && !s.setup.workers[trial.to.value].gone &&
      s.fates.is_open(trial.what.first, trial.what.second))
    return;
  trial.on = false;
  if (s.life.state() != scan_state::running) return;
  std::erase_if(s.suspects, [&](auto& x) { return !s.fates.is_open(x.first.first, x.first.second); });
  for (auto i = s.suspects.begin(); i != s.suspects.end(); ++i) {
    auto [what, unit] = *i;
    auto to = replacement(tags_needed(unit.run.worker));
    if (!to) continue; // it waits for a worker to join
    s.suspects.erase(i);
    s.untried_since = 0;
    give(unit.run.worker, *to, {unit}, true);
    trial = {true, what, *to, s.last_dispatch, false};
    return;
  }
  if (s.suspects.empty())
    s.untried_since = 0;
  else if (s.untried_since == 0)
    s.untried_since = options.around.steady();
}

void controller_state::take(const trial& m) {
  if (!is_current(m.head)) return;
  auto& s = *current;
  bool is_on = s.trial.on && m.dispatch == s.trial.dispatch;
  if (m.step == trial::step::ready) {
    // One of a controller before this one is let go too.
    if (is_on) s.trial.going = true;
    self->send(caf::actor_cast<caf::actor>(self->current_sender()),
               trial{s.head(), m.dispatch, trial::step::go});
  } else if (m.step == trial::step::through) {
    if (is_on) {
      s.attempts.erase(s.trial.what);
      s.trial.on = false;
      try_next();
    }
    // Only now may anything else end that process.
    self->send(caf::actor_cast<caf::actor>(self->current_sender()),
               trial{s.head(), m.dispatch, trial::step::known});
  }
}

void controller_state::move_from(worker_index worker) {
  auto& s = *current;
  auto runs = in_order(s.book.open_of(worker, s.fates));
  s.book.clear(worker);
  if (!s.explained.contains(worker)) suspect(worker, runs);
  std::vector<given_run> to_move;
  std::vector<unmappable> lapsed;
  for (auto& g : runs) {
    if (!g.run.for_everyone) {
      to_move.push_back(g);
      continue;
    }
    for (std::uint32_t i = 0; i < g.run.events.count; ++i) {
      auto one = g;
      one.run.events = {g.run.events.at(i), 1, 1};
      if (lapses(one, one.run.events.first))
        lapsed.push_back({{one.run.events, one.run.first_slot, one.run.slots}, fate::empty, {}, worker});
      else
        to_move.push_back(one);
    }
  }
  if (!lapsed.empty()) close_slots(std::move(lapsed));
  move(worker, std::move(to_move), tags_needed(worker));
}

/// The tags of the virtual workers that a worker may have been.
tag_set controller_state::tags_needed(worker_index worker) const {
  auto& s = *current;
  tag_set all;
  auto& tags = s.bindings.tags_of(worker);
  for (auto& wanted : s.map->tag_sets())
    if (fits(wanted, tags)) all.insert(all.end(), wanted.begin(), wanted.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

/// Who has the tags, and least to do.
std::optional<worker_index> controller_state::replacement(const tag_set& tags) const {
  auto& s = *current;
  std::optional<worker_index> best;
  for (std::uint32_t w = 0; w < s.workers.size(); ++w) {
    auto candidate = worker_index(w);
    if (s.setup.workers[w].gone || !s.processes[s.process_of[w]].ready) continue;
    if (!fits(tags, s.bindings.tags_of(candidate))) continue;
    if (!best || s.bindings.in_hand(candidate) < s.bindings.in_hand(*best)) best = candidate;
  }
  return best;
}

/// Everything that a worker had goes to one other, in order: a constraint is never split.
void controller_state::move(worker_index from, std::vector<given_run> runs, const tag_set& tags) {
  auto& s = *current;
  auto to = replacement(tags);
  if (!to) {
    // What comes of its constraints is bound anew; what it had waits.
    s.bindings.rebind(from, std::nullopt);
    note(record_kind::unbound, from);
    commit_journal();
    if (runs.empty()) return;
    spdlog::warn("scan {}: {} events of worker {} wait for a worker with the tags {{{}}}",
                 to_string(s.setup.head.scan), events_in(runs), s.setup.workers[from.value].name,
                 fmt::join(tags, ", "));
    s.waiting_for_workers.push_back({from, std::move(runs), tags, options.around.steady()});
    return;
  }
  s.bindings.rebind(from, *to);
  note(record_kind::rebound, from, *to);
  if (!runs.empty()) give(from, *to, std::move(runs));
}

/// Under a dispatch of their own, which is written down before anybody hears of it.
void controller_state::give(worker_index from, worker_index to, std::vector<given_run> runs, bool alone) {
  auto& s = *current;
  auto place = s.process_of[to.value];
  auto dispatch = ++s.last_dispatch;
  auto moved = runs_of(runs, to);
  for (auto& run : moved) s.book.give(run, dispatch);
  note(record_kind::moved, dispatch, from, to, moved);
  commit_journal();
  s.bindings.note_extra(to, events_in(runs));
  s.flushed = false;
  spdlog::info("scan {}: {} events of worker {} go to {}", to_string(s.setup.head.scan), events_in(runs),
               s.setup.workers[from.value].name, s.setup.workers[to.value].name);
  auto again = repeats_of(dispatch, place, moved);
  send_dispatches(place, dispatch, std::move(moved), alone);
  post(std::move(again));
  for (std::uint16_t i = 0; i < s.streams.size() && s.life.stopping(); ++i)
    if (!s.streams[i].ready) bury_stream(stream_index(i), s.cause);
}

/// What ingesters are to send of these runs, to one process.
scan::batch controller_state::repeats_of(dispatch_id dispatch, process_index place,
                                         const std::vector<worker_run>& runs) const {
  auto& s = *current;
  scan::batch again{dispatch,
                    std::vector<std::vector<stream_run>>(s.streams.size()),
                    std::vector<std::vector<repeat_run>>(s.streams.size()),
                    {}};
  for (auto& run : runs)
    for (auto rest = run.streams; rest != 0; rest &= rest - 1) {
      auto& list = again.repeats.at(static_cast<std::size_t>(std::countr_zero(rest)));
      repeat_run next{run.events, place, dispatch, run.slots == 0};
      // Several workers of a process share what it is sent; what they only look at comes event by event.
      if (std::find(list.begin(), list.end(), next) != list.end()) continue;
      if (next.to_look_at && !list.empty() && list.back().events.contains(run.events.first)) continue;
      if (next.to_look_at && !list.empty() && list.back().events.last() < run.events.first &&
          list.back().events.extend(run.events.first))
        continue;
      list.push_back(next);
    }
  return again;
}

void controller_state::adopt_parked() {
  auto parked = std::exchange(current->waiting_for_workers, {});
  for (auto& p : parked) {
    auto since = p.since;
    // Some may have ended meanwhile, by a close.
    std::vector<given_run> open;
    for (auto& g : p.runs)
      for (std::uint32_t i = 0; i < g.run.events.count; ++i)
        if (current->fates.is_open(g.run.events.at(i), g.run.first_slot)) {
          open.push_back(g);
          open.back().run.events = {g.run.events.at(i), 1, 1};
        }
    auto before = current->waiting_for_workers.size();
    move(p.from, std::move(open), p.tags);
    if (current->waiting_for_workers.size() > before) current->waiting_for_workers.back().since = since;
  }
}

// -- slots that are given up ----------------------------------------------------------------------------

void controller_state::close_slots(std::vector<unmappable> slots) {
  auto& list = current->to_close;
  list.insert(list.end(), std::make_move_iterator(slots.begin()), std::make_move_iterator(slots.end()));
  send_closes();
}

/// Only the reducer ends a slot; it is asked until it has.
void controller_state::send_closes() {
  auto& s = *current;
  if (!s.reducer_ready || s.to_close.empty() || s.closes_under_way) return;
  s.closes_under_way = true;
  self->request(s.reducer, options.return_timeout, give_up{s.head(), s.to_close})
      .then(
          [this, number = scan_number, count = s.to_close.size()](bool) {
            if (number != scan_number || !current->life.active()) return;
            current->closes_under_way = false;
            auto& list = current->to_close;
            list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count));
            send_closes();
            settle();
          },
          [this, number = scan_number](const caf::error&) {
            if (number == scan_number && current) current->closes_under_way = false;
          });
}

/// Nobody reads the stream and nobody will: what is waited for of it is lost.
void controller_state::bury_stream(stream_index stream, const std::string& cause) {
  auto& s = *current;
  for (process_index p = 0; p < s.processes.size(); ++p) {
    if (!s.processes[p].ready) continue;
    partial_events m{s.head(), s.processes[p].life, stream, ++s.burials, 0, {}};
    for (auto worker : s.processes[p].workers)
      for (auto& g : s.book.of(worker)) {
        if (!(g.run.streams & bit(stream))) continue;
        for (std::uint32_t i = 0; i < g.run.events.count; ++i)
          m.entries.push_back({g.run.events.at(i), g.dispatch, {}, missing_data{fate::lost, cause}});
      }
    if (!m.entries.empty()) self->send(s.processes[p].assembler, std::move(m));
  }
}

/// What late workers were to look at does not come any more: their work does not wait for it.
void controller_state::bury_context(stream_index stream) {
  auto& s = *current;
  for (auto& context : s.contexts) {
    if (!s.processes[context.place].ready) continue;
    partial_events m{s.head(), s.processes[context.place].life, stream, ++s.burials, 0, {}};
    for (auto& [event, streams] : context.events)
      if (streams & bit(stream))
        m.entries.push_back(
            {event_number(event), context.dispatch, {}, missing_data{fate::lost, "its ingester is gone"}});
    if (!m.entries.empty()) self->send(s.processes[context.place].assembler, std::move(m));
  }
}

// -- who is back, and who is new ------------------------------------------------------------------------

void controller_state::come_back(const member_info& m) {
  auto& s = *current;
  auto number = scan_number;
  auto go_on = [&] { return number == scan_number && s.life.active(); };
  if (m.reducer && !s.reducer) take_reducer(m);
  for (auto& ingester : m.ingesters)
    for (std::uint16_t i = 0; i < s.streams.size() && go_on(); ++i)
      if (s.setup.streams[i] == ingester.stream && !s.streams[i].ingester)
        take_ingester(stream_index(i), m, ingester.handle);
  if (m.workers.empty() || !go_on()) return;
  for (process_index p = 0; p < s.processes.size(); ++p)
    if (s.processes[p].life == m.life) return take_process(p, m);
  enlist_late(m);
}

/// It is told all fences, folds what it had written down, and says what has ended.
void controller_state::take_reducer(const member_info& m) {
  auto& s = *current;
  s.reducer = m.reducer;
  s.reducer_life = m.life;
  auto again = s.setup;
  again.resume = true;
  // Workers may have results of each version: the later ones follow.
  again.version = s.versions.front().first;
  again.parameters = s.versions.front().second;
  s.reducer_version = again.version;
  self->request(m.reducer, close_timeout, again)
      .then(
          [this, number = scan_number, life = m.life](const armed& a) {
            if (number != scan_number || !current->life.active() || current->reducer_life != life) return;
            auto& s = *current;
            s.reducer_ready = true;
            s.reducer_lost_at = 0;
            if (!a.output.empty()) s.output = a.output;
            s.closes_under_way = false;
            for (auto& process : s.processes) process.fencing = false;
            spdlog::info("scan {}: its reducer is back{}", to_string(s.setup.head.scan),
                         a.known ? "" : " and has folded again what its journal has");
            ask_again();
            go_on_if_all_are_back();
            if (s.life.state() == scan_state::draining && s.closing) return close();
            if (s.life.state() == scan_state::draining && s.keeping) return write_ledger();
            for (auto& [life, member] : members)
              if (!takes_part(life)) enlist_late(member);
            assign();
          },
          [this, number = scan_number, life = m.life](const caf::error& e) {
            if (number != scan_number || !current->life.active() || current->reducer_life != life) return;
            if (is_an_answer(e)) return fail(text_of(e));
            // The connection was lost again: it is asked once more as long as it is here.
            current->reducer = nullptr;
            current->reducer_life = {};
          });
  for (std::size_t i = 1; i < s.versions.size(); ++i) tell_reducer(s.versions[i].first, s.versions[i].second);
}

void controller_state::take_ingester(stream_index index, const member_info& m, const caf::actor& ingester) {
  auto& s = *current;
  auto& stream = s.streams[index.value];
  stream.ingester = ingester;
  stream.life = m.life;
  auto first = event_number(s.fates.first_open());
  auto again = arm_of(index);
  again.resume = true;
  again.from = {stream_position(s.map->entries_before(index, first)), stream.place, first};
  self->request(ingester, options.arm_timeout, again)
      .then(
          [this, number = scan_number, index, first, life = m.life](const armed& a) {
            if (number != scan_number || !current->life.active()) return;
            auto& stream = current->streams[index.value];
            if (stream.life != life) return;
            stream.ready = true;
            stream.lost_at = 0;
            spdlog::info("scan {}: stream '{}' has {}", to_string(current->setup.head.scan),
                         current->setup.streams[index.value],
                         a.known ? "its ingester back" : "another ingester");
            // Who takes part may have changed since it was asked.
            auto now = arm_of(index);
            now.resume = true;
            self->request(stream.ingester, options.arm_timeout, now)
                .then([](const armed&) {}, [](const caf::error&) {});
            if (a.known)
              tell_again(index, a.taken);
            else
              tell_what_is_open(index, a.untold.empty() ? first : a.untold.front());
            self->send(stream.ingester, forget{current->head(), current->fates.all_ended()});
            if (current->life.stopping()) self->send(stream.ingester, halt{current->head(), current->cause});
            current->last_dispatch = std::max(current->last_dispatch, a.taken);
            go_on_if_all_are_back();
            assign();
          },
          [this, number = scan_number, index, life = m.life](const caf::error& e) {
            if (number != scan_number || !current->life.active()) return;
            auto& stream = current->streams[index.value];
            if (stream.life != life) return;
            spdlog::warn("stream '{}': its ingester does not take the scan up: {}",
                         current->setup.streams[index.value], text_of(e));
            // It is tried again as long as it is here.
            stream.ingester = nullptr;
            stream.life = {};
          });
}

/// Messages that it has not got.
void controller_state::tell_again(stream_index index, dispatch_id taken) {
  auto& s = *current;
  s.streams[index.value].last_sent = taken;
  for (auto& batch : s.outbox)
    if (batch.dispatch > taken) send_batch(index, batch);
}

/// For an ingester that knows nothing: every entry since the first open event, and who waits for it.
void controller_state::tell_what_is_open(stream_index index, event_number first) {
  auto& s = *current;
  assignments m{s.head(), {}, s.last_dispatch, {}, {}, {}};
  for (auto& run : s.map->events_of(index, first, event_number(s.bindings.bound())))
    m.runs.push_back({run, {}, false, true});
  for (process_index p = 0; p < s.processes.size(); ++p) {
    // One that is not back yet is not forgotten: what it has is sent when it is connected.
    if (s.is_gone(s.processes[p])) continue;
    for (auto worker : s.processes[p].workers)
      for (auto& g : s.book.open_of(worker, s.fates))
        if (g.run.streams & bit(index)) m.repeats.push_back({g.run.events, p, g.dispatch});
  }
  // What late workers wait to look at: what is gone of it is named, so that their work does not wait behind
  // it.
  for (auto& context : s.contexts)
    if (!s.is_gone(s.processes[context.place]))
      for (auto& [event, streams] : context.events)
        if (streams & bit(index))
          m.repeats.push_back({{event_number(event), 1, 1}, context.place, context.dispatch, true});
  // Several workers of a process share what it is sent.
  std::sort(m.repeats.begin(), m.repeats.end(), [](auto& a, auto& b) {
    return std::tie(a.target, a.dispatch, a.events.first) < std::tie(b.target, b.dispatch, b.events.first);
  });
  m.repeats.erase(std::unique(m.repeats.begin(), m.repeats.end()), m.repeats.end());
  s.streams[index.value].last_sent = s.streams[index.value].taken = s.last_dispatch;
  self->send(s.streams[index.value].ingester, std::move(m));
}

/// A process that takes part, known from before the controller was started again.
void controller_state::take_process(process_index place, const member_info& m) {
  auto& s = *current;
  auto& process = s.processes[place];
  if (process.ready || s.is_gone(process)) return;
  process.assembler = m.assembler;
  for (auto worker : process.workers)
    for (auto& w : m.workers)
      if (w.name == s.setup.workers[worker.value].name) s.workers[worker.value].handle = w.handle;
  auto again = s.setup;
  again.resume = true;
  for (auto worker : process.workers) {
    auto to_worker = again;
    to_worker.worker = worker;
    self->request(s.workers[worker.value].handle, options.arm_timeout, to_worker)
        .then(
            [this, worker, version = s.setup.version, number = scan_number](const armed& a) {
              if (number == scan_number && a.known) note_version(worker, version);
            },
            [](const caf::error&) {});
  }
  self->request(process.assembler, options.arm_timeout, again)
      .then(
          [this, place, number = scan_number](const armed& a) {
            if (number != scan_number || !current->life.active()) return;
            auto& s = *current;
            auto& process = s.processes[place];
            if (!a.known) return miss_process(place);
            process.ready = true;
            process.last_sent = a.taken;
            s.last_dispatch = std::max(s.last_dispatch, a.taken);
            std::map<dispatch_id, std::vector<worker_run>> missing;
            for (auto worker : process.workers)
              for (auto& g : s.book.of(worker))
                if (g.dispatch > a.taken) missing[g.dispatch].push_back(g.run);
            for (auto& context : s.contexts)
              if (context.place == place && context.dispatch > a.taken)
                missing[context.dispatch] = context.runs;
            for (auto& [dispatch, runs] : missing) send_dispatches(place, dispatch, std::move(runs));
            go_on_if_all_are_back();
          },
          [this, place, number = scan_number](const caf::error&) {
            if (number == scan_number && current->life.active()) miss_process(place);
          });
}

bool controller_state::takes_part(incarnation life) const {
  auto& list = current->processes;
  return std::any_of(list.begin(), list.end(), [&](auto& p) { return p.life == life; });
}

/// A process with workers that was not there when the scan began. Without a reducer it would wait for that:
/// it is let in when the reducer is back.
void controller_state::enlist_late(const member_info& m) {
  auto& s = *current;
  if (m.workers.empty() || s.life.state() != scan_state::running || s.life.stopping() || !s.reducer_ready)
    return;
  if (s.processes.size() >= 0xFFFF) return;
  auto place = static_cast<process_index>(s.processes.size());
  auto first = s.setup.workers.size();
  enlist_process(s, m, false);
  std::vector<std::string> names;
  std::vector<tag_set> tags;
  for (auto i = first; i < s.setup.workers.size(); ++i) {
    names.push_back(s.setup.workers[i].name);
    tags.push_back(s.bindings.tags_of(worker_index(static_cast<std::uint32_t>(i))));
  }
  note(record_kind::late, m.life, names, tags);
  arm_late(place);
}

void controller_state::note_version(worker_index worker, parameters_version version) {
  auto& has = current->workers[worker.value].version;
  has = std::max(has, version);
}

void controller_state::arm_late(process_index place) {
  auto& s = *current;
  auto open = std::make_shared<std::size_t>(s.processes[place].workers.size());
  auto failed = [this, place, number = scan_number](const caf::error& e) {
    if (number != scan_number || !current->life.active()) return;
    spdlog::warn("a worker process does not get ready: {}", text_of(e));
    auto life = current->processes[place].life;
    miss_process(place);
    // It may as somebody else, unless it has said why not.
    if (auto m = members.find(life); m != members.end() && !code_of(e)) self->send(m->second.member, renew{});
  };
  auto arm_assembler = [this, place, failed, number = scan_number] {
    self->request(current->processes[place].assembler, options.arm_timeout, current->setup)
        .then(
            [this, place, number](const armed& a) {
              if (number == scan_number && is_running()) let_in(place, a.credit);
            },
            failed);
  };
  for (auto worker : s.processes[place].workers)
    self->request(s.workers[worker.value].handle, options.arm_timeout, arm_of(worker))
        .then(
            [this, open, arm_assembler, worker, version = s.setup.version,
             number = scan_number](const armed&) {
              if (number == scan_number) note_version(worker, version);
              if (number == scan_number && is_running() && --*open == 0) arm_assembler();
            },
            failed);
}

void controller_state::let_in(process_index place, std::uint64_t credit) {
  auto& s = *current;
  auto& process = s.processes[place];
  if (process.ready || s.is_gone(process)) return;
  process.ready = true;
  // Everybody else learns of it; nobody is waited for: what is sent before they are connected comes again.
  auto table = s.setup;
  table.resume = true;
  if (s.reducer_ready)
    self->request(s.reducer, close_timeout, table).then([](const armed&) {}, [](const caf::error&) {});
  for (std::uint16_t i = 0; i < s.streams.size(); ++i) {
    if (!s.streams[i].ready) continue;
    auto to_stream = arm_of(stream_index(i));
    to_stream.resume = true;
    self->request(s.streams[i].ingester, options.arm_timeout, to_stream)
        .then([](const armed&) {}, [](const caf::error&) {});
  }
  give_context(place);
  for (auto worker : process.workers) {
    s.bindings.admit(worker);
    s.bindings.grant(worker, credit);
  }
  spdlog::info("scan {}: {} workers more", to_string(s.setup.head.scan), process.workers.size());
  adopt_parked();
  try_next();
  assign();
}

/// What everybody was given before: start messages above all. Nobody folds what comes of it.
void controller_state::give_context(process_index place) {
  auto& s = *current;
  stream_mask ready = 0;
  for (std::uint16_t i = 0; i < s.streams.size(); ++i)
    if (s.streams[i].ready) ready |= bit(stream_index(i));
  std::map<std::uint64_t, stream_mask> events;
  std::uint64_t first = 0;
  constexpr std::size_t most_events = 4096;
  for (auto index : s.map->sequence()) {
    auto& part = s.map->parts()[index];
    for (auto& row : part.rows) {
      for (std::uint64_t e = 0; e < part.length && first + e < s.bindings.bound(); ++e) {
        auto& shape = s.map->shapes()[row.slots[e].shape];
        bool for_everyone =
            !shape.empty() && std::all_of(shape.begin(), shape.end(), [](auto& v) { return v.everyone; });
        if (for_everyone && (ready & bit(row.stream)) &&
            (events.size() < most_events || events.contains(first + e)))
          events[first + e] |= bit(row.stream);
      }
    }
    first += part.length;
    if (first >= s.bindings.bound()) break;
  }
  scan::context context{place, events.empty() ? dispatch_id() : ++s.last_dispatch, std::move(events), {}};
  for (auto& [event, streams] : context.events)
    for (auto worker : s.processes[place].workers)
      context.runs.push_back({{event_number(event), 1, 1}, worker, slot_index(), 0, streams, true});
  note(record_kind::let_in, place, context.dispatch, context.events, context.runs);
  commit_journal();
  if (context.runs.empty()) return;
  for (auto worker : s.processes[place].workers) s.bindings.note_extra(worker, context.events.size());
  auto again = repeats_of(context.dispatch, place, context.runs);
  send_dispatches(place, context.dispatch, context.runs);
  post(std::move(again));
  s.contexts.push_back(std::move(context));
}

/// After a restart of the controller: once everybody is back, or had the time to, it goes on.
void controller_state::go_on_if_all_are_back() {
  auto& s = *current;
  if (!restoring || !s.reducer_ready) return;
  for (auto& stream : s.streams)
    if (!stream.ready) return;
  for (auto& process : s.processes)
    if (!process.ready && !s.is_gone(process)) return;
  restoring = false;
  spdlog::info("scan {}: goes on", to_string(s.setup.head.scan));
  move_unmoved();
  assign();
}

/// The workers' side is given up: it starts anew, and what it had goes to others.
void controller_state::take(const unreachable& m) {
  if (!members.contains(m.from) || !members.contains(m.to)) return;
  if (!current || !current->life.active() || current->life.state() == scan_state::arming) return;
  auto& s = *current;
  for (process_index p = 0; p < s.processes.size(); ++p) {
    auto life = s.processes[p].life;
    if ((life != m.from && life != m.to) || s.is_gone(s.processes[p])) continue;
    auto other = life == m.from ? m.to : m.from;
    bool takes_part = s.reducer_life == other;
    for (auto& stream : s.streams) takes_part = takes_part || stream.life == other;
    if (!takes_part) continue;
    spdlog::warn("{} and {} cannot reach each other: the workers' side is given up", members[m.from].name,
                 members[m.to].name);
    for (auto worker : s.processes[p].workers) s.explained.insert(worker);
    miss_process(p);
    self->send(members[life].member, renew{});
    return;
  }
}

// -- events that take their worker with them ------------------------------------------------------------

void controller_state::take(const obituary& m) {
  if (!is_current(m.head) || m.worker.value >= current->workers.size()) return;
  auto& s = *current;
  auto place = s.process_of[m.worker.value];
  spdlog::error("worker {}: {}", s.setup.workers[m.worker.value].name, m.cause);
  std::vector<unmappable> failed;
  for (auto event : m.suspects)
    for (auto& g : s.book.open_of(m.worker, s.fates)) {
      if (!g.run.events.contains(event)) continue;
      auto& attempts = s.attempts[{event, g.run.first_slot}];
      if (++attempts >= options.max_attempts)
        failed.push_back({{{event, 1, 1}, g.run.first_slot, g.run.slots},
                          fate::failed,
                          fmt::format("it ended {} workers, the last by: {}", attempts, m.cause),
                          m.worker});
    }
  for (auto worker : s.processes[place].workers) s.explained.insert(worker);
  if (!failed.empty()) close_slots(std::move(failed));
  miss_process(place);
}

} // namespace dtranspose
