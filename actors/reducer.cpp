#include "actors/reducer.hpp"

#include <caf/actor_system.hpp>
#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "actors/conduct.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "analysis/reducer_host.hpp"
#include "analysis/registry.hpp"
#include "model/decision_log.hpp"
#include "model/error.hpp"
#include "model/utc_time.hpp"
#include "model/value_json.hpp"
#include "output/file_mending.hpp"
#include "output/journal.hpp"
#include "output/live_results.hpp"
#include "output/nexus.hpp"
#include "output/result_file.hpp"
#include "output/snapshots.hpp"
#include "output/text_file.hpp"

namespace dtranspose {

namespace {

/// How soon a full disk is tried again.
constexpr auto retry_interval = std::chrono::milliseconds(500);
/// Entries of one message that tells a controller what has ended.
constexpr std::size_t most_ended_per_message = 4096;
/// So many bytes of results are put on disk for good at once, however short they have waited.
constexpr std::size_t most_unsynced = 64 << 20;

/// Snapshots for viewers take up to this part of the reducer's time.
constexpr int part_for_snapshots = 10;
/// And flushing its file up to this part.
constexpr int part_for_flushes = 10;
/// Versions of parameters that a file lists; of further ones it has the numbers.
constexpr std::size_t most_listed_versions = 1000;

// The reducer to itself.
using snapshot_atom = caf::atom_constant<caf::atom("snapshot")>;
using flush_atom = caf::atom_constant<caf::atom("flush")>;

/// What the records of its journal are.
enum class record : std::uint8_t {
  scan = 1,
  results = 2,
  closes = 3,
  fence = 4,
  done = 5,
  given_up = 6,
  parameters = 7
};

struct reducer_state;
using reducer_actor = caf::stateful_actor<reducer_state>;

/// How often in a row an analysis may lose what it folded.
constexpr std::uint32_t most_losses = 3;

struct reducer_state {
  static inline const char* name = "reducer";

  explicit reducer_state(reducer_actor* self) : self(self), pace(*self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    if (options.journals || !options.output.empty()) pace.stay_slow();
    if (!options.output.empty()) mend_what_was_left();
    return {
        [this](const results& m) { fold(m); },
        [this](const closes& m) { close(m); },
        [this](const dtranspose::give_up& m) { return end_slots(m); },
        [this](const fence& m) { return shut_out(m); },
        [this](const arm& m) { return start(m); },
        [this](const seal& m) { return close_fold(m); },
        [this](const finish_scan& m) { return finish(m); },
        [this](const keep_ledger& m) { return keep(m); },
        [this](const change_parameters& m) { return change(m); },
        [this](const disarm& m) { end(m); },
        [this](tick_atom, std::uint64_t armed) { tick(armed); },
        [this](tick_atom) { sync_due(); },
        [this](snapshot_atom) { snapshot_due(); },
        [this](flush_atom) { flush_due(); },
        [this](const member_info& peer) { meet(peer); },
        [this](const departed& m) { peers.erase(m.life); },
        [this](const renew& m) { options.life = m.life; },
        [this](status_atom) { return status(); },
    };
  }

  // -- the scan -----------------------------------------------------------------------------------------

  caf::result<armed> start(const arm& m) {
    if (m.resume) return take_up(m);
    fold_trouble.clear();
    folded_at_loss = losses = 0;
    give_up();
    remove_records();
    auto e = begin(m, true);
    if (e) return e;
    controller = caf::actor_cast<caf::actor>(self->current_sender());
    self->send(self, tick_atom::value, ++arming);
    publish();
    return armed{options.life, 0, false, {}, {}, output_in_the_making()};
  }

  /// Gets ready to fold; with `fresh` into a new journal.
  caf::error begin(const arm& m, bool fresh) {
    try {
      auto analysis = load_analysis(m.analysis);
      auto settings = complete_parameters(*analysis, m.parameters);
      auto described = analysis->describe_results(settings);
      setup = m;
      if (fresh && options.journals) {
        records = options.journals->open(journal_name(m.head.scan), {});
        note(record::scan, m);
        records->sync();
      }
      if (options.snapshots) live.emplace(described, m.events);
      used.clear();
      used_not_listed = 0;
      note_use(*analysis, m.version, m.parameters, fresh);
      if (!options.output.empty()) open_file(m, std::move(described), !fresh);
      host.emplace(analysis->make_reducer_for(facts_of(m), settings), settings, m.version, row_sink());
      host->folds_again = options.folds_again;
      code = std::move(analysis);
    } catch (const std::exception& e) {
      give_up();
      return make_error(ec::bad_analysis, fmt::format("reducer: {}", e.what()));
    } catch (...) {
      give_up();
      return make_error(ec::bad_analysis, "reducer: unknown exception");
    }
    received.clear();
    received_closes.clear();
    ahead.clear();
    fenced.clear();
    sealed = false;
    timer_trouble.clear();
    snapshot_trouble.clear();
    report.reset();
    pending = {};
    told.clear();
    decisions = 0;
    return {};
  }

  static scan_facts facts_of(const arm& m) {
    std::vector<std::string> workers;
    for (auto& w : m.workers) workers.push_back(w.name);
    return {.id = to_string(m.head.scan),
            .streams = m.streams,
            .events = m.events,
            .workers = std::move(workers),
            .version = m.version,
            .generation = m.head.gen.value};
  }

