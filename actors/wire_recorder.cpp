#include "actors/wire_recorder.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <spdlog/spdlog.h>

#include <chrono>
#include <optional>
#include <utility>

#include "actors/conduct.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "source/source.hpp"

namespace dtranspose {

namespace {

/// Of a packed file a member is made of so many bytes, or of what came in this time.
constexpr std::size_t member_bytes = 1 << 20;
constexpr auto member_time = std::chrono::milliseconds(200);

struct wire_recorder_state;
using wire_recorder_actor = caf::stateful_actor<wire_recorder_state>;

struct wire_recorder_state {
  static inline const char* name = "wire_recorder";

  explicit wire_recorder_state(wire_recorder_actor* self) : self(self), pace(*self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    pace.stay_slow();
    tape->call_when_filled([to = caf::actor_cast<caf::actor_addr>(self)] {
      if (auto recorder = caf::actor_cast<caf::actor>(to)) caf::anon_send(recorder, tick_atom::value);
    });
    return {
        [this](tick_atom) { pace.run([&] { write(); }); },
        [this](send_atom) {
          flush_due = false;
          pace.run([&] { flush(); });
        },
        [this](close_recording) {
          pace.run([&] {
            write();
            sync();
          });
          return done;
        },
    };
  }

  void write() {
    for (auto& entry : tape->take_all()) {
      if (entry.what == wire_tape::entry::kind::file)
        change_file(entry.file);
      else
        put(entry);
    }
    if (!writer || tape->options().packed == packing::none || writer->file().gathered() >= member_bytes)
      return flush();
    if (flush_due) return;
    flush_due = true;
    self->delayed_send(self, member_time, send_atom::value);
  }

  void change_file(const std::filesystem::path& file) {
    sync();
    writer.reset();
    if (file.empty()) return;
    done = {};
    done.file = file;
    unwritten = missing = {};
    left_out = 0;
    missing_is_put = given_up = false;
  }

  void put(const wire_tape::entry& entry) {
    waiting += entry.what == wire_tape::entry::kind::message || entry.what == wire_tape::entry::kind::bytes
                   ? budgeted_bytes(entry.data.bytes())
                   : 0;
    if (entry.data) unwritten.add({1, entry.data.bytes()});
    if (entry.what == wire_tape::entry::kind::gap) {
      unwritten.add(entry.left_out);
      left_out += entry.left_out.messages;
    }
    attempt([&] {
      open();
      if (missing.messages > 0 && !missing_is_put) {
        writer->append_gap(missing_since, missing);
        missing_is_put = true;
      }
      append(entry);
    });
    if (unwritten.messages == 0) tell();
  }

  void append(const wire_tape::entry& entry) {
    using kind = wire_tape::entry::kind;
    switch (entry.what) {
    case kind::message:
      return writer->append_message(entry.time, entry.data);
    case kind::bytes:
      return writer->append_bytes(entry.time, entry.data);
    case kind::interruption:
      return writer->append_interruption(entry.time);
    default:
      return writer->append_gap(entry.time, entry.left_out);
    }
  }

  /// With the first message: before there is nothing to keep.
  void open() {
    if (writer) return;
    // What cannot be made is not tried again with each message.
    if (given_up) throw std::runtime_error(done.trouble);
    given_up = true;
    if (done.file.has_parent_path()) std::filesystem::create_directories(done.file.parent_path());
    writer.emplace(done.file, tape->options().what, tape->options().packed);
    given_up = false;
  }

  void flush() {
    if (writer) attempt([&] { writer->flush(); });
    tell();
  }

  void sync() {
    if (writer) attempt([&] { writer->sync(); });
    tell();
  }

  /// Nobody waits for what cannot be written.
  void tell() {
    if (waiting == 0) return;
    tape->written(waiting);
    done.bytes += std::exchange(waiting, 0);
    if (auto to = caf::actor_cast<caf::actor>(owner)) self->send(to, done);
  }

  template <class F>
  void attempt(F&& write) {
    try {
      write();
      if (!writer || writer->file().gathered() > 0) return;
      done.written = writer->file().written();
      unwritten = {};
      left_out = 0;
      if (std::exchange(missing_is_put, false)) missing = {};
    } catch (const std::exception& e) {
      if (done.trouble.empty())
        spdlog::error("stream {}: not recorded: {}", tape->options().what.stream, e.what());
      done.trouble = e.what();
      if (missing.messages == 0) missing_since = tape->options().clock();
      missing.add(unwritten);
      done.lost_events += unwritten.messages - std::exchange(left_out, 0);
      unwritten = {};
      missing_is_put = false;
    }
  }

  wire_recorder_actor* self;
  unknown_pace pace;
  std::shared_ptr<wire_tape> tape;
  caf::actor_addr owner;
  std::optional<wire_writer> writer;
  recorded done;              ///< `lost_events` counts messages
  wire_gap unwritten;         ///< put since the file was written last
  std::uint64_t left_out = 0; ///< messages of those that the tape had no room for
  wire_gap missing;           ///< could not be written, and is not named in the file yet
  std::int64_t missing_since = 0;
  bool missing_is_put = false; ///< its gap waits with what is put
  bool given_up = false;       ///< the file cannot be made
  std::uint64_t waiting = 0;   ///< bytes that were taken, and not told as written
  bool flush_due = false;
};

} // namespace

caf::actor spawn_wire_recorder(caf::actor_system& system, std::shared_ptr<wire_tape> tape,
                               const caf::actor& owner) {
  return system.spawn(
      [tape = std::move(tape), owner = caf::actor_cast<caf::actor_addr>(owner)](wire_recorder_actor* self) {
        self->state.tape = tape;
        self->state.owner = owner;
        return self->state.make_behavior();
      });
}

} // namespace dtranspose
