#include "instrument/sardana_series.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "instrument/pixels.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/array_view.hpp"
#include "protocol/sardana.hpp"

namespace dtranspose {

namespace {

/// Elements of a spectrum: with 20 digits each they fit a body.
constexpr std::uint64_t spectrum_limit = sardana_body_limit / 24;

struct sardana_choice {
  std::optional<std::uint64_t> first_point;
  std::int64_t serialno = 1;
  std::uint64_t counters = 2;
  bool spectrum = false, nan = false, custom = false;
};

sardana_choice choice_of(const series_settings& settings) {
  option_reader options(settings.options);
  sardana_choice what;
  auto first = options.choice("point_nb", {"0", "1", "none"});
  if (first != "none") what.first_point = first == "1" ? 1 : 0;
  what.serialno = static_cast<std::int64_t>(options.whole("serialno", 1, 0, std::uint64_t{1} << 62));
  what.counters = options.whole("counters", 2, 0, 1000);
  what.spectrum = options.flag("spectrum", false);
  what.nan = options.flag("nan", false);
  what.custom = options.flag("custom", false);
  options.finish();
  if (what.spectrum && bytes_of(settings.shape, settings.type) / size_of(settings.type) > spectrum_limit)
    throw std::runtime_error(fmt::format("shape: a spectrum has at most {} elements", spectrum_limit));
  return what;
}

class sardana_series final : public series_generator {
 public:
  explicit sardana_series(const series_settings& settings)
      : settings_(settings), what_(choice_of(settings)) {}

  std::optional<stream_data> next() override {
    auto place = made_++;
    if (what_.custom && custom_is_due_) {
      --made_;
      custom_is_due_ = false;
      return sardana_message(sardana_custom_path, R"({"remark":"nothing of interest"})");
    }
    if (place == 0) return sardana_message(sardana_description_path, description());
    if (place <= settings_.frames) {
      custom_is_due_ = what_.custom;
      return sardana_message(sardana_record_path, record(place - 1));
    }
    if (place == settings_.frames + 1) return sardana_message(sardana_end_path, write_sardana_end());
    return std::nullopt;
  }

  std::uint64_t entries() const override { return settings_.frames + 2; }
  double messages_per_frame() const override { return what_.custom ? 2 : 1; }

 private:
  const readings_view* view() const { return settings_.view.readings.get(); }

  static std::string counter_name(std::uint64_t i) { return fmt::format("ct{:02}", i + 1); }

  std::string description() const {
    sardana_description d;
    d.serialno = what_.serialno;
    d.title = fmt::format("ascan mot01 0.0 1.0 {} 0.1", settings_.frames);
    d.scandir = "/tmp";
    d.scanfile = "simulated.h5";
    d.starttime = "2025-01-01T00:00:00.000000";
    d.total_scan_intervals = static_cast<std::int64_t>(settings_.frames) - 1;
    if (view()) {
      d.title = view()->title();
      for (auto& column : view()->columns())
        d.columns.push_back({.name = column.name, .label = column.name, .dtype = "float64"});
      return write_sardana_description(d);
    }
    d.ref_moveables = {"mot01"};
    d.columns.push_back({.name = "mot01", .label = "mot01", .dtype = "float64", .is_reference = true});
    for (std::uint64_t i = 0; i < what_.counters; ++i) {
      d.counters.push_back(counter_name(i));
      d.columns.push_back({.name = counter_name(i), .label = counter_name(i), .dtype = "float64"});
    }
    if (what_.spectrum)
      d.columns.push_back({.name = "mca01",
                           .label = "mca01",
                           .dtype = std::string(name_of(settings_.type)),
                           .shape = settings_.shape});
    return write_sardana_description(d);
  }

  std::string record(std::uint64_t n) const {
    sardana_record r;
    if (what_.first_point) r.point_nb = *what_.first_point + n;
    auto intervals = static_cast<double>(std::max<std::uint64_t>(settings_.frames, 2) - 1);
    r.timestamp = 0.1 * static_cast<double>(n);
    if (view()) {
      auto numbers = view()->at(settings_.first_frame + n);
      auto columns = view()->columns();
      for (std::size_t i = 0; i < columns.size(); ++i) r.columns.set(columns[i].name, numbers[i]);
      r.columns.set("sent_ns", realtime_ns());
      return write_sardana_record(r);
    }
    r.columns.set("mot01", static_cast<double>(n) / intervals);
    for (std::uint64_t i = 0; i < what_.counters; ++i) r.columns.set(counter_name(i), count_of(n, i));
    if (what_.spectrum) r.columns.set("mca01", spectrum(n));
    r.columns.set("sent_ns", realtime_ns());
    return write_sardana_record(r);
  }

  /// Some number that everybody can tell.
  value count_of(std::uint64_t n, std::uint64_t counter) const {
    if (what_.nan && counter == 0 && n % 3 == 2) return std::numeric_limits<double>::quiet_NaN();
    return (settings_.seed * 31 + n * 1000 + counter) % 1'000'000;
  }

  array spectrum(std::uint64_t n) const {
    auto bytes = bytes_of(settings_.shape, settings_.type);
    auto data = std::make_shared_for_overwrite<std::byte[]>(bytes);
    fill_pixels({data.get(), bytes}, settings_.type, settings_.seed, n);
    return array(settings_.type, settings_.shape, std::move(data));
  }

  series_settings settings_;
  sardana_choice what_;
  std::uint64_t made_ = 0; ///< messages, custom data left out
  bool custom_is_due_ = false;
};

} // namespace

std::unique_ptr<series_generator> make_sardana_series(const series_settings& settings) {
  return std::make_unique<sardana_series>(settings);
}

} // namespace dtranspose