  /// The controller was away, or this process was.
  caf::result<armed> take_up(const arm& m) {
    controller = caf::actor_cast<caf::actor>(self->current_sender());
    bool known = m.head.scan == setup.head.scan && (host || report);
    if (!known)
      if (auto e = restore(m)) return e;
    setup.workers = m.workers;
    for (std::uint32_t w = 0; w < m.workers.size(); ++w)
      if (m.workers[w].gone) fenced.insert(worker_index(w));
    armed answer{options.life, 0, known, {}, {}, output_in_the_making()};
    tell_all_ended();
    tell_again();
    if (!host) return answer;
    if (m.version > setup.version && !report) {
      dtranspose::change_parameters latest{m.head, m.version, m.parameters};
      if (!noted(record::parameters, latest)) return make_error(ec::file_error, journal_trouble);
      use(latest, true);
    }
    for (auto& [life, peer] : peers) ask_again(peer);
    if (!known) self->send(self, tick_atom::value, ++arming);
    return answer;
  }

  /// Folds once more what the journal has, into a new state and a new file.
  caf::error restore(const arm& m) {
    give_up();
    records.reset();
    if (!options.journals)
      return make_error(ec::unavailable,
                        "the reducer keeps no journal ([reducer] journal): what was folded is gone");
    std::size_t folded = 0;
    bool readable = true;
    caf::error cannot_begin;
    try {
      records = options.journals->open(journal_name(m.head.scan), [&](auto kind, auto content) {
        if (cannot_begin) return;
        if (folded++ == 0)
          cannot_begin = begin_again(m, static_cast<record>(kind), content);
        else
          readable = readable && fold_again(static_cast<record>(kind), content);
      });
    } catch (const std::exception& e) {
      give_up();
      return make_error(ec::file_error, e.what());
    }
    if (cannot_begin) {
      give_up();
      return cannot_begin;
    }
    if (folded == 0) {
      give_up();
      remove_records();
      return make_error(ec::unavailable,
                        "the reducer's journal has nothing of this scan: what was folded is gone");
    }
    if (!readable) {
      give_up();
      return make_error(ec::file_error, "the reducer's journal has a record that cannot be read");
    }
    pending = {};
    if (report && file) {
      // It had been finished: the file is there.
      file->discard();
      file.reset();
    }
    try {
      if (host) publish(report.has_value());
    } catch (const fold_lost& e) {
      spdlog::warn("reducer: there is no snapshot: {}", e.what());
    }
    if (host) take_decisions();
    spdlog::info("reducer: took up scan {} with {} records of its journal", to_string(m.head.scan), folded);
    return {};
  }

  /// As the scan began: with the parameters of then.
  caf::error begin_again(const arm& m, record kind, std::span<const std::byte> content) {
    arm first;
    if (kind != record::scan || !read(content, first))
      return make_error(ec::file_error, "the reducer's journal does not begin with its scan");
    first.head = m.head;
    first.workers = m.workers;
    first.resume = true;
    return begin(first, false);
  }

  bool fold_again(record kind, std::span<const std::byte> content) {
    std::vector<ended_slots> ended;
    switch (kind) {
    case record::scan:
      return false;
    case record::results: {
      results m;
      if (!read(content, m)) return false;
      host->fold(m.worker, m.version, m.mapped, ended);
      received[m.worker] = m.sequence + 1;
      return true;
    }
    case record::parameters: {
      dtranspose::change_parameters m;
      if (!read(content, m)) return false;
      use(m, false);
      return true;
    }
    case record::closes: {
      closes m;
      if (!read(content, m)) return false;
      for (auto& slots : m.slots)
        if (!fenced.contains(slots.worker)) host->close(slots, ended);
      received_closes[m.head.from] = m.sequence + 1;
      return true;
    }
    case record::given_up: {
      dtranspose::give_up m;
      if (!read(content, m)) return false;
      for (auto& slots : m.slots) host->close(slots, ended);
      return true;
    }
    case record::fence: {
      fence m;
      if (!read(content, m)) return false;
      fenced.insert(m.workers.begin(), m.workers.end());
      return true;
    }
    case record::done: {
      finished_scan m;
      if (!read(content, m)) return false;
      report = m;
      return true;
    }
    }
    return false;
  }

  static std::string journal_name(const scan_id& scan) { return "reducer-" + to_string(scan); }

  template <class T>
  bool read(std::span<const std::byte> content, T& x) {
    caf::binary_deserializer source(self->system(), reinterpret_cast<const char*>(content.data()),
                                    content.size());
    return !source(x);
  }

  template <class T>
  void note(record kind, const T& x) {
    if (!records) return;
    scratch.clear();
    caf::binary_serializer sink(self->system(), scratch);
    if (auto e = sink(const_cast<T&>(x)))
      throw std::runtime_error("the journal cannot take a message: " + text_of(e));
    records->append(static_cast<std::uint8_t>(kind), std::as_bytes(std::span(scratch)));
    unsynced += scratch.size();
  }

