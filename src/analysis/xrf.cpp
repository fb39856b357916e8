#include "analysis/xrf.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "analysis/parameter_change.hpp"
#include "analysis/plot.hpp"
#include "analysis/raster_grid.hpp"
#include "analysis/scalars.hpp"
#include "analysis/xrf_fit.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

// What a worker hands on for each image, beside what is described:
//
//     form     [detector elements, channels] of the spectra
//     latest   about once a second: counts, fit and background of each channel, for people to look at

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// ---- parameters -----------------------------------------------------------------------------------------

/// A window of energies in which counts are summed.
struct energy_window {
  std::string name;
  double low_kev = 0, high_kev = 0;
};

/// All that the parameters say.
struct xrf_setup {
  std::string stream;
  std::string x, y, i0; ///< names of scalars
  std::optional<raster_grid> grid;
  std::vector<std::size_t> elements; ///< of the detector; empty: all
  bool dead_time = true;
  xrf_model model;
  std::vector<energy_window> regions;
  std::vector<std::string> rgb;
  std::vector<std::string> fitted; ///< names of what is fitted

  bool fits() const { return !model.groups.empty(); }
  /// Everything there are maps of.
  std::vector<std::string> quantities() const {
    auto names = fitted;
    for (auto& region : regions) names.push_back(region.name);
    names.emplace_back("counts");
    return names;
  }
};

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// What stands between commas, without blanks; nothing for an empty text.
std::vector<std::string> items_of(std::string_view text) {
  std::vector<std::string> items;
  if (trimmed(text).empty()) return items;
  while (true) {
    auto comma = text.find(',');
    items.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == text.npos) return items;
    text.remove_prefix(comma + 1);
  }
}

double number_of(const parameters& settings, std::string_view name, double least, double most) {
  auto x = settings.real(name);
  if (!(x >= least && x <= most))
    throw std::invalid_argument(
        fmt::format("parameter '{}': {} is not within {} and {}", name, x, least, most));
  return x;
}

/// `LOW:HIGH` in keV.
std::optional<std::pair<double, double>> energies_of(std::string_view written) {
  auto colon = written.find(':');
  if (colon == written.npos) return std::nullopt;
  auto low = parameters::real_of(written.substr(0, colon));
  auto high = parameters::real_of(written.substr(colon + 1));
  if (!low || !high || !std::isfinite(*low) || !std::isfinite(*high) || !(*low < *high)) return std::nullopt;
  return std::pair(*low, *high);
}

bool is_plain(std::string_view name) {
  auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), plain);
}

std::vector<energy_window> read_regions(const parameters& settings) {
  std::vector<energy_window> regions;
  for (auto& item : items_of(settings.text("regions"))) {
    auto equals = item.find('=');
    auto name = trimmed(std::string_view(item).substr(0, equals));
    auto energies =
        equals == item.npos ? std::nullopt : energies_of(std::string_view(item).substr(equals + 1));
    if (!energies || !is_plain(name))
      throw std::invalid_argument(
          fmt::format("parameter 'regions': '{}' is no region; an example is Fe_Ka=6.2:6.6, in keV", item));
    regions.push_back({std::string(name), energies->first, energies->second});
  }
  return regions;
}

xrf_background read_background(const parameters& settings) {
  auto written = settings.text("background");
  if (written == "smooth") return xrf_background::smooth;
  if (written == "snip") return xrf_background::snip;
  if (written == "none") return xrf_background::none;
  throw std::invalid_argument(
      fmt::format("parameter 'background': '{}' is none of smooth, snip and none", written));
}

xrf_weights read_weights(const parameters& settings) {
  auto written = settings.text("weights");
  if (written == "model") return xrf_weights::model;
  if (written == "counts") return xrf_weights::counts;
  if (written == "equal") return xrf_weights::equal;
  throw std::invalid_argument(
      fmt::format("parameter 'weights': '{}' is none of model, counts and equal", written));
}

void read_groups(const parameters& settings, xrf_model& model) {
  auto names = items_of(settings.text("elements"));
  if (names.empty()) return;
  model.incident_kev = number_of(settings, "energy", 0.1, 200);
  for (auto& name : names) try {
      model.groups.push_back(find_line_group(name, model.incident_kev, std::max(model.low_kev, 0.0)));
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument(fmt::format("parameter 'elements': {}", e.what()));
    }
}

