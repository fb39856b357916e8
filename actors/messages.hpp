/// Every message between actors, with who sends it to whom. What crosses processes has a type id; what never
/// leaves a process is listed at the end.
///
/// Names: `head` says for which scan and generation a message is, and which life of which process sent
/// it; a receiver drops what does not fit. Requests are marked with their answer.
#pragma once

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/type_id.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actors/serialization.hpp"
#include "analysis/reducer_host.hpp"
#include "analysis/worker_host.hpp"
#include "cluster/bulk_carrier.hpp"
#include "model/assignment.hpp"
#include "model/event_joiner.hpp"
#include "model/scan_id.hpp"
#include "model/value_follower.hpp"
#include "source/source.hpp"

namespace dtranspose {

struct message_head {
  scan_id scan;
  generation gen;
  incarnation from;
};

// -- membership ---------------------------------------------------------------------------------------

/// What a process is made of. member -> member of another process, which answers with its own;
/// member -> controller of the same process.
struct member_info {
  struct ingester {
    std::string stream;
    caf::actor handle;
  };
  struct worker {
    std::string name;
    tag_set tags;
    caf::actor handle;
  };

  incarnation life;
  std::string name;
  std::string address; ///< HOST:PORT where its peers connect; empty: not reachable
  caf::actor member;
  caf::actor assembler; ///< null without workers
  caf::actor reducer;   ///< null without
  std::vector<ingester> ingesters;
  std::vector<worker> workers;
  bulk_address frames; ///< where large frames for its workers may go, beside the messages
  std::string results; ///< URL where viewers read what its reducer publishes; empty: nowhere
};

/// controller -> members: who is there, so that those who must talk connect directly.
struct roster {
  struct entry {
    incarnation life;
    std::string name;
    std::string address;
    bool ingests = false, works = false, reduces = false;
  };
  std::vector<entry> members;
};

/// member -> its own actors and controller: a process is gone.
struct departed {
  incarnation life;
};

// -- the scan -----------------------------------------------------------------------------------------

/// controller -> reducer, workers, assemblers, ingesters, in this order; each answers `armed` or an error.
/// With `resume` for a scan that is running: who knows it goes on with what it has, takes the list of workers
/// as it is now and says where it stands; an ingester or a reducer that does not know it takes it up.
struct arm {
  struct worker_place {
    std::string name;
    incarnation process;
    process_index place = 0; ///< of its process among those with workers
    bool gone = false;       ///< fenced: nothing of it counts any more
  };
  /// Where an ingester takes a stream up.
  struct stream_place {
    stream_position first; ///< entries before it are over
    arm_place arm;
    event_number event; ///< that `first` belongs to, or the next one
  };

