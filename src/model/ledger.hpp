/// All fates of a scan: what became of every event, counted, with causes where something went wrong.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "event_run.hpp"
#include "value.hpp"

namespace dtranspose {

/// Events are opened in rising order with the number of their slots; an event ends when its last slot
/// does, with the worst fate of them. What went wrong is kept in ranges: the rest only as counts.
class ledger {
 public:
  explicit ledger(std::uint64_t events) : events_(events) {}

  /// The next event has so many slots. Without any it is *discarded* at once.
  void open(std::uint32_t slots);

  /// Slots ended. A slot that is not open is ignored: fates are final.
  void end(const slot_run& slots, fate how, const std::string& cause = {});

  /// Events that were never opened end like this: a scan was stopped.
  void end_unopened(fate how, const std::string& cause);

  /// Every event that has not ended ends like this: the scan is given up.
  void give_up(fate how, const std::string& cause);

  /// Events that are mapped although something is missing: listed as a trouble, whatever their fate.
  void remark(const event_run& events, const std::string& cause);

  /// Ranges of events that ended since the last call, in rising order where possible.
  std::vector<event_range> take_ended();

  std::uint64_t events() const { return events_; }
  std::uint64_t opened() const { return opened_; }
  std::uint64_t ended() const { return ended_; }
  bool complete() const { return ended_ == events_; }
  bool has_ended(event_number event) const {
    return event.value < base_ || (event.value < opened_ ? open_[event.value - base_].over() : closed_);
  }
  /// Is that slot of an event open?
  bool is_open(event_number event, slot_index slot) const;
  /// Every event before this one has ended.
  std::uint64_t first_open() const { return base_; }
  /// How many slots of an event are open.
  std::uint32_t open_slots(event_number event) const;
  /// The worst that a slot of an open event came to so far; *discarded* while none has ended.
  fate worst_so_far(event_number event) const {
    return event.value < base_ || event.value >= opened_ ? fate::discarded : open_[event.value - base_].worst;
  }
  /// All events that have ended.
  std::vector<event_range> all_ended() const;
  std::uint64_t count(fate f) const { return counts_[static_cast<std::size_t>(f)]; }

  /// An event that is neither folded, empty nor discarded, with its neighbours that share its fate; *folded*
  /// on those that were mapped in part.
  struct trouble {
    event_range events;
    fate how;
    std::string cause;
  };
  /// In the order in which they came to light.
  const std::deque<trouble>& troubles() const { return troubles_; }
  /// Troubles beyond this are counted, not listed.
  static constexpr std::size_t most_troubles = 100'000;

  /// Counts per fate and the troubles, by event and with neighbours joined, for the REST interface and the
  /// file beside the results.
  value report() const;

 private:
  struct open_event {
    std::uint64_t open = 0;  ///< a bit for each of the first 64 slots that is open
    std::uint32_t more = 0;  ///< open slots beyond those, listed in more_
    std::uint32_t cause = 0; ///< place in causes_
    fate worst = fate::discarded;
    bool over() const { return open == 0 && more == 0; }
  };

  bool close_slot(event_number event, open_event& e, std::size_t slot);

  void end_event(event_number event, const open_event& e);
  void note_trouble(event_range events, fate how, const std::string& cause);
  void join_troubles();
  std::uint32_t cause_index(const std::string& cause);

  std::uint64_t events_;
  std::uint64_t opened_ = 0;
  std::uint64_t ended_ = 0;
  std::deque<open_event> open_;                     ///< events base_..opened_-1
  std::map<std::uint64_t, std::vector<bool>> more_; ///< by event: open slots from the 65th on
  std::uint64_t base_ = 0;
  bool closed_ = false; ///< what was not opened has ended
  std::array<std::uint64_t, fate_count> counts_{};
  std::vector<event_range> ended_ranges_;
  std::deque<trouble> troubles_;
  std::uint64_t unlisted_ = 0;
  bool joins_ = true; ///< may joining neighbours make room in a full list?
  std::vector<std::string> causes_{""};
  std::map<std::string, std::uint32_t> cause_places_;
};

} // namespace dtranspose
