#include "reducer_host.hpp"

#include <algorithm>
#include <exception>

namespace dtranspose {

namespace {

/// Appends to the last of `ended` where a run goes on with the same fate.
void add(std::vector<ended_slots>& ended, const slot_run& slots, fate how, const std::string& cause = {}) {
  if (!ended.empty()) {
    auto& last = ended.back();
    if (last.how == how && last.cause == cause && slots.events.count == 1 &&
        last.slots.extend(slots.events.first, slots.first_slot, slots.slots))
      return;
  }
  ended.push_back({slots, how, cause});
}

/// The slots of the i-th event of a run.
slot_run slot_of(const slot_run& slots, std::uint32_t i) {
  return {{slots.events.at(i), 1, 1}, slots.first_slot, slots.slots};
}

} // namespace

/// Marks slots as ended like this, unless one of them is.
bool reducer_host::claim(const slot_run& slots, fate how, const std::string& cause) {
  if (ended_.overlaps(slots)) return false;
  ended_.insert(slots, how, cause);
  return true;
}

void reducer_host::fold(worker_index worker, parameters_version version, const mapped_batch& results,
                        std::vector<ended_slots>& ended) {
  for (auto& result : results.mapped) fold(worker, version, result, ended);
  for (auto& slots : results.empty) end_open(slots, fate::empty, {}, ended);
  for (auto& failure : results.failed) end_open(failure.slots, fate::failed, failure.cause, ended);
}

/// Ends those of the slots that have not ended. They are of events on their own, run together for the
/// wire.
void reducer_host::end_open(const slot_run& slots, fate how, const std::string& cause,
                            std::vector<ended_slots>& ended) {
  if (!ended_.overlaps(slots)) {
    ended_.insert(slots, how, cause);
    return add(ended, slots, how, cause);
  }
  ++duplicates_;
  for (std::uint32_t i = 0; i < slots.events.count; ++i) {
    auto one = slot_of(slots, i);
    if (claim(one, how, cause)) add(ended, one, how, cause);
  }
}

void reducer_host::fold(worker_index worker, parameters_version version, const mapped_batch::result& result,
                        std::vector<ended_slots>& ended) {
  bool covers = result.slots.events.count > 0;
  auto overlap = [this](auto& run) { return ended_.overlaps(run); };
  if (covers && !folds_again &&
      (overlap(result.slots) || std::any_of(result.more.begin(), result.more.end(), overlap))) {
    ++duplicates_;
    return;
  }
  std::optional<event_number> first;
  std::size_t events = 0;
  if (covers) {
    first = result.slots.events.first;
    events = result.slots.events.count;
    for (auto& run : result.more) events += run.events.count;
  }
  auto trouble = folded({first, events, worker, result.content, version, result.flushed});
  if (!covers) return;
  auto how = trouble.empty() ? fate::folded : fate::failed;
  auto end = [&](auto& run) {
    ended_.insert(run, how, trouble);
    add(ended, run, how, trouble);
  };
  end(result.slots);
  for (auto& run : result.more) end(run);
}

std::string reducer_host::folded(folded_result result) {
  auto& with = parts_.of(result.version);
  result.version = with.number;
  if (!with.trouble.empty()) return "reducer: " + with.trouble;
  try {
    with.part->process_result(result, with.settings);
    if (rows_ && result.flushed)
      with.part->rows_in(result, [&](auto event, auto& row) { rows_(event, row, result.version); });
    else if (rows_ && result.event && result.events == 1)
      rows_(*result.event, result.content, result.version);
    ++folded_;
    return {};
  } catch (const std::exception& e) {
    return std::string("reducer: ") + e.what();
  } catch (...) {
    return "reducer: unknown exception";
  }
}

void reducer_host::close(const unmappable& slots, std::vector<ended_slots>& ended) {
  for (std::uint32_t i = 0; i < slots.slots.events.count; ++i) {
    auto one = slot_of(slots.slots, i);
    if (claim(one, slots.how, slots.cause)) add(ended, one, slots.how, slots.cause);
  }
}

} // namespace dtranspose
