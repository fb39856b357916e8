#include "instrument/lecroy_series.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "instrument/noise.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/lecroy.hpp"
#include "protocol/pickle.hpp"

namespace dtranspose {

namespace {

constexpr std::uint64_t triggers_limit = 65536, samples_limit = std::uint64_t{1} << 28;
constexpr std::uint64_t samples_bytes_limit = std::uint64_t{1} << 31;
/// As of a real one: 80 GS/s, 100 ns before the trigger.
constexpr double first_trigger = 1740563664.870739, horiz_interval = 1.25000001668929e-11;
constexpr double horiz_offset = -1.0000447740009733e-07;

struct lecroy_content {
  std::uint64_t sequences = 0, seed = 0;
  bool continuous = true;
  std::vector<std::uint64_t> channels;
  std::size_t triggers = 1, samples = 8002;
};

std::vector<std::uint64_t> channels_of(const std::string& text) {
  std::vector<std::uint64_t> channels;
  auto at = text.data(), end = text.data() + text.size();
  while (true) {
    std::uint64_t channel = 0;
    auto [stop, error] = std::from_chars(at, end, channel);
    bool known = std::find(channels.begin(), channels.end(), channel) != channels.end();
    bool goes_on = stop != end && *stop == ',';
    if (error != std::errc() || known || channels.size() == lecroy_channel_limit || (stop != end && !goes_on))
      throw std::runtime_error(
          fmt::format("option channels: '{}' is no list, as 2,4, of up to {} different numbers", text,
                      lecroy_channel_limit));
    channels.push_back(channel);
    if (!goes_on) return channels;
    at = stop + 1;
  }
}

lecroy_content content_of(const series_settings& settings) {
  option_reader options(settings.options);
  lecroy_content what{.sequences = settings.frames, .seed = settings.seed};
  what.continuous = options.choice("mode", {"continuous", "sequential"}) == "continuous";
  what.channels = channels_of(options.text("channels", "2,4"));
  if (!what.continuous) what.triggers = options.whole("triggers", 20, 1, triggers_limit);
  what.samples = options.whole("samples", what.samples, 1, samples_limit);
  options.finish();
  if (what.triggers * what.samples * sizeof(double) > samples_bytes_limit)
    throw std::runtime_error(fmt::format("option samples: {} traces of {} samples are more than 2^31 bytes",
                                         what.triggers, what.samples));
  return what;
}

std::vector<std::byte> bytes_of_text(std::string_view text) {
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> pickled(const std::vector<double>& times) {
  return write_pickle(value_list(times.begin(), times.end()));
}

stream_data message_of(std::vector<std::vector<std::byte>> parts) {
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), lecroy_type_tag);
}

class lecroy_series final : public series_generator {
 public:
  explicit lecroy_series(lecroy_content what) : what_(std::move(what)) {}

  std::optional<stream_data> next() override {
    switch (next_) {
    case step::prepare:
      write_lecroy_prepare(text_);
      next_ = what_.continuous ? step::only_start : sequence_or_stop();
      break;
    case step::only_start:
      write_start();
      next_ = sequence_or_stop();
      break;
    case step::start:
      write_start();
      next_ = step::traces;
      break;
    case step::traces:
      return make_traces();
    case step::end:
      write_lecroy_end(text_, traces_);
      ++sequence_;
      next_ = sequence_or_stop();
      break;
    case step::stop:
      write_lecroy_stop(text_, traces_);
      next_ = step::nothing;
      break;
    case step::nothing:
      return std::nullopt;
    }
    return message_of({bytes_of_text(text_)});
  }

  std::uint64_t entries() const override { return what_.sequences + 2; }
  double messages_per_frame() const override {
    return static_cast<double>(what_.channels.size()) + (what_.continuous ? 1 : 2);
  }

 private:
  enum class step : std::uint8_t { prepare, only_start, start, traces, end, stop, nothing };

  step sequence_or_stop() const {
    if (sequence_ == what_.sequences) return step::stop;
    return what_.continuous ? step::traces : step::start;
  }

  void write_start() {
    auto triggers = what_.continuous ? -1 : static_cast<std::int64_t>(what_.triggers);
    write_lecroy_start(text_, {traces_, triggers, static_cast<std::int64_t>(sequence_), what_.channels});
  }

  stream_data make_traces() {
    auto channel = what_.channels[traces_ % what_.channels.size()];
    auto times = lecroy_series_times(sequence_, what_.triggers);
    lecroy_traces_header header{.channel = channel,
                                .ts = times.back(),
                                .frame = traces_,
                                .traces = what_.triggers,
                                .samples = what_.samples,
                                .horiz_offset = horiz_offset,
                                .horiz_interval = horiz_interval};
    write_lecroy_traces(text_, header, realtime_ns());
    auto samples = lecroy_series_samples(what_.seed, sequence_, channel, what_.triggers, what_.samples);
    auto bytes = std::as_bytes(std::span(samples));
    if (++traces_ % what_.channels.size() == 0) next_ = step::end;
    return message_of({bytes_of_text(text_), {bytes.begin(), bytes.end()}, pickled(times)});
  }

  lecroy_content what_;
  std::string text_;
  step next_ = step::prepare;
  std::uint64_t sequence_ = 0, traces_ = 0;
};

} // namespace

std::vector<double> lecroy_series_samples(std::uint64_t seed, std::uint64_t sequence, std::uint64_t channel,
                                          std::size_t triggers, std::size_t samples) {
  std::vector<double> numbers(triggers * samples);
  auto start = static_cast<std::uint64_t>(0x1p52 * noise(seed + channel, sequence));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = 0.01 * (noise(start, i) - 0.5);
  return numbers;
}

std::vector<double> lecroy_series_times(std::uint64_t sequence, std::size_t triggers) {
  std::vector<double> times;
  for (std::size_t i = 0; i < triggers; ++i)
    times.push_back(first_trigger + 0.1 * static_cast<double>(sequence) + 1e-4 * static_cast<double>(i));
  return times;
}

std::unique_ptr<series_generator> make_lecroy_series(const series_settings& settings) {
  return std::make_unique<lecroy_series>(content_of(settings));
}

} // namespace dtranspose
