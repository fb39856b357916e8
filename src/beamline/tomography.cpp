#include "beamline/tomography.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

#include <fmt/format.h>

#include "beamline/chance.hpp"

namespace dtranspose {

namespace {

constexpr double offset_counts = 100, read_noise = 2, encoder_step_deg = 1e-4;
/// What of half the width the sample fills.
constexpr double sample_share = 0.9;
/// Columns are done so many at a time: fixed lengths become vector code.
constexpr std::size_t lane = 32;

/// What chance is asked for.
enum class draw : std::uint64_t { columns, rows, noise };

chance chance_of(std::uint64_t seed, draw what, std::uint64_t place) {
  return {seed, static_cast<std::uint64_t>(what), place};
}

/// In units of the sample's radius; `density` in those of the largest ellipse.
struct ellipse {
  double x, y, a, b, angle_deg, density;
};

/// The outer one and what lies in it; every slab has those of `inner` that begin at its number, by turns.
constexpr ellipse outer = {0, 0, 1, 0.85, 10, 1};
constexpr ellipse inner[] = {
    {0.35, 0.1, 0.18, 0.3, 30, 0.8},  {-0.4, -0.2, 0.25, 0.12, -40, -0.6}, {0.1, -0.45, 0.1, 0.1, 0, 1.5},
    {-0.1, 0.4, 0.3, 0.08, 75, -0.9}, {0.55, -0.3, 0.06, 0.06, 0, 2.5},    {-0.55, 0.3, 0.15, 0.1, 20, 0.5},
    {0.0, 0.0, 0.12, 0.2, -60, -0.8},
};
constexpr std::size_t inner_of_a_slab = 4;

struct settings {
  std::size_t rows = 2048, columns = 2048;
  std::uint64_t darks = 20, flats = 40, projections = 1000;
  double range_deg = 180, centre = 3.5;
  std::size_t slabs = 4;
  double absorption = 1.5, light = 20'000;
  bool noise = true;
  std::uint64_t seed = 1;

