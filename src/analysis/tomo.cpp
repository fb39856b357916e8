#include "analysis/tomo.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/absorption.hpp"
#include "analysis/back_projection.hpp"
#include "analysis/pixel_values.hpp"
#include "analysis/plot.hpp"
#include "analysis/rotation_centre.hpp"
#include "analysis/scalar_worker.hpp"
#include "analysis/slice_stack.hpp"
#include "analysis/tomo_choice.hpp"

namespace dtranspose {

namespace {

// What a worker answers with:
//
//     angle      degrees
//     image_key  0 projection, 1 flat, 2 dark
//     lines      float32 [chosen rows, columns]: counts as they are, NaN where a pixel does not count
//     image      uint64 [rows, columns] of the image itself
//
// Darks and flats come to other workers than projections: only the reducer has them all.

/// Of all slices together: 256 MiB.
constexpr std::size_t most_slice_pixels = std::size_t{1} << 26;
constexpr std::size_t most_kept_bytes = std::size_t{2} << 30;
/// Projections that wait for darks and flats before those that came will do.
constexpr std::size_t most_waiting = 64;
/// Steps of back-projection in one call of the timer: some 20 ms, in which nothing is folded.
constexpr std::size_t steps_at_a_time = std::size_t{1} << 24;
/// Projections that go into a slice together, as lines of pixels are at hand then.
constexpr std::size_t projections_at_a_time = 8;

/// Of an image and of what is made of it.
struct tomo_form {
  plane_shape image;
  std::size_t lines = 0, columns = 0;

  bool operator==(const tomo_form&) const = default;
  std::size_t pixels() const { return lines * columns; }
};

// ---- workers --------------------------------------------------------------------------------------------

class tomo_worker final : public worker_part {
 public:
  explicit tomo_worker(const parameters& settings) : choice_(settings), angle_({choice_.angle}) {}

  answer process_event(const event& e, const parameters&, bool) override {
    auto angle = angle_.read(e).front(); // starts as well: columns may be known from there
    auto image = find_image(e, choice_.stream, choice_.channel);
    if (!image) return answer::nothing();
    auto number = e.number().value;
    if (number < choice_.first)
      throw std::runtime_error(
          fmt::format("event {} has an image, but parameter 'first' says that event {} is the "
                      "first that does: darks and flats would be the wrong ones",
                      number, choice_.first));
    auto key = choice_.key_of(number);
    if (key == image_key::projection) check(angle);
    use(plane_of(*image));
    return answer::result(value_map{{"angle", angle.number * choice_.degrees_per_unit},
                                    {"image_key", static_cast<std::uint64_t>(key)},
                                    {"lines", lines_of(*image)},
                                    {"image", shape_}});
  }

  /// Nothing is held back: it can go on. Another field needs another reader, which has seen no start.
  bool change_parameters(const parameters& settings) override {
    const tomo_choice next(settings);
    if (next.angle != choice_.angle) return false;
    choice_ = next;
    image_ = {};
    return true;
  }

 private:
  void check(const scalar& angle) const {
    auto refuse = [this](std::string_view why) {
      throw std::runtime_error(fmt::format("no angle: {}", why) + fmt::format(" ({})", choice_.angle));
    };
    if (angle.what == scalar::state::absent) refuse("the trigger map sends no data of that stream along");
    if (angle.what == scalar::state::missing) refuse("the data of that stream is missing");
    if (angle.what == scalar::state::message) refuse("that stream has a start or an end here");
    if (!std::isfinite(angle.number)) refuse("it is no finite number");
  }

