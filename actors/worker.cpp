#include "actors/worker.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

#include "actors/conduct.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "actors/unaccepted.hpp"
#include "analysis/registry.hpp"
#include "model/error.hpp"

namespace dtranspose {

namespace {

/// How long a deferred result may be held back while nobody asks for it: what a viewer waits for at most.
constexpr auto flush_interval = std::chrono::seconds(1);
/// Deferred events hold their frames at the ingesters; so many of them are flushed at once.
constexpr std::uint64_t most_deferred = 4096;
/// Results go to another process not more often than that.
constexpr auto result_spacing = std::chrono::nanoseconds(std::chrono::microseconds(500));

struct worker_state;
using worker_actor = caf::stateful_actor<worker_state>;

struct worker_state {
  static inline const char* name = "worker";

  explicit worker_state(worker_actor* self) : self(self), pace(*self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    return {
        [this](const events& m) { map(m); },
        [this](const arm& m) { return start(m); },
        [this](const disarm& m) { end(m); },
        [this](const flush& m) { flush_now(m); },
        [this](const change_parameters& m) { return change(m); },
        [this](const accepted& m) { note(m); },
        [this](const resend& m) { send_again(m); },
        [this](const renew& m) { start_anew(m.life); },
        [this](const finish_worker& m) { return finish(m); },
        [this](tick_atom) { tick(); },
        [this](tick_atom, bool) { tick_granted = true; },
        [this](send_atom) { send_what_waits(); },
        [this](const member_info& peer) { meet(peer); },
        [this](const departed& m) { forget_peer(m.life); },
        [this](status_atom) { return status(); },
    };
  }

  // -- the scan -----------------------------------------------------------------------------------------

  caf::result<armed> start(const arm& m) {
    waiting.reset();
    if (m.resume && is_current(m.head)) {
      setup.workers = m.workers;
      change_to(m.version, m.parameters);
      return armed{options.life, 0, true, {}};
    }
    if (!reducer) {
      // Not connected yet: this is gone through again when it is. The controller does not wait for ever.
      auto promise = self->make_response_promise<armed>();
      waiting.emplace(m, promise);
      return promise;
    }
    return begin(m);
  }

  caf::expected<armed> begin(const arm& m) {
    assembler = nullptr;
    try {
      auto analysis = load_analysis(m.analysis);
      auto settings = complete_parameters(*analysis, m.parameters);
      host.reset();
      blocking_section others_go_on;
      host.emplace(analysis->make_worker_for(facts_of(m, m.version), settings), settings, m.streams);
      code = std::move(analysis);
      host->limit(options.event_timeout, options.around.steady);
      if (options.watched) options.watched(host->watch(), m.head, m.worker);
    } catch (const std::exception& e) {
      return make_error(ec::bad_analysis, fmt::format("worker {}: {}", options.name, e.what()));
    } catch (...) {
      return make_error(ec::bad_analysis, fmt::format("worker {}: unknown exception", options.name));
    }
    setup = m;
    kept.start_anew();
    out = {};
    last_answer.reset();
    change_trouble.clear();
    tick_granted = false;
    return armed{options.life, 0};
  }

  scan_facts facts_of(const arm& m, parameters_version version) const {
    return {.id = to_string(m.head.scan),
            .streams = m.streams,
            .events = m.events,
            .worker = options.name,
            .tags = options.tags,
            .version = version,
            .generation = m.head.gen.value};
  }

  void end(const disarm& m) {
    if (waiting && waiting->first.head.scan == m.head.scan) waiting.reset();
    if (is_current(m.head)) let_go();
  }

  void let_go() {
    host.reset();
    code.reset();
    kept.forget();
    out = {};
    last_answer.reset();
  }

  /// This process was given up for dead: what it did since, somebody else does.
  void start_anew(incarnation life) {
    options.life = life;
    waiting.reset();
    let_go();
  }

  bool is_current(const message_head& head) const {
    return host && head.scan == setup.head.scan && head.gen == setup.head.gen;
  }

  void map(const events& m) {
    if (!host || m.scan != setup.head.scan || m.gen != setup.head.gen || m.life != options.life) return;
    assembler = caf::actor_cast<caf::actor>(self->current_sender());
    auto before = options.around.steady();
    run([&] { host->process(*m.batch, std::exchange(tick_granted, false), out); });
    auto now = options.around.steady();
    std::uint64_t bytes = 0;
    for (auto& entry : m.batch->entries) bytes += entry.data.bytes();
    events_done += m.batch->events.size();
    self->send(assembler, processed{setup.head.scan, options.life, setup.worker, m.batch->events.size(),
                                    static_cast<std::uint64_t>(now - before), bytes});
    if (host->deferred() >= most_deferred) flush_deferred();
    if (host->deferred() > 0) flush_later();
    send_results_in_time(now);
  }

  /// A message to another process costs far more than what is in it: those that follow at once wait for each
  /// other.
  void send_results_in_time(std::int64_t now) {
    if (out.nothing()) return;
    if (!reducer || reducer->node() == self->node() || now - results_sent_at >= result_spacing.count()) {
      results_sent_at = now;
      return send_results();
    }
    if (std::exchange(send_due, true)) return;
    self->delayed_send(self, result_spacing, send_atom::value);
  }

  void send_what_waits() {
    send_due = false;
    if (host) send_results();
  }

