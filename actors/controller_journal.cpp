/// The controller's own restart: what it decided is written down before anybody is told, in the order in
/// which it was decided, and decided once more from that.
#include <caf/binary_deserializer.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <bit>

#include "actors/controller_state.hpp"
#include "actors/frugal_scheduler.hpp"
#include "model/error.hpp"

namespace dtranspose {

namespace {

constexpr std::string_view prefix = "controller-";

template <class... Ts>
void read(caf::actor_system& system, std::span<const std::byte> content, Ts&... x) {
  caf::binary_deserializer source(system, reinterpret_cast<const char*>(content.data()), content.size());
  if (auto e = source(x...)) throw std::runtime_error("a record cannot be read: " + text_of(e));
}

} // namespace

void controller_state::open_journal() {
  if (!options.journals) return;
  auto& s = *current;
  try {
    records = options.journals->open(std::string(prefix) + to_string(s.setup.head.scan), {});
  } catch (const std::exception& e) {
    spdlog::error("the controller keeps no journal of this scan: {}", e.what());
    return;
  }
  std::vector<tag_set> tags;
  for (std::uint32_t w = 0; w < s.workers.size(); ++w) tags.push_back(s.bindings.tags_of(worker_index(w)));
  note(record_kind::scan, s.setup, s.body, s.wrap, tags);
  commit_journal();
}

void controller_state::note_batch(std::uint64_t events) {
  auto choices = current->bindings.take_choices();
  if (!records) return;
  note(record_kind::batch, current->last_dispatch + 1, events, choices);
  commit_journal();
}

/// An event that could not be bound yet may have some of its constraints bound.
void controller_state::note_choices() {
  auto choices = current->bindings.take_choices();
  if (!choices.empty()) note(record_kind::batch, current->last_dispatch, std::uint64_t{0}, choices);
}

/// What cannot be written is tried again with the next: a scan goes on without, and only its restart suffers.
void controller_state::commit_journal() {
  if (!records) return;
  blocking_section others_go_on;
  try {
    records->commit();
    journal_trouble.clear();
  } catch (const std::exception& e) {
    if (journal_trouble.empty()) spdlog::error("the controller's journal: {}", e.what());
    journal_trouble = e.what();
  }
}

void controller_state::close_journal() {
  if (!records) return;
  try {
    records->remove();
  } catch (const std::exception& e) {
    spdlog::warn("the controller's journal: {}", e.what());
  }
  records.reset();
}

/// Takes up the scan that was in hand when this process ended.
void controller_state::restore() {
  if (!options.journals) return;
  for (auto& name : options.journals->names()) {
    if (!name.starts_with(prefix) || current) continue;
    try {
      records = options.journals->open(name, [this](std::uint8_t kind, std::span<const std::byte> content) {
        replay(static_cast<record_kind>(kind), content);
      });
    } catch (const std::exception& e) {
      spdlog::error("the journal {} cannot be taken up: {}", name, e.what());
      current.reset();
      records.reset();
      continue;
    }
    if (!current) close_journal();
  }
  if (!current) return;
  auto& s = *current;
  s.bindings.end_replay();
  (void)s.bindings.take_choices();
  (void)s.fates.take_ended();
  s.setup.head.from = options.life;
  book.restore(s.setup.parameters, s.setup.version);
  restoring = true;
  restored_at = s.reducer_lost_at = s.armed_at = options.around.steady();
  for (auto& stream : s.streams) stream.lost_at = restored_at;
  ++scan_number;
  spdlog::info("scan {}: taken up at event {} of {}; waits for its members", to_string(s.setup.head.scan),
               s.bindings.bound(), s.map->events());
  self->delayed_send(self, look_interval, tick_atom::value, scan_number);
}

void controller_state::replay(record_kind kind, std::span<const std::byte> content) {
  auto& system = self->system();
  if (kind != record_kind::scan && !current) throw std::runtime_error("it does not begin with its scan");
  switch (kind) {
  case record_kind::scan: {
    arm setup;
    std::string body;
    bool wrap = true;
    std::vector<tag_set> tags;
    read(system, content, setup, body, wrap, tags);
    return replay_scan(std::move(setup), std::move(body), wrap, tags);
  }
  case record_kind::batch: {
    dispatch_id dispatch;
    std::uint64_t events = 0;
    std::vector<binding_run> choices;
    read(system, content, dispatch, events, choices);
    return replay_batch(dispatch, events, choices);
  }
  case record_kind::gone: {
    process_index place = 0;
    read(system, content, place);
    for (auto worker : current->processes.at(place).workers) {
      current->setup.workers[worker.value].gone = true;
      current->bindings.retire(worker);
    }
    return;
  }
  case record_kind::rebound: {
    worker_index from, to;
    read(system, content, from, to);
    return current->bindings.rebind(from, to);
  }
  case record_kind::unbound: {
    worker_index from;
    read(system, content, from);
    return current->bindings.rebind(from, std::nullopt);
  }
  case record_kind::moved: {
    dispatch_id dispatch;
    worker_index from, to;
    std::vector<worker_run> runs;
    read(system, content, dispatch, from, to, runs);
    return replay_move(dispatch, from, to, runs);
  }
  case record_kind::late: {
    member_info m;
    std::vector<std::string> names;
    std::vector<tag_set> tags;
    read(system, content, m.life, names, tags);
    for (std::size_t i = 0; i < names.size(); ++i) m.workers.push_back({names[i], tags.at(i), {}});
    return enlist_process(*current, m, false);
  }
  case record_kind::let_in: {
    scan::context context;
    read(system, content, context.place, context.dispatch, context.events, context.runs);
    return replay_context(std::move(context));
  }
  case record_kind::began: {
    stream_index stream;
    arm_place place;
    read(system, content, stream, place);
    current->streams.at(stream.value).place = place;
    return;
  }
  case record_kind::parameters: {
    read(system, content, current->setup.version, current->setup.parameters);
    return note_change();
  }
  case record_kind::stopped: {
    read(system, content, current->cause);
    current->life.stop();
    current->fates.end_unopened(fate::lost, current->cause);
    return;
  }
  }
}

void controller_state::replay_scan(arm setup, std::string body, bool wrap, const std::vector<tag_set>& tags) {
  auto map = trigger_map::parse(body, wrap);
  if (!map) throw std::runtime_error("its trigger map cannot be read");
  auto workers = std::exchange(setup.workers, {});
  current.emplace(std::move(setup), *map);
  auto& s = *current;
  s.body = std::move(body);
  s.wrap = wrap;
  s.streams.resize(s.map->streams().size());
  std::map<process_index, member_info> processes;
  for (std::size_t w = 0; w < workers.size(); ++w) {
    processes[workers[w].place].life = workers[w].process;
    processes[workers[w].place].workers.push_back({workers[w].name, tags.at(w), {}});
  }
  for (auto& [place, m] : processes) enlist_process(s, m, true);
  s.life.arm();
  s.life.armed();
  note_change();
}

void controller_state::replay_batch(dispatch_id dispatch, std::uint64_t events,
                                    const std::vector<binding_run>& choices) {
  auto& s = *current;
  s.bindings.replay(choices);
  assignment_batch batch(s.streams.size(), s.processes.size());
  while (batch.events() < events) {
    if (!s.bindings.next(bound)) throw std::runtime_error("its bindings do not fit its trigger map");
    std::uint32_t slots = 0;
    for (auto& target : bound.targets) slots += target.slots;
    s.fates.open(slots);
    batch.add(bound, s.process_of);
  }
  s.bindings.replay_ahead();
  if (events == 0) return;
  s.last_dispatch = dispatch;
  for (process_index p = 0; p < s.processes.size(); ++p)
    for (auto& run : batch.of_process(p)) s.book.give(run, dispatch);
  scan::batch next{dispatch, {}, std::vector<std::vector<repeat_run>>(s.streams.size()), {}};
  for (std::size_t i = 0; i < s.streams.size(); ++i) next.runs.push_back(std::move(batch.of_stream(i)));
  s.outbox.push_back(std::move(next));
}

void controller_state::replay_move(dispatch_id dispatch, worker_index from, worker_index to,
                                   const std::vector<worker_run>& runs) {
  auto& s = *current;
  s.last_dispatch = dispatch;
  s.book.take_away(from, runs);
  for (auto& run : runs) {
    s.book.give(run, dispatch);
    s.bindings.note_extra(to, run.events.count);
  }
  s.outbox.push_back(repeats_of(dispatch, s.process_of.at(to.value), runs));
}

void controller_state::replay_context(scan::context context) {
  auto& s = *current;
  for (auto worker : s.processes.at(context.place).workers) {
    s.bindings.admit(worker);
    s.bindings.note_extra(worker, context.events.size());
  }
  if (context.runs.empty()) return;
  s.last_dispatch = context.dispatch;
  s.outbox.push_back(repeats_of(context.dispatch, context.place, context.runs));
  s.contexts.push_back(std::move(context));
}

} // namespace dtranspose
