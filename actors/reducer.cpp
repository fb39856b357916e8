#include "actors/reducer.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <spdlog/spdlog.h>

#include <map>
#include <optional>
#include <unordered_map>

#include "actors/conduct.hpp"
#include "actors/messages.hpp"
#include "analysis/reducer_host.hpp"
#include "analysis/registry.hpp"
#include "model/error.hpp"
#include "output/journal.hpp"
#include "output/result_file.hpp"
#include "output/text_file.hpp"

namespace dtranspose {

namespace {

struct reducer_state;
using reducer_actor = caf::stateful_actor<reducer_state>;

struct reducer_state {
  static inline const char* name = "reducer";

  explicit reducer_state(reducer_actor* self) : self(self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    return {
        [this](const results& m) { fold(m); },
        [this](const closes& m) { close(m); },
        [this](const arm& m) { return start(m); },
        [this](const seal& m) { return close_fold(m); },
        [this](const finish_scan& m) { return finish(m); },
        [this](const keep_ledger& m) { return keep(m); },
        [this](const disarm& m) { end(m); },
        [this](tick_atom, std::uint64_t armed) { tick(armed); },
        [](const member_info&) {},
        [](const departed&) {},
        [this](status_atom) { return status(); },
    };
  }

  // -- the scan -----------------------------------------------------------------------------------------

  caf::result<armed> start(const arm& m) {
    give_up();
    try {
      auto analysis = load_analysis(m.analysis);
      auto settings = complete_parameters(*analysis, m.parameters);
      auto described = analysis->describe_results(settings);
      records = options.make_journal();
      if (!options.output.empty()) open_file(m, std::move(described));
      host.emplace(analysis->make_reducer(settings), settings, *records, row_sink());
      code = std::move(analysis);
    } catch (const std::exception& e) {
      give_up();
      return make_error(ec::bad_analysis, fmt::format("reducer: {}", e.what()));
    } catch (...) {
      give_up();
      return make_error(ec::bad_analysis, "reducer: unknown exception");
    }
    setup = m;
    controller = caf::actor_cast<caf::actor>(self->current_sender());
    received.clear();
    sealed = false;
    file_trouble.clear();
    timer_trouble.clear();
    self->send(self, tick_atom::value, ++arming);
    return armed{options.life, 0};
  }

  std::filesystem::path output_of(const arm& m) const {
    auto path = options.output;
    if (auto at = path.find("{scan}"); at != std::string::npos) path.replace(at, 6, to_string(m.head.scan));
    return path;
  }

  void open_file(const arm& m, std::vector<result_description> described) {
    file = std::make_unique<result_file>(result_file_options{
        output_of(m), options.overwrite, m.events, std::move(described), [wall = options.around.wall] {
          using std::chrono::system_clock;
          return system_clock::time_point(
              std::chrono::duration_cast<system_clock::duration>(std::chrono::nanoseconds(wall())));
        }});
  }

