#include "beamline/powder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "beamline/chance.hpp"
#include "beamline/geometry.hpp"
#include "protocol/compression.hpp"

namespace dtranspose {

namespace {

constexpr double lattice_nm = 0.415682;

struct reflection {
  int squares; ///< h^2 + k^2 + l^2
  double intensity;
};

/// Of LaB6, rounded: what matters is that rings differ.
constexpr reflection reflections[] = {{1, 0.54},  {2, 1.00},  {3, 0.41},  {4, 0.22},  {5, 0.47},  {6, 0.25},
                                      {8, 0.08},  {9, 0.23},  {10, 0.18}, {11, 0.11}, {12, 0.03}, {13, 0.10},
                                      {14, 0.14}, {16, 0.03}, {17, 0.09}, {18, 0.06}, {19, 0.05}, {21, 0.05}};

constexpr std::size_t module_rows = 195, gap_rows = 17, module_columns = 487, gap_columns = 7;
constexpr std::int32_t gap_pixel = -1;
/// One block of bitshuffle's default size.
constexpr std::size_t piece_bytes = 8192, piece_pixels = piece_bytes / sizeof(std::int32_t);
/// Length word and block size before the blocks.
constexpr std::size_t blob_head_bytes = 12;
constexpr std::size_t detector_pixels_limit = std::size_t{1} << 27;

constexpr double i0_ampere = 2e-7, i0_noise = 1e-3;
constexpr double camera_offset = 64, camera_read_noise = 3, camera_peak = 3000;
constexpr std::uint64_t camera_patterns = 4;

/// What chance is asked for.
enum class draw : std::uint64_t { pixels, pieces, monitor, spot, camera_noise };

chance chance_of(std::uint64_t seed, draw what, std::uint64_t place) {
  return {seed, static_cast<std::uint64_t>(what), place};
}

struct settings {
  detector_geometry geometry;
  std::uint64_t frames = 1000;
  double peak = 30, background = 2, ring_width = 0.15, drift = 0.1;
  std::uint64_t levels = 4, variants = 4;
  std::size_t camera_rows = 1200, camera_columns = 1920;
  double beam_width = 15, wander = 0.05;
  bool noise = true;
  std::uint64_t seed = 1;
};

void read_camera(settings& s, const std::string& text) {
  auto cross = text.find('x');
  try {
    protocol_options both{{"rows", text.substr(0, cross)},
                          {"columns", cross == std::string::npos ? "" : text.substr(cross + 1)}};
    option_reader sizes(both);
    s.camera_rows = sizes.whole("rows", 0, 8, 16'384);
    s.camera_columns = sizes.whole("columns", 0, 8, 16'384);
  } catch (const std::runtime_error&) {
    throw std::runtime_error(
        fmt::format("option camera: '{}' is not of the form ROWSxCOLUMNS with 8 to 16384 of each", text));
  }
}

std::filesystem::path found_in(const std::filesystem::path& folder, const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(folder / file, ignored) ? folder / file : file;
}

settings read_settings(const protocol_options& options, const std::filesystem::path& folder) {
  settings s;
  option_reader in(options);
  auto file = in.text("geometry");
  s.frames = in.whole("frames", s.frames, 1, 10'000'000);
  s.peak = in.number("peak", s.peak, 0, 1e6);
  s.background = in.number("background", s.background, 0, 1e6);
  s.ring_width = in.number("ring_width", s.ring_width, 1e-4, 10);
  s.drift = in.number("drift", s.drift, 0, 0.5);
  s.levels = in.whole("levels", s.levels, 1, 64);
  s.variants = in.whole("variants", s.variants, 1, 64);
  read_camera(s, in.text("camera", "1200x1920"));
  s.beam_width = in.number("beam_width", s.beam_width, 0.5, 1000);
  s.wander = in.number("wander", s.wander, 0, 0.4);
  s.noise = in.flag("noise", s.noise);
  s.seed = in.whole("seed", s.seed, 0, std::uint64_t{1} << 62);
  in.finish();
  if (file.empty()) throw std::runtime_error("option geometry: is missing; it names a .poni file");
  s.geometry = read_geometry(found_in(folder, file));
  if (s.geometry.rows == 0 || s.geometry.columns == 0 ||
      s.geometry.rows > detector_pixels_limit / s.geometry.columns)
    throw std::runtime_error(
        fmt::format("{}: max_shape must be of 1 to {} pixels", file, detector_pixels_limit));
  if (!s.noise) s.variants = 1;
  return s;
}

double ring_q(const reflection& r) {
  return 2 * std::numbers::pi / lattice_nm * std::sqrt(static_cast<double>(r.squares));
}

/// The step that the intensity is at in that frame: a slow decay with a wave in it, from 0 to levels - 1.
std::uint64_t level_of(const settings& s, std::uint64_t frame) {
  auto phase = static_cast<double>(frame) / static_cast<double>(s.frames);
  auto height = 0.5 * (1 - phase) + 0.25 + 0.25 * std::sin(2 * std::numbers::pi * 3 * phase);
  return std::min(s.levels - 1, static_cast<std::uint64_t>(height * static_cast<double>(s.levels)));
}

/// Intensity at a step, at most 1.
double intensity_of(const settings& s, std::uint64_t level) {
  if (s.levels == 1) return 1;
  return 1 - s.drift * static_cast<double>(s.levels - 1 - level) / static_cast<double>(s.levels - 1);
}

bool in_gap(std::size_t row, std::size_t column) {
  return row % (module_rows + gap_rows) >= module_rows ||
         column % (module_columns + gap_columns) >= module_columns;
}

/// Counts of a pixel in the mean at an intensity of 1; -1 in gaps.
std::vector<float> expected_image(const settings& s) {
  auto& g = s.geometry;
  std::vector<float> image(g.rows * g.columns);
  for (std::size_t row = 0; row < g.rows; ++row)
    for (std::size_t column = 0; column < g.columns; ++column) {
      auto& pixel = image[row * g.columns + column];
      pixel = gap_pixel;
      if (in_gap(row, column)) continue;
      auto at = scattering_at(g, static_cast<double>(row) + 0.5, static_cast<double>(column) + 0.5);
      auto counts = s.background * std::exp(-at.q / 40);
      for (auto& r : reflections) {
        auto off = (at.q - ring_q(r)) / s.ring_width;
        if (std::abs(off) < 8) counts += s.peak * r.intensity * std::exp(-0.5 * off * off);
      }
      pixel = static_cast<float>(counts * at.solid_angle);
    }
  return image;
}

/// All pieces of all images.
class piece_store {
 public:
  explicit piece_store(const settings& s)
      : levels_(s.levels), variants_(s.variants), pixels_(s.geometry.rows * s.geometry.columns),
        pieces_((pixels_ + piece_pixels - 1) / piece_pixels) {
    auto expected = expected_image(s);
    std::vector<std::int32_t> image(pixels_);
    for (std::uint64_t level = 0; level < levels_; ++level)
      for (std::uint64_t variant = 0; variant < variants_; ++variant) {
        fill(image, expected, s, level, variant);
        add(image);
      }
  }

  /// Both numbers are big endian: bytes of the image, bytes of a block.
  static std::vector<std::byte> head_of(std::uint64_t bytes) {
    std::vector<std::byte> head;
    for (int shift = 56; shift >= 0; shift -= 8) head.push_back(static_cast<std::byte>(bytes >> shift));
    for (int shift = 24; shift >= 0; shift -= 8) head.push_back(static_cast<std::byte>(piece_bytes >> shift));
    return head;
  }

  std::size_t pieces() const { return pieces_; }
  std::uint64_t variants() const { return variants_; }

  /// A piece, compressed. Behind the last block there may be some bytes that are not.
  std::span<const std::byte> piece(std::uint64_t level, std::uint64_t variant, std::size_t i) const {
    auto& blob = blobs_[level * variants_ + variant];
    return std::span(blob.bytes).subspan(blob.ends[i], blob.ends[i + 1] - blob.ends[i]);
  }

  /// Counts in a piece, gaps included.
  std::int64_t sum(std::uint64_t level, std::uint64_t variant, std::size_t i) const {
    return blobs_[level * variants_ + variant].sums[i];
  }

  /// What stands before the pieces of every image.
  std::span<const std::byte> head() const { return head_; }

 private:
  struct compressed_image {
    std::vector<std::byte> bytes;
    std::vector<std::size_t> ends = {0}; ///< of the piece before: where the next one begins
    std::vector<std::int64_t> sums;      ///< of the pieces
  };

  static void fill(std::vector<std::int32_t>& image, const std::vector<float>& expected, const settings& s,
                   std::uint64_t level, std::uint64_t variant) {
    auto random = chance_of(s.seed, draw::pixels, level * s.variants + variant);
    auto intensity = intensity_of(s, level);
    for (std::size_t i = 0; i < image.size(); ++i) {
      auto mean = intensity * expected[i];
      if (mean < 0)
        image[i] = gap_pixel;
      else
        image[i] = static_cast<std::int32_t>(s.noise ? static_cast<double>(random.poisson(mean))
                                                     : std::floor(mean + 0.5));
    }
  }

  void add(const std::vector<std::int32_t>& image) {
    compressed_image made;
    if (head_.empty()) head_ = head_of(std::span(image).size_bytes());
    for (auto rest = std::span(image); !rest.empty();) {
      auto piece = rest.first(std::min(rest.size(), piece_pixels));
      auto blob = compress(codec::bslz4, sizeof(std::int32_t), std::as_bytes(piece));
      made.bytes.insert(made.bytes.end(), blob.begin() + blob_head_bytes, blob.end());
      made.ends.push_back(made.bytes.size());
      made.sums.push_back(std::accumulate(piece.begin(), piece.end(), std::int64_t{0}));
      rest = rest.subspan(piece.size());
    }
    blobs_.push_back(std::move(made));
  }

  std::uint64_t levels_, variants_;
  std::size_t pixels_, pieces_;
  std::vector<std::byte> head_;
  std::vector<compressed_image> blobs_;
};

/// Which variant each piece of an image has.
class piece_choice {
 public:
  piece_choice(const settings& s, std::uint64_t frame)
      : random_(chance_of(s.seed, draw::pieces, frame)), variants_(s.variants) {}

  std::uint64_t next() { return random_.bits() % variants_; }

 private:
  chance random_;
  std::uint64_t variants_;
};

class rings_view final : public camera_view {
 public:
  explicit rings_view(const settings& s) : s_(s) {}

  dtype type() const override { return dtype::int32; }
  std::vector<std::size_t> shape() const override { return {s_.geometry.rows, s_.geometry.columns}; }

  void fill(std::uint64_t frame, std::span<std::byte> pixels) const override {
    decompress(codec::bslz4, sizeof(std::int32_t), compressed(frame), pixels);
  }

  std::vector<std::byte> compressed(std::uint64_t frame) const override {
    auto& store = pieces();
    auto level = level_of(s_, frame);
    std::vector<std::span<const std::byte>> parts = {store.head()};
    std::size_t size = store.head().size();
    piece_choice choice(s_, frame);
    for (std::size_t i = 0; i < store.pieces(); ++i) {
      parts.push_back(store.piece(level, choice.next(), i));
      size += parts.back().size();
    }
    std::vector<std::byte> blob;
    blob.reserve(size);
    for (auto& part : parts) blob.insert(blob.end(), part.begin(), part.end());
    return blob;
  }

  /// All images of the scan, summed, and the counts of each; gaps are -1 in both as in images.
  void sum_up(std::vector<std::int64_t>& image, std::vector<std::int64_t>& totals) const {
    auto& store = pieces();
    std::vector<std::int64_t> uses(s_.levels * s_.variants * store.pieces());
    totals.assign(s_.frames, 0);
    for (std::uint64_t frame = 0; frame < s_.frames; ++frame) {
      auto level = level_of(s_, frame);
      piece_choice choice(s_, frame);
      for (std::size_t i = 0; i < store.pieces(); ++i) {
        auto variant = choice.next();
        ++uses[(level * s_.variants + variant) * store.pieces() + i];
        totals[frame] += store.sum(level, variant, i);
      }
    }
    image.assign(s_.geometry.rows * s_.geometry.columns, 0);
    for (std::size_t use = 0; use < uses.size(); ++use) {
      if (uses[use] == 0) continue;
      auto i = use % store.pieces(), which = use / store.pieces();
      auto pixels = decompressed(store.piece(which / s_.variants, which % s_.variants, i), i);
      for (std::size_t p = 0; p < pixels.size(); ++p) image[i * piece_pixels + p] += pixels[p] * uses[use];
    }
  }

 private:
  std::vector<std::int32_t> decompressed(std::span<const std::byte> piece, std::size_t i) const {
    std::vector<std::int32_t> pixels(
        std::min(piece_pixels, s_.geometry.rows * s_.geometry.columns - i * piece_pixels));
    // Alone it is an image of that size.
    auto out = std::as_writable_bytes(std::span(pixels));
    auto blob = piece_store::head_of(out.size());
    blob.insert(blob.end(), piece.begin(), piece.end());
    decompress(codec::bslz4, sizeof(std::int32_t), blob, out);
    return pixels;
  }

  const piece_store& pieces() const {
    std::call_once(once_, [this] { pieces_ = std::make_unique<const piece_store>(s_); });
    return *pieces_;
  }

  settings s_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const piece_store> pieces_;
};

/// Where the beam is on the camera; the middle of pixel (0, 0) is at 0.
detector_place spot_at(const settings& s, std::uint64_t frame) {
  auto turn = 2 * std::numbers::pi * static_cast<double>(frame);
  auto random = chance_of(s.seed, draw::spot, frame);
  auto rows = static_cast<double>(s.camera_rows), columns = static_cast<double>(s.camera_columns);
  auto shake = s.noise ? 0.3 : 0.0;
  return {0.5 * (rows - 1) + s.wander * rows * std::sin(turn / 190) + shake * random.gauss(),
          0.5 * (columns - 1) + s.wander * columns * std::cos(turn / 310) + shake * random.gauss()};
}

class beam_view final : public camera_view {
 public:
  explicit beam_view(const settings& s) : s_(s) {}

  dtype type() const override { return dtype::uint16; }
  std::vector<std::size_t> shape() const override { return {s_.camera_rows, s_.camera_columns}; }

  void fill(std::uint64_t frame, std::span<std::byte> pixels) const override {
    auto& dark = darks()[frame % darks().size()];
    std::memcpy(pixels.data(), dark.data(), pixels.size());
    add_spot(frame, pixels);
  }

 private:
  using image = std::vector<std::uint16_t>;

  const std::vector<image>& darks() const {
    std::call_once(once_, [this] {
      for (std::uint64_t i = 0; i < (s_.noise ? camera_patterns : 1); ++i) {
        image made(s_.camera_rows * s_.camera_columns, static_cast<std::uint16_t>(camera_offset));
        auto random = chance_of(s_.seed, draw::camera_noise, i);
        if (s_.noise)
          for (auto& pixel : made)
            pixel =
                static_cast<std::uint16_t>(std::lround(camera_offset + camera_read_noise * random.gauss()));
        darks_.push_back(std::move(made));
      }
    });
    return darks_;
  }

  /// The profile along one axis where it is not nothing: from `first` on.
  static std::vector<double> profile(double centre, double width, std::size_t extent, std::size_t& first) {
    auto low = std::clamp(std::floor(centre - 6 * width), 0.0, static_cast<double>(extent));
    auto high = std::clamp(std::ceil(centre + 6 * width) + 1, 0.0, static_cast<double>(extent));
    first = static_cast<std::size_t>(low);
    std::vector<double> heights;
    for (auto x = low; x < high; ++x)
      heights.push_back(std::exp(-0.5 * (x - centre) * (x - centre) / width / width));
    return heights;
  }

  void add_spot(std::uint64_t frame, std::span<std::byte> pixels) const {
    auto centre = spot_at(s_, frame);
    auto peak = camera_peak * intensity_of(s_, level_of(s_, frame));
    std::size_t first_row = 0, first_column = 0;
    auto rows = profile(centre.row, 0.7 * s_.beam_width, s_.camera_rows, first_row);
    auto columns = profile(centre.column, s_.beam_width, s_.camera_columns, first_column);
    chance random(s_.seed, static_cast<std::uint64_t>(draw::camera_noise), (frame + 1) * camera_patterns);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      auto line =
          pixels.data() + ((first_row + r) * s_.camera_columns + first_column) * sizeof(std::uint16_t);
      for (std::size_t c = 0; c < columns.size(); ++c) {
        std::uint16_t pixel = 0;
        std::memcpy(&pixel, line + c * sizeof pixel, sizeof pixel);
        auto mean = peak * rows[r] * columns[c];
        auto light = s_.noise ? static_cast<double>(random.poisson(mean)) : std::floor(mean + 0.5);
        pixel = static_cast<std::uint16_t>(pixel + light);
        std::memcpy(line + c * sizeof pixel, &pixel, sizeof pixel);
      }
    }
  }

  settings s_;
  mutable std::once_flag once_;
  mutable std::vector<image> darks_;
};

class monitor_view final : public readings_view {
 public:
  explicit monitor_view(const settings& s) : s_(s) {}

  std::vector<reading_column> columns() const override { return {{"i0", "A", 1e-15}}; }

  std::vector<double> at(std::uint64_t frame) const override {
    auto current = i0_ampere * intensity_of(s_, level_of(s_, frame));
    if (s_.noise) current *= 1 + i0_noise * chance_of(s_.seed, draw::monitor, frame).gauss();
    return {current};
  }

 private:
  settings s_;
};

/// The position of the sample, which moves evenly from -1 to 1 mm.
double sample_x(const settings& s, std::uint64_t frame) {
  return s.frames < 2 ? 0 : -1 + 2 * static_cast<double>(frame) / static_cast<double>(s.frames - 1);
}

class points_view final : public readings_view {
 public:
  explicit points_view(const settings& s) : s_(s) {}

  std::vector<reading_column> columns() const override {
    return {{"sample_x", "mm", 1e-4}, {"ring_current", "mA", 1e-3}};
  }
  std::vector<double> at(std::uint64_t frame) const override {
    return {sample_x(s_, frame), 300 * intensity_of(s_, level_of(s_, frame))};
  }
  std::string title() const override { return fmt::format("ascan sample_x -1 1 {} 0.01", s_.frames - 1); }

 private:
  settings s_;
};

class powder final : public scene {
 public:
  explicit powder(const settings& s) : s_(s), rings_(std::make_shared<rings_view>(s_)) {}

  std::uint64_t frames() const override { return s_.frames; }
  std::vector<std::string_view> roles() const override { return {"rings", "beam", "i0", "points"}; }

  instrument_view view(std::string_view role) const override {
    if (role == "rings") return {.camera = rings_};
    if (role == "beam") return {.camera = std::make_shared<beam_view>(s_)};
    if (role == "i0") return {.readings = std::make_shared<monitor_view>(s_)};
    if (role == "points") return {.readings = std::make_shared<points_view>(s_)};
    refuse(role);
  }

  value_map truth() const override {
    std::vector<double> intensity, current, row, column, position;
    for (std::uint64_t frame = 0; frame < s_.frames; ++frame) {
      intensity.push_back(intensity_of(s_, level_of(s_, frame)));
      current.push_back(i0_ampere * intensity.back());
      auto spot = spot_at(s_, frame);
      row.push_back(spot.row);
      column.push_back(spot.column);
      position.push_back(sample_x(s_, frame));
    }
    return value_map{{"i0", array::of(current)},
                     {"i0_attrs", value_map{{"units", "A"}}},
                     {"intensity", array::of(intensity)},
                     {"sample_x", array::of(position)},
                     {"sample_x_attrs", value_map{{"units", "mm"}}},
                     {"rings", truth_of_rings()},
                     {"beam", value_map{{"row", array::of(row)},
                                        {"column", array::of(column)},
                                        {"sigma_row", 0.7 * s_.beam_width},
                                        {"sigma_column", s_.beam_width},
                                        {"offset", camera_offset},
                                        {"peak", camera_peak}}}};
  }

 private:
  value_map truth_of_rings() const {
    auto& g = s_.geometry;
    std::vector<double> q, heights;
    for (auto& r : reflections) {
      q.push_back(ring_q(r));
      heights.push_back(s_.peak * r.intensity);
    }
    auto image = expected_image(s_);
    std::vector<std::int64_t> sum, totals;
    rings_->sum_up(sum, totals);
    auto centre = beam_centre(g);
    return {{"q", array::of(q)},
            {"q_attrs", value_map{{"units", "1/nm"}}},
            {"heights", array::of(heights)},
            {"sigma_q", s_.ring_width},
            {"background", s_.background},
            {"image", array::of(std::span<const float>(image), {g.rows, g.columns})},
            {"sum", array::of(std::span<const std::int64_t>(sum), {g.rows, g.columns})},
            {"totals", array::of(totals)},
            {"centre_row", centre.row},
            {"centre_column", centre.column},
            {"distance", g.distance},
            {"wavelength", g.wavelength},
            {"pixel_rows", g.pixel1},
            {"pixel_columns", g.pixel2}};
  }

  settings s_;
  std::shared_ptr<const rings_view> rings_;
};

} // namespace

std::shared_ptr<const scene> make_powder(const protocol_options& options,
                                         const std::filesystem::path& folder) {
  return std::make_shared<powder>(read_settings(options, folder));
}

} // namespace dtranspose