  void use(const plane_shape& image) {
    if (image_ == image) return;
    auto rows = choice_.rows_of(image);
    if (choice_.rows.end() > image.rows)
      throw std::runtime_error(fmt::format("parameter 'rows': '{}' reaches out of images of shape {}",
                                           choice_.rows_text, text_of(image)));
    auto columns = image.columns / choice_.binning;
    if (columns < 8)
      throw std::runtime_error(
          fmt::format("parameter 'binning': images of shape {} have too few columns for {}", text_of(image),
                      choice_.binning));
    if (rows.size() * columns * columns > most_slice_pixels)
      throw std::runtime_error(fmt::format(
          "{0} slices of {1} x {1} pixels do not fit into memory: parameter 'rows' could choose fewer, "
          "'binning' make them smaller",
          rows.size(), columns));
    rows_ = std::move(rows);
    columns_ = columns;
    image_ = image;
    shape_ = array::of(std::vector<std::uint64_t>{image.rows, image.columns});
  }

  /// Means of `binning` columns; pixels that do not count do not take part.
  array lines_of(const image_view& image) const {
    std::vector<float> lines;
    lines.reserve(rows_.size() * columns_);
    auto valid = usual_values(image.type);
    visit_dtype(image.type, [&]<class T>(T) {
      const pixels_of<T> pixels(image);
      for (auto row : rows_)
        for (std::size_t c = 0; c < columns_; ++c) {
          double sum = 0;
          std::size_t n = 0;
          for (std::size_t i = 0; i < choice_.binning; ++i) {
            auto x = static_cast<double>(pixels[row * image_.columns + c * choice_.binning + i]);
            if (!(x >= valid.least && x <= valid.most)) continue;
            sum += x;
            ++n;
          }
          lines.push_back(n > 0 ? static_cast<float>(sum / static_cast<double>(n)) : NAN);
        }
    });
    return array::of(std::span<const float>(lines), {rows_.size(), columns_});
  }

  tomo_choice choice_;
  scalar_reader angle_;
  plane_shape image_; ///< that what follows was worked out for
  std::vector<std::size_t> rows_;
  std::size_t columns_ = 0;
  array shape_;
};

// ---- the reducer ----------------------------------------------------------------------------------------

/// What there is of a projection.
struct kept_projection {
  std::uint64_t event = 0;
  double angle_deg = 0;
  std::vector<float> counts;         ///< as they came
  std::vector<float> line_integrals; ///< empty: not worked out yet
  std::string trouble;               ///< why there are none
  double weight = 0;                 ///< with which it is in the slices
};

struct found_centre {
  double column = 0; ///< binned
  std::string_view how;
};

class tomo_reducer final : public reducer_part {
 public:
  explicit tomo_reducer(const parameters& settings) : choice_(settings), settings_(settings) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto number = [&](std::string_view name) { return number_in(result.content, name); };
    auto lines = array_in(result.content, "lines", dtype::float32, 2);
    auto shape = array_in(result.content, "image", dtype::uint64, 1).elements<std::uint64_t>();
    auto key = key_in(result.content);
    if (shape.size() != 2 || !result.event) throw no_projection();
    use({{shape[0], shape[1]}, lines.shape()[0], lines.shape()[1]});
    auto counts = lines.elements<float>();
    changed();
    if (key == image_key::projection)
      take({.event = result.event->value,
            .angle_deg = number("angle"),
            .counts = {counts.begin(), counts.end()}});
    else
      take(key, counts);
  }

  /// Centre and window make other slices of the same projections.
  bool change_parameters(const parameters& settings) override {
    auto others = [](const parameters& p) {
      auto all = p.all();
      all.erase("centre");
      all.erase("window");
      return all;
    };
    if (others(settings) != others(settings_)) return false;
    const tomo_choice next(settings);
    if (form_ && next.centre) check_centre(*next.centre, *form_);
    choice_ = next;
    settings_ = settings;
    looked_at_ = 0;
    if (form_) begin(next.centre ? given() : look_for_centre());
    changed();
    return true;
  }

  /// Slices grow here, a few projections at a time, so that the fold is never held up for long.
  std::optional<std::chrono::nanoseconds> timer(const parameters&) override {
    using namespace std::chrono_literals;
    if (!ready()) return 50ms;
    correct_all();
    follow_centre();
    work(steps_at_a_time);
    return added_ < projections_.size() ? 1ms : 50ms;
  }

