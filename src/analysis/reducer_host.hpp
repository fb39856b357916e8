/// Folds results into the reducer part of an analysis, each exactly once. No actors.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/event_joiner.hpp"
#include "model/fate_map.hpp"
#include "plugin.hpp"
#include "worker_host.hpp"

namespace dtranspose {

class reducer_host {
 public:
  /// Takes the rows of per-event results, e.g. an output file.
  using row_sink = std::function<void(event_number, const value&, parameters_version)>;

  /// `rows` may be empty.
  reducer_host(std::unique_ptr<reducer_part> part, parameters settings, parameters_version version,
               row_sink rows)
      : part_(std::move(part)), rows_(std::move(rows)) {
    versions_.push_back({version, std::move(settings), {}});
  }

  /// Parameters that results may be made with from now on. What the analysis cannot go on with is told by the
  /// results that were made with them.
  void change_parameters(parameters settings, parameters_version version);

  /// Folds what was made with parameters of that version and has not been folded, and appends the slots that
  /// ended now. A result is folded whole or not at all; slots of a rejected one that are open stay so.
  void fold(worker_index worker, parameters_version version, const mapped_batch& results,
            std::vector<ended_slots>& ended);

  /// Ends slots that will get no result; those that ended already stay as they are.
  void close(const unmappable& slots, std::vector<ended_slots>& ended);

  std::optional<std::chrono::nanoseconds> timer() { return part_->timer(versions_.back().settings); }
  void finish() { part_->finish(versions_.back().settings); }
  value published() const { return part_->published(); }

  bool folds_again = false; ///< an injected bug: what has ended is folded once more

  /// Results, or runs of events without one, of which a slot had ended.
  std::uint64_t duplicates() const { return duplicates_; }
  std::uint64_t folded() const { return folded_; }
  const fate_map& ended() const { return ended_; }

 private:
  bool claim(const slot_run& slots, fate how, const std::string& cause);
  void end_open(const slot_run& slots, fate how, const std::string& cause, std::vector<ended_slots>& ended);
  struct version {
    parameters_version number;
    parameters settings;
    std::string trouble; ///< why the analysis cannot use them
  };
  const version& of(parameters_version number) const;
  void fold(worker_index worker, const version& made_with, const mapped_batch::result& result,
            std::vector<ended_slots>& ended);

  std::unique_ptr<reducer_part> part_;
  std::vector<version> versions_; ///< the last ones, rising
  row_sink rows_;
  fate_map ended_;
  std::uint64_t duplicates_ = 0;
  std::uint64_t folded_ = 0;
};

} // namespace dtranspose
