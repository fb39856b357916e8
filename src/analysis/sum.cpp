#include "analysis/sum.hpp"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/compensated_sum.hpp"
#include "analysis/image.hpp"

namespace dtranspose {

namespace {

// A partial sum, as it goes from a worker to the reducer:
//
//     image         uint64, int64 or float64, of the shape of the images
//     compensation  float64, the same shape: what rounding took from `image`; only beside float64
//     frames        how many images are in it
//     type          element type of the images

/// Shape and type of the images of a scan.
struct image_form {
  dtype type;
  std::vector<std::size_t> shape;

  bool operator==(const image_form&) const = default;
  std::string text() const { return fmt::format("shape {} of {}", shape_text(shape), name_of(type)); }
  std::size_t pixels() const {
    std::size_t product = 1;
    for (auto extent : shape) product *= extent;
    return product;
  }
};

std::runtime_error other_form(const image_form& found, const image_form& first) {
  return std::runtime_error(
      fmt::format("an image of {}, but the first of the scan was of {}", found.text(), first.text()));
}

/// What images of T are summed in.
template <class T>
using sum_of = std::conditional_t<std::is_floating_point_v<T>, double,
                                  std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;

dtype sum_type(dtype pixels) {
  return visit_dtype(pixels, []<class T>(T) { return dtype_for<sum_of<T>>(); });
}

/// Calls `f` with the type that images of that element type are summed in.
template <class F>
void visit_sum(dtype pixels, F&& f) {
  visit_dtype(pixels, [&f]<class T>(T) { f(sum_of<T>{}); });
}

/// Zeros that become the buffer of an array without being copied.
template <class T>
class plane {
 public:
  plane() = default;
  explicit plane(std::size_t n) : elements_(std::make_shared<T[]>(n)) {}

  T* data() const { return elements_.get(); }
  array take(const std::vector<std::size_t>& shape) {
    auto bytes = reinterpret_cast<const std::byte*>(elements_.get());
    std::shared_ptr<const std::byte[]> buffer(std::move(elements_), bytes);
    return array(dtype_for<T>(), shape, std::move(buffer));
  }

 private:
  std::shared_ptr<T[]> elements_;
};

template <class T>
T load(const std::byte* pixels, std::size_t i) {
  T x;
  std::memcpy(&x, pixels + i * sizeof(T), sizeof(T));
  return x;
}

/// Does adding the pixels leave the range of the sums?
template <class T>
bool overflows(const sum_of<T>* sums, const std::byte* pixels, std::size_t n) {
  bool over = false;
  for (std::size_t i = 0; i < n; ++i) {
    sum_of<T> ignored;
    over |= __builtin_add_overflow(sums[i], load<T>(pixels, i), &ignored);
  }
  return over;
}

/// Calls `f(first, std::integral_constant n)` for pieces of fixed lengths that make up `n`, so that
/// the compiler makes vector code of the loops in there.
template <class F>
void in_pieces(std::size_t n, F&& f) {
  constexpr std::integral_constant<std::size_t, 64> many;
  constexpr std::integral_constant<std::size_t, 1> one;
  std::size_t i = 0;
  for (; i + many <= n; i += many) f(i, many);
  for (; i < n; ++i) f(i, one);
}

template <class T>
void add_exactly(sum_of<T>* sums, const std::byte* pixels, std::size_t n) {
  in_pieces(n, [=](std::size_t first, auto length) {
    auto* __restrict to = sums + first;
    auto* __restrict from = pixels + first * sizeof(T);
    for (std::size_t i = 0; i < length(); ++i) to[i] += static_cast<sum_of<T>>(load<T>(from, i));
  });
}

template <class T>
void add_compensated_plane(double* sums, double* errors, const std::byte* pixels, std::size_t n) {
  in_pieces(n, [=](std::size_t first, auto length) {
    auto* __restrict to = sums + first;
    auto* __restrict error = errors + first;
    auto* __restrict from = pixels + first * sizeof(T);
    for (std::size_t i = 0; i < length(); ++i) add_compensated(to[i], error[i], load<T>(from, i));
  });
}

/// Sums of images of one form. Nothing changes when an addition throws.
class accumulator {
 public:
  explicit accumulator(image_form form) : form_(std::move(form)), pixels_(form_.pixels()) {
    visit_sum(form_.type, [this](auto zero) { sums<decltype(zero)>() = plane<decltype(zero)>(pixels_); });
    if (is_real()) errors_ = plane<double>(pixels_);
  }

  const image_form& form() const { return form_; }
  std::uint64_t frames() const { return frames_; }

  /// Adds an image of this form. Throws std::runtime_error where a sum would leave 64 bits.
  void add(const image_view& image) {
    visit_dtype(form_.type, [&]<class T>(T) {
      check<T>(image);
      std::size_t first = 0;
      for (auto& blob : image.blobs) {
        add<T>(blob.data(), first, blob.size() / sizeof(T));
        first += blob.size() / sizeof(T);
      }
    });
    ++frames_;
  }

  /// Adds a partial sum of this form; `compensation` is empty for integers. Throws as above.
  void add(const array& image, const array& compensation, std::uint64_t frames) {
    frame blob(image.bytes());
    visit_sum(form_.type, [&]<class T>(T) {
      check<T>({dtype_for<T>(), {}, {&blob, 1}});
      add<T>(image.bytes().data(), 0, pixels_);
    });
    auto errors = compensation.elements<double>();
    for (std::size_t i = 0; i < errors.size(); ++i) errors_.data()[i] += errors[i];
    frames_ += frames;
  }

