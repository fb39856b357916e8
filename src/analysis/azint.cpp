#include "analysis/azint.hpp"

#include <cmath>
#include <map>
#include <mutex>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/azimuthal_integrator.hpp"
#include "analysis/compensated_sum.hpp"
#include "analysis/image_plane.hpp"
#include "analysis/numpy_file.hpp"
#include "analysis/parameter_refusal.hpp"
#include "analysis/plot.hpp"

namespace dtranspose {

namespace {

// What a worker gives to an event, and what it defers without rows; all arrays of [bins] or [chi_bins, bins]:
//
//     intensity, intensity_errors   of this event                 signal, variance, norm   sums of several
//     norm                          what it was divided by        ..._rest                 what rounding took
//                                                                 frames                   how many
//     radial, azimuthal             middles of the bins

/// `LOW:HIGH`; nothing for an empty text.
std::optional<std::pair<double, double>> parse_range(std::string_view parameter, const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto colon = text.find(':');
  auto low = parameters::real_of(text.substr(0, colon));
  auto high = colon == text.npos ? std::nullopt : parameters::real_of(text.substr(colon + 1));
  if (!low || !high || !std::isfinite(*low) || !std::isfinite(*high) || !(*low < *high))
    throw refusal(parameter, fmt::format("'{}' is no range; an example is 0.5:25", text));
  return std::pair{*low, *high};
}

std::size_t parse_count(const parameters& settings, std::string_view parameter, std::int64_t least) {
  constexpr std::int64_t most = 1'000'000;
  auto n = settings.integer(parameter);
  if (n < least || n > most) throw refusal(parameter, fmt::format("{} is not {} to {}", n, least, most));
  return static_cast<std::size_t>(n);
}

poni_geometry parse_geometry(const std::string& given) {
  if (given.empty()) throw refusal("poni", "is empty; it is the path of a .poni file, or the text of one");
  bool is_text = given.find('\n') != given.npos || given.starts_with('{');
  try {
    return parse_poni(is_text ? given : file_content(given));
  } catch (const std::invalid_argument& e) {
    throw refusal("poni", (is_text ? std::string() : given + ": ") + e.what());
  }
}

std::optional<double> parse_polarisation(const std::string& text) {
  if (text.empty()) return std::nullopt;
  auto degree = parameters::real_of(text);
  if (!degree || !(std::abs(*degree) <= 1))
    throw refusal("polarisation", fmt::format("'{}' is not -1 to 1, nor empty for no correction", text));
  return degree;
}

pixel_splitting parse_splitting(const std::string& text) {
  if (text == "bbox") return pixel_splitting::bounding_box;
  if (text == "no") return pixel_splitting::none;
  throw refusal("splitting", fmt::format("'{}' is neither bbox nor no", text));
}

/// The parameters, read.
struct azint_choice {
  integration_setup setup; ///< without mask, dark and flat
  std::optional<array> mask, dark, flat;
  std::optional<valid_values> valid;
  std::string stream, channel;
  bool rows = true;
  std::string key; ///< the same for equal matrices, but for the shape of images

  explicit azint_choice(const parameters& settings) {
    setup.geometry = parse_geometry(settings.text("poni"));
    auto unit = radial_unit_of(settings.text("unit"));
    if (!unit)
      throw refusal("unit", fmt::format("'{}' is none of q_nm^-1, q_A^-1, 2th_deg, 2th_rad, r_mm and r_m",
                                        settings.text("unit")));
    setup.unit = *unit;
    if (*unit <= radial_unit::q_per_angstrom && setup.geometry.wavelength == 0)
      throw refusal("poni", "there is no 'Wavelength', which q needs");
    setup.splitting = parse_splitting(settings.text("splitting"));
    setup.bins = parse_count(settings, "bins", 1);
    setup.azimuthal_bins = parse_count(settings, "chi_bins", 0);
    if (setup.bins * std::max<std::size_t>(setup.azimuthal_bins, 1) > 50'000'000)
      throw refusal("chi_bins", "bins times chi_bins are more than 50 million");
    setup.range = parse_range("range", settings.text("range"));
    setup.azimuth_range = parse_range("chi_range", settings.text("chi_range"));
    if (setup.azimuth_range && setup.azimuth_range->second - setup.azimuth_range->first > 360)
      throw refusal("chi_range", "is more than a full turn of 360 degrees");
    setup.solid_angle = settings.boolean("solid_angle");
    setup.polarisation = parse_polarisation(settings.text("polarisation"));
    mask = array_parameter(settings, "mask");
    dark = array_parameter(settings, "dark");
    flat = array_parameter(settings, "flat");
    if (auto range = parse_range("valid", settings.text("valid"))) valid = {range->first, range->second};
    stream = settings.text("stream");
    channel = settings.text("channel");
    rows = settings.boolean("rows");
    check_planes();
    for (auto name :
         {"unit", "splitting", "bins", "chi_bins", "range", "chi_range", "solid_angle", "polarisation"})
      key += settings.text(name) + '\n';
    add_to_key(setup.geometry);
    for (auto plane : {&mask, &dark, &flat}) add_to_key(*plane);
  }

