/// The trigger map: which stream gives a frame to which event, and who must see it. Immutable once
/// read; compact, as a scan may have tens of millions of events.
#pragma once

#include <caf/expected.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "event_run.hpp"
#include "ids.hpp"

namespace dtranspose {

/// Tags, sorted and without duplicates.
using tag_set = std::vector<std::string>;

/// Has `worker` every tag of `wanted`?
bool fits(const tag_set& wanted, const tag_set& worker);

/// The streams of a scan, as a set of `stream_index`: one bit each, so there are at most `max_streams`.
using stream_mask = std::uint64_t;

constexpr stream_mask bit(stream_index stream) { return stream_mask{1} << stream.value; }

/// One virtual worker of a slot of the map, its tags by their index in `trigger_map::tag_sets`.
struct virtual_worker {
  std::uint32_t tags = 0;
  bool everyone = false; ///< no constraint: every worker with these tags
  bool operator==(const virtual_worker&) const = default;
};

/// What the map holds for a stream in an event.
struct map_slot {
  std::uint32_t shape = 0;       ///< index in `trigger_map::shapes`
  std::uint32_t constraints = 0; ///< the constraint itself if it has one, else a place in `map_part::more`
};

/// Streams x events of one part. Its constraints are numbered anew, from 0, in the order of first use.
struct map_part {
  struct row {
    stream_index stream;
    std::vector<map_slot> slots; ///< one per event
  };

  std::string name;
  std::uint64_t length = 0;              ///< in events
  std::vector<row> rows;                 ///< in the order of the request
  std::vector<std::int64_t> constraints; ///< as they were written, by number
  std::vector<std::uint32_t> more;       ///< constraints of slots that have several
  std::vector<std::uint32_t> first_uses; ///< by tag set: how many constraints have it at their first use
  std::uint32_t min_workers = 0;         ///< most different constraints in one event
};

class trigger_map {
 public:
  /// `shapes` 0 and 1 are always these.
  static constexpr std::uint32_t no_frame = 0, discard = 1;
  static constexpr std::string_view wrap_part = "reserved_start_end";

  /// Reads the body of `POST /api/v1/sequence`. With `wrap`, a start and an end event for every stream
  /// and tag are put around it. Errors (`ec::malformed`) name part, stream and event.
  static caf::expected<std::shared_ptr<const trigger_map>> parse(std::string_view json, bool wrap);

  /// Streams of any part, in order of appearance.
  const std::vector<std::string>& streams() const { return streams_; }
  const std::vector<map_part>& parts() const { return parts_; }
  /// Indices in `parts`, laid end to end.
  const std::vector<std::uint32_t>& sequence() const { return sequence_; }
  const std::vector<tag_set>& tag_sets() const { return tag_sets_; }
  const std::vector<std::vector<virtual_worker>>& shapes() const { return shapes_; }

  std::uint64_t events() const { return events_; }
  /// How many entries a stream has: its slots that are not null.
  std::uint64_t entries(stream_index stream) const { return entries_[stream.value]; }
  /// How many of them lie before an event.
  std::uint64_t entries_before(stream_index stream, event_number event) const;
  /// The events from `first` up to but not including `end` in which the stream has an entry.
  std::vector<event_run> events_of(stream_index stream, event_number first, event_number end) const;
  /// A lower bound of the workers that a scan of this map needs.
  std::uint32_t min_workers() const;

  /// The answer of `GET /api/v1/sequence`.
  std::string to_json() const;

  /// Bytes that it keeps, near enough.
  std::size_t memory() const;

 private:
  friend class trigger_map_reader;
  template <class F>
  void for_each_entry(stream_index stream, std::uint64_t first, std::uint64_t end, F&& f) const;

  std::vector<std::string> streams_;
  std::vector<map_part> parts_;
  std::vector<std::uint32_t> sequence_;
  std::vector<tag_set> tag_sets_;
  std::vector<std::vector<virtual_worker>> shapes_{{}, {}};
  std::vector<std::uint64_t> entries_;
  std::uint64_t events_ = 0;
};

} // namespace dtranspose
