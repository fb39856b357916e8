#include "instrument/bluesky_series.hpp"

#include <algorithm>
#include <deque>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "instrument/noise.hpp"
#include "instrument/pixels.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/array_view.hpp"
#include "protocol/bluesky.hpp"

namespace dtranspose {

namespace {

/// As text in JSON it stays below what a reader takes.
constexpr std::uint64_t json_elements_limit = bluesky_json_limit / 24;
constexpr std::uint64_t image_bytes_limit = bluesky_document_limit / 2;

struct bluesky_choice {
  bluesky_serializer serializer = bluesky_serializer::pickle;
  std::string stream, prefix;
  std::uint64_t page = 0;
  bool image = false, baseline = false, external = false;
};

void check(const series_settings& settings, const bluesky_choice& what) {
  if (what.prefix.find(' ') != std::string::npos)
    throw std::runtime_error("option prefix: '" + what.prefix + "' has a space, which no prefix can have");
  if (what.baseline && what.stream == "baseline")
    throw std::runtime_error("option stream: baseline is the name of the other stream");
  if (!what.image) return;
  auto bytes =
      saturating_product(bytes_of(settings.shape, settings.type), std::max<std::uint64_t>(what.page, 1));
  auto limit = what.serializer == bluesky_serializer::json ? json_elements_limit * size_of(settings.type)
                                                           : image_bytes_limit;
  if (bytes > limit)
    throw std::runtime_error(fmt::format("shape: a message has at most {} bytes of images", limit));
}

bluesky_choice choice_of(const series_settings& settings) {
  option_reader options(settings.options);
  bluesky_choice what;
  auto serializer = options.choice("serializer", {"pickle", "json", "msgpack"});
  if (serializer == "json") what.serializer = bluesky_serializer::json;
  if (serializer == "msgpack") what.serializer = bluesky_serializer::msgpack;
  what.stream = options.text("stream", "primary");
  what.page = options.whole("page", 0, 0, 10'000);
  what.prefix = options.text("prefix");
  what.image = options.flag("image", false);
  what.baseline = options.flag("baseline", false);
  what.external = options.flag("external", false);
  options.finish();
  check(settings, what);
  return what;
}

class bluesky_series final : public series_generator {
 public:
  explicit bluesky_series(const series_settings& settings) : settings_(settings), what_(choice_of(settings)) {
    add("start", start());
    add("descriptor", descriptor(what_.stream, data_keys()));
    if (what_.baseline) {
      add("descriptor", descriptor("baseline", {{"temperature", data_key("number")}}));
      add("event", baseline_event(1));
    }
    if (what_.external) add("resource", resource());
  }

  std::optional<stream_data> next() override {
    if (waiting_.empty()) make_more();
    if (waiting_.empty()) return std::nullopt;
    auto message = std::move(waiting_.front());
    waiting_.pop_front();
    return message;
  }

  std::uint64_t entries() const override { return settings_.frames + 2; }
  double messages_per_frame() const override {
    auto events = what_.page > 0 ? 1 / static_cast<double>(what_.page) : 1;
    return what_.external ? events + 1 : events;
  }

 private:
  void add(std::string_view name, const value_map& document) {
    waiting_.push_back(memory_frames::of(
        bluesky_type_tag, {write_bluesky_message(what_.prefix, name, document, what_.serializer)}));
  }

  void make_more() {
    if (stopped_) return;
    if (made_ == settings_.frames) {
      if (what_.baseline) add("event", baseline_event(2));
      add("stop", stop());
      stopped_ = true;
      return;
    }
    auto rows = std::min(std::max<std::uint64_t>(what_.page, 1), settings_.frames - made_);
    if (what_.external)
      for (std::uint64_t i = 0; i < rows; ++i) add("datum", datum(made_ + i));
    if (what_.page == 0)
      add("event", event(made_));
    else
      add("event_page", event_page(made_, rows));
    made_ += rows;
  }

  /// Of one of the documents: the same for the same seed.
  std::string uid(std::string_view kind, std::uint64_t n = 0) const {
    std::uint64_t hash = settings_.seed + 1;
    for (char c : kind) hash = hash * 31 + static_cast<unsigned char>(c);
    auto part = [&](std::uint64_t place, double range) {
      return static_cast<std::uint64_t>(noise(hash, 8 * n + place) * range);
    };
    return fmt::format("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", part(0, 0x1p32), part(1, 0x1p16),
                       part(2, 0x1p12), part(3, 0x1p12), part(4, 0x1p48));
  }

  static double time_of(std::uint64_t n) { return 1.7e9 + 0.1 * static_cast<double>(n); }

  static value_map data_key(std::string_view type, value_list shape = {}) {
    return {{"source", "SIM"}, {"dtype", type}, {"shape", std::move(shape)}};
  }

  value_map start() const {
    auto frames = static_cast<std::int64_t>(settings_.frames);
    return {{"uid", uid("start")},
            {"time", time_of(0)},
            {"scan_id", 1},
            {"plan_name", "scan"},
            {"plan_type", "generator"},
            {"detectors", value_list{"det"}},
            {"motors", value_list{"motor"}},
            {"num_points", frames},
            {"num_intervals", frames - 1},
            {"hints", value_map{{"dimensions", value_list{value_list{value_list{"motor"}, what_.stream}}}}}};
  }

  value_map data_keys() const {
    value_map keys{
        {"motor", data_key("number")}, {"det", data_key("number")}, {"sent_ns", data_key("integer")}};
    if (what_.image)
      keys.set("img", data_key("array", value_list(settings_.shape.begin(), settings_.shape.end())));
    if (what_.external) keys.set("file", data_key("array", {1}).set("external", "FILESTORE:"));
    return keys;
  }

  value_map descriptor(const std::string& stream, value_map keys) const {
    return {{"uid", uid("descriptor " + stream)}, {"time", time_of(0)},
            {"run_start", uid("start")},          {"name", stream},
            {"data_keys", std::move(keys)},       {"configuration", value_map()},
            {"object_keys", value_map()},         {"hints", value_map()}};
  }

  value_map event_of(const std::string& stream, std::uint64_t n, value_map data) const {
    value_map timestamps;
    for (auto& [name, content] : data) timestamps.set(name, time_of(n));
    return {{"uid", uid("event " + stream, n)},
            {"time", time_of(n)},
            {"data", std::move(data)},
            {"timestamps", std::move(timestamps)},
            {"seq_num", n + 1},
            {"filled", what_.external && stream == what_.stream ? value_map{{"file", false}} : value_map()},
            {"descriptor", uid("descriptor " + stream)}};
  }

  value_map baseline_event(std::uint64_t seq_num) const {
    return event_of("baseline", seq_num - 1, {{"temperature", 293.15}});
  }

  value_map event(std::uint64_t n) const {
    auto intervals = static_cast<double>(std::max<std::uint64_t>(settings_.frames, 2) - 1);
    value_map data{{"motor", static_cast<double>(n) / intervals},
                   {"det", noise(settings_.seed, n)},
                   {"sent_ns", realtime_ns()}};
    if (what_.image) data.set("img", image(n));
    if (what_.external) data.set("file", datum_id(n));
    return event_of(what_.stream, n, std::move(data));
  }

  array image(std::uint64_t n) const {
    auto bytes = bytes_of(settings_.shape, settings_.type);
    auto data = std::make_shared_for_overwrite<std::byte[]>(bytes);
    fill_pixels({data.get(), bytes}, settings_.type, settings_.seed, n);
    return array(settings_.type, settings_.shape, std::move(data));
  }

  /// As `event_model.pack_event_page` makes it.
  value_map event_page(std::uint64_t first, std::uint64_t rows) const {
    std::vector<value_map> events;
    for (std::uint64_t i = 0; i < rows; ++i) events.push_back(event(first + i));
    value_map page;
    for (auto key : {"time", "uid", "seq_num"}) page.set(key, column(events, key));
    page.set("descriptor", *events[0].find("descriptor"));
    for (auto key : {"data", "timestamps", "filled"}) page.set(key, columns(events, key));
    return page;
  }

  static value column(const std::vector<value_map>& events, std::string_view key) {
    value_list out;
    for (auto& event : events) out.push_back(*event.find(key));
    return out;
  }

  static value columns(const std::vector<value_map>& events, std::string_view key) {
    value_map out;
    for (auto& [name, first] : *events[0].find(key)->as_map()) {
      value_list items;
      for (auto& event : events) items.push_back(*event.find(key)->find(name));
      out.set(name, std::move(items));
    }
    return out;
  }

  std::string datum_id(std::uint64_t n) const { return fmt::format("{}/{}", uid("resource"), n); }

  value_map resource() const {
    return {{"uid", uid("resource")},
            {"spec", "SIM"},
            {"root", "/"},
            {"resource_path", "data/file.h5"},
            {"resource_kwargs", value_map()},
            {"run_start", uid("start")}};
  }

  value_map datum(std::uint64_t n) const {
    return {{"datum_id", datum_id(n)},
            {"resource", uid("resource")},
            {"datum_kwargs", value_map{{"point_number", n}}}};
  }

  value_map stop() const {
    value_map events{{what_.stream, settings_.frames}};
    if (what_.baseline) events.set("baseline", 2);
    return {{"uid", uid("stop")},
            {"time", time_of(settings_.frames)},
            {"run_start", uid("start")},
            {"exit_status", "success"},
            {"reason", ""},
            {"num_events", std::move(events)}};
  }

  series_settings settings_;
  bluesky_choice what_;
  std::deque<stream_data> waiting_; ///< messages that were made
  std::uint64_t made_ = 0;          ///< events
  bool stopped_ = false;
};

} // namespace

std::unique_ptr<series_generator> make_bluesky_series(const series_settings& settings) {
  return std::make_unique<bluesky_series>(settings);
}

} // namespace dtranspose
