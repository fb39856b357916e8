#include "model/utc_time.hpp"

#include <charconv>
#include <cstdint>
#include <cstdio>

namespace dtranspose {

std::string utc_text(std::chrono::system_clock::time_point point) {
  using namespace std::chrono;
  auto time = floor<microseconds>(point);
  auto day = floor<days>(time);
  year_month_day date(day);
  hh_mm_ss clock(time - day);
  char text[64];
  auto size = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", int(date.year()),
                            unsigned(date.month()), unsigned(date.day()), int(clock.hours().count()),
                            int(clock.minutes().count()), int(clock.seconds().count()));
  if (auto fraction = clock.subseconds().count())
    size += std::snprintf(text + size, sizeof text - static_cast<std::size_t>(size), ".%06d",
                          static_cast<int>(fraction));
  return std::string(text, static_cast<std::size_t>(size)) + "Z";
}

namespace {

/// Takes `digits` digits off `text`.
bool take(std::string_view& text, std::size_t digits, int& n) {
  if (text.size() < digits) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + digits, n);
  if (error != std::errc() || end != text.data() + digits || text[0] == '-') return false;
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text[0]) == any_of.npos) return false;
  text.remove_prefix(1);
  return true;
}

/// Digits behind the point, as a fraction of a second.
double take_fraction(std::string_view& text) {
  double fraction = 0;
  for (double place = 0.1; !text.empty() && text[0] >= '0' && text[0] <= '9'; place /= 10) {
    fraction += place * (text[0] - '0');
    text.remove_prefix(1);
  }
  return fraction;
}

/// Seconds by which a local time is ahead of UTC; a text without a zone is UTC.
std::optional<int> zone_of(std::string_view text) {
  if (text.empty() || text == "Z" || text == "z") return 0;
  int sign = text[0] == '-' ? -1 : 1, hours = 0, minutes = 0;
  if (!take(text, "+-") || !take(text, 2, hours)) return std::nullopt;
  take(text, ":");
  if (!take(text, 2, minutes) || !text.empty()) return std::nullopt;
  return sign * (hours * 3600 + minutes * 60);
}

} // namespace

std::optional<double> parse_utc(std::string_view text) {
  int year, month, day, hour, minute, second;
  if (!take(text, 4, year) || !take(text, "-") || !take(text, 2, month) || !take(text, "-") ||
      !take(text, 2, day) || !take(text, "Tt ") || !take(text, 2, hour) || !take(text, ":") ||
      !take(text, 2, minute) || !take(text, ":") || !take(text, 2, second))
    return std::nullopt;
  auto fraction = take(text, ".") ? take_fraction(text) : 0.0;
  auto zone = zone_of(text);
  auto date = std::chrono::year(year) / month / day;
  if (!zone || !date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  auto days = std::chrono::sys_days(date).time_since_epoch().count();
  auto whole = std::int64_t{days} * 86400 + hour * 3600 + minute * 60 + second - *zone;
  return static_cast<double>(whole) + fraction;
}

} // namespace dtranspose
