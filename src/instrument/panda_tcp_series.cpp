#include "instrument/panda_tcp_series.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <time.h>

#include "protocol/panda_row.hpp"
#include "protocol/panda_tcp.hpp"

namespace dtranspose {

namespace {

constexpr const char* default_fields = "PCAP.BITS0.Value,PCAP.TS_TRIG.Value,INENC1.VAL.Mean";
constexpr std::string_view samples_key = "PCAP.GATE_DURATION.Value";

/// Scale and offset of times and positions.
constexpr double tick_s = 8e-09, position_scale = 0.5, position_offset = 1;
/// What is averaged for each row.
constexpr std::uint32_t samples_per_row = 1000;

/// The groups of columns in the order in which a server sends them.
enum class group : std::uint8_t { unscaled, scaled32, scaled64, averaged, deviation };

struct series_plan {
  panda_header header;
  std::vector<group> groups; ///< of the columns
  bool xml = false;
  std::uint64_t arms = 1, rows = 0, rows_per_message = 1, seed = 0;
  std::shared_ptr<const readings_view> view = {};
  std::uint64_t first_frame = 0;
  std::vector<std::optional<std::size_t>> seen; ///< of the columns: which of the view's it is
};

/// Sebastiano Vigna's splitmix64 as a hash.
std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

bool is_count(std::string_view name) {
  return name.starts_with("PCAP.BITS") || name == "PCAP.SAMPLES" || name == "PCAP.GATE_DURATION";
}
bool is_time(std::string_view name) { return name.starts_with("PCAP.TS_"); }

group group_of(std::string_view name, std::string_view capture) {
  if (is_count(name) && capture == "Value") return group::unscaled;
  if (is_time(name) && capture == "Value") return group::scaled64;
  if (is_count(name) || is_time(name))
    throw std::runtime_error(fmt::format("option fields: {} is captured as Value only", name));
  if (capture == "Value" || capture == "Diff" || capture == "Min" || capture == "Max") return group::scaled32;
  if (capture == "Sum") return group::scaled64;
  if (capture == "Mean") return group::averaged;
  if (capture == "StdDev") return group::deviation;
  throw std::runtime_error(fmt::format(
      "option fields: '{}' of {} is none of Value, Diff, Min, Max, Sum, Mean, StdDev", capture, name));
}

panda_type type_of(group g, panda_process process) {
  if (g == group::unscaled) return panda_type::uint32;
  if (process == panda_process::scaled) return panda_type::float64;
  if (g == group::scaled32) return panda_type::int32;
  return g == group::deviation ? panda_type::int96 : panda_type::int64;
}

using field = std::pair<std::string, std::string>; ///< name and capture

field field_of(std::string_view key) {
  auto dot = key.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || key.find_first_of(" \t\n") != std::string_view::npos)
    throw std::runtime_error(fmt::format("option fields: '{}' is not of the form NAME.CAPTURE", key));
  return {std::string(key.substr(0, dot)), std::string(key.substr(dot + 1))};
}

std::vector<field> split_fields(std::string_view list) {
  std::vector<field> fields;
  while (true) {
    auto comma = list.find(',');
    auto one = field_of(list.substr(0, comma));
    if (std::find(fields.begin(), fields.end(), one) != fields.end())
      throw std::runtime_error(fmt::format("option fields: {}.{} is there twice", one.first, one.second));
    fields.push_back(std::move(one));
    if (comma == std::string_view::npos) return fields;
    list.remove_prefix(comma + 1);
  }
}

void add_if_missing(std::vector<field>& fields, field wanted) {
  if (std::find(fields.begin(), fields.end(), wanted) == fields.end()) fields.push_back(std::move(wanted));
}

/// What raw means and deviations are computed from is sent with them.
void add_companions(std::vector<field>& fields) {
  auto asked = fields;
  for (auto& [name, capture] : asked)
    if (capture == "StdDev") add_if_missing(fields, {name, "Mean"});
  auto averages = std::any_of(fields.begin(), fields.end(), [](auto& f) { return f.second == "Mean"; });
  if (averages) add_if_missing(fields, field_of(samples_key));
}

panda_column column_of(const field& f, panda_process process) {
  panda_column column;
  column.name = f.first;
  column.capture = f.second;
  auto g = group_of(f.first, f.second);
  column.type = type_of(g, process);
  column.scalable = g != group::unscaled;
  if (!column.scalable) return column;
  column.scale = is_time(f.first) ? tick_s : position_scale;
  column.offset = is_time(f.first) ? 0 : position_offset;
  column.units = is_time(f.first) ? "s" : "um";
  return column;
}

/// Columns that the view has are read in its units.
void add_view(series_plan& plan) {
  plan.seen.resize(plan.header.columns.size());
  if (!plan.view) return;
  auto seen = plan.view->columns();
  for (std::size_t i = 0; i < plan.seen.size(); ++i)
    for (std::size_t k = 0; k < seen.size(); ++k)
      if (auto& column = plan.header.columns[i]; column.scalable && column.name == seen[k].name) {
        plan.seen[i] = k;
        column.scale = seen[k].step;
        column.offset = 0;
        column.units = seen[k].unit;
      }
}

std::string fields_of(const readings_view& view) {
  std::string fields = "PCAP.TS_TRIG.Value";
  for (auto& column : view.columns()) fields.append(",").append(column.name).append(".Mean");
  return fields;
}

void add_columns(series_plan& plan, std::vector<field> fields) {
  if (plan.header.process == panda_process::raw) add_companions(fields);
  std::stable_sort(fields.begin(), fields.end(), [](auto& a, auto& b) {
    return group_of(a.first, a.second) < group_of(b.first, b.second);
  });
  if (fields.size() > panda_column_limit)
    throw std::runtime_error(fmt::format("option fields: there are more than {}", panda_column_limit));
  for (auto& f : fields) {
    plan.groups.push_back(group_of(f.first, f.second));
    plan.header.columns.push_back(column_of(f, plan.header.process));
  }
  add_view(plan);
  complete_panda_header(plan.header);
}

panda_format format_named(const std::string& name) {
  if (name == "base64") return panda_format::base64;
  if (name == "framed") return panda_format::framed;
  return name == "unframed" ? panda_format::unframed : panda_format::ascii;
}

series_plan plan_of(const series_settings& settings) {
  series_plan plan;
  option_reader options(settings.options);
  plan.arms = options.whole("arms", 1, 1, 1'000'000);
  plan.header.format = format_named(options.choice("format", {"ascii", "base64", "framed", "unframed"}));
  plan.header.process =
      options.choice("process", {"scaled", "raw"}) == "raw" ? panda_process::raw : panda_process::scaled;
  plan.xml = options.flag("xml", false);
  plan.view = settings.view.readings;
  plan.first_frame = settings.first_frame;
  auto fields = split_fields(options.text("fields", plan.view ? fields_of(*plan.view) : default_fields));
  plan.rows_per_message = options.whole("rows_per_message", 1, 1, 100'000);
  options.finish();
  plan.rows = settings.frames;
  plan.seed = settings.seed;
  add_columns(plan, std::move(fields));
  return plan;
}

/// What a row captured in one column: integers as a raw PandABox sends them.
struct captured {
  std::int64_t number = 0;   ///< or the sum, of what is averaged
  std::uint64_t squares = 0; ///< their sum
};

/// The position of an encoder: a ramp with noise. It alternates between two neighbours while it is averaged,
/// so that its deviation is no zero.
captured capture(const series_plan& plan, std::size_t column, std::uint64_t arm, std::uint64_t row) {
  auto& c = plan.header.columns[column];
  auto noise = mix(mix(mix(plan.seed) ^ arm) ^ row);
  if (is_time(c.name)) return {static_cast<std::int64_t>(125'000 * (row + 1) + (noise & 1023))};
  if (c.name == "PCAP.SAMPLES" || c.name == "PCAP.GATE_DURATION") return {samples_per_row};
  for (char letter : c.name) noise = mix(noise ^ static_cast<unsigned char>(letter));
  if (plan.groups[column] == group::unscaled) return {static_cast<std::int64_t>(noise & 0xffffffff)};
  auto position =
      static_cast<std::int64_t>(row % 1'000'000) * 10 - 5'000 + static_cast<std::int64_t>(noise & 7);
  std::int64_t half = samples_per_row / 2, neighbour = position + 1;
  if (c.capture == "Min" || c.capture == "Value") return {position};
  if (c.capture == "Max") return {neighbour};
  if (c.capture == "Diff") return {static_cast<std::int64_t>(noise & 7) - 3};
  return {half * (position + neighbour),
          static_cast<std::uint64_t>(half * (position * position + neighbour * neighbour))};
}

/// The same of a position that the view tells; it stands still while it is averaged.
captured capture_seen(const panda_column& column, double position) {
  std::int64_t number = std::llround(position / column.scale);
  if (column.capture != "Mean" && column.capture != "StdDev" && column.capture != "Sum") return {number};
  std::int64_t samples = samples_per_row;
  return {samples * number, static_cast<std::uint64_t>(samples * number * number)};
}

double scaled(const panda_column& column, const captured& what) {
  if (column.capture == "StdDev") return column.scale * 0.5;
  auto number = static_cast<double>(what.number);
  if (column.capture == "Mean") number /= samples_per_row;
  return column.scale * number + column.offset;
}

template <class T>
void put(std::byte* to, T number) {
  std::memcpy(to, &number, sizeof number);
}

void put_captured(const panda_column& column, const captured& what, std::byte* to) {
  switch (column.type) {
  case panda_type::uint32:
    return put(to, static_cast<std::uint32_t>(what.number));
  case panda_type::int32:
    return put(to, static_cast<std::int32_t>(what.number));
  case panda_type::uint64:
  case panda_type::int64:
    return put(to, what.number);
  case panda_type::int96:
    put(to, what.squares);
    return put(to + 8, std::uint32_t{0});
  case panda_type::float64:
    return put(to, scaled(column, what));
  }
}

void put_row(const series_plan& plan, std::uint64_t arm, std::uint64_t row, std::byte* to) {
  std::vector<double> seen;
  if (plan.view) seen = plan.view->at(plan.first_frame + arm * plan.rows + row);
  for (std::size_t i = 0; i < plan.header.columns.size(); ++i) {
    auto& column = plan.header.columns[i];
    auto what = plan.seen[i] ? capture_seen(column, seen[*plan.seen[i]]) : capture(plan, i, arm, row);
    put_captured(column, what, to + column.position);
  }
}

std::string time_now() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts = {};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 32> text;
  auto size = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:09}Z", std::string_view(text.data(), size), now.tv_nsec);
}

class panda_tcp_series final : public series_generator {
 public:
  explicit panda_tcp_series(series_plan plan) : plan_(std::move(plan)) {}

  std::optional<stream_data> next() override {
    if (arm_ == plan_.arms) return std::nullopt;
    std::string bytes;
    if (!begun_)
      add_header(bytes);
    else if (row_ < plan_.rows)
      add_rows(bytes);
    else
      add_end(bytes);
    return memory_frames::of(panda_tcp_type_tag, {bytes});
  }

  std::uint64_t entries() const override { return plan_.arms * (plan_.rows + 2); }

  double messages_per_frame() const override {
    if (plan_.rows == 0) return 1;
    auto messages = (plan_.rows + plan_.rows_per_message - 1) / plan_.rows_per_message;
    return static_cast<double>(messages) / static_cast<double>(plan_.rows);
  }

 private:
  void add_header(std::string& bytes) {
    plan_.header.arm_time = plan_.header.start_time = time_now();
    append_panda_header(bytes, plan_.header, plan_.xml);
    begun_ = true;
  }

  void add_rows(std::string& bytes) {
    auto rows = std::min(plan_.rows_per_message, plan_.rows - row_);
    auto size = plan_.header.sample_bytes;
    packed_.resize(rows * size);
    for (std::uint64_t i = 0; i < rows; ++i) put_row(plan_, arm_, row_ + i, packed_.data() + i * size);
    append_panda_rows(bytes, plan_.header, packed_);
    row_ += rows;
  }

  void add_end(std::string& bytes) {
    append_panda_end(bytes, plan_.rows);
    ++arm_;
    row_ = 0;
    begun_ = false;
  }

  series_plan plan_;
  std::uint64_t arm_ = 0, row_ = 0;
  bool begun_ = false; ///< the header of this arm was sent
  std::vector<std::byte> packed_;
};

/// What a client asks for in its options line; an error is what a server would answer.
struct request {
  panda_format format = panda_format::ascii;
  panda_process process = panda_process::scaled;
  bool xml = false;
  std::string error;
};

void take_word(std::string_view word, request& wanted) {
  if (word == "ASCII")
    wanted.format = panda_format::ascii;
  else if (word == "BASE64")
    wanted.format = panda_format::base64;
  else if (word == "FRAMED")
    wanted.format = panda_format::framed;
  else if (word == "UNFRAMED")
    wanted.format = panda_format::unframed;
  else if (word == "SCALED")
    wanted.process = panda_process::scaled;
  else if (word == "RAW")
    wanted.process = panda_process::raw;
  else if (word == "XML")
    wanted.xml = true;
  else if (word == "DEFAULT")
    wanted = {};
  else if (word == "NO_HEADER" || word == "NO_STATUS" || word == "ONE_SHOT" || word == "BARE")
    wanted.error = fmt::format("{} is not simulated", word);
  else
    wanted.error = "Invalid data capture option";
}

request read_request(std::string_view line) {
  request wanted;
  while (!line.empty() && wanted.error.empty()) {
    auto begin = std::min(line.find_first_not_of(" \t"), line.size());
    line.remove_prefix(begin);
    auto end = std::min(line.find_first_of(" \t"), line.size());
    if (end > 0) take_word(line.substr(0, end), wanted);
    line.remove_prefix(end);
  }
  return wanted;
}

} // namespace

std::unique_ptr<series_generator> make_panda_tcp_series(const series_settings& settings) {
  return std::make_unique<panda_tcp_series>(plan_of(settings));
}

line_answer answer_of_panda_series(const protocol_options& options) {
  auto plan = plan_of({.options = options});
  return [format = plan.header.format, process = plan.header.process, xml = plan.xml](std::string_view line) {
    auto wanted = read_request(line);
    if (wanted.error.empty() && (wanted.format != format || wanted.process != process || wanted.xml != xml))
      wanted.error = fmt::format("this simulation sends {} {}{}", name_of(format), name_of(process),
                                 xml ? " with XML headers" : "");
    return wanted.error.empty() ? std::string("OK\n") : fmt::format("ERR {}\n", wanted.error);
  };
}

panda_header panda_series_header(const series_settings& settings) { return plan_of(settings).header; }

std::vector<std::byte> panda_series_row(const series_settings& settings, std::uint64_t arm,
                                        std::uint64_t row) {
  auto plan = plan_of(settings);
  std::vector<std::byte> packed(plan.header.sample_bytes);
  put_row(plan, arm, row, packed.data());
  return packed;
}

} // namespace dtranspose
