#include "value_follower.hpp"

#include <algorithm>
#include <iterator>

namespace dtranspose {

void value_follower::take(const leader_news& news) {
  leader_entries_ = news.entries;
  for (auto& run : news.runs) {
    leader_.push_back({leader_assigned_, run});
    leader_assigned_ += run.events.count;
  }
  for (auto& range : news.decided) snapshots_.try_emplace(range.first, snapshot{range.count, latest_});
}

packet_batch value_follower::ready() {
  packet_batch batch;
  while (!wanted_.empty()) {
    auto& [run, done] = wanted_.front();
    for (; done < run.events.count; ++done) {
      auto event = run.events.at(done);
      auto value = value_for(event);
      if (!value) return batch;
      batch.bytes += budgeted_bytes(value->bytes());
      batch.packets.push_back({.data = *value, .numbers = {.event = event.value}});
    }
    wanted_.pop_front();
  }
  return batch;
}

const stream_data* value_follower::value_for(event_number event) {
  auto latest = latest_ ? &latest_ : nullptr;
  if (!led_) return latest;
  auto taken = snapshot_for(event);
  return taken && !*taken ? latest : taken;
}

const stream_data* value_follower::snapshot_for(event_number event) {
  bool known = leader_assigned_ == leader_entries_ && leader_entries_ > 0;
  if (!leader_.empty()) known = known || leader_.back().run.events.last() >= event;
  if (!known) return nullptr;
  // Runs that lie before this event altogether are not looked at again, but for the last of them.
  while (leader_.size() > 1 && leader_[1].run.events.first <= event) leader_.pop_front();
  if (leader_.empty() || event < leader_.front().run.events.first) return &latest_;
  auto& [first, run] = leader_.front();
  auto distance = (event - run.events.first) / run.events.stride;
  auto position = first + std::min<std::uint64_t>(distance, run.events.count - 1);
  auto behind = snapshots_.upper_bound(position);
  if (behind == snapshots_.begin()) return nullptr;
  auto taken = std::prev(behind);
  if (position - taken->first >= taken->second.count) return nullptr;
  snapshots_.erase(snapshots_.begin(), taken);
  return &taken->second.value;
}

} // namespace dtranspose
