#include "actors/controller.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/sec.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "actors/conduct.hpp"
#include "actors/messages.hpp"
#include "model/assigner.hpp"
#include "model/error.hpp"
#include "model/ledger.hpp"
#include "model/scan_state.hpp"
#include "model/trigger_map.hpp"
#include "model/value_json.hpp"

namespace dtranspose {

namespace {

/// Events that one message assigns at most: a bound on its size, far above what credit lets through.
constexpr std::uint64_t most_events_per_message = 4096;
/// Over all workers of a scan, one event in this time gets the tick.
constexpr std::chrono::nanoseconds tick_interval = std::chrono::seconds(1);
/// How long files may take to be closed.
constexpr auto close_timeout = std::chrono::minutes(10);
/// How long an actor may take to say how it is.
constexpr auto status_timeout = std::chrono::seconds(1);
/// Scans up to this length list their completed events one by one in `status`, as the incumbent does.
constexpr std::uint64_t longest_status_list = 10'000;

struct controller_state;
using controller_actor = caf::stateful_actor<controller_state>;

/// What the controller knows of one scan.
struct scan {
  struct worker {
    caf::actor handle;
    std::uint64_t processed = 0;
    std::uint64_t busy = 0; ///< ns
  };

  scan(arm setup, std::shared_ptr<const trigger_map> map)
      : setup(std::move(setup)), map(map), bindings(map), fates(map->events()) {}

  message_head head() const { return setup.head; }

  arm setup; ///< as everybody gets it, but for the fields of single receivers
  std::shared_ptr<const trigger_map> map;
  assigner bindings;
  ledger fates;
  scan_life life;
  std::vector<worker> workers;           ///< by worker_index
  std::vector<process_index> process_of; ///< by worker_index
  std::vector<caf::actor> assemblers;    ///< by process_index
  std::vector<caf::actor> ingesters;     ///< by stream_index
  caf::actor reducer;
  std::vector<incarnation> lives; ///< processes that it cannot do without
  dispatch_id last_dispatch;
  bool flushed = false;
  std::string cause;  ///< why it was stopped or failed
  std::string output; ///< file that was written
  std::vector<finished_worker> finished;
  std::vector<std::string> complaints;
  value_map streams;                       ///< what became of each, once the scan is over
  std::int64_t armed_at = 0, ended_at = 0; ///< steady clock, ns
};

struct controller_state {
  static inline const char* name = "controller";

  explicit controller_state(controller_actor* self) : self(self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    return {
        [this](const credit& m) { take(m); },
        [this](const commits& m) { take(m); },
        [this](const remarks& m) { take(m); },
        [this](const pressure& m) { take(m); },
        [this](const stalled& m) { take(m); },
        [this](const member_info& m) { welcome(m); },
        [this](const departed& m) { miss(m.life); },
        [this](const set_sequence& m) { return start(m); },
        [this](stop_atom) { return stop("stopped on request"); },
        [this](stop_atom, std::uint64_t number) { stop_overdue(number); },
        [this](progress_atom) { return report_progress(); },
        [this](sequence_atom) -> caf::result<std::string> { return sequence(); },
        [this](ledger_atom) { return report_ledger(); },
        [this](config_atom) { return ensemble(); },
        [this](status_atom) { return status(); },
    };
  }

  // -- members ------------------------------------------------------------------------------------------

  void welcome(const member_info& m) {
    members[m.life] = m;
    spdlog::info("{} has joined: {}", m.name, roles_of(m));
  }

  void miss(incarnation life) {
    auto i = members.find(life);
    if (i == members.end()) return;
    auto name = i->second.name;
    spdlog::warn("{} is gone", name);
    members.erase(i);
    if (current && current->life.active() && std::count(current->lives.begin(), current->lives.end(), life))
      fail(fmt::format("process {} is gone", name));
  }