  std::filesystem::path output_of(const arm& m) const {
    auto path = options.output;
    if (auto at = path.find("{scan}"); at != std::string::npos) path.replace(at, 6, to_string(m.head.scan));
    return path;
  }

  void open_file(const arm& m, std::vector<result_description> described, bool again) {
    file_trouble.clear();
    rows_written = false;
    file = std::make_unique<result_file>(
        result_file_options{.path = output_of(m),
                            .overwrite = options.overwrite,
                            .events = m.events,
                            .results = std::move(described),
                            .clock = [wall = options.around.wall] { return time_of(wall()); },
                            .scan = to_string(m.head.scan),
                            .analysis = shown_analysis(m.analysis),
                            .version = options.saving.version,
                            .configuration = to_json(configuration_of(m)),
                            .layout = options.saving.layout,
                            .follow = options.saving.follow,
                            .again = again});
  }

  static std::chrono::system_clock::time_point time_of(std::int64_t wall) {
    using std::chrono::system_clock;
    return system_clock::time_point(
        std::chrono::duration_cast<system_clock::duration>(std::chrono::nanoseconds(wall)));
  }

  static value configuration_of(const arm& m) {
    value_map parameters;
    for (auto& [name, written] : m.parameters) parameters.set(name, written);
    value_list workers;
    for (auto& worker : m.workers) workers.push_back(worker.name);
    return value_map{{"scan", to_string(m.head.scan)},
                     {"analysis", m.analysis},
                     {"parameters", std::move(parameters)},
                     {"events", m.events},
                     {"streams", value_list(m.streams.begin(), m.streams.end())},
                     {"workers", std::move(workers)}};
  }

  std::string output_in_the_making() const { return file ? file->partial_path().string() : std::string(); }

  /// For the file. When they came is not in the journal.
  void note_use(const analysis& of, parameters_version version,
                const std::map<std::string, std::string>& written, bool now) {
    if (options.output.empty()) return;
    if (used.size() == most_listed_versions) {
      ++used_not_listed;
      return;
    }
    nexus::used_parameters noted{version, now ? utc_text(time_of(options.around.wall())) : "", {}, 0, 0, 0};
    auto described = of.describe_parameters();
    std::map<std::string, std::string> complete;
    for (auto& p : described) complete[p.name] = p.initial;
    for (auto& [name, text] : written) complete[name] = text;
    noted.values = nexus::typed_parameters(described, complete);
    used.push_back(std::move(noted));
  }

  /// Files of scans that ended with the process before this one.
  void mend_what_was_left() {
    for (auto& done : mend_left_files(options.output))
      if (done.what == mending::cleared)
        spdlog::warn("reducer: {}: its scan did not end; it can be opened again", done.path.string());
      else
        spdlog::warn("reducer: {}: its scan did not end, and it cannot be read: {}", done.path.string(),
                     done.reason);
  }

  reducer_host::row_sink row_sink() {
    if (!file && !live) return {};
    return [this](event_number event, const value& content, parameters_version version) {
      if (live) live->set_row(event, content);
      if (!file || !file_trouble.empty()) return;
      try {
        file->write_row(event, content, version);
        rows_written = true;
      } catch (const std::exception& e) {
        // The fold goes on; at the end the file is made again out of the journal, or the scan ends with this
        // error.
        file_trouble = e.what();
        spdlog::error("reducer: {}", file_trouble);
      }
    };
  }

  /// Lets go of a scan that was not finished.
  void give_up() {
    if (file) {
      try {
        file->abandon();
      } catch (const std::exception& e) {
        spdlog::warn("reducer: {}", e.what());
      }
    }
    file.reset();
    host.reset();
    live.reset();
    code.reset();
    pending = {};
    if (finishing) finishing->deliver(make_error(ec::superseded, "the scan was given up"));
    finishing.reset();
  }

  void remove_records() {
    if (!records) return;
    try {
      records->remove();
    } catch (const std::exception& e) {
      spdlog::warn("reducer: {}", e.what());
    }
    records.reset();
  }

  void end(const disarm& m) {
    if (m.head.scan != setup.head.scan || m.head.gen != setup.head.gen) return;
    give_up();
    remove_records();
    report.reset();
    ended_at_finish.clear();
  }

  bool is_current(const message_head& head) const {
    return host && head.scan == setup.head.scan && head.gen == setup.head.gen;
  }

  // -- folding ------------------------------------------------------------------------------------------

  void fold(const results& m) {
    if (!is_current(m.head)) return;
    auto worker = caf::actor_cast<caf::actor>(self->current_sender());
    // What comes of it is for nobody, and asking for what is missing would bring it again and again.
    if (fenced.contains(m.worker)) {
      ++rejected;
      return;
    }
    auto& due = received[m.worker];
    if (m.sequence < due && !options.folds_again) {
      // It is kept and has been written down; that it was may not have been heard.
      if (worker && due > 0) acknowledge(worker, due - 1);
      return changed();
    }
    if (m.sequence > due) {
      // What comes behind one that waits for its parameters is asked for with that.
      if (worker && !ahead.contains(m.worker)) self->send(worker, resend{head(), due});
      return;
    }
    if (m.version > setup.version && !sealed) {
      // The worker was told of parameters before we were: it sends this again when we know them.
      ahead[m.worker] = worker;
      return;
    }
    ahead.erase(m.worker);
    due = m.sequence + 1;
    if (sealed) return finish_if_all_here();
    if (!noted(record::results, m)) {
      due = m.sequence;
      return;
    }
    try {
      pace.run([&] { host->fold(m.worker, m.version, m.mapped, pending.ended); });
      tell_decisions();
    } catch (const fold_lost& e) {
      // It has been written down: it is folded with all the others, or with none of them.
      return begin_fold_anew(e.what());
    }
    if (worker) acknowledge(worker, m.sequence);
    changed();
    finish_if_all_here();
    tree_changed();
    flush_later();
  }

