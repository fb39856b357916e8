#include "actors/recorder.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "actors/conduct.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/messages.hpp"
#include "model/interval_set.hpp"
#include "recording/dump_writer.hpp"

namespace dtranspose {

namespace {

/// Of a packed file a member is made of so many bytes, or of what came in this time.
constexpr std::size_t member_bytes = 1 << 20;
/// Runs of events that were lost which are told; all are counted.
constexpr std::size_t most_listed = 1000;
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
    done = {};
    done.file = file;
    gathered.clear();
    missing.clear();
    lost.clear();
    broken = false;
    if (file.empty()) return;
    attempt([&] { writer.emplace(file, options.packed); });
  }

  void take(const recordable& m) {
    waiting += m.bytes;
    pace.run([&] {
      name_what_is_missing();
      for (auto& [event, data] : *m.entries) {
        put(event, data);
        if (missing.intervals() > 0) name_what_is_missing();
      }
    });
    // Trouble is told as what it is, but nobody waits for what cannot be written.
    if (!writer || options.packed == packing::none || writer->file().gathered() >= member_bytes)
      return flush();
    acknowledge_written();
    if (flush_due) return;
    flush_due = true;
    self->delayed_send(self, member_time, tick_atom::value);
  }

  /// Without data: a gap.
  void put(event_number event, const stream_data& data) {
    gathered.insert(event.value, event.value + 1);
    if (!writer) return;
    attempt([&] {
      dump_stream one{options.stream, data};
      auto now = static_cast<double>(options.wall()) * 1e-9;
      writer->append(event.value, {&one, data ? std::size_t{1} : std::size_t{0}}, now);
      if (writer->file().gathered() == 0) gathered.clear();
    });
  }

  /// What was lost when the file could not be written is a gap, once it can.
  void name_what_is_missing() {
    if (broken) return;
    for (auto& [first, end] : std::exchange(missing, {}))
      for (auto e = first; e < end; ++e) put(event_number(e), {});
  }

  /// What the file took along the way need not wait for the rest.
  void acknowledge_written() {
    auto open = writer ? std::min<std::uint64_t>(writer->file().gathered(), waiting) : 0;
    if (open == waiting || !owner) return;
    done.bytes += waiting - open;
    waiting = open;
    self->send(owner, done);
  }

  void flush() {
    if (writer) pace.run([&] { attempt([&] { writer->flush(); }); });
    gathered.clear();
    done.bytes += std::exchange(waiting, 0);
    if (owner) self->send(owner, done);
  }

  recorded finish() {
    pace.run([&] {
      name_what_is_missing();
      if (writer) attempt([&] { writer->sync(); });
    });
    gathered.clear();
    done.bytes += std::exchange(waiting, 0);
    writer.reset();
    return done;
  }

  template <class F>
  void attempt(F&& write) {
    try {
      write();
      if (!writer || writer->file().written() == done.written) return;
      done.written = writer->file().written();
      broken = false;
    } catch (const std::exception& e) {
      if (done.trouble.empty()) spdlog::error("stream {}: not recorded: {}", options.stream, e.what());
      done.trouble = e.what();
      broken = true;
      for (auto& [first, end] : std::exchange(gathered, {})) {
        missing.insert(first, end);
        lost.insert(first, end);
      }
      done.lost.clear();
      done.lost_events = lost.size();
      for (auto& [first, end] : lost)
        if (done.lost.size() < most_listed) done.lost.push_back({event_number(first), event_number(end)});
    }
  }

  recorder_actor* self;
  unknown_pace pace;
  recorder_options options;
  caf::actor owner;
  std::optional<dump_writer> writer;
  recorded done;
  interval_set gathered;     ///< events that were put since the file was written last
  interval_set missing;      ///< events that were lost and are not named in the file yet
  interval_set lost;         ///< all of those
  std::uint64_t waiting = 0; ///< bytes that were taken and not flushed
  bool flush_due = false;
  bool broken = false; ///< the file took nothing when it was written last
};

} // namespace

caf::actor spawn_recorder(caf::actor_system& system, recorder_options options) {
  return system.spawn([options = std::move(options)](recorder_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
