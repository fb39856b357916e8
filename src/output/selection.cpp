#include "output/selection.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace dtranspose {

namespace {

[[noreturn]] void refuse(std::size_t axis, const std::string& why) {
  throw std::invalid_argument(fmt::format("select: dimension {}: {}", axis, why));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::size_t place_of(std::string_view written, std::size_t axis) {
  auto text = trimmed(written);
  std::size_t place = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), place);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    refuse(axis, fmt::format("'{}' is no place of it", written));
  return place;
}

/// Between commas that are in no bracket.
std::vector<std::string_view> items_of(std::string_view text) {
  std::vector<std::string_view> items;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[') ++depth;
    if (text[i] == ']') --depth;
    if (text[i] != ',' || depth != 0) continue;
    items.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  if (!text.empty()) items.push_back(text.substr(begin));
  return items;
}

} // namespace

selection::selection(std::span<const std::size_t> shape) {
  for (auto extent : shape) axes_.push_back({.count = extent, .extent = extent});
  measure();
}

selection::selection(std::string_view text, std::span<const std::size_t> shape) : selection(shape) {
  text = trimmed(text);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']')
    throw std::invalid_argument(fmt::format("select: '{}' is not in brackets, as [0:2,5] is", text));
  auto items = items_of(text.substr(1, text.size() - 2));
  if (items.size() != shape.size())
    throw std::invalid_argument(
        fmt::format("select: {} items for {} dimensions", items.size(), shape.size()));
  for (std::size_t i = 0; i < items.size(); ++i) parse_axis(trimmed(items[i]), axes_[i], i);
  measure();
}

void selection::parse_axis(std::string_view item, axis& a, std::size_t number) {
  if (item == ":") return;
  if (item.size() >= 2 && item.front() == '[' && item.back() == ']')
    return parse_list(item.substr(1, item.size() - 2), a, number);
  if (item.find(':') != item.npos) return parse_range(item, a, number);
  a.start = place_of(item, number);
  a.count = 1;
  if (a.start >= a.extent)
    refuse(number,
           fmt::format("there is no {}, the last is {}", a.start, static_cast<std::int64_t>(a.extent) - 1));
}

void selection::parse_list(std::string_view list, axis& a, std::size_t number) const {
  a.listed = true;
  for (auto item : items_of(list)) {
    a.places.push_back(place_of(item, number));
    if (a.places.back() >= a.extent)
      refuse(number, fmt::format("there is no {}, the last is {}", a.places.back(),
                                 static_cast<std::int64_t>(a.extent) - 1));
  }
  if (a.places.empty()) refuse(number, "an empty list");
  a.count = a.places.size();
}

void selection::parse_range(std::string_view item, axis& a, std::size_t number) const {
  auto colon = item.find(':');
  auto begin = item.substr(0, colon), rest = item.substr(colon + 1);
  std::string_view step;
  if (colon = rest.find(':'); colon != rest.npos) {
    step = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  auto end = a.extent;
  if (!trimmed(begin).empty()) a.start = place_of(begin, number);
  if (!trimmed(rest).empty()) end = std::min(end, place_of(rest, number));
  if (!trimmed(step).empty()) a.step = place_of(step, number);
  if (a.step == 0) refuse(number, "a step of 0");
  if (a.start == 0 && a.extent == 0) return;
  if (a.start >= a.extent) refuse(number, fmt::format("{} is beyond its end, {}", a.start, a.extent));
  if (end <= a.start) refuse(number, fmt::format("'{}' ends before it begins", item));
  a.count = (end - a.start + a.step - 1) / a.step;
}

void selection::measure() {
  std::size_t stride = 1;
  for (auto i = axes_.size(); i-- > 0;) {
    axes_[i].stride = stride;
    stride *= axes_[i].extent;
  }
  shape_.clear();
  bool list_seen = false;
  everything_ = true;
  last_split_ = 0;
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    auto& a = axes_[i];
    shape_.push_back(a.listed && list_seen ? 1 : a.count);
    if (a.listed && !list_seen) first_list_ = i;
    if (a.listed && a.count != axes_[list_seen ? first_list_ : i].count)
      refuse(i, "its list is not as long as that of the dimension before");
    list_seen = list_seen || a.listed;
    everything_ = everything_ && a.whole();
    if (!a.whole()) last_split_ = i;
  }
}

std::size_t selection::size() const {
  return std::accumulate(shape_.begin(), shape_.end(), std::size_t{1}, std::multiplies<>());
}

void selection::each_run(const std::function<void(std::size_t, std::size_t)>& f) const {
  if (size() == 0) return;
  if (everything_) return f(0, size());
  walk(0, 0, f);
}

/// Goes on with an axis, at the places that were chosen on those before.
void selection::walk(std::size_t number, std::size_t at,
                     const std::function<void(std::size_t, std::size_t)>& f) const {
  auto& a = axes_[number];
  bool last = number == last_split_;
  if (last && !a.listed && a.step == 1) return f(at + a.start * a.stride, a.count * a.stride);
  auto go_on = [&](std::size_t place) { last ? f(place, a.stride) : walk(number + 1, place, f); };
  if (a.listed && number != first_list_) return go_on(at); // the first list has moved along all of them
  for (std::size_t k = 0; k < a.count; ++k) {
    if (!a.listed) {
      go_on(at + (a.start + k * a.step) * a.stride);
      continue;
    }
    auto place = at;
    for (auto& other : axes_)
      if (other.listed) place += other.places[k] * other.stride;
    go_on(place);
  }
}

array selection::of(const array& whole) const {
  if (everything_) return whole;
  auto each = size_of(whole.type());
  auto bytes = std::make_shared_for_overwrite<std::byte[]>(std::max<std::size_t>(size() * each, 1));
  auto to = bytes.get();
  auto from = whole.bytes().data();
  each_run([&](std::size_t first, std::size_t n) {
    std::memcpy(to, from + first * each, n * each);
    to += n * each;
  });
  return {whole.type(), shape_, std::move(bytes)};
}

value_list selection::of(const value_list& whole) const {
  value_list some;
  some.reserve(size());
  each_run([&](std::size_t first, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) some.push_back(whole[first + i]);
  });
  return some;
}

array elements_at(const array& whole, std::span<const std::byte> places) {
  auto& shape = whole.shape();
  auto rank = shape.size();
  if (rank == 0 || places.size() % (rank * sizeof(std::uint64_t)) != 0)
    throw std::invalid_argument(
        fmt::format("points: {} bytes are no list of {} numbers of 8 bytes each", places.size(), rank));
  auto n = places.size() / (rank * sizeof(std::uint64_t));
  auto each = size_of(whole.type());
  auto bytes = std::make_shared_for_overwrite<std::byte[]>(std::max<std::size_t>(n * each, 1));
  auto from = places.data();
  for (std::size_t i = 0; i < n; ++i) {
    std::size_t at = 0;
    for (auto extent : shape) {
      std::uint64_t place = 0;
      std::memcpy(&place, from, sizeof place);
      from += sizeof place;
      if (place >= extent)
        throw std::invalid_argument(fmt::format("points: point {} is outside of the array", i));
      at = at * extent + place;
    }
    std::memcpy(bytes.get() + i * each, whole.bytes().data() + at * each, each);
  }
  return {whole.type(), {n}, std::move(bytes)};
}

} // namespace dtranspose
