#include "beamline/xrf_raster.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "beamline/chance.hpp"

namespace dtranspose {

namespace {

constexpr double noise_kev = 0.1, fano = 0.114, pair_kev = 0.00385;
/// Full width at half maximum of a Gaussian, in standard deviations.
constexpr double fwhm_in_sigma = 2.3548;
constexpr double clock_hz = 80e6, ticks_of_event = 7, reset_ticks_of_event = 90;
/// Of the electron, in keV.
constexpr double rest_energy_kev = 511.0;
/// Current of the monitor at an intensity of 1.
constexpr double i0_ampere = 1e-7, i0_noise = 5e-4;

/// What chance is asked for.
enum class draw : std::uint64_t { position, photons, monitor };

chance chance_of(std::uint64_t seed, draw what, std::uint64_t frame) {
  return {seed, static_cast<std::uint64_t>(what), frame};
}

struct line {
  double energy_kev, fraction;
};

/// Place on the sample: 0 to 1 along a line of the raster and from line to line.
struct place {
  double x = 0, y = 0;
};

double bump(place at, double x, double y, double width) {
  return std::exp(-((at.x - x) * (at.x - x) + (at.y - y) * (at.y - y)) / (2 * width * width));
}

double disc(place at, double x, double y, double radius) {
  return std::hypot(at.x - x, at.y - y) <= radius ? 1 : 0;
}

double smooth_cells(place at) { return 0.9 * bump(at, 0.35, 0.4, 0.12) + 0.6 * bump(at, 0.7, 0.65, 0.08); }
double gradient(place at) { return std::clamp(0.2 + 0.8 * at.x, 0.0, 1.0); }
double grains(place at) {
  return std::min(1.0, disc(at, 0.25, 0.7, 0.1) + 0.7 * disc(at, 0.6, 0.3, 0.06) +
                           0.4 * disc(at, 0.85, 0.8, 0.05));
}
double bars(place at) {
  bool inside = at.y > 0.1 && at.y < 0.9 && at.x > 0.5;
  return inside && std::fmod(at.x * 10, 2) < 1 ? 1 : 0;
}
double ring(place at) {
  auto off = std::hypot(at.x - 0.5, at.y - 0.5) - 0.35;
  return std::exp(-off * off / (2 * 0.03 * 0.03));
}
double everywhere(place) { return 1; }

struct element {
  std::string_view symbol;
  double edge_kev; ///< of the K shell
  line lines[3];   ///< K-L3, K-L2, K-M3
  double share;    ///< of the count rate, where its density is 1
  double (*density)(place);
};

/// Energies and intensities (relative to K-L3) of the X-ray Data Booklet, Lawrence Berkeley National
/// Laboratory, tables 1-1 to 1-3.
constexpr element elements[] = {
    {"K", 3.6084, {{3.3138, 100}, {3.3111, 50}, {3.5896, 11}}, 0.08, gradient},
    {"Ca", 4.0385, {{3.6917, 100}, {3.6881, 50}, {4.0127, 13}}, 0.15, smooth_cells},
    {"Fe", 7.1120, {{6.4038, 100}, {6.3908, 50}, {7.0580, 17}}, 0.25, grains},
    {"Cu", 8.9789, {{8.0478, 100}, {8.0278, 51}, {8.9053, 17}}, 0.20, bars},
    {"Zn", 9.6586, {{8.6389, 100}, {8.6158, 51}, {9.5720, 17}}, 0.17, ring},
};

struct settings {
  std::uint64_t rows = 60, columns = 80;
  double step_um = 0.5, exposure_s = 0.01;
  std::size_t channels = 4, bins = 4096;
  double gain = 0.01, energy = 12, count_rate = 1e5, drift = 0.05;
  bool noise = true;
  std::uint64_t seed = 1;

