#include "analysis/event_curve.hpp"

#include <utility>

#include "analysis/plot.hpp"

namespace dtranspose {

void event_curve::halve() {
  auto finer = std::exchange(points_, {});
  ++shift_;
  for (auto& [index, p] : finer) {
    auto& coarser = points_[index >> 1];
    coarser.sum.add(p.sum);
    coarser.events += p.events;
  }
}

value_map event_curve::plot(const std::string& long_name) const {
  std::vector<double> means;
  std::vector<std::uint64_t> firsts, events;
  for (auto& [index, p] : points_) {
    firsts.push_back(index << shift_);
    means.push_back(p.sum.value() / static_cast<double>(p.events));
    events.push_back(p.events);
  }
  value_map group{{"_attrs", plot_attributes("mean", {"event"})}};
  set_with_attributes(group, "mean", array::of(means), data_attributes(long_name));
  group.set("event", array::of(firsts)).set("events", array::of(events));
  return group;
}

} // namespace dtranspose
