/// How busy a worker was lately: what it reported, as far back as is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace dtranspose {

class load_history {
 public:
  /// Reports that are kept.
  static constexpr std::size_t most_reports = 256;

  /// A worker's word at some time of a scan.
  struct report {
    std::uint64_t ended = 0;     ///< events of the scan that had a fate
    std::int64_t at = 0;         ///< ns, steady clock
    std::uint64_t busy = 0;      ///< ns in analysis code since the scan began
    std::uint64_t processed = 0; ///< events of the worker
  };
  struct span {
    std::int64_t total = 0;   ///< ns
    std::uint64_t active = 0; ///< ns of them in analysis code
    std::uint64_t events = 0; ///< that the worker was through with
  };

  /// Those without a new event are left out.
  void note(const report& r) {
    if (r.processed == 0 || (!reports_.empty() && reports_.back().processed == r.processed)) return;
    if (reports_.size() == most_reports) {
      before_ = reports_.front();
      reports_.pop_front();
    }
    reports_.push_back(r);
  }

  bool empty() const { return reports_.empty(); }
  /// Events that had a fate when it reported last.
  std::uint64_t last_event() const { return reports_.back().ended; }

  /// What it reported when so many of the scan's `ended` events were left, and later. `began`: of the scan.
  span over_last(std::uint64_t events, std::uint64_t ended, std::int64_t began) const {
    auto first = ended > events ? ended - events : 0;
    auto earlier = before_.at == 0 ? report{.at = began} : before_;
    for (auto& r : reports_) {
      if (r.ended >= first) return between(earlier, reports_.back());
      earlier = r;
    }
    return {};
  }

  span over_all(std::int64_t began) const { return between({.at = began}, reports_.back()); }

 private:
  static span between(const report& a, const report& b) {
    return {b.at - a.at, b.busy - a.busy, b.processed - a.processed};
  }

  std::deque<report> reports_;
  report before_; ///< the last one that is not kept
};

} // namespace dtranspose
