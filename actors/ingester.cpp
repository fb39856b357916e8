#include "actors/ingester.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>

#include "actors/conduct.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "actors/wire_recorder.hpp"
#include "model/error.hpp"
#include "model/value_follower.hpp"
#include "protocol/announced_file.hpp"
#include "recording/mended_dump.hpp"

namespace dtranspose {

namespace {

/// How often time-outs are looked at.
constexpr auto tick = std::chrono::milliseconds(100);
/// A message between processes is not larger than this but for a single frame: nothing else gets through
/// while it is on its way.
constexpr std::size_t largest_message = 4 << 20;
constexpr std::size_t most_entries = 512;
/// After so many ways for large frames that could not be had, they go in messages.
constexpr int most_ways_in_vain = 3;
/// How long a process that ends waits for what is to be recorded.
constexpr auto longest_farewell = std::chrono::milliseconds(1200);
/// Gaps of a recording that are listed; all are counted.
constexpr std::size_t most_gaps = 1000;

struct ingester_state;
using ingester_actor = caf::stateful_actor<ingester_state>;

/// A process with workers, as its ingester sees it.
struct process {
  caf::actor handle; ///< null: it is not connected, or gone
  incarnation life;
  std::uint32_t connection = 0;
  std::uint64_t sequence = 0; ///< of the next message on that connection
  /// For large frames; without an outlet none is open.
  struct {
    std::unique_ptr<bulk_outlet> outlet;
    std::uint64_t ticket = 0;
  } way;
  int ways_in_vain = 0; ///< that never came to a connection, in a row
};

struct ingester_state {
  static inline const char* name = "ingester";

  explicit ingester_state(ingester_actor* self) : self(self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    self->set_exit_handler([this](caf::exit_msg& m) { leave(m.reason); });
    if (wire()) {
      wire_recorder = spawn_wire_recorder(self->system(), wire(), caf::actor_cast<caf::actor>(self));
      self->link_to(wire_recorder);
    }
    input = options.make_source();
    if (follows()) listen_for_ever();
    self->delayed_send(self, tick, tick_atom::value);
    return {
        [this](const received& m) { take(m); },      [this](const assignments& m) { take(m); },
        [this](const forget& m) { take(m); },        [this](const arm& m) { return start(m); },
        [this](const led& m) { take(m); },           [this](const halt& m) { stop(m); },
        [this](const disarm& m) { end(m); },         [this](const member_info& peer) { meet(peer); },
        [this](const departed& m) { miss(m.life); }, [this](tick_atom) { look_at_time(); },
        [this](const begin_anew& m) { take(m); },    [this](const renew& m) { options.life = m.life; },
        [this](const recorded& m) { take(m); },      [this](const finish_recording& m) { return finish(m); },
        [this](status_atom) { return status(); },
    };
  }

  // -- the scan -----------------------------------------------------------------------------------------

  caf::result<armed> start(const arm& m) {
    if (m.resume && is_current(m.head)) return go_on(m);
    if (pending) pending->deliver(make_error(ec::superseded, "another scan was armed"));
    pending.reset();
    setup = m;
    controller = caf::actor_cast<caf::actor>(self->current_sender());
    halted = false;
    pending = self->make_response_promise<armed>();
    begin_if_connected();
    return *pending_or_done();
  }

  /// The controller was away, or we were cut off from it: it learns where we stand.
  caf::result<armed> go_on(const arm& m) {
    setup.workers = m.workers;
    controller = caf::actor_cast<caf::actor>(self->current_sender());
    connect_again();
    for (auto& w : setup.workers)
      if (w.gone) queue->drop_process(w.place);
    told_place.reset();
    tell_place();
    if (untold) return armed{options.life, 0, false, {}, {setup.from.event}};
    return armed{options.life, 0, true, last_dispatch};
  }

  /// The promise that `start` answers with, also when it was kept already.
  std::optional<caf::typed_response_promise<armed>> pending_or_done() { return pending ? pending : done; }

