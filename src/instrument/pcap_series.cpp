#include "instrument/pcap_series.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "instrument/noise.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/pcap.hpp"

namespace dtranspose {

namespace {

constexpr std::string_view arm_time = "2024-10-07T08:49:10.627Z";
/// Of a real recording.
constexpr std::string_view first_names[] = {"inttime", "triggernumber", "repeatindex", "energy",
                                            "INENC3.VAL.Mean"};
constexpr std::size_t fields_limit = 1000;

/// From `least` to `most` rows for each message.
struct row_range {
  std::uint64_t least = 14, most = 16;
};

struct pcap_content {
  std::uint64_t rows = 0, seed = 0;
  row_range per_message;
  std::size_t fields = 0;
  bool not_finite = false;
};

row_range range_of(const std::string& text) {
  row_range range;
  auto end = text.data() + text.size();
  auto first = std::from_chars(text.data(), end, range.least);
  auto last = first;
  if (first.ec == std::errc() && first.ptr == end)
    range.most = range.least;
  else if (first.ec == std::errc() && *first.ptr == '-')
    last = std::from_chars(first.ptr + 1, end, range.most);
  if (last.ec != std::errc() || last.ptr != end || range.least == 0 || range.least > range.most ||
      range.most > pcap_row_limit)
    throw std::runtime_error(
        fmt::format("option rows_per_message: '{}' is neither a number nor a range, as 14-16, from 1 to {}",
                    text, pcap_row_limit));
  return range;
}

class pcap_series final : public series_generator {
 public:
  explicit pcap_series(pcap_content what) : what_(what) {
    for (std::size_t i = 0; i < what_.fields; ++i) names_.push_back(pcap_series_field(i));
    reals_.resize(what_.fields);
    wholes_.resize(what_.fields);
  }

  std::optional<stream_data> next() override {
    if (ended_) return std::nullopt;
    ++messages_;
    if (messages_ == 1)
      write_pcap_start(text_, messages_, arm_time);
    else if (row_ < what_.rows)
      write_rows();
    else
      write_pcap_end(text_, messages_), ended_ = true;
    return memory_frames::of(pcap_type_tag, {text_});
  }

  std::uint64_t entries() const override { return what_.rows + 2; }
  double messages_per_frame() const override {
    return 2 / static_cast<double>(what_.per_message.least + what_.per_message.most);
  }

 private:
  std::uint64_t rows_of_message() const {
    auto [least, most] = what_.per_message;
    auto step = noise(what_.seed, messages_) * static_cast<double>(most - least + 1);
    return std::min(least + static_cast<std::uint64_t>(step), what_.rows - row_);
  }

  void write_rows() {
    auto rows = rows_of_message();
    fields_.clear();
    for (std::size_t i = 0; i < what_.fields; ++i) {
      reals_[i].clear();
      wholes_[i].clear();
      for (auto row = row_; row < row_ + rows; ++row) add(i, row);
      if (wholes_[i].empty())
        fields_.push_back({names_[i], std::span<const double>(reals_[i])});
      else
        fields_.push_back({names_[i], std::span<const std::int64_t>(wholes_[i])});
    }
    write_pcap_data(text_, messages_, row_, fields_, realtime_ns());
    row_ += rows;
  }

  void add(std::size_t field, std::uint64_t row) {
    auto content = pcap_series_value(what_.seed, field, row, what_.not_finite);
    if (auto real = std::get_if<double>(&content))
      reals_[field].push_back(*real);
    else
      wholes_[field].push_back(std::get<std::int64_t>(content));
  }

  pcap_content what_;
  std::vector<std::string> names_;
  std::vector<std::vector<double>> reals_; ///< of one message, by field
  std::vector<std::vector<std::int64_t>> wholes_;
  std::vector<pcap_field> fields_;
  std::string text_;
  std::uint64_t row_ = 0, messages_ = 0;
  bool ended_ = false;
};

} // namespace

std::string pcap_series_field(std::size_t field) {
  if (field < std::size(first_names)) return std::string(first_names[field]);
  return fmt::format("COUNTER{}.OUT.Value", field - std::size(first_names) + 1);
}

std::variant<double, std::int64_t> pcap_series_value(std::uint64_t seed, std::size_t field, std::uint64_t row,
                                                     bool not_finite) {
  auto n = static_cast<double>(row);
  auto random = noise(seed + field, row);
  switch (field) {
  case 0: // ms
    return 7 + random;
  case 1:
    return n + 1;
  case 2:
    return 1.0;
  case 3: // eV
    return 8879.1 + 0.2 * n + 1e-3 * random;
  case 4:
    if (not_finite && row % 7 == 3) return std::numeric_limits<double>::quiet_NaN();
    if (not_finite && row % 7 == 5) return -std::numeric_limits<double>::infinity();
    return -1e-9 * random;
  default:
    return static_cast<std::int64_t>(random * 0x1p61) | 1;
  }
}

std::unique_ptr<series_generator> make_pcap_series(const series_settings& settings) {
  option_reader options(settings.options);
  pcap_content what{.rows = settings.frames, .seed = settings.seed};
  what.per_message = range_of(options.text("rows_per_message", "14-16"));
  what.fields = options.whole("fields", std::size(first_names), 1, fields_limit);
  what.not_finite = options.flag("not_finite", false);
  options.finish();
  return std::make_unique<pcap_series>(what);
}

} // namespace dtranspose
