#include "analysis/azimuthal_integrator.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <stdexcept>
#include <tuple>

#include <fmt/format.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace dtranspose {

namespace {

constexpr radial_unit_info units[] = {
    {"q_nm^-1", "q", "1/nm"},        {"q_A^-1", "q", "1/angstrom"}, {"2th_deg", "two_theta", "deg"},
    {"2th_rad", "two_theta", "rad"}, {"r_mm", "radius", "mm"},      {"r_m", "radius", "m"},
};

constexpr double degree = std::numbers::pi / 180;

/// The upper end of a range lies in it: it is moved up by the resolution of 32-bit numbers, as pyFAI does, so
/// that bins are the same.
double just_above(double end) {
  constexpr double factor = 1 + static_cast<double>(std::numeric_limits<float>::epsilon());
  return end > 0 ? end * factor : end / factor;
}

double radial_place(radial_unit unit, const poni_direction& d, double wavelength) {
  switch (unit) {
  case radial_unit::q_per_nm:
    return scattering_vector(d, wavelength);
  case radial_unit::q_per_angstrom:
    return scattering_vector(d, wavelength) / 10;
  case radial_unit::degrees:
    return two_theta(d) / degree;
  case radial_unit::radian:
    return two_theta(d);
  case radial_unit::millimetres:
    return 1e3 * radius(d);
  case radial_unit::metres:
    break;
  }
  return radius(d);
}

/// The shorter way around from one azimuth to another, in degrees.
double turn_between(double a, double b) {
  auto turn = std::fmod(std::abs(a - b), 360.0);
  return std::min(turn, 360 - turn);
}

/// Where something lies along an axis, in bins from its beginning.
struct extent_in_bins {
  double low, high;
};

/// Equal bins from `low` to `high`.
struct axis_of_bins {
  double low = 0, width = 1;
  std::size_t bins = 1;

  axis_of_bins() = default;
  axis_of_bins(double from, double to, std::size_t n)
      : low(from), width((to - from) / static_cast<double>(n)), bins(n) {}

  extent_in_bins operator()(double centre, double half) const {
    return {(centre - half - low) / width, (centre + half - low) / width};
  }
  std::vector<double> middles() const {
    std::vector<double> all(bins);
    for (std::size_t k = 0; k < bins; ++k) all[k] = low + (static_cast<double>(k) + 0.5) * width;
    return all;
  }
};

/// A fraction of a pixel in a bin.
struct share {
  std::size_t bin;
  double fraction;
};

/// Appends the share of each bin in an extent. One without length lies in the bin of its place.
void spread(const extent_in_bins& where, std::size_t bins, std::vector<share>& shares) {
  auto end = static_cast<double>(bins);
  if (where.high < 0 || where.low >= end) return;
  auto length = where.high - where.low;
  auto first = static_cast<std::size_t>(std::max(where.low, 0.0));
  if (length <= 0) {
    if (where.low >= 0) shares.push_back({first, 1});
    return;
  }
  for (auto k = first; k < bins && static_cast<double>(k) < where.high; ++k) {
    auto from = std::max(where.low, static_cast<double>(k));
    auto to = std::min(where.high, static_cast<double>(k + 1));
    if (to > from) shares.push_back({k, (to - from) / length});
  }
}

template <class T>
T load(const std::byte* pixels, std::size_t i) {
  T x;
  std::memcpy(&x, pixels + i * sizeof(T), sizeof(T));
  return x;
}

} // namespace

const radial_unit_info& info_of(radial_unit unit) { return units[static_cast<std::size_t>(unit)]; }

std::optional<radial_unit> radial_unit_of(std::string_view name) {
  for (std::size_t i = 0; i < std::size(units); ++i)
    if (units[i].name == name) return static_cast<radial_unit>(i);
  return std::nullopt;
}

// ---- making the matrix ----------------------------------------------------------------------------------

class integrator_builder {
 public:
  integrator_builder(const integration_setup& setup, azimuthal_integrator& made)
      : s_(setup), to_(made), detector_(setup.geometry, made.rows_, made.columns_),
        pixels_(made.rows_ * made.columns_) {}

  void build() {
    check();
    measure();
    choose_axes();
    choose_width();
    fill();
    if (std::none_of(to_.norm_.begin(), to_.norm_.end(), [](double n) { return n > 0; }))
      throw std::invalid_argument("no pixel is left to integrate: mask, range and flat leave none");
  }

