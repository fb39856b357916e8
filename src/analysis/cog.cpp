#include "analysis/cog.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "analysis/event_trend.hpp"
#include "analysis/image_plane.hpp"
#include "analysis/numpy_file.hpp"
#include "analysis/parameter_change.hpp"
#include "analysis/parameter_refusal.hpp"
#include "analysis/plot.hpp"

namespace dtranspose {

namespace {

/// A number that may be left out.
std::optional<double> parse_number(const parameters& settings, std::string_view parameter) {
  auto text = settings.text(parameter);
  if (text.empty()) return std::nullopt;
  auto number = parameters::real_of(text);
  if (!number || !std::isfinite(*number))
    throw refusal(parameter, fmt::format("'{}' is no number, nor empty", text));
  return number;
}

/// The parameters, read.
struct cog_choice {
  std::string stream, channel;
  double threshold, background;
  std::optional<double> saturation, target_row, target_column, limit;
  bool without_saturated;
  std::optional<array> dark;

  explicit cog_choice(const parameters& settings)
      : stream(settings.text("stream")), channel(settings.text("channel")),
        threshold(settings.real("threshold")), background(settings.real("background")),
        saturation(parse_number(settings, "saturation")), target_row(parse_number(settings, "target_row")),
        target_column(parse_number(settings, "target_column")), limit(parse_number(settings, "limit")),
        without_saturated(settings.boolean("without_saturated")), dark(array_parameter(settings, "dark")) {
    if (!(threshold >= 0 && std::isfinite(threshold)))
      throw refusal("threshold", "must be 0 or more: negative counts have no centre of gravity");
    if (!std::isfinite(background)) throw refusal("background", "is no finite number");
    if (target_row.has_value() != target_column.has_value())
      throw refusal(target_row ? "target_column" : "target_row", "is empty, where the other is not");
    if (limit && !(*limit >= 0)) throw refusal("limit", "must be 0 or more");
    if (limit && !target_row) throw refusal("limit", "needs target_row and target_column");
    if (dark && dark->shape().size() != 2)
      throw refusal("dark", fmt::format("an array of shape {} is no image", shape_text(dark->shape())));
  }
};

/// What saturates a pixel of T unless somebody says otherwise: the largest number; nothing for reals.
template <class T>
double usual_saturation() {
  if constexpr (std::is_integral_v<T>) return static_cast<double>(std::numeric_limits<T>::max());
  return std::numeric_limits<double>::infinity();
}

/// Counts along rows and columns, and what was seen of pixels.
struct profiles {
  std::vector<double> by_row, by_column;
  std::uint64_t saturated = 0;
  double peak = 0;
};

/// Pixels that are looked at together, so that the compiler makes vector code.
constexpr std::size_t together = 16;

struct pixel_rules {
  double background, threshold, saturation;
  bool without_saturated;
};

/// Adds `n` neighbouring pixels of a row; `dark` is null where there is none.
template <class T, std::size_t n>
double add(const std::byte* pixels, const float* dark, const pixel_rules& rules, double* columns,
           profiles& to) {
  T raw[n];
  std::memcpy(raw, pixels, sizeof raw);
  double sum[n], saturated = 0, peak = to.peak;
  for (std::size_t j = 0; j < n; ++j) {
    auto x = static_cast<double>(raw[j]);
    bool full = x >= rules.saturation;
    saturated += full ? 1.0 : 0.0;
    auto counts = x - rules.background - (dark ? static_cast<double>(dark[j]) : 0.0);
    // False for NaN as well.
    bool seen = counts >= rules.threshold && counts <= std::numeric_limits<double>::max();
    counts = seen && !(full && rules.without_saturated) ? counts : 0.0;
    peak = counts > peak ? counts : peak;
    columns[j] += counts;
    sum[j] = counts;
  }
  to.saturated += static_cast<std::uint64_t>(saturated);
  to.peak = peak;
  double all = 0;
  for (auto s : sum) all += s;
  return all;
}

template <class T>
void take_profiles(const image_view& image, const plane_shape& shape, const float* dark, pixel_rules rules,
                   bool usual, profiles& to) {
  if (usual) rules.saturation = usual_saturation<T>();
  to.by_row.assign(shape.rows, 0);
  to.by_column.assign(shape.columns, 0);
  to.saturated = 0;
  to.peak = 0;
  const pixels_of<T> pixels(image);
  for (std::size_t row = 0; row < shape.rows; ++row) {
    auto from = pixels.at(row * shape.columns);
    auto dark_row = dark ? dark + row * shape.columns : nullptr;
    auto dark_at = [&](std::size_t column) { return dark_row ? dark_row + column : nullptr; };
    double sum = 0;
    std::size_t column = 0;
    for (; column + together <= shape.columns; column += together)
      sum += add<T, together>(from + column * sizeof(T), dark_at(column), rules, &to.by_column[column], to);
    for (; column < shape.columns; ++column)
      sum += add<T, 1>(from + column * sizeof(T), dark_at(column), rules, &to.by_column[column], to);
    to.by_row[row] = sum;
  }
}

struct moments {
  double centre = NAN, width = NAN;
};

/// Of a profile whose counts add up to `total`; NaN where there are none. From the middle of the profile, so
/// that little is lost.
moments moments_of(const std::vector<double>& profile, double total) {
  if (!(total > 0)) return {};
  auto middle = 0.5 * static_cast<double>(profile.size() - 1);
  double first = 0;
  for (std::size_t i = 0; i < profile.size(); ++i) first += (static_cast<double>(i) - middle) * profile[i];
  auto centre = first / total + middle;
  double second = 0;
  for (std::size_t i = 0; i < profile.size(); ++i) {
    auto off = static_cast<double>(i) - centre;
    second += off * off * profile[i];
  }
  return {centre, std::sqrt(second / total)};
}

constexpr std::array<std::string_view, 6> numbers_of_rows = {"row",          "column", "sigma_row",
                                                             "sigma_column", "total",  "peak"};

class cog_worker final : public worker_part {
 public:
  explicit cog_worker(const parameters& settings) : settings_(settings), choice_(settings) {}