  /// Takes frames once every process that it may have to send to is there.
  void begin_if_connected() {
    if (!pending) return;
    processes.clear();
    // In mid-scan nobody is waited for: who is connected later is sent everything then.
    if ((!find_processes() && !setup.resume) || !find_followers()) return;
    queue.emplace(setup.entries, options.late_window, options.budget, options.startless);
    if (setup.resume) queue->resume(setup.from.first, setup.from.arm);
    last_dispatch = {};
    untold = setup.resume;
    told_place.reset();
    announced.reset();
    heard = false;
    news = {setup.entries, {}, {}};
    if (!following.empty()) queue->report_decided();
    open_recording();
    if (follows()) {
      values.emplace(has_stream(options.leader));
      if (latest) values->take(latest);
    } else {
      arm_source();
    }
    last_packet = options.around.steady();
    pressed = false;
    allow();
    done = pending;
    pending.reset();
    done->deliver(armed{options.life, 0, false, {}});
  }

  /// Where the processes with workers are; false when one of them is not connected. Those of before keep what
  /// was sent to them.
  bool find_processes() {
    bool all = true;
    for (auto& w : setup.workers) {
      if (w.place >= processes.size()) processes.resize(w.place + std::size_t{1});
      processes[w.place].life = w.process;
      auto i = assemblers.find(w.process);
      processes[w.place].handle = i == assemblers.end() || w.gone ? nullptr : i->second;
      all = all && (w.gone || i != assemblers.end());
    }
    return all;
  }

  // -- recording ----------------------------------------------------------------------------------------

  /// Empty: the scan is not recorded.
  std::filesystem::path recording_path() const {
    auto& folder = options.recording.folder;
    if (setup.dump_prefix.empty() && folder.empty()) return {};
    auto prefix =
        setup.dump_prefix.empty() ? (std::filesystem::path(folder) / "").string() : setup.dump_prefix;
    return fmt::format("{}{}-ingester-{}.cbors{}", prefix, options.stream, to_string(setup.head.scan),
                       ending_of(options.recording.packed));
  }

  /// What an ingester before this one recorded of the scan is there again.
  void open_recording() {
    if (wire() && !follows()) begin_wire_recording();
    recorded_before.clear();
    hole = {};
    tape = {};
    tape.file = recording_path();
    if (tape.file.empty()) return;
    try {
      if (tape.file.has_parent_path()) std::filesystem::create_directories(tape.file.parent_path());
      if (setup.resume && std::filesystem::exists(tape.file)) read_recording();
      queue->know_events(setup.events_of_stream);
      name_hole(setup.from.event);
      // What is known is not written once more.
      for (auto& [event, data] : recorded_before)
        if (queue->knows_events()) queue->restore(event, data);
      if (queue->knows_events()) recorded_before.clear();
      queue->record();
      if (!recorder) {
        recorder =
            spawn_recorder(self->system(), {options.stream, options.recording.packed, options.around.wall});
        self->link_to(recorder);
      }
      self->send(recorder, record_to{tape.file});
    } catch (const std::exception& e) {
      tape.trouble = e.what();
      tape.file.clear();
      spdlog::error("ingester {}: not recorded: {}", options.stream, e.what());
    }
  }

  void read_recording() {
    hole.next = event_number(0);
    mend_dump(tape.file, options.recording.packed, [this](dump_item&& item) {
      hole.next = std::max(*hole.next, event_number(item.event + 1));
      // What is before is over.
      if (item.event < setup.from.event.value) return;
      for (auto& stream : item.streams)
        if (stream.name == options.stream)
          recorded_before.insert_or_assign(event_number(item.event), std::move(stream.data));
    });
    spdlog::info("ingester {}: took up a recording of {} open events", options.stream,
                 recorded_before.size());
  }

  /// What an ingester before this one took of the events before `end`, and its recorder did not get to write,
  /// is a gap of the recording.
  void name_hole(event_number end) {
    auto first = hole.next;
    if (!first || end <= *first) return;
    hole.next = end;
    for (auto& run : setup.events_of_stream) {
      auto skipped = *first <= run.first ? 0 : (*first - run.first + run.stride - 1) / run.stride;
      for (auto i = skipped; i < run.count && run.at(static_cast<std::uint32_t>(i)) < end; ++i)
        hole.events.emplace_back(run.at(static_cast<std::uint32_t>(i)), stream_data());
    }
    if (hole.events.empty()) return;
    spdlog::warn("ingester {}: events {} to {} did not get into the recording before its process ended",
                 options.stream, hole.events.front().first.value, hole.events.back().first.value);
  }

  void restore_from_recording(const event_run& events) {
    if (recorded_before.empty()) return;
    for (std::uint32_t i = 0; i < events.count; ++i)
      if (auto found = recorded_before.find(events.at(i)); found != recorded_before.end()) {
        queue->restore(found->first, found->second);
        recorded_before.erase(found);
      }
  }

