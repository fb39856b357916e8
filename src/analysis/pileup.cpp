#include "analysis/pileup.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/compensated_sum.hpp"
#include "analysis/event_choice.hpp"
#include "analysis/image_plane.hpp"
#include "analysis/numpy_file.hpp"
#include "analysis/parameter_refusal.hpp"
#include "analysis/pixel_values.hpp"
#include "analysis/plot.hpp"

namespace dtranspose {

namespace {

// What a worker defers, and the reducer adds up:
//
//     image        uint64, int64 or float64 [rows, columns]: sums
//     rest         float64, the same: what rounding took from `image`; only beside float64
//     missed, hot  uint32, the same: in how many images a pixel did not count, or was hot; absent: in none
//     type         element type of the images
//     event, total, mean, highest, missing, hot_pixels   one number for each image
//     kept         map of images by event number

constexpr std::uint64_t most_kept = 100;
constexpr std::size_t most_kept_bytes = std::size_t{1} << 30;
/// Images of which the numbers are kept: 48 bytes each.
constexpr std::size_t most_statistics = std::size_t{1} << 22;

/// The parameters, read.
struct pileup_choice {
  std::string stream, channel;
  std::optional<array> mask;
  std::optional<valid_values> valid;
  double hot = std::numeric_limits<double>::infinity();
  event_choice keep{""};

  explicit pileup_choice(const parameters& settings)
      : stream(settings.text("stream")), channel(settings.text("channel")),
        mask(array_parameter(settings, "mask")) {
    if (mask && mask->shape().size() != 2)
      throw refusal("mask", fmt::format("an array of shape {} is no image", shape_text(mask->shape())));
    if (auto written = settings.text("hot"); !written.empty()) {
      auto from = parameters::real_of(written);
      if (!from || std::isnan(*from))
        throw refusal("hot", fmt::format("'{}' is no number, nor empty", written));
      hot = *from;
    }
    read_valid(settings.text("valid"));
    try {
      keep = event_choice(settings.text("keep"));
    } catch (const std::invalid_argument& e) {
      throw refusal("keep", e.what());
    }
    if (keep.most() > most_kept)
      throw refusal("keep", fmt::format("{} images, where no more than {} are kept", keep.most(), most_kept));
  }

 private:
  void read_valid(const std::string& text) {
    if (text.empty()) return;
    auto colon = text.find(':');
    auto least = parameters::real_of(text.substr(0, colon));
    auto most = colon == text.npos ? std::nullopt : parameters::real_of(text.substr(colon + 1));
    if (!least || !most || !(*least <= *most) || !std::isfinite(*least) || !std::isfinite(*most))
      throw refusal("valid", fmt::format("'{}' is no range; an example is 0:65000", text));
    valid = {*least, *most};
  }
};

/// What images of T are summed in.
template <class T>
using sum_of = std::conditional_t<std::is_floating_point_v<T>, double,
                                  std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;

/// Stays at the end of its range, for good, where a sum would leave it.
template <class S>
void add_or_stay(S& to, S x) {
  if (to == std::numeric_limits<S>::max()) return;
  S sum;
  if (__builtin_add_overflow(to, x, &sum))
    to = x < 0 ? std::numeric_limits<S>::min() : std::numeric_limits<S>::max();
  else
    to = sum;
}

/// What is said of one image.
struct frame_numbers {
  std::uint64_t event = 0;
  double total = 0, mean = NAN, highest = NAN;
  std::uint64_t missing = 0, hot = 0; ///< pixels
};

/// The sums of pixels of one type; `rests` only for reals. `missed` and `hot` are empty until they are
/// needed.
template <class S>
struct sums_of {
  std::vector<S> sums;
  std::vector<double> rests;
};

/// Images of one shape and type, added up.
class pile {
 public:
  pile(dtype type, plane_shape shape) : type_(type), shape_(shape) {
    visit_dtype(type, [this]<class T>(T) {
      using S = sum_of<T>;
      auto& made = sums_.template emplace<sums_of<S>>();
      made.sums.resize(shape_.pixels());
      if constexpr (std::is_floating_point_v<S>) made.rests.resize(shape_.pixels());
    });
  }

  dtype type() const { return type_; }
  const plane_shape& shape() const { return shape_; }
  std::uint64_t frames() const { return frames_; }

  /// `mask` may be empty.
  frame_numbers add(const image_view& image, const std::vector<float>& mask, const valid_values& valid,
                    double hot_from) {
    ++frames_;
    return visit_dtype(type_, [&]<class T>(T) { return add<T>(image, mask, valid, hot_from); });
  }

