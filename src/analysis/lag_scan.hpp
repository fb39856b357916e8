/// At which lag do two series of numbers fit each other best?
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace dtranspose {

struct lag_scan_settings {
  std::size_t window = 200; ///< events that are looked at together
  std::size_t lags = 10;    ///< farthest lag either way; less than `window`
  double spread = 5; ///< in 1 / sqrt(window): by so much atanh(r) of another lag must be above that of 0
  std::size_t in_a_row = 3; ///< windows of which each must say so, with the same lag, for an alarm
};

/// What one window says.
struct lag_scan_window {
  std::uint64_t first = 0;          ///< its first event
  std::vector<double> correlation;  ///< of a[k] with b[k + lag], for lags from -lags on; NaN where unknown
  std::optional<std::int64_t> best; ///< nothing where a or b does not change, or most events are missing
  double at_zero = 0, at_best = 0;  ///< correlation there; NaN without `best`
  bool shifted = false;             ///< another lag than 0 is better beyond chance
};

/// Correlates a[k] with b[k + lag] in windows of events that follow one another. Positive lags: b shows later
/// what a shows. Events come in any order; those that come when their window is done are counted. Memory does
/// not grow with the scan.
class lag_scan {
 public:
  /// Windows that are kept for the record; older ones are forgotten.
  static constexpr std::size_t most_windows = 4096;

  explicit lag_scan(const lag_scan_settings& settings) : settings_(settings) {}

  /// NaN for what is missing.
  void add(std::uint64_t event, double a, double b);
  /// No more events will come: looks at the windows that are still open.
  void finish();

  const std::deque<lag_scan_window>& windows() const { return windows_; }
  std::uint64_t late_events() const { return late_; }

  struct alarm {
    std::uint64_t event = 0; ///< first of the first window that said so
    std::int64_t lag = 0;
  };
  /// The first there was.
  const std::optional<alarm>& first_alarm() const { return alarm_; }
  /// Are the latest windows such that there would be an alarm now?
  bool shifted_now() const { return row_ >= settings_.in_a_row; }

 private:
  struct pair {
    double a, b;
  };

  void look_at_window();
  double correlation(std::int64_t lag) const;
  void judge(lag_scan_window& window) const;
  void count_in_a_row(const lag_scan_window& window);

  lag_scan_settings settings_;
  std::map<std::uint64_t, pair> events_;
  std::uint64_t next_ = 0; ///< first event of the next window
  std::deque<lag_scan_window> windows_;
  std::uint64_t late_ = 0, row_begin_ = 0;
  std::size_t row_ = 0;
  std::int64_t row_lag_ = 0;
  std::optional<alarm> alarm_;
};

} // namespace dtranspose
