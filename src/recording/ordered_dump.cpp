#include "recording/ordered_dump.hpp"

#include <utility>

namespace dtranspose {

/// An instrument that was armed twice has sent two starts, one right behind the other.
bool ordered_dump_reader::replaces(const dump_item& later, const dump_item& earlier) {
  if (later.event != earlier.event || later.streams.size() != earlier.streams.size()) return false;
  for (std::size_t i = 0; i < later.streams.size(); ++i)
    if (later.streams[i].name != earlier.streams[i].name) return false;
  return true;
}

std::optional<dump_item> ordered_dump_reader::next() {
  while (ahead_.size() < window) {
    auto item = reader_.next();
    if (!item) break;
    if (item->streams.empty() && last_ && item->event <= *last_) continue;
    auto place = ahead_.end();
    while (place != ahead_.begin() && std::prev(place)->event > item->event) --place;
    bool again = place != ahead_.begin() && read_ == item->event && replaces(*item, *std::prev(place));
    read_ = item->event;
    if (again)
      *std::prev(place) = std::move(*item);
    else
      ahead_.insert(place, std::move(*item));
  }
  if (ahead_.empty()) return std::nullopt;
  auto first = std::move(ahead_.front());
  ahead_.pop_front();
  last_ = first.event;
  return first;
}

} // namespace dtranspose