  void hand_to_recorder() {
    auto list = queue->take_recordable();
    if (tape.file.empty()) return;
    for (auto& entry : list) {
      if (!hole.next || entry.first < *hole.next) continue;
      name_hole(entry.first);
      hole.next.reset();
    }
    list.insert(list.begin(), hole.events.begin(), hole.events.end());
    hole.events.clear();
    if (list.empty()) return;
    recordable m;
    for (auto& [event, data] : list) {
      if (!data) {
        note_gap(event);
        continue;
      }
      auto bytes = budgeted_bytes(data.bytes());
      auto waiting = tape.handed + m.bytes - tape.written;
      if (options.recording.leave_gaps && waiting > 0 && waiting + bytes > options.recording.budget)
        leave_gap(event, data);
      else
        m.bytes += bytes;
    }
    tape.handed += m.bytes;
    tape.events += list.size();
    m.entries = std::make_shared<const std::vector<std::pair<event_number, stream_data>>>(std::move(list));
    self->send(recorder, std::move(m));
  }

  void leave_gap(event_number event, stream_data& data) {
    if (!std::exchange(tape.was_behind, true))
      spdlog::warn("ingester {}: the recording is behind, and leaves out event {} and more", options.stream,
                   event.value);
    data.reset();
    note_gap(event);
  }

  void note_gap(event_number event) {
    ++tape.gap_events;
    if (!tape.gaps.empty() && tape.gaps.back().end == event)
      tape.gaps.back().end = event_number(event.value + 1);
    else if (tape.gaps.size() < most_gaps)
      tape.gaps.push_back({event, event_number(event.value + 1)});
  }

  void take(const recorded& m) {
    note(m);
    if (queue) allow();
  }

  void note(const recorded& m) {
    if (m.file.empty()) return;
    if (m.file == wire_done.file) wire_done = m;
    if (m.file != tape.file) return;
    tape.written = m.bytes;
    tape.file_bytes = m.written;
    if (!m.trouble.empty()) tape.trouble = m.trouble;
    tape.lost = m.lost;
    tape.lost_events = m.lost_events;
  }

  /// Bytes that the source may hand over before the recorder has to write some of what it has.
  std::uint64_t recorder_room() const {
    auto waiting = tape.handed - tape.written;
    return options.recording.budget - std::min(waiting, options.recording.budget);
  }

  bool held_by_recorder() const {
    auto& recording = options.recording;
    if (recording.leave_gaps) return false;
    return (!tape.file.empty() && recorder_room() == 0) || (wire() && wire_room() == 0);
  }

  caf::result<value> finish(const finish_recording& m) {
    if (!is_current(m.head)) return status();
    auto promise = self->make_response_promise<value>();
    std::vector<caf::actor> open;
    if (!tape.file.empty()) open.push_back(recorder);
    if (wire()) open.push_back(wire_recorder);
    close_recordings(std::move(open), promise);
    return promise;
  }

  void close_recordings(std::vector<caf::actor> open, caf::typed_response_promise<value> promise) {
    if (open.empty()) return void(promise.deliver(status()));
    auto next = open.back();
    open.pop_back();
    self->request(next, caf::infinite, close_recording{})
        .then(
            [this, open, promise](const recorded& done) {
              note(done);
              close_recordings(open, promise);
            },
            [promise](const caf::error& e) mutable { promise.deliver(e); });
  }

  /// What was handed to recorders is written first, if that is soon.
  void leave(const caf::error& reason) {
    std::vector<caf::actor> behind;
    if (recorder && tape.handed != tape.written) behind.push_back(recorder);
    if (wire() && wire()->waiting() > 0) behind.push_back(wire_recorder);
    if (behind.empty() || !(reason == caf::exit_reason::user_shutdown)) return self->quit(reason);
    if (queue) input->disarm();
    auto open = std::make_shared<std::size_t>(behind.size());
    auto done = [this, reason, open] {
      if (--*open == 0) self->quit(reason);
    };
    for (auto& each : behind)
      self->request(each, longest_farewell, close_recording{})
          .then([done](const recorded&) { done(); }, [done](const caf::error&) { done(); });
  }

  void end_recording() {
    if (recorder && !tape.file.empty()) self->send(recorder, record_to{});
    if (wire() && !follows()) wire()->end();
    recorded_before.clear();
  }

