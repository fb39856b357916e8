/// Turns the numbers that an instrument put on its messages into places in the scan, with a verdict for
/// each. One per stream and scan; the same for all protocols.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "ids.hpp"
#include "interval_set.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

/// What the tracker says of a message.
enum class verdict : std::uint8_t {
  ok,
  gap,       ///< numbers are missing just before it
  duplicate, ///< its place was taken already
  late,      ///< out of order
  restarted, ///< a start that opens the next arm, or replaces one before any data
  stray,     ///< belongs to no series that was armed
  after_end, ///< behind the end of its series or of the map
  doubtful,  ///< its place cannot be known any more
};
inline constexpr std::size_t verdict_count = 8;

constexpr const char* name_of(verdict v) {
  constexpr const char* names[] = {"ok",        "gap",   "duplicate", "late",
                                   "restarted", "stray", "after_end", "doubtful"};
  return names[static_cast<std::size_t>(v)];
}

/// Positions that will get no data.
struct missing_run {
  stream_position first;
  std::uint64_t count = 0;
  const char* cause = "";                   ///< a constant
  std::optional<std::uint64_t> number = {}; ///< that the instrument would have given the first of them
  bool lost = false;                        ///< they may have been there: their reader was not
};

/// Where an arm lies: what a reader needs to take a stream up in the midst of it.
struct arm_place {
  std::uint64_t start = 0; ///< position of its start
  std::uint64_t first = 1; ///< position of number 0
  std::optional<std::uint64_t> message_number, announced, series;
  bool operator==(const arm_place&) const = default;
};

/// Number n, counted from the first of its arm, is the n-th entry behind the arm's start; starts and ends
/// are entries themselves. Where a later arm begins is known when the arm before was closed exactly: by
/// a count in its end, or by message numbers; otherwise what follows is missing rather than guessed. A
/// number that leaps ahead is believed when another one confirms it: one wild number costs no other event.
/// Data that come before their start wait for it from number 0 on; when it turns out to be missing, they take
/// their places without it.
class number_tracker {
 public:
  struct decision {
    verdict what = verdict::ok;
    std::optional<stream_position> place; ///< where it belongs; nothing: drop it
    bool replaces = false;                ///< put it in place of what may be there
    /// Keep it: an early end until `released_end`, a leap in the numbers or a counter that began again until
    /// `released_leap` or `dropped_leap` says what becomes of it, data before their start until
    /// `released_early`.
    enum class keep : std::uint8_t { no, end, leap, early } hold = keep::no;
  };

  /// `entries`: how many entries the map has for the stream. `late_window`: how many positions after a gap
  /// may go by before what is missing is given up. `startless`: the format has no start messages, and
  /// number n is the n-th entry of all.
  number_tracker(std::uint64_t entries, std::uint64_t late_window, bool startless = false)
      : entries_(entries), late_window_(late_window) {
    if (startless) arm_ = arm{.first = 0};
  }

  /// Takes a stream up in mid-scan: what lies before `position` is decided, and the arm in force is this one.
  /// What is missing up to the first entry that comes now is lost.
  void resume(stream_position position, const arm_place& place);

  /// An entry that somebody else placed, e.g. out of a recording.
  void note_placed(stream_position position);

  /// The arm that has begun last; nothing before the first.
  std::optional<arm_place> place() const;

  /// Decides on a message; positions given up because of it are appended to `missing`.
  decision take(const entry_numbers& numbers, std::vector<missing_run>& missing);

  /// Messages of an unnumbered stream may have been lost: from now on positions are not known any more.
  void interrupt();

  /// Time has passed without a message: a held leap is believed, a held end is final, behind an end
  /// what has not come is given up, and a start that data wait for is missing.
  void settle(std::vector<missing_run>& missing);

  /// Would `settle` decide anything?
  bool unsettled() const {
    return held_end_ || leap_ || restart_ || !early_.empty() || (arm_ && next_ < settled_end());
  }
  /// Is something missing before the last entry that came?
  bool has_gap() const { return next_ < highest_end_; }

  /// Gives up everything that is not there, as after a stop.
  void close(std::vector<missing_run>& missing, const char* cause);