  /// Who follows the file sees rows after a while, however few come.
  void flush_later() {
    if (!file || !rows_written || !file_trouble.empty() || std::exchange(flush_scheduled, true)) return;
    auto wait =
        std::max(options.saving.flush, std::chrono::nanoseconds(next_flush - options.around.steady()));
    self->delayed_send(self, wait, flush_atom::value);
  }

  void flush_due() {
    flush_scheduled = false;
    if (!file || !file_trouble.empty() || !std::exchange(rows_written, false)) return;
    auto began = options.around.steady();
    try {
      blocking_section others_go_on;
      file->flush();
    } catch (const std::exception& e) {
      file_trouble = e.what();
      spdlog::error("reducer: {}", file_trouble);
    }
    auto ended = options.around.steady();
    next_flush = ended + (part_for_flushes - 1) * (ended - began);
  }

  /// What was folded is lost, as the analysis lost it: it is folded again out of the journal. The scan fails
  /// where there is none, or where that is of no use again and again.
  void begin_fold_anew(const std::string& cause) {
    auto folded = host->folded();
    losses = folded > folded_at_loss ? 1 : losses + 1;
    folded_at_loss = std::max(folded_at_loss, folded);
    spdlog::error("reducer: {}", cause);
    std::string trouble = cause;
    for (; options.journals && losses < most_losses; ++losses) {
      trouble = restored_in_place();
      if (trouble.empty()) break;
      spdlog::error("reducer: {}", trouble);
    }
    if (!options.journals) trouble += "; without a journal ([reducer] journal) what it had folded is gone";
    if (!trouble.empty()) return end_fold(trouble);
    // Who waits for an answer to what was folded before gets it now.
    tell_all_ended();
    tell_again();
    for (auto& [life, peer] : peers) ask_again(peer);
    self->send(self, tick_atom::value, ++arming);
    finish_if_all_here();
  }

  /// Why it did not work; empty: it did.
  std::string restored_in_place() {
    blocking_section others_go_on;
    try {
      if (file) file->abandon();
      file.reset();
      if (records) records->sync();
    } catch (const std::exception& e) {
      return e.what();
    }
    return restored_with_what_was_heard();
  }

  /// The same. What the journal does not say stays: nothing that comes once the fold is sealed is in it.
  std::string restored_with_what_was_heard() {
    auto was = setup;
    auto out = fenced;
    auto kept = std::exchange(finishing, {});
    auto ending = last;
    auto was_sealed = sealed;
    auto before = received;
    std::string trouble;
    try {
      records.reset();
      if (auto e = restore(was)) trouble = text_of(e);
    } catch (const std::exception& e) {
      trouble = e.what();
    }
    finishing = std::move(kept);
    last = std::move(ending);
    sealed = was_sealed;
    for (auto& [worker, next] : before) received[worker] = std::max(received[worker], next);
    setup = was;
    fenced.insert(out.begin(), out.end());
    return trouble;
  }

  void end_fold(const std::string& trouble) {
    fold_trouble = trouble;
    if (host) host->fold_no_more(trouble);
    self->send(controller, stalled{head(), "", fmt::format("reducer: {}", trouble)});
    if (!finishing) return;
    finishing->deliver(make_error(ec::bad_analysis, fmt::format("reducer: {}", trouble)));
    finishing.reset();
    give_up();
  }

  /// False: it cannot be written down, and the scan has failed.
  template <class T>
  bool noted(record kind, const T& m) {
    try {
      note(kind, m);
      return true;
    } catch (const std::exception& e) {
      journal_trouble = e.what();
      spdlog::error("reducer: {}", journal_trouble);
      self->send(controller, stalled{head(), "", journal_trouble});
      return false;
    }
  }

  void acknowledge(const caf::actor& to, std::uint64_t sequence) {
    auto& last = pending.accepted[to];
    last = std::max(last, sequence);
  }

  void close(const closes& m) {
    if (!is_current(m.head)) return;
    auto sender = caf::actor_cast<caf::actor>(self->current_sender());
    auto& due = received_closes[m.head.from];
    if (m.sequence > due && sender) self->send(sender, resend{head(), due});
    if (m.sequence < due && sender) acknowledge(sender, due - 1);
    if (m.sequence < due) changed();
    if (m.sequence != due) return;
    due = m.sequence + 1;
    if (sealed || !noted(record::closes, m)) return;
    for (auto& slots : m.slots)
      if (!fenced.contains(slots.worker)) host->close(slots, pending.ended);
    if (sender) acknowledge(sender, m.sequence);
    changed();
  }

