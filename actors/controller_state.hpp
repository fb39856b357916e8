/// What the controller is made of. Only its own sources include this: `controller.cpp` (members, the life of
/// a scan), `controller_recovery.cpp` (who is gone, who is back, who is new), `controller_journal.cpp` (its
/// own restart), `controller_parameters.cpp` and `controller_report.cpp` (what people ask).
#pragma once

#include <caf/binary_serializer.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "actors/controller.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "model/assigner.hpp"
#include "model/decision_log.hpp"
#include "model/dispatch_book.hpp"
#include "model/ledger.hpp"
#include "model/load_history.hpp"
#include "model/parameter_book.hpp"
#include "model/scan_state.hpp"
#include "model/trigger_map.hpp"
#include "output/journal.hpp"

namespace dtranspose {

/// How long files may take to be closed.
constexpr auto close_timeout = std::chrono::minutes(10);
/// How long an actor may take to say how it is.
constexpr auto status_timeout = std::chrono::seconds(1);
/// How often it is looked who is away for too long.
constexpr auto look_interval = std::chrono::milliseconds(200);

/// What the controller knows of one scan.
struct scan {
  struct worker {
    caf::actor handle;
    std::uint64_t processed = 0;
    std::uint64_t busy = 0;     ///< ns
    parameters_version version; ///< of the parameters that it has
    load_history load;
  };

  /// A process with workers.
  struct process {
    incarnation life;
    caf::actor assembler;
    std::vector<worker_index> workers;
    dispatch_id last_sent;
    bool ready = false;   ///< armed, and given work
    bool fenced = false;  ///< its workers are gone, and the reducer knows
    bool fencing = false; ///< the reducer was asked to
  };

  /// A stream and who reads it.
  struct stream {
    caf::actor ingester; ///< null: it is gone
    incarnation life;
    dispatch_id last_sent, taken;
    arm_place place;
    bool ready = false; ///< armed, and told all that was assigned
    std::int64_t lost_at = 0;
  };

  /// One message of assignments, as long as an ingester may have to be told again.
  struct batch {
    dispatch_id dispatch;
    std::vector<std::vector<stream_run>> runs;    ///< by stream
    std::vector<std::vector<repeat_run>> repeats; ///< by stream
    std::vector<process_index> gone;
    bool concerns(std::size_t stream) const {
      return !gone.empty() || !runs[stream].empty() || !repeats[stream].empty();
    }
  };

  /// What a worker that is gone had and nobody has taken over.
  struct parked {
    worker_index from;
    std::vector<given_run> runs;
    tag_set tags;
    std::int64_t since = 0;
  };

  scan(arm setup, std::shared_ptr<const trigger_map> map)
      : setup(std::move(setup)), map(map), bindings(map), fates(map->events()) {}

  message_head head() const { return setup.head; }
  /// Its workers all go together.
  bool is_gone(const process& p) const { return setup.workers[p.workers.front().value].gone; }

  arm setup;        ///< as everybody gets it, but for the fields of single receivers
  std::string body; ///< of the request
  bool wrap = true;
  std::shared_ptr<const trigger_map> map;
  assigner bindings;
  dispatch_book book;
  ledger fates;
  scan_life life;
  std::vector<worker> workers;           ///< by worker_index
  std::vector<process_index> process_of; ///< by worker_index
  std::vector<process> processes;        ///< by process_index
  std::vector<stream> streams;           ///< by stream_index
  caf::actor reducer;                    ///< null: it is gone
  incarnation reducer_life;
  bool reducer_ready = false;
  std::int64_t reducer_lost_at = 0;
  dispatch_id last_dispatch;
  std::uint32_t burials = 0; ///< messages of its own to assemblers
  /// What late processes were given to look at: events by dispatch.
  struct context {
    process_index place = 0;
    dispatch_id dispatch;
    std::map<std::uint64_t, stream_mask> events;
    std::vector<worker_run> runs; ///< the same for the workers of the process
  };
  std::vector<context> contexts;
  std::deque<batch> outbox;
  std::vector<process_index> unmoved; ///< fenced, and what they had has not moved yet
  std::vector<parked> waiting_for_workers;
  bool closes_under_way = false;
  std::vector<unmappable>
      to_close; ///< slots that the controller gives up, until the reducer has said that they ended
  /// What a worker was given of an event.
  using unit = std::pair<event_number, slot_index>;
  std::map<unit, std::uint32_t> attempts; ///< processes that ended while it was under way
  /// Those that were under way in several deaths without a word: tried one by one, alone in their process.
  std::map<unit, given_run> suspects;
  std::int64_t untried_since = 0; ///< nobody is there who has the tags for any of them
  struct {
    bool on = false;
    unit what;
    worker_index to;
    dispatch_id dispatch;
    bool going = false; ///< its process has nothing else under way, and may process it
  } trial;
  std::set<worker_index> explained; ///< workers of whom it is known which event ended them
  std::int64_t lacking_since = 0;   ///< the next event needs tags that no worker has
  bool flushed = false;
  std::string cause;                ///< why it was stopped or failed
  std::string output;               ///< file that is written, and then that was written
  std::set<worker_index> to_finish; ///< workers whose last result is waited for
  bool closing = false;             ///< the reducer was asked to finish
  bool keeping = false;             ///< and then to keep the ledger
  std::vector<finished_worker> finished;
  std::vector<std::string> complaints;
  parameters_version reducer_version; ///< of the parameters that it has
  /// Of the parameters, those that it had: the last ones, rising.
  std::deque<std::pair<parameters_version, std::map<std::string, std::string>>> versions;
  value_list changes; ///< of parameters, for the ledger
  std::uint64_t changes_not_listed = 0;
  decision_log decisions;                  ///< of the analysis
  value_map stream_reports;                ///< what became of each, once the scan is over
  std::int64_t armed_at = 0, ended_at = 0; ///< steady clock, ns
};

struct controller_state;
using controller_actor = caf::stateful_actor<controller_state>;

struct controller_state {
  static inline const char* name = "controller";