  /// The setup for images of that shape. Throws std::invalid_argument.
  integration_setup complete(const plane_shape& shape) const {
    auto whole = setup;
    auto fill = [&](const std::optional<array>& given, std::string_view name, std::vector<float>& plane) {
      if (given) plane = plane_parameter(*given, name, shape.rows, shape.columns);
    };
    fill(mask, "mask", whole.mask);
    fill(dark, "dark", whole.dark);
    fill(flat, "flat", whole.flat);
    return whole;
  }

 private:
  /// As far as the shape is known without an image.
  void check_planes() const {
    auto expected = setup.geometry.shape;
    std::string_view first = "poni";
    const std::pair<const char*, const std::optional<array>*> planes[] = {
        {"mask", &mask}, {"dark", &dark}, {"flat", &flat}};
    for (auto& [name, plane] : planes) {
      if (!*plane) continue;
      auto& shape = (*plane)->shape();
      if (shape.size() != 2) throw refusal(name, fmt::format("shape {} is no image", shape_text(shape)));
      if (expected && (shape[0] != expected->rows || shape[1] != expected->columns))
        throw refusal(name, fmt::format("an array of shape {}, where '{}' has {}", shape_text(shape), first,
                                        shape_text({expected->rows, expected->columns})));
      if (!expected) first = name;
      expected = poni_geometry::extent{shape[0], shape[1]};
    }
  }

  void add_to_key(const poni_geometry& g) {
    key += fmt::format("{} {} {} {} {} {} {} {} {} {}\n", g.pixel1, g.pixel2, g.distance, g.poni1, g.poni2,
                       g.rot1, g.rot2, g.rot3, g.wavelength, g.orientation);
  }

  void add_to_key(const std::optional<array>& plane) {
    if (!plane) {
      key += "none\n";
      return;
    }
    auto bytes = plane->bytes();
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    key += fmt::format("{} {} {}\n", shape_text(plane->shape()), name_of(plane->type()),
                       std::hash<std::string_view>()(text));
  }
};

/// The matrix for images of that shape: one for all workers of a process, and the last one is kept for the
/// next scan, as making it takes up to a second.
std::shared_ptr<const azimuthal_integrator> integrator_for(const azint_choice& choice,
                                                           const plane_shape& shape) {
  static std::mutex mutex;
  static auto& known = *new std::map<std::string, std::weak_ptr<const azimuthal_integrator>>;
  static auto& last = *new std::shared_ptr<const azimuthal_integrator>;
  auto key = choice.key + text_of(shape);
  std::lock_guard lock(mutex); // the others need the same one
  std::erase_if(known, [](auto& entry) { return entry.second.expired(); });
  auto found = known[key].lock();
  if (!found) {
    last.reset();
    found = std::make_shared<const azimuthal_integrator>(choice.complete(shape), shape.rows, shape.columns);
    known[key] = found;
  }
  last = found;
  return found;
}

std::vector<std::size_t> shape_of(const azint_choice& choice) {
  if (choice.setup.azimuthal_bins == 0) return {choice.setup.bins};
  return {choice.setup.azimuthal_bins, choice.setup.bins};
}

/// Sums that do not depend on the order of their terms but in the last digit.
struct compensated_sums {
  std::vector<double> sums, rests;

