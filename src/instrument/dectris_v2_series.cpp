#include "instrument/dectris_v2_series.hpp"

#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "instrument/pixels.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/compression.hpp"
#include "protocol/dectris_v2.hpp"

namespace dtranspose {

namespace {

/// LZ4's own limit; no detector comes near it, and a shape with a digit too many is found out.
constexpr std::uint64_t image_bytes_limit = 0x7e000000;
constexpr std::uint64_t channel_limit = 16;
/// Times count ticks of 50 MHz: an image each 10 ms, of which some is read-out.
constexpr std::uint64_t ticks_per_second = 50'000'000, period_ticks = 500'000, exposure_ticks = 499'950;
constexpr std::uint32_t countrate_points = 16;
constexpr std::string_view date = "2024-03-12T15:29:58.000000Z";
constexpr double threshold_energy = 4020.5; ///< of the first channel, eV

struct dectris_settings {
  series_settings series;
  std::uint64_t channels = 1;
  std::string compression;
  bool tables = false;
  std::uint64_t number = 1;

  std::string unique_id() const { return fmt::format("generated-{}-{}", number, series.seed); }
};

void take_options(dectris_settings& s) {
  option_reader options(s.series.options);
  s.channels = options.whole("channels", 1, 1, channel_limit);
  s.compression = options.choice("compression", {"bslz4", "lz4", "none"});
  s.tables = options.choice("header_detail", {"basic", "all"}) == "all";
  s.number = options.whole("series", 1, 0, std::numeric_limits<std::uint64_t>::max());
  options.finish();
}

void check(const dectris_settings& s) {
  auto& shape = s.series.shape;
  const auto type = s.series.type;
  if (type != dtype::uint8 && type != dtype::uint16 && type != dtype::uint32)
    throw std::runtime_error(fmt::format("type: {} is none of uint8, uint16, uint32", name_of(type)));
  if (shape.size() != 2)
    throw std::runtime_error(fmt::format("shape: an image has 2 axes, not {}", shape.size()));
  auto bytes = bytes_of(shape, type);
  if (bytes > image_bytes_limit)
    throw std::runtime_error(
        fmt::format("shape: an image of {} bytes is more than {}", bytes, image_bytes_limit));
}

std::string channel_name(std::uint64_t channel) { return fmt::format("threshold_{}", channel + 1); }

std::vector<std::byte> pixels_of(const dectris_settings& s, std::uint64_t channel, std::uint64_t pattern) {
  std::vector<std::byte> pixels(bytes_of(s.series.shape, s.series.type));
  fill_pixels(pixels, s.series.type, s.series.seed + channel, pattern);
  return pixels;
}

/// An array whose bytes somebody else keeps.
template <class T>
dectris_v2_array view_of(const std::vector<T>& elements, const std::vector<std::size_t>& shape) {
  return {.type = dtype_for<T>(), .shape = shape, .blob = std::as_bytes(std::span(elements))};
}

std::vector<float> flatfield(std::size_t pixels) {
  std::vector<float> factors(pixels);
  for (std::size_t i = 0; i < pixels; ++i) factors[i] = 1 + static_cast<float>(i % 16) / 128;
  return factors;
}

/// 1 for pixels that have the largest number of their type.
std::vector<std::uint32_t> pixel_mask(const dectris_settings& s, std::uint64_t channel) {
  auto pixels = pixels_of(s, channel, 0);
  std::vector<std::uint32_t> mask(pixels.size() / size_of(s.series.type));
  array_view view{s.series.type, s.series.shape, pixels};
  visit_dtype(s.series.type, [&]<class T>(T) {
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = view.at<T>(i) == std::numeric_limits<T>::max();
  });
  return mask;
}

std::vector<std::uint32_t> countrates() {
  std::vector<std::uint32_t> table;
  for (std::uint32_t i = 0; i < countrate_points; ++i) table.push_back(i + i * i / 64);
  return table;
}

value_map metadata_of(const dectris_settings& s) {
  value_list names;
  value_map energies;
  for (std::uint64_t c = 0; c < s.channels; ++c) {
    names.emplace_back(channel_name(c));
    energies.set(channel_name(c), threshold_energy * static_cast<double>(c + 1));
  }
  auto& shape = s.series.shape;
  value_map axis{{"increment", 0.1}, {"start", 0.0}};
  return value_map{{"arm_date", date},
                   {"beam_center_x", static_cast<double>(shape[1]) / 2},
                   {"beam_center_y", static_cast<double>(shape[0]) / 2},
                   {"channels", std::move(names)},
                   {"count_time", 0.009999},
                   {"countrate_correction_enabled", true},
                   {"detector_description", "generated EIGER2"},
                   {"detector_serial_number", "E-00-0000"},
                   {"detector_translation", value_list{0.0, 0.0, 0.2}},
                   {"flatfield_enabled", true},
                   {"frame_time", 0.01},
                   {"goniometer", value_map{{"omega", std::move(axis)}}},
                   {"image_dtype", name_of(s.series.type)},
                   {"image_size_x", shape[1]},
                   {"image_size_y", shape[0]},
                   {"incident_energy", 8041.0},
                   {"incident_wavelength", 1.5419},
                   {"number_of_images", s.series.frames},
                   {"pixel_mask_enabled", true},
                   {"pixel_size_x", 0.000075},
                   {"pixel_size_y", 0.000075},
                   {"saturation_value", 60000},
                   {"sensor_material", "Si"},
                   {"sensor_thickness", 0.00045},
                   {"threshold_energy", std::move(energies)},
                   {"user_data", value_map{{"seed", s.series.seed}}},
                   {"virtual_pixel_interpolation_enabled", false},
                   {"sent_ns", realtime_ns()}};
}

std::vector<std::byte> start_of(const dectris_settings& s) {
  std::vector<std::byte> out;
  dectris_v2_start start{.series = s.number, .unique_id = s.unique_id(), .metadata = metadata_of(s)};
  if (!s.tables) {
    write_dectris_v2_start(out, start);
    return out;
  }
  auto factors = flatfield(s.series.shape[0] * s.series.shape[1]);
  auto rates = countrates();
  std::vector<std::vector<std::uint32_t>> masks;
  for (std::uint64_t c = 0; c < s.channels; ++c) masks.push_back(pixel_mask(s, c));
  for (std::uint64_t c = 0; c < s.channels; ++c) {
    start.flatfield.push_back({channel_name(c), view_of(factors, s.series.shape)});
    start.pixel_mask.push_back({channel_name(c), view_of(masks[c], s.series.shape)});
  }
  start.countrate_table = view_of(rates, {rates.size()});
  write_dectris_v2_start(out, start);
  return out;
}

codec codec_of(std::string_view name) {
  if (name == "bslz4") return codec::bslz4;
  return name == "lz4" ? codec::lz4 : codec::none;
}

/// Images that frames take by turns, one after the other the channels of each.
std::vector<std::vector<std::byte>> blobs_of(const dectris_settings& s) {
  std::vector<std::vector<std::byte>> blobs;
  auto how = codec_of(s.compression);
  for (std::uint64_t pattern = 0; pattern < dectris_v2_patterns; ++pattern)
    for (std::uint64_t channel = 0; channel < s.channels; ++channel) {
      auto pixels = pixels_of(s, channel, pattern);
      blobs.push_back(how == codec::none ? std::move(pixels) : compress(how, size_of(s.series.type), pixels));
    }
  return blobs;
}

class dectris_v2_series final : public series_generator {
 public:
  explicit dectris_v2_series(dectris_settings s) : settings_(std::move(s)), blobs_(blobs_of(settings_)) {}