  static std::string roles_of(const member_info& m) {
    std::vector<std::string> parts;
    for (auto& i : m.ingesters) parts.push_back("stream " + i.stream);
    if (!m.workers.empty()) parts.push_back(fmt::format("{} workers", m.workers.size()));
    if (m.reducer) parts.push_back("reducer");
    return parts.empty() ? "no roles but its own" : fmt::format("{}", fmt::join(parts, ", "));
  }

  // -- starting a scan ----------------------------------------------------------------------------------

  caf::result<std::string> start(const set_sequence& request) {
    auto map = trigger_map::parse(request.body, request.wrap);
    if (!map) return map.error();
    arm setup;
    setup.head = {make_scan_id(options.around.random(), options.around.random()), generation(1),
                  options.life};
    setup.events = (*map)->events();
    setup.streams = (*map)->streams();
    setup.analysis = options.analysis;
    setup.parameters = options.parameters;
    setup.version = parameters_version(1);
    scan next(std::move(setup), *map);
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
  caf::error enlist(scan& s) {
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
        s.lives.push_back(life);
      }
    if (!s.reducer) return make_error(ec::unavailable, "no reducer available");
    return {};
  }

  caf::error enlist_ingesters(scan& s) {
    std::vector<std::string> missing;
    for (auto& stream : s.map->streams()) {
      caf::actor found;
      for (auto& [life, m] : members)
        for (auto& ingester : m.ingesters)
          if (ingester.stream == stream && !found) {
            found = ingester.handle;
            s.lives.push_back(life);
          }
      if (!found) missing.push_back("'" + stream + "'");
      s.ingesters.push_back(found);
    }
    if (missing.empty()) return {};
    return make_error(ec::unavailable, fmt::format("streams {{{}}} not available", fmt::join(missing, ", ")));
  }

  void enlist_workers(scan& s) {
    for (auto& [life, m] : members) {
      if (m.workers.empty()) continue;
      auto place = static_cast<process_index>(s.assemblers.size());
      s.assemblers.push_back(m.assembler);
      s.lives.push_back(life);
      for (auto& worker : m.workers) {
        s.setup.workers.push_back({worker.name, life, place});
        s.workers.push_back({worker.handle});
        s.process_of.push_back(place);
        s.bindings.add_worker(worker.tags);
      }
    }
  }