  caf::result<bool> end_slots(const dtranspose::give_up& m) {
    if (!is_current(m.head)) return true;
    if (!noted(record::given_up, m)) return make_error(ec::file_error, journal_trouble);
    for (auto& slots : m.slots) host->close(slots, pending.ended);
    return when_synced();
  }

  caf::result<bool> shut_out(const fence& m) {
    if (!is_current(m.head)) return true;
    fenced.insert(m.workers.begin(), m.workers.end());
    if (!noted(record::fence, m)) return make_error(ec::file_error, journal_trouble);
    return when_synced();
  }

  /// Results may be made with these once this is answered.
  caf::result<parameters_version> change(const dtranspose::change_parameters& m) {
    if (!is_current(m.head)) return make_error(ec::superseded, "another scan is armed");
    if (m.version <= setup.version || sealed) return setup.version;
    if (!noted(record::parameters, m)) return make_error(ec::file_error, journal_trouble);
    pace.run([&] { use(m, true); });
    // The part may be another one, with another timer.
    timer_trouble.clear();
    self->send(self, tick_atom::value, ++arming);
    auto promise = self->make_response_promise<parameters_version>();
    waiting.push_back([promise, version = m.version](const caf::error& e) mutable {
      if (e)
        promise.deliver(e);
      else
        promise.deliver(version);
    });
    sync_now();
    return promise;
  }

  void use(const dtranspose::change_parameters& m, bool now) {
    setup.parameters = m.parameters;
    setup.version = m.version;
    note_use(*code, m.version, m.parameters, now);
    try {
      host->change_parameters(
          complete_parameters(*code, m.parameters), m.version,
          [this](const parameters& p) { return code->make_reducer_for(facts_of(setup), p); });
    } catch (const std::exception& e) {
      // The controller asks the analysis before it sends them.
      spdlog::error("reducer: goes on with the parameters of before: {}", e.what());
    }
    for (auto& [worker, from] : std::exchange(ahead, {}))
      if (from) self->send(from, resend{head(), received[worker]});
  }

  caf::result<bool> close_fold(const seal& m) {
    if (!is_current(m.head)) return true;
    sealed = true;
    return when_synced();
  }

  // -- committing ---------------------------------------------------------------------------------------

  /// Answers once everything so far is on disk and committed.
  caf::result<bool> when_synced() {
    auto promise = self->make_response_promise<bool>();
    waiting.push_back([promise](const caf::error& e) mutable {
      if (e)
        promise.deliver(e);
      else
        promise.deliver(true);
    });
    sync_now();
    return promise;
  }

  /// Something is to be committed: at once without a journal, else when it is on disk.
  void changed() {
    if (!records) return send_pending();
    if (unsynced >= most_unsynced || options.fsync.count() == 0) return sync_now();
    sync_later(options.fsync);
  }

  void sync_later(std::chrono::nanoseconds delay) {
    if (sync_scheduled) return;
    sync_scheduled = true;
    self->delayed_send(self, delay, tick_atom::value);
  }

  void sync_due() {
    sync_scheduled = false;
    sync_now();
  }

  void sync_now() {
    if (records) {
      try {
        blocking_section others_go_on;
        records->sync();
        if (!journal_trouble.empty()) spdlog::info("reducer: its journal can be written again");
        journal_trouble.clear();
        unsynced = 0;
      } catch (const std::exception& e) {
        return no_room(e.what());
      }
    }
    send_pending();
    send_all_ended();
    for (auto& answer : std::exchange(waiting, {})) answer({});
    finish_if_all_here();
  }

  /// Nothing is committed, so that everybody keeps what they have; the senders stop when their budgets are
  /// used up.
  void no_room(const std::string& trouble) {
    if (journal_trouble.empty()) spdlog::error("reducer: {}; {}", trouble, what_now());
    journal_trouble = trouble;
    if (options.pause_when_full) return sync_later(retry_interval);
    for (auto& answer : std::exchange(waiting, {})) answer(make_error(ec::file_error, trouble));
    if (controller && host) self->send(controller, stalled{head(), "", trouble});
  }

  std::string what_now() const {
    return options.pause_when_full ? "the scan waits until there is room" : "the scan ends";
  }

  void send_pending() {
    auto done = std::exchange(pending, {});
    if (!done.ended.empty()) self->send(controller, commits{head(), std::move(done.ended)});
    for (auto& [to, sequence] : done.accepted) self->send(to, accepted{head(), sequence});
  }

  /// A controller that was away knows nothing of what it was told before.
  void tell_all_ended() {
    all_due = true;
    sync_now();
  }

  void send_all_ended() {
    if (!std::exchange(all_due, false)) return;
    auto all = host ? host->ended().all() : ended_at_finish;
    for (std::size_t first = 0; first < all.size(); first += most_ended_per_message) {
      auto last = std::min(all.size(), first + most_ended_per_message);
      self->send(controller, commits{head(),
                                     {all.begin() + static_cast<std::ptrdiff_t>(first),
                                      all.begin() + static_cast<std::ptrdiff_t>(last)}});
    }
  }

  message_head head() const { return {setup.head.scan, setup.head.gen, options.life}; }

  // -- peers --------------------------------------------------------------------------------------------

