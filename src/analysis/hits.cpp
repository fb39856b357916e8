#include "analysis/hits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/event_trend.hpp"
#include "analysis/image_plane.hpp"
#include "analysis/numpy_file.hpp"
#include "analysis/parameter_refusal.hpp"
#include "analysis/pixel_values.hpp"
#include "analysis/plot.hpp"

namespace dtranspose {

namespace {

constexpr std::int64_t most_kept = 100;

/// What makes an image a good one.
enum class score_kind : std::uint8_t { pixels, sum };

/// The parameters, read.
struct hits_choice {
  std::string stream, channel;
  double threshold, least;
  score_kind score;
  std::size_t keep;
  std::optional<array> mask;

  explicit hits_choice(const parameters& settings)
      : stream(settings.text("stream")), channel(settings.text("channel")),
        threshold(settings.real("threshold")), least(settings.real("least")), score(score_of(settings)),
        keep(keep_of(settings)), mask(array_parameter(settings, "mask")) {
    if (std::isnan(threshold)) throw refusal("threshold", "is no number");
    if (std::isnan(least)) throw refusal("least", "is no number");
    if (mask && mask->shape().size() != 2)
      throw refusal("mask", fmt::format("an array of shape {} is no image", shape_text(mask->shape())));
  }

 private:
  static score_kind score_of(const parameters& settings) {
    auto written = settings.text("score");
    if (written == "pixels") return score_kind::pixels;
    if (written == "sum") return score_kind::sum;
    throw refusal("score", fmt::format("'{}' is neither pixels nor sum", written));
  }

  static std::size_t keep_of(const parameters& settings) {
    auto n = settings.integer("keep");
    if (n < 0 || n > most_kept) throw refusal("keep", fmt::format("{} is not 0 to {}", n, most_kept));
    return static_cast<std::size_t>(n);
  }
};

struct bright_pixels {
  std::uint64_t pixels = 0;
  double sum = 0;
};

/// Pixels of at least the threshold.
template <class T>
bright_pixels find_bright(const image_view& image, const std::vector<float>& mask, double threshold) {
  constexpr std::size_t together = 32;
  auto valid = usual_values(dtype_for<T>());
  auto least = std::max(threshold, valid.least);
  bright_pixels found;
  auto look = [&]<std::size_t n>(const std::byte* pixels, std::size_t first,
                                 std::integral_constant<std::size_t, n>) {
    T raw[n];
    std::memcpy(raw, pixels, sizeof raw);
    int some = 0;
    for (std::size_t j = 0; j < n; ++j) some |= static_cast<double>(raw[j]) >= least;
    if (some == 0) return;
    double pixels_found = 0, sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      auto x = static_cast<double>(raw[j]);
      bool counts = x >= least && x <= valid.most && (mask.empty() || mask[first + j] == 0);
      pixels_found += counts ? 1.0 : 0.0;
      sum += counts ? x : 0.0;
    }
    found.pixels += static_cast<std::uint64_t>(pixels_found);
    found.sum += sum;
  };
  std::size_t first = 0;
  for (auto& blob : image.blobs) {
    auto n = blob.size() / sizeof(T);
    std::size_t i = 0;
    for (; i + together <= n; i += together)
      look(blob.data() + i * sizeof(T), first + i, std::integral_constant<std::size_t, together>());
    for (; i < n; ++i) look(blob.data() + i * sizeof(T), first + i, std::integral_constant<std::size_t, 1>());
    first += n;
  }
  return found;
}

/// The best `most` of what it is shown, the earlier event before the later one where scores are equal: it
/// does not depend on the order in which they come.
template <class T>
class best_of {
 public:
  struct entry {
    double score;
    std::uint64_t event;
    T what;

    bool better_than(const entry& other) const {
      return score != other.score ? score > other.score : event < other.event;
    }
  };

  explicit best_of(std::size_t most) : most_(most) {}

  /// Best first.
  const std::vector<entry>& entries() const { return entries_; }

  bool takes(double score, std::uint64_t event) const {
    if (entries_.size() < most_) return true;
    return most_ > 0 && entry{score, event, T{}}.better_than(entries_.back());
  }

  void add(double score, std::uint64_t event, T what) {
    if (!takes(score, event)) return;
    for (auto& e : entries_)
      if (e.event == event) return; // seen by several workers
    entry added{score, event, std::move(what)};
    auto place =
        std::find_if(entries_.begin(), entries_.end(), [&](auto& e) { return added.better_than(e); });
    entries_.insert(place, std::move(added));
    if (entries_.size() > most_) entries_.pop_back();
  }

 private:
  std::size_t most_;
  std::vector<entry> entries_;
};

array copy_of(const image_view& image, const plane_shape& shape) {
  auto bytes = std::make_shared_for_overwrite<std::byte[]>(shape.pixels() * size_of(image.type));
  auto to = bytes.get();
  for (auto& blob : image.blobs) to = std::copy_n(blob.data(), blob.size(), to);
  return array(image.type, {shape.rows, shape.columns}, std::move(bytes));
}

class hits_worker final : public worker_part {
 public:
  explicit hits_worker(const parameters& settings)
      : settings_(settings), choice_(settings), best_(choice_.keep) {}