  value_map take() const {
    value_map partial{{"type", std::string(name_of(type_))}, {"frames", frames_}};
    std::visit(
        [&](auto& s) {
          partial.set("image", plane(s.sums));
          if (!s.rests.empty()) partial.set("rest", plane(s.rests));
        },
        sums_);
    if (!missed_.empty()) partial.set("missed", plane(missed_));
    if (!hot_.empty()) partial.set("hot", plane(hot_));
    return partial;
  }

  /// Adds what another one took. Throws std::runtime_error, changing nothing, where that is none of these.
  void add(const value& partial) {
    auto frames = partial.find("frames");
    auto count = frames ? std::get_if<std::uint64_t>(&frames->content()) : nullptr;
    std::visit(
        [&]<class S>(sums_of<S>& to) {
          auto image = elements<S>(partial, "image");
          auto rest = elements<double>(partial, "rest");
          auto missed = elements<std::uint32_t>(partial, "missed"),
               hot = elements<std::uint32_t>(partial, "hot");
          if (!count || image.empty() || rest.empty() != to.rests.empty()) throw no_pile();
          for (std::size_t i = 0; i < image.size(); ++i)
            if constexpr (std::is_floating_point_v<S>)
              add_compensated(to.sums[i], to.rests[i], image[i]);
            else
              add_or_stay(to.sums[i], image[i]);
          for (std::size_t i = 0; i < rest.size(); ++i) to.rests[i] += rest[i];
          add_counts(missed_, missed);
          add_counts(hot_, hot);
        },
        sums_);
    frames_ += *count;
  }

  /// Sums as they are looked at: without rests.
  array image() const {
    return std::visit(
        [this](auto& s) {
          if (s.rests.empty()) return plane(s.sums);
          std::vector<double> whole(s.rests.size());
          for (std::size_t i = 0; i < whole.size(); ++i)
            whole[i] = static_cast<double>(s.sums[i]) + s.rests[i];
          return plane(whole);
        },
        sums_);
  }

  /// Pixels whose sum stays at the end of its range.
  std::uint64_t full() const {
    return std::visit(
        []<class S>(const sums_of<S>& s) -> std::uint64_t {
          if constexpr (std::is_floating_point_v<S>) return 0;
          auto is_full = [](S x) {
            return x == std::numeric_limits<S>::max() ||
                   (std::is_signed_v<S> && x == std::numeric_limits<S>::min());
          };
          return static_cast<std::uint64_t>(std::count_if(s.sums.begin(), s.sums.end(), is_full));
        },
        sums_);
  }

  /// By pixel; empty: nowhere.
  const std::vector<std::uint32_t>& missed() const { return missed_; }
  const std::vector<std::uint32_t>& hot() const { return hot_; }
  template <class T>
  array plane(const std::vector<T>& numbers) const {
    return array::of(std::span<const T>(numbers), {shape_.rows, shape_.columns});
  }

  static std::runtime_error no_pile() { return std::runtime_error("the result is no pile of images"); }

 private:
  template <class T>
  std::span<const T> elements(const value& partial, std::string_view name) const {
    auto found = partial.find(name);
    if (!found) return {};
    auto numbers = found->as_array();
    if (!numbers || numbers->type() != dtype_for<T>() ||
        numbers->shape() != std::vector{shape_.rows, shape_.columns})
      throw no_pile();
    return numbers->elements<T>();
  }

  void add_counts(std::vector<std::uint32_t>& to, std::span<const std::uint32_t> counts) const {
    if (counts.empty()) return;
    to.resize(shape_.pixels());
    for (std::size_t i = 0; i < to.size(); ++i)
      if (__builtin_add_overflow(to[i], counts[i], &to[i])) to[i] = std::numeric_limits<std::uint32_t>::max();
  }

  void count(std::vector<std::uint32_t>& in, std::size_t pixel) const {
    in.resize(shape_.pixels());
    if (in[pixel] < std::numeric_limits<std::uint32_t>::max()) ++in[pixel];
  }

  template <class T>
  frame_numbers add(const image_view& image, const std::vector<float>& mask, const valid_values& valid,
                    double hot_from) {
    using S = sum_of<T>;
    auto& to = std::get<sums_of<S>>(sums_);
    running<T> seen;
    std::size_t first = 0;
    for (auto& blob : image.blobs) {
      auto n = blob.size() / sizeof(T);
      std::size_t i = 0;
      for (; i + block <= n; i += block)
        add_block<T, block>(blob.data() + i * sizeof(T), first + i, mask, valid, hot_from, to, seen);
      for (; i < n; ++i)
        add_block<T, 1>(blob.data() + i * sizeof(T), first + i, mask, valid, hot_from, to, seen);
      first += n;
    }
    auto counted = shape_.pixels() - seen.missing;
    frame_numbers numbers{
        .total = static_cast<double>(seen.total) + seen.rest, .missing = seen.missing, .hot = seen.hot};
    if (counted == 0) return numbers;
    numbers.mean = numbers.total / static_cast<double>(counted);
    numbers.highest = static_cast<double>(seen.highest);
    return numbers;
  }