  void meet(const member_info& peer) {
    if (peer.workers.empty()) return;
    peers[peer.life] = peer;
    if (host) ask_again(peer);
  }

  /// What was on the way when a connection was lost comes again.
  void ask_again(const member_info& peer) {
    for (std::uint32_t w = 0; w < setup.workers.size(); ++w) {
      if (setup.workers[w].process != peer.life) continue;
      for (auto& worker : peer.workers)
        if (worker.name == setup.workers[w].name) ask_again(worker.handle, received[worker_index(w)]);
    }
    if (peer.assembler) ask_again(peer.assembler, received_closes[peer.life]);
    changed();
  }

  /// That it has been accepted may have been on the way as well.
  void ask_again(const caf::actor& sender, std::uint64_t next) {
    self->send(sender, resend{head(), next});
    if (next > 0) acknowledge(sender, next - 1);
  }

  void tick(std::uint64_t armed) {
    if (!host || armed != arming) return;
    try {
      pace.run([&] {
        if (auto next = host->timer()) self->delayed_send(self, *next, tick_atom::value, armed);
      });
      tell_decisions();
      tree_changed();
    } catch (const fold_lost& e) {
      begin_fold_anew(e.what());
    } catch (const std::exception& e) {
      timer_trouble = fmt::format("timer: {}: it is not called any more", e.what());
    } catch (...) {
      timer_trouble = "timer: unknown exception: it is not called any more";
    }
  }

  // -- decisions ----------------------------------------------------------------------------------------

  void tell_decisions() {
    if (auto made = take_decisions(); !made.empty()) self->send(controller, decided{head(), std::move(made)});
  }

  /// Those since the last time, as they are told.
  value_list take_decisions() {
    value_list made;
    std::vector<decision> latest;
    try {
      latest = host->take_decisions();
    } catch (const std::exception& e) {
      // What it folded may be lost: the next result says so.
      spdlog::warn("reducer: decisions: {}", e.what());
    }
    for (auto& d : latest) {
      if (decisions++ >= decision_log::most_known) continue;
      made.push_back(as_told(d, decisions - 1));
      told.push_back(made.back());
      if (told.size() > decision_log::most_kept) told.pop_front();
    }
    return made;
  }

  /// A controller that was away may not have heard of them.
  void tell_again() {
    if (!told.empty()) self->send(controller, decided{head(), {told.begin(), told.end()}});
  }

  /// Times are seconds since 1970, UTC.
  value as_told(const decision& d, std::uint64_t number) const {
    auto made = static_cast<double>(options.around.wall()) * 1e-9;
    auto lasts = std::chrono::duration<double>(d.lasts).count();
    return value_map{{"number", number},   {"name", d.name},
                     {"value", d.content}, {"event", d.event ? value(d.event->value) : value()},
                     {"made", made},       {"valid_until", lasts > 0 ? value(made + lasts) : value()},
                     {"stop", d.stop}};
  }

  // -- snapshots ----------------------------------------------------------------------------------------

  /// There is something new for viewers: they get it at once if the last time was long enough ago.
  void tree_changed() {
    if (!live || !host || !snapshot_trouble.empty()) return;
    unpublished = true;
    auto wait = next_snapshot - options.around.steady();
    if (wait <= 0) return publish();
    if (std::exchange(snapshot_scheduled, true)) return;
    self->delayed_send(self, std::chrono::nanoseconds(wait), snapshot_atom::value);
  }

  void snapshot_due() {
    snapshot_scheduled = false;
    if (unpublished) tree_changed();
  }

  /// A snapshot of the tree as it is, which is `known` if it has been asked for already.
  void publish(bool finished = false, const value* known = nullptr) {
    if (!live || !host) return;
    unpublished = false;
    blocking_section others_go_on;
    auto began = options.around.steady();
    try {
      auto tree = live->tree(known ? *known : host->published(), about_the_scan(finished));
      auto seconds = static_cast<double>(options.around.wall()) * 1e-9;
      options.snapshots->publish(to_string(setup.head.scan), seconds, host->folded(), finished, tree);
    } catch (const fold_lost&) {
      if (finished) throw;
      // The next result, or the end, finds the same.
      spdlog::warn("reducer: there is no snapshot, as what was folded is lost");
    } catch (const std::exception& e) {
      no_snapshot(e.what());
    } catch (...) {
      no_snapshot("unknown exception");
    }
    auto ended = options.around.steady();
    auto interval = static_cast<std::int64_t>(1e9 / options.snapshots_per_second);
    next_snapshot = std::max(began + interval, ended + (part_for_snapshots - 1) * (ended - began));
  }

  void no_snapshot(const std::string& why) {
    snapshot_trouble = why;
    spdlog::error("reducer: published: {}: viewers see no more of this scan", why);
  }

  value_map about_the_scan(bool finished) const {
    return {{"id", to_string(setup.head.scan)},
            {"analysis", shown_analysis(setup.analysis)},
            {"events", setup.events},
            {"results", host->folded()},
            {"finished", finished}};
  }

  // -- the end ------------------------------------------------------------------------------------------

