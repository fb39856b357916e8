#include "actors/recorder.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <spdlog/spdlog.h>

#include <chrono>
#include <optional>

#include "actors/conduct.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "recording/dump_writer.hpp"

namespace dtranspose {

namespace {

/// Of a packed file a member is made of so many bytes, or of what came in this time.
constexpr std::size_t member_bytes = 1 << 20;
constexpr auto member_time = std::chrono::milliseconds(200);

struct recorder_state;
using recorder_actor = caf::stateful_actor<recorder_state>;

struct recorder_state {
  static inline const char* name = "recorder";

  explicit recorder_state(recorder_actor* self) : self(self), pace(*self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    pace.stay_slow();
    return {
        [this](const record_to& m) { open(m.file); },
        [this](const recordable& m) { take(m); },
        [this](close_recording) {
          owner = caf::actor_cast<caf::actor>(self->current_sender());
          return finish();
        },
        [this](tick_atom) {
          flush_due = false;
          if (writer) flush();
        },
    };
  }

  void open(const std::filesystem::path& file) {
    if (writer) finish();
    owner = caf::actor_cast<caf::actor>(self->current_sender());
    done = {file, 0, 0, {}};
    if (file.empty()) return;
    attempt([&] { writer.emplace(file, options.packed); });
  }

  void take(const recordable& m) {
    waiting += m.bytes;
    if (writer) {
      auto now = static_cast<double>(options.wall()) * 1e-9;
      attempt([&] {
        for (auto& [event, data] : *m.entries) {
          dump_stream one{options.stream, data};
          bool gap = !data;
          writer->append(event.value, {&one, gap ? std::size_t{0} : std::size_t{1}}, now);
        }
      });
    }
    // Trouble is told as what it is, but nobody waits for what cannot be written.
    if (!writer || options.packed == packing::none || writer->file().gathered() >= member_bytes)
      return flush();
    if (flush_due) return;
    flush_due = true;
    self->delayed_send(self, member_time, tick_atom::value);
  }

  void flush() {
    if (writer) attempt([&] { writer->flush(); });
    done.bytes += std::exchange(waiting, 0);
    if (owner) self->send(owner, done);
  }

  recorded finish() {
    if (writer) attempt([&] { writer->sync(); });
    done.bytes += std::exchange(waiting, 0);
    writer.reset();
    return done;
  }

  template <class F>
  void attempt(F&& write) {
    try {
      pace.run(write);
      if (writer) done.written = writer->file().written();
      done.trouble.clear();
    } catch (const std::exception& e) {
      if (done.trouble.empty()) spdlog::error("stream {}: not recorded: {}", options.stream, e.what());
      done.trouble = e.what();
    }
  }

  recorder_actor* self;
  unknown_pace pace;
  recorder_options options;
  caf::actor owner;
  std::optional<dump_writer> writer;
  recorded done;
  std::uint64_t waiting = 0; ///< bytes that were taken and not flushed
  bool flush_due = false;
};

} // namespace

caf::actor spawn_recorder(caf::actor_system& system, recorder_options options) {
  return system.spawn([options = std::move(options)](recorder_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