  /// A constraint whose tags no worker has would block the scan for ever.
  caf::error check_tags(const scan& s) const {
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

  void arm_reducer() {
    arm_all({{current->reducer, "the reducer", current->setup}}, [this] { arm_workers(); });
  }

  void arm_workers() {
    std::vector<armee> list;
    for (std::uint32_t w = 0; w < current->workers.size(); ++w) {
      auto m = current->setup;
      m.worker = worker_index(w);
      list.push_back({current->workers[w].handle, "worker " + m.workers[w].name, std::move(m)});
    }
    arm_all(std::move(list), [this] { arm_assemblers(); });
  }

  void arm_assemblers() {
    std::vector<armee> list;
    for (auto& assembler : current->assemblers)
      list.push_back({assembler, "a worker process", current->setup});
    arm_all(std::move(list), [this] { arm_ingesters(); });
  }

  void arm_ingesters() {
    std::vector<armee> list;
    for (std::uint16_t s = 0; s < current->ingesters.size(); ++s) {
      auto m = current->setup;
      m.stream = stream_index(s);
      m.entries = current->map->entries(m.stream);
      list.push_back({current->ingesters[s], "the ingester of stream '" + m.streams[s] + "'", std::move(m)});
    }
    arm_all(std::move(list), [this] { run(); });
  }

  struct armee {
    caf::actor handle;
    std::string who;
    arm message;
  };

  /// Goes on with `next` when all have confirmed; one failure disarms all.
  void arm_all(std::vector<armee> list, std::function<void()> next) {
    if (list.empty()) return next();
    auto open = std::make_shared<std::size_t>(list.size());
    for (auto& a : list)
      self->request(a.handle, options.arm_timeout, a.message)
          .then(
              [this, open, next, number = scan_number](const armed& m) {
                if (number != scan_number || current->life.state() != scan_state::arming) return;
                if (m.credit > 0) grant_first(m);
                if (--*open == 0) next();
              },
              [this, who = a.who, number = scan_number](const caf::error& e) {
                if (number == scan_number && current->life.state() == scan_state::arming)
                  arming_failed(who, e);
              });
  }

  void grant_first(const armed& m) {
    for (std::uint32_t w = 0; w < current->setup.workers.size(); ++w)
      if (current->setup.workers[w].process == m.from) current->bindings.grant(worker_index(w), m.credit);
  }

  void arming_failed(const std::string& who, const caf::error& e) {
    auto text = e == caf::sec::request_timeout
                    ? fmt::format("{} did not get ready within {}", who,
                                  std::chrono::duration_cast<std::chrono::seconds>(options.arm_timeout))
                    : text_of(e);
    auto code = code_of(e).value_or(ec::timed_out);
    if (starting) starting->deliver(make_error(code, text));
    starting.reset();
    fail(text);
  }

  void run() {
    current->life.armed();
    current->armed_at = options.around.steady();
    spdlog::info("scan {}: {} events, streams [{}], {} workers", to_string(current->setup.head.scan),
                 current->map->events(), fmt::join(current->map->streams(), ", "), current->workers.size());
    starting->deliver(to_string(current->setup.head.scan));
    starting.reset();
    assign();
  }

  // -- running ------------------------------------------------------------------------------------------

  bool is_current(const message_head& head) const {
    return current && current->life.active() && head.scan == current->setup.head.scan &&
           head.gen == current->setup.head.gen;
  }

  void take(const credit& m) {
    if (!is_current(m.head)) return;
    for (auto& w : m.workers) {
      if (w.index.value >= current->workers.size()) continue;
      current->bindings.grant(w.index, w.granted);
      current->bindings.note_processed(w.index, w.processed);
      current->workers[w.index.value].processed = w.processed;
      current->workers[w.index.value].busy = w.busy;
    }
    if (!m.workers.empty()) grant_tick(m.workers.front().index);
    assign();
  }

  /// Once in a while the next event of a worker that is at work gets the tick.
  void grant_tick(worker_index worker) {
    auto now = options.around.steady();
    if (worker.value >= current->workers.size() || now - last_tick < tick_interval.count()) return;
    last_tick = now;
    self->send(current->workers[worker.value].handle, tick_atom::value, true);
  }

  void take(const commits& m) {
    if (!is_current(m.head)) return;
    for (auto& ended : m.slots) current->fates.end(ended.slots, ended.how, ended.cause);
    settle();
  }

  void take(const remarks& m) {
    if (!is_current(m.head)) return;
    for (auto& r : m.slots) current->fates.remark(r.slots.events, r.cause);
  }

  void take(const pressure& m) {
    if (!is_current(m.head)) return;
    for (auto& worker : current->workers) self->send(worker.handle, flush{current->head()});
  }

  void take(const stalled& m) {
    if (is_current(m.head)) stop(fmt::format("stream '{}': {}", m.stream, m.since));
  }

  void assign() {
    auto& s = *current;
    while (s.life.state() == scan_state::running && !s.life.stopping()) {
      assignment_batch batch(s.ingesters.size(), s.assemblers.size());
      while (batch.events() < most_events_per_message && s.bindings.next(bound)) {
        std::uint32_t slots = 0;
        for (auto& target : bound.targets) slots += target.slots;
        s.fates.open(slots);
        batch.add(bound, s.process_of);
      }
      if (batch.events() == 0) break;
      send(batch);
    }
    settle();
  }

  void send(assignment_batch& batch) {
    auto& s = *current;
    ++s.last_dispatch;
    for (std::size_t p = 0; p < s.assemblers.size(); ++p)
      if (auto& runs = batch.of_process(p); !runs.empty())
        self->send(s.assemblers[p], dispatches{s.head(), s.last_dispatch, std::move(runs)});
    for (std::size_t i = 0; i < s.ingesters.size(); ++i)
      if (auto& runs = batch.of_stream(i); !runs.empty())
        self->send(s.ingesters[i], assignments{s.head(), s.last_dispatch, std::move(runs)});
  }

  /// Lets frames of ended events go, and sees whether the scan is through.
  void settle() {
    auto& s = *current;
    if (auto ended = s.fates.take_ended(); !ended.empty())
      for (auto& ingester : s.ingesters) self->send(ingester, forget{s.head(), ended});
    if (s.life.state() != scan_state::running) return;
    if (s.fates.complete())
      drain();
    else if (!s.flushed && nothing_under_way())
      flush_all();
  }

  /// Every event that was given out is through its worker: what has not ended is deferred, or its
  /// result is on its way.
  bool nothing_under_way() const {
    if (!current->bindings.done() && !current->life.stopping()) return false;
    for (std::uint32_t w = 0; w < current->workers.size(); ++w)
      if (current->workers[w].processed < current->bindings.given(worker_index(w))) return false;
    return true;
  }

  void flush_all() {
    current->flushed = true;
    for (auto& worker : current->workers) self->send(worker.handle, flush{current->head()});
  }

  // -- ending -------------------------------------------------------------------------------------------

  bool stop(const std::string& cause) {
    if (!current || !current->life.active()) return false;
    if (current->life.state() == scan_state::arming) {
      arming_failed("", make_error(ec::superseded, cause));
      return true;
    }
    if (!current->life.stop()) return true;
    spdlog::info("scan {}: {}", to_string(current->setup.head.scan), cause);
    current->cause = cause;
    current->fates.end_unopened(fate::lost, cause);
    for (auto& ingester : current->ingesters) self->send(ingester, halt{current->head(), cause});
    self->delayed_send(self, options.stop_timeout, stop_atom::value, scan_number);
    settle();
    return true;
  }

  /// A stop that takes too long gives up what is still under way.
  void stop_overdue(std::uint64_t number) {
    if (number != scan_number || !current || current->life.state() != scan_state::running) return;
    // Only the reducer ends slots: once it has closed the fold, what it committed before is here.
    self->request(current->reducer, options.arm_timeout, seal{current->head()})
        .then([this, number](bool) { give_up_rest(number); },
              [this, number](const caf::error&) { give_up_rest(number); });
  }

  void give_up_rest(std::uint64_t number) {
    if (number != scan_number || !current || current->life.state() != scan_state::running) return;
    current->fates.give_up(fate::lost, current->cause + "; it did not end within stop_timeout");
    settle();
  }

  void drain() {
    current->life.drain();
    current->finished.clear();
    auto open = std::make_shared<std::size_t>(current->workers.size());
    if (*open == 0) return close();
    for (auto& worker : current->workers)
      self->request(worker.handle, options.arm_timeout, finish_worker{current->head()})
          .then(
              [this, open, number = scan_number](const finished_worker& m) {
                if (!is_draining(number)) return;
                current->finished.push_back(m);
                if (--*open == 0) close();
              },
              [this, open, number = scan_number](const caf::error& e) {
                if (!is_draining(number)) return;
                current->complaints.push_back("a worker did not finish: " + text_of(e));
                if (--*open == 0) close();
              });
  }

  bool is_draining(std::uint64_t number) const {
    return number == scan_number && current && current->life.state() == scan_state::draining;
  }

  void close() {
    self->request(current->reducer, close_timeout, finish_scan{current->head(), current->finished})
        .then(
            [this, number = scan_number](const finished_scan& m) {
              if (!is_draining(number)) return;
              current->output = m.output;
              for (auto& text : m.complaints) current->complaints.push_back(text);
              for (auto& text : current->complaints) spdlog::warn("scan: {}", text);
              write_ledger();
            },
            [this, number = scan_number](const caf::error& e) {
              if (is_draining(number)) fail(text_of(e));
            });
  }

  /// The last step of a scan: what became of its streams, and the ledger beside its results.
  void write_ledger() {
    ask_streams([this, number = scan_number](value_map streams) {
      if (!is_draining(number)) return;
      current->streams = std::move(streams);
      self->request(current->reducer, close_timeout, ledger_to_keep(end_state()))
          .then([this, number](const std::string&) { finish(number); },
                [this, number](const caf::error& e) {
                  if (!is_draining(number)) return;
                  current->complaints.push_back("the ledger was not written: " + text_of(e));
                  finish(number);
                });
    });
  }

  void finish(std::uint64_t number) {
    if (!is_draining(number)) return;
    disarm_all();
    current->life.close();
    end();
  }

  scan_state end_state() const {
    return current->life.stopping() ? scan_state::stopped : scan_state::finished;
  }

  /// As it will be when the scan has come to that state.
  keep_ledger ledger_to_keep(scan_state state) const {
    return {current->head(), to_json(ledger_of(state, current->streams)) + "\n"};
  }

  void fail(const std::string& cause) {
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
      current->streams = std::move(streams);
      self->request(current->reducer, close_timeout, ledger_to_keep(scan_state::failed))
          .then([](const std::string&) {},
                [](const caf::error& e) { spdlog::warn("the ledger was not written: {}", text_of(e)); });
    });
  }