  /// Pixels that are looked at together, so that the compiler makes vector code.
  static constexpr std::size_t block = 32;
  __extension__ using int128 = __int128;

  template <class T>
  struct running {
    std::conditional_t<std::is_floating_point_v<T>, double, int128> total = 0;
    double rest = 0;
    T highest = std::numeric_limits<T>::lowest();
    std::uint64_t missing = 0, hot = 0;
  };

  template <class T, std::size_t n>
  void add_block(const std::byte* pixels, std::size_t first, const std::vector<float>& mask,
                 const valid_values& valid, double hot_from, sums_of<sum_of<T>>& to, running<T>& seen) {
    T raw[n];
    std::memcpy(raw, pixels, sizeof raw);
    // Most blocks have nothing special about them. NaN makes both comparisons false.
    int special = 0;
    for (std::size_t j = 0; j < n; ++j) {
      auto x = static_cast<double>(raw[j]);
      special |= !(x >= valid.least) | !(x <= valid.most) | !(x < hot_from);
    }
    if (!mask.empty())
      for (std::size_t j = 0; j < n; ++j) special |= mask[first + j] != 0;
    if (special == 0 && sizeof(T) < 8) {
      if constexpr (std::is_integral_v<T>) {
        sum_of<T> sum = 0;
        T highest = seen.highest;
        auto sums = &to.sums[first];
        for (std::size_t j = 0; j < n; ++j) {
          sums[j] += static_cast<sum_of<T>>(raw[j]);
          sum += static_cast<sum_of<T>>(raw[j]);
          highest = raw[j] > highest ? raw[j] : highest;
        }
        seen.highest = highest;
        seen.total += sum;
        return;
      }
    }
    for (std::size_t j = 0; j < n; ++j) add_one<T>(raw[j], first + j, mask, valid, hot_from, to, seen);
  }

  template <class T>
  void add_one(T raw, std::size_t pixel, const std::vector<float>& mask, const valid_values& valid,
               double hot_from, sums_of<sum_of<T>>& to, running<T>& seen) {
    auto x = static_cast<double>(raw);
    bool masked = !mask.empty() && mask[pixel] != 0;
    if (masked || !(x >= valid.least && x <= valid.most)) {
      ++seen.missing;
      if (!masked) count(missed_, pixel);
      return;
    }
    if (x >= hot_from) {
      ++seen.hot;
      count(hot_, pixel);
    }
    if (raw > seen.highest) seen.highest = raw;
    if constexpr (std::is_floating_point_v<T>) {
      add_compensated(seen.total, seen.rest, x);
      add_compensated(to.sums[pixel], to.rests[pixel], x);
    } else {
      seen.total += raw;
      add_or_stay(to.sums[pixel], static_cast<sum_of<T>>(raw));
    }
  }

  dtype type_;
  plane_shape shape_;
  std::variant<sums_of<std::uint64_t>, sums_of<std::int64_t>, sums_of<double>> sums_;
  std::vector<std::uint32_t> missed_, hot_;
  std::uint64_t frames_ = 0;
};

/// An image of its own, out of wherever it lies.
array copy_of(const image_view& image, const plane_shape& shape) {
  auto bytes = std::make_shared_for_overwrite<std::byte[]>(shape.pixels() * size_of(image.type));
  auto to = bytes.get();
  for (auto& blob : image.blobs) to = std::copy_n(blob.data(), blob.size(), to);
  return array(image.type, {shape.rows, shape.columns}, std::move(bytes));
}

value_map numbers_of(const std::vector<frame_numbers>& frames) {
  auto column = [&frames]<class T>(T frame_numbers::*member) {
    std::vector<T> numbers;
    numbers.reserve(frames.size());
    for (auto& f : frames) numbers.push_back(f.*member);
    return array::of(numbers);
  };
  return {{"event", column(&frame_numbers::event)},     {"total", column(&frame_numbers::total)},
          {"mean", column(&frame_numbers::mean)},       {"highest", column(&frame_numbers::highest)},
          {"missing", column(&frame_numbers::missing)}, {"hot_pixels", column(&frame_numbers::hot)}};
}

class pileup_worker final : public worker_part {
 public:
  explicit pileup_worker(const parameters& settings) : settings_(settings), choice_(settings) {}

