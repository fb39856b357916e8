/// Events as analysis code sees them. No dependencies: part of the plug-in contract.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frame.hpp"
#include "ids.hpp"

namespace dtranspose {

/// Names of the streams of a scan, by `stream_index`.
using stream_names = std::vector<std::string>;

/// What one stream gave to an event.
struct stream_entry {
  stream_index stream;
  stream_data data;
};

/// All that a worker is given of one trigger: a view into its batch, valid during the call that got it.
/// A copy of a `stream_data` may be kept for longer.
class event {
 public:
  /// `missing`: a bit for each stream, by index, whose data should be here and is missing.
  event(event_number number, std::span<const stream_entry> entries, const stream_names& names,
        std::uint64_t missing = 0)
      : number_(number), entries_(entries), names_(&names), missing_(missing) {}

  /// Place of the event in its scan, from 0.
  event_number number() const { return number_; }

  /// The streams that the trigger map sends to this worker in this event, in order of their index.
  std::span<const stream_entry> streams() const { return entries_; }

  std::string_view name_of(const stream_entry& entry) const { return (*names_)[entry.stream.value]; }
  /// Of all streams of the scan, by index.
  const stream_names& names() const { return *names_; }

  /// The data of the stream of that name, or null where this event has none of it.
  const stream_data* find(std::string_view name) const {
    for (auto& entry : entries_)
      if (name_of(entry) == name) return &entry.data;
    return nullptr;
  }

  /// A bit for each stream, by index, that the trigger map sends here and whose data is missing.
  std::uint64_t missing_streams() const { return missing_; }

  /// Their names: only where the configuration has incomplete events delivered.
  std::vector<std::string_view> missing() const {
    std::vector<std::string_view> list;
    for (std::size_t s = 0; s < std::min(names_->size(), max_streams); ++s)
      if (missing_ >> s & 1) list.push_back((*names_)[s]);
    return list;
  }

 private:
  event_number number_;
  std::span<const stream_entry> entries_;
  const stream_names* names_;
  std::uint64_t missing_;
};

} // namespace dtranspose