  void give_up_current(const std::string& cause) {
    if (starting) starting->deliver(make_error(ec::superseded, cause));
    starting.reset();
    fail(cause);
  }

  void disarm_all() {
    auto& s = *current;
    for (auto& to : s.ingesters) self->send(to, disarm{s.head()});
    for (auto& to : s.assemblers) self->send(to, disarm{s.head()});
    for (auto& to : s.workers) self->send(to.handle, disarm{s.head()});
    if (s.reducer) self->send(s.reducer, disarm{s.head()});
  }

  void end() {
    auto& s = *current;
    s.ended_at = options.around.steady();
    std::vector<std::string> parts;
    for (std::size_t f = 0; f < fate_count; ++f)
      if (auto n = s.fates.count(static_cast<fate>(f)))
        parts.push_back(fmt::format("{} {}", n, name_of(static_cast<fate>(f))));
    spdlog::info("scan {}: {}: {}{}", to_string(s.setup.head.scan), name_of(s.life.state()),
                 fmt::join(parts, ", "), s.output.empty() ? "" : " -> " + s.output);
  }

  // -- what people ask ----------------------------------------------------------------------------------

  progress report_progress() const {
    progress p;
    p.state = current ? name_of(current->life.state()) : name_of(scan_state::idle);
    if (!current) return p;
    auto& s = *current;
    p.scan = to_string(s.setup.head.scan);
    p.last_assigned = s.bindings.bound();
    p.completed_events = s.fates.ended();
    p.total_events = s.fates.events();
    p.finished = s.life.over();
    p.output = s.output;
    p.trouble = s.cause;
    for (std::size_t f = 0; f < fate_count; ++f)
      p.fates[name_of(static_cast<fate>(f))] = s.fates.count(static_cast<fate>(f));
    auto until = s.life.over() ? s.ended_at : options.around.steady();
    p.seconds = s.armed_at == 0 ? 0.0 : static_cast<double>(until - s.armed_at) * 1e-9;
    return p;
  }

