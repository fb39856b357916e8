#include "model/map_runs.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "model/trigger_map.hpp"

namespace dtranspose {

namespace {

using constraint_list = std::vector<std::int64_t>;

/// Difference of two constraints; they may lie as far apart as numbers can.
std::int64_t difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

struct run {
  std::uint64_t first = 0, count = 0;
  std::uint32_t shape = 0;
  constraint_list constraints; ///< of the first event
  constraint_list latest;      ///< of the last one
  std::int64_t step = 0;

  bool extend(std::uint64_t event, std::uint32_t its_shape, const constraint_list& its_constraints) {
    if (event != first + count || its_shape != shape) return false;
    auto by = latest.empty() ? 0 : difference(its_constraints[0], latest[0]);
    if (count > 1 && by != step) return false;
    for (std::size_t i = 0; i < latest.size(); ++i)
      if (difference(its_constraints[i], latest[i]) != by) return false;
    step = by;
    latest = its_constraints;
    ++count;
    return true;
  }
};

/// The runs of one stream as they are found.
class run_finder {
 public:
  run_finder(const trigger_map& map, std::size_t& left) : map_(map), left_(left) {}

  void add(std::uint64_t event, const map_part& part, const map_slot& slot) {
    if (slot.shape == trigger_map::no_frame) return;
    constraints_of(part, slot);
    if (open_ && open_->extend(event, slot.shape, constraints_)) return;
    close();
    open_ = run{event, 1, slot.shape, constraints_, constraints_, 0};
  }

  void close() {
    if (!open_) return;
    if (left_ > 0) {
      --left_;
      list_.push_back(to_value(*open_));
    } else {
      ++left_out_;
    }
    open_.reset();
  }

  value_list& list() { return list_; }
  std::uint64_t left_out() const { return left_out_; }

 private:
  void constraints_of(const map_part& part, const map_slot& slot) {
    constraints_.clear();
    auto& shape = map_.shapes()[slot.shape];
    auto bound = std::count_if(shape.begin(), shape.end(), [](auto& v) { return !v.everyone; });
    for (std::uint32_t k = 0; k < bound; ++k)
      constraints_.push_back(
          part.constraints[bound > 1 ? part.more[slot.constraints + k] : slot.constraints]);
  }

  value to_value(const run& r) const {
    value_list targets;
    std::size_t k = 0;
    for (auto& worker : map_.shapes()[r.shape]) {
      auto& tags = map_.tag_sets()[worker.tags];
      targets.push_back(value_map{{"tags", value_list(tags.begin(), tags.end())},
                                  {"constraint", worker.everyone ? value() : value(r.constraints[k++])}});
    }
    value_map m{{"first", r.first}, {"count", r.count}, {"targets", std::move(targets)}};
    if (r.count > 1 && !r.constraints.empty()) m.set("step", r.step);
    return m;
  }

  const trigger_map& map_;
  std::size_t& left_;
  std::optional<run> open_;
  constraint_list constraints_;
  value_list list_;
  std::uint64_t left_out_ = 0;
};

} // namespace

value map_runs(const trigger_map& map, std::size_t most_runs) {
  auto left = most_runs;
  std::vector<run_finder> streams(map.streams().size(), run_finder(map, left));
  std::uint64_t first = 0;
  for (auto index : map.sequence()) {
    auto& part = map.parts()[index];
    for (auto& row : part.rows)
      for (std::uint64_t i = 0; i < part.length; ++i)
        streams[row.stream.value].add(first + i, part, row.slots[i]);
    first += part.length;
  }
  value_map runs;
  std::uint64_t left_out = 0;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    streams[i].close();
    left_out += streams[i].left_out();
    runs.set(map.streams()[i], std::move(streams[i].list()));
  }
  value_map m{{"events", map.events()}, {"streams", std::move(runs)}};
  if (left_out > 0) m.set("runs_left_out", left_out);
  return m;
}

} // namespace dtranspose