  answer process_event(const event& e, const parameters& settings, bool) override {
    if (settings.all() != settings_.all()) {
      choice_ = hits_choice(settings);
      settings_ = settings;
      mask_.clear();
      best_ = best_of<none>(choice_.keep);
    }
    auto image = find_image(e, choice_.stream, choice_.channel);
    if (!image) return answer::nothing();
    auto shape = plane_of(*image);
    if (!shape_) shape_ = shape;
    if (shape != *shape_)
      throw std::runtime_error(fmt::format("an image of shape {}, but the first of the scan was of shape {}",
                                           text_of(shape), text_of(*shape_)));
    if (choice_.mask && mask_.empty())
      mask_ = plane_parameter(*choice_.mask, "mask", shape.rows, shape.columns);
    auto found = visit_dtype(image->type,
                             [&]<class T>(T) { return find_bright<T>(*image, mask_, choice_.threshold); });
    return answer::result(judge(e.number().value, found, *image, shape));
  }

 private:
  struct none {};

  value judge(std::uint64_t event, const bright_pixels& found, const image_view& image,
              const plane_shape& shape) {
    auto score = choice_.score == score_kind::pixels ? static_cast<double>(found.pixels) : found.sum;
    bool hit = score >= choice_.least;
    value_map result{{"pixels", found.pixels}, {"sum", found.sum}, {"hit", std::uint64_t{hit}}};
    // What is not among the best here is not among the best of all.
    if (hit && best_.takes(score, event)) {
      best_.add(score, event, {});
      result.set("image", copy_of(image, shape));
      result.set("score", score);
    }
    return result;
  }

  parameters settings_;
  hits_choice choice_;
  std::optional<plane_shape> shape_; ///< of the first image
  std::vector<float> mask_;
  best_of<none> best_;
};

class hits_reducer final : public reducer_part {
 public:
  explicit hits_reducer(const parameters& settings) : best_(hits_choice(settings).keep) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto hit = number(result.content, "hit") != 0;
    auto event = result.event ? result.event->value : 0;
    std::array<double, 2> numbers{hit ? 1.0 : 0.0, number(result.content, "pixels")};
    auto image = result.content.find("image");
    auto pixels = image ? image->as_array() : nullptr;
    auto score = image ? number(result.content, "score") : 0;
    trend_.add(event, numbers);
    hits_ += hit;
    if (pixels) best_.add(score, event, *pixels);
  }

  value published() const override {
    auto events = trend_.events();
    value_map tree{{"events", events}, {"hits", hits_}};
    if (events == 0) return tree;
    auto n = static_cast<double>(events), fraction = static_cast<double>(hits_) / n;
    tree.set("fraction", fraction).set("fraction_error", std::sqrt(fraction * (1 - fraction) / n));
    tree.set("rate", value_map{{"fraction", array::of(trend_.means(0))},
                               {"pixels", array::of(trend_.means(1))},
                               {"event", array::of(trend_.places())},
                               {"_attrs", plot_attributes("fraction", {"event"})}});
    if (!best_.entries().empty()) tree.set("best", best());
    tree.set("_attrs", value_map{{"default", best_.entries().empty() ? "rate" : "best"}});
    return tree;
  }

 private:
  static double number(const value& content, std::string_view name) {
    auto found = content.find(name);
    auto number = found ? found->as_number() : std::nullopt;
    if (!number) throw std::runtime_error(fmt::format("the result is none of hits: it lacks {}", name));
    return *number;
  }

  /// Those of the same form as the very best, one behind the other.
  value_map best() const {
    auto& first = best_.entries().front().what;
    std::vector<std::uint64_t> events;
    std::vector<double> scores;
    std::vector<std::byte> pixels;
    for (auto& e : best_.entries()) {
      if (e.what.shape() != first.shape() || e.what.type() != first.type()) continue;
      events.push_back(e.event);
      scores.push_back(e.score);
      pixels.insert(pixels.end(), e.what.bytes().begin(), e.what.bytes().end());
    }
    auto kept = std::make_shared_for_overwrite<std::byte[]>(pixels.size());
    std::copy(pixels.begin(), pixels.end(), kept.get());
    std::vector<std::size_t> shape{events.size(), first.shape()[0], first.shape()[1]};
    return {{"image", array(first.type(), std::move(shape), std::move(kept))},
            {"image_attrs", value_map{{"interpretation", "image"}}},
            {"event", array::of(events)},
            {"score", array::of(scores)},
            {"title", "best images"},
            {"_attrs", plot_attributes("image", {".", ".", "."})}};
  }

  event_trend trend_{2};
  std::uint64_t hits_ = 0;
  best_of<array> best_;
};

class hits_analysis final : public analysis {
 public:
  std::string_view name() const override { return "hits"; }
  std::string_view description() const override {
    return "which images have bright pixels, how many of all have, and the best of them";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"channel", text, "", "which of several images taken together; empty: the first"},
        {"threshold", real, "1", "counts from which a pixel is bright"},
        {"score", text, "pixels", "of an image: pixels (how many are bright) or sum (of the bright ones)"},
        {"least", real, "1", "score from which an image is a hit"},
        {"keep", integer, "10", "how many of the best hits are kept as images, up to 100"},
        {"mask", binary, "", "pixels that are not 0 are left out: path of a .npy file, or its bytes"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    const hits_choice checked(settings); // throws where it is none
    static_cast<void>(checked);
    using enum result_extent;
    return {{.name = "pixels", .type = dtype::uint64},
            {.name = "sum", .unit = "counts"},
            {.name = "hit", .type = dtype::uint8},
            {.name = "hits", .type = dtype::uint64, .extent = per_scan},
            {.name = "events", .type = dtype::uint64, .extent = per_scan}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<hits_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<hits_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_hits_analysis() { return std::make_unique<hits_analysis>(); }

} // namespace dtranspose