  void add(std::span<const double> terms) {
    if (sums.empty()) {
      sums.resize(terms.size());
      rests.resize(terms.size());
    }
    for (std::size_t i = 0; i < sums.size(); ++i) add_compensated(sums[i], rests[i], terms[i]);
  }
  void add_rests(std::span<const double> terms) {
    for (std::size_t i = 0; i < rests.size(); ++i) rests[i] += terms[i];
  }
  double operator[](std::size_t i) const { return sums[i] + rests[i]; }
};

constexpr std::array<std::string_view, 3> summed = {"signal", "variance", "norm"};

/// The integrals of several images, as one.
class integral_of_many {
 public:
  std::uint64_t frames() const { return frames_; }

  void add(const integral_sums& one) {
    sums_[0].add(one.signal);
    sums_[1].add(one.variance);
    sums_[2].add(one.norm);
    ++frames_;
  }

  value take(const std::vector<std::size_t>& shape) const {
    value_map partial{{"frames", frames_}};
    for (std::size_t i = 0; i < summed.size(); ++i) {
      partial.set(summed[i], array::of(std::span<const double>(sums_[i].sums), shape));
      partial.set(fmt::format("{}_rest", summed[i]),
                  array::of(std::span<const double>(sums_[i].rests), shape));
    }
    return partial;
  }

  /// What `take` gave; `of` finds an entry, of as many numbers as there are bins.
  template <class F>
  void add(std::uint64_t frames, F&& of) {
    for (std::size_t i = 0; i < summed.size(); ++i) {
      sums_[i].add(of(summed[i]));
      sums_[i].add_rests(of(fmt::format("{}_rest", summed[i])));
    }
    frames_ += frames;
  }

  /// Intensities and their errors; NaN in bins without a pixel.
  std::pair<std::vector<double>, std::vector<double>> mean() const {
    std::vector<double> intensity(sums_[0].sums.size(), NAN), errors(intensity);
    for (std::size_t i = 0; i < intensity.size(); ++i) {
      auto norm = sums_[2][i];
      if (!(norm > 0)) continue;
      intensity[i] = sums_[0][i] / norm;
      errors[i] = std::sqrt(std::max(sums_[1][i], 0.0)) / norm;
    }
    return {std::move(intensity), std::move(errors)};
  }

 private:
  std::array<compensated_sums, 3> sums_;
  std::uint64_t frames_ = 0;
};

class azint_worker final : public worker_part {
 public:
  explicit azint_worker(const parameters& settings) : settings_(settings), choice_(settings) {
    if (auto shape = choice_.setup.geometry.shape) use({shape->rows, shape->columns});
  }

  answer process_event(const event& e, const parameters& settings, bool) override {
    if (settings.all() != settings_.all()) {
      choice_ = azint_choice(settings);
      settings_ = settings;
      integrator_.reset();
    }
    auto image = find_image(e, choice_.stream, choice_.channel);
    if (!image) return answer::nothing();
    auto shape = plane_of(*image);
    if (!integrator_) use(shape);
    if (plane_shape{integrator_->rows(), integrator_->columns()} != shape) throw other_shape(shape);
    integrator_->integrate(*image, choice_.valid.value_or(usual_values(image->type)), scratch_, sums_);
    if (choice_.rows) return answer::result(row());
    held_.add(sums_);
    return answer::deferred();
  }

  value flush() override {
    if (held_.frames() == 0) return {};
    auto partial = std::exchange(held_, {}).take(shape_of(choice_));
    auto map = *partial.as_map();
    add_axes(map);
    return map;
  }

 private:
  void use(const plane_shape& shape) {
    if (!trouble_.empty() && shape == troubled_) throw std::runtime_error(trouble_);
    try {
      integrator_ = integrator_for(choice_, shape);
    } catch (const std::invalid_argument& e) {
      trouble_ = e.what(); // trying again would take as long
      troubled_ = shape;
      throw;
    }
    radial_ = array::of(integrator_->radial_axis());
    azimuthal_ = array::of(integrator_->azimuthal_axis());
  }

  std::runtime_error other_shape(const plane_shape& found) const {
    auto told = choice_.setup.geometry.shape ? "the geometry is" : "the first image of the scan was";
    return std::runtime_error(fmt::format("an image of shape {}, but {} of shape {}", text_of(found), told,
                                          shape_text({integrator_->rows(), integrator_->columns()})));
  }

