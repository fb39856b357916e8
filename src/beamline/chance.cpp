#include "beamline/chance.hpp"

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "instrument/splitmix.hpp"

namespace dtranspose {

namespace {

constexpr std::size_t table_size = 65536;
/// Above this a normal distribution stands for Poisson's.
constexpr double many = 12;

double normal_density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }
double normal_probability(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

/// Where the normal probability is `p`, by Newton's method from a place nearby.
double normal_quantile(double p, double nearby) {
  for (int i = 0; i < 4; ++i) nearby -= (normal_probability(nearby) - p) / normal_density(nearby);
  return nearby;
}

/// The centres of so many equally probable classes, shuffled.
std::vector<float> make_gauss_table() {
  std::vector<float> table(table_size);
  double x = 0;
  for (std::size_t i = 0; i < table_size / 2; ++i) {
    x = normal_quantile(0.5 + (static_cast<double>(i) + 0.5) / table_size, x);
    table[2 * i] = static_cast<float>(x);
    table[2 * i + 1] = static_cast<float>(-x);
  }
  std::uint64_t state = 1;
  for (auto i = table_size - 1; i > 0; --i) std::swap(table[i], table[next_random(state) % (i + 1)]);
  return table;
}

} // namespace

std::span<const float> gauss_table() {
  static const auto table = make_gauss_table();
  return table;
}

chance::chance(std::uint64_t seed, std::uint64_t what, std::uint64_t place) : state_(seed) {
  state_ = next_random(state_) + what;
  state_ = next_random(state_) + place;
  state_ = next_random(state_);
}

std::uint64_t chance::bits() { return next_random(state_); }

double chance::uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

double chance::gauss() {
  static const auto table = gauss_table();
  return static_cast<double>(table[bits() % table_size]);
}

std::uint64_t chance::poisson(double mean) {
  if (!(mean > 0)) return 0;
  if (mean > many) {
    auto g = gauss();
    auto x = mean + std::sqrt(mean) * g + (g * g - 1) / 6;
    return x > 0 ? static_cast<std::uint64_t>(std::floor(x + 0.5)) : 0;
  }
  // As many as fit until the sum of the probabilities exceeds a random one.
  auto left = uniform(), probability = std::exp(-mean);
  std::uint64_t n = 0;
  while (left >= probability && n < 100) {
    left -= probability;
    probability *= mean / static_cast<double>(++n);
  }
  return n;
}

} // namespace dtranspose
