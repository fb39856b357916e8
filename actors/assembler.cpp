#include "actors/assembler.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <spdlog/spdlog.h>

#include <map>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "actors/bulk_meeting.hpp"
#include "actors/conduct.hpp"
#include "actors/messages.hpp"
#include "actors/unaccepted.hpp"
#include "model/credit_window.hpp"
#include "model/error.hpp"
#include "model/seclusion.hpp"

namespace dtranspose {

namespace {

struct assembler_state;
using assembler_actor = caf::stateful_actor<assembler_state>;

/// How far the messages of an ingester have come.
struct way {
  caf::actor from;
  std::uint32_t connection = 0;
  std::uint64_t expected = 0; ///< number of the next message
  std::uint64_t ticket = 0;
};

struct assembler_state {
  static inline const char* name = "assembler";

  explicit assembler_state(assembler_actor* self) : self(self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    return {
        [this](const partial_events& m) { take(m); },
        [this](const carried& m) { take(m); },
        [this](const dispatches& m) { take(m); },
        [this](const processed& m) { take(m); },
        [this](const arm& m) { return start(m); },
        [this](const disarm& m) { end(m); },
        [this](const member_info& peer) { meet(peer); },
        [this](const departed& m) { forget_peer(m.life); },
        [this](const trial& m) { take(m); },
        [this](const accepted& m) { note(m); },
        [this](const resend& m) { send_again(m); },
        [this](const renew& m) { start_anew(m.life); },
        [this](const obituary& m) {
          if (is_current(m.head)) self->send(controller, m);
        },
        [this](status_atom) { return status(); },
    };
  }

  // -- the scan -----------------------------------------------------------------------------------------

  caf::result<armed> start(const arm& m) {
    controller = caf::actor_cast<caf::actor>(self->current_sender());
    waiting.reset();
    if (m.resume && is_current(m.head)) {
      setup.workers = m.workers;
      std::vector<std::size_t> all(local.size());
      std::iota(all.begin(), all.end(), std::size_t{0});
      return_credit(all);
      asked.reset();
      tell_through();
      ask_leave();
      return armed{options.life, 0, true, last_dispatch};
    }
    if (!reducer) {
      auto promise = self->make_response_promise<armed>();
      waiting.emplace(m, promise);
      return promise;
    }
    return begin(m);
  }

  armed begin(const arm& m) {
    setup = m;
    joiner.emplace(m.streams, options.workers.size(), options.deliver_incomplete);
    local.clear();
    secluded = {};
    asked.reset();
    windows.assign(options.workers.size(), credit_window(options.memory / options.workers.size()));
    busy.assign(options.workers.size(), 0);
    reported.assign(options.workers.size(), 0);
    dispatched.assign(options.workers.size(), 0);
    granted.assign(options.workers.size(), credit_window::initial);
    ways.clear();
    meeting = {};
    kept.start_anew();
    last_dispatch = {};
    indices.clear();
    for (std::uint32_t w = 0; w < m.workers.size(); ++w)
      if (m.workers[w].process == options.life && !m.workers[w].gone) {
        local.emplace(worker_index(w), local.size());
        indices.resize(local.size());
        indices.back() = worker_index(w);
      }
    return armed{options.life, credit_window::initial};
  }

  void end(const disarm& m) {
    if (waiting && waiting->first.head.scan == m.head.scan) waiting.reset();
    if (is_current(m.head)) let_go();
  }

  void let_go() {
    joiner.reset();
    meeting = {};
    kept.forget();
  }

  void start_anew(incarnation life) {
    options.life = life;
    waiting.reset();
    let_go();
  }

  bool is_current(const message_head& head) const {
    return joiner && head.scan == setup.head.scan && head.gen == setup.head.gen;
  }

  void take(const dispatches& m) {
    // One that lies behind a hole comes again when the controller has asked where we stand.
    // A controller that is gone may have sent more than it had written down.
    if (!is_current(m.head) || m.previous != last_dispatch || self->current_sender() != controller) return;
    last_dispatch = m.dispatch;
    if (m.alone) secluded.seclude(m.dispatch);
    for (auto& run : m.runs)
      if (auto i = local.find(run.worker); i != local.end()) {
        joiner->expect(i->second, run, m.dispatch);
        dispatched[i->second] += run.events.count;
      }
    joiner->match();
    pass_on();
  }