  caf::result<finished_scan> finish(const finish_scan& m) {
    if (report && m.head.scan == setup.head.scan) return *report;
    if (!fold_trouble.empty() && m.head.scan == setup.head.scan)
      return make_error(ec::bad_analysis, fmt::format("reducer: {}", fold_trouble));
    if (!is_current(m.head)) return make_error(ec::superseded, "another scan is armed");
    last = m;
    finishing = self->make_response_promise<finished_scan>();
    auto promise = *finishing;
    finish_if_all_here();
    return promise;
  }

  /// The last results of a worker may still be on their way when the controller knows that it is done.
  void finish_if_all_here() {
    if (!finishing) return;
    if (remaking && !make_file_again()) return sync_later(retry_interval);
    for (auto& worker : last.workers)
      if (received[worker.worker] < worker.results && !fenced.contains(worker.worker)) return;
    if (!pending.ended.empty() || !pending.accepted.empty()) {
      if (journal_trouble.empty() && !sync_in_finish) {
        sync_in_finish = true;
        sync_now();
        sync_in_finish = false;
      }
      if (!finishing) return;
      if (!journal_trouble.empty() && options.pause_when_full) return;
      if (!journal_trouble.empty()) {
        finishing->deliver(make_error(ec::file_error, journal_trouble));
        finishing.reset();
        return give_up();
      }
    }
    if (!file_trouble.empty() && may_make_again() && !make_file_again()) return sync_later(retry_interval);
    auto promise = std::exchange(finishing, {});
    try {
      blocking_section others_go_on;
      auto done = close_scan();
      report = done;
      ended_at_finish = host->ended().all();
      note_done(done);
      promise->deliver(std::move(done));
    } catch (const fold_lost& e) {
      finishing = std::move(promise);
      return begin_fold_anew(e.what());
    } catch (const analysis_failed& e) {
      promise->deliver(make_error(ec::bad_analysis, e.what()));
    } catch (const std::exception& e) {
      if (records && options.pause_when_full && file) {
        // The disk may be full: the file is made again when there is room.
        spdlog::error("reducer: {}; {}", e.what(), what_now());
        file_trouble = e.what();
        remaking = true;
        finishing = std::move(promise);
        return sync_later(retry_interval);
      }
      promise->deliver(make_error(ec::file_error, e.what()));
    } catch (...) {
      promise->deliver(make_error(ec::bad_analysis, "reducer: unknown exception"));
    }
    give_up();
  }

  /// If this cannot be written, a reducer that is started again now finishes once more.
  void note_done(const finished_scan& done) {
    try {
      note(record::done, done);
      if (records) records->sync();
    } catch (const std::exception& e) {
      spdlog::warn("reducer: {}", e.what());
    }
  }

  bool may_make_again() const { return records && options.pause_when_full; }

  /// What could not be written is written anew out of the journal; false while that does not work either.
  bool make_file_again() {
    remaking = true;
    file.reset();
    host.reset();
    bool fine = restored_with_what_was_heard().empty() && file_trouble.empty();
    remaking = !fine;
    if (fine) return true;
    if (file_trouble.empty()) file_trouble = "its output file cannot be written";
    return false;
  }

  /// Thrown for what the analysis throws at the end: to write its file once more is of no use.
  struct analysis_failed : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  template <class F>
  static auto of_analysis(F ask) {
    try {
      return ask();
    } catch (const fold_lost&) {
      throw;
    } catch (const std::exception& e) {
      throw analysis_failed(e.what());
    } catch (...) {
      throw analysis_failed("reducer: unknown exception");
    }
  }

  finished_scan close_scan() {
    of_analysis([this] { host->finish(); });
    tell_decisions();
    finished_scan done;
    if (decisions > decision_log::most_known)
      done.complaints.push_back(
          fmt::format("only the first {} decisions of the analysis were told", decision_log::most_known));
    done.duplicates = host->duplicates();
    for (auto& worker : last.workers)
      if (received[worker.worker] < worker.results)
        done.complaints.push_back(fmt::format("{}: what it gave at the end is lost, as it is gone",
                                              setup.workers[worker.worker.value].name));
      else if (!worker.complaint.empty())
        done.complaints.push_back(
            fmt::format("{}: finish: {}", setup.workers[worker.worker.value].name, worker.complaint));
    if (!timer_trouble.empty()) done.complaints.push_back(timer_trouble);
    if (!file) {
      publish(true);
      return done;
    }
    auto about = last.about.as_map();
    auto ledger = about ? about->find("ledger") : nullptr;
    auto announced = ledger ? nexus::announced(*ledger) : nexus::announcement();
    if (announced.not_to_be_saved && !options.saving.always) {
      file->discard();
      file.reset();
      publish(true);
      spdlog::info("reducer: {}", not_saved);
      done.complaints.emplace_back(not_saved);
      return done;
    }
    if (!file_trouble.empty()) throw std::runtime_error(file_trouble);
    auto tree = of_analysis([this] { return host->published(); });
    file->finish(tree, ending_of(about, announced.stem));
    publish(true, &tree);
    for (auto& complaint : file->complaints()) done.complaints.push_back(complaint);
    done.output = file->path().string();
    file.reset();
    return done;
  }

  static constexpr const char* not_saved =
      "not saved: the streams announced an empty file name, which means that nothing is to be kept";

