#include "instrument/raw_series.hpp"

#include <array>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "instrument/pixels.hpp"
#include "instrument/sent_ns.hpp"
#include "model/type_tag.hpp"
#include "model/value_json.hpp"
#include "protocol/array_view.hpp"
#include "protocol/json_text.hpp"
#include "protocol/raw.hpp"

namespace dtranspose {

namespace {

/// No detector comes near it, and a shape with a digit too many is found out.
constexpr std::uint64_t image_bytes_limit = std::uint64_t{1} << 31;
constexpr std::uint64_t series_number = 1;

using pattern_set = std::array<std::vector<std::byte>, raw_patterns>;

std::shared_ptr<const pattern_set> patterns_of(const series_settings& s) {
  auto bytes = bytes_of(s.shape, s.type);
  if (bytes > image_bytes_limit)
    throw std::runtime_error("shape: an image of " + std::to_string(bytes) + " bytes is more than " +
                             std::to_string(image_bytes_limit));
  auto patterns = std::make_shared<pattern_set>();
  for (std::uint64_t i = 0; i < raw_patterns; ++i) {
    (*patterns)[i].resize(bytes);
    fill_pixels((*patterns)[i], s.type, s.seed, i);
  }
  return patterns;
}

/// A marker stands for a number, `true`, `false` or `null` where it is written like one.
value content_of(const raw_marker& marker) {
  auto parsed = json_to_value(marker.content);
  bool plain = parsed && !parsed->as_text() && !parsed->as_list() && !parsed->as_map();
  if (plain && to_json(*parsed) == marker.content) return *parsed;
  return marker.content;
}

value shape_of(const series_settings& s) {
  value_list extents;
  for (auto extent : s.shape) extents.emplace_back(extent);
  return extents;
}

/// What the views of a message point to.
struct generated_parts {
  std::string header;
  std::shared_ptr<const pattern_set> patterns;
};

class raw_series final : public series_generator {
 public:
  raw_series(const series_settings& settings, raw_layout layout)
      : settings_(settings), layout_(std::move(layout)), type_(intern_type(layout_.type)),
        patterns_(patterns_of(settings)) {
    for (auto kind : {entry_kind::start, entry_kind::data, entry_kind::end}) header_of(kind, 0, 0);
  }

  std::optional<stream_data> next() override {
    if (made_ == entries()) return std::nullopt;
    auto place = made_++;
    if (layout_.start && place == 0) return message(entry_kind::start, place, 0);
    auto frame = place - layout_.start.has_value();
    return message(frame == settings_.frames ? entry_kind::end : entry_kind::data, place, frame);
  }

  std::uint64_t entries() const override {
    return settings_.frames + layout_.start.has_value() + layout_.end.has_value();
  }

 private:
  stream_data message(entry_kind kind, std::uint64_t place, std::uint64_t number) const {
    auto parts = std::make_shared<generated_parts>();
    parts->patterns = patterns_;
    std::vector<frame> views;
    if (layout_.has_header()) {
      parts->header = to_json(header_of(kind, place, number));
      views.resize(layout_.part + 1);
      views[layout_.part] = frame(parts->header.data(), parts->header.size());
    }
    if (kind == entry_kind::data) {
      if (layout_.part == 0 || views.empty()) views.emplace_back();
      auto& pixels = layout_.part == 0 ? views.back() : views.front();
      pixels = frame(std::span<const std::byte>((*patterns_)[number % raw_patterns]));
    }
    return stream_data(std::make_unique<borrowed_frames>(std::move(views), std::move(parts)), type_);
  }

  value_map header_of(entry_kind kind, std::uint64_t place, std::uint64_t number) const {
    value_map header;
    if (kind == entry_kind::start) mark(header, layout_.start);
    if (kind == entry_kind::end) mark(header, layout_.end);
    if (kind == entry_kind::data) mark(header, layout_.data);
    put(header, layout_.series, series_number);
    put(header, layout_.message_number, place);
    if (kind == entry_kind::data) put(header, layout_.number, layout_.first + number);
    if (kind == entry_kind::end) put(header, layout_.count, settings_.frames);
    add_if_free(header, "sent_ns", realtime_ns());
    if (kind != entry_kind::data) return header;
    add_if_free(header, "shape", shape_of(settings_));
    add_if_free(header, "type", name_of(settings_.type));
    return header;
  }

  static void mark(value_map& header, const std::optional<raw_marker>& marker) {
    if (marker) put(header, marker->path, content_of(*marker));
  }

  static void put(value_map& header, const json_path& path, value content) {
    if (!path.empty() && !set_at(header, path, std::move(content)))
      throw std::runtime_error("options: the place that ends in '" + path.back() + "' is taken by another");
  }

  static void add_if_free(value_map& header, std::string_view key, value content) {
    if (!header.find(key)) header.set(key, std::move(content));
  }

  series_settings settings_;
  raw_layout layout_;
  std::string_view type_;
  std::shared_ptr<const pattern_set> patterns_;
  std::uint64_t made_ = 0; ///< messages
};

} // namespace

std::unique_ptr<series_generator> make_raw_series(const series_settings& settings) {
  option_reader options(settings.options);
  auto layout = read_raw_layout(options);
  options.finish();
  return std::make_unique<raw_series>(settings, std::move(layout));
}

} // namespace dtranspose