xrf_model read_model(const parameters& settings) {
  xrf_model m;
  m.response.zero = number_of(settings, "zero", -100, 100);
  m.response.gain = number_of(settings, "gain", 1e-6, 100);
  m.response.noise = number_of(settings, "noise", 1e-3, 10);
  m.response.fano = number_of(settings, "fano", 0, 10);
  m.escape = settings.boolean("escape");
  m.scatter = settings.boolean("scatter");
  m.angle_degrees = number_of(settings, "angle", 0, 180);
  m.compton_width = number_of(settings, "compton_width", 0.1, 100);
  m.background = read_background(settings);
  m.weights = read_weights(settings);
  m.snip_width = static_cast<std::size_t>(number_of(settings, "snip_width", 0, 65536));
  m.knot_distance_kev = number_of(settings, "background_step", 0.1, 100);
  auto written = settings.text("fit_range");
  auto range = energies_of(written);
  if (!trimmed(written).empty() && !range)
    throw std::invalid_argument(fmt::format(
        "parameter 'fit_range': '{}' is no range of energies; an example is 2:12.5, in keV", written));
  m.low_kev = range ? range->first : 1;
  read_groups(settings, m);
  // Up to where the elastic peak ends.
  m.high_kev = range ? range->second : m.incident_kev + 5 * m.response.sigma(m.incident_kev);
  return m;
}

std::vector<std::size_t> read_elements(const parameters& settings) {
  std::vector<std::size_t> elements;
  for (auto& item : items_of(settings.text("detector_elements"))) {
    auto n = parameters::integer_of(item);
    bool twice = n && std::find(elements.begin(), elements.end(), *n) != elements.end();
    if (!n || *n < 0 || twice)
      throw std::invalid_argument(fmt::format(
          "parameter 'detector_elements': '{}' {}; an example is 0,1,3, for all but the third of four", item,
          twice ? "is there twice" : "is no element of a detector"));
    elements.push_back(static_cast<std::size_t>(*n));
  }
  return elements;
}

std::optional<raster_grid> read_grid(const parameters& settings, const xrf_setup& s) {
  for (auto [scalar, axis] : {std::pair("x", "x_grid"), std::pair("y", "y_grid")}) {
    check_scalar_name(scalar, settings.text(scalar));
    if (settings.text(scalar).empty() != trimmed(settings.text(axis)).empty())
      throw std::invalid_argument(fmt::format(
          "parameters '{}' and '{}' go together: a position and the grid it is sorted into", scalar, axis));
  }
  if (s.x.empty() && !s.y.empty())
    throw std::invalid_argument("parameter 'y' needs 'x' too; of a scan along one axis that one is x");
  if (s.x.empty()) return std::nullopt;
  raster_grid grid{parse_grid_axis("x_grid", settings.text("x_grid")), {}};
  if (!s.y.empty()) grid.y = parse_grid_axis("y_grid", settings.text("y_grid"));
  return grid;
}

void check_names(const xrf_setup& s) {
  auto names = s.quantities();
  for (auto& name : s.fitted) names.push_back(name + "_error");
  for (auto reserved : {"x", "y", "i0", "chi2", "maps", "rgb", "latest", "events", "outside",
                        "without_position", "without_i0"})
    names.emplace_back(reserved);
  for (std::size_t i = 0; i < names.size(); ++i)
    if (std::count(names.begin(), names.end(), names[i]) > 1)
      throw std::invalid_argument(
          fmt::format("parameters 'elements' and 'regions': there are two results named {}", names[i]));
}

std::vector<std::string> read_rgb(const parameters& settings, const xrf_setup& s) {
  auto known = s.quantities();
  std::vector<std::string> rgb;
  for (auto& item : items_of(settings.text("rgb"))) {
    auto found = std::find(known.begin(), known.end(), item);
    if (found == known.end()) // an element whose lines are known by their shell
      found = std::find_if(known.begin(), known.end(),
                           [&](auto& name) { return name.starts_with(fmt::format("{}_", item)); });
    if (found == known.end())
      throw std::invalid_argument(fmt::format("parameter 'rgb': there is no map of '{}'; there are {}", item,
                                              fmt::join(known, ", ")));
    rgb.push_back(*found);
  }
  if (rgb.empty() && s.model.groups.size() >= 3)
    for (std::size_t i = 0; i < 3; ++i) rgb.push_back(s.model.groups[i].name);
  if (!rgb.empty() && rgb.size() != 3)
    throw std::invalid_argument(
        fmt::format("parameter 'rgb': {} maps; it takes three, for red, green and blue", rgb.size()));
  return rgb;
}