  // -- recording as it is received ------------------------------------------------------------------------

  const std::shared_ptr<wire_tape>& wire() const { return options.recording.wire; }

  void begin_wire_recording() {
    wire_done = {};
    wire_done.file = wire()->begin();
  }

  std::uint64_t wire_room() const {
    auto budget = wire()->options().budget;
    return budget - std::min(wire()->waiting(), budget);
  }

  value wire_status() const {
    auto counted = wire()->counted();
    value_map m{{"file", wire_done.file.string()},
                {"messages", counted.messages - counted.left_out.messages}};
    m.set("bytes", wire_done.written).set("behind_bytes", wire()->waiting());
    m.set("gap_messages", counted.left_out.messages).set("gap_bytes", counted.left_out.bytes);
    m.set("lost_messages", wire_done.lost_events);
    return m;
  }

  /// Why a recording does not have everything; empty: it has.
  std::string recording_trouble() const {
    std::vector<std::string> texts;
    for (auto& text : {tape.trouble, wire_done.trouble})
      if (!text.empty()) texts.push_back(text);
    if (tape.gap_events > 0) texts.push_back(fmt::format("{} events are left out of it", tape.gap_events));
    if (auto left_out = wire() ? wire()->counted().left_out.messages : 0; left_out > 0)
      texts.push_back(fmt::format("{} messages are left out of it, as the disk was behind", left_out));
    return fmt::format("{}", fmt::join(texts, "; "));
  }

  void arm_source() {
    ++epoch;
    // What comes of a batch may end the scan, and so disarm the source.
    auto lend = input->reentrant() ? options.lend : nullptr;
    input->arm([to = caf::actor_cast<caf::actor_addr>(self), epoch = epoch, lend](auto batch) {
      auto send = [&] {
        if (auto ingester = caf::actor_cast<caf::actor>(to))
          caf::anon_send(ingester, received{epoch, std::move(batch)});
      };
      lend ? lend(send) : send();
    });
  }

  bool has_stream(const std::string& stream) const {
    return std::find(setup.streams.begin(), setup.streams.end(), stream) != setup.streams.end();
  }

  /// False: one that takes part is not connected yet.
  bool find_followers() {
    following.clear();
    for (auto& stream : options.followers) {
      if (!has_stream(stream)) continue;
      auto i = std::find_if(ingesters.begin(), ingesters.end(),
                            [&](auto& x) { return x.second.stream == stream; });
      if (i == ingesters.end()) return false;
      following.push_back(i->second.handle);
    }
    return true;
  }

  void take(const received& m) {
    if (follows()) return keep_latest(m);
    if (m.epoch != epoch || !queue) return;
    if (!announced) hear_of_file(*m.batch);
    last_packet = options.around.steady();
    queue->tell_time(last_packet);
    queue->receive(*m.batch);
    packets += m.batch->packets.size();
    received_bytes += m.batch->bytes;
    pass_on();
  }

  /// Where the instrument says that it writes: for links to it. Recordings do not say what is a start.
  void hear_of_file(const packet_batch& batch) {
    for (auto& packet : batch.packets) {
      if (!packet.data || (packet.numbers.kind != entry_kind::start && !packet.numbers.event)) continue;
      if (packet.numbers.event && std::exchange(heard, true)) return;
      announced = announced_file(packet.data);
      if (announced) return;
    }
  }

  void take(const assignments& m) {
    // One that lies behind a hole comes again when the controller has asked where we stand.
    // A controller that is gone may have sent more than it had written down.
    if (!is_current(m.head) || m.previous != last_dispatch || self->current_sender() != controller) return;
    last_dispatch = m.dispatch;
    untold = false;
    for (auto place : m.gone) {
      queue->drop_process(place);
      if (place < processes.size()) processes[place].handle = nullptr;
    }
    for (auto& run : m.runs) {
      queue->assign(run, m.dispatch);
      restore_from_recording(run.events);
      if (values) values->assign(run);
      if (!following.empty()) news.runs.push_back(run);
    }
    for (auto& run : m.repeats) queue->repeat(run);
    give_values();
    pass_on();
    self->send(controller, taken{head(), setup.stream, last_dispatch});
  }

  void take(const forget& m) {
    if (!is_current(m.head)) return;
    queue->tell_time(options.around.steady());
    for (auto& range : m.events) queue->forget(range);
    if (queue->held_bytes() < options.budget.retain / 2) pressed = false;
    pass_on();
  }

