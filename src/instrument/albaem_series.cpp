#include "instrument/albaem_series.hpp"

#include <string>
#include <utility>

#include "instrument/noise.hpp"
#include "instrument/sent_ns.hpp"

namespace dtranspose {

namespace {

constexpr std::uint64_t channels_limit = 1000;
/// Beyond 2^53, as real ones are.
constexpr std::int64_t first_acquisition_ns = 1704807770443944913, period_ns = 10'000'019;

struct albaem_content {
  std::uint64_t readings = 0, seed = 0;
  std::uint32_t channels = 4;
  bool varying = false, overflow = false;
  std::uint64_t first_message = 1;
  std::shared_ptr<const readings_view> view = {};
  std::uint64_t first_frame = 0;
};

albaem_reading reading_of(const albaem_content& what, std::uint64_t frame) {
  auto channels = what.view ? 0 : what.channels;
  auto reading = albaem_series_reading(what.seed, frame, channels, what.varying);
  reading.message_id = what.first_message + frame + 1;
  if (!what.view) return reading;
  std::uint32_t channel = 0;
  for (auto current : what.view->at(what.first_frame + frame)) reading.channels[++channel] = current;
  return reading;
}

class albaem_series final : public series_generator {
 public:
  explicit albaem_series(albaem_content what) : what_(std::move(what)) {}

  std::optional<stream_data> next() override {
    if (made_ == entries()) return std::nullopt;
    auto place = made_++;
    auto message_id = what_.first_message + place;
    if (place == 0)
      write_albaem_start(text_, message_id);
    else if (made_ == entries())
      write_albaem_end(text_, message_id, what_.overflow, false);
    else
      write_albaem_reading(text_, reading_of(what_, place - 1), realtime_ns());
    return memory_frames::of(albaem_type_tag, {text_});
  }

  std::uint64_t entries() const override { return what_.readings + 2; }

 private:
  albaem_content what_;
  std::string text_;
  std::uint64_t made_ = 0; ///< messages
};

} // namespace

std::unique_ptr<series_generator> make_albaem_series(const series_settings& settings) {
  option_reader options(settings.options);
  albaem_content what{.readings = settings.frames, .seed = settings.seed};
  what.view = settings.view.readings;
  what.first_frame = settings.first_frame;
  what.channels = static_cast<std::uint32_t>(options.whole("channels", what.channels, 0, channels_limit));
  what.varying = options.flag("varying", false);
  what.overflow = options.flag("overflow", false);
  what.first_message = options.whole("message_id", 1, 0, std::uint64_t{1} << 62);
  options.finish();
  return std::make_unique<albaem_series>(std::move(what));
}

albaem_reading albaem_series_reading(std::uint64_t seed, std::uint64_t frame, std::uint32_t channels,
                                     bool varying) {
  albaem_reading reading{.frame_number = frame, .message_id = frame + 2};
  auto since_first = static_cast<std::int64_t>(frame) * period_ns;
  reading.timestamp = 7.72 + 1e-9 * static_cast<double>(since_first);
  reading.acquisition_timestamp = first_acquisition_ns + since_first;
  if (varying && frame % 3 == 2 && channels > 0) --channels;
  for (std::uint32_t number = 1; number <= channels; ++number)
    reading.channels[number] = 1e-10 * (noise(seed, frame * (channels_limit + 1) + number) - 0.5);
  return reading;
}

} // namespace dtranspose