  answer process_event(const event& e, const parameters& settings, bool) override {
    if (settings.all() != settings_.all()) {
      choice_ = cog_choice(settings);
      settings_ = settings;
      dark_.clear();
    }
    auto image = find_image(e, choice_.stream, choice_.channel);
    if (!image) return answer::nothing();
    auto shape = plane_of(*image);
    if (!shape_) shape_ = shape;
    if (shape != *shape_)
      throw std::runtime_error(fmt::format("an image of shape {}, but the first of the scan was of shape {}",
                                           text_of(shape), text_of(*shape_)));
    if (choice_.dark && dark_.empty())
      dark_ = plane_parameter(*choice_.dark, "dark", shape.rows, shape.columns);
    look(*image, shape);
    return answer::result(result());
  }

 private:
  void look(const image_view& image, const plane_shape& shape) {
    pixel_rules rules{choice_.background, choice_.threshold, choice_.saturation.value_or(0),
                      choice_.without_saturated};
    visit_dtype(image.type, [&]<class T>(T) {
      take_profiles<T>(image, shape, dark_.empty() ? nullptr : dark_.data(), rules, !choice_.saturation,
                       seen_);
    });
  }

  value result() const {
    double total = 0;
    for (auto counts : seen_.by_row) total += counts;
    auto row = moments_of(seen_.by_row, total), column = moments_of(seen_.by_column, total);
    value_map result;
    result.reserve(12);
    result.set("row", row.centre).set("column", column.centre);
    result.set("sigma_row", row.width).set("sigma_column", column.width);
    result.set("total", total).set("peak", seen_.peak).set("saturated", seen_.saturated);
    if (!choice_.target_row) return result;
    auto offset_row = row.centre - *choice_.target_row,
         offset_column = column.centre - *choice_.target_column;
    auto offset = std::hypot(offset_row, offset_column);
    result.set("offset_row", offset_row).set("offset_column", offset_column).set("offset", offset);
    // A spot that is nowhere is not where it should be.
    if (choice_.limit) result.set("beyond_limit", std::uint64_t{!(offset <= *choice_.limit)});
    return result;
  }

  parameters settings_;
  cog_choice choice_;
  std::optional<plane_shape> shape_; ///< of the first image
  std::vector<float> dark_;
  profiles seen_;
};

class cog_reducer final : public reducer_part {
 public:
  explicit cog_reducer(const parameters& settings) : settings_(settings) {}

  /// Results say themselves whether they are beyond their limit.
  bool change_parameters(const parameters& settings) override {
    if (!differ_only_in({"limit"}, settings_, settings)) return false;
    settings_ = settings;
    return true;
  }

  std::vector<decision> take_decisions() override { return std::exchange(decisions_, {}); }

  void process_result(const folded_result& result, const parameters&) override {
    std::array<double, numbers_of_rows.size()> numbers;
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = number(result.content, numbers_of_rows[i]);
    auto event = result.event ? result.event->value : 0;
    auto alarm = result.content.find("beyond_limit") && number(result.content, "beyond_limit") != 0;
    saturated_ += number(result.content, "saturated") > 0;
    ++events_;
    if (alarm) {
      first_alarm_ = alarms_ == 0 ? event : std::min(first_alarm_, event);
      latest_alarm_ = alarms_ == 0 ? event : std::max(latest_alarm_, event);
      ++alarms_;
    }
    if (events_ == 1 || event >= latest_) {
      latest_ = event;
      if (alarm != std::exchange(alarm_, alarm)) decide(result, alarm);
    }
    if (std::isfinite(numbers[0])) trend_.add(event, numbers);
  }

