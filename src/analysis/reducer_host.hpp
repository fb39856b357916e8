/// Folds results into the reducer part of an analysis, each exactly once. No actors.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/event_joiner.hpp"
#include "model/fate_map.hpp"
#include "plugin.hpp"
#include "reducer_versions.hpp"
#include "worker_host.hpp"

namespace dtranspose {

class reducer_host {
 public:
  /// Takes the rows of per-event results, e.g. an output file.
  using row_sink = std::function<void(event_number, const value&, parameters_version)>;

  /// `rows` may be empty.
  reducer_host(std::unique_ptr<reducer_part> part, parameters settings, parameters_version version,
               row_sink rows)
      : parts_(std::move(part), std::move(settings), version), rows_(std::move(rows)) {}

  using part_maker = reducer_versions::part_maker;

  /// Parameters that results may be made with from now on; `make` makes a part where that of before cannot go
  /// on. What the analysis cannot use is told by the results that were made with it.
  void change_parameters(parameters settings, parameters_version version, const part_maker& make) {
    parts_.change_parameters(std::move(settings), version, make);
  }

  /// Folds what was made with parameters of that version and has not been folded, and appends the slots that
  /// ended now. A result is folded whole or not at all; slots of a rejected one that are open stay so.
  void fold(worker_index worker, parameters_version version, const mapped_batch& results,
            std::vector<ended_slots>& ended);

  /// Ends slots that will get no result; those that ended already stay as they are.
  void close(const unmappable& slots, std::vector<ended_slots>& ended);

  std::optional<std::chrono::nanoseconds> timer() { return parts_.timer(); }
  void finish() { parts_.finish(); }
  /// What the analysis has decided since the last call.
  std::vector<decision> take_decisions() { return parts_.take_decisions(); }

  /// Nothing more can be folded: results that come end as failed, with this cause.
  void fold_no_more(const std::string& cause) { parts_.fold_no_more(cause); }

  /// Of the latest part, and under `earlier` that of those before, by the version that they began with.
  value published() const { return parts_.published(); }

  bool folds_again = false; ///< an injected bug: what has ended is folded once more

  /// Results, or runs of events without one, of which a slot had ended.
  std::uint64_t duplicates() const { return duplicates_; }
  std::uint64_t folded() const { return folded_; }
  const fate_map& ended() const { return ended_; }

 private:
  bool claim(const slot_run& slots, fate how, const std::string& cause);
  void end_open(const slot_run& slots, fate how, const std::string& cause, std::vector<ended_slots>& ended);
  void fold(worker_index worker, const reducer_versions::version& made_with,
            const mapped_batch::result& result, std::vector<ended_slots>& ended);
  void fold_together(worker_index worker, const reducer_versions::version& made_with,
                     const mapped_batch& results, std::vector<ended_slots>& ended);
  bool has_ended(const mapped_batch::result& result) const;
  void end(worker_index worker, const mapped_batch::result& result,
           const reducer_versions::version& made_with, const std::string& trouble,
           std::vector<ended_slots>& ended);
  void give_rows(worker_index worker, const mapped_batch::result& result,
                 const reducer_versions::version& made_with);

  reducer_versions parts_;
  row_sink rows_;
  fate_map ended_;
  std::uint64_t duplicates_ = 0;
  std::uint64_t folded_ = 0;
};

} // namespace dtranspose