  std::string sequence() const { return current ? current->map->to_json() : R"({"parts":{},"sequence":[]})"; }

  caf::result<value> report_ledger() {
    if (!current) return value(value_map{{"scan", value()}});
    auto state = current->life.state();
    if (current->life.over()) return ledger_of(state, current->streams);
    auto promise = self->make_response_promise<value>();
    ask_streams([this, promise, state, number = scan_number](value_map streams) mutable {
      // Another scan may have begun meanwhile: then this is the ledger of that one, without streams yet.
      if (number != scan_number) streams = {};
      promise.deliver(ledger_of(number == scan_number ? state : current->life.state(), streams));
    });
    return promise;
  }

  value ledger_of(scan_state state, const value_map& streams) const {
    auto& s = *current;
    auto report = s.fates.report();
    value_map m{{"scan", to_string(s.setup.head.scan)}, {"state", name_of(state)}, {"cause", s.cause}};
    for (auto& [key, content] : *report.as_map()) m.set(key, content);
    m.set("streams", streams);
    m.set("complaints", value_list(s.complaints.begin(), s.complaints.end()));
    m.set("output", s.output);
    return m;
  }

  /// What the ingesters of the scan say of their streams, by name; who does not answer in time is left out.
  void ask_streams(std::function<void(value_map)> done) {
    auto answers = std::make_shared<value_map>();
    auto open = std::make_shared<std::size_t>(current->ingesters.size());
    if (*open == 0) return done({});
    auto one_less = [answers, open, done = std::move(done)] {
      if (--*open == 0) done(std::move(*answers));
    };
    for (std::size_t i = 0; i < current->ingesters.size(); ++i)
      self->request(current->ingesters[i], status_timeout, status_atom::value)
          .then(
              [answers, one_less, stream = current->setup.streams[i]](const value& v) {
                answers->set(stream, v);
                one_less();
              },
              [one_less](const caf::error&) { one_less(); });
  }

