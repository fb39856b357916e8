#include "analysis/lag_scan.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dtranspose {

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
/// Of the squared size of numbers: if they vary by less, that is rounding.
constexpr double rounding = 1e-24;

/// Fisher's transformation of a correlation coefficient, whatever its sign: it scatters by 1 / sqrt(n), be
/// the correlation strong or weak.
double strength(double correlation) { return std::atanh(std::min(std::abs(correlation), 1 - 1e-12)); }

/// Events may be so many windows late.
constexpr std::uint64_t patience = 2;

} // namespace

void lag_scan::add(std::uint64_t event, double a, double b) {
  const std::uint64_t window = settings_.window, lags = settings_.lags;
  if (event < next_) ++late_;
  if (event + lags < next_) return;
  events_.insert_or_assign(event, pair{a, b});
  while (!events_.empty() && events_.rbegin()->first >= next_ + (1 + patience) * window + lags)
    look_at_window();
}

void lag_scan::finish() {
  while (!events_.empty() && events_.rbegin()->first >= next_) look_at_window();
}

void lag_scan::look_at_window() {
  const std::uint64_t window = settings_.window, lags = settings_.lags;
  // Windows without any event are passed over at once.
  auto first = events_.lower_bound(next_);
  if (first != events_.end() && first->first >= next_ + window) next_ = first->first / window * window;
  lag_scan_window found{.first = next_};
  for (auto lag = -static_cast<std::int64_t>(lags); lag <= static_cast<std::int64_t>(lags); ++lag)
    found.correlation.push_back(correlation(lag));
  judge(found);
  count_in_a_row(found);
  windows_.push_back(std::move(found));
  if (windows_.size() > most_windows) windows_.pop_front();
  next_ += window;
  events_.erase(events_.begin(), events_.lower_bound(next_ < lags ? 0 : next_ - lags));
}

double lag_scan::correlation(std::int64_t lag) const {
  double n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0, size_a = 0, size_b = 0;
  auto end = events_.lower_bound(next_ + settings_.window);
  for (auto k = events_.lower_bound(next_); k != end; ++k) {
    if (lag < 0 && k->first < static_cast<std::uint64_t>(-lag)) continue;
    auto other = events_.find(k->first + static_cast<std::uint64_t>(lag));
    if (other == events_.end() || !std::isfinite(k->second.a) || !std::isfinite(other->second.b)) continue;
    // Welford's means, so that large offsets do no harm.
    n += 1;
    auto off_a = k->second.a - a, off_b = other->second.b - b;
    a += off_a / n;
    b += off_b / n;
    aa += off_a * (k->second.a - a);
    bb += off_b * (other->second.b - b);
    ab += off_a * (other->second.b - b);
    size_a = std::max(size_a, std::abs(k->second.a));
    size_b = std::max(size_b, std::abs(other->second.b));
  }
  if (2 * n < static_cast<double>(settings_.window)) return not_a_number;
  if (!(aa > rounding * n * size_a * size_a) || !(bb > rounding * n * size_b * size_b)) return not_a_number;
  return ab / std::sqrt(aa) / std::sqrt(bb);
}

void lag_scan::judge(lag_scan_window& window) const {
  const auto& r = window.correlation;
  window.at_zero = r[settings_.lags];
  window.at_best = not_a_number;
  if (std::isnan(window.at_zero)) return;
  std::size_t best = settings_.lags;
  for (std::size_t i = 0; i < r.size(); ++i)
    if (std::abs(r[i]) > std::abs(r[best])) best = i;
  window.best = static_cast<std::int64_t>(best) - static_cast<std::int64_t>(settings_.lags);
  window.at_best = r[best];
  auto chance = settings_.spread / std::sqrt(static_cast<double>(settings_.window));
  window.shifted = strength(window.at_best) - strength(window.at_zero) > chance;
}

void lag_scan::count_in_a_row(const lag_scan_window& window) {
  if (!window.best) return; // says nothing either way
  if (!window.shifted) return void(row_ = 0);
  if (row_ == 0 || *window.best != row_lag_) {
    row_ = 0;
    row_lag_ = *window.best;
    row_begin_ = window.first;
  }
  ++row_;
  if (row_ == settings_.in_a_row && !alarm_) alarm_ = alarm{row_begin_, row_lag_};
}

} // namespace dtranspose
