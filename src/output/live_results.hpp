/// What viewers see of a scan that is going on: the published tree, the latest rows of per-event results, and
/// the scan itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"

namespace dtranspose {

/// Of one per-event result, the rows of the latest events, as many as fit.
class live_rows {
 public:
  live_rows(result_description result, std::uint64_t events, std::size_t most_bytes);

  const std::string& name() const { return result_.name; }
  /// False: a single row is larger than all of them may be.
  bool kept() const { return row_bytes_ > 0; }

  /// A later value replaces an earlier one. What does not fit the description, or is older than the rows that
  /// are kept, is left out.
  void set(std::uint64_t event, const value& content);

  /// Shape [rows, shape...]; what no event gave is missing, as in the output file. A copy only where
  /// something has changed since it was last asked.
  array rows();

  /// `units` and `axes` as described; `_FillValue` of integers; `first_event` if there are not as many rows
  /// as events.
  value_map attributes() const;

 private:
  void move_to(std::uint64_t first);
  std::byte* row(std::uint64_t event) { return bytes_.data() + (event - first_) * row_bytes_; }

  result_description result_;
  std::uint64_t events_, count_ = 0, first_ = 0; ///< rows of the scan, kept rows, event of the first of those
  std::size_t row_bytes_ = 0;                    ///< 0: a row is too large, none is kept
  std::vector<std::byte> bytes_;
  array copy_;
  bool changed_ = true;
};

class live_results {
 public:
  /// `most_bytes`: of the rows of one result.
  live_results(std::vector<result_description> results, std::uint64_t events,
               std::size_t most_bytes = std::size_t{4} << 20);

  /// Entries of a map by name, a bare number or array to the only one there is.
  void set_row(event_number event, const value& content);

  /// The published tree (a map, or null) with the rows, the attributes that were described, and `scan`,
  /// unless there is one of that name.
  value tree(const value& published, value_map scan);

 private:
  std::vector<result_description> per_scan_;
  std::vector<live_rows> rows_;
  std::size_t expected_ = 0; ///< where the next entry of a map most likely belongs
};

} // namespace dtranspose