  reducer_host::row_sink row_sink() {
    if (!file) return {};
    return [this](event_number event, const value& content) {
      if (!file_trouble.empty()) return;
      try {
        file->write_row(event, content);
      } catch (const std::exception& e) {
        // The fold goes on; the scan ends with this error instead of a file.
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
    code.reset();
    if (finishing) finishing->deliver(make_error(ec::superseded, "the scan was given up"));
    finishing.reset();
  }

  void end(const disarm& m) {
    if (is_current(m.head)) give_up();
  }

  bool is_current(const message_head& head) const {
    return host && head.scan == setup.head.scan && head.gen == setup.head.gen;
  }

  void fold(const results& m) {
    if (!is_current(m.head)) return;
    auto& due = received[m.worker];
    if (m.sequence < due) return;
    due = m.sequence + 1;
    if (sealed) return finish_if_all_here();
    commits out{head(), {}};
    host->fold(m.worker, m.mapped, out.slots);
    if (auto worker = caf::actor_cast<caf::actor>(self->current_sender()))
      self->send(worker, accepted{head(), m.sequence});
    commit(std::move(out));
    finish_if_all_here();
  }

  /// Beside the results, under the same name with another ending.
  caf::result<std::string> keep(const keep_ledger& m) const {
    if (m.head.scan != setup.head.scan || options.output.empty()) return std::string();
    auto path = output_of(setup).replace_extension(".ledger.json");
    try {
      write_text_file(path, m.text);
    } catch (const std::exception& e) {
      spdlog::error("reducer: {}", e.what());
      return make_error(ec::file_error, e.what());
    }
    return path.string();
  }

  bool close_fold(const seal& m) {
    if (is_current(m.head)) sealed = true;
    return true;
  }

  void close(const closes& m) {
    if (!is_current(m.head) || sealed) return;
    commits out{head(), {}};
    for (auto& slots : m.slots) host->close(slots, out.slots);
    commit(std::move(out));
  }

  void commit(commits m) {
    if (!m.slots.empty()) self->send(controller, std::move(m));
  }

  message_head head() const { return {setup.head.scan, setup.head.gen, options.life}; }

  void tick(std::uint64_t armed) {
    if (!host || armed != arming) return;
    try {
      if (auto next = host->timer()) self->delayed_send(self, *next, tick_atom::value, armed);
    } catch (const std::exception& e) {
      timer_trouble = fmt::format("timer: {}: it is not called any more", e.what());
    } catch (...) {
      timer_trouble = "timer: unknown exception: it is not called any more";
    }
  }

  // -- the end ------------------------------------------------------------------------------------------

  caf::result<finished_scan> finish(const finish_scan& m) {
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
    for (auto& worker : last.workers)
      if (received[worker.worker] < worker.results) return;
    auto promise = std::exchange(finishing, {});
    try {
      promise->deliver(close_scan());
    } catch (const std::exception& e) {
      promise->deliver(make_error(ec::file_error, e.what()));
    } catch (...) {
      promise->deliver(make_error(ec::bad_analysis, "reducer: unknown exception"));
    }
    give_up();
  }

  finished_scan close_scan() {
    host->finish();
    finished_scan report;
    report.duplicates = host->duplicates();
    for (auto& worker : last.workers)
      if (!worker.complaint.empty())
        report.complaints.push_back(
            fmt::format("{}: finish: {}", setup.workers[worker.worker.value].name, worker.complaint));
    if (!timer_trouble.empty()) report.complaints.push_back(timer_trouble);
    if (!file) return report;
    if (!file_trouble.empty()) throw std::runtime_error(file_trouble);
    file->finish(host->published());
    for (auto& complaint : file->complaints()) report.complaints.push_back(complaint);
    report.output = file->path().string();
    file.reset();
    return report;
  }

  value status() {
    value_map m{{"armed", host.has_value()}, {"output", file ? file->path().string() : std::string()}};
    if (!file_trouble.empty()) m.set("error", file_trouble);
    if (host)
      m.set("folded", host->folded())
          .set("duplicates", host->duplicates())
          .set("intervals", host->ended().intervals());
    return m;
  }

  // -- state --------------------------------------------------------------------------------------------

  reducer_actor* self;
  reducer_options options;
  caf::actor controller;
  arm setup;
  /// Outlives the parts that were made by it.
  std::shared_ptr<const analysis> code;
  std::unique_ptr<journal> records;
  std::unique_ptr<result_file> file;
  std::string file_trouble, timer_trouble;
  /// The fold of the scan in hand; nothing when not armed.
  std::optional<reducer_host> host;
  /// Messages of each worker that are in; one that comes again is not folded again.
  std::unordered_map<worker_index, std::uint64_t> received;
  /// Who waits for the end, and what must be in before.
  std::optional<caf::typed_response_promise<finished_scan>> finishing;
  finish_scan last;
  /// Nothing more is folded: the controller has given up what has not ended.
  bool sealed = false;
  /// Counts armings: a timer of an earlier one is not heeded.
  std::uint64_t arming = 0;
};

} // namespace

caf::actor spawn_reducer(caf::actor_system& system, reducer_options options) {
  auto body = [options](reducer_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  };
  return options.detached ? system.spawn<caf::detached>(body) : system.spawn(body);
}

} // namespace dtranspose