  /// The ensemble in the words of the incumbent's REST interface.
  value ensemble() const {
    value_list ingesters, streams, workers;
    value reducer;
    value_map connected;
    for (auto& [life, m] : members)
      for (auto& w : m.workers) {
        auto uuid = service_uuid(m, w.name);
        connected.set(uuid, value_map{{"name", w.name},
                                      {"service_uuid", uuid},
                                      {"last_seen", static_cast<double>(options.around.wall()) * 1e-9}});
      }
    // A worker's list leaves out who is connected to each: that would be everybody squared.
    for (auto& [life, m] : members)
      for (auto& i : m.ingesters) {
        auto s = service(m, i.stream + "-ingester");
        s.set("url", m.address).set("streams", value_list{i.stream});
        streams.push_back(s);
        s.set("connected_workers", connected);
        ingesters.push_back(std::move(s));
      }
    for (auto& [life, m] : members) {
      for (auto& w : m.workers) {
        auto s = service(m, w.name);
        s.set("ingesters", streams).set("tags", value_list(w.tags.begin(), w.tags.end()));
        workers.push_back(std::move(s));
      }
      if (m.reducer) reducer = service(m, "reducer").set("url", m.address);
    }
    return value_map{{"ingesters", std::move(ingesters)}, {"workers", std::move(workers)},
                     {"reducer", std::move(reducer)},     {"controller_version", options.version},
                     {"parameters_version", value_map{}}, {"parameters_hash", value()},
                     {"analysis", options.analysis}};
  }

  /// The same for the life of the process that has it.
  static std::string service_uuid(const member_info& m, const std::string& service_name) {
    return to_string(make_scan_id(m.life.value, std::hash<std::string>{}(service_name)));
  }

  std::uint64_t processed_by(const std::string& service_name) const {
    if (!current) return 0;
    for (std::size_t w = 0; w < current->workers.size(); ++w)
      if (current->setup.workers[w].name == service_name) return current->workers[w].processed;
    return 0;
  }

  value_map service(const member_info& m, const std::string& service_name) const {
    value scan;
    if (current && current->life.active()) scan = to_string(current->setup.head.scan);
    return value_map{{"name", service_name},
                     {"service_uuid", service_uuid(m, service_name)},
                     {"mapping_uuid", std::move(scan)},
                     {"process", m.name},
                     {"dranspose_version", value()},
                     {"mapreduce_version", value()},
                     {"parameters_hash", value()},
                     {"processed_events", processed_by(service_name)},
                     {"event_rate", 0.0}};
  }