  value published() const override {
    value_map tree{{"events", events_},
                   {"without_spot", events_ - trend_.events()},
                   {"saturated_images", saturated_},
                   {"alarm", alarm_},
                   {"alarms", alarms_}};
    if (alarms_ > 0) tree.set("first_alarm", first_alarm_).set("latest_alarm", latest_alarm_);
    if (trend_.events() == 0) return tree;
    value_map means;
    for (std::size_t i = 0; i < numbers_of_rows.size(); ++i) means.set(numbers_of_rows[i], trend_.mean(i));
    tree.set("mean", std::move(means));
    tree.set("drift_row", trend_.slope(0)).set("drift_row_attrs", per_event());
    tree.set("drift_column", trend_.slope(1)).set("drift_column_attrs", per_event());
    tree.set("drift", drift());
    tree.set("_attrs", value_map{{"default", "drift"}});
    return tree;
  }

 private:
  /// The spot has left the target, or is back.
  void decide(const folded_result& result, bool alarm) {
    value_map content{{"beyond_limit", alarm}};
    for (auto name : {"offset_row", "offset_column", "offset"})
      if (auto found = result.content.find(name)) content.set(name, *found);
    decisions_.push_back({.name = "beam_position", .content = std::move(content), .event = result.event});
  }

  static double number(const value& content, std::string_view name) {
    auto found = content.find(name);
    auto number = found ? found->as_number() : std::nullopt;
    if (!number)
      throw std::runtime_error(fmt::format("the result is no centre of gravity: it lacks {}", name));
    return *number;
  }

  static value_map per_event() { return {{"units", "pixel/event"}}; }

  value_map drift() const {
    value_map group;
    group.set("event", array::of(trend_.places()));
    for (std::size_t i = 0; i < numbers_of_rows.size(); ++i)
      group.set(numbers_of_rows[i], array::of(trend_.means(i)));
    for (auto name : {"row", "column"})
      group.set(fmt::format("{}_attrs", name), value_map{{"units", "pixel"}});
    group.set("title", "centre of gravity");
    group.set("_attrs", plot_attributes("column", {"event"}, {"row"}));
    return group;
  }

  parameters settings_;
  event_trend trend_{numbers_of_rows.size()};
  std::uint64_t events_ = 0, saturated_ = 0, alarms_ = 0;
  std::uint64_t first_alarm_ = 0, latest_alarm_ = 0, latest_ = 0; ///< event numbers
  bool alarm_ = false;                                            ///< of the latest event
  std::vector<decision> decisions_;
};

class cog_analysis final : public analysis {
 public:
  std::string_view name() const override { return "cog"; }
  std::string_view description() const override {
    return "centre of gravity, widths and brightness of a spot on a camera, per event; its drift and alarms";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"channel", text, "", "which of several images taken together; empty: the first"},
        {"threshold", real, "0", "counts below it, after subtraction, count as 0"},
        {"background", real, "0", "counts that are subtracted from every pixel"},
        {"dark", binary, "", "subtracted from images: path of a .npy file, or its bytes"},
        {"saturation", text, "", "counts from which a pixel is saturated; empty: the largest of its type"},
        {"without_saturated", boolean, "False", "saturated pixels count as 0"},
        {"target_row", text, "", "where the spot should be; the middle of the first row is 0"},
        {"target_column", text, "", "where the spot should be; the middle of the first column is 0"},
        {"limit", text, "", "pixels from the target beyond which there is an alarm; empty: none"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    const cog_choice choice(settings);
    std::vector<result_description> results;
    for (auto name : {"row", "column", "sigma_row", "sigma_column"})
      results.push_back({.name = name, .unit = "pixel"});
    for (auto name : {"total", "peak"}) results.push_back({.name = name, .unit = "counts"});
    results.push_back({.name = "saturated", .type = dtype::uint64});
    if (choice.target_row)
      for (auto name : {"offset_row", "offset_column", "offset"})
        results.push_back({.name = name, .unit = "pixel"});
    if (choice.limit) results.push_back({.name = "beyond_limit", .type = dtype::uint8});
    for (auto name : {"events", "alarms", "saturated_images"})
      results.push_back({.name = name, .type = dtype::uint64, .extent = result_extent::per_scan});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<cog_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<cog_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_cog_analysis() { return std::make_unique<cog_analysis>(); }

} // namespace dtranspose
