#include "actors/bulk_meeting.hpp"

#include <limits>
#include <utility>

namespace dtranspose {

namespace {

template <class Map>
void erase_ticket(Map& map, std::uint64_t ticket) {
  map.erase(map.lower_bound({ticket, 0}),
            map.upper_bound({ticket, std::numeric_limits<std::uint64_t>::max()}));
}

} // namespace

std::optional<partial_events> bulk_meeting::take(const partial_events& m) {
  if (retired_.contains(m.ticket)) return {};
  key which{m.ticket, m.sequence};
  auto i = pieces_.find(which);
  if (i == pieces_.end()) {
    messages_.insert_or_assign(which, m);
    return {};
  }
  auto piece = std::move(i->second);
  pieces_.erase(i);
  return join(m, *piece);
}

std::optional<partial_events> bulk_meeting::take(const std::shared_ptr<const bulk_piece>& piece) {
  if (retired_.contains(piece->ticket)) return {};
  key which{piece->ticket, piece->sequence};
  // They come in order: what is still waited for from before will not come.
  auto first = messages_.lower_bound({piece->ticket, 0});
  if (first != messages_.end() && first->first < which && first->first.first == piece->ticket) {
    lacking_ = first->second;
    retire(piece->ticket);
    return {};
  }
  auto i = messages_.find(which);
  if (i == messages_.end()) {
    pieces_.insert_or_assign(which, piece);
    return {};
  }
  auto m = std::move(i->second);
  messages_.erase(i);
  return join(std::move(m), *piece);
}

std::optional<partial_events> bulk_meeting::join(partial_events m, const bulk_piece& piece) {
  std::size_t announced = 0;
  for (auto& entry : m.entries) announced += entry.carried;
  if (announced != piece.frames.size()) {
    retire(m.ticket);
    lacking_ = std::move(m);
    return {};
  }
  auto next = piece.frames.begin();
  for (auto& entry : m.entries) {
    if (entry.carried == 0) continue;
    std::vector<frame> frames(next, next + entry.carried);
    next += std::exchange(entry.carried, 0);
    entry.data =
        stream_data(std::make_unique<borrowed_frames>(std::move(frames), piece.keep), entry.data.type());
    bytes_ += entry.data.bytes();
  }
  return m;
}

void bulk_meeting::retire(std::uint64_t ticket) {
  if (ticket == 0) return;
  erase_ticket(messages_, ticket);
  erase_ticket(pieces_, ticket);
  retired_.insert(ticket);
}

std::optional<partial_events> bulk_meeting::take_lacking() { return std::exchange(lacking_, {}); }

} // namespace dtranspose
