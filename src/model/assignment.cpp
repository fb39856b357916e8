#include "assignment.hpp"

#include <algorithm>
#include <bit>

namespace dtranspose {

void assignment_batch::add(const bound_event& event, const std::vector<process_index>& process_of) {
  ++events_;
  last_run_.resize(std::max(last_run_.size(), process_of.size()));
  for (auto rest = event.read; rest != 0; rest &= rest - 1) {
    auto stream = static_cast<std::uint16_t>(std::countr_zero(rest));
    scratch_.clear();
    for (auto& target : event.targets)
      if (target.streams & bit(stream_index(stream))) scratch_.push_back(process_of[target.worker.value]);
    std::sort(scratch_.begin(), scratch_.end());
    scratch_.erase(std::unique(scratch_.begin(), scratch_.end()), scratch_.end());
    auto& runs = streams_[stream];
    if (runs.empty() || runs.back().targets != scratch_ || runs.back().for_everyone != event.for_everyone ||
        !runs.back().events.extend(event.number))
      runs.push_back({{event.number, 1, 1}, scratch_, event.for_everyone});
  }
  for (auto& target : event.targets) {
    auto& runs = processes_[process_of[target.worker.value]];
    auto& last = last_run_[target.worker.value];
    if (last > 0) {
      auto& run = runs[last - 1];
      if (run.first_slot == target.first_slot && run.slots == target.slots && run.streams == target.streams &&
          run.for_everyone == target.for_everyone && run.events.extend(event.number))
        continue;
    }
    runs.push_back({{event.number, 1, 1},
                    target.worker,
                    target.first_slot,
                    target.slots,
                    target.streams,
                    target.for_everyone});
    last = static_cast<std::uint32_t>(runs.size());
  }
}

} // namespace dtranspose