  // -- software-triggered streams -----------------------------------------------------------------------

  bool follows() const { return !options.leader.empty(); }

  /// A value counts whether or not a scan is on: the first event gets the last one from before.
  void listen_for_ever() {
    if (wire()) begin_wire_recording();
    arm_source();
    input->allow(std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max());
  }

  void keep_latest(const received& m) {
    packets += m.batch->packets.size();
    received_bytes += m.batch->bytes;
    last_packet = options.around.steady();
    for (auto& packet : m.batch->packets)
      if (packet.data && packet.numbers.kind == entry_kind::data) latest = packet.data;
    if (!values) return;
    values->take(latest);
    give_values();
    pass_on();
  }

  void take(const led& m) {
    if (!values || m.head.scan != setup.head.scan || m.head.gen != setup.head.gen) return;
    values->take(m.news);
    give_values();
    pass_on();
  }

  void give_values() {
    if (values && queue) queue->receive(values->ready());
  }

  /// Followers can't be told anything before they are armed: they all are when the first assignment comes.
  void lead() {
    if (following.empty() || (news.runs.empty() && !leads)) return;
    leads = true;
    news.decided = queue->take_decided();
    if (news.runs.empty() && news.decided.empty()) return;
    for (auto& follower : following) self->send(follower, led{head(), news});
    news.runs.clear();
  }

  void stop(const halt& m) {
    if (!is_current(m.head)) return;
    halted = true;
    if (!follows()) input->disarm();
    queue->close(m.cause);
    pass_on();
  }

  void end(const disarm& m) {
    if (pending && pending_is(m.head)) {
      pending->deliver(make_error(ec::superseded, "disarmed"));
      pending.reset();
    }
    if (!is_current(m.head)) return;
    if (!follows()) {
      ++epoch;
      input->disarm();
    }
    last_scan = {};
    add_queue(last_scan);
    queue.reset();
    end_recording();
    values.reset();
    leads = false;
    for (auto& process : processes) process.way = {};
  }

  bool pending_is(const message_head& head) const { return head.scan == setup.head.scan; }

  bool is_current(const message_head& head) const {
    return queue && head.scan == setup.head.scan && head.gen == setup.head.gen;
  }

  // -- sending ------------------------------------------------------------------------------------------

  void pass_on() {
    if (!queue) return;
    lead();
    tell_place();
    hand_to_recorder();
    for (auto process : queue->ready_processes()) {
      auto& entries = queue->outgoing(process);
      send_in_pieces(process, entries);
      entries.clear();
    }
    queue->ready_processes().clear();
    if (!pressed && queue->held_bytes() > options.budget.retain / 2) {
      pressed = true;
      self->send(controller, pressure{head(), options.stream});
    }
    allow();
  }

  /// Who takes the stream up after us has to know where its arm lies.
  void tell_place() {
    auto place = queue->tracker().place();
    if (!place || place == told_place) return;
    told_place = place;
    self->send(controller, stream_began{head(), setup.stream, *place});
  }

  void send_in_pieces(process_index process, std::vector<outgoing_entry>& entries) {
    // Who is not connected gets everything again when it is, unless it is given up before.
    if (process >= processes.size() || !processes[process].handle) return;
    auto& to = processes[process];
    for (auto first = entries.begin(); first != entries.end();) {
      std::size_t bytes = 0;
      auto last = first;
      do bytes += last->data.bytes();
      while (++last != entries.end() && bytes + last->data.bytes() <= largest_message &&
             static_cast<std::size_t>(last - first) < most_entries);
      partial_events m{head(), to.life, setup.stream, to.connection, to.sequence++, {}, 0};
      m.entries.assign(std::make_move_iterator(first), std::make_move_iterator(last));
      send_frames_beside(to, m);
      self->send(to.handle, std::move(m));
      first = last;
    }
  }

  // -- large frames -------------------------------------------------------------------------------------

  /// Large frames go a way of their own to another process; the message only says where they belong.
  void send_frames_beside(process& to, partial_events& m) {
    std::vector<stream_data> large;
    for (auto& entry : m.entries) {
      if (entry.data.bytes() < options.bulk_from || !has_way(to)) continue;
      auto type = entry.data.type();
      entry.carried = static_cast<std::uint32_t>(entry.data.frames().size());
      bytes_beside += entry.data.bytes();
      large.push_back(std::exchange(
          entry.data, stream_data(std::make_unique<borrowed_frames>(std::vector<frame>(), nullptr), type)));
    }
    if (large.empty()) return;
    m.ticket = to.way.ticket;
    to.way.outlet->send(m.head.scan, m.ticket, m.sequence, std::move(large));
  }

