#include "analysis/event_trend.hpp"

namespace dtranspose {

void event_trend::add(std::uint64_t event, std::span<const double> numbers) {
  while (event / width_ >= most_runs_) join_pairs();
  auto place = static_cast<std::size_t>(event / width_);
  if (place >= runs_.size()) {
    runs_.resize(place + 1);
    sums_.resize((place + 1) * quantities_);
  }
  ++events_;
  ++runs_[place].events;
  runs_[place].number_sum += static_cast<double>(event);
  for (std::size_t i = 0; i < quantities_; ++i) sums_[place * quantities_ + i] += numbers[i];
}

void event_trend::join_pairs() {
  width_ *= 2;
  auto half = (runs_.size() + 1) / 2;
  std::vector<run> runs(half);
  std::vector<double> sums(half * quantities_);
  for (std::size_t place = 0; place < runs_.size(); ++place) {
    runs[place / 2].events += runs_[place].events;
    runs[place / 2].number_sum += runs_[place].number_sum;
    for (std::size_t i = 0; i < quantities_; ++i)
      sums[place / 2 * quantities_ + i] += sums_[place * quantities_ + i];
  }
  runs_ = std::move(runs);
  sums_ = std::move(sums);
}

std::vector<double> event_trend::places() const {
  std::vector<double> places;
  for (auto& r : runs_)
    if (r.events > 0) places.push_back(r.number_sum / static_cast<double>(r.events));
  return places;
}

std::vector<double> event_trend::means(std::size_t quantity) const {
  std::vector<double> means;
  for (std::size_t place = 0; place < runs_.size(); ++place)
    if (runs_[place].events > 0)
      means.push_back(sums_[place * quantities_ + quantity] / static_cast<double>(runs_[place].events));
  return means;
}

double event_trend::mean(std::size_t quantity) const {
  double sum = 0;
  for (std::size_t place = 0; place < runs_.size(); ++place) sum += sums_[place * quantities_ + quantity];
  return events_ > 0 ? sum / static_cast<double>(events_) : 0;
}

double event_trend::slope(std::size_t quantity) const {
  auto x = places(), y = means(quantity);
  double weight = 0, x_mean = 0, y_mean = 0;
  std::vector<double> weights;
  for (auto& r : runs_)
    if (r.events > 0) weights.push_back(static_cast<double>(r.events));
  for (std::size_t i = 0; i < x.size(); ++i) {
    weight += weights[i];
    x_mean += (x[i] - x_mean) * weights[i] / weight;
    y_mean += (y[i] - y_mean) * weights[i] / weight;
  }
  double both = 0, alone = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    both += weights[i] * (x[i] - x_mean) * (y[i] - y_mean);
    alone += weights[i] * (x[i] - x_mean) * (x[i] - x_mean);
  }
  return alone > 0 ? both / alone : 0;
}

} // namespace dtranspose