  void take(const partial_events& m) {
    if (!is_current(m.head) || m.to != options.life || m.stream.value >= setup.streams.size()) return;
    check_sequence(m);
    if (m.ticket != 0) return join(meeting.take(m));
    add(m);
    pass_on();
  }

  /// Frames that came beside the messages.
  void take(const carried& m) {
    if (!joiner || m.piece->scan != setup.head.scan) return;
    join(meeting.take(m.piece));
  }

  void join(const std::optional<partial_events>& whole) {
    if (whole) add(*whole);
    if (auto lacking = meeting.take_lacking()) begin_anew_with(*lacking, "frames");
    pass_on();
  }

  void add(const partial_events& m) {
    for (auto& entry : m.entries) joiner->add(m.stream, entry);
  }

  /// A hole in the numbers of a connection means that messages were lost on the way.
  void check_sequence(const partial_events& m) {
    auto& way = ways[{m.head.from, m.stream}];
    // On a new connection it starts again: what was on its way comes once more.
    if (m.connection != way.connection) {
      meeting.retire(way.ticket);
      way = {};
      way.connection = m.connection;
    }
    way.from = caf::actor_cast<caf::actor>(self->current_sender());
    if (m.ticket != 0) way.ticket = m.ticket;
    auto whole = m.sequence == way.expected;
    way.expected = m.sequence + 1;
    if (!whole) begin_anew_with(m, "messages");
  }

  void begin_anew_with(const partial_events& m, const char* what) {
    ++holes;
    spdlog::error("assembler: {} of stream '{}' are missing before number {}: they are asked for again", what,
                  setup.streams[m.stream.value], m.sequence);
    auto i = ways.find({m.head.from, m.stream});
    if (i != ways.end()) self->send(i->second.from, begin_anew{head(), m.connection});
  }

  void take(const processed& m) {
    if (!joiner || m.scan != setup.head.scan || m.life != options.life) return;
    auto i = local.find(m.worker);
    if (i == local.end()) return;
    windows[i->second].done(m.count, m.busy, m.bytes);
    busy[i->second] += m.busy;
    if (is_awaited(i->second)) return_credit({i->second});
    secluded.done(ready);
    tell_through();
    hand_over();
  }

  /// Not for every batch: as long as a worker has enough before it, its credit can wait, and so many are
  /// spared being woken.
  bool is_awaited(std::size_t w) const {
    auto processed = windows[w].processed();
    return (processed - reported[w]) * 4 >= granted[w] - reported[w] || dispatched[w] <= processed;
  }

  void tell_through() {
    if (auto through = secluded.through())
      self->send(controller, trial{head(), *through, trial::step::through});
  }

  /// Leave to process an event alone, or to go on after it.
  void take(const trial& m) {
    if (!is_current(m.head)) return;
    if (m.step == trial::step::go) secluded.allow(m.dispatch, ready);
    if (m.step == trial::step::known) secluded.known(m.dispatch, ready);
    hand_over();
  }

  // -- sending ------------------------------------------------------------------------------------------

  void pass_on() {
    for (std::size_t w = 0; w < options.workers.size(); ++w) {
      auto& batch = joiner->batch(w);
      if (batch.events.empty()) continue;
      secluded.add(w, std::exchange(batch, {}), ready);
    }
    hand_over();
    pass_on_given_up();
    if (auto& list = joiner->handed_over_in_part(); !list.empty())
      self->send(controller, remarks{head(), with_indices(std::exchange(list, {}))});
  }

  void hand_over() {
    for (auto& piece : ready) {
      auto whole = std::make_shared<const joined_batch>(std::move(piece.batch));
      self->send(options.workers[piece.worker],
                 events{setup.head.scan, setup.head.gen, options.life, std::move(whole)});
    }
    ready.clear();
    ask_leave();
  }

  void ask_leave() {
    auto dispatch = secluded.asks();
    if (!dispatch || dispatch == asked) return;
    asked = dispatch;
    self->send(controller, trial{head(), *dispatch, trial::step::ready});
  }