  std::optional<stream_data> next() override {
    if (made_ == entries()) return std::nullopt;
    std::vector<std::vector<std::byte>> parts;
    parts.push_back(message(made_++));
    return stream_data(std::make_unique<memory_frames>(std::move(parts)), dectris_v2_type_tag);
  }

  std::uint64_t entries() const override { return settings_.series.frames + 2; }

 private:
  std::vector<std::byte> message(std::uint64_t place) const {
    if (place == 0) return start_of(settings_);
    if (place <= settings_.series.frames) return image_of(place - 1);
    std::vector<std::byte> out;
    write_dectris_v2_end(out, {.series = settings_.number,
                               .unique_id = settings_.unique_id(),
                               .metadata = {{"sent_ns", realtime_ns()}}});
    return out;
  }

  std::vector<std::byte> image_of(std::uint64_t number) const {
    auto begin = number * period_ticks;
    dectris_v2_image image{.series = settings_.number,
                           .image = number,
                           .unique_id = settings_.unique_id(),
                           .real_time = {{exposure_ticks, ticks_per_second}},
                           .start_time = {{begin, ticks_per_second}},
                           .stop_time = {{begin + exposure_ticks, ticks_per_second}},
                           .series_date = std::string(date),
                           .metadata = {{"sent_ns", realtime_ns()}}};
    for (std::uint64_t c = 0; c < settings_.channels; ++c)
      image.channels.push_back({channel_name(c), channel(number % dectris_v2_patterns, c)});
    std::vector<std::byte> out;
    write_dectris_v2_image(out, image);
    return out;
  }

  dectris_v2_array channel(std::uint64_t pattern, std::uint64_t channel) const {
    dectris_v2_array array{.type = settings_.series.type, .shape = settings_.series.shape};
    array.compression = codec_of(settings_.compression);
    if (array.compression != codec::none) array.algorithm = settings_.compression;
    if (array.compression == codec::bslz4) array.element_size = size_of(array.type);
    array.blob = blobs_[pattern * settings_.channels + channel];
    return array;
  }

  dectris_settings settings_;
  std::vector<std::vector<std::byte>> blobs_;
  std::uint64_t made_ = 0; ///< messages
};

} // namespace

std::unique_ptr<series_generator> make_dectris_v2_series(const series_settings& settings) {
  dectris_settings s{.series = settings};
  take_options(s);
  check(s);
  return std::make_unique<dectris_v2_series>(std::move(s));
}

} // namespace dtranspose
