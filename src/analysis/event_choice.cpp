#include "analysis/event_choice.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "model/parameters.hpp"

namespace dtranspose {

namespace {

std::optional<std::uint64_t> number_of(std::string_view text) {
  auto number = parameters::integer_of(text);
  if (!number || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

/// The text up to a mark, which is taken off with it.
std::string_view take(std::string_view& text, char mark) {
  auto end = std::min(text.find(mark), text.size());
  auto part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

} // namespace

event_choice::event_choice(std::string_view text) {
  while (!text.empty()) {
    auto written = take(text, ',');
    auto rest = written;
    auto colons = std::count(written.begin(), written.end(), ':');
    auto first = number_of(take(rest, ':'));
    auto end = colons > 0 ? number_of(take(rest, ':')) : first ? std::optional(*first + 1) : std::nullopt;
    auto step = colons > 1 ? number_of(rest) : std::optional<std::uint64_t>(1);
    if (!first || !end || !step || colons > 2 || *end <= *first || *step == 0)
      throw std::invalid_argument(
          fmt::format("'{}' chooses no events; an example is 1, 10:20, 100:1000:100", written));
    ranges_.push_back({*first, *end, *step});
  }
}

bool event_choice::contains(std::uint64_t event) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [event](auto& r) {
    return event >= r.first && event < r.end && (event - r.first) % r.step == 0;
  });
}

std::uint64_t event_choice::most() const {
  std::uint64_t sum = 0;
  for (auto& r : ranges_) sum += (r.end - r.first + r.step - 1) / r.step;
  return sum;
}

std::uint64_t event_choice::end() const {
  std::uint64_t end = 0;
  for (auto& r : ranges_) end = std::max(end, r.first + (r.end - r.first - 1) / r.step * r.step + 1);
  return end;
}

} // namespace dtranspose
