#include "instrument/eiger_v1_series.hpp"

#include <array>
#include <limits>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "instrument/pixels.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/compression.hpp"
#include "protocol/eiger_v1.hpp"

namespace dtranspose {

namespace {

/// LZ4's own limit; no detector comes near it, and a shape with a digit too many is found out.
constexpr std::uint64_t image_bytes_limit = 0x7e000000;
constexpr std::uint64_t period_ns = 10'000'000, exposure_ns = 9'999'900;
constexpr std::size_t countrate_points = 11;
constexpr std::string_view appendix = R"({"generated":true})", image_appendix = "{}";

struct eiger_settings {
  series_settings series;
  eiger_v1_detail detail = eiger_v1_detail::basic;
  std::string encoding;
  eiger_v1_encoding how;
  bool appendix = false;
  std::uint64_t number = 1, triggers = 1;
};

eiger_v1_detail detail_of(std::string_view name) {
  if (name == "all") return eiger_v1_detail::all;
  return name == "basic" ? eiger_v1_detail::basic : eiger_v1_detail::none;
}

void take_options(eiger_settings& s) {
  option_reader options(s.series.options);
  s.detail = detail_of(options.choice("header_detail", {"basic", "none", "all"}));
  s.encoding = options.text("encoding", fmt::format("bs{}-lz4<", 8 * size_of(s.series.type)));
  s.appendix = options.flag("appendix", false);
  s.number = options.whole("series", 1, 0, std::numeric_limits<std::uint64_t>::max());
  s.triggers = options.whole("ntrigger", 1, 1, std::numeric_limits<std::uint32_t>::max());
  options.finish();
}

void check(eiger_settings& s) {
  auto& shape = s.series.shape;
  auto type = s.series.type;
  if (type != dtype::uint8 && type != dtype::uint16 && type != dtype::uint32)
    throw std::runtime_error(fmt::format("type: {} is none of uint8, uint16, uint32", name_of(type)));
  if (shape.size() < 2 || shape.size() > 3)
    throw std::runtime_error(fmt::format("shape: an image has 2 or 3 axes, not {}", shape.size()));
  auto bytes = bytes_of(shape, type);
  if (bytes > image_bytes_limit)
    throw std::runtime_error(
        fmt::format("shape: an image of {} bytes is more than {}", bytes, image_bytes_limit));
  auto how = find_eiger_v1_encoding(s.encoding);
  if (!how) throw std::runtime_error(fmt::format("option encoding: '{}' is unknown", s.encoding));
  if (bytes % how->element_size != 0)
    throw std::runtime_error(fmt::format("option encoding: {} wants images of a multiple of {} bytes",
                                         s.encoding, how->element_size));
  if (s.series.frames % s.triggers != 0)
    throw std::runtime_error(
        fmt::format("option ntrigger: {} frames are no multiple of {}", s.series.frames, s.triggers));
  s.how = *how;
}

std::vector<std::byte> pixels_of(const eiger_settings& s, std::uint64_t pattern) {
  std::vector<std::byte> pixels(bytes_of(s.series.shape, s.series.type));
  fill_pixels(pixels, s.series.type, s.series.seed, pattern);
  return pixels;
}

template <class T>
std::vector<std::byte> bytes_from(const std::vector<T>& elements) {
  auto bytes = std::as_bytes(std::span(elements));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> bytes_from(std::string_view text) {
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<float> flatfield(std::size_t pixels) {
  std::vector<float> factors(pixels);
  for (std::size_t i = 0; i < pixels; ++i) factors[i] = 1 + static_cast<float>(i % 16) / 128;
  return factors;
}

/// 1 for pixels that have the largest number of their type.
std::vector<std::uint32_t> pixel_mask(const eiger_settings& s) {
  auto pixels = pixels_of(s, 0);
  std::vector<std::uint32_t> mask(pixels.size() / size_of(s.series.type));
  array_view view{s.series.type, s.series.shape, pixels};
  visit_dtype(s.series.type, [&]<class T>(T) {
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = view.at<T>(i) == std::numeric_limits<T>::max();
  });
  return mask;
}

/// Pairs: measured rate, true rate.
std::vector<float> countrates() {
  std::vector<float> table;
  for (std::size_t i = 0; i < countrate_points; ++i) {
    auto rate = 8192.0F * static_cast<float>(i);
    table.insert(table.end(), {rate, rate + rate / 1024 * static_cast<float>(i)});
  }
  return table;
}

std::string_view compression_name(codec how) {
  if (how == codec::none) return "none";
  return how == codec::bslz4 ? "bslz4" : "lz4";
}

std::string configuration(const eiger_settings& s) {
  auto& shape = s.series.shape;
  return fmt::format(
      R"({{"bit_depth_image":{},"compression":"{}","count_time":0.0099999,"description":"generated EIGER",)"
      R"("detector_translation":[0.0,0.0,0.0],"element":"","frame_time":0.01,"nimages":{},"ntrigger":{},)"
      R"("photon_energy":8041.0,"trigger_mode":"ints","x_pixel_size":0.000075,"x_pixels_in_detector":{},)"
      R"("y_pixel_size":0.000075,"y_pixels_in_detector":{}}})",
      8 * size_of(s.series.type), compression_name(s.how.how), s.series.frames / s.triggers, s.triggers,
      shape.back(), shape[shape.size() - 2]);
}

void add_array(std::vector<std::vector<std::byte>>& parts, std::string_view htype,
               std::span<const std::size_t> shape, dtype type, std::vector<std::byte> blob) {
  std::string text;
  write_eiger_v1_array(text, htype, shape, type);
  parts.push_back(bytes_from(text));
  parts.push_back(std::move(blob));
}

stream_data start_of(const eiger_settings& s) {
  std::vector<std::vector<std::byte>> parts;
  std::string text;
  write_eiger_v1_header(text, s.number, s.detail, realtime_ns());
  parts.push_back(bytes_from(text));
  if (s.detail != eiger_v1_detail::none) parts.push_back(bytes_from(configuration(s)));
  if (s.detail == eiger_v1_detail::all) {
    auto& shape = s.series.shape;
    auto mask = pixel_mask(s);
    const std::size_t table[] = {countrate_points, 2};
    add_array(parts, "dflatfield-1.0", shape, dtype::float32, bytes_from(flatfield(mask.size())));
    add_array(parts, "dpixelmask-1.0", shape, dtype::uint32, bytes_from(mask));
    add_array(parts, "dcountrate_table-1.0", table, dtype::float32, bytes_from(countrates()));
  }
  if (s.appendix) parts.push_back(bytes_from(appendix));
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), eiger_v1_type_tag);
}

/// What frames share, made once: encoded pixels and what is said of them.
struct pattern {
  std::string description, hash;
  std::vector<std::byte> blob;
};
using pattern_set = std::array<pattern, eiger_v1_patterns>;

std::shared_ptr<const pattern_set> patterns_of(const eiger_settings& s) {
  auto patterns = std::make_shared<pattern_set>();
  for (std::uint64_t i = 0; i < eiger_v1_patterns; ++i) {
    auto& made = (*patterns)[i];
    made.blob = pixels_of(s, i);
    if (s.how.how != codec::none) made.blob = compress(s.how.how, s.how.element_size, made.blob);
    made.hash = fmt::format("{:016x}{:016x}", s.series.seed, i);
    write_eiger_v1_blob(made.description, s.series.shape, s.series.type, s.encoding, made.blob.size());
  }
  return patterns;
}

class generated_image final : public frame_owner {
 public:
  generated_image(const eiger_settings& s, std::shared_ptr<const pattern_set> patterns, std::uint64_t number)
      : patterns_(std::move(patterns)) {
    auto& same = (*patterns_)[number % eiger_v1_patterns];
    write_eiger_v1_image(header_, s.number, number, same.hash, realtime_ns());
    auto begin = number * period_ns;
    write_eiger_v1_times(times_, begin, begin + exposure_ns, exposure_ns);
    views_ = {view_of(header_), view_of(same.description), frame(std::span(same.blob)), view_of(times_),
              view_of(image_appendix)};
    set_frames(std::span(views_).first(s.appendix ? 5 : 4));
  }

