#include "reducer_host.hpp"

#include <algorithm>
#include <exception>
#include <typeinfo>

#include "model/parameter_book.hpp"

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

namespace {

/// The default folds nothing: it can take whatever parameters there are.
bool folds_nothing(const reducer_part& part) { return typeid(part) == typeid(reducer_part); }

} // namespace

void reducer_host::change_parameters(parameters settings, parameters_version number, const part_maker& make) {
  if (number <= versions_.back().number) return;
  version next{number, std::move(settings), {}, versions_.back().part, versions_.back().began};
  try {
    if (!folds_nothing(*next.part) && !next.part->change_parameters(next.settings)) {
      next.part = make(next.settings);
      next.began = number;
    }
  } catch (const std::exception& e) {
    next.trouble = std::string("reducer: ") + e.what();
  } catch (...) {
    next.trouble = "reducer: unknown exception";
  }
  versions_.push_back(std::move(next));
  std::size_t bytes = 0;
  for (auto& v : versions_) bytes += bytes_of_parameters(v.settings.all());
  while (versions_.size() > 1 && are_too_many_versions(versions_.size(), bytes)) {
    bytes -= bytes_of_parameters(versions_.front().settings.all());
    forget_oldest();
  }
}

/// What its part gathered stays, as it is published.
void reducer_host::forget_oldest() {
  auto oldest = std::move(versions_.front());
  versions_.erase(versions_.begin());
  too_old_.number = oldest.number;
  too_old_.part = versions_.front().part;
  too_old_.trouble = "made with parameters that are not kept any more: too many changes followed";
  if (oldest.part == versions_.front().part) {
    versions_.front().began = oldest.began;
    return;
  }
  try {
    oldest.part->finish(oldest.settings);
    auto tree = oldest.part->published();
    if (!tree.is_null()) earlier_.set(std::to_string(oldest.began.value), std::move(tree));
  } catch (const std::exception&) {
    // It has nothing to show.
  }
}

void reducer_host::finish() {
  for (std::size_t i = 0; i < versions_.size(); ++i)
    if (i + 1 == versions_.size() || versions_[i + 1].part != versions_[i].part)
      versions_[i].part->finish(versions_[i].settings);
}

value reducer_host::published() const {
  auto latest = versions_.back().part->published();
  auto earlier = earlier_;
  for (std::size_t i = 0; i < versions_.size() && versions_[i].part != versions_.back().part; ++i) {
    if (i > 0 && versions_[i - 1].part == versions_[i].part) continue;
    auto tree = versions_[i].part->published();
    if (!tree.is_null()) earlier.set(std::to_string(versions_[i].began.value), std::move(tree));
  }
  if (earlier.empty() || !(latest.is_null() || latest.as_map())) return latest;
  auto tree = latest.is_null() ? value_map() : *latest.as_map();
  tree.set("earlier", std::move(earlier));
  return tree;
}

const reducer_host::version& reducer_host::of(parameters_version number) const {
  auto later =
      std::find_if(versions_.rbegin(), versions_.rend(), [&](auto& v) { return v.number <= number; });
  return later == versions_.rend() ? too_old_ : *later;
}

void reducer_host::fold(worker_index worker, parameters_version version, const mapped_batch& results,
                        std::vector<ended_slots>& ended) {
  auto& made_with = of(version);
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

void reducer_host::fold(worker_index worker, const version& made_with, const mapped_batch::result& result,
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
  auto trouble = made_with.trouble;
  if (trouble.empty()) {
    try {
      made_with.part->process_result({first, events, worker, result.content, made_with.number},
                                     made_with.settings);
      if (rows_ && events == 1 && !result.flushed) rows_(*first, result.content, made_with.number);
      ++folded_;
    } catch (const std::exception& e) {
      trouble = std::string("reducer: ") + e.what();
    } catch (...) {
      trouble = "reducer: unknown exception";
    }
  }
  if (!covers) return;
  auto how = trouble.empty() ? fate::folded : fate::failed;
  auto end = [&](auto& run) {
    ended_.insert(run, how, trouble);
    add(ended, run, how, trouble);
  };
  end(result.slots);
  for (auto& run : result.more) end(run);
}

void reducer_host::close(const unmappable& slots, std::vector<ended_slots>& ended) {
  for (std::uint32_t i = 0; i < slots.slots.events.count; ++i) {
    auto one = slot_of(slots.slots, i);
    if (claim(one, slots.how, slots.cause)) add(ended, one, slots.how, slots.cause);
  }
}

} // namespace dtranspose
