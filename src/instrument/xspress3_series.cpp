#include "instrument/xspress3_series.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "instrument/noise.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

/// As an Xspress3 counts 0.1 s at 80 MHz.
constexpr std::uint32_t clock_ticks = 7'999'990;
constexpr double exptime_s = 0.099999875;
constexpr double clock_hz = 80e6;
constexpr std::int32_t event_width = 6;
/// Far more than any detector has; finds a shape with a digit too many.
constexpr std::uint64_t spectra_limit = std::uint64_t{1} << 26;
constexpr std::string_view filename = "/data/generated/raw/scan_000001_xspress3.hdf5";

struct xspress3_settings {
  series_settings series;
  bool multipart = true;
  std::uint64_t segments = 1;
  std::size_t counters = 9;
  int pickle = 4;
  bool exptime = true, compression = true;

  const spectrometer_view* view() const { return series.view.spectrometer.get(); }
  std::size_t channels() const { return series.shape[0]; }
  std::size_t bins() const { return series.shape[1]; }
};

xspress3_settings read_settings(const series_settings& settings) {
  xspress3_settings s{.series = settings};
  if (s.view()) s.series.shape = {s.view()->channels(), s.view()->bins()};
  option_reader options(settings.options);
  s.multipart = options.choice("form", {"multipart", "old"}) == "multipart";
  s.segments = options.whole("segments", 1, 1, std::max<std::uint64_t>(1, settings.frames));
  s.counters = options.whole("counters", s.multipart ? 9 : 8, 8, 9);
  s.pickle = static_cast<int>(options.whole("pickle", s.multipart ? 4 : 3, 3, 4));
  s.exptime = options.flag("exptime", true);
  s.compression = options.flag("compression", true);
  options.finish();
  if (s.series.shape.size() != 2)
    throw std::runtime_error(fmt::format("shape: spectra have 2 axes, not {}", settings.shape.size()));
  if (bytes_of(s.series.shape, dtype::uint32) > spectra_limit)
    throw std::runtime_error(
        fmt::format("shape: {} x {} spectra take more than {} bytes", s.channels(), s.bins(), spectra_limit));
  return s;
}

using counts = std::vector<std::uint32_t>;

array for_channels(const std::vector<double>& x) { return array::of(x); }
array for_channels(const counts& x) { return array::of(x); }

/// What a detector counts beside spectra.
struct dead_time {
  counts events, resets;   ///< [channels]
  std::uint32_t ticks = 0; ///< of the exposure
  double exposure_s = 0;
  double width_ticks = 0; ///< in which an event makes it blind, in its correction
};

/// Made up from the spectra.
dead_time dead_time_of(const counts& spectra, const xspress3_settings& s) {
  dead_time made{.ticks = clock_ticks, .exposure_s = exptime_s};
  for (std::size_t c = 0; c < s.channels(); ++c) {
    auto spectrum = std::span(spectra).subspan(c * s.bins(), s.bins());
    auto good = std::accumulate(spectrum.begin(), spectrum.end(), std::uint32_t{0});
    made.events.push_back(good + good / 64);
    made.resets.push_back(static_cast<std::uint32_t>(
        std::min<std::uint64_t>(clock_ticks / 2, std::uint64_t{91} * made.events[c])));
  }
  return made;
}

/// All counters. The correction is that of a real detector: ticks / (ticks - events * (event width + 1) -
/// reset ticks), where the events' part is left out of what is made up.
std::vector<array> counters_of(const counts& spectra, const dead_time& dead, const xspress3_settings& s) {
  const auto channels = s.channels(), bins = s.bins();
  counts good(channels), windows(2 * channels);
  std::vector<double> rates(channels), corrections(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    auto spectrum = std::span(spectra).subspan(c * bins, bins);
    good[c] = std::accumulate(spectrum.begin(), spectrum.end(), std::uint32_t{0});
    rates[c] = good[c] / dead.exposure_s;
    corrections[c] = dead.ticks / (dead.ticks - dead.events[c] * dead.width_ticks - dead.resets[c]);
    windows[c] =
        std::accumulate(spectrum.begin(), spectrum.begin() + static_cast<long>(bins / 2), std::uint32_t{0});
    windows[channels + c] = good[c] - windows[c];
  }
  const counts ticks(channels, dead.ticks);
  const std::vector<std::int32_t> widths(channels, event_width);
  std::vector<array> all = {for_channels(rates), for_channels(dead.events), for_channels(good),
                            for_channels(ticks), for_channels(ticks),       for_channels(dead.resets),
                            array::of(widths),   for_channels(corrections)};
  if (s.counters > 8) all.push_back(array::of(std::span<const std::uint32_t>(windows), {2, channels}));
  return all;
}