  /// Opens one if there is none. Not to workers of this process: nothing is faster than a handle.
  bool has_way(process& to) {
    if (to.way.outlet) return true;
    if (!options.outlets || to.life == options.life || to.ways_in_vain >= most_ways_in_vain) return false;
    auto i = inlets.find(to.life);
    if (i == inlets.end() || i->second.url.empty()) return false;
    try {
      to.way.outlet = options.outlets(i->second);
    } catch (const std::exception& e) {
      spdlog::warn("ingester {}: no way for frames to {}", options.stream, e.what());
      to.ways_in_vain = most_ways_in_vain;
      return false;
    }
    while (to.way.ticket == 0) to.way.ticket = options.around.random();
    return true;
  }

  void look_after_ways() {
    bool any_lost = false;
    for (process_index p = 0; p < processes.size(); ++p) {
      auto& to = processes[p];
      if (!to.way.outlet || !to.handle) continue;
      using condition = bulk_outlet::condition;
      auto now = to.way.outlet->look();
      if (now == condition::connected) to.ways_in_vain = 0;
      if (now != condition::lost && now != condition::unreachable) continue;
      if (now == condition::unreachable) ++to.ways_in_vain;
      auto& url = inlets[to.life].url;
      spdlog::warn("ingester {}: {} {}; what was under way is sent again{}", options.stream,
                   now == condition::lost ? "lost the connection for frames to" : "cannot send frames to",
                   url, to.ways_in_vain >= most_ways_in_vain ? " in messages, which is slower" : "");
      begin_connection(p);
      any_lost = true;
    }
    if (any_lost) pass_on();
  }

  void take(const begin_anew& m) {
    if (!is_current(m.head)) return;
    for (process_index p = 0; p < processes.size(); ++p)
      if (processes[p].life == m.head.from && processes[p].connection == m.connection && processes[p].handle)
        begin_connection(p);
    pass_on();
  }

  /// Everything that was sent to the process and is not forgotten goes there once more, numbered anew, with
  /// the next `pass_on`.
  void begin_connection(process_index p) {
    ++processes[p].connection;
    processes[p].sequence = 0;
    processes[p].way = {};
    if (queue) queue->send_again(p);
  }

  message_head head() const { return {setup.head.scan, setup.head.gen, options.life}; }

  void allow() {
    if (halted || follows()) return;
    // The one packet beyond: counted, so that saying it again does not let another one pass.
    auto beyond = queue->may_exceed() ? queue->handed_over() + 1 : 0;
    auto allowed = queue->allowance();
    auto hold_to = [&](std::uint64_t room, bool any_waits) {
      allowed = std::min(allowed, queue->handed_over() + room);
      if (any_waits) beyond = 0;
    };
    if (!tape.file.empty() && !options.recording.leave_gaps)
      hold_to(recorder_room(), tape.handed > tape.written);
    if (wire() && !wire()->options().leave_gaps) hold_to(wire_room(), wire()->waiting() > 0);
    input->allow(allowed, beyond);
  }

  // -- peers and time -----------------------------------------------------------------------------------

  void meet(const member_info& peer) {
    if (peer.assembler) {
      assemblers[peer.life] = peer.assembler;
      inlets[peer.life] = peer.frames;
    }
    for (auto& ingester : peer.ingesters) ingesters.emplace(peer.life, ingester);
    begin_if_connected();
    if (queue && peer.assembler) connect_again();
  }

  /// Who is connected now and was not gets what was sent meanwhile, or was on the way when the connection was
  /// lost.
  void connect_again() {
    std::vector<bool> was(processes.size());
    for (std::size_t p = 0; p < was.size(); ++p) was[p] = bool(processes[p].handle);
    find_processes();
    for (process_index p = 0; p < processes.size(); ++p) {
      if (!processes[p].handle || (p < was.size() && was[p])) continue;
      processes[p].ways_in_vain = 0;
      begin_connection(p);
    }
    pass_on();
  }