  void finish(const parameters&) override {
    if (projections_.empty() || !trouble_of_references().empty()) return;
    correct_all();
    constexpr double noticeable = 0.1; // columns
    auto centre = choice_.centre ? given() : look_for_centre();
    if (std::abs(centre.column - slices_.centre()) > noticeable) begin(centre);
    centre_.how = centre.how;
    work(std::numeric_limits<std::size_t>::max());
    settle_weights();
    changed();
  }

  value published() const override {
    if (!tree_) tree_ = tree();
    return *tree_;
  }

 private:
  static std::runtime_error no_projection() {
    return std::runtime_error("the result is no projection, dark or flat");
  }

  static const array& array_in(const value& content, std::string_view name, dtype type, std::size_t axes) {
    auto found = content.find(name);
    auto numbers = found ? found->as_array() : nullptr;
    if (!numbers || numbers->type() != type || numbers->shape().size() != axes || numbers->size() == 0)
      throw no_projection();
    return *numbers;
  }

  static image_key key_in(const value& content) {
    auto number = number_in(content, "image_key");
    for (auto key : {image_key::projection, image_key::flat, image_key::dark})
      if (number == static_cast<double>(key)) return key;
    throw no_projection();
  }

  void changed() { tree_.reset(); }

  void use(const tomo_form& form) {
    if (form_ && form != *form_)
      throw std::runtime_error(fmt::format("an image of shape {}, but the first of the scan was of shape {}",
                                           text_of(form.image), text_of(form_->image)));
    if (form_) return;
    if (choice_.centre) check_centre(*choice_.centre, form);
    form_ = form;
    begin(choice_.centre ? given() : middle());
  }

  static void check_centre(double centre, const tomo_form& form) {
    if (centre > static_cast<double>(form.image.columns - 1))
      throw std::runtime_error(fmt::format("parameter 'centre': column {} is beyond images of shape {}",
                                           centre, text_of(form.image)));
  }

  // -- columns of the detector and columns that were put together --

  double binning() const { return static_cast<double>(choice_.binning); }
  double binned(double column) const { return (column + 0.5) / binning() - 0.5; }
  double of_detector(double column) const { return (column + 0.5) * binning() - 0.5; }

  found_centre given() const { return {binned(*choice_.centre), "given"}; }
  found_centre middle() const {
    return {0.5 * (static_cast<double>(form_->columns) - 1),
            "middle of the columns, for want of anything better"};
  }

  // -- what comes in --

  void take(image_key key, std::span<const float> counts) {
    key == image_key::dark ? references_.add_dark(counts) : references_.add_flat(counts);
    for (auto& p : projections_) {
      p.line_integrals.clear();
      p.trouble.clear();
    }
    corrected_ = 0;
    if (added_ > 0) begin({slices_.centre(), centre_.how});
  }

  void take(kept_projection p) {
    if (!std::isfinite(p.angle_deg)) throw std::runtime_error("the angle is no finite number");
    auto bytes = (projections_.size() + 1) * 2 * sizeof(float) * form_->pixels();
    if (bytes > most_kept_bytes)
      throw std::runtime_error(fmt::format(
          "{} projections of {} lines of {} columns do not fit into memory: parameter 'rows' could choose "
          "fewer, 'binning' make them shorter",
          projections_.size() + 1, form_->lines, form_->columns));
    if (ready()) { // of those that wait for flats it is seen later
      correct_all();
      p.line_integrals = references_.line_integrals(p.counts, form_->columns);
      ++corrected_;
    }
    projections_.push_back(std::move(p));
  }

  /// Why line integrals cannot be worked out; empty if they can.
  std::string trouble_of_references() const {
    auto none = [](std::string_view what, std::uint64_t expected) {
      return fmt::format(
          "none of the {} {} has come: parameters '{}', 'first' and '{}_events' say which events they are",
          expected, what, what, what.substr(0, what.size() - 1));
    };
    if (references_.flats().images() == 0) return none("flats", choice_.flats.expected());
    if (choice_.darks.expected() > 0 && references_.darks().images() == 0)
      return none("darks", choice_.darks.expected());
    return {};
  }