/// Throws std::invalid_argument, naming the parameter.
xrf_setup read_setup(const parameters& settings) {
  xrf_setup s;
  s.stream = settings.text("stream");
  s.x = settings.text("x");
  s.y = settings.text("y");
  s.i0 = settings.text("i0");
  check_scalar_name("i0", s.i0);
  s.elements = read_elements(settings);
  s.dead_time = settings.boolean("dead_time");
  s.regions = read_regions(settings);
  s.model = read_model(settings);
  if (s.fits()) {
    // Up to there spectra may go; what they don't have is found with the first of them.
    auto channels = std::max(0.0, std::ceil(s.model.response.channel(s.model.high_kev))) + 1;
    if (channels > 1 << 20)
      throw std::invalid_argument(
          fmt::format("parameter 'gain': {} keV is channel {}", s.model.high_kev, channels - 1));
    s.fitted = xrf_fitter(s.model, static_cast<std::size_t>(channels)).names();
  }
  check_names(s);
  s.grid = read_grid(settings, s);
  s.rgb = read_rgb(settings, s);
  if (s.grid) check_grid_size(*s.grid, s.quantities().size() + s.fitted.size() + 2, "'x_grid', 'y_grid'");
  return s;
}

// ---- worker ---------------------------------------------------------------------------------------------

/// The sum over detector elements.
struct summed_spectrum {
  std::vector<double> counts;
  double total = 0;
  double variance = 1; ///< of what stands for one count
};

/// Adds counts times factor; returns their sum without it.
template <class T>
double add_spectrum(std::vector<double>& to, const std::byte* from, double factor) {
  double* __restrict sums = to.data();
  const std::size_t n = to.size();
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    T x;
    std::memcpy(&x, from + i * sizeof(T), sizeof(T));
    auto counts = static_cast<double>(x);
    sums[i] += factor * counts;
    total += counts;
  }
  return total;
}

class xrf_worker final : public worker_part {
 public:
  explicit xrf_worker(const parameters& settings) { use(settings); }

  answer process_event(const event& e, const parameters& settings, bool tick) override {
    if (settings.all() != settings_.all()) use(settings);
    auto& readings = scalars_->read(e);
    auto data = find_spectra(e);
    if (!data) return answer::nothing();
    if (auto header = parse_xspress3_header(*data)) tags_ = std::move(header->extra_tags);
    auto image = parse_xspress3_image(*data);
    if (!image) return answer::nothing();
    check_form(*image);
    sum(*data, *image);
    value_map result;
    result.reserve(2 * setup_.fitted.size() + setup_.regions.size() + 8);
    add_readings(readings, result);
    result.set("counts", spectrum_.total);
    for (std::size_t i = 0; i < setup_.regions.size(); ++i) result.set(setup_.regions[i].name, window(i));
    if (setup_.fits()) add_fit(result);
    result.set("form", array::of(std::vector<std::uint64_t>{form_->first, form_->second}));
    if (tick) result.set("latest", latest());
    return answer::result(std::move(result));
  }

 private:
  using spectra_form = std::pair<std::size_t, std::size_t>;

  void use(const parameters& settings) {
    setup_ = read_setup(settings);
    scalars_.emplace(std::vector<std::string>{setup_.x, setup_.y, setup_.i0});
    settings_ = settings;
    fitter_.reset();
  }

  const stream_data* find_spectra(const event& e) const {
    if (setup_.stream.empty()) {
      for (auto& entry : e.streams())
        if (entry.data.type() == xspress3_type_tag) return &entry.data;
      return nullptr;
    }
    auto data = e.find(setup_.stream);
    if (data && data->type() != xspress3_type_tag)
      throw std::runtime_error(fmt::format(
          "stream '{}': data of type {} hold no spectra of an Xspress3: see the parameter 'stream'",
          setup_.stream, data->type()));
    return data;
  }

