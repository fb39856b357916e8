#include "analysis/tomo_choice.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/parameter_refusal.hpp"
#include "analysis/scalar_worker.hpp"

namespace dtranspose {

namespace {

constexpr std::size_t most_rows = 64;
constexpr std::size_t most_binning = 64;

std::uint64_t whole(const parameters& settings, std::string_view name, std::int64_t least,
                    std::int64_t most) {
  auto n = settings.integer(name);
  if (n < least || n > most)
    throw refusal(name, fmt::format("{} is not from {} to {}", settings.text(name), least, most));
  return static_cast<std::uint64_t>(n);
}

event_choice read_events(std::string_view parameter, const std::string& ranges) {
  try {
    return event_choice(ranges);
  } catch (const std::invalid_argument& e) {
    throw refusal(parameter, e.what());
  }
}

} // namespace

reference_choice::reference_choice(std::string_view parameter, const std::string& ranges, std::uint64_t first,
                                   std::uint64_t count)
    : events_(read_events(parameter, ranges)), by_count_(ranges.empty()), first_(first), count_(count) {}

bool reference_choice::contains(std::uint64_t event) const {
  return by_count_ ? event >= first_ && event - first_ < count_ : events_.contains(event);
}

tomo_choice::tomo_choice(const parameters& settings)
    : stream(settings.text("stream")), channel(settings.text("channel")),
      angle(scalar_parameter(settings, "angle")), rows_text(settings.text("rows")),
      degrees_per_unit(settings.real("degrees_per_unit")) {
  if (!std::isfinite(degrees_per_unit) || degrees_per_unit == 0)
    throw refusal("degrees_per_unit", "must be a number other than 0");
  read_rows();
  binning = static_cast<std::size_t>(whole(settings, "binning", 1, most_binning));
  read_references(settings);
  read_centre(settings.text("centre"));
  auto name = settings.text("window");
  auto known = filter_window_of(name);
  if (!known) throw refusal("window", fmt::format("'{}' is none of ram-lak, shepp-logan and hann", name));
  window = *known;
}

std::vector<std::size_t> tomo_choice::rows_of(const plane_shape& image) const {
  if (rows.end() == 0) return {image.rows / 2};
  std::vector<std::size_t> chosen;
  for (std::size_t r = 0; r < image.rows; ++r)
    if (rows.contains(r)) chosen.push_back(r);
  return chosen;
}

image_key tomo_choice::key_of(std::uint64_t event) const {
  if (darks.contains(event)) return image_key::dark;
  return flats.contains(event) ? image_key::flat : image_key::projection;
}

void tomo_choice::read_rows() {
  try {
    rows = event_choice(rows_text);
  } catch (const std::invalid_argument&) {
    throw refusal("rows", fmt::format("'{}' chooses no rows; an example is 512, 100:200:20", rows_text));
  }
  if (rows.most() > most_rows)
    throw refusal("rows", fmt::format("{} slices, where no more than {} are made", rows.most(), most_rows));
}

void tomo_choice::read_references(const parameters& settings) {
  constexpr std::int64_t most = 1'000'000;
  first = whole(settings, "first", 0, std::numeric_limits<std::int64_t>::max() / 2);
  auto dark_count = whole(settings, "darks", 0, most), flat_count = whole(settings, "flats", 0, most);
  auto dark_events = settings.text("dark_events"), flat_events = settings.text("flat_events");
  darks = reference_choice("dark_events", dark_events, first, dark_count);
  flats = reference_choice("flat_events", flat_events, first + (dark_events.empty() ? dark_count : 0),
                           flat_count);
  if (flats.expected() == 0)
    throw refusal("flats", "no event is a flat, without which it is not known how much light is absorbed");
}

void tomo_choice::read_centre(const std::string& text) {
  if (text == "auto" || text.empty()) return;
  centre = parameters::real_of(text);
  if (!centre || !std::isfinite(*centre) || *centre < 0)
    throw refusal("centre", fmt::format("'{}' is no column, nor auto", text));
  if (*centre == 0) centre.reset();
}

} // namespace dtranspose