  std::uint64_t frames() const { return darks + flats + projections; }
  /// Column of the axis of rotation.
  double axis() const { return 0.5 * static_cast<double>(columns - 1) + centre; }
  double radius() const { return 0.5 * sample_share * static_cast<double>(columns); }
};

settings read_settings(const protocol_options& options) {
  constexpr std::uint64_t most = 10'000'000;
  settings s;
  option_reader in(options);
  s.rows = in.whole("rows", s.rows, 1, 16'384);
  s.columns = in.whole("columns", s.columns, 8, 16'384);
  s.darks = in.whole("darks", s.darks, 0, most);
  s.flats = in.whole("flats", s.flats, 0, most);
  s.projections = in.whole("projections", s.projections, 1, most);
  s.range_deg = in.number("range", s.range_deg, -3600, 3600);
  s.centre = in.number("centre", s.centre, -1000, 1000);
  s.slabs = in.whole("slabs", s.slabs, 1, 16);
  s.absorption = in.number("absorption", s.absorption, 0, 20);
  s.light = in.number("light", s.light, 1, 60'000);
  s.noise = in.flag("noise", s.noise);
  s.seed = in.whole("seed", s.seed, 0, std::uint64_t{1} << 62);
  in.finish();
  s.slabs = std::min(s.slabs, s.rows);
  return s;
}

enum class image_kind : std::int32_t { projection = 0, flat = 1, dark = 2 };

image_kind kind_of(const settings& s, std::uint64_t frame) {
  if (frame < s.darks) return image_kind::dark;
  return frame < s.darks + s.flats ? image_kind::flat : image_kind::projection;
}

/// The turntable stands still until projections begin.
double angle_deg(const settings& s, std::uint64_t frame) {
  if (kind_of(s, frame) != image_kind::projection) return 0;
  return static_cast<double>(frame - s.darks - s.flats) * s.range_deg / static_cast<double>(s.projections);
}

std::size_t slab_of(const settings& s, std::size_t row) { return row * s.slabs / s.rows; }

double radians(double degrees) { return degrees * std::numbers::pi / 180; }

/// The same for all frames.
class sample {
 public:
  explicit sample(settings settings) : s(settings) {
    for (std::size_t slab = 0; slab < s.slabs; ++slab) {
      std::vector<ellipse> ellipses = {scaled(outer)};
      for (std::size_t i = 0; i < inner_of_a_slab; ++i)
        ellipses.push_back(scaled(inner[(slab + i) % std::size(inner)]));
      slabs_.push_back(std::move(ellipses));
    }
    auto random_columns = chance_of(s.seed, draw::columns, 0);
    for (std::size_t column = 0; column < s.columns; ++column) {
      auto x = (static_cast<double>(column) + 0.5) / static_cast<double>(s.columns) - 0.5;
      across.push_back(static_cast<float>(s.light * (1 - 0.8 * x * x)));
      dark.push_back(static_cast<float>(offset_counts + std::floor(6 * random_columns.uniform())));
    }
    auto random_rows = chance_of(s.seed, draw::rows, 0);
    for (std::size_t row = 0; row < s.rows; ++row) {
      auto y = (static_cast<double>(row) + 0.5) / static_cast<double>(s.rows) - 0.5;
      auto stripes = 0.05 * std::sin(40 * y) + 0.02 * random_rows.uniform();
      along.push_back(static_cast<float>((1 - y * y) * (0.93 + stripes)));
    }
  }

  /// Of all columns.
  std::vector<double> line_integrals(std::size_t slab, double angle) const {
    std::vector<double> sums(s.columns);
    for (auto& e : slabs_[slab]) {
      auto a = e.a * std::cos(angle - radians(e.angle_deg)), b = e.b * std::sin(angle - radians(e.angle_deg));
      auto width2 = a * a + b * b; // of half its shadow
      auto middle = s.axis() + e.x * std::cos(angle) + e.y * std::sin(angle);
      auto factor = 2 * e.density * e.a * e.b / width2;
      for (std::size_t column = 0; column < s.columns; ++column) {
        auto off = static_cast<double>(column) - middle;
        if (off * off < width2) sums[column] += factor * std::sqrt(width2 - off * off);
      }
    }
    return sums;
  }

  /// Absorption per pixel at a place, in pixels from the axis.
  double density(std::size_t slab, double x, double y) const {
    double sum = 0;
    for (auto& e : slabs_[slab]) {
      auto c = std::cos(radians(e.angle_deg)), d = std::sin(radians(e.angle_deg));
      auto u = ((x - e.x) * c + (y - e.y) * d) / e.a, v = ((y - e.y) * c - (x - e.x) * d) / e.b;
      if (u * u + v * v < 1) sum += e.density;
    }
    return sum;
  }

  const settings s;
  std::vector<float> across; ///< light, by column
  std::vector<float> along;  ///< the same by row, as a factor
  std::vector<float> dark;   ///< by column

 private:
  ellipse scaled(ellipse e) const {
    for (auto length : {&e.x, &e.y, &e.a, &e.b}) *length *= s.radius();
    e.density *= s.absorption / (2 * s.radius());
    return e;
  }

  std::vector<std::vector<ellipse>> slabs_;
};

/// `n` columns, a multiple of `lane`.
void expose(std::uint16_t* to, const float* light, const float* root, const float* dark, float factor,
            float root_factor, const float* photons, const float* reading, std::size_t n) {
  for (; n > 0;
       n -= lane, to += lane, light += lane, root += lane, dark += lane, photons += lane, reading += lane)
    for (std::size_t i = 0; i < lane; ++i) {
      // Rounded by truncation, which is vector code; std::lround is not.
      auto counts = 0.5F + dark[i] + factor * light[i] + root_factor * root[i] * photons[i] + reading[i];
      counts = counts < 0.0F ? 0.0F : counts;
      counts = counts > 65535.0F ? 65535.0F : counts;
      to[i] = static_cast<std::uint16_t>(static_cast<std::int32_t>(counts));
    }
}

class projections_view final : public camera_view {
 public:
  explicit projections_view(std::shared_ptr<const sample> what)
      : what_(std::move(what)), padded_((what_->s.columns + lane - 1) / lane * lane), dark_(padded_),
        photon_noise_(gauss_table().begin(), gauss_table().end()), reading_noise_(photon_noise_) {
    std::copy(what_->dark.begin(), what_->dark.end(), dark_.begin());
    // Rows begin anywhere in the tables and run over their ends.
    for (auto table : {&photon_noise_, &reading_noise_})
      for (std::size_t i = 0; i < padded_; ++i) table->push_back((*table)[i]);
    for (auto& x : photon_noise_) x = what_->s.noise ? x : 0;
    for (auto& x : reading_noise_) x = what_->s.noise ? x * static_cast<float>(read_noise) : 0;
  }

  dtype type() const override { return dtype::uint16; }
  std::vector<std::size_t> shape() const override { return {what_->s.rows, what_->s.columns}; }

  void fill(std::uint64_t frame, std::span<std::byte> pixels) const override {
    auto& s = what_->s;
    auto random = chance_of(s.seed, draw::noise, frame);
    std::vector<float> light(padded_), root(padded_);
    std::vector<std::uint16_t> line(padded_);
    for (std::size_t row = 0; row < s.rows; ++row) {
      if (row == 0 || slab_of(s, row) != slab_of(s, row - 1)) light_of(frame, slab_of(s, row), light, root);
      auto factor = what_->along[row];
      auto places = random.bits();
      expose(line.data(), light.data(), root.data(), dark_.data(), factor, std::sqrt(factor),
             photon_noise_.data() + places % gauss_table().size(),
             reading_noise_.data() + (places >> 32) % gauss_table().size(), padded_);
      std::memcpy(pixels.data() + row * s.columns * sizeof(std::uint16_t), line.data(),
                  s.columns * sizeof(std::uint16_t));
    }
  }

 private:
  /// What light a slab lets through, but for the factors of rows, and its square root.
  void light_of(std::uint64_t frame, std::size_t slab, std::vector<float>& light,
                std::vector<float>& root) const {
    auto& s = what_->s;
    auto kind = kind_of(s, frame);
    auto angle = radians(angle_deg(s, frame));
    std::vector<double> absorbed(s.columns);
    if (kind == image_kind::projection) absorbed = what_->line_integrals(slab, angle);
    for (std::size_t column = 0; column < s.columns; ++column) {
      auto let_through = kind == image_kind::dark ? 0 : std::exp(-absorbed[column]);
      light[column] = static_cast<float>(let_through * what_->across[column]);
      root[column] = std::sqrt(light[column]);
    }
  }

  std::shared_ptr<const sample> what_;
  std::size_t padded_; ///< columns and what fills the last lane
  std::vector<float> dark_, photon_noise_, reading_noise_;
};

class angle_view final : public readings_view {
 public:
  explicit angle_view(settings s) : s_(s) {}

  std::vector<reading_column> columns() const override { return {{"INENC1.VAL", "deg", encoder_step_deg}}; }
  std::vector<double> at(std::uint64_t frame) const override { return {angle_deg(s_, frame)}; }
  std::string title() const override { return fmt::format("tomography, {} projections", s_.projections); }

 private:
  settings s_;
};

template <class T>
value shaped(const std::vector<T>& elements, std::vector<std::size_t> shape) {
  return array::of(std::span<const T>(elements), std::move(shape));
}

class tomography final : public scene {
 public:
  explicit tomography(settings s) : what_(std::make_shared<const sample>(s)) {}

  std::uint64_t frames() const override { return what_->s.frames(); }
  std::vector<std::string_view> roles() const override { return {"projections", "angle"}; }

  instrument_view view(std::string_view role) const override {
    if (role == "projections") return {.camera = std::make_shared<projections_view>(what_)};
    if (role == "angle") return {.readings = std::make_shared<angle_view>(what_->s)};
    refuse(role);
  }

  value_map truth() const override {
    auto& s = what_->s;
    std::vector<double> angles;
    std::vector<std::int32_t> keys, slab_of_row;
    for (std::uint64_t frame = 0; frame < s.frames(); ++frame) {
      angles.push_back(angle_deg(s, frame));
      keys.push_back(static_cast<std::int32_t>(kind_of(s, frame)));
    }
    for (std::size_t row = 0; row < s.rows; ++row)
      slab_of_row.push_back(static_cast<std::int32_t>(slab_of(s, row)));
    std::vector<float> flat;
    for (auto factor : what_->along)
      for (auto light : what_->across) flat.push_back(factor * light);
    return value_map{{"angle", array::of(angles)},
                     {"angle_attrs", value_map{{"units", "deg"}}},
                     {"image_key", array::of(keys)},
                     {"slab_of_row", array::of(slab_of_row)},
                     {"axis", s.axis()},
                     {"dark", array::of(what_->dark)},
                     {"flat", shaped(flat, {s.rows, s.columns})},
                     {"read_noise", read_noise},
                     {"sinograms", shaped(sinograms(), {s.slabs, s.projections, s.columns})},
                     {"slices", shaped(slices(), {s.slabs, s.columns, s.columns})}};
  }

 private:
  std::vector<float> sinograms() const {
    auto& s = what_->s;
    std::vector<float> all;
    all.reserve(s.slabs * s.projections * s.columns);
    for (std::size_t slab = 0; slab < s.slabs; ++slab)
      for (std::uint64_t n = 0; n < s.projections; ++n)
        for (auto sum : what_->line_integrals(slab, radians(angle_deg(s, s.darks + s.flats + n))))
          all.push_back(static_cast<float>(sum));
    return all;
  }

  /// Element [i][j] is at x = j - middle, y = i - middle, in pixels from the axis.
  std::vector<float> slices() const {
    auto& s = what_->s;
    auto middle = 0.5 * static_cast<double>(s.columns - 1);
    std::vector<float> all;
    all.reserve(s.slabs * s.columns * s.columns);
    for (std::size_t slab = 0; slab < s.slabs; ++slab)
      for (std::size_t i = 0; i < s.columns; ++i)
        for (std::size_t j = 0; j < s.columns; ++j)
          all.push_back(static_cast<float>(
              what_->density(slab, static_cast<double>(j) - middle, static_cast<double>(i) - middle)));
    return all;
  }

  std::shared_ptr<const sample> what_;
};

} // namespace

std::shared_ptr<const scene> make_tomography(const protocol_options& options, const std::filesystem::path&) {
  return std::make_shared<tomography>(read_settings(options));
}

} // namespace dtranspose