  /// Where what is held goes, once that is known; asking clears it.
  std::optional<stream_position> released_end() { return std::exchange(released_end_, {}); }
  std::optional<stream_position> released_leap() { return std::exchange(released_leap_, {}); }
  bool dropped_leap() { return std::exchange(dropped_leap_, false); }
  /// One for each that is held as early, in their order, once it is known of all; nothing: drop it.
  std::vector<std::optional<stream_position>> released_early() { return std::exchange(released_early_, {}); }

  /// Every entry of the map is there or given up.
  bool complete() const { return next_ >= entries_; }
  std::uint64_t count(verdict v) const { return counts_[static_cast<std::size_t>(v)]; }
  /// The last number that an instrument gave.
  std::optional<std::uint64_t> last_number() const { return last_number_; }
  std::optional<std::uint64_t> series() const { return arm_ ? arm_->series : std::nullopt; }
  /// Entries there or given up without a hole.
  stream_position next() const { return stream_position(next_); }

 private:
  struct arm {
    std::uint64_t start = 0; ///< position of its start
    std::uint64_t first = 1; ///< position of number 0
    std::optional<std::uint64_t> message_number;
    std::optional<std::uint64_t> announced; ///< how many data its start promised
    std::optional<std::uint64_t> series;
    std::optional<std::uint64_t> end; ///< position of its end
    bool exact = true;                ///< is `end` known for sure?
    bool movable = false;             ///< may data of it still come behind `end`?
    bool has_data = false;
    bool numbered = false; ///< did any of its data have a number?
    bool adopted = false;  ///< its start had not come when its data were placed
    bool broken = false;   ///< where further data belong is not known
  };

  decision take_start(const entry_numbers& numbers, std::vector<missing_run>& missing);
  decision take_data(const entry_numbers& numbers, std::vector<missing_run>& missing);
  decision take_end(const entry_numbers& numbers, std::vector<missing_run>& missing);
  decision take_early(const entry_numbers& numbers, std::vector<missing_run>& missing);
  void adopt_early(std::vector<missing_run>& missing);
  void place_early(std::vector<missing_run>& missing);
  bool belongs(const entry_numbers& early) const;
  decision last_end(std::vector<missing_run>& missing);
  decision hold_restart(std::vector<missing_run>& missing);
  void believe_restart(std::vector<missing_run>& missing);
  void move_end(std::uint64_t position, std::vector<missing_run>& missing);
  void release_held_end(std::vector<missing_run>& missing);
  std::optional<std::uint64_t> announced_end(const entry_numbers& numbers) const;
  std::optional<std::uint64_t> next_arm(const entry_numbers& numbers) const;
  decision put(std::uint64_t position, std::vector<missing_run>& missing);
  decision leap_to(std::uint64_t position);
  void believe_leap(std::vector<missing_run>& missing);
  /// What lies before this and has not come will not come any more: the arm has ended, or begun behind
  /// the map.
  std::uint64_t settled_end() const {
    if (arm_->start >= entries_) return entries_;
    return arm_->end ? std::max(highest_end_, std::min(*arm_->end, entries_)) : next_;
  }
  /// How far a number may run ahead before another one must confirm it.
  std::uint64_t longest_step() const { return std::max<std::uint64_t>(late_window_, 32); }
  void give_up_before(std::uint64_t position, const char* cause, std::vector<missing_run>& missing);
  decision counted(decision d);

  std::uint64_t entries_;
  std::uint64_t late_window_;
  std::uint64_t next_ = 0;        ///< everything before it is decided
  std::uint64_t highest_end_ = 0; ///< one behind the highest position taken
  bool resumed_ = false;          ///< it was taken up and nothing has come since
  std::uint64_t lost_before_ = 0; ///< what is missing before this came while there was no reader
  std::set<std::uint64_t> ahead_; ///< taken positions at or behind next_
  interval_set given_up_;
  std::optional<arm> arm_;
  std::optional<std::uint64_t> held_end_; ///< position it would have as an entry in mid-scan
  std::optional<std::uint64_t> leap_;     ///< position of a number far ahead that nothing confirmed yet
  bool restart_ = false;                  ///< is number 0 of another segment held?
  std::vector<entry_numbers> early_;      ///< data that wait for their start
  std::optional<stream_position> released_end_, released_leap_;
  bool dropped_leap_ = false;
  std::vector<std::optional<stream_position>> released_early_;
  std::optional<std::uint64_t> last_number_;
  std::uint64_t counts_[verdict_count] = {};
};

} // namespace dtranspose