  message_head head;
  std::uint64_t events = 0;
  stream_names streams;
  std::vector<worker_place> workers; ///< by worker_index
  std::string analysis;              ///< name or path, as configured; the receiver loads it itself
  std::map<std::string, std::string> parameters;
  parameters_version version;
  worker_index worker;                     ///< of the receiver, if it is a worker
  stream_index stream;                     ///< of the receiver, if it is an ingester
  std::uint64_t entries = 0;               ///< of that stream
  std::vector<event_run> events_of_stream; ///< of those entries, where they are few runs
  std::string dump_prefix;                 ///< of the files of recordings; empty: as configured
  bool resume = false;
  stream_place from; ///< with `resume`, if it is an ingester
};

struct armed {
  incarnation from;
  std::uint64_t credit = 0; ///< events that each worker of an assembler may be given to begin with
  bool known = false;       ///< with `resume`: it was armed for the scan already
  dispatch_id taken;        ///< with `resume`: the last `assignments` or `dispatches` that it has
  /// With `resume`: an ingester that was armed by a controller which did not come to tell it what is open
  /// from this event on.
  std::vector<event_number> untold;
  std::string output; ///< the file that a reducer writes; empty: none
};

/// controller -> ingester: what to do with frames of a stretch of events. `previous` is the one before it to
/// the same ingester: who lacks that one waits until the controller has asked where it stands.
struct assignments {
  message_head head;
  dispatch_id previous, dispatch;
  std::vector<stream_run> runs;
  std::vector<repeat_run> repeats;
  std::vector<process_index> gone; ///< places that get nothing any more
};

/// ingester -> controller: what it has got so far need not be kept for it.
struct taken {
  message_head head;
  stream_index stream;
  dispatch_id dispatch;
};

/// controller -> assembler: what its workers will get of the same stretch.
struct dispatches {
  message_head head;
  dispatch_id previous, dispatch;
  std::vector<worker_run> runs;
  bool alone = false; ///< one event, to be processed with nothing beside it in the process
};

/// An event that is processed alone. assembler -> controller: it could be now; it was. controller ->
/// assembler: let it; it is known that it was.
struct trial {
  message_head head;
  dispatch_id dispatch;
  enum class step : std::uint8_t { ready, go, through, known } step = step::ready;
};

/// ingester -> controller: where the arm lies that has begun, for who may have to take the stream up.
struct stream_began {
  message_head head;
  stream_index stream;
  arm_place arm;
};

/// controller -> reducer: nothing of these workers counts from now on. Answered with true once that is
/// written down and everything that ended before has been committed.
struct fence {
  message_head head;
  std::vector<worker_index> workers;
};

/// reducer -> worker, assembler: has everything before this one; send what you keep from there on.
struct resend {
  message_head head;
  std::uint64_t next = 0;
};

/// process with workers -> controller: that worker is lost with the event that it was at.
struct obituary {
  message_head head;
  worker_index worker;
  std::vector<event_number> suspects; ///< one of them did it; none: nobody can tell
  std::string cause;
};

/// member -> the controller's member -> controller: two processes that have tried for a while cannot reach
/// each other.
struct unreachable {
  incarnation from, to;
};

/// controller -> member: the process was given up. member -> its own actors: the process goes on as another
/// one, as it was given up. Who works starts anew.
struct renew {
  incarnation life;
};

/// ingester -> assembler: frames, or tombstones, of events. Numbered without a hole per pair and connection.
struct partial_events {
  message_head head;
  incarnation to; ///< of its process: what was meant for an earlier one is not heeded
  stream_index stream;
  std::uint32_t connection = 0; ///< counts those of the pair
  std::uint64_t sequence = 0;
  std::vector<outgoing_entry> entries;
  std::uint64_t ticket = 0; ///< of the way that the frames take which do not travel in it
};

/// assembler -> ingester: something that was sent over that connection did not arrive. Begin a new one.
struct begin_anew {
  message_head head;
  std::uint32_t connection = 0;
};

/// assembler -> controller: how many events each worker is ready for and through with, both in total.
struct credit {
  struct worker {
    worker_index index;
    std::uint64_t granted = 0;
    std::uint64_t processed = 0;
    std::uint64_t busy = 0; ///< ns
  };
  message_head head;
  std::vector<worker> workers;
};

/// worker -> reducer. Numbered without a hole per worker and scan.
struct results {
  message_head head;
  worker_index worker;
  std::uint64_t sequence = 0;
  parameters_version version;
  mapped_batch mapped;
};

/// assembler -> reducer: slots that are given up, as data for them is missing. Numbered without a hole per
/// process and scan.
struct closes {
  message_head head;
  std::uint64_t sequence = 0;
  std::vector<unmappable> slots;
};

/// controller -> reducer: slots that it gives up; answered with true when they have ended.
struct give_up {
  message_head head;
  std::vector<unmappable> slots;
};

/// assembler -> controller: slots that were handed to a worker although data is missing, for the ledger.
struct remarks {
  message_head head;
  std::vector<unmappable> slots;
};

/// reducer -> controller: slots that ended, after they were folded and journaled.
struct commits {
  message_head head;
  std::vector<ended_slots> slots;
};

/// reducer -> worker, assembler: results or closes up to this one need not be kept.
struct accepted {
  message_head head;
  std::uint64_t sequence = 0;
};

/// controller -> ingesters: events that are done.
struct forget {
  message_head head;
  std::vector<event_range> events;
};

/// ingester of a leader -> ingesters of the software-triggered streams that follow it.
struct led {
  message_head head;
  leader_news news;
};

/// ingester -> controller: half of its budget is held, so deferred results should be flushed.
struct pressure {
  message_head head;
  std::string stream;
};

/// ingester -> controller: nothing came for longer than the configuration allows.
struct stalled {
  message_head head;
  std::string stream;
  std::string since; ///< for people
};

/// controller -> ingesters: wait for nothing more; what is not there is lost.
struct halt {
  message_head head;
  std::string cause;
};

/// reducer -> controller: what the analysis has decided, as `decision_log` takes it. What was told comes
/// again when the controller or the reducer was away.
struct decided {
  message_head head;
  std::vector<value> decisions;
};

/// controller -> reducer: fold nothing more; answered with true when everything before is committed.
struct seal {
  message_head head;
};

/// controller -> workers: give the result that covers what is deferred.
struct flush {
  message_head head;
};

/// controller -> workers; each answers `finished_worker` when its last result is on its way.
struct finish_worker {
  message_head head;
};
struct finished_worker {
  worker_index worker;
  std::uint64_t results = 0; ///< messages to the reducer in total
  std::string complaint;     ///< what its `finish` threw; empty: nothing
};

/// controller -> reducer; answers `finished_scan` when those many messages of each worker are in and its
/// files are closed, or an error.
struct finish_scan {
  message_head head;
  std::vector<finished_worker> workers;
  value about; ///< for its file: `ledger` and `trigger_map`; null without a file
};
struct finished_scan {
  std::string output;                  ///< path of the file that was written; empty: none
  std::vector<std::string> complaints; ///< what people should know of the result
  std::uint64_t duplicates = 0;        ///< results that were rejected, as they had been folded before
};

/// controller -> reducer: the ledger of a scan that is over, to be kept beside its results; answers the path
/// of its file, empty without results.
struct keep_ledger {
  message_head head;
  std::string text; ///< JSON
};

/// controller -> reducer, then workers: the parameters from now on. Each answers with the version that it has
/// then; the reducer once that is written down.
struct change_parameters {
  message_head head;
  parameters_version version;
  std::map<std::string, std::string> parameters;
};

/// controller -> ingester: nothing more is recorded; answers, once the recording is on the disk, how the
/// stream went, as to `status`.
struct finish_recording {
  message_head head;
};

/// controller -> everybody: the scan is over or given up.
struct disarm {
  message_head head;
};

// -- people -------------------------------------------------------------------------------------------

/// http, runtime -> controller; answers the scan's id as text, or an error.
struct set_sequence {
  std::string body;
  bool wrap = true;
};

/// http -> controller; answers the bytes, or an error.
struct get_parameter {
  std::string name;
};

/// http -> controller; answers the hash of all parameters, or an error.
struct set_parameter {
  std::string name;
  std::string written;
  bool lenient = false; ///< what does not convert counts as nothing, instead of being refused
};

/// What progress bars and scripts ask for. The names are those of the REST interface.
struct progress {
  std::string scan; ///< empty: none was started yet
  std::string state;
  std::uint64_t last_assigned = 0, completed_events = 0, total_events = 0;
  bool finished = false;
  std::map<std::string, std::uint64_t> fates;
  std::string output;
  std::string trouble; ///< why it failed or what it waits for, for people
  double seconds = 0;  ///< since it was armed, until it ended
};

// -- never across processes ---------------------------------------------------------------------------

/// source -> ingester.
struct received {
  std::uint64_t epoch = 0; ///< which arming it belongs to
  std::shared_ptr<const packet_batch> batch;
};

/// ingester -> recorder: the file for what follows. Empty: none, the last one is finished.
struct record_to {
  std::filesystem::path file;
};

/// ingester -> recorder: entries of the stream by event; an empty one is a gap.
struct recordable {
  std::uint64_t bytes = 0;
  std::shared_ptr<const std::vector<std::pair<event_number, stream_data>>> entries;
};

/// recorder -> ingester: so many bytes are written, since the file was opened.
struct recorded {
  std::filesystem::path file;
  std::uint64_t bytes = 0;   ///< of entries
  std::uint64_t written = 0; ///< of the file
  std::string trouble;       ///< why it cannot be written; empty: it can
  /// Events that could not be written: the first ranges, and all.
  std::vector<event_range> lost;
  std::uint64_t lost_events = 0;
};

/// ingester -> recorder, answered with the last `recorded` once everything is on the disk.
struct close_recording {};

/// inlet -> assembler.
struct carried {
  std::shared_ptr<const bulk_piece> piece;
};

/// assembler -> worker.
struct events {
  scan_id scan;
  generation gen;
  incarnation life; ///< of their process: those of an earlier one are not heeded
  std::shared_ptr<const joined_batch> batch;
};

/// worker -> assembler.
struct processed {
  scan_id scan;
  incarnation life;
  worker_index worker;
  std::uint64_t count = 0, busy = 0, bytes = 0; ///< events, ns, bytes of their frames
};

// -- inspection ---------------------------------------------------------------------------------------

#define DTRANSPOSE_INSPECT(type, ...)                                                                        \
  template <class Inspector>                                                                                 \
  typename Inspector::result_type inspect(Inspector& f, type& x) {                                           \
    return f(caf::meta::type_name(#type), __VA_ARGS__);                                                      \
  }

DTRANSPOSE_INSPECT(message_head, x.scan, x.gen, x.from)
DTRANSPOSE_INSPECT(member_info::ingester, x.stream, x.handle)
DTRANSPOSE_INSPECT(member_info::worker, x.name, x.tags, x.handle)
DTRANSPOSE_INSPECT(member_info, x.life, x.name, x.address, x.member, x.assembler, x.reducer, x.ingesters,
                   x.workers, x.frames.url, x.frames.key, x.results)
DTRANSPOSE_INSPECT(roster::entry, x.life, x.name, x.address, x.ingests, x.works, x.reduces)
DTRANSPOSE_INSPECT(roster, x.members)
DTRANSPOSE_INSPECT(departed, x.life)
DTRANSPOSE_INSPECT(arm::worker_place, x.name, x.process, x.place, x.gone)
DTRANSPOSE_INSPECT(arm::stream_place, x.first, x.arm, x.event)
DTRANSPOSE_INSPECT(arm, x.head, x.events, x.streams, x.workers, x.analysis, x.parameters, x.version, x.worker,
                   x.stream, x.entries, x.events_of_stream, x.dump_prefix, x.resume, x.from)
DTRANSPOSE_INSPECT(armed, x.from, x.credit, x.known, x.taken, x.untold, x.output)
DTRANSPOSE_INSPECT(assignments, x.head, x.previous, x.dispatch, x.runs, x.repeats, x.gone)
DTRANSPOSE_INSPECT(taken, x.head, x.stream, x.dispatch)
DTRANSPOSE_INSPECT(dispatches, x.head, x.previous, x.dispatch, x.runs, x.alone)
DTRANSPOSE_INSPECT(trial, x.head, x.dispatch, x.step)
DTRANSPOSE_INSPECT(stream_began, x.head, x.stream, x.arm)
DTRANSPOSE_INSPECT(fence, x.head, x.workers)
DTRANSPOSE_INSPECT(resend, x.head, x.next)
DTRANSPOSE_INSPECT(obituary, x.head, x.worker, x.suspects, x.cause)
DTRANSPOSE_INSPECT(renew, x.life)
DTRANSPOSE_INSPECT(unreachable, x.from, x.to)
DTRANSPOSE_INSPECT(partial_events, x.head, x.to, x.stream, x.connection, x.sequence, x.entries, x.ticket)
DTRANSPOSE_INSPECT(begin_anew, x.head, x.connection)
DTRANSPOSE_INSPECT(credit::worker, x.index, x.granted, x.processed, x.busy)
DTRANSPOSE_INSPECT(credit, x.head, x.workers)
DTRANSPOSE_INSPECT(mapped_batch::result, x.slots, x.more, x.content, x.flushed)
DTRANSPOSE_INSPECT(mapped_batch::failure, x.slots, x.cause)
DTRANSPOSE_INSPECT(mapped_batch, x.mapped, x.empty, x.failed)
DTRANSPOSE_INSPECT(results, x.head, x.worker, x.sequence, x.version, x.mapped)
DTRANSPOSE_INSPECT(closes, x.head, x.sequence, x.slots)
DTRANSPOSE_INSPECT(give_up, x.head, x.slots)
DTRANSPOSE_INSPECT(remarks, x.head, x.slots)
DTRANSPOSE_INSPECT(ended_slots, x.slots, x.how, x.cause)
DTRANSPOSE_INSPECT(commits, x.head, x.slots)
DTRANSPOSE_INSPECT(accepted, x.head, x.sequence)
DTRANSPOSE_INSPECT(decided, x.head, x.decisions)
DTRANSPOSE_INSPECT(forget, x.head, x.events)
DTRANSPOSE_INSPECT(led, x.head, x.news)
DTRANSPOSE_INSPECT(pressure, x.head, x.stream)
DTRANSPOSE_INSPECT(stalled, x.head, x.stream, x.since)
DTRANSPOSE_INSPECT(halt, x.head, x.cause)
DTRANSPOSE_INSPECT(seal, x.head)
DTRANSPOSE_INSPECT(flush, x.head)
DTRANSPOSE_INSPECT(finish_worker, x.head)
DTRANSPOSE_INSPECT(finished_worker, x.worker, x.results, x.complaint)
DTRANSPOSE_INSPECT(finish_scan, x.head, x.workers, x.about)
DTRANSPOSE_INSPECT(finished_scan, x.output, x.complaints, x.duplicates)
DTRANSPOSE_INSPECT(keep_ledger, x.head, x.text)
DTRANSPOSE_INSPECT(disarm, x.head)
DTRANSPOSE_INSPECT(change_parameters, x.head, x.version, x.parameters)
DTRANSPOSE_INSPECT(finish_recording, x.head)
DTRANSPOSE_INSPECT(get_parameter, x.name)
DTRANSPOSE_INSPECT(set_parameter, x.name, x.written, x.lenient)
DTRANSPOSE_INSPECT(set_sequence, x.body, x.wrap)
DTRANSPOSE_INSPECT(progress, x.scan, x.state, x.last_assigned, x.completed_events, x.total_events, x.finished,
                   x.fates, x.output, x.trouble, x.seconds)

#undef DTRANSPOSE_INSPECT

} // namespace dtranspose

// clang-format off
CAF_BEGIN_TYPE_ID_BLOCK(dtranspose, caf::first_custom_type_id)
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::member_info))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::roster))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::departed))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::arm))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::armed))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::assignments))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::dispatches))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::partial_events))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::credit))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::results))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::closes))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::remarks))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::commits))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::accepted))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::forget))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::pressure))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::stalled))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::halt))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::seal))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::flush))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::finish_worker))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::finished_worker))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::finish_scan))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::finished_scan))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::disarm))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::set_sequence))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::progress))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::value))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::keep_ledger))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::led))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::taken))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::give_up))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::stream_began))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::fence))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::resend))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::obituary))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::renew))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::unreachable))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::trial))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::begin_anew))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::change_parameters))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::finish_recording))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::get_parameter))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::set_parameter))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::parameters_version))
  CAF_ADD_TYPE_ID(dtranspose, (dtranspose::decided))

  // Bare verbs; each but `tick` and `dial` is a request.
  CAF_ADD_ATOM(dtranspose, dtranspose, hello_atom, "hello")       // member -> member, version, system: the same back
  CAF_ADD_ATOM(dtranspose, dtranspose, status_atom, "status")     // to every actor: a value
  CAF_ADD_ATOM(dtranspose, dtranspose, progress_atom, "progress") // to the controller: progress
  CAF_ADD_ATOM(dtranspose, dtranspose, sequence_atom, "sequence") // to the controller: JSON text
  CAF_ADD_ATOM(dtranspose, dtranspose, config_atom, "config")     // to the controller: a value; with `true` the analysis is read anew before
  CAF_ADD_ATOM(dtranspose, dtranspose, ledger_atom, "ledger")     // to the controller: a value
  CAF_ADD_ATOM(dtranspose, dtranspose, parameters_atom, "params") // to the controller: a value, what there are
  CAF_ADD_ATOM(dtranspose, dtranspose, decisions_atom, "decisions") // to the controller, from that number on: a value
  CAF_ADD_ATOM(dtranspose, dtranspose, stop_atom, "stop")         // to the controller: a bool, was there a scan
  CAF_ADD_ATOM(dtranspose, dtranspose, tick_atom, "tick")         // an actor to itself
  CAF_ADD_ATOM(dtranspose, dtranspose, send_atom, "send")         // an actor to itself
  CAF_ADD_ATOM(dtranspose, dtranspose, dial_atom, "dial")         // a member to itself
CAF_END_TYPE_ID_BLOCK(dtranspose)
// clang-format on

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::received)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::record_to)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::recordable)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::recorded)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::close_recording)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::carried)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::events)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dtranspose::processed)