  std::uint64_t points() const { return rows * columns; }
};

settings read_settings(const protocol_options& options) {
  settings s;
  option_reader in(options);
  s.rows = in.whole("rows", s.rows, 1, 3000);
  s.columns = in.whole("columns", s.columns, 1, 3000);
  s.step_um = in.number("step", s.step_um, 1e-4, 1e5);
  s.exposure_s = in.number("exposure", s.exposure_s, 1e-5, 50);
  s.channels = in.whole("elements", s.channels, 1, 64);
  s.bins = in.whole("bins", s.bins, 16, 65'536);
  s.gain = in.number("gain", s.gain, 1e-4, 10);
  s.energy = in.number("energy", s.energy, 5, 100);
  s.count_rate = in.number("count_rate", s.count_rate, 0, 2e6);
  s.drift = in.number("drift", s.drift, 0, 0.5);
  s.noise = in.flag("noise", s.noise);
  s.seed = in.whole("seed", s.seed, 0, std::uint64_t{1} << 62);
  in.finish();
  return s;
}

double sigma_at(double energy_kev) {
  auto statistical = fwhm_in_sigma * fwhm_in_sigma * pair_kev * fano * energy_kev;
  return std::sqrt(noise_kev * noise_kev + statistical) / fwhm_in_sigma;
}

/// Adds an area of `fraction` to the bins.
void add_line(std::vector<double>& bins, const settings& s, line what, double broader = 1) {
  auto sigma = sigma_at(what.energy_kev) * broader;
  auto below = [&](double energy) {
    return 0.5 * std::erfc((what.energy_kev - energy) / (sigma * std::numbers::sqrt2));
  };
  for (std::size_t i = 0; i < bins.size(); ++i) {
    auto low = (static_cast<double>(i) - 0.5) * s.gain;
    bins[i] += what.fraction * (below(low + s.gain) - below(low));
  }
}

/// Draws bins with their probabilities in the same time for any number of them: Walker's aliases.
class bin_lottery {
 public:
  explicit bin_lottery(const std::vector<double>& weights) : keep_(weights.size()), other_(weights.size()) {
    double sum = 0;
    for (auto w : weights) sum += w;
    std::vector<std::uint32_t> poor, rich;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      keep_[i] = weights[i] * static_cast<double>(weights.size()) / sum;
      (keep_[i] < 1 ? poor : rich).push_back(static_cast<std::uint32_t>(i));
    }
    while (!poor.empty() && !rich.empty()) {
      auto small = poor.back(), large = rich.back();
      poor.pop_back();
      other_[small] = large;
      keep_[large] -= 1 - keep_[small];
      if (keep_[large] >= 1) continue;
      rich.pop_back();
      poor.push_back(large);
    }
    for (auto i : poor) keep_[i] = 1;
    for (auto i : rich) keep_[i] = 1;
  }

  std::size_t draw(chance& random) const {
    auto scaled = random.uniform() * static_cast<double>(keep_.size());
    auto bin = static_cast<std::size_t>(scaled);
    return scaled - static_cast<double>(bin) < keep_[bin] ? bin : other_[bin];
  }

 private:
  std::vector<double> keep_;
  std::vector<std::uint32_t> other_;
};

/// Something that contributes to spectra.
struct component {
  std::string name;
  bool is_element = false;
  double rate = 0; ///< 1/s at a detector element, where its density is 1 and the intensity too
  double (*density)(place) = everywhere;
  std::vector<line> lines;
  std::vector<double> spectrum; ///< probabilities of the bins; what misses them is missing
  bin_lottery lottery{{1.0}};
  double inside = 0; ///< their sum
};

component finished(component c) {
  for (auto p : c.spectrum) c.inside += p;
  if (c.inside > 0) c.lottery = bin_lottery(c.spectrum);
  return c;
}

component component_of(const element& e, const settings& s) {
  component c{.name = std::string(e.symbol), .is_element = true, .density = e.density};
  c.rate = s.energy > e.edge_kev ? s.count_rate * e.share : 0;
  c.spectrum.resize(s.bins);
  double sum = 0;
  for (auto& l : e.lines) sum += l.fraction;
  for (auto& l : e.lines) {
    c.lines.push_back({l.energy_kev, l.fraction / sum});
    add_line(c.spectrum, s, c.lines.back());
  }
  return finished(std::move(c));
}

component scatter(std::string name, const settings& s, double energy, double share, double broader) {
  component c{.name = std::move(name), .rate = s.count_rate * share};
  c.spectrum.resize(s.bins);
  c.lines = {{energy, 1}};
  add_line(c.spectrum, s, c.lines.front(), broader);
  return finished(std::move(c));
}

component continuum(const settings& s, double share) {
  component c{.name = "continuum", .rate = s.count_rate * share};
  double sum = 0;
  for (std::size_t i = 0; i < s.bins; ++i) {
    auto energy = static_cast<double>(i) * s.gain;
    c.spectrum.push_back(energy < 1 || energy > s.energy ? 0 : std::exp(-energy / 4));
    sum += c.spectrum.back();
  }
  for (auto& p : c.spectrum) p /= sum > 0 ? sum : 1;
  return finished(std::move(c));
}

std::vector<component> components_of(const settings& s) {
  std::vector<component> all;
  for (auto& e : elements) all.push_back(component_of(e, s));
  // Scattered at 90 degrees, where detectors of fluorescence stand.
  all.push_back(scatter("elastic", s, s.energy, 0.03, 1));
  all.push_back(scatter("compton", s, s.energy / (1 + s.energy / rest_energy_kev), 0.08, 1.6));
  all.push_back(continuum(s, 0.04));
  return all;
}

/// What the detector elements see of the sample, relative to their mean.
double solid_angle(std::size_t channel) {
  constexpr double factors[] = {1.0, 0.94, 1.05, 1.01};
  return factors[channel % std::size(factors)];
}

/// Everything that is the same for all frames, and what is known of each.
class raster {
 public:
  explicit raster(settings s) : s(s), components(components_of(this->s)) {}