  /// Are the darks and flats there, or have been waited for long enough?
  bool ready() const {
    if (!trouble_of_references().empty()) return false;
    return (references_.darks().images() >= choice_.darks.expected() &&
            references_.flats().images() >= choice_.flats.expected()) ||
           projections_.size() > most_waiting;
  }

  void correct_all() {
    for (; corrected_ < projections_.size(); ++corrected_) {
      auto& p = projections_[corrected_];
      try {
        p.line_integrals = references_.line_integrals(p.counts, form_->columns);
      } catch (const std::runtime_error& e) {
        p.trouble = e.what();
      }
    }
  }

  static bool is_usable(const kept_projection& p) { return !p.line_integrals.empty(); }

  // -- the centre --

  found_centre look_for_centre() const {
    projection_set all{form_->lines, form_->columns, {}, {}};
    for (auto& p : projections_)
      if (is_usable(p)) {
        all.angles_deg.push_back(p.angle_deg);
        all.projections.emplace_back(p.line_integrals);
      }
    if (auto c = centre_by_opposites(all, opposite_angles::between)) return {*c, "opposite projections"};
    if (auto c = centre_by_mass(all)) return {*c, "centre of mass"};
    if (auto c = centre_by_opposites(all, opposite_angles::near))
      return {*c, "projections that are nearly opposite"};
    return middle();
  }

  /// While projections come in: looked for again when there are a third more.
  void follow_centre() {
    constexpr double worth_beginning_anew = 0.5; // columns
    if (choice_.centre || corrected_ < 16 || corrected_ * 3 < looked_at_ * 4) return;
    looked_at_ = corrected_;
    auto found = look_for_centre();
    if (std::abs(found.column - slices_.centre()) > worth_beginning_anew)
      begin(found);
    else
      centre_.how = found.how;
    changed();
  }

  // -- the slices --

  void begin(found_centre centre) {
    centre_ = centre;
    slices_.begin(form_->lines, form_->columns, choice_.window, centre.column);
    added_ = 0;
    unit_weight_ = 0;
    for (auto& p : projections_) p.weight = 0;
  }

  /// Adds projections that are not in the slices yet, each with weight 1, in no more steps than these if
  /// there is more than one.
  void work(std::size_t steps) {
    std::vector<weighted_projection> some;
    auto most = std::max<std::size_t>(steps / slices_.steps(), 1);
    std::size_t n = 0;
    while (added_ < corrected_ && n < most) {
      some.clear();
      for (; added_ < corrected_ && n < most && some.size() < projections_at_a_time; ++added_) {
        auto& p = projections_[added_];
        if (!is_usable(p)) continue;
        p.weight = 1;
        some.push_back({p.line_integrals, p.angle_deg, 1});
        ++n;
      }
      slices_.add(some);
      changed();
    }
  }

  /// Of those in the slices.
  std::vector<double> angles() const {
    std::vector<double> all;
    for (std::size_t i = 0; i < added_; ++i)
      if (is_usable(projections_[i])) all.push_back(projections_[i].angle_deg);
    return all;
  }