  void flush_later() {
    if (tick_due) return;
    tick_due = true;
    self->delayed_send(self, flush_interval, tick_atom::value);
  }

  void tick() {
    tick_due = false;
    if (!host || host->deferred() == 0) return;
    flush_deferred();
    send_results();
  }

  void flush_now(const flush& m) {
    if (!is_current(m.head)) return;
    flush_deferred();
    send_results();
  }

  caf::result<parameters_version> change(const dtranspose::change_parameters& m) {
    if (waiting && waiting->first.head.scan == m.head.scan) {
      waiting->first.version = m.version;
      waiting->first.parameters = m.parameters;
      return m.version;
    }
    if (!is_current(m.head)) return make_error(ec::superseded, "another scan is armed");
    change_to(m.version, m.parameters);
    return setup.version;
  }

  /// What was made before leaves with the version that it was made with.
  void change_to(parameters_version version, const std::map<std::string, std::string>& written) {
    if (version <= setup.version) return;
    change_trouble.clear();
    std::string lost;
    run([&] {
      try {
        auto make = [&](const parameters& p) { return code->make_worker_for(facts_of(setup, version), p); };
        lost = host->change_parameters(complete_parameters(*code, written), make, out);
      } catch (const std::exception& e) {
        change_trouble = e.what();
      } catch (...) {
        change_trouble = "unknown exception";
      }
    });
    send_results();
    if (!lost.empty())
      spdlog::error("worker {}: what it had gathered with parameters of before is lost: {}", options.name,
                    lost);
    if (!change_trouble.empty())
      return spdlog::error("worker {}: goes on with the parameters of before: {}", options.name,
                           change_trouble);
    setup.parameters = written;
    setup.version = version;
  }

  void flush_deferred() {
    run([&] { host->flush(out); });
  }

  /// Analysis code, in whatever thread this is.
  template <class F>
  void run(F&& code) {
    if (options.prepare_thread) options.prepare_thread();
    pace.run(code);
  }

  caf::result<finished_worker> finish(const finish_worker& m) {
    if (!is_current(m.head)) return make_error(ec::superseded, "another scan is armed");
    // Asked again: the answer did not arrive, or who asked was started again.
    if (last_answer) return *last_answer;
    std::string complaint;
    run([&] { complaint = host->finish(out); });
    send_results();
    last_answer = finished_worker{setup.worker, kept.next(), std::move(complaint)};
    return *last_answer;
  }

  void send_results() {
    if (out.nothing()) return;
    message_head head{setup.head.scan, setup.head.gen, options.life};
    auto& message = kept.keep(
        caf::make_message(results{head, setup.worker, kept.next(), setup.version, std::exchange(out, {})}));
    if (reducer) self->send(reducer, message);
  }

  /// Results up to there need not be kept.
  void note(const accepted& m) {
    if (is_current(m.head)) kept.accept(m.sequence);
  }

  /// The reducer was started again, or the connection to it was lost for a while.
  void send_again(const resend& m) {
    if (!is_current(m.head)) return;
    reducer = caf::actor_cast<caf::actor>(self->current_sender());
    kept.for_each_from(m.next, [this](auto& message) { self->send(reducer, message); });
  }

  // -- peers --------------------------------------------------------------------------------------------

  void meet(const member_info& peer) {
    if (!peer.reducer) return;
    reducer = peer.reducer;
    reducer_life = peer.life;
    if (!waiting) return;
    auto [m, promise] = *std::exchange(waiting, {});
    if (auto ready = begin(m))
      promise.deliver(*ready);
    else
      promise.deliver(ready.error());
  }

  void forget_peer(incarnation life) {
    if (life == reducer_life) reducer = nullptr;
  }

  value status() {
    value_map m{{"name", options.name}, {"events", events_done}, {"armed", host.has_value()}};
    m.set("unaccepted_results", kept.size());
    if (host) m.set("deferred", host->deferred()).set("parameters_version", setup.version.value);
    if (!change_trouble.empty()) m.set("error", "parameters: " + change_trouble);
    return m;
  }

  // -- state --------------------------------------------------------------------------------------------

  worker_actor* self;
  unknown_pace pace; ///< of the analysis
  worker_options options;
  caf::actor assembler;
  caf::actor reducer;
  incarnation reducer_life;
  arm setup;
  /// An arm that waits for the reducer's connection.
  std::optional<std::pair<arm, caf::typed_response_promise<armed>>> waiting;
  /// Outlives the parts that were made by it.
  std::shared_ptr<const analysis> code;
  /// The analysis of the scan in hand; nothing when not armed.
  std::optional<worker_host> host;
  /// What is on its way to the reducer.
  mapped_batch out;
  /// What the reducer has not accepted yet.
  unaccepted kept;
  /// What it answered to `finish_worker`.
  std::optional<finished_worker> last_answer;
  std::string change_trouble; ///< why it does not work with the latest parameters
  std::uint64_t events_done = 0;
  std::int64_t results_sent_at = 0; ///< steady clock, ns
  bool send_due = false;            ///< the rest will be sent in a moment
  bool tick_due = false;
  /// The controller gave the next event of this worker the tick.
  bool tick_granted = false;
};

} // namespace

caf::actor spawn_worker(caf::actor_system& system, worker_options options) {
  return system.spawn([options = std::move(options)](worker_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