  void miss(incarnation life) {
    assemblers.erase(life);
    inlets.erase(life);
    ingesters.erase(life);
    for (auto& process : processes) {
      if (process.life != life) continue;
      process.handle = nullptr;
      process.way = {};
    }
  }

  void look_at_time() {
    self->delayed_send(self, tick, tick_atom::value);
    measure_rate();
    look_after_ways();
    if (!queue || halted) return;
    // Nobody is silent who is not read: held back by a budget, or by its recording.
    bool reading = input->status().reading;
    if (!follows() && !reading) last_packet = options.around.steady();
    auto silent = std::chrono::nanoseconds(options.around.steady() - last_packet);
    if (silent >= options.rearm_timeout && queue->unsettled()) {
      queue->settle();
      pass_on();
    }
    if (options.stall_timeout.count() > 0 && silent >= options.stall_timeout &&
        !queue->tracker().complete() && reading) {
      auto seconds = std::chrono::duration<double>(silent).count();
      self->send(controller, stalled{head(), options.stream, fmt::format("nothing for {:.1f} s", seconds)});
      last_packet = options.around.steady();
    }
  }

  /// Packets and bytes per second, over about one second.
  void measure_rate() {
    auto now = options.around.steady();
    auto seconds = static_cast<double>(now - measured_at) * 1e-9;
    if (seconds < 1) return;
    packet_rate = static_cast<double>(packets - measured_packets) / seconds;
    byte_rate = static_cast<double>(received_bytes - measured_bytes) / seconds;
    measured_at = now;
    measured_packets = packets;
    measured_bytes = received_bytes;
  }

  value status() {
    auto in = input->status();
    value_map m{{"stream", options.stream},
                {"protocol", options.protocol},
                {"matched_by", follows()          ? "time"
                               : options.numbered ? "number"
                                                  : "position"},
                {"address", in.address},
                {"connected", in.connected},
                {"discarded_while_idle", in.discarded},
                {"packets", packets},
                {"packets_per_second", packet_rate},
                {"bytes_per_second", byte_rate}};
    if (!in.error.empty()) m.set("error", in.error);
    if (!tape.file.empty() || !tape.trouble.empty()) m.set("recording", recording_status());
    if (!wire_done.file.empty()) m.set("wire_recording", wire_status());
    if (auto trouble = recording_trouble(); !trouble.empty()) m.set("recording_error", trouble);
    if (bytes_beside > 0) m.set("bytes_beside_messages", bytes_beside);
    m.set("state", state_text(in));
    if (queue)
      add_queue(m);
    else
      for (auto& [key, content] : last_scan) m.set(key, content);
    return m;
  }

  std::string state_text(const source_status& in) const {
    if (!in.error.empty()) return "cannot read: " + in.error;
    if (!queue) return in.connected ? "idle" : "idle, waiting for its instrument to connect";
    if (!in.connected && queue->received_bytes() == 0) return "waiting for its instrument to connect";
    if (queue->tracker().complete()) return "complete";
    if (!in.reading && held_by_recorder()) return "held back: its recording is behind";
    if (!in.reading) return "held back: its budget is full";
    auto silent = std::chrono::nanoseconds(options.around.steady() - last_packet);
    if (silent < std::chrono::seconds(1)) return "reading";
    return fmt::format("silent for {} s", std::chrono::duration_cast<std::chrono::seconds>(silent).count());
  }

  value recording_status() const {
    value_map m{{"file", tape.file.string()}, {"events", tape.events - tape.gap_events}};
    m.set("bytes", tape.file_bytes).set("behind_bytes", tape.handed - tape.written);
    m.set("gap_events", tape.gap_events).set("gaps", list_of(tape.gaps));
    m.set("lost_events", tape.lost_events).set("lost", list_of(tape.lost));
    return m;
  }

  /// First and last events of the first ranges.
  static value_list list_of(const std::vector<event_range>& ranges) {
    value_list list;
    for (auto& range : ranges)
      if (list.size() < most_gaps) list.push_back(value_list{range.first.value, range.end.value - 1});
    return list;
  }