  void check_form(const xspress3_image& image) {
    spectra_form form{image.spectra.shape[0], image.spectra.shape[1]};
    if (form.first == 0 || form.second == 0) throw std::runtime_error("an image without spectra");
    for (auto element : setup_.elements)
      if (element >= form.first)
        throw std::runtime_error(
            fmt::format("parameter 'detector_elements': there is no element {}; the detector has {}", element,
                        form.first));
    if (form_ && form != *form_)
      throw std::runtime_error(
          fmt::format("spectra of {} detector elements with {} channels, but the first had {} with {}",
                      form.first, form.second, form_->first, form_->second));
    // Before anything is kept, as a form that cannot be fitted is none.
    if (setup_.fits() && !fitter_) fitter_.emplace(setup_.model, form.second);
    form_ = form;
  }

  std::vector<double> factors(const stream_data& data) const {
    std::vector<double> all(form_->first, 1);
    if (!setup_.dead_time) return all;
    auto meta = parse_xspress3_meta(data, tags_);
    auto found = meta ? meta->numbers("dtc") : std::nullopt;
    if (!found || found->size() != form_->first)
      throw std::runtime_error(
          "the counters hold no dead-time correction 'dtc' for each detector element: without, "
          "set the parameter dead_time = false");
    return *found;
  }

  void sum(const stream_data& data, const xspress3_image& image) {
    auto all = factors(data);
    spectrum_.counts.assign(form_->second, 0);
    double corrected = 0, variances = 0;
    for (std::size_t element = 0; element < form_->first; ++element) {
      auto& wanted = setup_.elements;
      if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), element) == wanted.end()) continue;
      auto factor = all[element];
      bool usable = std::isfinite(factor) && factor > 0;
      auto counts = visit_dtype(image.spectra.type, [&]<class T>(T) {
        auto from = image.spectra.bytes.data() + element * form_->second * sizeof(T);
        return add_spectrum<T>(spectrum_.counts, from, usable ? factor : 0);
      });
      if (!usable && counts != 0)
        throw std::runtime_error(fmt::format(
            "detector element {}: {} counts, and a dead-time correction of {}", element, counts, factor));
      if (!usable) continue;
      corrected += factor * counts;
      variances += factor * factor * counts;
    }
    if (!std::isfinite(corrected)) throw std::runtime_error("spectra with counts that are no finite numbers");
    spectrum_.total = corrected;
    spectrum_.variance = corrected > 0 ? variances / corrected : 1;
  }

  /// Counts of the channels whose middles are within the window.
  double window(std::size_t i) const {
    auto& response = setup_.model.response;
    auto n = static_cast<double>(spectrum_.counts.size());
    auto first = std::clamp(std::ceil(response.channel(setup_.regions[i].low_kev)), 0.0, n);
    auto end = std::clamp(std::ceil(response.channel(setup_.regions[i].high_kev)), first, n);
    double counts = 0;
    for (auto c = static_cast<std::size_t>(first); c < static_cast<std::size_t>(end); ++c)
      counts += spectrum_.counts[c];
    return counts;
  }

  void add_readings(const std::vector<scalar>& readings, value_map& result) const {
    auto add = [&](std::string_view parameter, const std::string& name, const scalar& reading) {
      if (name.empty()) return;
      if (reading.what == scalar::state::absent || reading.what == scalar::state::message)
        throw std::runtime_error(fmt::format(
            "parameter '{}': the event has no {}{}", parameter, name,
            reading.what == scalar::state::message ? ", as its stream has a start or an end there" : ""));
      result.set(parameter, reading.number);
    };
    add("x", setup_.x, readings[0]);
    add("y", setup_.y, readings[1]);
    add("i0", setup_.i0, readings[2]);
  }

  void add_fit(value_map& result) {
    auto& found = fitter_->fit(spectrum_.counts, spectrum_.variance);
    for (std::size_t i = 0; i < setup_.fitted.size(); ++i) {
      result.set(setup_.fitted[i], found.areas[i]);
      result.set(setup_.fitted[i] + "_error", found.errors[i]);
    }
    result.set("chi2", found.chi2);
  }

  /// NaN where nothing is fitted.
  value latest() const {
    value_map spectra{{"counts", array::of(spectrum_.counts)}};
    if (!fitter_) return spectra;
    std::vector<double> fit(spectrum_.counts.size(), not_a_number), background = fit;
    auto first = static_cast<std::ptrdiff_t>(fitter_->first_channel());
    auto fitted = fitter_->fitted();
    auto below = fitter_->background();
    std::copy(fitted.begin(), fitted.end(), fit.begin() + first);
    std::copy(below.begin(), below.end(), background.begin() + first);
    spectra.set("fit", array::of(fit)).set("background", array::of(background));
    return spectra;
  }

  parameters settings_;
  xrf_setup setup_;
  std::optional<scalar_reader> scalars_;
  std::vector<std::string> tags_;    ///< names of the counters, if a header gave them
  std::optional<spectra_form> form_; ///< detector elements and channels, of the scan
  std::optional<xrf_fitter> fitter_;
  summed_spectrum spectrum_;
};