  /// The partial sum of everything that was added; this is not to be used any more.
  value take() {
    value_map partial;
    visit_sum(form_.type, [&]<class T>(T) { partial.set("image", sums<T>().take(form_.shape)); });
    if (is_real()) partial.set("compensation", errors_.take(form_.shape));
    partial.set("frames", frames_).set("type", name_of(form_.type));
    return partial;
  }

  /// A copy of the sums as they are.
  array image() const {
    array copy;
    visit_sum(form_.type, [&]<class T>(T) {
      plane<T> result(pixels_);
      auto from = sums<T>().data();
      for (std::size_t i = 0; i < pixels_; ++i) {
        result.data()[i] = from[i];
        // Beside an infinite sum there is no error to speak of.
        if constexpr (std::is_floating_point_v<T>)
          if (std::isfinite(from[i])) result.data()[i] += errors_.data()[i];
      }
      copy = result.take(form_.shape);
    });
    return copy;
  }

 private:
  bool is_real() const { return sum_type(form_.type) == dtype::float64; }

  /// Integers of less than 64 bits would take 2^32 images to overflow: they are not looked at.
  template <class T>
  void check(const image_view& image) {
    if constexpr (std::is_integral_v<T> && sizeof(T) == 8) {
      std::size_t first = 0;
      for (auto& blob : image.blobs) {
        auto n = blob.size() / sizeof(T);
        if (overflows<T>(sums<T>().data() + first, blob.data(), n))
          throw std::runtime_error(fmt::format("the sum of a pixel leaves the range of {} after {} images",
                                               name_of(dtype_for<T>()), frames_));
        first += n;
      }
    }
  }

  template <class T>
  void add(const std::byte* pixels, std::size_t first, std::size_t n) {
    auto to = sums<sum_of<T>>().data() + first;
    if constexpr (std::is_floating_point_v<T>)
      add_compensated_plane<T>(to, errors_.data() + first, pixels, n);
    else
      add_exactly<T>(to, pixels, n);
  }

  template <class T>
  plane<T>& sums() {
    return std::get<plane<T>>(sums_);
  }
  template <class T>
  const plane<T>& sums() const {
    return std::get<plane<T>>(sums_);
  }

  image_form form_;
  std::size_t pixels_;
  std::tuple<plane<std::uint64_t>, plane<std::int64_t>, plane<double>> sums_; ///< one of them is used
  plane<double> errors_; ///< what rounding took from the sums
  std::uint64_t frames_ = 0;
};

class sum_worker final : public worker_part {
 public:
  answer process_event(const event& e, const parameters& settings, bool) override {
    auto stream = settings.find("stream");
    auto image = find_image(e, stream ? std::string_view(*stream) : std::string_view());
    if (!image) return answer::nothing();
    image_form form{image->type, std::move(image->shape)};
    if (first_ && form != *first_) throw other_form(form, *first_);
    if (!first_) first_ = form;
    if (!held_) held_.emplace(std::move(form));
    held_->add(*image);
    return answer::deferred();
  }

  value flush() override {
    auto partial = std::exchange(held_, {});
    return partial ? partial->take() : value();
  }

 private:
  std::optional<image_form> first_; ///< of the scan, as far as this worker knows
  std::optional<accumulator> held_; ///< since the last flush
};

class sum_reducer final : public reducer_part {
 public:
  void process_result(const folded_result& result, const parameters&) override {
    auto image = entry(result.content, "image").as_array();
    auto frames = std::get_if<std::uint64_t>(&entry(result.content, "frames").content());
    auto type = entry(result.content, "type").as_text();
    auto pixels = type ? dtype_of(*type) : std::nullopt;
    if (!image || !frames || !pixels || image->type() != sum_type(*pixels)) throw no_partial_sum();
    array compensation(dtype::float64, {0}, nullptr);
    if (image->type() == dtype::float64) {
      auto errors = entry(result.content, "compensation").as_array();
      if (!errors || errors->type() != dtype::float64 || errors->shape() != image->shape())
        throw no_partial_sum();
      compensation = *errors;
    }
    image_form form{*pixels, image->shape()};
    if (!total_)
      total_.emplace(std::move(form));
    else if (total_->form() != form)
      throw other_form(form, total_->form());
    total_->add(*image, compensation, *frames);
  }

  value published() const override {
    if (!total_) return value_map{{"frames", std::uint64_t{0}}};
    return value_map{{"image", total_->image()}, {"frames", total_->frames()}};
  }

 private:
  static const value& entry(const value& content, std::string_view name) {
    auto found = content.find(name);
    if (!found) throw no_partial_sum();
    return *found;
  }

  static std::runtime_error no_partial_sum() {
    return std::runtime_error("the result is no partial sum of images");
  }

  std::optional<accumulator> total_;
};

class sum_analysis final : public analysis {
 public:
  std::string_view name() const override { return "sum"; }
  std::string_view description() const override { return "the sum of all images of a stream"; }

  std::vector<parameter_description> describe_parameters() const override {
    return {{"stream", parameter_type::text, "",
             "stream of the images; empty: the first of each event that has one"}};
  }

  std::vector<result_description> describe_results(const parameters&) const override {
    // Its type and shape are known with the first image.
    return {{.name = "image", .extent = result_extent::per_scan},
            {.name = "frames", .type = dtype::uint64, .extent = result_extent::per_scan}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<sum_worker>();
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters&) const override {
    return std::make_unique<sum_reducer>();
  }
};

} // namespace

std::unique_ptr<analysis> make_sum_analysis() { return std::make_unique<sum_analysis>(); }

} // namespace dtranspose
