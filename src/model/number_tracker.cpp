#include "number_tracker.hpp"

#include <algorithm>
#include <utility>

namespace dtranspose {

number_tracker::decision number_tracker::counted(decision d) {
  if (d.hold != decision::keep::early) ++counts_[static_cast<std::size_t>(d.what)];
  return d;
}

number_tracker::decision number_tracker::take(const entry_numbers& numbers,
                                              std::vector<missing_run>& missing) {
  switch (numbers.kind) {
  case entry_kind::start:
    return counted(take_start(numbers, missing));
  case entry_kind::data:
    return counted(take_data(numbers, missing));
  case entry_kind::end:
    break;
  }
  return counted(take_end(numbers, missing));
}

number_tracker::decision number_tracker::take_start(const entry_numbers& numbers,
                                                    std::vector<missing_run>& missing) {
  arm next{.message_number = numbers.message_number, .announced = numbers.count, .series = numbers.series};
  if (!arm_) {
    arm_ = next;
    auto d = put(0, missing);
    place_early(missing);
    return d;
  }
  // The same start again: every arm has a number of its own, where arms or messages are numbered at all.
  if (arm_->has_data && (numbers.message_number || numbers.series) &&
      numbers.message_number == arm_->message_number && numbers.series == arm_->series)
    return {.what = verdict::duplicate};
  // It was given up already.
  if (arm_->adopted && !arm_->end && (!arm_->series || arm_->series == numbers.series)) {
    arm_->adopted = false;
    return {.what = verdict::late};
  }
  if (!arm_->has_data && !arm_->end) {
    next.start = arm_->start;
    next.first = next.start + 1;
    arm_ = next;
    if (next_ > next.start + 1 || next.start >= entries_) return {.what = verdict::duplicate};
    return {.what = verdict::restarted, .place = stream_position(next.start), .replaces = true};
  }
  if (leap_) believe_leap(missing);
  if (restart_) believe_restart(missing);
  release_held_end(missing);
  next.start = next_arm(numbers).value_or(0);
  next.first = next.start + 1;
  if (next.start < std::max<std::uint64_t>(highest_end_, 1)) {
    give_up_before(entries_, "the series before it did not end exactly", missing);
    return {.what = verdict::doubtful};
  }
  arm_ = next;
  auto d = put(next.start, missing);
  if (d.place && d.what == verdict::ok) d.what = verdict::restarted;
  return d;
}

/// Where another arm begins, if that is certain: message numbers tell how many entries lie between two
/// starts, even where their end was lost; else the arm before must have ended exactly, or have brought all
/// that its start had announced.
std::optional<std::uint64_t> number_tracker::next_arm(const entry_numbers& numbers) const {
  if (numbers.message_number && arm_->message_number && *numbers.message_number > *arm_->message_number)
    return arm_->start + std::min(*numbers.message_number - *arm_->message_number, entries_);
  if (arm_->end) return arm_->exact ? std::optional(*arm_->end + 1) : std::nullopt;
  if (!arm_->announced || *arm_->announced > entries_) return std::nullopt;
  auto end = arm_->first + *arm_->announced;
  return highest_end_ == end ? std::optional(end + 1) : std::nullopt;
}

void number_tracker::release_held_end(std::vector<missing_run>& missing) {
  if (!held_end_) return;
  put(*held_end_, missing);
  released_end_ = stream_position(*held_end_);
  held_end_.reset();
}

number_tracker::decision number_tracker::take_data(const entry_numbers& numbers,
                                                   std::vector<missing_run>& missing) {
  if (!arm_) return take_early(numbers, missing);
  if (numbers.series && arm_->series && *numbers.series != *arm_->series) return {.what = verdict::stray};
  if (arm_->broken) return {.what = verdict::doubtful};
  if (numbers.restarts && arm_->end) return {.what = verdict::after_end};
  if (numbers.restarts && arm_->has_data) return hold_restart(missing);
  // What still belongs before the restart is the number that follows the last one before it.
  if (restart_ && (!numbers.number || *numbers.number < 2 || numbers.number != last_number_.value_or(0) + 1))
    believe_restart(missing);
  auto first = arm_->first;
  auto number = numbers.number.value_or(std::max(highest_end_, first) - first);
  if (numbers.number) last_number_ = number;
  arm_->numbered |= numbers.number.has_value();
  if (number >= entries_ - std::min(entries_, first)) return {.what = verdict::after_end};
  auto position = first + number;
  if (arm_->end && position >= *arm_->end) {
    if (!numbers.number || !arm_->movable || !held_end_ || position + 1 >= entries_ ||
        position - *arm_->end >= longest_step())
      return {.what = verdict::after_end};
    auto d = put(position, missing);
    move_end(position + 1, missing);
    return d;
  }
  arm_->has_data = true;
  if (leap_) {
    if (position > *leap_ && position - *leap_ <= longest_step())
      believe_leap(missing);
    else
      dropped_leap_ = true;
    leap_.reset();
  }
  if (position > highest_end_ && position - highest_end_ >= longest_step()) return leap_to(position);
  return put(position, missing);
}

/// An end that came too early goes behind the data that came after it.
void number_tracker::move_end(std::uint64_t position, std::vector<missing_run>& missing) {
  arm_->end = held_end_ = position;
  if (position + 1 == entries_) release_held_end(missing);
}

/// Data without a start: from number 0 on the start may be late or lost; anything else is what is left of
/// another scan.
number_tracker::decision number_tracker::take_early(const entry_numbers& numbers,
                                                    std::vector<missing_run>& missing) {
  if (!numbers.number || late_window_ == 0) return {.what = verdict::stray};
  if (early_.empty() && *numbers.number != 0) return {.what = verdict::stray};
  if (early_.size() < late_window_) {
    early_.push_back(numbers);
    return {.hold = decision::keep::early};
  }
  adopt_early(missing);
  return take_data(numbers, missing);
}

/// The start is missing: what waits for it takes its places without.
void number_tracker::adopt_early(std::vector<missing_run>& missing) {
  auto& sample = early_.front();
  arm_ = arm{.series = sample.series, .adopted = true};
  if (sample.message_number && *sample.message_number > *sample.number)
    arm_->message_number = *sample.message_number - *sample.number - 1;
  give_up_before(1, "the start message is missing", missing);
  place_early(missing);
}

void number_tracker::place_early(std::vector<missing_run>& missing) {
  for (auto& numbers : std::exchange(early_, {})) {
    decision d{.what = verdict::stray};
    if (belongs(numbers))
      d = numbers.kind == entry_kind::end ? last_end(missing) : take_data(numbers, missing);
    counted(d);
    released_early_.push_back(d.place);
    leap_.reset();
    restart_ = false;
  }
}

/// Did this come of the arm whose start came after it, or never? Only its numbers can tell.
bool number_tracker::belongs(const entry_numbers& early) const {
  bool start_is_missing = next_ > 0 && given_up_.contains(0);
  if (early.kind == entry_kind::end && !start_is_missing) return false;
  if (early.series || arm_->series) return early.series == arm_->series;
  if (early.message_number && arm_->message_number && early.number)
    return *early.message_number > *arm_->message_number &&
           *early.message_number - *arm_->message_number - 1 == *early.number;
  return start_is_missing;
}

/// An end that nothing can follow any more.
number_tracker::decision number_tracker::last_end(std::vector<missing_run>& missing) {
  if (arm_->end || entries_ == 0) return {.what = verdict::duplicate};
  arm_->end = entries_ - 1;
  give_up_before(entries_ - 1, "the series ended early", missing);
  return put(entries_ - 1, missing);
}

number_tracker::decision number_tracker::hold_restart(std::vector<missing_run>& missing) {
  if (restart_) believe_restart(missing);
  if (std::exchange(leap_, {})) {
    dropped_leap_ = true;
    arm_->broken = true;
    return {.what = verdict::doubtful};
  }
  restart_ = true;
  return {.what = verdict::restarted, .hold = decision::keep::leap};
}

/// Another segment begins behind everything that came.
void number_tracker::believe_restart(std::vector<missing_run>& missing) {
  restart_ = false;
  last_number_ = 0;
  arm_->first = std::max(highest_end_, arm_->first);
  if (put(arm_->first, missing).place)
    released_leap_ = stream_position(arm_->first);
  else
    dropped_leap_ = true;
}

void number_tracker::resume(stream_position position, const arm_place& place) {
  arm_ = arm{.start = place.start,
             .first = place.first,
             .message_number = place.message_number,
             .announced = place.announced,
             .series = place.series,
             .has_data = position.value > place.first,
             .numbered = true};
  next_ = highest_end_ = std::min(position.value, entries_);
  // Only what never came is wanted: a start that comes now is that of another arm.
  resumed_ = true;
}

void number_tracker::note_placed(stream_position position) {
  if (position.value < next_ || position.value >= entries_) return;
  ahead_.insert(position.value);
  while (!ahead_.empty() && *ahead_.begin() == next_) {
    ahead_.erase(ahead_.begin());
    ++next_;
  }
  highest_end_ = std::max(highest_end_, position.value + 1);
}

std::optional<arm_place> number_tracker::place() const {
  if (!arm_) return std::nullopt;
  return arm_place{arm_->start, arm_->first, arm_->message_number, arm_->announced, arm_->series};
}

void number_tracker::interrupt() {
  if (arm_ && !arm_->end && !arm_->numbered) arm_->broken = true;
}

/// A number so far ahead that everything before it would be given up: the next one tells whether to
/// believe it.
number_tracker::decision number_tracker::leap_to(std::uint64_t position) {
  leap_ = position;
  return {.what = verdict::doubtful, .hold = decision::keep::leap};
}

void number_tracker::believe_leap(std::vector<missing_run>& missing) {
  auto position = *leap_;
  leap_.reset();
  put(position, missing);
  released_leap_ = stream_position(position);
}

/// Where the end of the arm belongs, as far as numbers tell.
std::optional<std::uint64_t> number_tracker::announced_end(const entry_numbers& numbers) const {
  if (numbers.count) return arm_->first + std::min(*numbers.count, entries_);
  if (numbers.message_number && arm_->message_number && *numbers.message_number > *arm_->message_number)
    return arm_->start + std::min(*numbers.message_number - *arm_->message_number, entries_);
  auto behind_data = std::max(highest_end_, arm_->first);
  if (arm_->announced && *arm_->announced == behind_data - arm_->first) return behind_data;
  return std::nullopt;
}

number_tracker::decision number_tracker::take_end(const entry_numbers& numbers,
                                                  std::vector<missing_run>& missing) {
  if (!arm_ && !early_.empty()) {
    early_.push_back(numbers);
    return {.hold = decision::keep::early};
  }
  if (!arm_) return {.what = verdict::stray};
  if (numbers.series && arm_->series && *numbers.series != *arm_->series) return {.what = verdict::stray};
  if (arm_->end) return {.what = verdict::duplicate};
  if (restart_) believe_restart(missing);
  auto announced = announced_end(numbers);
  // An end that lies behind a leap confirms it.
  if (leap_) {
    if (!announced || *announced > *leap_)
      believe_leap(missing);
    else
      dropped_leap_ = true, leap_.reset();
  }
  auto behind_data = std::max(highest_end_, arm_->first);
  auto position = std::max(announced.value_or(behind_data), behind_data);
  // A forwarder that leaves frames out counts fewer messages than it has numbers: no contradiction.
  arm_->exact = announced && (*announced == position || !numbers.count) && !arm_->broken;
  arm_->movable = !announced;
  arm_->end = position;
  if (position >= entries_) return {.what = verdict::after_end};
  if (position + 1 == entries_) return put(position, missing);
  held_end_ = position;
  return {.what = verdict::ok, .hold = decision::keep::end};
}

number_tracker::decision number_tracker::put(std::uint64_t position, std::vector<missing_run>& missing) {
  if (position >= entries_) return {.what = verdict::after_end};
  if (position < next_) return {.what = given_up_.contains(position) ? verdict::late : verdict::duplicate};
  if (ahead_.contains(position)) return {.what = verdict::duplicate};
  decision d{.what = verdict::ok, .place = stream_position(position)};
  if (std::exchange(resumed_, false)) lost_before_ = position;
  if (position < highest_end_)
    d.what = verdict::late;
  else if (position > highest_end_)
    d.what = verdict::gap;
  highest_end_ = std::max(highest_end_, position + 1);
  if (position == next_ && ahead_.empty()) {
    ++next_;
    return d;
  }
  ahead_.insert(position);
  while (!ahead_.empty() && *ahead_.begin() == next_) {
    ahead_.erase(ahead_.begin());
    ++next_;
  }
  if (highest_end_ - next_ > late_window_)
    give_up_before(highest_end_ - late_window_, "missing in the stream", missing);
  return d;
}

/// Decides every position before `position`: what was not taken is missing.
void number_tracker::give_up_before(std::uint64_t position, const char* cause,
                                    std::vector<missing_run>& missing) {
  position = std::min(position, entries_);
  while (next_ < position) {
    auto taken = ahead_.empty() ? position : std::min(*ahead_.begin(), position);
    if (taken > next_) {
      std::optional<std::uint64_t> number;
      if (arm_ && next_ >= arm_->first) number = next_ - arm_->first;
      auto lost_end = std::clamp(lost_before_, next_, taken);
      if (lost_end > next_)
        missing.push_back(
            {stream_position(next_), lost_end - next_, "came while it had no reader", number, true});
      if (taken > lost_end) {
        if (number) *number += lost_end - next_;
        missing.push_back({stream_position(lost_end), taken - lost_end, cause, number});
      }
      given_up_.insert(next_, taken);
      next_ = taken;
    }
    while (!ahead_.empty() && *ahead_.begin() == next_) {
      ahead_.erase(ahead_.begin());
      ++next_;
    }
  }
  highest_end_ = std::max(highest_end_, next_);
}

void number_tracker::settle(std::vector<missing_run>& missing) {
  if (!arm_ && !early_.empty()) adopt_early(missing);
  if (leap_) believe_leap(missing);
  if (restart_) believe_restart(missing);
  if (held_end_) {
    held_end_.reset();
    give_up_before(entries_ - 1, "the series ended early", missing);
    put(entries_ - 1, missing);
    released_end_ = stream_position(entries_ - 1);
  } else if (arm_) {
    give_up_before(settled_end(), "missing in the stream", missing);
  }
}

void number_tracker::close(std::vector<missing_run>& missing, const char* cause) {
  held_end_.reset();
  leap_.reset();
  restart_ = false;
  released_early_.resize(std::exchange(early_, {}).size());
  give_up_before(entries_, cause, missing);
}

} // namespace dtranspose