 private:
  void check() const {
    if (pixels_ == 0) throw std::invalid_argument("an image without pixels cannot be integrated");
    if (pixels_ > std::numeric_limits<std::uint32_t>::max() / 4)
      throw std::invalid_argument("an image of so many pixels cannot be integrated");
    for (auto plane : {&s_.mask, &s_.dark, &s_.flat})
      if (!plane->empty() && plane->size() != pixels_)
        throw std::invalid_argument("mask, dark and flat must be of the image's shape");
    if (s_.unit <= radial_unit::q_per_angstrom && !(s_.geometry.wavelength > 0))
      throw std::invalid_argument("the geometry has no wavelength, which q needs");
  }

  bool has_azimuth() const { return s_.azimuthal_bins > 0 || s_.azimuth_range; }

  /// Places and half widths of all pixels, and what their counts are divided by; 0 for those not in use.
  void measure() {
    place_.resize(pixels_);
    half_.resize(pixels_);
    if (has_azimuth()) {
      azimuth_.resize(pixels_);
      azimuth_half_.resize(pixels_);
    }
    to_.pixel_norm_.resize(pixels_);
    std::vector<corner> above(to_.columns_ + 1), below(to_.columns_ + 1);
    fill_corners(0, above);
    for (std::size_t row = 0; row < to_.rows_; ++row) {
      fill_corners(row + 1, below);
      for (std::size_t column = 0; column < to_.columns_; ++column)
        measure(row, column, {above[column], above[column + 1], below[column], below[column + 1]});
      std::swap(above, below);
    }
  }

  struct corner {
    double place, azimuth;
  };

  corner corner_at(double row, double column) const {
    auto d = detector_.direction_of(row, column);
    return {radial_place(s_.unit, d, s_.geometry.wavelength), has_azimuth() ? azimuth(d) / degree : 0};
  }

  void fill_corners(std::size_t row, std::vector<corner>& line) const {
    if (s_.splitting == pixel_splitting::none) return;
    for (std::size_t column = 0; column < line.size(); ++column)
      line[column] = corner_at(static_cast<double>(row), static_cast<double>(column));
  }

  void measure(std::size_t row, std::size_t column, const std::array<corner, 4>& corners) {
    auto i = row * to_.columns_ + column;
    auto d = detector_.direction_of(static_cast<double>(row) + 0.5, static_cast<double>(column) + 0.5);
    place_[i] = radial_place(s_.unit, d, s_.geometry.wavelength);
    if (has_azimuth()) azimuth_[i] = azimuth(d) / degree;
    if (s_.splitting == pixel_splitting::bounding_box)
      for (auto& c : corners) {
        half_[i] = std::max(half_[i], std::abs(c.place - place_[i]));
        if (has_azimuth())
          azimuth_half_[i] = std::max(azimuth_half_[i], turn_between(c.azimuth, azimuth_[i]));
      }
    to_.pixel_norm_[i] = static_cast<float>(norm_of(i, d));
  }

  double norm_of(std::size_t i, const poni_direction& d) const {
    if (!s_.mask.empty() && s_.mask[i] != 0) return 0;
    if (!s_.dark.empty() && !std::isfinite(s_.dark[i])) return 0;
    double norm = s_.solid_angle ? detector_.solid_angle(d) : 1;
    if (s_.polarisation) norm *= polarisation_factor(d, *s_.polarisation);
    if (!s_.flat.empty()) norm *= s_.flat[i];
    return norm > 0 && std::isfinite(norm) ? norm : 0; // a flat of 0 or NaN is a dead pixel
  }

  void choose_axes() {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (std::size_t i = 0; i < pixels_; ++i) {
      if (to_.pixel_norm_[i] == 0) continue;
      low = std::min(low, place_[i] - half_[i]);
      high = std::max(high, place_[i] + half_[i]);
    }
    if (s_.range)
      std::tie(low, high) = *s_.range;
    else if (!(low <= high))
      throw std::invalid_argument("no pixel is left to integrate: mask and flat leave none");
    else
      low = std::max(low, 0.0);
    high = just_above(high);
    if (!(high > low)) // a single place
      high = low + 1;
    radial_ = {low, high, to_.bins_};
    to_.radial_axis_ = radial_.middles();
    if (s_.azimuthal_bins == 0) return;
    auto [from, to] = s_.azimuth_range.value_or(std::pair{-180.0, 180.0});
    azimuthal_ = {from, to - from < 360 ? just_above(to) : to, s_.azimuthal_bins};
    to_.azimuthal_axis_ = azimuthal_.middles();
  }

  bool in_sector(std::size_t i) const {
    if (!s_.azimuth_range || s_.azimuthal_bins > 0) return true;
    auto [from, to] = *s_.azimuth_range;
    return turn_between(azimuth_[i], 0.5 * (from + to)) - azimuth_half_[i] <= 0.5 * (to - from);
  }

