#include "recording/ordered_dump.hpp"

#include <utility>

namespace dtranspose {

std::optional<dump_item> ordered_dump_reader::next() {
  while (ahead_.size() < window) {
    auto item = reader_.next();
    if (!item) break;
    if (item->streams.empty() && last_ && item->event <= *last_) continue;
    auto place = ahead_.end();
    while (place != ahead_.begin() && std::prev(place)->event > item->event) --place;
    ahead_.insert(place, std::move(*item));
  }
  if (ahead_.empty()) return std::nullopt;
  auto first = std::move(ahead_.front());
  ahead_.pop_front();
  last_ = first.event;
  return first;
}

} // namespace dtranspose
