#include "actors/controller_state.hpp"
#include "analysis/registry.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "actors/messages.hpp"
#include "model/error.hpp"
#include "model/value_json.hpp"

namespace dtranspose {

namespace {

/// Events that `status` lists one by one, as other implementations do for all of them: the last ones.
constexpr std::size_t longest_status_list = 1000;
/// Decisions of a scan that are logged for everybody to see.
constexpr std::size_t most_logged = 100;

} // namespace

progress controller_state::report_progress() const {
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

std::string controller_state::sequence() const {
  return current ? current->map->to_json() : R"({"parts":{},"sequence":[]})";
}

caf::result<value> controller_state::report_ledger() {
  if (!current) return value(value_map{{"scan", value()}});
  auto state = current->life.state();
  if (current->life.over()) return ledger_of(state, current->stream_reports);
  auto promise = self->make_response_promise<value>();
  ask_streams([this, promise, state, number = scan_number](value_map streams) mutable {
    // Another scan may have begun meanwhile: then this is the ledger of that one, without streams yet.
    if (number != scan_number) streams = {};
    promise.deliver(ledger_of(number == scan_number ? state : current->life.state(), streams));
  });
  return promise;
}

value controller_state::ledger_of(scan_state state, const value_map& streams) const {
  auto& s = *current;
  auto report = s.fates.report();
  value_map m{{"scan", to_string(s.setup.head.scan)}, {"state", name_of(state)}, {"cause", s.cause}};
  for (auto& [key, content] : *report.as_map()) m.set(key, content);
  m.set("streams", streams);
  m.set("parameters", s.changes);
  if (s.changes_not_listed > 0) m.set("parameter_changes_not_listed", s.changes_not_listed);
  m.set("decisions", s.decisions.since(0));
  m.set("complaints", value_list(s.complaints.begin(), s.complaints.end()));
  m.set("output", s.output);
  return m;
}

/// Of the scan in hand, or the last one.
value controller_state::decisions_since(std::uint64_t number) const {
  if (!current) return value_map{{"scan", value()}, {"next", 0u}, {"decisions", value_list()}};
  return value_map{{"scan", to_string(current->setup.head.scan)},
                   {"next", current->decisions.next()},
                   {"decisions", current->decisions.since(number)}};
}

void controller_state::take(const decided& m) {
  if (!current || m.head.scan != current->setup.head.scan || m.head.gen != current->setup.head.gen) return;
  for (auto& decision : m.decisions) {
    if (!current->decisions.take(decision)) continue;
    auto name = decision.find("name");
    auto text = name && name->as_text() ? *name->as_text() : std::string();
    auto level = current->decisions.size() > most_logged ? spdlog::level::debug : spdlog::level::info;
    spdlog::log(level, "the analysis has decided: {}", to_json(decision));
    if (options.publish) {
      auto whole = *decision.as_map();
      options.publish(text, to_json(whole.set("scan", to_string(m.head.scan))));
    }
    auto stops = decision.find("stop");
    if (options.stops_when_decided && stops && stops->as_bool() && *stops->as_bool())
      stop(fmt::format("the analysis has decided: {}", text));
  }
}

/// What the ingesters of the scan say of their streams, by name; who does not answer in time is left out.
void controller_state::ask_streams(std::function<void(value_map)> done) {
  ask_streams(status_timeout, status_atom::value, std::move(done));
}

/// The same at the end of a scan, when recordings are on the disk.
void controller_state::finish_streams(std::function<void(value_map)> done) {
  if (recording_prefix().empty() && !options.records)
    ask_streams(std::move(done));
  else
    ask_streams(close_timeout, finish_recording{current->head()}, std::move(done));
}

template <class Question>
void controller_state::ask_streams(std::chrono::nanoseconds patience, const Question& question,
                                   std::function<void(value_map)> done) {
  auto answers = std::make_shared<value_map>();
  auto open = std::make_shared<std::size_t>(1);
  auto one_less = [answers, open, done = std::move(done)] {
    if (--*open == 0) done(std::move(*answers));
  };
  for (std::size_t i = 0; i < current->streams.size(); ++i) {
    if (!current->streams[i].ingester) continue;
    ++*open;
    self->request(current->streams[i].ingester, patience, question)
        .then(
            [answers, one_less, stream = current->setup.streams[i]](const value& v) {
              answers->set(stream, v);
              one_less();
            },
            [one_less](const caf::error&) { one_less(); });
  }
  one_less();
}

/// The ensemble in the words of the incumbent's REST interface.
value controller_state::ensemble() const {
  auto hash = book.hash();
  value_list ingesters, streams, workers;
  value reducer, results;
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
      auto s = service(m, i.stream + "-ingester", hash);
      s.set("url", m.address).set("streams", value_list{i.stream});
      streams.push_back(s);
      s.set("connected_workers", connected);
      ingesters.push_back(std::move(s));
    }
  for (auto& [life, m] : members) {
    for (auto& w : m.workers) {
      auto s = service(m, w.name, hash);
      s.set("ingesters", streams).set("tags", value_list(w.tags.begin(), w.tags.end()));
      workers.push_back(std::move(s));
    }
    if (m.reducer) reducer = service(m, "reducer", hash).set("url", m.address);
    if (m.reducer && !m.results.empty()) results = m.results;
  }
  return value_map{{"ingesters", std::move(ingesters)},
                   {"workers", std::move(workers)},
                   {"reducer", std::move(reducer)},
                   {"results", std::move(results)},
                   {"controller_version", options.version},
                   {"parameters_version", identities()},
                   {"parameters_hash", hash},
                   {"analysis", shown_analysis(options.analysis)}};
}

/// The same for the life of the process that has it.
std::string controller_state::service_uuid(const member_info& m, const std::string& service_name) {
  return to_string(make_scan_id(m.life.value, std::hash<std::string>{}(service_name)));
}

std::uint64_t controller_state::processed_by(const std::string& service_name) const {
  if (!current) return 0;
  for (std::size_t w = 0; w < current->workers.size(); ++w)
    if (current->setup.workers[w].name == service_name) return current->workers[w].processed;
  return 0;
}

value_map controller_state::identities() const {
  value_map all;
  for (auto& [name, id] : book.identities()) all.set(name, to_string(id));
  return all;
}

/// Has it the latest ones?
bool controller_state::has_parameters(const std::string& service_name) const {
  if (!current || !current->life.active()) return true;
  if (service_name == "reducer") return current->reducer_version == book.version();
  for (std::size_t w = 0; w < current->workers.size(); ++w)
    if (current->setup.workers[w].name == service_name) return current->workers[w].version == book.version();
  return true;
}

value_map controller_state::service(const member_info& m, const std::string& service_name,
                                    const std::string& hash) const {
  value scan;
  if (current && current->life.active()) scan = to_string(current->setup.head.scan);
  return value_map{{"name", service_name},
                   {"service_uuid", service_uuid(m, service_name)},
                   {"mapping_uuid", std::move(scan)},
                   {"process", m.name},
                   {"dranspose_version", value()},
                   {"mapreduce_version", value()},
                   {"parameters_hash", has_parameters(service_name) ? value(hash) : value()},
                   {"processed_events", processed_by(service_name)},
                   {"event_rate", 0.0}};
}

/// Asks everybody how they are, and answers when all have said so or the time is over.
caf::result<value> controller_state::status() {
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

std::map<std::string, caf::actor> controller_state::everybody() const {
  std::map<std::string, caf::actor> all;
  for (auto& [life, m] : members) {
    for (auto& i : m.ingesters) all["streams/" + i.stream] = i.handle;
    for (auto& w : m.workers) all["workers/" + w.name] = w.handle;
    if (m.assembler) all["assemblers/" + m.name] = m.assembler;
    if (m.reducer) all["reducers/" + m.name] = m.reducer;
  }
  return all;
}

value controller_state::status_of(const std::map<std::string, value>& answers) const {
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
  m.set("bottleneck", bottleneck(answers));
  m.set("work_completed", value_map{}).set("assignment", value_list{}).set("processing_times", times());
  for (auto& [group, content] : groups) m.set(group, content);
  return m;
}

/// What the scan waits for, in a line for people.
std::string controller_state::bottleneck(const std::map<std::string, value>& answers) const {
  if (!current || !current->life.active()) return "nothing: no scan is on";
  auto& s = *current;
  if (restoring) return "members that have not come back since the controller was started again";
  if (!s.reducer_ready) return "the reducer: it is away";
  for (auto& [key, v] : answers)
    if (auto error = v.find("error"); error && (key.starts_with("reducers/") || key.starts_with("streams/")))
      return fmt::format("{}: {}", key, *error->as_text());
  for (std::size_t i = 0; i < s.streams.size(); ++i)
    if (!s.streams[i].ready) return fmt::format("stream '{}': its ingester is away", s.setup.streams[i]);
  if (auto tags = s.bindings.lacking())
    return fmt::format("workers with the tags {{{}}}: there are none", fmt::join(*tags, ", "));
  if (!s.waiting_for_workers.empty()) return "workers: what those had that are gone waits for others";
  std::uint64_t in_hand = 0, unprocessed = 0;
  std::size_t workers = 0;
  for (std::uint32_t w = 0; w < s.workers.size(); ++w) {
    if (s.setup.workers[w].gone) continue;
    ++workers;
    auto n = s.bindings.in_hand(worker_index(w));
    in_hand += n;
    unprocessed += n > 0;
  }
  std::vector<std::string> held, silent;
  for (auto& [key, v] : answers) {
    if (!key.starts_with("streams/")) continue;
    auto state = v.find("state");
    auto text = state && state->as_text() ? *state->as_text() : std::string();
    auto stream = key.substr(key.find('/') + 1);
    if (text.starts_with("held back")) held.push_back(stream);
    if ((text.starts_with("silent") || text.starts_with("waiting")) && v.find("waiting_for_event"))
      silent.push_back(fmt::format("'{}' ({})", stream, text));
  }
  if (!silent.empty()) return fmt::format("streams: {}", fmt::join(silent, ", "));
  if (!held.empty())
    return fmt::format("workers: {} of {} are busy with {} events; held back: {}", unprocessed, workers,
                       in_hand, fmt::join(held, ", "));
  return "nothing: it keeps up with its streams";
}

/// What each worker spent in analysis code, under its last event as the incumbent has it.
value_map controller_state::times() const {
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

/// The last events that have a fate, rising.
value_list controller_state::completed_list() const {
  value_list list;
  if (!current) return list;
  for (auto e = current->fates.opened(); e > 0 && list.size() < longest_status_list; --e)
    if (current->fates.has_ended(event_number(e - 1))) list.push_back(e - 1);
  std::ranges::reverse(list);
  return list;
}

value controller_state::loads(const value& intervals, bool whole) const {
  value_map all;
  if (!current) return all;
  auto& s = *current;
  auto of = [](const load_history::span& span) {
    constexpr double second = 1e9;
    return value_map{{"total", static_cast<double>(span.total) / second},
                     {"active", static_cast<double>(span.active) / second},
                     {"events", span.events}};
  };
  for (std::size_t w = 0; w < s.workers.size(); ++w) {
    auto& history = s.workers[w].load;
    if (history.empty()) continue;
    value_map spans;
    for (auto& interval : *intervals.as_list()) {
      auto events = static_cast<std::uint64_t>(interval.as_number().value_or(0));
      spans.set(std::to_string(events), of(history.over_last(events, s.fates.ended(), s.armed_at)));
    }
    if (whole) spans.set("scan", of(history.over_all(s.armed_at)));
    all.set(s.setup.workers[w].name,
            value_map{{"last_event", history.last_event()}, {"intervals", std::move(spans)}});
  }
  return all;
}

} // namespace dtranspose