  /// Where the beam was, in steps: points of a line, and lines.
  place steps_at(std::uint64_t frame) const {
    const auto row = frame / s.columns, column = frame % s.columns;
    place at{static_cast<double>(column), static_cast<double>(row)};
    if (!s.noise) return at;
    auto random = chance_of(s.seed, draw::position, frame);
    at.x += 0.02 * random.gauss();
    at.y += 0.01 * random.gauss();
    return at;
  }

  place on_sample(place steps) const {
    return {(steps.x + 0.5) / static_cast<double>(s.columns), (steps.y + 0.5) / static_cast<double>(s.rows)};
  }

  /// Incident intensity; 1 at the start. A slow decay with a wave in it.
  double intensity(std::uint64_t frame) const {
    auto phase = static_cast<double>(frame) / static_cast<double>(s.points());
    return 1 - s.drift * phase + 0.3 * s.drift * std::sin(2 * std::numbers::pi * 7 * phase);
  }

  /// Photons that reach detector element 0's like of factor 1 from each component, in one exposure.
  std::vector<double> arriving(std::uint64_t frame) const {
    auto at = on_sample(steps_at(frame));
    std::vector<double> photons;
    for (auto& c : components)
      photons.push_back(c.rate * c.density(at) * c.inside * s.exposure_s * intensity(frame));
    return photons;
  }

  /// The share of photons that is counted, of so many in one exposure: those that are not lost in the dead
  /// time of the others.
  double live(double photons) const {
    return 1 / (1 + photons * (ticks_of_event + reset_ticks_of_event) / (clock_hz * s.exposure_s));
  }

  const settings s;
  const std::vector<component> components;
};

class spectra_view final : public spectrometer_view {
 public:
  explicit spectra_view(std::shared_ptr<const raster> what) : what_(std::move(what)) {}

  std::size_t channels() const override { return what_->s.channels; }
  std::size_t bins() const override { return what_->s.bins; }
  double exposure_s() const override { return what_->s.exposure_s; }