  std::vector<unmappable> with_indices(std::vector<unmappable> list) const {
    for (auto& slots : list) slots.worker = indices[slots.worker.value];
    return list;
  }

  void note(const accepted& m) {
    if (is_current(m.head)) kept.accept(m.sequence);
  }

  void send_again(const resend& m) {
    if (!is_current(m.head)) return;
    reducer = caf::actor_cast<caf::actor>(self->current_sender());
    kept.for_each_from(m.next, [this](auto& message) { self->send(reducer, message); });
  }

  void pass_on_given_up() {
    if (!joiner->given_up().empty()) {
      auto& message = kept.keep(caf::make_message(
          closes{head(), kept.next(), with_indices(std::exchange(joiner->given_up(), {}))}));
      if (reducer) self->send(reducer, message);
    }
    // What was only to be looked at is given up without a close, and returns credit all the same.
    std::vector<std::size_t> concerned;
    for (std::size_t w = 0; w < options.workers.size(); ++w)
      if (auto count = joiner->take_given_up_events(w)) {
        windows[w].done(count, 0, 0);
        concerned.push_back(w);
      }
    if (!concerned.empty()) return_credit(concerned);
  }

  void return_credit(const std::vector<std::size_t>& workers) {
    credit m{head(), {}};
    for (auto w : workers) {
      reported[w] = windows[w].processed();
      granted[w] = windows[w].granted();
      m.workers.push_back({indices[w], windows[w].granted(), reported[w], busy[w]});
    }
    self->send(controller, std::move(m));
  }

  message_head head() const { return {setup.head.scan, setup.head.gen, options.life}; }

  // -- peers --------------------------------------------------------------------------------------------

  void meet(const member_info& peer) {
    if (!peer.reducer) return;
    reducer = peer.reducer;
    reducer_life = peer.life;
    if (!waiting) return;
    auto [m, promise] = *std::exchange(waiting, {});
    promise.deliver(begin(m));
  }

  void forget_peer(incarnation life) {
    if (life == reducer_life) reducer = nullptr;
  }

  value status() {
    value_map m{{"workers", options.workers.size()}, {"memory", options.memory}, {"holes", holes}};
    m.set("unaccepted_closes", kept.size()).set("bytes_beside_messages", meeting.bytes());
    if (joiner) m.set("open_events", joiner->open()).set("open_bytes", joiner->open_bytes());
    value_list list;
    for (auto& w : windows) list.push_back(value_map{{"window", w.window()}, {"processed", w.processed()}});
    m.set("windows", std::move(list));
    return m;
  }

  // -- state --------------------------------------------------------------------------------------------

  assembler_actor* self;
  assembler_options options;
  caf::actor controller;
  caf::actor reducer;
  incarnation reducer_life;
  /// An arm that waits for the reducer's connection.
  std::optional<std::pair<arm, caf::typed_response_promise<armed>>> waiting;
  /// The scan in hand; without a joiner it is not armed.
  arm setup;
  std::optional<event_joiner> joiner;
  seclusion secluded;
  std::vector<seclusion::piece> ready;
  std::optional<dispatch_id> asked; ///< the controller was asked to let that one go
  /// Workers of this process: place here by index in the scan, and back.
  std::unordered_map<worker_index, std::size_t> local;
  std::vector<worker_index> indices;
  std::vector<credit_window> windows;
  /// Time that each worker spent in analysis code, ns.
  std::vector<std::uint64_t> busy;
  /// Events that the controller knows each is through with, and ready for.
  std::vector<std::uint64_t> reported, granted;
  /// Events that each was given by the controller.
  std::vector<std::uint64_t> dispatched;
  /// By sender and stream.
  std::map<std::pair<incarnation, stream_index>, way> ways;
  /// Messages, and the frames that travel beside them.
  bulk_meeting meeting;
  /// What was closed and the reducer has not accepted yet, in messages.
  unaccepted kept;
  /// The last message of assignments.
  dispatch_id last_dispatch;
  std::uint64_t holes = 0;
};

} // namespace

caf::actor spawn_assembler(caf::actor_system& system, assembler_options options) {
  return system.spawn([options = std::move(options)](assembler_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
