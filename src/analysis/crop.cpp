#include "analysis/crop.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/compensated_sum.hpp"
#include "analysis/image_plane.hpp"
#include "analysis/image_region.hpp"
#include "analysis/parameter_refusal.hpp"
#include "analysis/plot.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {

namespace {

/// The parameters, read.
struct crop_choice {
  std::string stream, channel;
  image_region region;
  dtype type = dtype::uint16;
  plane_shape shape;

  explicit crop_choice(const parameters& settings)
      : stream(settings.text("stream")), channel(settings.text("channel")) {
    auto name = settings.text("type");
    auto known = dtype_of(name);
    if (!known)
      throw refusal("type",
                    fmt::format("'{}' is no type of pixels; examples are uint16, int32, float32", name));
    type = *known;
    shape.rows = read("rows", settings, region.rows, region.rows_text);
    shape.columns = read("columns", settings, region.columns, region.columns_text);
  }

 private:
  /// The extent, which the output file must know before there is an image.
  static std::size_t read(std::string_view parameter, const parameters& settings, span_of_axis& range,
                          std::string& text) {
    text = settings.text(parameter);
    range = parse_span(parameter, text);
    if (!range.end)
      throw refusal(parameter,
                    fmt::format("'{}' does not say where the region ends, which the output file must know "
                                "beforehand; an example is 16:48 for pixels 16 to 47",
                                text));
    return *range.end - range.begin;
  }
};

class crop_worker final : public worker_part {
 public:
  explicit crop_worker(const parameters& settings) : settings_(settings), choice_(settings) {}

  answer process_event(const event& e, const parameters& settings, bool) override {
    if (settings.all() != settings_.all()) {
      choice_ = crop_choice(settings);
      settings_ = settings;
    }
    auto image = find_image(e, choice_.stream, choice_.channel);
    if (!image) return answer::nothing();
    static_cast<void>(plane_of(*image)); // throws where it is none
    if (image->type != choice_.type)
      throw std::runtime_error(fmt::format("an image of {}, where parameter 'type' says {}",
                                           name_of(image->type), name_of(choice_.type)));
    return answer::result(value_map{{"image", cut_out_of(*image)}});
  }

  /// Those behind it in a chain see the region for the image, as a STINS image of its own.
  std::optional<std::vector<stream_entry>> passed_on(const event& e, const answer& answered) override {
    auto found = answered.content().find("image");
    if (!found) return std::nullopt;
    std::vector<stream_entry> streams(e.streams().begin(), e.streams().end());
    auto has_it = [&](auto& entry) {
      if (!choice_.stream.empty()) return e.name_of(entry) == choice_.stream;
      return carries_images(entry.data.type()) && image_of(entry.data, choice_.channel);
    };
    auto place = std::find_if(streams.begin(), streams.end(), has_it);
    if (place == streams.end()) return std::nullopt;
    place->data = as_message(*found->as_array(), e.number());
    return streams;
  }

 private:
  static stream_data as_message(const array& image, event_number number) {
    struct parts {
      std::string header;
      array pixels;
    };
    auto kept = std::make_shared<parts>();
    kept->pixels = image;
    write_stins_image(kept->header, 0,
                      {.frame = number.value, .shape = image.shape(), .type = name_of(image.type())});
    std::vector<frame> views{frame(std::as_bytes(std::span(kept->header))), frame(kept->pixels.bytes())};
    return stream_data(std::make_unique<borrowed_frames>(std::move(views), kept), stins_type_tag);
  }

  array cut_out_of(const image_view& image) const {
    auto from = place(choice_.region, image);
    auto [rows, columns] = choice_.shape;
    return visit_dtype(image.type, [&]<class T>(T) {
      const pixels_of<T> pixels(image);
      std::vector<T> cut(rows * columns);
      for (std::size_t r = 0; r < rows; ++r)
        std::memcpy(cut.data() + r * columns, pixels.at((from.row + r) * from.columns + from.column),
                    columns * sizeof(T));
      return array::of(std::span<const T>(cut), {rows, columns});
    });
  }

  parameters settings_;
  crop_choice choice_;
};

class crop_reducer final : public reducer_part {
 public:
  explicit crop_reducer(const parameters& settings) : choice_(settings), sums_(choice_.shape.pixels()) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto found = result.content.find("image");
    auto image = found ? found->as_array() : nullptr;
    if (!image || image->type() != choice_.type ||
        image->shape() != std::vector{choice_.shape.rows, choice_.shape.columns})
      throw std::runtime_error("the result is no region of an image");
    visit_dtype(image->type(), [&]<class T>(T) {
      auto pixels = image->elements<T>();
      for (std::size_t i = 0; i < pixels.size(); ++i) sums_[i].add(static_cast<double>(pixels[i]));
    });
    ++frames_;
  }

  value published() const override {
    value_map tree{{"frames", frames_}};
    if (frames_ == 0) return tree;
    std::vector<double> mean;
    mean.reserve(sums_.size());
    for (auto& sum : sums_) mean.push_back(sum.value() / static_cast<double>(frames_));
    value_map plot{{"_attrs", plot_attributes("image", {"row", "column"})}};
    set_with_attributes(plot, "image",
                        array::of(std::span<const double>(mean), {choice_.shape.rows, choice_.shape.columns}),
                        data_attributes({}, "counts", "image"));
    plot.set("title", fmt::format("mean of {} images", frames_));
    plot.set("row", places(choice_.region.rows.begin, choice_.shape.rows));
    plot.set("column", places(choice_.region.columns.begin, choice_.shape.columns));
    tree.set("mean", std::move(plot)).set("_attrs", value_map{{"default", "mean"}});
    return tree;
  }

 private:
  /// Of the whole image.
  static array places(std::size_t first, std::size_t n) {
    std::vector<std::uint64_t> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(first + i);
    return array::of(all);
  }

  crop_choice choice_;
  std::vector<compensated_sum> sums_;
  std::uint64_t frames_ = 0;
};

class crop_analysis final : public analysis {
 public:
  std::string_view name() const override { return "crop"; }
  std::string_view description() const override {
    return "a rectangle of each image as it is, per event, and their mean";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"channel", text, "", "which of several images taken together; empty: the first"},
        {"rows", text, "", "rows of the region, e.g. 16:48 for rows 16 to 47"},
        {"columns", text, "", "columns of the region, e.g. 16:48"},
        {"type", text, "uint16", "of the pixels, as the detector sends them: uint16, int32, float32 ..."},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    using enum result_extent;
    result_description image{
        .name = "image", .type = dtype::uint16, .unit = "counts", .axes = {"row", "column"}};
    // Without any parameter it can be described, but not used.
    if (!settings.text("rows").empty() || !settings.text("columns").empty()) {
      const crop_choice choice(settings);
      image.type = choice.type;
      image.shape = {choice.shape.rows, choice.shape.columns};
    }
    return {image,
            {.name = "mean", .extent = per_scan},
            {.name = "frames", .type = dtype::uint64, .extent = per_scan}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<crop_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<crop_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_crop_analysis() { return std::make_unique<crop_analysis>(); }

} // namespace dtranspose
