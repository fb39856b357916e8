#include "instrument/contrast_series.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "instrument/noise.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/contrast.hpp"

namespace dtranspose {

namespace {

constexpr std::uint64_t whole_limit = std::numeric_limits<std::int64_t>::max();
/// Elements of all arrays of one point: well within what a message may hold.
constexpr std::uint64_t readings_limit = 1'000'000;
constexpr double exposure_s = 0.1, overhead_s = 0.28;
constexpr std::string_view directory = "/data/generated/raw";

/// The places from which the numbers of one point are drawn.
constexpr std::uint64_t places_of_point = std::uint64_t{1} << 32;
constexpr std::uint64_t place_of_motors = 16, place_of_counters = std::uint64_t{1} << 16;

struct contrast_settings {
  std::uint64_t frames = 0, seed = 0;
  std::uint64_t columns = 1, rows = 1;
  std::uint64_t motors = 0, counters = 0, readings = 1;
  bool positions_are_arrays = false;
  std::uint64_t heartbeat_every = 0, scannr = 1;
  contrast_status end = contrast_status::finished;
  std::shared_ptr<const readings_view> view = {};
  std::uint64_t first_frame = 0;
};

/// Enough for all points in about as many rows.
std::uint64_t square_columns(std::uint64_t points) {
  std::uint64_t columns = 1;
  while (columns < points / columns) ++columns;
  return columns;
}

contrast_settings read_settings(const series_settings& settings) {
  contrast_settings s{.frames = settings.frames, .seed = settings.seed};
  s.view = settings.view.readings;
  s.first_frame = settings.first_frame;
  option_reader options(settings.options);
  s.columns = options.whole("columns", square_columns(s.frames), 1, whole_limit);
  s.motors = options.whole("motors", 2, 0, 1000);
  s.counters = options.whole("counters", 3, 0, 1000);
  s.readings = options.whole("readings", 1, 1, 1'000'000);
  s.positions_are_arrays = options.choice("positions", {"float", "array"}) == "array";
  s.heartbeat_every = options.whole("heartbeat_every", 10, 0, whole_limit);
  s.scannr = options.whole("scannr", 1, 0, whole_limit);
  auto end = options.choice("end", {"finished", "interrupted"});
  s.end = end == "finished" ? contrast_status::finished : contrast_status::interrupted;
  options.finish();
  if (s.counters * s.readings > readings_limit)
    throw std::runtime_error(fmt::format("options counters, readings: {} elements are more than {}",
                                         s.counters * s.readings, readings_limit));
  s.rows = std::max<std::uint64_t>(1, s.frames / s.columns + (s.frames % s.columns != 0));
  return s;
}

double noise_of(const contrast_settings& s, std::uint64_t point, std::uint64_t place) {
  return noise(s.seed, point * places_of_point + place);
}

/// The `step`-th of `steps` from -2 to 2, and a bit of noise.
double on_axis(std::uint64_t step, std::uint64_t steps, double noise) {
  const double width = steps > 1 ? 4 / static_cast<double>(steps - 1) : 0;
  return -2 + width * (static_cast<double>(step) + 0.02 * (noise - 0.5));
}

/// What the view reads at that point, by name.
value_map readings_of(const contrast_settings& s, std::uint64_t point) {
  value_map readings;
  auto numbers = s.view->at(s.first_frame + point);
  auto columns = s.view->columns();
  for (std::size_t i = 0; i < columns.size(); ++i) readings.set(columns[i].name, numbers[i]);
  return readings;
}

double number_in(const value_map& readings, std::string_view name) {
  auto found = readings.find(name);
  return found ? found->as_number().value_or(0) : 0;
}

contrast_position position_of(const contrast_settings& s, std::uint64_t point) {
  if (s.view) {
    auto readings = readings_of(s, point);
    return {number_in(readings, "sx"), number_in(readings, "sy")};
  }
  return {on_axis(point / s.columns, s.rows, noise_of(s, point, 0)),
          on_axis(point % s.columns, s.columns, noise_of(s, point, 1))};
}

value one_element(double x) { return array::of(std::vector<double>{x}); }

value_map counters_of(const contrast_settings& s, std::uint64_t point) {
  value_map panda;
  panda.reserve(s.counters + 1);
  for (std::uint64_t i = 0; i < s.counters; ++i) {
    std::vector<double> readings(s.readings);
    for (std::uint64_t k = 0; k < s.readings; ++k)
      readings[k] = noise_of(s, point, place_of_counters + i * s.readings + k);
    panda.set(fmt::format("COUNTER{}.OUT_Value", i + 1), array::of(readings));
  }
  panda.set("PCAP.TS_TRIG_Value", one_element(exposure_s + 0.01 * noise_of(s, point, 2)));
  return panda;
}

value link_to_spectra(const contrast_settings& s) {
  return to_value(contrast_link{.filename = fmt::format("{}/scan_{:06}_xspress3.hdf5", directory, s.scannr),
                                .path = "/entry/instrument/xspress3/",
                                .universal = true});
}

contrast_point make_point(const contrast_settings& s, std::uint64_t number) {
  auto at = position_of(s, number);
  contrast_point point;
  point.dt = (exposure_s + overhead_s) * static_cast<double>(number + 1);
  auto& fields = point.fields;
  fields.set("sx", s.positions_are_arrays ? one_element(at.sx) : value(at.sx));
  fields.set("sy", s.positions_are_arrays ? one_element(at.sy) : value(at.sy));
  for (std::uint64_t i = 0; i < s.motors; ++i)
    fields.set(fmt::format("motor{}", i + 1), noise_of(s, number, place_of_motors + i));
  auto measured = [&](double x, std::uint64_t place) {
    return one_element(s.view ? x : x + 1e-3 * noise_of(s, number, place));
  };
  fields.set("pseudo", value_map{{"x", measured(at.sx, 3)}, {"y", measured(at.sy, 4)}});
  fields.set("panda0", counters_of(s, number));
  fields.set("xspress3", link_to_spectra(s));
  if (s.view)
    for (auto& [name, reading] : readings_of(s, number))
      if (!fields.find(name)) fields.set(name, reading);
  fields.set("sent_ns", realtime_ns());
  return point;
}

contrast_scan make_scan(const contrast_settings& s, contrast_status status) {
  contrast_scan scan;
  scan.status = status;
  scan.scannr = static_cast<std::int64_t>(s.scannr);
  scan.path = directory;
  scan.description =
      s.view ? s.view->title()
             : fmt::format("mesh sx -2 2 {} sy -2 2 {} {}", s.rows - 1, s.columns - 1, exposure_s);
  const bool after = status != contrast_status::started;
  auto at = after && s.frames > 0 ? position_of(s, s.frames - 1) : contrast_position{};
  scan.snapshot = {{"sx", at.sx}, {"sy", at.sy}, {"energy", 12000.0}};
  for (std::uint64_t i = 0; i < s.motors; ++i) scan.snapshot.set(fmt::format("motor{}", i + 1), 0.0);
  return scan;
}

stream_data message(std::vector<std::byte> pickle) {
  std::vector<std::vector<std::byte>> parts;
  parts.push_back(std::move(pickle));
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), contrast_type_tag);
}