 private:
  static frame view_of(std::string_view text) { return {text.data(), text.size()}; }

  std::shared_ptr<const pattern_set> patterns_;
  std::string header_, times_;
  std::array<frame, 5> views_;
};

class eiger_v1_series final : public series_generator {
 public:
  explicit eiger_v1_series(eiger_settings s) : settings_(std::move(s)), patterns_(patterns_of(settings_)) {}

  std::optional<stream_data> next() override {
    if (made_ == entries()) return std::nullopt;
    auto place = made_++;
    if (place == 0) return start_of(settings_);
    if (place <= settings_.series.frames)
      return stream_data(std::make_unique<generated_image>(settings_, patterns_, place - 1),
                         eiger_v1_type_tag);
    std::string end;
    write_eiger_v1_end(end, settings_.number, realtime_ns());
    return memory_frames::of(eiger_v1_type_tag, {end});
  }

  std::uint64_t entries() const override { return settings_.series.frames + 2; }

 private:
  eiger_settings settings_;
  std::shared_ptr<const pattern_set> patterns_;
  std::uint64_t made_ = 0; ///< messages
};

} // namespace

std::unique_ptr<series_generator> make_eiger_v1_series(const series_settings& settings) {
  eiger_settings s{.series = settings};
  take_options(s);
  check(s);
  return std::make_unique<eiger_v1_series>(std::move(s));
}

} // namespace dtranspose