  explicit controller_state(controller_actor* self) : self(self) {}

  caf::behavior make_behavior();

  // -- members
  void welcome(const member_info& m);
  void miss(incarnation life);
  static std::string roles_of(const member_info& m);

  // -- starting a scan
  caf::result<std::string> start(const set_sequence& request);
  caf::error enlist(scan& s);
  caf::error enlist_ingesters(scan& s);
  void enlist_workers(scan& s);
  void enlist_process(scan& s, const member_info& m, bool admitted);
  caf::error check_tags(const scan& s) const;
  void arm_reducer();
  void arm_workers();
  void arm_assemblers();
  void arm_ingesters();
  struct armee {
    caf::actor handle;
    std::string who;
    arm message;
  };
  void arm_all(std::vector<armee> list, std::function<void()> next);
  arm arm_of(worker_index worker) const;
  arm arm_of(stream_index stream) const;
  void grant_first(incarnation process, std::uint64_t credit);
  void arming_failed(const std::string& who, const caf::error& e);
  void run();

  // -- running
  bool is_current(const message_head& head) const;
  bool is_running() const;
  void take(const credit& m);
  void take(const commits& m);
  void take(const remarks& m);
  void take(const pressure& m);
  void take(const stalled& m);
  void take(const taken& m);
  void take(const stream_began& m);
  void take(const decided& m);
  value decisions_since(std::uint64_t number) const;
  void grant_tick(worker_index worker);
  void assign();
  void send(assignment_batch& batch);
  void send_dispatches(process_index place, dispatch_id dispatch, std::vector<worker_run> runs,
                       bool alone = false);
  void send_batch(stream_index stream, const scan::batch& batch);
  void post(scan::batch batch);
  void settle();
  bool nothing_under_way() const;
  void flush_all();

  // -- ending
  bool stop(const std::string& cause);
  void stop_overdue(std::uint64_t number);
  void give_up_rest(std::uint64_t number);
  void drain();
  void ask_to_finish(worker_index worker);
  void has_finished(worker_index worker);
  bool is_draining(std::uint64_t number) const;
  void close();
  static bool is_an_answer(const caf::error& e);
  void write_ledger();
  void finish(std::uint64_t number);
  scan_state end_state() const;
  keep_ledger ledger_to_keep(scan_state state) const;
  void ask_reducer_to_finish(value about);
  void fail(const std::string& cause);
  void give_up_current(const std::string& cause);
  void disarm_all();
  void end();

  // -- recovery
  void look_at_time();
  void miss_reducer();
  void miss_ingester(stream_index stream);
  void miss_process(process_index place);
  void fence_process(process_index place);
  void move_unmoved();
  void try_next();
  void suspect(worker_index worker, std::vector<given_run>& runs);
  void move_from(worker_index worker);
  void move(worker_index from, std::vector<given_run> runs, const tag_set& tags);
  std::optional<worker_index> replacement(const tag_set& tags) const;
  tag_set tags_needed(worker_index worker) const;
  bool lapses(const given_run& run, event_number event) const;
  void close_slots(std::vector<unmappable> slots);
  void send_closes();
  void adopt_parked();
  void come_back(const member_info& m);
  void take_reducer(const member_info& m);
  void take_ingester(stream_index stream, const member_info& m, const caf::actor& ingester);
  void tell_what_is_open(stream_index stream, event_number from);
  void tell_again(stream_index stream, dispatch_id taken);
  void take_process(process_index place, const member_info& m);
  bool takes_part(incarnation life) const;
  void enlist_late(const member_info& m);
  void note_version(worker_index worker, parameters_version version);
  void arm_late(process_index place);
  void let_in(process_index place, std::uint64_t credit);
  void give_context(process_index place);
  void go_on_if_all_are_back();
  void come_back_if_missed();
  void ask_again();
  void take(const obituary& m);
  void take(const trial& m);
  void take(const unreachable& m);
  void bury_context(stream_index stream);
  void bury_stream(stream_index stream, const std::string& cause);