  value row() const {
    auto n = sums_.norm.size();
    auto intensity = std::make_shared_for_overwrite<double[]>(n),
         errors = std::make_shared_for_overwrite<double[]>(n);
    for (std::size_t i = 0; i < n; ++i) {
      bool some = sums_.norm[i] > 0;
      intensity[i] = some ? sums_.signal[i] / sums_.norm[i] : NAN;
      errors[i] = some ? std::sqrt(sums_.variance[i]) / sums_.norm[i] : NAN;
    }
    auto shape = shape_of(choice_);
    auto whole = [&](const std::shared_ptr<double[]>& numbers) {
      auto bytes = reinterpret_cast<const std::byte*>(numbers.get());
      return array(dtype::float64, shape, std::shared_ptr<const std::byte[]>(numbers, bytes));
    };
    value_map result;
    result.reserve(5);
    result.set("intensity", whole(intensity)).set("intensity_errors", whole(errors));
    result.set("norm", array::of(std::span<const double>(sums_.norm), shape));
    add_axes(result);
    return result;
  }

  void add_axes(value_map& to) const {
    to.set("radial", radial_);
    if (azimuthal_.size() > 0) to.set("azimuthal", azimuthal_);
  }

  parameters settings_;
  azint_choice choice_;
  std::shared_ptr<const azimuthal_integrator> integrator_;
  std::string trouble_; ///< why there is none for images of that shape
  plane_shape troubled_;
  array radial_, azimuthal_;
  azimuthal_integrator::scratch scratch_;
  integral_sums sums_; ///< of the event in hand
  integral_of_many held_;
};

class azint_reducer final : public reducer_part {
 public:
  explicit azint_reducer(const parameters& settings)
      : unit_(radial_unit_of(settings.text("unit")).value_or(radial_unit::q_per_nm)) {}

  void process_result(const folded_result& result, const parameters&) override {
    auto radial = entry(result.content, "radial");
    if (radial_.size() > 0 && !(radial == radial_))
      throw std::runtime_error("an integral with other bins than the first of the scan");
    auto frames = result.content.find("frames");
    auto count = frames ? std::get_if<std::uint64_t>(&frames->content()) : nullptr;
    auto numbers = [&](std::string_view name) { return entry(result.content, name).elements<double>(); };
    auto expected = entry(result.content, "norm").size();
    for (std::string_view name : {"signal", "variance", "intensity", "intensity_errors"})
      if (auto some = result.content.find(name); some && entry(result.content, name).size() != expected)
        throw no_integral();
    if (count)
      total_.add(*count, numbers);
    else
      add_row(result);
    shape_ = entry(result.content, "norm").shape();
    radial_ = radial;
    if (result.content.find("azimuthal")) azimuthal_ = entry(result.content, "azimuthal");
  }

  value published() const override {
    value_map tree{{"frames", total_.frames()}};
    if (total_.frames() == 0) return tree;
    add_axes(tree);
    auto [intensity, errors] = total_.mean();
    tree.set("average", plot(array::of(std::span<const double>(intensity), shape_),
                             array::of(std::span<const double>(errors), shape_), "mean of all images"));
    if (latest_event_)
      tree.set("latest", plot(latest_, latest_errors_, fmt::format("image of event {}", *latest_event_)));
    tree.set("_attrs", value_map{{"default", "average"}});
    return tree;
  }

 private:
  static std::runtime_error no_integral() {
    return std::runtime_error("the result is no azimuthal integral");
  }

  static const array& entry(const value& content, std::string_view name) {
    auto found = content.find(name);
    auto numbers = found ? found->as_array() : nullptr;
    if (!numbers || numbers->type() != dtype::float64) throw no_integral();
    return *numbers;
  }

