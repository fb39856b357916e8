#include "dispatch_book.hpp"

#include <set>
#include <utility>

namespace dtranspose {

void dispatch_book::prune(const ledger& fates) {
  for (auto& runs : workers_)
    while (!runs.empty()) {
      auto& run = runs.front().run;
      while (run.events.count > 0 && !fates.is_open(run.events.first, run.first_slot)) {
        if (--run.events.count > 0) run.events.first = run.events.first + run.events.stride;
      }
      if (run.events.count > 0) break;
      runs.pop_front();
    }
}

std::vector<given_run> dispatch_book::open_of(worker_index worker, const ledger& fates) const {
  std::vector<given_run> list;
  for (auto& given : workers_[worker.value]) {
    auto piece = given;
    piece.run.events.count = 0;
    auto close = [&] {
      if (piece.run.events.count > 0) list.push_back(piece);
      piece.run.events.count = 0;
    };
    for (std::uint32_t i = 0; i < given.run.events.count; ++i) {
      auto event = given.run.events.at(i);
      if (!fates.is_open(event, given.run.first_slot)) {
        close();
        continue;
      }
      if (piece.run.events.count == 0) piece.run.events.first = event;
      ++piece.run.events.count;
    }
    close();
  }
  return list;
}

void dispatch_book::take_away(worker_index worker, const std::vector<worker_run>& runs) {
  std::set<std::pair<event_number, slot_index>> gone;
  for (auto& run : runs)
    for (std::uint32_t i = 0; i < run.events.count; ++i) gone.emplace(run.events.at(i), run.first_slot);
  std::deque<given_run> rest;
  for (auto& given : workers_[worker.value])
    for (std::uint32_t i = 0; i < given.run.events.count; ++i) {
      if (gone.contains({given.run.events.at(i), given.run.first_slot})) continue;
      rest.push_back(given);
      rest.back().run.events = {given.run.events.at(i), 1, 1};
    }
  workers_[worker.value] = std::move(rest);
}

std::size_t dispatch_book::runs() const {
  std::size_t sum = 0;
  for (auto& runs : workers_) sum += runs.size();
  return sum;
}

} // namespace dtranspose