  spectrometer_counters fill(std::uint64_t frame, std::span<std::uint32_t> spectra) const override {
    spectrometer_counters counters;
    auto photons = what_->arriving(frame);
    double sum = 0;
    for (auto p : photons) sum += p;
    auto random = chance_of(what_->s.seed, draw::photons, frame);
    for (std::size_t channel = 0; channel < channels(); ++channel) {
      auto factor = solid_angle(channel);
      auto counted = factor * what_->live(factor * sum);
      auto spectrum = spectra.subspan(channel * bins(), bins());
      std::fill(spectrum.begin(), spectrum.end(), 0);
      if (what_->s.noise)
        count(spectrum, photons, counted, random);
      else
        expect(spectrum, photons, counted);
      std::uint32_t events = 0;
      for (auto n : spectrum) events += n;
      counters.events.push_back(events);
      counters.reset_ticks.push_back(static_cast<std::uint32_t>(reset_ticks_of_event * events));
    }
    return counters;
  }

 private:
  /// Photon by photon.
  void count(std::span<std::uint32_t> spectrum, const std::vector<double>& photons, double counted,
             chance& random) const {
    for (std::size_t i = 0; i < photons.size(); ++i) {
      auto& lottery = what_->components[i].lottery;
      for (auto n = random.poisson(photons[i] * counted); n > 0; --n) ++spectrum[lottery.draw(random)];
    }
  }

  void expect(std::span<std::uint32_t> spectrum, const std::vector<double>& photons, double counted) const {
    for (std::size_t bin = 0; bin < spectrum.size(); ++bin) {
      double sum = 0;
      for (std::size_t i = 0; i < photons.size(); ++i) {
        auto& c = what_->components[i];
        if (c.inside > 0) sum += photons[i] * counted / c.inside * c.spectrum[bin];
      }
      spectrum[bin] = static_cast<std::uint32_t>(std::lround(sum));
    }
  }

  std::shared_ptr<const raster> what_;
};

class positions_view final : public readings_view {
 public:
  explicit positions_view(std::shared_ptr<const raster> what) : what_(std::move(what)) {}

  std::vector<reading_column> columns() const override { return {{"sx", "um"}, {"sy", "um"}}; }

  std::vector<double> at(std::uint64_t frame) const override {
    auto steps = what_->steps_at(frame);
    return {what_->s.step_um * steps.x, what_->s.step_um * steps.y};
  }

  std::string title() const override {
    auto& s = what_->s;
    return fmt::format("mesh sy 0 {} {} sx 0 {} {} {}", s.step_um * static_cast<double>(s.rows - 1),
                       s.rows - 1, s.step_um * static_cast<double>(s.columns - 1), s.columns - 1,
                       s.exposure_s);
  }

 private:
  std::shared_ptr<const raster> what_;
};

class monitor_view final : public readings_view {
 public:
  explicit monitor_view(std::shared_ptr<const raster> what) : what_(std::move(what)) {}

  std::vector<reading_column> columns() const override { return {{"i0", "A", 1e-15}}; }

  std::vector<double> at(std::uint64_t frame) const override {
    auto current = i0_ampere * what_->intensity(frame);
    if (what_->s.noise) current *= 1 + i0_noise * chance_of(what_->s.seed, draw::monitor, frame).gauss();
    return {current};
  }

 private:
  std::shared_ptr<const raster> what_;
};

class xrf_raster final : public scene {
 public:
  explicit xrf_raster(settings s) : what_(std::make_shared<const raster>(s)) {}

  std::uint64_t frames() const override { return what_->s.points(); }
  std::vector<std::string_view> roles() const override { return {"spectra", "positions", "i0"}; }

  instrument_view view(std::string_view role) const override {
    if (role == "spectra") return {.spectrometer = std::make_shared<spectra_view>(what_)};
    if (role == "positions") return {.readings = std::make_shared<positions_view>(what_)};
    if (role == "i0") return {.readings = std::make_shared<monitor_view>(what_)};
    refuse(role);
  }