  /// Projections that stand for more or less of the turn than most are added or taken off in part.
  void settle_weights() {
    constexpr double tolerance = 0.01;
    auto weights = angular_weights(angles());
    if (weights.empty()) return;
    auto sorted = weights;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2),
                     sorted.end());
    auto unit = sorted[sorted.size() / 2];
    if (!(unit > 0)) unit = *std::max_element(weights.begin(), weights.end());
    std::vector<weighted_projection> some;
    auto weight = weights.begin();
    for (std::size_t i = 0; i < added_; ++i) {
      auto& p = projections_[i];
      if (!is_usable(p)) continue;
      auto missing = *weight++ / unit - p.weight;
      if (std::abs(missing) <= tolerance) continue;
      p.weight += missing;
      some.push_back({p.line_integrals, p.angle_deg, missing});
      if (some.size() < projections_at_a_time) continue;
      slices_.add(some);
      some.clear();
    }
    slices_.add(some);
    unit_weight_ = unit;
  }

  /// What a weight of 1 stands for, radians.
  double unit_weight() const {
    if (unit_weight_ > 0) return unit_weight_;
    double sum = 0, in_slices = 0;
    for (auto weight : angular_weights(angles())) sum += weight;
    for (auto& p : projections_) in_slices += p.weight;
    return in_slices > 0 ? sum / in_slices : 0;
  }

  // -- what is looked at --

  value tree() const {
    value_map tree{{"projections", static_cast<std::uint64_t>(projections_.size())},
                   {"darks", references_.darks().images()},
                   {"flats", references_.flats().images()}};
    if (!form_) return tree;
    auto in_slices = angles();
    tree.set("in_slices", static_cast<std::uint64_t>(in_slices.size()));
    tree.set("largest_gap", largest_angular_gap(in_slices))
        .set("largest_gap_attrs", value_map{{"units", "deg"}});
    add_trouble(tree);
    set_with_attributes(tree, "centre", of_detector(slices_.centre()),
                        data_attributes("column of the axis of rotation", "pixel"));
    tree.set("centre_from", std::string(centre_.how));
    tree.set("references", references());
    auto trouble = trouble_of_references();
    if (trouble.empty()) tree.set("pixels_without_light", references_.without_light());
    bool some = std::any_of(projections_.begin(), projections_.end(), is_usable);
    if (some) tree.set("sinograms", sinograms());
    if (!in_slices.empty()) tree.set("slices", slices());
    tree.set("_attrs", value_map{{"default", in_slices.empty() ? "references" : "slices"}});
    return tree;
  }

  void add_trouble(value_map& tree) const {
    auto trouble = projections_.empty() ? std::string() : trouble_of_references();
    std::uint64_t unusable = 0;
    for (auto& p : projections_) {
      unusable += p.trouble.empty() ? 0 : 1;
      if (trouble.empty()) trouble = p.trouble;
    }
    tree.set("unusable", unusable);
    if (!trouble.empty()) tree.set("trouble", trouble);
  }

  array slice_rows() const {
    auto rows = choice_.rows_of(form_->image);
    return array::of(std::vector<std::uint64_t>(rows.begin(), rows.end()));
  }

  /// Of the middles of pixels of a slice, in pixels of the detector from the axis.
  array pixel_axis() const {
    std::vector<double> places;
    auto middle = 0.5 * (static_cast<double>(form_->columns) - 1);
    for (std::size_t i = 0; i < form_->columns; ++i)
      places.push_back((static_cast<double>(i) - middle) * binning());
    return array::of(places);
  }

  array column_axis() const {
    std::vector<double> places;
    for (std::size_t i = 0; i < form_->columns; ++i) places.push_back(of_detector(static_cast<double>(i)));
    return array::of(places);
  }

  value_map slices() const {
    value_map plot{{"_attrs", plot_attributes("slice", {"row", "y", "x"})}};
    set_with_attributes(plot, "slice", slices_.scaled(unit_weight() / binning()),
                        data_attributes("absorption", "1/pixel", "image"));
    plot.set("row", slice_rows());
    for (auto name : {"y", "x"}) set_with_attributes(plot, name, pixel_axis(), data_attributes({}, "pixel"));
    return plot;
  }

  value_map sinograms() const {
    std::vector<const kept_projection*> sorted;
    for (auto& p : projections_)
      if (is_usable(p)) sorted.push_back(&p);
    std::stable_sort(sorted.begin(), sorted.end(), [](auto a, auto b) {
      return std::pair(a->angle_deg, a->event) < std::pair(b->angle_deg, b->event);
    });
    std::vector<double> angles;
    std::vector<std::uint64_t> events;
    auto n = sorted.size(), columns = form_->columns;
    std::vector<float> lines(form_->lines * n * columns);
    for (std::size_t i = 0; i < n; ++i) {
      angles.push_back(sorted[i]->angle_deg);
      events.push_back(sorted[i]->event);
      for (std::size_t l = 0; l < form_->lines; ++l)
        std::copy_n(sorted[i]->line_integrals.data() + l * columns, columns,
                    lines.data() + (l * n + i) * columns);
    }
    value_map plot{{"_attrs", plot_attributes("sinogram", {"row", "angle", "column"})}};
    set_with_attributes(plot, "sinogram",
                        array::of(std::span<const float>(lines), {form_->lines, n, columns}),
                        data_attributes("line integrals of absorption", {}, "image"));
    plot.set("row", slice_rows()).set("column", column_axis());
    set_with_attributes(plot, "angle", array::of(angles), data_attributes({}, "deg"));
    plot.set("event", array::of(events));
    return plot;
  }

  value_map references() const {
    value_map plot;
    auto plane = [&](const mean_lines& of) {
      auto mean = of.mean();
      return array::of(std::span<const float>(mean), {form_->lines, form_->columns});
    };
    bool darks = references_.darks().images() > 0, flats = references_.flats().images() > 0;
    if (flats)
      set_with_attributes(plot, "flat", plane(references_.flats()),
                          data_attributes("mean of flats", "counts"));
    if (darks)
      set_with_attributes(plot, "dark", plane(references_.darks()),
                          data_attributes("mean of darks", "counts"));
    plot.set("row", slice_rows()).set("column", column_axis());
    if (flats)
      plot.set("_attrs",
               plot_attributes("flat", {"row", "column"},
                               darks ? std::vector<std::string>{"dark"} : std::vector<std::string>{}));
    return plot;
  }

  tomo_choice choice_;
  parameters settings_;
  std::optional<tomo_form> form_; ///< of the first image
  absorption references_;
  std::vector<kept_projection> projections_; ///< as they came
  std::size_t corrected_ = 0;                ///< of those, from the first on
  std::size_t added_ = 0;                    ///< to the slices, likewise
  std::size_t looked_at_ = 0;                ///< when the centre was looked for
  found_centre centre_;
  slice_stack slices_;
  double unit_weight_ = 0;            ///< of the slices; 0: not settled
  mutable std::optional<value> tree_; ///< as long as nothing changes
};