class contrast_series final : public series_generator {
 public:
  explicit contrast_series(contrast_settings s)
      : settings_(std::move(s)), heartbeat_due_(settings_.heartbeat_every > 0) {}

  std::optional<stream_data> next() override {
    if (std::exchange(heartbeat_due_, false)) return message(write_contrast_heartbeat());
    if (made_ == entries()) return std::nullopt;
    auto place = made_++;
    heartbeat_due_ = is_followed_by_heartbeat(place);
    if (place == 0) return message(write_contrast_scan(make_scan(settings_, contrast_status::started)));
    if (place > settings_.frames) return message(write_contrast_scan(make_scan(settings_, settings_.end)));
    return message(write_contrast_point(make_point(settings_, place - 1)));
  }

  std::uint64_t entries() const override { return settings_.frames + 2; }

  double messages_per_frame() const override {
    return settings_.heartbeat_every == 0 ? 1 : 1 + 1 / static_cast<double>(settings_.heartbeat_every);
  }

 private:
  bool is_followed_by_heartbeat(std::uint64_t place) const {
    if (settings_.heartbeat_every == 0 || place == 0) return false;
    return place > settings_.frames || place % settings_.heartbeat_every == 0;
  }

  contrast_settings settings_;
  std::uint64_t made_ = 0; ///< entries
  bool heartbeat_due_;
};

} // namespace

std::unique_ptr<series_generator> make_contrast_series(const series_settings& settings) {
  return std::make_unique<contrast_series>(read_settings(settings));
}

contrast_position contrast_series_position(const series_settings& settings, std::uint64_t number) {
  return position_of(read_settings(settings), number);
}

} // namespace dtranspose
