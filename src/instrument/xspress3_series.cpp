#include "instrument/xspress3_series.hpp"

#include <algorithm>
#include <array>
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

  std::size_t channels() const { return series.shape[0]; }
  std::size_t bins() const { return series.shape[1]; }
};

xspress3_settings read_settings(const series_settings& settings) {
  xspress3_settings s{.series = settings};
  option_reader options(settings.options);
  s.multipart = options.choice("form", {"multipart", "old"}) == "multipart";
  s.segments = options.whole("segments", 1, 1, std::max<std::uint64_t>(1, settings.frames));
  s.counters = options.whole("counters", s.multipart ? 9 : 8, 8, 9);
  s.pickle = static_cast<int>(options.whole("pickle", s.multipart ? 4 : 3, 3, 4));
  s.exptime = options.flag("exptime", true);
  s.compression = options.flag("compression", true);
  options.finish();
  if (settings.shape.size() != 2)
    throw std::runtime_error(fmt::format("shape: spectra have 2 axes, not {}", settings.shape.size()));
  if (bytes_of(settings.shape, dtype::uint32) > spectra_limit)
    throw std::runtime_error(
        fmt::format("shape: {} x {} spectra take more than {} bytes", s.channels(), s.bins(), spectra_limit));
  return s;
}

using counts = std::vector<std::uint32_t>;

array for_channels(const std::vector<double>& x) { return array::of(x); }
array for_channels(const counts& x) { return array::of(x); }

/// What a real detector counts beside spectra, made up from them.
std::vector<array> counters_of(const counts& spectra, const xspress3_settings& s) {
  const auto channels = s.channels(), bins = s.bins();
  counts events(channels), good(channels), resets(channels), windows(2 * channels);
  std::vector<double> rates(channels), corrections(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    auto spectrum = std::span(spectra).subspan(c * bins, bins);
    good[c] = std::accumulate(spectrum.begin(), spectrum.end(), std::uint32_t{0});
    events[c] = good[c] + good[c] / 64;
    resets[c] =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(clock_ticks / 2, std::uint64_t{91} * events[c]));
    rates[c] = good[c] / exptime_s;
    corrections[c] = clock_ticks / static_cast<double>(clock_ticks - resets[c]);
    windows[c] =
        std::accumulate(spectrum.begin(), spectrum.begin() + static_cast<long>(bins / 2), std::uint32_t{0});
    windows[channels + c] = good[c] - windows[c];
  }
  const counts ticks(channels, clock_ticks);
  const std::vector<std::int32_t> widths(channels, event_width);
  std::vector<array> all = {for_channels(rates), for_channels(events),     for_channels(good),
                            for_channels(ticks), for_channels(ticks),      for_channels(resets),
                            array::of(widths),   for_channels(corrections)};
  if (s.counters > 8) all.push_back(array::of(std::span<const std::uint32_t>(windows), {2, channels}));
  return all;
}

/// What images share, made once.
struct pattern {
  counts spectra;
  std::vector<std::byte> meta;
};
using pattern_set = std::array<pattern, xspress3_patterns>;

std::shared_ptr<const pattern_set> patterns_of(const xspress3_settings& s) {
  auto patterns = std::make_shared<pattern_set>();
  for (std::uint64_t i = 0; i < xspress3_patterns; ++i) {
    auto& made = (*patterns)[i];
    made.spectra.resize(s.channels() * s.bins());
    fill_spectra(made.spectra, s.channels(), s.series.seed, i);
    made.meta = write_xspress3_meta(counters_of(made.spectra, s), s.pickle);
  }
  return patterns;
}

/// One or more parts of an image: its header, and what it shares with others.
class generated_parts final : public frame_owner {
 public:
  generated_parts(std::string header, std::shared_ptr<const pattern_set> patterns)
      : header_(std::move(header)), patterns_(std::move(patterns)) {}

  void set(std::initializer_list<frame> parts) {
    views_.assign(parts);
    set_frames(views_);
  }
  frame header() const { return {header_.data(), header_.size()}; }

 private:
  std::string header_;
  std::shared_ptr<const pattern_set> patterns_;
  std::vector<frame> views_;
};

class xspress3_series final : public series_generator {
 public:
  explicit xspress3_series(xspress3_settings s)
      : settings_(std::move(s)), patterns_(patterns_of(settings_)) {}

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

  const pattern& pattern_of(std::uint64_t number) const { return (*patterns_)[number % xspress3_patterns]; }

  static frame spectra_of(const pattern& p) { return frame(std::as_bytes(std::span(p.spectra))); }
  static frame meta_of(const pattern& p) { return frame(std::span(p.meta)); }

  std::string header_of(std::uint64_t number) const {
    std::string text;
    xspress3_image_header header{
        .frame = frame_of(number), .channels = settings_.channels(), .bins = settings_.bins()};
    if (settings_.exptime) header.exptime = exptime_s;
    if (!settings_.compression) header.compression.reset();
    write_xspress3_image(text, header, realtime_ns());
    return text;
  }

  stream_data image(std::uint64_t number) const {
    auto parts = std::make_unique<generated_parts>(header_of(number), patterns_);
    auto& same = pattern_of(number);
    parts->set({parts->header(), spectra_of(same), meta_of(same)});
    return stream_data(std::move(parts), xspress3_type_tag);
  }

  stream_data piece_of_image(std::uint64_t number, int piece) const {
    auto parts = std::make_unique<generated_parts>(piece == 0 ? header_of(number) : std::string(), patterns_);
    auto& same = pattern_of(number);
    parts->set({piece == 0 ? parts->header() : piece == 1 ? spectra_of(same) : meta_of(same)});
    return stream_data(std::move(parts), xspress3_type_tag);
  }

  xspress3_settings settings_;
  std::shared_ptr<const pattern_set> patterns_;
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
