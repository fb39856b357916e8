#include "output/snapshots.hpp"

#include <algorithm>
#include <utility>

namespace dtranspose {

namespace {

/// Smaller ones are not worth the search.
constexpr std::size_t least_shared_bytes = 4096;

/// Is it worth keeping once only?
bool is_large(const value& x) {
  if (auto elements = x.as_array()) return elements->bytes().size() >= least_shared_bytes;
  if (auto bytes = x.as_bytes()) return bytes->size() >= least_shared_bytes;
  return x.as_map() || x.as_list();
}

/// Where the content of a large value is.
const void* place_of(const value& x) {
  if (auto elements = x.as_array()) return elements;
  if (auto bytes = x.as_bytes()) return bytes;
  if (auto list = x.as_list()) return list;
  return x.as_map();
}

bool is_same(const value& a, const value& b) { return place_of(a) == place_of(b); }

/// The counterpart of an entry: most often at the same place.
const value* counterpart(const value_map& before, std::size_t place, const std::string& name) {
  if (place < before.size() && before.begin()[place].first == name) return &before.begin()[place].second;
  return before.find(name);
}

value shared_map(const value& before, const value& now) {
  auto& old = *before.as_map();
  auto& map = *now.as_map();
  bool all_equal = old.size() == map.size();
  std::vector<std::pair<const std::string*, value>> replaced;
  for (std::size_t i = 0; i < map.size(); ++i) {
    auto& [name, content] = map.begin()[i];
    auto was = counterpart(old, i, name);
    bool large = is_large(content);
    auto shared = was && large ? shared_with(*was, content) : content;
    bool equal = was && (large ? is_large(*was) && is_same(shared, *was) : content == *was);
    all_equal = all_equal && equal && old.begin()[i].first == name;
    if (large && !is_same(shared, content)) replaced.emplace_back(&name, std::move(shared));
  }
  if (all_equal) return before;
  if (replaced.empty()) return now;
  auto copy = map;
  for (auto& [name, content] : replaced) copy.set(*name, std::move(content));
  return copy;
}

} // namespace

value shared_with(const value& before, const value& now) {
  if (before.content().index() != now.content().index()) return now;
  if (now.as_map()) return shared_map(before, now);
  return is_large(now) && before == now ? before : now;
}

// --- counting ------------------------------------------------------------------------------------

void snapshot_store::inventory::count(const value& x, int by) {
  auto visit = [&](const void* node, std::size_t own, auto&& inner) {
    auto& owners = owners_[node];
    auto was = owners;
    owners += by;
    auto is = owners;
    if (is == 0) owners_.erase(node);
    if ((was == 0) == (is == 0)) return; // what is in it is counted with it
    bytes_ = was == 0 ? bytes_ + own : bytes_ - own;
    inner();
  };
  auto nothing = [] {};
  if (auto elements = x.as_array()) {
    visit(elements->buffer().get(), elements->bytes().size(), nothing);
  } else if (auto bytes = x.as_bytes()) {
    visit(bytes, bytes->size(), nothing);
  } else if (auto list = x.as_list()) {
    visit(list, list->size() * sizeof(value), [&] {
      for (auto& item : *list) count(item, by);
    });
  } else if (auto map = x.as_map()) {
    visit(map, map->size() * sizeof(value_map::entry), [&] {
      for (auto& [name, content] : *map) count(content, by);
    });
  } else if (auto text = x.as_text()) {
    bytes_ = by > 0 ? bytes_ + text->size() : bytes_ - text->size();
  }
}

// --- the store -----------------------------------------------------------------------------------

snapshot_store::snapshot_store(snapshot_limits limits)
    : limits_(limits), shelf_(std::make_shared<const shelf>()) {}

void snapshot_store::publish(const std::string& scan, double seconds, std::uint64_t results, bool finished,
                             const value& tree) {
  std::lock_guard one_at_a_time(publishing_);
  auto before = look();
  auto scans = *before;
  auto place = std::find_if(scans.begin(), scans.end(), [&](auto& s) { return s.back()->scan == scan; });
  if (place != scans.end())
    std::rotate(place, place + 1, scans.end());
  else
    scans.emplace_back();
  auto& mine = scans.back();

  auto next = std::make_shared<snapshot>();
  next->scan = scan;
  next->number = mine.empty() ? 1 : mine.back()->number + 1;
  next->seconds = seconds;
  next->results = results;
  next->finished = finished;
  next->tree = tree.as_map() ? tree : value(value_map());
  if (!mine.empty()) next->tree = shared_with(mine.back()->tree, next->tree);
  inventory_.add(next->tree);
  mine.push_back(std::move(next));
  keep_within_limits(scans);

  auto after = std::make_shared<const shelf>(std::move(scans));
  {
    std::lock_guard lock(mutex_);
    shelf_ = std::move(after);
    ++published_;
    bytes_ = inventory_.bytes();
  }
  news_.notify_all();
  // What is kept no more goes here, with `before`, unless somebody reads it.
}

void snapshot_store::drop(scan_snapshots& from, std::size_t i) {
  inventory_.remove(from[i]->tree);
  from.erase(from.begin() + static_cast<std::ptrdiff_t>(i));
}

void snapshot_store::keep_within_limits(shelf& scans) {
  auto drop_scan = [&](std::size_t s) {
    while (!scans[s].empty()) drop(scans[s], 0);
    scans.erase(scans.begin() + static_cast<std::ptrdiff_t>(s));
  };
  // The one whose neighbours are closest together is missed least.
  auto thin = [&](scan_snapshots& all) {
    if (all.size() == 2) return drop(all, 0);
    std::size_t least = 1;
    auto gap = [&](std::size_t i) { return all[i + 1]->seconds - all[i - 1]->seconds; };
    for (std::size_t i = 2; i + 1 < all.size(); ++i)
      if (gap(i) < gap(least)) least = i;
    drop(all, least);
  };
  while (scans.size() > std::max<std::size_t>(limits_.scans, 1)) drop_scan(0);
  while (scans.back().size() > std::max<std::size_t>(limits_.per_scan, 1)) thin(scans.back());
  while (inventory_.bytes() > limits_.bytes) {
    auto old = std::find_if(scans.begin(), scans.end() - 1, [](auto& s) { return s.size() > 1; });
    if (old != scans.end() - 1)
      thin(*old);
    else if (scans.size() > 1)
      drop_scan(0);
    else if (scans.back().size() > 1)
      thin(scans.back());
    else
      return;
  }
}

std::shared_ptr<const snapshot_store::shelf> snapshot_store::look() const {
  std::lock_guard lock(mutex_);
  return shelf_;
}

snapshot_store::handle snapshot_store::latest() const {
  auto scans = look();
  return scans->empty() ? nullptr : scans->back().back();
}

snapshot_store::handle snapshot_store::latest(std::string_view scan) const {
  auto scans = look();
  for (auto& s : *scans)
    if (s.back()->scan == scan) return s.back();
  return nullptr;
}

snapshot_store::handle snapshot_store::find(std::string_view scan, std::uint64_t number) const {
  for (auto& s : all(scan))
    if (s->number == number) return s;
  return nullptr;
}

std::vector<snapshot_store::handle> snapshot_store::scans() const {
  auto scans = look();
  std::vector<handle> list;
  for (auto s = scans->rbegin(); s != scans->rend(); ++s) list.push_back(s->back());
  return list;
}

std::vector<snapshot_store::handle> snapshot_store::all(std::string_view scan) const {
  auto scans = look();
  for (auto& s : *scans)
    if (s.back()->scan == scan) return s;
  return {};
}

std::uint64_t snapshot_store::published() const {
  std::lock_guard lock(mutex_);
  return published_;
}

std::uint64_t snapshot_store::wait(std::uint64_t seen, std::chrono::nanoseconds patience) const {
  std::unique_lock lock(mutex_);
  news_.wait_for(lock, patience, [&] { return published_ > seen; });
  return published_;
}

std::size_t snapshot_store::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

} // namespace dtranspose