  answer process_event(const event& e, const parameters& settings, bool) override {
    if (settings.all() != settings_.all()) {
      choice_ = pileup_choice(settings);
      settings_ = settings;
      mask_.clear();
    }
    auto image = find_image(e, choice_.stream, choice_.channel);
    if (!image) return answer::nothing();
    auto shape = plane_of(*image);
    check(*image, shape);
    if (choice_.mask && mask_.empty())
      mask_ = plane_parameter(*choice_.mask, "mask", shape.rows, shape.columns);
    if (!pile_) pile_.emplace(image->type, shape);
    auto numbers = pile_->add(*image, mask_, choice_.valid.value_or(usual_values(image->type)), choice_.hot);
    numbers.event = e.number().value;
    frames_.push_back(numbers);
    if (choice_.keep.contains(numbers.event))
      kept_.set(std::to_string(numbers.event), copy_of(*image, shape));
    return answer::deferred();
  }

  value flush() override {
    if (!pile_) return {};
    auto partial = std::exchange(pile_, {})->take();
    for (auto& [name, numbers] : numbers_of(std::exchange(frames_, {}))) partial.set(name, numbers);
    if (!kept_.empty()) partial.set("kept", std::exchange(kept_, {}));
    return partial;
  }

 private:
  void check(const image_view& image, const plane_shape& shape) {
    if (!shape_) {
      shape_ = shape;
      type_ = image.type;
    }
    if (shape != *shape_ || image.type != type_)
      throw std::runtime_error(
          fmt::format("an image of shape {} of {}, but the first of the scan was of shape {} of {}",
                      text_of(shape), name_of(image.type), text_of(*shape_), name_of(type_)));
  }

  parameters settings_;
  pileup_choice choice_;
  std::optional<plane_shape> shape_; ///< of the first image
  dtype type_ = dtype::uint8;
  std::vector<float> mask_;
  std::optional<pile> pile_; ///< since the last flush
  std::vector<frame_numbers> frames_;
  value_map kept_;
};

class pileup_reducer final : public reducer_part {
 public:
  explicit pileup_reducer(const parameters& settings) {
    if (auto mask = pileup_choice(settings).mask) {
      std::vector<std::uint8_t> flags;
      for (auto x : plane_parameter(*mask, "mask", mask->shape()[0], mask->shape()[1]))
        flags.push_back(x != 0);
      mask_ = array::of(std::span<const std::uint8_t>(flags), mask->shape());
    }
  }

  void process_result(const folded_result& result, const parameters&) override {
    auto type = text_entry(result.content, "type");
    auto image = result.content.find("image") ? result.content.find("image")->as_array() : nullptr;
    if (!type || !image || image->shape().size() != 2) throw pile::no_pile();
    plane_shape shape{image->shape()[0], image->shape()[1]};
    if (!pile_) pile_.emplace(*type, shape);
    if (pile_->shape() != shape || pile_->type() != *type)
      throw std::runtime_error(
          fmt::format("images of shape {} of {}, but the first of the scan were of shape {} of {}",
                      text_of(shape), name_of(*type), text_of(pile_->shape()), name_of(pile_->type())));
    auto frames = frames_of(result.content);
    pile_->add(result.content);
    for (auto& f : frames)
      if (frames_.size() < most_statistics) frames_.push_back(f);
    if (auto kept = result.content.find("kept"); kept && kept->as_map()) keep(*kept->as_map());
  }

  value published() const override {
    if (!pile_) return value_map{{"frames", std::uint64_t{0}}};
    auto& hot = pile_->hot();
    auto often = static_cast<std::uint32_t>(std::min<std::uint64_t>((pile_->frames() + 1) / 2, 0xffffffff));
    auto often_hot = std::count_if(hot.begin(), hot.end(), [often](auto n) { return n >= often; });
    value_map tree{{"frames", pile_->frames()},
                   {"hot_pixels", static_cast<std::uint64_t>(often_hot)},
                   {"full_pixels", pile_->full()},
                   {"images_not_kept", not_kept_},
                   {"pile", picture()},
                   {"statistics", statistics()},
                   {"_attrs", value_map{{"default", "pile"}}}};
    if (!kept_.empty()) tree.set("kept", kept());
    return tree;
  }

 private:
  static std::optional<dtype> text_entry(const value& content, std::string_view name) {
    auto found = content.find(name);
    auto text = found ? found->as_text() : nullptr;
    return text ? dtype_of(*text) : std::nullopt;
  }

