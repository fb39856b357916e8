#include "number_tracker.hpp"

#include <algorithm>

namespace dtranspose {

number_tracker::decision number_tracker::counted(decision d) {
  ++counts_[static_cast<std::size_t>(d.what)];
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
  arm next{.message_number = numbers.message_number, .series = numbers.series};
  if (!arm_) {
    arm_ = next;
    return put(0, missing);
  }
  if (arm_->has_data && numbers.message_number && numbers.message_number == arm_->message_number &&
      numbers.series == arm_->series)
    return {.what = verdict::duplicate};
  if (!arm_->has_data && !arm_->end) {
    next.start = arm_->start;
    arm_ = next;
    if (next_ > next.start + 1 || next.start >= entries_) return {.what = verdict::duplicate};
    return {.what = verdict::restarted, .place = stream_position(next.start), .replaces = true};
  }
  if (leap_) believe_leap(missing);
  if (held_end_) {
    put(*held_end_, missing);
    released_end_ = stream_position(*held_end_);
    held_end_.reset();
  }
  // Message numbers tell how many entries lie between two starts, even where their end was lost.
  if (numbers.message_number && arm_->message_number && *numbers.message_number > *arm_->message_number)
    next.start = arm_->start + std::min(*numbers.message_number - *arm_->message_number, entries_);
  else if (arm_->end && arm_->exact)
    next.start = *arm_->end + 1;
  else
    next.start = 0;
  if (next.start < std::max<std::uint64_t>(highest_end_, 1)) {
    give_up_before(entries_, "the series before it did not end exactly", missing);
    return {.what = verdict::doubtful};
  }
  arm_ = next;
  auto d = put(next.start, missing);
  if (d.place && d.what == verdict::ok) d.what = verdict::restarted;
  return d;
}

number_tracker::decision number_tracker::take_data(const entry_numbers& numbers,
                                                   std::vector<missing_run>& missing) {
  if (!arm_) return {.what = verdict::stray};
  if (numbers.series && arm_->series && *numbers.series != *arm_->series) return {.what = verdict::stray};
  auto first = arm_->start + 1;
  auto number = numbers.number.value_or(std::max(highest_end_, first) - first);
  if (numbers.number) last_number_ = number;
  if (number >= entries_ - std::min(entries_, first)) return {.what = verdict::after_end};
  auto position = first + number;
  if (arm_->end && position >= *arm_->end) return {.what = verdict::after_end};
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

number_tracker::decision number_tracker::take_end(const entry_numbers& numbers,
                                                  std::vector<missing_run>& missing) {
  if (!arm_) return {.what = verdict::stray};
  if (numbers.series && arm_->series && *numbers.series != *arm_->series) return {.what = verdict::stray};
  if (arm_->end) return {.what = verdict::duplicate};
  auto first = arm_->start + 1;
  auto announced = [&]() -> std::optional<std::uint64_t> {
    if (numbers.count) return first + std::min(*numbers.count, entries_);
    if (numbers.message_number && arm_->message_number && *numbers.message_number > *arm_->message_number)
      return arm_->start + std::min(*numbers.message_number - *arm_->message_number, entries_);
    return std::nullopt;
  }();
  // An end that lies behind a leap confirms it.
  if (leap_) {
    if (!announced || *announced > *leap_)
      believe_leap(missing);
    else
      dropped_leap_ = true, leap_.reset();
  }
  auto behind_data = std::max(highest_end_, first);
  auto position = std::max(announced.value_or(behind_data), behind_data);
  // A forwarder that leaves frames out counts fewer messages than it has numbers: no contradiction.
  arm_->exact = announced && (*announced == position || !numbers.count);
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
      if (arm_ && next_ > arm_->start) number = next_ - arm_->start - 1;
      missing.push_back({stream_position(next_), taken - next_, cause, number});
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
  if (leap_) believe_leap(missing);
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
  give_up_before(entries_, cause, missing);
}

} // namespace dtranspose