  // -- parameters
  void begin_book();
  std::map<std::string, std::string> parameters_to_use() const;
  value list_parameters() const;
  caf::result<value> reload_analysis();
  static value default_of(const parameter_description& p);
  caf::result<std::string> get(const get_parameter& m) const;
  caf::result<std::string> set(const set_parameter& m);
  std::string refusal_of(const parameter_book& next, const std::string& name) const;
  std::string changed_row(const std::vector<result_description>& next) const;
  void tell_parameters();
  void tell_reducer(parameters_version version, const std::map<std::string, std::string>& written);
  void tell(const caf::actor& to, std::string who, parameters_version version,
            const std::map<std::string, std::string>& written,
            std::function<void(parameters_version)> answered);
  void note_change();
  void keep_scan_files();
  std::string recording_prefix() const;

  // -- its own journal
  enum class record_kind : std::uint8_t {
    scan = 1,
    batch = 2,
    stopped = 3,
    gone = 5,
    rebound = 6,
    moved = 7,
    late = 8,
    let_in = 9,
    began = 10,
    unbound = 11,
    parameters = 12,
  };
  void open_journal();
  void note_batch(std::uint64_t events);
  void note_choices();
  template <class... Ts>
  void note(record_kind kind, const Ts&... content) {
    if (!records) return;
    // What was chosen before must be chosen before when it is decided again.
    if (kind != record_kind::batch && kind != record_kind::scan) note_choices();
    scratch.clear();
    caf::binary_serializer sink(self->system(), scratch);
    if (auto e = sink(const_cast<Ts&>(content)...)) return;
    records->append(static_cast<std::uint8_t>(kind), std::as_bytes(std::span(scratch)));
  }
  void commit_journal();
  void close_journal();
  void restore();
  void replay(record_kind kind, std::span<const std::byte> content);
  void replay_scan(arm setup, std::string body, bool wrap, const std::vector<tag_set>& tags);
  void replay_batch(dispatch_id dispatch, std::uint64_t events, const std::vector<binding_run>& choices);
  void replay_move(dispatch_id dispatch, worker_index from, worker_index to,
                   const std::vector<worker_run>& runs);
  void replay_context(scan::context context);
  scan::batch repeats_of(dispatch_id dispatch, process_index place,
                         const std::vector<worker_run>& runs) const;
  void give(worker_index from, worker_index to, std::vector<given_run> runs, bool alone = false);

  // -- what people ask
  progress report_progress() const;
  std::string sequence() const;
  caf::result<value> report_ledger();
  value ledger_of(scan_state state, const value_map& streams) const;
  void ask_streams(std::function<void(value_map)> done);
  void finish_streams(std::function<void(value_map)> done);
  template <class Question>
  void ask_streams(std::chrono::nanoseconds patience, const Question& question,
                   std::function<void(value_map)> done);
  value ensemble() const;
  static std::string service_uuid(const member_info& m, const std::string& service_name);
  std::uint64_t processed_by(const std::string& service_name) const;
  value_map identities() const;
  bool has_parameters(const std::string& service_name) const;
  value_map service(const member_info& m, const std::string& service_name, const std::string& hash) const;
  caf::result<value> status();
  std::map<std::string, caf::actor> everybody() const;
  value status_of(const std::map<std::string, value>& answers) const;
  value_map times() const;
  value loads(const value& intervals, bool whole) const;
  value_list completed_list() const;
  std::string bottleneck(const std::map<std::string, value>& answers) const;

  // -- state
  controller_actor* self;
  controller_options options;
  parameter_book book{[] { return 0; }};
  std::shared_ptr<const analysis> code;        ///< null: it cannot be had here
  std::map<std::string, std::string> unusable; ///< parameters of the configuration that the book refuses
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
  std::unique_ptr<journal> records;
  std::vector<char> scratch;
  std::string journal_trouble;
  /// Fences what is left of a scan of before, once its members had time to come back.
  bool restoring = false;
  std::int64_t restored_at = 0;
};

} // namespace dtranspose