  /// Asks everybody how they are, and answers when all have said so or the time is over.
  caf::result<value> status() {
    auto promise = self->make_response_promise<value>();
    auto answers = std::make_shared<std::map<std::string, value>>();
    auto asked = everybody();
    auto open = std::make_shared<std::size_t>(asked.size());
    if (asked.empty()) {
      promise.deliver(status_of(*answers));
      return promise;
    }
    for (auto& [key, handle] : asked) {
      auto done = [this, promise, answers, open]() mutable {
        if (--*open == 0) promise.deliver(status_of(*answers));
      };
      self->request(handle, status_timeout, status_atom::value)
          .then(
              [key = key, answers, done](const value& v) mutable {
                (*answers)[key] = v;
                done();
              },
              [key = key, answers, done](const caf::error& e) mutable {
                (*answers)[key] = value_map{{"error", "does not answer: " + text_of(e)}};
                done();
              });
    }
    return promise;
  }

  std::map<std::string, caf::actor> everybody() const {
    std::map<std::string, caf::actor> all;
    for (auto& [life, m] : members) {
      for (auto& i : m.ingesters) all["streams/" + i.stream] = i.handle;
      for (auto& w : m.workers) all["workers/" + w.name] = w.handle;
      if (m.assembler) all["assemblers/" + m.name] = m.assembler;
      if (m.reducer) all["reducers/" + m.name] = m.reducer;
    }
    return all;
  }

  value status_of(const std::map<std::string, value>& answers) const {
    std::map<std::string, value_map> groups;
    for (auto& [key, v] : answers) {
      auto slash = key.find('/');
      groups[key.substr(0, slash)].set(key.substr(slash + 1), v);
    }
    auto p = report_progress();
    value_map m{{"scan", p.scan},
                {"state", p.state},
                {"trouble", p.trouble},
                {"last_assigned", p.last_assigned},
                {"completed_events", completed_list()},
                {"completed_count", p.completed_events},
                {"total_events", p.total_events},
                {"finished", p.finished}};
    m.set("work_completed", value_map{}).set("assignment", value_list{}).set("processing_times", times());
    for (auto& [group, content] : groups) m.set(group, content);
    return m;
  }

  /// What each worker spent in analysis code, under its last event as the incumbent has it.
  value_map times() const {
    value_map all;
    if (!current) return all;
    for (std::size_t w = 0; w < current->workers.size(); ++w) {
      auto& worker = current->workers[w];
      value_map entry{{"custom_code", static_cast<double>(worker.busy) * 1e-9},
                      {"no_events", worker.processed}};
      all.set(current->setup.workers[w].name,
              value_map{{std::to_string(current->fates.ended()), std::move(entry)}});
    }
    return all;
  }

  value_list completed_list() const {
    value_list list;
    if (!current || current->fates.events() > longest_status_list) return list;
    for (std::uint64_t e = 0; e < current->fates.opened(); ++e)
      if (current->fates.has_ended(event_number(e))) list.push_back(e);
    return list;
  }

  // -- state --------------------------------------------------------------------------------------------

  controller_actor* self;
  controller_options options;
  /// Processes that are here.
  std::map<incarnation, member_info> members;
  /// The scan in hand, or the last one.
  std::optional<scan> current;
  /// Counts scans: answers for an earlier one are not heeded.
  std::uint64_t scan_number = 0;
  /// Who posted the sequence that is being armed.
  std::optional<caf::typed_response_promise<std::string>> starting;
  bound_event bound;
  std::int64_t last_tick = 0; ///< steady clock, ns
};

} // namespace

caf::actor spawn_controller(caf::actor_system& system, controller_options options) {
  return system.spawn([options = std::move(options)](controller_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
