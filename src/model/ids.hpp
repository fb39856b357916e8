/// Identifiers that cannot be swapped for one another. No dependencies: part of the plug-in contract.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

namespace dtranspose {

/// A whole number with a meaning of its own: two ids with different tags neither compare nor convert.
template <class Tag, class T>
struct id {
  using number_type = T;

  T value = 0;

  constexpr id() = default;
  constexpr explicit id(T number) : value(number) {}

  constexpr auto operator<=>(const id&) const = default;
  constexpr id& operator++() {
    ++value;
    return *this;
  }
  constexpr id operator+(T n) const { return id(static_cast<T>(value + n)); }
  constexpr id operator-(T n) const { return id(static_cast<T>(value - n)); }
  /// Distance from `other` to this, both being of one sequence.
  constexpr T operator-(id other) const { return static_cast<T>(value - other.value); }
};

/// Place of an event in its scan, from 0.
using event_number = id<struct event_number_tag, std::uint64_t>;
/// What the instrument called a frame, whatever its protocol calls that.
using frame_number = id<struct frame_number_tag, std::uint64_t>;
/// Place of an entry in what one stream contributes to a scan, from 0: start, frames and end alike.
using stream_position = id<struct stream_position_tag, std::uint64_t>;
/// Place of a stream in the list of streams of the scan.
using stream_index = id<struct stream_index_tag, std::uint16_t>;
/// Sets of streams are one bit each in 64. A beamline has tens of detectors, not hundreds.
inline constexpr std::size_t max_streams = 64;
/// Place of a worker in the controller's table of workers, the same for the life of a worker.
using worker_index = id<struct worker_index_tag, std::uint32_t>;
/// Place of a slot among the slots of its event.
using slot_index = id<struct slot_index_tag, std::uint16_t>;
/// Counts how often the analysis of a scan was replaced; slots of different generations never mix.
using generation = id<struct generation_tag, std::uint32_t>;
/// Random, one per life of a process; whatever an earlier life sent is told apart by it. 0: nobody.
using incarnation = id<struct incarnation_tag, std::uint64_t>;
/// One hand-out of slots to workers; moving slots makes a new one.
using dispatch_id = id<struct dispatch_tag, std::uint64_t>;
/// Counts the changes of the parameters of a scan.
using parameters_version = id<struct parameters_version_tag, std::uint64_t>;

} // namespace dtranspose

template <class Tag, class T>
struct std::hash<dtranspose::id<Tag, T>> {
  std::size_t operator()(dtranspose::id<Tag, T> x) const noexcept { return std::hash<T>{}(x.value); }
};