// ---- reducer --------------------------------------------------------------------------------------------

std::runtime_error no_result_of_ours() { return std::runtime_error("the result is none of xrf"); }

double number_in(const value& content, std::string_view name) {
  auto found = content.find(name);
  auto number = found ? found->as_number() : std::nullopt;
  if (!number) throw no_result_of_ours();
  return *number;
}

class xrf_reducer final : public reducer_part {
 public:
  explicit xrf_reducer(const parameters& settings)
      : settings_(settings), setup_(read_setup(settings)), quantities_(setup_.quantities()) {
    if (!setup_.grid) return;
    auto cells = setup_.grid->cells();
    sums_.assign(quantities_.size(), grid_sums(cells));
    variances_.assign(setup_.fitted.size(), grid_sums(cells));
    intensity_.emplace(cells);
    events_in_.assign(cells, 0);
  }

  /// Other maps as colours are shown of the same sums.
  bool change_parameters(const parameters& settings) override {
    if (!differ_only_in({"rgb"}, settings_, settings)) return false;
    setup_.rgb = read_rgb(settings, setup_);
    settings_ = settings;
    return true;
  }

  void process_result(const folded_result& result, const parameters&) override {
    auto& content = result.content;
    check_form(content);
    std::vector<double> found;
    for (auto& name : quantities_) found.push_back(number_in(content, name));
    std::vector<double> errors;
    for (auto& name : setup_.fitted) errors.push_back(number_in(content, name + "_error"));
    auto latest = content.find("latest");
    auto counts = latest ? latest->find("counts") : nullptr;
    if (latest && (!counts || !counts->as_array())) throw no_result_of_ours();
    if (setup_.grid) sort_in(content, found, errors); // the last that may throw
    form_ = *content.find("form");
    ++events_;
    if (latest && result.event && (!latest_event_ || *result.event > *latest_event_)) {
      latest_event_ = result.event;
      latest_ = *latest;
    }
  }

  value published() const override {
    value_map tree{{"_attrs", value_map{{"default", setup_.grid ? "maps" : "latest"}}}};
    if (setup_.grid) tree.set("maps", maps());
    if (setup_.grid && !setup_.rgb.empty()) tree.set("rgb", rgb());
    if (latest_event_) tree.set("latest", latest());
    tree.set("events", events_);
    if (!setup_.grid) return tree;
    tree.set("outside", outside_).set("without_position", without_position_);
    if (!setup_.i0.empty()) tree.set("without_i0", without_i0_);
    return tree;
  }

 private:
  /// Results of different forms don't go into one map.
  void check_form(const value& content) const {
    auto found = content.find("form");
    auto form = found ? found->as_array() : nullptr;
    if (!form || form->type() != dtype::uint64 || form->size() != 2) throw no_result_of_ours();
    if (form_.is_null() || *found == form_) return;
    auto now = form->elements<std::uint64_t>(), first = form_.as_array()->elements<std::uint64_t>();
    throw std::runtime_error(
        fmt::format("spectra of {} detector elements with {} channels, but others had {} with {}", now[0],
                    now[1], first[0], first[1]));
  }

  void sort_in(const value& content, const std::vector<double>& found, const std::vector<double>& errors) {
    auto x = number_in(content, "x"), y = setup_.y.empty() ? 0 : number_in(content, "y");
    auto i0 = setup_.i0.empty() ? 1 : number_in(content, "i0");
    if (!std::isfinite(x) || !std::isfinite(y)) return void(++without_position_);
    auto cell = setup_.grid->cell_of(x, y);
    if (!cell) return void(++outside_);
    if (!(i0 > 0 && std::isfinite(i0))) return void(++without_i0_);
    intensity_->add(*cell, i0);
    for (std::size_t i = 0; i < found.size(); ++i) sums_[i].add(*cell, found[i]);
    for (std::size_t i = 0; i < errors.size(); ++i) variances_[i].add(*cell, errors[i] * errors[i]);
    ++events_in_[*cell];
  }

