/// Events in runs: how bindings, commits and fates are kept and sent.
#pragma once

#include <cstdint>
#include <vector>

#include "ids.hpp"

namespace dtranspose {

/// The events first, first + stride, ... of which there are `count`.
struct event_run {
  event_number first;
  std::uint32_t count = 0;
  std::uint32_t stride = 1;

  event_number at(std::uint32_t i) const { return first + std::uint64_t{i} * stride; }
  event_number last() const { return at(count - 1); }
  bool operator==(const event_run&) const = default;
  bool contains(event_number event) const {
    return count > 0 && event >= first && event <= last() && (event - first) % stride == 0;
  }

  /// Takes in the event behind the last one if it goes on in step; rising order is required.
  bool extend(event_number event) {
    auto distance = event - last();
    if (count == 1 && distance <= max_stride) stride = static_cast<std::uint32_t>(distance);
    if (distance != stride || count == ~std::uint32_t{0}) return false;
    ++count;
    return true;
  }

  /// Farther apart than this, events are runs of their own.
  static constexpr std::uint64_t max_stride = 1 << 20;
};

/// The events from `first` up to but not including `end`.
struct event_range {
  event_number first;
  event_number end;
  bool operator==(const event_range&) const = default;
};

/// Slots of the same place in each event of a run: `slots` of them from `first_slot` on.
struct slot_run {
  event_run events;
  slot_index first_slot;
  std::uint16_t slots = 1;
  bool operator==(const slot_run&) const = default;

  /// Takes in the same slots of an event behind the last one if it goes on in step.
  bool extend(event_number event, slot_index first, std::uint16_t count) {
    return first_slot == first && slots == count && events.last() < event && events.extend(event);
  }
};

/// How a slot or an event ended, worst last. Fates are final.
enum class fate : std::uint8_t {
  discarded,  ///< no slot at all
  empty,      ///< the worker returned nothing
  folded,     ///< its result was folded
  failed,     ///< analysis code threw, or held back too long
  incomplete, ///< a stream's data for it is missing
  lost,       ///< its frames are gone, or never came before a time-out or stop
};
inline constexpr std::size_t fate_count = 6;

constexpr const char* name_of(fate f) {
  constexpr const char* names[] = {"discarded", "empty", "folded", "failed", "incomplete", "lost"};
  return names[static_cast<std::size_t>(f)];
}

} // namespace dtranspose