  scan_ending ending_of(const value_map* about, std::string raw_stem) const {
    scan_ending ending{
        .parameters = used, .parameters_not_listed = used_not_listed, .raw_stem = std::move(raw_stem)};
    if (!about) return ending;
    if (auto ledger = about->find("ledger")) {
      ending.entry.set("ledger", nexus::ledger(*ledger));
      ending.raw = nexus::raw_sources(*ledger, options.saving.raw_path);
    }
    if (auto map = about->find("trigger_map"))
      ending.entry.set("trigger_map", nexus::json_note(to_json(*map)));
    return ending;
  }

  /// Beside the results, under the same name with another ending.
  caf::result<std::string> keep(const keep_ledger& m) const {
    if (m.head.scan != setup.head.scan || options.output.empty()) return std::string();
    if (report && report->output.empty()) return std::string();
    auto path = ledger_path();
    try {
      write_text_file(path, m.text);
    } catch (const std::exception& e) {
      spdlog::error("reducer: {}", e.what());
      return make_error(ec::file_error, e.what());
    }
    return path.string();
  }

  std::filesystem::path ledger_path() const {
    auto output = report ? std::filesystem::path(report->output) : output_of(setup);
    auto name = output.replace_extension(".ledger.json").string();
    // A scan that failed has no other name.
    if (auto at = name.find("{raw}"); at != name.npos) name.replace(at, 5, to_string(setup.head.scan));
    return name;
  }

  value status() {
    value_map m{{"armed", host.has_value()}, {"output", output_in_the_making()}};
    auto& trouble = journal_trouble.empty() ? file_trouble : journal_trouble;
    if (!trouble.empty()) m.set("error", trouble);
    m.set("journal", records != nullptr).set("unsynced_bytes", unsynced).set("rejected", rejected);
    if (host)
      m.set("folded", host->folded())
          .set("duplicates", host->duplicates())
          .set("intervals", host->ended().intervals());
    return m;
  }

  // -- state --------------------------------------------------------------------------------------------

  /// What is folded and not committed: it is not on disk yet.
  struct uncommitted {
    std::vector<ended_slots> ended;
    std::map<caf::actor, std::uint64_t> accepted;
  };

  reducer_actor* self;
  unknown_pace pace; ///< of the analysis
  reducer_options options;
  caf::actor controller;
  arm setup;
  /// Processes with workers that are connected.
  std::map<incarnation, member_info> peers;
  /// Outlives the parts that were made by it.
  std::shared_ptr<const analysis> code;
  std::unique_ptr<journal> records;
  std::vector<char> scratch;
  std::size_t unsynced = 0; ///< bytes
  bool sync_scheduled = false, sync_in_finish = false;
  bool all_due = false; ///< a controller that was away is to be told everything, once that is on disk
  std::string journal_trouble;
  uncommitted pending;
  /// Who waits until everything so far is on disk.
  std::vector<std::function<void(const caf::error&)>> waiting;
  std::unique_ptr<result_file> file;
  std::string file_trouble, timer_trouble;
  std::string fold_trouble;         ///< why nothing can be folded any more
  std::uint64_t folded_at_loss = 0; ///< results that were folded when the analysis lost them last
  std::uint32_t losses = 0;         ///< in a row, without a new result between
  bool rows_written = false, flush_scheduled = false; ///< since its last flush
  std::int64_t next_flush = 0;                        ///< not before, on the steady clock
  /// Parameters of the scan in hand, as its file lists them.
  std::vector<nexus::used_parameters> used;
  std::uint64_t used_not_listed = 0;
  bool remaking = false; ///< the file is made again out of the journal
  /// The fold of the scan in hand; nothing when not armed.
  std::optional<reducer_host> host;
  /// Messages of each sender that are in; one that comes again is not folded again.
  std::unordered_map<worker_index, std::uint64_t> received;
  std::unordered_map<incarnation, std::uint64_t> received_closes;
  /// Workers with results of parameters that are not known here yet.
  std::unordered_map<worker_index, caf::actor> ahead;
  /// Workers that were given up: nothing of them counts.
  std::unordered_set<worker_index> fenced;
  std::uint64_t rejected = 0;
  /// What viewers see of the scan in hand; nothing without viewers.
  std::optional<live_results> live;
  bool unpublished = false, snapshot_scheduled = false;
  std::int64_t next_snapshot = 0; ///< not before, on the steady clock
  std::string snapshot_trouble;   ///< why there are none any more
  std::uint64_t decisions = 0;    ///< of the analysis in this scan
  std::deque<value> told;         ///< the last of them
  /// Who waits for the end, and what must be in before.
  std::optional<caf::typed_response_promise<finished_scan>> finishing;
  finish_scan last;
  /// How the scan ended, as long as somebody may ask again.
  std::optional<finished_scan> report;
  std::vector<ended_slots> ended_at_finish;
  /// Nothing more is folded: the controller has given up what has not ended.
  bool sealed = false;
  /// Counts armings: a timer of an earlier one is not heeded.
  std::uint64_t arming = 0;
};

} // namespace

caf::actor spawn_reducer(caf::actor_system& system, reducer_options options) {
  return system.spawn([options = std::move(options)](reducer_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