  void add_queue(value_map& m) const {
    auto& tracker = queue->tracker();
    value_map verdicts, faults;
    for (std::size_t v = 0; v < verdict_count; ++v)
      verdicts.set(name_of(static_cast<verdict>(v)), tracker.count(static_cast<verdict>(v)));
    for (std::size_t f = 0; f < packet_fault_count; ++f)
      faults.set(name_of(static_cast<packet_fault>(f)), queue->faults(static_cast<packet_fault>(f)));
    m.set("entries", setup.entries).set("verdicts", std::move(verdicts)).set("faults", std::move(faults));
    m.set("received_bytes", queue->received_bytes()).set("held_bytes", queue->held_bytes());
    m.set("budget_bytes", options.budget.retain);
    m.set("fill", static_cast<double>(queue->held_bytes()) /
                      static_cast<double>(std::max<std::uint64_t>(options.budget.retain, 1)));
    if (announced) m.set("filename", *announced);
    m.set("discarded", queue->discarded()).set("latency", latency());
    if (tracker.last_number()) m.set("last_number", *tracker.last_number());
    if (tracker.series()) m.set("series", *tracker.series());
    if (auto event = queue->waiting_for()) m.set("waiting_for_event", event->value);
  }

  value latency() const {
    auto& all = queue->latencies();
    return value_map{{"up_to", value_list(all.ends.begin(), all.ends.end())},
                     {"counts", value_list(all.counts().begin(), all.counts().end())},
                     {"sum", all.sum()}};
  }

  // -- state --------------------------------------------------------------------------------------------

  ingester_actor* self;
  ingester_options options;
  /// The bytes come from here; a thread of its own.
  std::unique_ptr<source> input;
  /// Assemblers of the processes that are connected.
  std::unordered_map<incarnation, caf::actor> assemblers;
  /// Where those processes take large frames.
  std::unordered_map<incarnation, bulk_address> inlets;
  /// Ingesters of all processes that are connected.
  std::unordered_multimap<incarnation, member_info::ingester> ingesters;
  caf::actor controller;
  /// The scan in hand; without a queue it is not armed.
  arm setup;
  std::optional<stream_queue> queue;
  std::vector<process> processes;
  /// The last message of assignments.
  dispatch_id last_dispatch;
  /// It has taken a stream up, and does not know yet what is open.
  bool untold = false;
  /// Where its arm lies, as far as the controller was told.
  std::optional<arm_place> told_place;
  /// The file of the instrument, as its start announced it; was there anything in a recording that could?
  std::optional<std::string> announced;
  bool heard = false;
  caf::actor recorder; ///< null: nothing was recorded yet
  /// How the recording of the scan is; that of the last one between two.
  struct {
    std::filesystem::path file;               ///< empty: it is not recorded
    std::uint64_t handed = 0, written = 0;    ///< bytes of entries
    std::uint64_t file_bytes = 0;             ///< bytes that are written
    std::uint64_t events = 0, gap_events = 0; ///< handed over, gaps included; gaps
    std::uint64_t lost_events = 0;            ///< that could not be written
    std::vector<event_range> gaps;            ///< the first ones
    std::vector<event_range> lost;            ///< that could not be written
    std::string trouble;
    bool was_behind = false; ///< and left something out
  } tape;
  /// What the recording of an ingester before this one lacks, as that ended.
  struct {
    std::optional<event_number> next;                         ///< nothing that is not before it is named yet
    std::vector<std::pair<event_number, stream_data>> events; ///< to be named
  } hole;
  caf::actor wire_recorder; ///< null: what is received is not recorded
  recorded wire_done;       ///< how far that is
  /// What was recorded before and is not assigned yet.
  std::map<event_number, stream_data> recorded_before;
  /// Of a software-triggered stream: the latest value, and which events it goes to.
  stream_data latest;
  std::optional<value_follower> values;
  /// Ingesters that follow this one in the scan, and what they were not told yet.
  std::vector<caf::actor> following;
  leader_news news;
  bool leads = false;
  /// An arm that waits for connections, and the one answered last.
  std::optional<caf::typed_response_promise<armed>> pending, done;
  /// Which arming of the source is in force.
  std::uint64_t epoch = 0;
  std::uint64_t packets = 0, received_bytes = 0, bytes_beside = 0; ///< since the process began
  std::int64_t last_packet = 0;
  /// Rates as they were measured last, and from where they are measured next.
  double packet_rate = 0, byte_rate = 0;
  std::int64_t measured_at = 0;
  std::uint64_t measured_packets = 0, measured_bytes = 0;
  /// What the last scan came to, while there is no other.
  value_map last_scan;
  bool halted = false;
  bool pressed = false;
};

} // namespace

caf::actor spawn_ingester(caf::actor_system& system, ingester_options options) {
  return system.spawn([options = std::move(options)](ingester_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