  /// What sums in a cell are divided by; NaN for a cell that has none.
  double divisor(std::size_t cell) const {
    if (events_in_[cell] == 0) return not_a_number;
    return setup_.i0.empty() ? static_cast<double>(events_in_[cell]) : intensity_->sum(cell);
  }

  std::vector<std::size_t> shape() const {
    return setup_.y.empty() ? std::vector{setup_.grid->x.cells} : setup_.grid->shape();
  }

  std::vector<double> map_of(std::size_t quantity) const {
    std::vector<double> map(setup_.grid->cells());
    for (std::size_t c = 0; c < map.size(); ++c) map[c] = sums_[quantity].sum(c) / divisor(c);
    return map;
  }

  std::vector<double> errors_of(std::size_t fitted) const {
    std::vector<double> map(setup_.grid->cells());
    for (std::size_t c = 0; c < map.size(); ++c) map[c] = std::sqrt(variances_[fitted].sum(c)) / divisor(c);
    return map;
  }

  void add_axes(value_map& group) const {
    set_with_attributes(group, "x", setup_.grid->x.middles(), data_attributes(setup_.x));
    if (!setup_.y.empty())
      set_with_attributes(group, "y", setup_.grid->y.middles(), data_attributes(setup_.y));
  }

  std::vector<std::string> axes() const {
    return setup_.y.empty() ? std::vector<std::string>{"x"} : std::vector<std::string>{"y", "x"};
  }

  value maps() const {
    auto unit = setup_.i0.empty() ? "counts" : "counts per unit of i0";
    auto interpretation = setup_.y.empty() ? "spectrum" : "image";
    value_map group{{"_attrs", plot_attributes(quantities_.front(), axes(),
                                               {quantities_.begin() + 1, quantities_.end()})}};
    auto add = [&](const std::string& name, const std::vector<double>& map) {
      set_with_attributes(group, name, array::of(std::span<const double>(map), shape()),
                          data_attributes(name, unit, interpretation));
    };
    for (std::size_t i = 0; i < quantities_.size(); ++i) add(quantities_[i], map_of(i));
    for (std::size_t i = 0; i < setup_.fitted.size(); ++i) add(setup_.fitted[i] + "_errors", errors_of(i));
    set_with_attributes(group, "events_in_cell",
                        array::of(std::span<const std::uint32_t>(events_in_), shape()),
                        data_attributes("events in each cell", {}, interpretation));
    add_axes(group);
    return group;
  }

  /// Each colour from 0 to its largest value; black where there is none.
  value rgb() const {
    std::vector<std::uint8_t> pixels(3 * setup_.grid->cells(), 0);
    value_map group;
    constexpr const char* colours[] = {"red", "green", "blue"};
    for (std::size_t colour = 0; colour < 3; ++colour) {
      auto place = std::find(quantities_.begin(), quantities_.end(), setup_.rgb[colour]);
      auto map = map_of(static_cast<std::size_t>(place - quantities_.begin()));
      double most = 0;
      for (auto x : map) most = x > most ? x : most;
      for (std::size_t c = 0; c < map.size(); ++c)
        if (map[c] > 0) pixels[3 * c + colour] = static_cast<std::uint8_t>(std::lround(255 * map[c] / most));
      group.set(colours[colour], setup_.rgb[colour]).set(fmt::format("{}_most", colours[colour]), most);
    }
    auto with_colours = setup_.grid->shape();
    with_colours.push_back(3);
    set_with_attributes(group, "image", array::of(std::span<const std::uint8_t>(pixels), with_colours),
                        data_attributes(fmt::format("{}", fmt::join(setup_.rgb, ", ")), {}, "rgb-image"));
    set_with_attributes(group, "x", setup_.grid->x.middles(), data_attributes(setup_.x));
    set_with_attributes(group, "y", setup_.grid->y.middles(), data_attributes(setup_.y));
    group.set("_attrs", plot_attributes("image", {"y", "x", "."}));
    return group;
  }