  void add_row(const folded_result& result) {
    auto &intensity = entry(result.content, "intensity"), &errors = entry(result.content, "intensity_errors");
    auto i = intensity.elements<double>(), e = errors.elements<double>();
    auto n = entry(result.content, "norm").elements<double>();
    integral_sums sums{std::vector<double>(n.size()), std::vector<double>(n.size()), {n.begin(), n.end()}};
    for (std::size_t k = 0; k < n.size(); ++k)
      if (n[k] > 0) {
        sums.signal[k] = i[k] * n[k];
        sums.variance[k] = e[k] * n[k] * e[k] * n[k];
      }
    total_.add(sums);
    if (!result.event || (latest_event_ && result.event->value < *latest_event_)) return;
    latest_event_ = result.event->value;
    latest_ = intensity;
    latest_errors_ = errors;
  }

  void add_axes(value_map& to) const {
    auto& unit = info_of(unit_);
    to.set(unit.axis, radial_);
    to.set(fmt::format("{}_attrs", unit.axis), value_map{{"units", std::string(unit.units)}});
    if (azimuthal_.size() == 0) return;
    to.set("chi", azimuthal_).set("chi_attrs", value_map{{"units", "deg"}});
  }

  value_map plot(const array& intensity, const array& errors, std::string title) const {
    std::vector<std::string> axes;
    if (azimuthal_.size() > 0) axes.emplace_back("chi");
    axes.emplace_back(info_of(unit_).axis);
    value_map group{{"intensity", intensity}, {"intensity_errors", errors}, {"title", std::move(title)}};
    add_axes(group);
    if (azimuthal_.size() > 0) group.set("intensity_attrs", value_map{{"interpretation", "image"}});
    group.set("_attrs", plot_attributes("intensity", axes));
    return group;
  }

  radial_unit unit_;
  array radial_, azimuthal_;
  std::vector<std::size_t> shape_;
  integral_of_many total_;
  std::optional<std::uint64_t> latest_event_;
  array latest_, latest_errors_;
};

class azint_analysis final : public analysis {
 public:
  std::string_view name() const override { return "azint"; }
  std::string_view description() const override {
    return "azimuthal integration of images, per event and in the mean, by the geometry of a .poni file";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"channel", text, "",
         "which of several images taken together (Dectris thresholds); empty: the first"},
        {"poni", binary, "", "geometry: the path of a .poni file, or its text"},
        {"unit", text, "q_nm^-1", "of the bins: q_nm^-1, q_A^-1, 2th_deg, 2th_rad, r_mm or r_m"},
        {"bins", integer, "1000", "how many bins, from 1"},
        {"range", text, "", "of the bins, LOW:HIGH in the unit; empty: all pixels in use"},
        {"chi_bins", integer, "0", "bins of the azimuth, for a cake; 0: no second axis"},
        {"chi_range", text, "", "sector, or range of chi_bins, LOW:HIGH in degrees; empty: a full turn"},
        {"splitting", text, "bbox", "bbox: pixels are spread over bins; no: each in the bin of its middle"},
        {"mask", binary, "", "pixels that are not 0 are left out: path of a .npy file, or its bytes"},
        {"dark", binary, "", "subtracted from images: path of a .npy file, or its bytes"},
        {"flat", binary, "", "response of the pixels, divided by: path of a .npy file, or its bytes"},
        {"valid", text, "",
         "values that count, LOW:HIGH; empty: signed integers from 0, unsigned below the largest"},
        {"solid_angle", boolean, "True", "divide by the solid angle of pixels"},
        {"polarisation", text, "", "of the beam, -1 to 1, 0.99 is usual; empty: no correction"},
        {"rows", boolean, "True", "a result for each event; False: only the mean of all"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    const azint_choice choice(settings);
    auto shape = shape_of(choice);
    auto& unit = info_of(choice.setup.unit);
    std::vector<std::string> axes;
    if (shape.size() > 1) axes.emplace_back("chi");
    axes.emplace_back(unit.axis);
    std::vector<result_description> results;
    if (choice.rows)
      for (auto name : {"intensity", "intensity_errors"})
        results.push_back({.name = name, .shape = shape, .axes = axes});
    using enum result_extent;
    results.push_back({.name = "average", .extent = per_scan});
    results.push_back({.name = std::string(unit.axis),
                       .shape = {choice.setup.bins},
                       .extent = per_scan,
                       .unit = std::string(unit.units)});
    results.push_back({.name = "frames", .type = dtype::uint64, .extent = per_scan});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<azint_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<azint_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_azint_analysis() { return std::make_unique<azint_analysis>(); }

} // namespace dtranspose