  template <class T>
  static std::span<const T> column(const value& content, std::string_view name) {
    auto found = content.find(name);
    auto numbers = found ? found->as_array() : nullptr;
    if (!numbers || numbers->type() != dtype_for<T>()) throw pile::no_pile();
    return numbers->elements<T>();
  }

  static std::vector<frame_numbers> frames_of(const value& content) {
    auto event = column<std::uint64_t>(content, "event"), missing = column<std::uint64_t>(content, "missing"),
         hot = column<std::uint64_t>(content, "hot_pixels");
    auto total = column<double>(content, "total"), mean = column<double>(content, "mean"),
         highest = column<double>(content, "highest");
    auto n = event.size();
    for (auto size : {missing.size(), hot.size(), total.size(), mean.size(), highest.size()})
      if (size != n) throw pile::no_pile();
    std::vector<frame_numbers> frames;
    for (std::size_t i = 0; i < n; ++i)
      frames.push_back({event[i], total[i], mean[i], highest[i], missing[i], hot[i]});
    return frames;
  }

  void keep(const value_map& images) {
    for (auto& [event, image] : images) {
      auto pixels = image.as_array();
      auto number = parameters::integer_of(event);
      if (!pixels || !number) continue;
      kept_.insert_or_assign(static_cast<std::uint64_t>(*number), *pixels);
    }
    auto bytes = pile_->shape().pixels() * size_of(pile_->type());
    while (kept_.size() > 1 && kept_.size() * bytes > most_kept_bytes) { // whatever came first
      kept_.erase(std::prev(kept_.end()));
      ++not_kept_;
    }
  }

  static value_map plot(value_map group, std::string_view signal, const std::vector<std::string>& axes) {
    group.set("_attrs", plot_attributes(signal, axes));
    return group;
  }

  value_map picture() const {
    value_map group{{"image", pile_->image()},
                    {"image_attrs", value_map{{"interpretation", "image"}, {"units", "counts"}}},
                    {"title", fmt::format("sum of {} images", pile_->frames())}};
    if (mask_.size() > 0) group.set("mask", mask_);
    if (!pile_->missed().empty()) group.set("missed", pile_->plane(pile_->missed()));
    if (!pile_->hot().empty()) group.set("hot", pile_->plane(pile_->hot()));
    return plot(std::move(group), "image", {".", "."});
  }

  value_map statistics() const {
    auto sorted = frames_;
    std::sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.event < b.event; });
    return plot(numbers_of(sorted), "total", {"event"});
  }

  value_map kept() const {
    std::vector<std::uint64_t> events;
    auto& shape = pile_->shape();
    auto bytes = shape.pixels() * size_of(pile_->type());
    auto all = std::make_shared_for_overwrite<std::byte[]>(kept_.size() * bytes);
    for (auto& [event, image] : kept_) {
      std::copy_n(image.bytes().data(), bytes, all.get() + events.size() * bytes);
      events.push_back(event);
    }
    array images(pile_->type(), {events.size(), shape.rows, shape.columns}, std::move(all));
    return plot({{"image", images},
                 {"image_attrs", value_map{{"interpretation", "image"}}},
                 {"event", array::of(events)}},
                "image", {"event", ".", "."});
  }

  std::optional<pile> pile_;
  array mask_;
  std::vector<frame_numbers> frames_;
  std::map<std::uint64_t, array> kept_;
  std::uint64_t not_kept_ = 0;
};

class pileup_analysis final : public analysis {
 public:
  std::string_view name() const override { return "pileup"; }
  std::string_view description() const override {
    return "all images of a stream as one, with hot and missing pixels, numbers of each image, and chosen "
           "images";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"channel", text, "", "which of several images taken together; empty: the first"},
        {"mask", binary, "", "pixels that are not 0 are left out: path of a .npy file, or its bytes"},
        {"valid", text, "",
         "values that count, LOW:HIGH; empty: signed integers from 0, unsigned below the largest"},
        {"hot", text, "", "counts from which a pixel is hot; empty: none is"},
        {"keep", text, "", "events whose images are kept as they are, e.g. 1, 10:20, 100:1000:100"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    const pileup_choice checked(settings); // throws where it is none
    static_cast<void>(checked);
    using enum result_extent;
    return {{.name = "pile", .extent = per_scan},
            {.name = "statistics", .extent = per_scan},
            {.name = "frames", .type = dtype::uint64, .extent = per_scan},
            {.name = "hot_pixels", .type = dtype::uint64, .extent = per_scan}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<pileup_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<pileup_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_pileup_analysis() { return std::make_unique<pileup_analysis>(); }

} // namespace dtranspose