  /// Shares of the pixel, rows of bins one after the other.
  void shares_of(std::size_t i, std::vector<share>& all) {
    all.clear();
    if (to_.pixel_norm_[i] == 0 || !in_sector(i)) return;
    along_.clear();
    spread(radial_(place_[i], half_[i]), to_.bins_, along_);
    if (s_.azimuthal_bins == 0) {
      all = along_;
      return;
    }
    around_.clear();
    // The same direction has many azimuths: one turn less, and one more.
    for (auto turn : {-360.0, 0.0, 360.0})
      spread(azimuthal_(azimuth_[i] + turn, azimuth_half_[i]), to_.azimuthal_bins_, around_);
    for (auto& a : around_)
      for (auto& r : along_) all.push_back({a.bin * to_.bins_ + r.bin, a.fraction * r.fraction});
  }

  /// 4 bins for each pixel where more than a few have shares in more than 2.
  void choose_width() {
    std::size_t seen = 0, wide = 0;
    for (std::size_t i = 0; i < pixels_; i += 7) {
      if (to_.pixel_norm_[i] == 0) continue;
      auto where = radial_(place_[i], half_[i]);
      ++seen;
      wide += std::floor(where.high) - std::floor(where.low) >= 2;
    }
    to_.width_ = wide * 20 > seen ? 4 : 2;
  }

  void fill() {
    to_.all_bins_ = to_.bins_ * std::max<std::size_t>(to_.azimuthal_bins_, 1);
    to_.norm_.assign(to_.all_bins_, 0);
    to_.count_.assign(to_.all_bins_, 0);
    if (!s_.dark.empty()) {
      to_.dark_sum_.assign(to_.all_bins_, 0);
      to_.dark_ = s_.dark;
    }
    to_.first_.assign(pixels_, static_cast<std::uint32_t>(to_.all_bins_));
    to_.weights_.assign(pixels_ * to_.width_, 0);
    std::vector<share> shares;
    for (std::size_t i = 0; i < pixels_; ++i) {
      shares_of(i, shares);
      add(i, shares);
    }
    to_.parts_.shrink_to_fit();
  }

  void add(std::size_t i, std::span<const share> shares) {
    bool first = true;
    while (!shares.empty()) {
      azimuthal_integrator::part p{
          static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(shares[0].bin), {}};
      std::size_t n = 0;
      for (; n < std::min(shares.size(), to_.width_) && shares[n].bin == p.first + n; ++n) {
        p.weights[n] = static_cast<float>(shares[n].fraction);
        add_constants(i, shares[n].bin, static_cast<double>(p.weights[n]));
      }
      shares = shares.subspan(n);
      if (!std::exchange(first, false)) {
        to_.parts_.push_back(p);
        continue;
      }
      to_.first_[i] = p.first;
      std::copy_n(p.weights, to_.width_, &to_.weights_[i * to_.width_]);
    }
  }

  void add_constants(std::size_t i, std::size_t bin, double weight) {
    to_.norm_[bin] += weight * static_cast<double>(to_.pixel_norm_[i]);
    to_.count_[bin] += weight > 0;
    if (!to_.dark_sum_.empty()) to_.dark_sum_[bin] += weight * static_cast<double>(s_.dark[i]);
  }

  const integration_setup& s_;
  azimuthal_integrator& to_;
  poni_detector detector_;
  std::size_t pixels_;
  std::vector<double> place_, half_, azimuth_, azimuth_half_;
  axis_of_bins radial_, azimuthal_;
  std::vector<share> along_, around_;
};

namespace {

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

} // namespace

azimuthal_integrator::azimuthal_integrator(const integration_setup& setup, std::size_t rows,
                                           std::size_t columns)
    : id_(next_id()), rows_(rows), columns_(columns), bins_(setup.bins),
      azimuthal_bins_(setup.azimuthal_bins), all_bins_(0) {
  integrator_builder(setup, *this).build();
}

std::size_t azimuthal_integrator::bytes() const {
  return first_.size() * (sizeof(first_[0]) + sizeof(float) * (width_ + 1)) + parts_.size() * sizeof(part) +
         dark_.size() * sizeof(float) + norm_.size() * 2 * sizeof(double);
}

// ---- integrating ----------------------------------------------------------------------------------------

namespace {

/// So many numbers in a register.
template <std::size_t width>
struct lanes;
template <>
struct lanes<2> {
  using doubles = double __attribute__((vector_size(16)));

  static doubles load(const float* from) {
#ifdef __SSE2__
    // One instruction, where compilers make two conversions of it.
    return static_cast<doubles>(
        _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)))));