/// What images share, made once.
struct pattern {
  counts spectra;
  std::vector<std::byte> meta;
};

/// What the spectrometer sees in that frame.
std::shared_ptr<const pattern> seen_pattern(const xspress3_settings& s, std::uint64_t frame) {
  auto seen = std::make_shared<pattern>();
  seen->spectra.resize(s.channels() * s.bins());
  auto counters = s.view()->fill(frame, seen->spectra);
  dead_time dead{.events = std::move(counters.events),
                 .resets = std::move(counters.reset_ticks),
                 .ticks = static_cast<std::uint32_t>(std::lround(clock_hz * s.view()->exposure_s())),
                 .exposure_s = s.view()->exposure_s(),
                 .width_ticks = event_width + 1};
  seen->meta = write_xspress3_meta(counters_of(seen->spectra, dead, s), s.pickle);
  return seen;
}
using pattern_set = std::array<pattern, xspress3_patterns>;

std::shared_ptr<const pattern_set> patterns_of(const xspress3_settings& s) {
  auto patterns = std::make_shared<pattern_set>();
  for (std::uint64_t i = 0; i < xspress3_patterns; ++i) {
    auto& made = (*patterns)[i];
    made.spectra.resize(s.channels() * s.bins());
    fill_spectra(made.spectra, s.channels(), s.series.seed, i);
    made.meta = write_xspress3_meta(counters_of(made.spectra, dead_time_of(made.spectra, s), s), s.pickle);
  }
  return patterns;
}

/// One or more parts of an image: its header, and what it shares with others.
class generated_parts final : public frame_owner {
 public:
  generated_parts(std::string header, std::shared_ptr<const pattern> shown)
      : header_(std::move(header)), shown_(std::move(shown)) {}

  void set(std::initializer_list<frame> parts) {
    views_.assign(parts);
    set_frames(views_);
  }
  frame header() const { return {header_.data(), header_.size()}; }
  frame spectra() const { return frame(std::as_bytes(std::span(shown_->spectra))); }
  frame meta() const { return frame(std::span(shown_->meta)); }

 private:
  std::string header_;
  std::shared_ptr<const pattern> shown_;
  std::vector<frame> views_;
};

class xspress3_series final : public series_generator {
 public:
  explicit xspress3_series(xspress3_settings s)
      : settings_(std::move(s)), patterns_(settings_.view() ? nullptr : patterns_of(settings_)) {}

  std::optional<stream_data> next() override {
    if (made_ == entries()) return std::nullopt;
    if (made_ == 0) return ++made_, start();
    if (made_ > settings_.series.frames) return ++made_, end();
    if (settings_.multipart) return image(made_++ - 1);
    auto piece = piece_++;
    if (piece_ < 3) return piece_of_image(made_ - 1, piece);
    piece_ = 0;
    return piece_of_image(made_++ - 1, piece);
  }

  std::uint64_t entries() const override { return settings_.series.frames + 2; }
  double messages_per_frame() const override { return settings_.multipart ? 1 : 3; }

 private:
  stream_data start() const {
    xspress3_header header;
    header.filename = filename;
    if (settings_.counters > 8) {
      std::vector<std::int64_t> limits(4 * settings_.channels());
      auto half = static_cast<std::int64_t>(settings_.bins() / 2);
      for (std::size_t c = 0; c < settings_.channels(); ++c) {
        limits[2 * c + 1] = limits[2 * (settings_.channels() + c)] = half;
        limits[2 * (settings_.channels() + c) + 1] = static_cast<std::int64_t>(settings_.bins());
      }
      header.limits = array::of(std::span<const std::int64_t>(limits), {2, settings_.channels(), 2});
      header.extra_tags = {"output_count_rate", "all_events",           "all_good",
                           "clock_ticks",       "total_ticks",          "reset_ticks",
                           "event_width",       "dead_time_correction", "window_counts"};
    }
    std::string text;
    write_xspress3_header(text, header, realtime_ns());
    return memory_frames::of(xspress3_type_tag, {text});
  }

