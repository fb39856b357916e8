#include "actors/controller.hpp"

#include <caf/actor_system.hpp>
#include <caf/sec.hpp>
#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "actors/conduct.hpp"
#include "actors/controller_state.hpp"
#include "analysis/named_streams.hpp"
#include "model/error.hpp"
#include "model/map_runs.hpp"
#include "model/value_json.hpp"

namespace dtranspose {

namespace {

/// Events that one message assigns at most: a bound on its size, far above what credit lets through.
constexpr std::uint64_t most_events_per_message = 4096;
/// Over all workers of a scan, one event in this time gets the tick.
constexpr std::chrono::nanoseconds tick_interval = std::chrono::seconds(1);
/// An ingester is told the events of its stream where they are so few runs.
constexpr std::size_t most_known_runs = 4096;

} // namespace

caf::behavior controller_state::make_behavior() {
  set_conduct(self);
  begin_book();
  restore();
  return {
      [this](const credit& m) { take(m); },
      [this](const commits& m) { take(m); },
      [this](const remarks& m) { take(m); },
      [this](const pressure& m) { take(m); },
      [this](const stalled& m) { take(m); },
      [this](const taken& m) { take(m); },
      [this](const stream_began& m) { take(m); },
      [this](const decided& m) { take(m); },
      [this](const obituary& m) { take(m); },
      [this](const unreachable& m) { take(m); },
      [this](const trial& m) { take(m); },
      [this](const member_info& m) { welcome(m); },
      [this](const departed& m) { miss(m.life); },
      [this](const set_sequence& m) { return start(m); },
      [this](stop_atom) { return stop("stopped on request"); },
      [this](stop_atom, std::uint64_t number) { stop_overdue(number); },
      [this](tick_atom, std::uint64_t number) {
        if (number != scan_number || !current || !current->life.active()) return;
        self->delayed_send(self, look_interval, tick_atom::value, number);
        look_at_time();
      },
      [this](progress_atom) { return report_progress(); },
      [this](sequence_atom) -> caf::result<std::string> { return sequence(); },
      [this](ledger_atom) { return report_ledger(); },
      [this](decisions_atom, std::uint64_t number) { return decisions_since(number); },
      [this](config_atom) { return ensemble(); },
      [this](config_atom, bool) { return reload_analysis(); },
      [this](status_atom) { return status(); },
      [this](parameters_atom) { return list_parameters(); },
      [this](load_atom, const value& intervals, bool whole) { return loads(intervals, whole); },
      [this](const get_parameter& m) { return get(m); },
      [this](const set_parameter& m) { return set(m); },
  };
}

// -- members --------------------------------------------------------------------------------------------

void controller_state::welcome(const member_info& m) {
  // Who introduces itself again has lost the connection, whether or not that was noticed here.
  if (members.contains(m.life)) miss(m.life);
  members[m.life] = m;
  spdlog::info("{} has joined: {}", m.name, roles_of(m));
  if (!current || !current->life.active() || current->life.state() == scan_state::arming) return;
  for (auto& process : current->processes)
    if (process.life == m.life && current->is_gone(process)) {
      // What it had was given to others: it goes on as somebody else.
      self->send(m.member, renew{});
      break;
    }
  come_back(m);
}

void controller_state::miss(incarnation life) {
  auto i = members.find(life);
  if (i == members.end()) return;
  auto name = i->second.name;
  spdlog::warn("{} is gone", name);
  members.erase(i);
  if (!current || !current->life.active()) return;
  auto& s = *current;
  if (s.life.state() == scan_state::arming) {
    bool needed = s.reducer_life == life;
    for (auto& stream : s.streams) needed = needed || stream.life == life;
    for (auto& process : s.processes) needed = needed || process.life == life;
    if (needed) arming_failed("", make_error(ec::unavailable, fmt::format("process {} is gone", name)));
    return;
  }
  auto number = scan_number;
  if (s.reducer_life == life) miss_reducer();
  for (std::uint16_t i = 0; i < s.streams.size(); ++i)
    if (s.streams[i].life == life) miss_ingester(stream_index(i));
  for (process_index p = 0; p < s.processes.size() && number == scan_number && s.life.active(); ++p)
    if (s.processes[p].life == life) miss_process(p);
}

std::string controller_state::roles_of(const member_info& m) {
  std::vector<std::string> parts;
  for (auto& i : m.ingesters) parts.push_back("stream " + i.stream);
  if (!m.workers.empty()) parts.push_back(fmt::format("{} workers", m.workers.size()));
  if (m.reducer) parts.push_back("reducer");
  return parts.empty() ? "no roles but its own" : fmt::format("{}", fmt::join(parts, ", "));
}

// -- starting a scan ------------------------------------------------------------------------------------

caf::result<std::string> controller_state::start(const set_sequence& request) {
  auto map = trigger_map::parse(request.body, request.wrap);
  if (!map) return map.error();
  arm setup;
  setup.head = {make_scan_id(options.around.random(), options.around.random()), generation(1), options.life};
  setup.events = (*map)->events();
  setup.streams = (*map)->streams();
  setup.analysis = options.analysis;
  setup.parameters = parameters_to_use();
  setup.version = book.version();
  setup.dump_prefix = book.find(std::string(dump_prefix_name)).value_or("");
  if (code)
    if (auto text = unknown_stream(*code, setup.parameters, options.streams); !text.empty())
      return make_error(ec::bad_analysis, text);
  scan next(std::move(setup), *map);
  next.body = request.body;
  next.wrap = request.wrap;
  if (auto e = enlist(next)) return e;
  if (current && current->life.active()) give_up_current("replaced by another scan");
  current.emplace(std::move(next));
  current->life.arm();
  ++scan_number;
  if (starting) starting->deliver(make_error(ec::superseded, "another sequence was posted"));
  starting = self->make_response_promise<std::string>();
  arm_reducer();
  return *starting;
}

/// Finds everybody that the scan needs; an error says who or what is missing.
caf::error controller_state::enlist(scan& s) {
  if (auto e = enlist_ingesters(s)) return e;
  enlist_workers(s);
  auto need = s.map->min_workers();
  if (s.workers.size() < std::max<std::size_t>(need, s.map->events() > 0 ? 1 : 0))
    return make_error(ec::unavailable, fmt::format("only {} workers available, but {} required",
                                                   s.workers.size(), std::max(need, 1u)));
  if (auto e = check_tags(s)) return e;
  for (auto& [life, m] : members)
    if (m.reducer && !s.reducer) {
      s.reducer = m.reducer;
      s.reducer_life = life;
    }
  if (!s.reducer) return make_error(ec::unavailable, "no reducer available");
  return {};
}

caf::error controller_state::enlist_ingesters(scan& s) {
  std::vector<std::string> missing;
  for (auto& name : s.map->streams()) {
    scan::stream found;
    for (auto& [life, m] : members)
      for (auto& ingester : m.ingesters)
        if (ingester.stream == name && !found.ingester) {
          found.ingester = ingester.handle;
          found.life = life;
        }
    if (!found.ingester) missing.push_back("'" + name + "'");
    s.streams.push_back(std::move(found));
  }
  if (missing.empty()) return {};
  return make_error(ec::unavailable, fmt::format("streams {{{}}} not available", fmt::join(missing, ", ")));
}

void controller_state::enlist_workers(scan& s) {
  for (auto& [life, m] : members)
    if (!m.workers.empty()) enlist_process(s, m, true);
}

void controller_state::enlist_process(scan& s, const member_info& m, bool admitted) {
  auto place = static_cast<process_index>(s.processes.size());
  scan::process process{.life = m.life, .assembler = m.assembler};
  for (auto& worker : m.workers) {
    s.setup.workers.push_back({worker.name, m.life, place});
    s.workers.push_back({worker.handle});
    s.process_of.push_back(place);
    s.book.add_worker();
    process.workers.push_back(s.bindings.add_worker(worker.tags, admitted));
  }
  s.processes.push_back(std::move(process));
}

/// A constraint whose tags no worker has would block the scan for ever.
caf::error controller_state::check_tags(const scan& s) const {
  std::set<std::uint32_t> used(s.map->sequence().begin(), s.map->sequence().end());
  for (auto index : used)
    for (std::size_t wanted = 0; wanted < s.map->parts()[index].first_uses.size(); ++wanted) {
      auto& tags = s.map->tag_sets()[wanted];
      bool found = s.map->parts()[index].first_uses[wanted] == 0;
      for (auto& [life, m] : members)
        for (auto& worker : m.workers) found = found || fits(tags, worker.tags);
      if (!found)
        return make_error(ec::unavailable, fmt::format("part '{}': no worker has the tags {{{}}}",
                                                       s.map->parts()[index].name, fmt::join(tags, ", ")));
    }
  return {};
}

// Reducer, workers, assemblers, ingesters, in this order: nobody gets anything for a scan it does not know.

void controller_state::arm_reducer() {
  arm_all({{current->reducer, "the reducer", current->setup}}, [this] { arm_workers(); });
}

void controller_state::arm_workers() {
  std::vector<armee> list;
  for (std::uint32_t w = 0; w < current->workers.size(); ++w)
    list.push_back(
        {current->workers[w].handle, "worker " + current->setup.workers[w].name, arm_of(worker_index(w))});
  arm_all(std::move(list), [this] { arm_assemblers(); });
}

void controller_state::arm_assemblers() {
  std::vector<armee> list;
  for (auto& process : current->processes)
    list.push_back({process.assembler, "a worker process", current->setup});
  arm_all(std::move(list), [this] { arm_ingesters(); });
}

void controller_state::arm_ingesters() {
  std::vector<armee> list;
  for (std::uint16_t s = 0; s < current->streams.size(); ++s)
    list.push_back({current->streams[s].ingester,
                    "the ingester of stream '" + current->setup.streams[s] + "'", arm_of(stream_index(s))});
  arm_all(std::move(list), [this] { run(); });
}

arm controller_state::arm_of(worker_index worker) const {
  auto m = current->setup;
  m.worker = worker;
  return m;
}

arm controller_state::arm_of(stream_index stream) const {
  auto m = current->setup;
  m.stream = stream;
  m.entries = current->map->entries(stream);
  m.events_of_stream = current->map->events_of(stream, event_number(0), event_number(current->map->events()));
  if (m.events_of_stream.size() > most_known_runs) m.events_of_stream.clear();
  return m;
}

/// Goes on with `next` when all have confirmed; one failure disarms all.
void controller_state::arm_all(std::vector<armee> list, std::function<void()> next) {
  if (list.empty()) return next();
  auto open = std::make_shared<std::size_t>(list.size());
  for (auto& a : list)
    self->request(a.handle, options.arm_timeout, a.message)
        .then(
            [this, open, next, number = scan_number](const armed& m) {
              if (number != scan_number || current->life.state() != scan_state::arming) return;
              if (m.credit > 0) grant_first(m.from, m.credit);
              if (!m.output.empty()) current->output = m.output;
              if (--*open == 0) next();
            },
            [this, who = a.who, number = scan_number](const caf::error& e) {
              if (number == scan_number && current->life.state() == scan_state::arming) arming_failed(who, e);
            });
}

void controller_state::grant_first(incarnation process, std::uint64_t credit) {
  for (auto& p : current->processes)
    if (p.life == process)
      for (auto worker : p.workers) current->bindings.grant(worker, credit);
}

void controller_state::arming_failed(const std::string& who, const caf::error& e) {
  auto text = e == caf::sec::request_timeout
                  ? fmt::format("{} did not get ready within {}", who,
                                std::chrono::duration_cast<std::chrono::seconds>(options.arm_timeout))
                  : text_of(e);
  auto code = code_of(e).value_or(ec::timed_out);
  if (starting) starting->deliver(make_error(code, text));
  starting.reset();
  fail(text);
}

void controller_state::run() {
  auto& s = *current;
  s.life.armed();
  s.armed_at = options.around.steady();
  s.reducer_ready = true;
  for (auto& process : s.processes) process.ready = true;
  for (auto& stream : s.streams) stream.ready = true;
  spdlog::info("scan {}: {} events, streams [{}], {} workers", to_string(s.setup.head.scan), s.map->events(),
               fmt::join(s.map->streams(), ", "), s.workers.size());
  open_journal();
  note_change();
  keep_scan_files();
  s.reducer_version = s.setup.version;
  for (auto& worker : s.workers) worker.version = s.setup.version;
  tell_parameters();
  starting->deliver(to_string(s.setup.head.scan));
  starting.reset();
  self->delayed_send(self, look_interval, tick_atom::value, scan_number);
  // Who came meanwhile.
  auto number = scan_number;
  auto there = members;
  for (auto& [life, m] : there)
    if (number == scan_number && s.life.active()) come_back(m);
  assign();
}

// -- running --------------------------------------------------------------------------------------------

bool controller_state::is_current(const message_head& head) const {
  return current && current->life.active() && head.scan == current->setup.head.scan &&
         head.gen == current->setup.head.gen;
}

bool controller_state::is_running() const { return current && current->life.state() == scan_state::running; }

void controller_state::take(const credit& m) {
  if (!is_current(m.head)) return;
  auto& s = *current;
  for (auto& w : m.workers) {
    if (w.index.value >= s.workers.size() || s.setup.workers[w.index.value].gone) continue;
    s.bindings.grant(w.index, w.granted);
    s.bindings.note_processed(w.index, w.processed);
    s.workers[w.index.value].processed = w.processed;
    s.workers[w.index.value].busy = w.busy;
    s.workers[w.index.value].load.note({s.fates.ended(), options.around.steady(), w.busy, w.processed});
  }
  if (!m.workers.empty()) grant_tick(m.workers.front().index);
  assign();
}

/// Once in a while the next event of a worker that is at work gets the tick.
void controller_state::grant_tick(worker_index worker) {
  auto now = options.around.steady();
  if (worker.value >= current->workers.size() || now - last_tick < tick_interval.count()) return;
  last_tick = now;
  self->send(current->workers[worker.value].handle, tick_atom::value, true);
}

void controller_state::take(const commits& m) {
  if (!is_current(m.head)) return;
  for (auto& ended : m.slots) current->fates.end(ended.slots, ended.how, ended.cause);
  if (current->trial.on) try_next();
  settle();
}

void controller_state::take(const remarks& m) {
  if (!is_current(m.head)) return;
  for (auto& r : m.slots) current->fates.remark(r.slots.events, r.cause);
}

void controller_state::take(const pressure& m) {
  if (is_current(m.head)) flush_all();
}

void controller_state::take(const stalled& m) {
  if (!is_current(m.head)) return;
  stop(m.stream.empty() ? m.since : fmt::format("stream '{}': {}", m.stream, m.since));
}

void controller_state::take(const taken& m) {
  if (!is_current(m.head)) return;
  auto& s = *current;
  if (m.stream.value >= s.streams.size() || s.streams[m.stream.value].life != m.head.from) return;
  auto& from = s.streams[m.stream.value];
  from.taken = std::max(from.taken, m.dispatch);
  auto all = s.last_dispatch;
  for (auto& stream : s.streams)
    if (!stream.ready || stream.taken < stream.last_sent) all = std::min(all, stream.taken);
  while (!s.outbox.empty() && s.outbox.front().dispatch <= all) s.outbox.pop_front();
}

void controller_state::take(const stream_began& m) {
  if (!is_current(m.head) || m.stream.value >= current->streams.size()) return;
  auto& stream = current->streams[m.stream.value];
  if (stream.life != m.head.from) return;
  stream.place = m.arm;
  note(record_kind::began, m.stream, m.arm);
  commit_journal();
}

void controller_state::assign() {
  auto& s = *current;
  // Without a reducer nothing would be folded: what waits does so in the queues of the streams.
  while (s.life.state() == scan_state::running && !s.life.stopping() && s.reducer_ready && !restoring) {
    assignment_batch batch(s.streams.size(), s.processes.size());
    while (batch.events() < most_events_per_message && s.bindings.next(bound)) {
      std::uint32_t slots = 0;
      for (auto& target : bound.targets) slots += target.slots;
      s.fates.open(slots);
      batch.add(bound, s.process_of);
    }
    if (batch.events() == 0) break;
    note_batch(batch.events());
    send(batch);
  }
  settle();
}

void controller_state::send(assignment_batch& batch) {
  auto& s = *current;
  ++s.last_dispatch;
  for (process_index p = 0; p < s.processes.size(); ++p) {
    auto& runs = batch.of_process(p);
    for (auto& run : runs) s.book.give(run, s.last_dispatch);
    if (!runs.empty()) send_dispatches(p, s.last_dispatch, std::move(runs));
  }
  scan::batch next{s.last_dispatch, {}, std::vector<std::vector<repeat_run>>(s.streams.size()), {}};
  for (std::size_t i = 0; i < s.streams.size(); ++i) next.runs.push_back(std::move(batch.of_stream(i)));
  post(std::move(next));
}

void controller_state::send_dispatches(process_index place, dispatch_id dispatch,
                                       std::vector<worker_run> runs, bool alone) {
  auto& process = current->processes[place];
  self->send(process.assembler,
             dispatches{current->head(), process.last_sent, dispatch, std::move(runs), alone});
  process.last_sent = dispatch;
}

/// Tells all ingesters, and keeps it until all have it.
void controller_state::post(scan::batch batch) {
  auto& s = *current;
  for (std::uint16_t i = 0; i < s.streams.size(); ++i)
    if (s.streams[i].ready) send_batch(stream_index(i), batch);
  s.outbox.push_back(std::move(batch));
}

void controller_state::send_batch(stream_index stream, const scan::batch& batch) {
  if (!batch.concerns(stream.value)) return;
  auto& to = current->streams[stream.value];
  self->send(to.ingester, assignments{current->head(), to.last_sent, batch.dispatch, batch.runs[stream.value],
                                      batch.repeats[stream.value], batch.gone});
  to.last_sent = batch.dispatch;
}

/// Lets frames of ended events go, and sees whether the scan is through.
void controller_state::settle() {
  auto& s = *current;
  if (auto ended = s.fates.take_ended(); !ended.empty()) {
    for (auto& stream : s.streams)
      if (stream.ready) self->send(stream.ingester, forget{s.head(), ended});
    s.book.prune(s.fates);
  }
  if (s.life.state() != scan_state::running || restoring) return;
  if (s.fates.complete())
    drain();
  else if (!s.flushed && nothing_under_way()) {
    s.flushed = true;
    flush_all();
  }
}

/// Every event that was given out is through its worker: what has not ended is deferred, or its
/// result is on its way.
bool controller_state::nothing_under_way() const {
  auto& s = *current;
  if (!s.bindings.done() && !s.life.stopping()) return false;
  for (std::uint32_t w = 0; w < s.workers.size(); ++w)
    if (!s.setup.workers[w].gone && s.bindings.in_hand(worker_index(w)) > 0) return false;
  return true;
}

void controller_state::flush_all() {
  auto& s = *current;
  for (std::uint32_t w = 0; w < s.workers.size(); ++w)
    if (!s.setup.workers[w].gone) self->send(s.workers[w].handle, flush{s.head()});
}

// -- ending ---------------------------------------------------------------------------------------------

bool controller_state::stop(const std::string& cause) {
  if (!current || !current->life.active()) return false;
  auto& s = *current;
  if (s.life.state() == scan_state::arming) {
    arming_failed("", make_error(ec::superseded, cause));
    return true;
  }
  if (!s.life.stop()) return true;
  spdlog::info("scan {}: {}", to_string(s.setup.head.scan), cause);
  s.cause = cause;
  note(record_kind::stopped, cause);
  commit_journal();
  s.fates.end_unopened(fate::lost, cause);
  for (std::uint16_t i = 0; i < s.streams.size(); ++i)
    if (s.streams[i].ready)
      self->send(s.streams[i].ingester, halt{s.head(), cause});
    else
      bury_stream(stream_index(i), cause);
  self->delayed_send(self, options.stop_timeout, stop_atom::value, scan_number);
  settle();
  return true;
}

/// A stop that takes too long gives up what is still under way.
void controller_state::stop_overdue(std::uint64_t number) {
  if (number != scan_number || !is_running()) return;
  // Only the reducer ends slots: once it has closed the fold, what it committed before is here.
  if (!current->reducer) return give_up_rest(number);
  self->request(current->reducer, options.arm_timeout, seal{current->head()})
      .then([this, number](bool) { give_up_rest(number); },
            [this, number](const caf::error&) { give_up_rest(number); });
}

void controller_state::give_up_rest(std::uint64_t number) {
  if (number != scan_number || !is_running()) return;
  current->fates.give_up(fate::lost, current->cause + "; it did not end within stop_timeout");
  settle();
}

void controller_state::drain() {
  auto& s = *current;
  s.life.drain();
  s.finished.clear();
  s.to_finish.clear();
  for (std::uint32_t w = 0; w < s.workers.size(); ++w)
    if (!s.setup.workers[w].gone && s.processes[s.process_of[w]].ready) s.to_finish.insert(worker_index(w));
  if (s.to_finish.empty()) return close();
  for (auto worker : std::set<worker_index>(s.to_finish)) ask_to_finish(worker);
}

void controller_state::ask_to_finish(worker_index worker) {
  auto name = current->setup.workers[worker.value].name;
  self->request(current->workers[worker.value].handle, options.arm_timeout, finish_worker{current->head()})
      .then(
          [this, worker, number = scan_number](const finished_worker& m) {
            if (!is_draining(number) || !current->to_finish.contains(worker)) return;
            current->finished.push_back(m);
            has_finished(worker);
          },
          [this, worker, name, number = scan_number](const caf::error& e) {
            if (!is_draining(number) || !current->to_finish.contains(worker)) return;
            current->complaints.push_back(fmt::format("worker {} did not finish: {}", name, text_of(e)));
            has_finished(worker);
          });
}

void controller_state::has_finished(worker_index worker) {
  if (current->to_finish.erase(worker) > 0 && current->to_finish.empty()) close();
}

bool controller_state::is_draining(std::uint64_t number) const {
  return number == scan_number && current && current->life.state() == scan_state::draining;
}

/// Asked again when the reducer comes back.
void controller_state::close() {
  auto& s = *current;
  s.closing = true;
  if (!s.reducer_ready) return; // once more when it is back
  if (s.output.empty()) return ask_reducer_to_finish({});
  ask_streams([this, number = scan_number](value_map streams) {
    if (!is_draining(number) || !current->closing || !current->reducer_ready) return;
    ask_reducer_to_finish(
        value_map{{"ledger", ledger_of(end_state(), streams)}, {"trigger_map", map_runs(*current->map)}});
  });
}

void controller_state::ask_reducer_to_finish(value about) {
  auto& s = *current;
  self->request(s.reducer, close_timeout, finish_scan{s.head(), s.finished, std::move(about)})
      .then(
          [this, number = scan_number](const finished_scan& m) {
            if (!is_draining(number) || !current->closing) return;
            current->closing = false;
            current->keeping = true;
            current->output = m.output;
            for (auto& text : m.complaints) current->complaints.push_back(text);
            for (auto& text : current->complaints) spdlog::warn("scan: {}", text);
            write_ledger();
          },
          [this, number = scan_number](const caf::error& e) {
            // What is not the reducer's own answer is a lost connection: it is asked again when it is back.
            if (is_draining(number) && current->closing && is_an_answer(e)) fail(text_of(e));
          });
}

/// An error that who was asked answered with; anything else is the connection's, or that of the time.
bool controller_state::is_an_answer(const caf::error& e) {
  return code_of(e) || e == caf::sec::request_timeout;
}

/// The last step of a scan: what became of its streams, and the ledger beside its results.
void controller_state::write_ledger() {
  finish_streams([this, number = scan_number](value_map streams) {
    if (!is_draining(number)) return;
    if (!recording_prefix().empty() || options.records)
      for (auto& stream : current->setup.streams)
        if (!streams.find(stream))
          current->complaints.push_back(
              fmt::format("stream '{}': its ingester does not say how its recording ended", stream));
    for (auto& [stream, report] : streams)
      if (auto trouble = report.find("recording_error"))
        current->complaints.push_back(fmt::format("stream '{}' is not recorded whole: {}", stream,
                                                  trouble->as_text() ? *trouble->as_text() : ""));
    current->stream_reports = std::move(streams);
    self->request(current->reducer, close_timeout, ledger_to_keep(end_state()))
        .then([this, number](const std::string&) { finish(number); },
              [this, number](const caf::error& e) {
                if (!is_draining(number)) return;
                if (!is_an_answer(e)) {
                  current->closing = true;
                  return;
                }
                current->complaints.push_back("the ledger was not written: " + text_of(e));
                finish(number);
              });
  });
}

void controller_state::finish(std::uint64_t number) {
  if (!is_draining(number)) return;
  // First: a controller that is started again now has nothing to take up.
  close_journal();
  disarm_all();
  current->life.close();
  end();
}

scan_state controller_state::end_state() const {
  return current->life.stopping() ? scan_state::stopped : scan_state::finished;
}

/// As it will be when the scan has come to that state.
keep_ledger controller_state::ledger_to_keep(scan_state state) const {
  return {current->head(), to_json(ledger_of(state, current->stream_reports)) + "\n"};
}

void controller_state::fail(const std::string& cause) {
  spdlog::error("scan {}: failed: {}", to_string(current->setup.head.scan), cause);
  if (starting) starting->deliver(make_error(ec::unavailable, cause));
  starting.reset();
  current->cause = cause;
  current->fates.give_up(fate::lost, cause);
  disarm_all();
  current->life.fail();
  end();
  if (!current->reducer || current->armed_at == 0) return;
  ask_streams([this, number = scan_number](value_map streams) {
    if (number != scan_number) return;
    current->stream_reports = std::move(streams);
    self->request(current->reducer, close_timeout, ledger_to_keep(scan_state::failed))
        .then([](const std::string&) {},
              [](const caf::error& e) { spdlog::warn("the ledger was not written: {}", text_of(e)); });
  });
}

void controller_state::give_up_current(const std::string& cause) {
  if (starting) starting->deliver(make_error(ec::superseded, cause));
  starting.reset();
  fail(cause);
}

void controller_state::disarm_all() {
  auto& s = *current;
  auto tell = [&](const caf::actor& to) {
    if (to) self->send(to, disarm{s.head()});
  };
  for (auto& stream : s.streams) tell(stream.ingester);
  for (auto& process : s.processes) tell(process.assembler);
  for (auto& worker : s.workers) tell(worker.handle);
  tell(s.reducer);
}

void controller_state::end() {
  auto& s = *current;
  s.ended_at = options.around.steady();
  std::vector<std::string> parts;
  for (std::size_t f = 0; f < fate_count; ++f)
    if (auto n = s.fates.count(static_cast<fate>(f)))
      parts.push_back(fmt::format("{} {}", n, name_of(static_cast<fate>(f))));
  bool any_failed = s.fates.count(fate::failed) > 0;
  spdlog::log(any_failed ? spdlog::level::warn : spdlog::level::info, "scan {}: {}: {}{}{}",
              to_string(s.setup.head.scan), name_of(s.life.state()), fmt::join(parts, ", "),
              any_failed ? "; the ledger says why" : "", s.output.empty() ? "" : " -> " + s.output);
  close_journal();
}

caf::actor spawn_controller(caf::actor_system& system, controller_options options) {
  return system.spawn([options = std::move(options)](controller_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