#else
    return {from[0], from[1]};
#endif
  }
};
template <>
struct lanes<4> {
  using doubles = double __attribute__((vector_size(32)));

  static doubles load(const float* from) {
    using floats = float __attribute__((vector_size(16)));
    floats given;
    std::memcpy(&given, from, sizeof given);
    return __builtin_convertvector(given, doubles);
  }
};

/// Sums of the parts that begin in one bin: signal of its bins, variance of its bins. As a whole they are
/// added to in registers; sums by bin would overlap from one pixel to the next, and wait for one another.
template <std::size_t width>
struct alignas(width * sizeof(double)) cell {
  typename lanes<width>::doubles signal, variance;

  void add(const float* weights, double value, double positive) {
    auto w = lanes<width>::load(weights);
    signal += w * value;
    variance += w * w * positive;
  }
};

/// What a pixel adds to the variance.
template <class T>
double positive(double value) {
  return std::is_unsigned_v<T> ? value : std::max(value, 0.0);
}

/// Pixels that are looked at together.
constexpr std::size_t block = 32;

struct block_of_values {
  double values[block]; ///< 0 for what is left out
  bool some = false;    ///< is any of them not 0?
  bool whole = true;    ///< is none left out?
};

/// The limits in the type of the pixels, so that those are compared as they are.
template <class T>
struct limits_of {
  T least, most;

  explicit limits_of(const valid_values& valid) {
    constexpr auto lowest = std::numeric_limits<T>::lowest(), highest = std::numeric_limits<T>::max();
    least = valid.least > static_cast<double>(lowest) ? rounded(valid.least, true) : lowest;
    most = valid.most < static_cast<double>(highest) ? rounded(valid.most, false) : highest;
    if (valid.least > static_cast<double>(highest) || valid.most < static_cast<double>(lowest))
      least = 1, most = 0; // nothing counts
  }

  bool operator()(T x) const { return x >= least && x <= most; } // false for NaN

 private:
  static T rounded(double x, bool up) {
    if constexpr (std::is_floating_point_v<T>) {
      auto near = static_cast<T>(x);
      if (up ? static_cast<double>(near) >= x : static_cast<double>(near) <= x) return near;
      return std::nextafter(near, up ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest());
    } else {
      constexpr auto lowest = static_cast<double>(std::numeric_limits<T>::lowest()),
                     highest = static_cast<double>(std::numeric_limits<T>::max());
      auto whole = up ? std::ceil(x) : std::floor(x);
      if (whole >= highest) return std::numeric_limits<T>::max();
      return whole <= lowest ? std::numeric_limits<T>::lowest() : static_cast<T>(whole);
    }
  }
};

template <class T, std::size_t n>
inline block_of_values read(const std::byte* pixels, const limits_of<T>& valid) {
  T raw[n];
  std::memcpy(raw, pixels, sizeof raw);
  block_of_values read;
  int bad = 0, some = 0;
  for (std::size_t j = 0; j < n; ++j) {
    bad |= !(raw[j] >= valid.least) | !(raw[j] <= valid.most);
    some |= raw[j] != 0;
  }
  read.whole = bad == 0;
  read.some = some != 0;
  if (!read.some) return read;
  for (std::size_t j = 0; j < n; ++j) read.values[j] = static_cast<double>(raw[j]);
  if (!read.whole)
    for (std::size_t j = 0; j < n; ++j) read.values[j] = valid(raw[j]) ? read.values[j] : 0.0;
  return read;
}

} // namespace

template <class T, std::size_t width>
void azimuthal_integrator::add_pixels(const std::byte* pixels, std::size_t first, std::size_t n,
                                      const valid_values& values, scratch& memory) const {
  const limits_of<T> valid(values);
  auto cells = reinterpret_cast<cell<width>*>(memory.cells_.get());
  auto add = [&]<std::size_t together>(std::size_t i, std::integral_constant<std::size_t, together>) {
    auto from = pixels + i * sizeof(T);
    auto b = read<T, together>(from, valid);
    if (b.some)
      for (std::size_t j = 0; j < together; ++j) {
        auto p = first + i + j;
        auto value = b.values[j];
        cells[first_[p]].add(&weights_[p * width], value, positive<T>(value));
      }
    if (!b.whole)
      for (std::size_t j = 0; j < together; ++j)
        if (!valid(load<T>(from, j))) memory.left_out_.push_back(static_cast<std::uint32_t>(first + i + j));
  };
  std::size_t i = 0;
  for (; i + block <= n; i += block) add(i, std::integral_constant<std::size_t, block>());
  for (; i < n; ++i) add(i, std::integral_constant<std::size_t, 1>());
}