  static stream_data end() {
    std::string text;
    write_xspress3_end(text, realtime_ns());
    return memory_frames::of(xspress3_type_tag, {text});
  }

  /// Within its segment; the first ones are one longer where the images can't be shared out evenly.
  std::uint64_t frame_of(std::uint64_t number) const {
    auto length = settings_.series.frames / settings_.segments;
    auto in_longer_ones = settings_.series.frames % settings_.segments * (length + 1);
    return number < in_longer_ones ? number % (length + 1) : (number - in_longer_ones) % length;
  }

  /// Of the image of that number; the same one for all of its pieces.
  std::shared_ptr<const pattern> pattern_of(std::uint64_t number) {
    if (!settings_.view())
      return {patterns_, &(*patterns_)[number % xspress3_patterns]}; // which keeps all of them
    if (seen_number_ != number) seen_ = seen_pattern(settings_, settings_.series.first_frame + number);
    seen_number_ = number;
    return seen_;
  }

  std::string header_of(std::uint64_t number) const {
    std::string text;
    xspress3_image_header header{
        .frame = frame_of(number), .channels = settings_.channels(), .bins = settings_.bins()};
    if (settings_.exptime) header.exptime = settings_.view() ? settings_.view()->exposure_s() : exptime_s;
    if (!settings_.compression) header.compression.reset();
    write_xspress3_image(text, header, realtime_ns());
    return text;
  }

  stream_data image(std::uint64_t number) {
    auto parts = std::make_unique<generated_parts>(header_of(number), pattern_of(number));
    parts->set({parts->header(), parts->spectra(), parts->meta()});
    return stream_data(std::move(parts), xspress3_type_tag);
  }

  stream_data piece_of_image(std::uint64_t number, int piece) {
    auto parts =
        std::make_unique<generated_parts>(piece == 0 ? header_of(number) : std::string(), pattern_of(number));
    parts->set({piece == 0 ? parts->header() : piece == 1 ? parts->spectra() : parts->meta()});
    return stream_data(std::move(parts), xspress3_type_tag);
  }

  xspress3_settings settings_;
  std::shared_ptr<const pattern_set> patterns_; ///< where there is no view
  std::shared_ptr<const pattern> seen_;         ///< where there is one: of the last image
  std::optional<std::uint64_t> seen_number_;
  std::uint64_t made_ = 0; ///< entries
  int piece_ = 0;          ///< of the image that is being sent in three messages
};

/// A triangle around `centre`.
std::uint64_t peak(std::size_t bin, std::size_t centre, std::size_t width, std::uint64_t height) {
  auto distance = bin > centre ? bin - centre : centre - bin;
  return distance < width ? height * (width - distance) / width : 0;
}

} // namespace

std::unique_ptr<series_generator> make_xspress3_series(const series_settings& settings) {
  return std::make_unique<xspress3_series>(read_settings(settings));
}

void fill_spectra(std::span<std::uint32_t> spectra, std::size_t channels, std::uint64_t seed,
                  std::uint64_t pattern) {
  const auto bins = channels == 0 ? 0 : spectra.size() / channels;
  const auto width = bins / 32 + 1;
  for (std::size_t c = 0; c < channels; ++c) {
    const std::uint64_t first = 40 + 10 * (c % 8), second = 20 + 20 * pattern;
    for (std::size_t bin = 0; bin < bins; ++bin) {
      auto expected = peak(bin, bins / 4, width, first) + peak(bin, 5 * bins / 8, width, second);
      auto random = noise(seed, (pattern << 48) + c * bins + bin);
      auto counted = static_cast<double>(expected) * (0.5 + random) + 4 * random * random * random;
      spectra[c * bins + bin] = static_cast<std::uint32_t>(counted);
    }
  }
}

} // namespace dtranspose
