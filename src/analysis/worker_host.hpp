/// Runs the worker part of an analysis over batches of events: catches what it throws, keeps account of what
/// it deferred. No actors.
#pragma once

#include <memory>
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

class worker_host {
 public:
  worker_host(std::unique_ptr<worker_part> part, parameters settings, stream_names names)
      : part_(std::move(part)), settings_(std::move(settings)), names_(std::move(names)) {}

  /// Maps every event of the batch and appends what came of it.
  void process(const joined_batch& batch, bool tick, mapped_batch& out);

  /// Asks for the result that covers what is deferred, if anything is.
  void flush(mapped_batch& out);

  /// Flushes, and asks for the last result of the scan. Returns what the analysis threw, empty if nothing.
  std::string finish(mapped_batch& out);

  std::uint64_t deferred() const { return deferred_events_; }

 private:
  void take(const joined_event& e, answer a, mapped_batch& out);

  std::unique_ptr<worker_part> part_;
  parameters settings_;
  stream_names names_;
  std::vector<slot_run> deferred_;
  std::uint64_t deferred_events_ = 0;
  std::vector<event> views_;    ///< of the batch in hand
  std::vector<answer> answers_; ///< kept for their storage
};

/// Appends one event's slots to runs, joining what goes on in step.
void append(std::vector<slot_run>& runs, event_number event, slot_index first_slot, std::uint16_t slots);

} // namespace dtranspose