template <class T, std::size_t width>
void azimuthal_integrator::add_parts(const image_view& image, const valid_values& values,
                                     scratch& memory) const {
  const limits_of<T> valid(values);
  auto cells = reinterpret_cast<cell<width>*>(memory.cells_.get());
  auto per_blob = image.blobs[0].size() / sizeof(T);
  for (auto& part : parts_) {
    auto pixel = load<T>(image.blobs[part.pixel / per_blob].data(), part.pixel % per_blob);
    auto value = valid(pixel) ? static_cast<double>(pixel) : 0.0;
    cells[part.first].add(part.weights, value, positive<T>(value));
  }
}

template <class T, std::size_t width>
void azimuthal_integrator::add(const image_view& image, const valid_values& valid, scratch& memory,
                               integral_sums& sums) const {
  memory.take_cells((all_bins_ + 1) * sizeof(cell<width>));
  std::size_t first = 0;
  for (auto& blob : image.blobs) {
    auto n = blob.size() / sizeof(T);
    add_pixels<T, width>(blob.data(), first, n, valid, memory);
    first += n;
  }
  add_parts<T, width>(image, valid, memory);
  auto cells = reinterpret_cast<const cell<width>*>(memory.cells_.get());
  for (std::size_t k = 0; k < all_bins_; ++k)
    for (std::size_t j = 0; j < std::min(width, all_bins_ - k); ++j) {
      sums.signal[k + j] += cells[k].signal[j];
      sums.variance[k + j] += cells[k].variance[j];
    }
}

void azimuthal_integrator::scratch::take_cells(std::size_t bytes) {
  constexpr std::size_t alignment = 64;
  if (capacity_ < bytes) {
    capacity_ = (bytes + alignment - 1) / alignment * alignment;
    cells_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, capacity_)));
    if (!cells_) throw std::bad_alloc();
  }
  std::memset(cells_.get(), 0, bytes);
}

/// Takes the pixels that were left out from what does not depend on the image. Those are most often the same
/// as in the image before.
void azimuthal_integrator::leave_out(scratch& memory) const {
  if (memory.owner_ == id_ && memory.left_out_ == memory.known_) return;
  memory.owner_ = id_;
  memory.known_ = memory.left_out_;
  memory.norm_ = norm_;
  memory.dark_sum_ = dark_sum_;
  auto count = count_;
  auto take = [&](std::uint32_t pixel, std::size_t first, const float* weights) {
    for (std::size_t j = 0; j < width_; ++j) {
      if (!(weights[j] > 0)) continue;
      auto w = static_cast<double>(weights[j]);
      memory.norm_[first + j] -= w * static_cast<double>(pixel_norm_[pixel]);
      if (!dark_.empty()) memory.dark_sum_[first + j] -= w * static_cast<double>(dark_[pixel]);
      if (--count[first + j] == 0) memory.norm_[first + j] = 0; // without a rest from rounding
    }
  };
  for (auto pixel : memory.known_) {
    take(pixel, first_[pixel], &weights_[pixel * width_]);
    auto [begin, end] = std::equal_range(parts_.begin(), parts_.end(), part{pixel, 0, {}},
                                         [](auto& a, auto& b) { return a.pixel < b.pixel; });
    for (auto p = begin; p != end; ++p) take(pixel, p->first, p->weights);
  }
  for (std::size_t k = 0; k < all_bins_; ++k)
    if (count[k] == 0 && !memory.dark_sum_.empty()) memory.dark_sum_[k] = 0;
}

void azimuthal_integrator::integrate(const image_view& image, const valid_values& valid, scratch& memory,
                                     integral_sums& sums) const {
  std::size_t bytes = 0;
  for (auto& blob : image.blobs) bytes += blob.size();
  if (bytes != first_.size() * size_of(image.type) || image.blobs[0].size() * image.blobs.size() != bytes)
    throw std::runtime_error(fmt::format("an image of shape {}, where [{}, {}] is integrated",
                                         shape_text(image.shape), rows_, columns_));
  sums.signal.assign(all_bins_, 0);
  sums.variance.assign(all_bins_, 0);
  memory.left_out_.clear();
  visit_dtype(image.type, [&]<class T>(T) {
    width_ == 2 ? add<T, 2>(image, valid, memory, sums) : add<T, 4>(image, valid, memory, sums);
  });
  leave_out(memory);
  sums.norm = memory.norm_;
  for (std::size_t k = 0; k < memory.dark_sum_.size(); ++k) sums.signal[k] -= memory.dark_sum_[k];
}

} // namespace dtranspose