class tomo_analysis final : public analysis {
 public:
  std::string_view name() const override { return "tomo"; }
  std::string_view description() const override {
    return "slices of a sample that turns in a parallel beam, by filtered back-projection, while it turns";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"channel", text, "", "which of several images taken together; empty: the first"},
        {"angle", text, "", "angle of each projection, e.g. panda:INENC1.VAL.Mean"},
        {"degrees_per_unit", real, "1", "what the angle is multiplied by; negative: it turns the other way"},
        {"rows", text, "",
         "rows of the images, each of which gives a slice, e.g. 512, 100:200:20; empty: the middle"},
        {"binning", integer, "1", "columns that are put together; the slices are smaller by as much"},
        {"darks", integer, "0", "how many images without beam come first"},
        {"flats", integer, "0", "how many images without sample follow"},
        {"first", integer, "1", "event of the first image; 1, as event 0 is the start"},
        {"dark_events", text, "", "events that are darks, e.g. 1:21, 981:1001; instead of darks"},
        {"flat_events", text, "", "events that are flats; instead of flats"},
        {"centre", text, "auto",
         "column of the axis of rotation, the middle of column 0 being 0; auto: found"},
        {"window", text, "ram-lak",
         "of the filter: ram-lak, shepp-logan or hann, each smoother than the one before"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    // Without any parameter it can be described, but not used.
    if (!settings.text("angle").empty()) static_cast<void>(tomo_choice(settings));
    using enum result_extent;
    return {{.name = "angle", .unit = "deg"},
            {.name = "image_key", .type = dtype::uint8},
            {.name = "slices", .extent = per_scan},
            {.name = "sinograms", .extent = per_scan},
            {.name = "references", .extent = per_scan},
            {.name = "centre", .extent = per_scan, .unit = "pixel"},
            {.name = "projections", .type = dtype::uint64, .extent = per_scan}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<tomo_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<tomo_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_tomo_analysis() { return std::make_unique<tomo_analysis>(); }

} // namespace dtranspose