  value latest() const {
    auto group = *latest_.as_map();
    auto channels = group.find("counts")->as_array()->size();
    std::vector<double> energies(channels);
    for (std::size_t c = 0; c < channels; ++c)
      energies[c] = setup_.model.response.energy(static_cast<double>(c));
    set_with_attributes(group, "energy", array::of(energies), data_attributes("energy", "keV"));
    group.set("event", latest_event_->value);
    auto attributes = plot_attributes("counts", {"energy"});
    if (group.find("fit")) attributes = plot_attributes("counts", {"energy"}, {"fit", "background"});
    attributes.set("SILX_style", R"({"signal_scale_type":"log","axes_scale_types":["linear"]})");
    group.set("_attrs", std::move(attributes));
    return group;
  }

  parameters settings_;
  xrf_setup setup_;
  const std::vector<std::string> quantities_;
  value form_;
  std::vector<grid_sums> sums_, variances_; ///< of each quantity, and of each that is fitted
  std::optional<grid_sums> intensity_;
  std::vector<std::uint32_t> events_in_;
  std::uint64_t events_ = 0, outside_ = 0, without_position_ = 0, without_i0_ = 0;
  std::optional<event_number> latest_event_;
  value latest_;
};

class xrf_analysis final : public analysis {
 public:
  std::string_view name() const override { return "xrf"; }
  std::string_view description() const override {
    return "X-ray fluorescence: element lines fitted to spectra, maps by position";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the Xspress3; empty: the first of each event"},
        {"elements", text, "", "what is fitted, e.g. Ca, Fe_K, Pb_L3; empty: nothing"},
        {"energy", real, "0", "of the beam, keV"},
        {"zero", real, "0", "energy of channel 0, keV"},
        {"gain", real, "0.01", "energy from channel to channel, keV"},
        {"noise", real, "0.1", "full width at half maximum at energy 0, keV"},
        {"fano", real, "0.114", "Fano factor"},
        {"fit_range", text, "",
         "energies that are fitted, e.g. 2:12.5, keV; empty: from 1 to the elastic peak"},
        {"background", text, "smooth", "smooth: fitted along; snip: taken off beforehand; none"},
        {"background_step", real, "1", "distance of the knots of a smooth background, keV"},
        {"snip_width", integer, "0",
         "channels; 0: twice the full width at half maximum of the broadest peak"},
        {"weights", text, "model", "of channels: model, counts (1 / counts) or equal"},
        {"escape", boolean, "True", "add escape peaks of silicon to the lines"},
        {"scatter", boolean, "True", "fit the elastic and the Compton peak"},
        {"angle", real, "90", "of scattering, degrees"},
        {"compton_width", real, "1.5", "of the Compton peak, relative to that of a line"},
        {"regions", text, "", "windows in which counts are summed, e.g. Fe_Ka=6.2:6.6, Cu_Ka=7.8:8.3, keV"},
        {"dead_time", boolean, "True", "correct each detector element for its dead time"},
        {"detector_elements", text, "", "which are summed, from 0, e.g. 0,1,3; empty: all"},
        {"x", text, "", "position along rows of the map, e.g. contrast:sx"},
        {"y", text, "", "position from row to row, e.g. contrast:sy; empty: a scan along x alone"},
        {"x_grid", text, "", "middles of first and last cell and number of cells, e.g. 0:39.5:80"},
        {"y_grid", text, "", "the same along y"},
        {"i0", text, "", "incident intensity that maps are divided by, e.g. alba:channel1; empty: none"},
        {"rgb", text, "", "three maps as red, green and blue; empty: the first three elements"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    auto setup = read_setup(settings);
    std::vector<result_description> results;
    auto add = [&](const std::string& name, std::string_view unit) {
      results.push_back({.name = name, .unit = std::string(unit)});
    };
    for (auto& name : setup.fitted) {
      add(name, "counts");
      add(name + "_error", "counts");
    }
    if (setup.fits()) add("chi2", "");
    for (auto& region : setup.regions) add(region.name, "counts");
    add("counts", "counts");
    if (!setup.x.empty()) add("x", "");
    if (!setup.y.empty()) add("y", "");
    if (!setup.i0.empty()) add("i0", "");
    results.push_back({.name = "events", .type = dtype::uint64, .extent = result_extent::per_scan});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<xrf_worker>(settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return std::make_unique<xrf_reducer>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_xrf_analysis() { return std::make_unique<xrf_analysis>(); }

} // namespace dtranspose