  value_map truth() const override {
    auto& s = what_->s;
    const auto points = s.points();
    std::vector<double> x, y, intensity, live, current;
    std::vector<std::vector<double>> photons(what_->components.size());
    for (std::uint64_t frame = 0; frame < points; ++frame) {
      auto steps = what_->steps_at(frame);
      x.push_back(s.step_um * steps.x);
      y.push_back(s.step_um * steps.y);
      intensity.push_back(what_->intensity(frame));
      current.push_back(i0_ampere * intensity.back());
      auto arriving = what_->arriving(frame);
      double sum = 0;
      for (std::size_t i = 0; i < arriving.size(); ++i) {
        photons[i].push_back(arriving[i]);
        sum += arriving[i];
      }
      for (std::size_t channel = 0; channel < s.channels; ++channel)
        live.push_back(what_->live(solid_angle(channel) * sum));
    }
    value_map parts, others;
    for (std::size_t i = 0; i < what_->components.size(); ++i) {
      auto& c = what_->components[i];
      (c.is_element ? parts : others).set(c.name, truth_of(c, photons[i]));
    }
    return value_map{
        {"x", array::of(x)},
        {"x_attrs", value_map{{"units", "um"}}},
        {"y", array::of(y)},
        {"y_attrs", value_map{{"units", "um"}}},
        {"i0", array::of(current)},
        {"i0_attrs", value_map{{"units", "A"}}},
        {"intensity", array::of(intensity)},
        {"live", array::of(std::span<const double>(live), {points, s.channels})},
        {"elements", std::move(parts)},
        {"others", std::move(others)},
        {"spectrometer", spectrometer()},
    };
  }

 private:
  /// Densities at the middles of the points, and the photons at the places where the beam was.
  value_map truth_of(const component& c, const std::vector<double>& photons) const {
    auto& s = what_->s;
    std::vector<double> map, energies, fractions;
    for (std::uint64_t row = 0; row < s.rows; ++row)
      for (std::uint64_t column = 0; column < s.columns; ++column)
        map.push_back(c.density(what_->on_sample({static_cast<double>(column), static_cast<double>(row)})));
    for (auto& l : c.lines) {
      energies.push_back(l.energy_kev);
      fractions.push_back(l.fraction);
    }
    // Shared out among the bins there are, so that photons are those in them.
    auto spectrum = c.spectrum;
    for (auto& p : spectrum) p /= c.inside > 0 ? c.inside : 1;
    return value_map{{"map", array::of(std::span<const double>(map), {s.rows, s.columns})},
                     {"photons", array::of(photons)},
                     {"spectrum", array::of(spectrum)},
                     {"line_energies", array::of(energies)},
                     {"line_energies_attrs", value_map{{"units", "keV"}}},
                     {"line_fractions", array::of(fractions)}};
  }

  value_map spectrometer() const {
    std::vector<double> factors;
    for (std::size_t channel = 0; channel < what_->s.channels; ++channel)
      factors.push_back(solid_angle(channel));
    return value_map{{"zero", 0.0},
                     {"gain", what_->s.gain},
                     {"gain_attrs", value_map{{"units", "keV"}}},
                     {"noise", noise_kev},
                     {"fano", fano},
                     {"pair_energy", pair_kev},
                     {"exposure", what_->s.exposure_s},
                     {"solid_angle", array::of(factors)},
                     {"event_ticks", ticks_of_event},
                     {"reset_ticks_per_event", reset_ticks_of_event},
                     {"clock", clock_hz}};
  }

  std::shared_ptr<const raster> what_;
};

} // namespace

std::shared_ptr<const scene> make_xrf_raster(const protocol_options& options, const std::filesystem::path&) {
  return std::make_shared<xrf_raster>(read_settings(options));
}

} // namespace dtranspose
