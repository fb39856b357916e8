/// Runs the worker part of an analysis over batches of events: catches what it throws, keeps account of what
/// it deferred. No actors.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <pthread.h>
#include <span>
#include <string>
#include <vector>

#include "model/event_joiner.hpp"
#include "plugin.hpp"

namespace dtranspose {

/// What came of a batch, on its way to the reducer.
struct mapped_batch {
  struct result {
    slot_run slots; ///< count 0: covers no slot
    std::vector<slot_run> more;
    value content;
    bool flushed = false; ///< came of `flush`: no row of an event, however few it covers
  };
  struct failure {
    slot_run slots;
    std::string cause;
  };
  std::vector<result> mapped;
  std::vector<slot_run> empty;
  std::vector<failure> failed;

  bool nothing() const { return mapped.empty() && empty.empty() && failed.empty(); }
};

/// What a worker is at, as others see it while it is there. It may be in another thread each time.
struct execution_watch {
  std::atomic<std::int64_t> since =
      0; ///< steady clock when analysis code was called, ns; 0: it is not at work
  std::atomic<std::uint64_t> first = 0; ///< event that the call began with
  std::atomic<std::uint32_t> events = 0;
  std::atomic<pthread_t> thread = pthread_t(); ///< that it is at work in
  mutable std::atomic<std::size_t> place = 0;  ///< for who watches
  /// Those that have an answer, for who runs in that thread.
  const std::vector<answer>* answers = nullptr;
  const event* begin = nullptr;
};

/// What runs in this thread; null: no analysis code. May be called in a signal handler.
const execution_watch* execution_here();

class worker_host {
 public:
  worker_host(std::unique_ptr<worker_part> part, parameters settings, stream_names names)
      : part_(std::move(part)), settings_(std::move(settings)), names_(std::move(names)) {}

  /// Maps every event of the batch and appends what came of it. Of events that it only looks at nothing is
  /// kept.
  void process(const joined_batch& batch, bool tick, mapped_batch& out);

  /// How long a single event may take: analysis code is called for so few events at a time that a call that
  /// takes longer has one that does. Watched from elsewhere through `watch`.
  void limit(std::chrono::nanoseconds event_timeout, std::function<std::int64_t()> steady) {
    event_timeout_ = event_timeout;
    steady_ = std::move(steady);
    if (event_timeout.count() > 0 && !part_->watches_itself())
      most_per_call_ = 1; // until it is known how long events take
  }
  const std::shared_ptr<execution_watch>& watch() const { return watch_; }

  /// Events are mapped with these parameters from now on; what is deferred is flushed, and a part that cannot
  /// go on with them is finished and followed by one that `make` makes. Throws what the analysis does when
  /// it cannot use them: then those of before hold. Returns what was lost with the part of before; empty:
  /// nothing.
  std::string change_parameters(parameters settings,
                                const std::function<std::unique_ptr<worker_part>(const parameters&)>& make,
                                mapped_batch& out);

  /// Asks for the result that covers what is deferred, if anything is.
  void flush(mapped_batch& out);

  /// Flushes, and asks for the last result of the scan. Returns what the analysis threw, empty if nothing.
  std::string finish(mapped_batch& out);

  std::uint64_t deferred() const { return deferred_events_; }

 private:
  void take(const joined_event& e, answer a, mapped_batch& out);
  void look(std::size_t first, std::size_t end, mapped_batch& out);
  void map(const joined_batch& batch, std::size_t done, std::size_t end, bool tick, mapped_batch& out);
  std::size_t call(std::span<const event> events, bool tick, std::string& cause);

  std::unique_ptr<worker_part> part_;
  parameters settings_;
  stream_names names_;
  std::vector<slot_run> deferred_;
  std::uint64_t deferred_events_ = 0;
  std::vector<event> views_;    ///< of the batch in hand
  std::vector<answer> answers_; ///< kept for their storage
  std::shared_ptr<execution_watch> watch_ = std::make_shared<execution_watch>();
  std::chrono::nanoseconds event_timeout_{0};
  std::function<std::int64_t()> steady_;
  std::size_t most_per_call_ = std::size_t{1} << 20;
};

/// Appends one event's slots to runs, joining what goes on in step.
void append(std::vector<slot_run>& runs, event_number event, slot_index first_slot, std::uint16_t slots);

} // namespace dtranspose
