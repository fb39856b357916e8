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

bool covers(const mapped_batch::result& result) { return result.slots.events.count > 0; }

std::size_t events_of(const mapped_batch::result& result) {
  std::size_t events = result.slots.events.count;
  for (auto& run : result.more) events += run.events.count;
  return events;
}

/// As the analysis is told of it.
folded_result as_told(worker_index worker, parameters_version version, const mapped_batch::result& result) {
  std::optional<event_number> first;
  if (covers(result)) first = result.slots.events.first;
  return {first, events_of(result), worker, result.content, version, result.flushed};
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
  auto& made_with = parts_.of(version);
  if (results.mapped.size() > 1 && made_with.trouble.empty() && made_with.part->takes_many())
    fold_together(worker, made_with, results, ended);
  else
    for (auto& result : results.mapped) fold(worker, made_with, result, ended);
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

void reducer_host::fold(worker_index worker, const reducer_versions::version& made_with,
                        const mapped_batch::result& result, std::vector<ended_slots>& ended) {
  if (has_ended(result) && !folds_again) {
    ++duplicates_;
    return;
  }
  auto trouble = made_with.trouble;
  if (trouble.empty()) {
    try {
      made_with.part->process_result(as_told(worker, made_with.number, result), made_with.settings);
    } catch (const fold_lost&) {
      throw;
    } catch (const std::exception& e) {
      trouble = e.what();
    } catch (...) {
      trouble = "unknown exception";
    }
  }
  end(worker, result, made_with, trouble, ended);
}

/// The same in one call. What is told twice in one message counts once.
void reducer_host::fold_together(worker_index worker, const reducer_versions::version& made_with,
                                 const mapped_batch& results, std::vector<ended_slots>& ended) {
  std::vector<const mapped_batch::result*> chosen;
  std::vector<folded_result> told;
  fate_map seen;
  for (auto& result : results.mapped) {
    auto overlaps = [&](auto& run) { return seen.overlaps(run); };
    if (has_ended(result) ||
        (covers(result) && (overlaps(result.slots) || std::ranges::any_of(result.more, overlaps)))) {
      ++duplicates_;
      continue;
    }
    if (covers(result)) seen.insert(result.slots, fate::folded, {});
    for (auto& run : result.more) seen.insert(run, fate::folded, {});
    chosen.push_back(&result);
    told.push_back(as_told(worker, made_with.number, result));
  }
  std::vector<std::string> troubles(told.size());
  try {
    made_with.part->process_results(told, made_with.settings, troubles);
  } catch (const fold_lost&) {
    throw;
  } catch (const std::exception& e) {
    troubles.assign(told.size(), e.what());
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) end(worker, *chosen[i], made_with, troubles[i], ended);
}

bool reducer_host::has_ended(const mapped_batch::result& result) const {
  auto overlap = [this](auto& run) { return ended_.overlaps(run); };
  return covers(result) && (overlap(result.slots) || std::ranges::any_of(result.more, overlap));
}

/// It was folded, or not: `trouble` says why.
void reducer_host::end(worker_index worker, const mapped_batch::result& result,
                       const reducer_versions::version& made_with, const std::string& why_not,
                       std::vector<ended_slots>& ended) {
  auto trouble = why_not;
  if (trouble.empty()) {
    try {
      if (rows_) give_rows(worker, result, made_with);
      ++folded_;
    } catch (const std::exception& e) {
      trouble = e.what();
    } catch (...) {
      trouble = "unknown exception";
    }
  }
  if (!covers(result)) return;
  auto how = trouble.empty() ? fate::folded : fate::failed;
  if (!trouble.empty()) trouble.insert(0, "reducer: ");
  auto end_run = [&](auto& run) {
    ended_.insert(run, how, trouble);
    add(ended, run, how, trouble);
  };
  end_run(result.slots);
  for (auto& run : result.more) end_run(run);
}

void reducer_host::give_rows(worker_index worker, const mapped_batch::result& result,
                             const reducer_versions::version& made_with) {
  if (result.flushed)
    made_with.part->rows_in(as_told(worker, made_with.number, result),
                            [&](auto event, auto& row) { rows_(event, row, made_with.number); });
  else if (covers(result) && events_of(result) == 1)
    rows_(result.slots.events.first, result.content, made_with.number);
}

void reducer_host::close(const unmappable& slots, std::vector<ended_slots>& ended) {
  for (std::uint32_t i = 0; i < slots.slots.events.count; ++i) {
    auto one = slot_of(slots.slots, i);
    if (claim(one, slots.how, slots.cause)) add(ended, one, slots.how, slots.cause);
  }
}

} // namespace dtranspose
