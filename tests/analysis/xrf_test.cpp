#include "analysis/xrf.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <stdexcept>

#include <gmock/gmock.h>

#include "analysis/registry.hpp"
#include "analysis/streams.hpp"

namespace dtranspose {
namespace {

using streams::made_event;
using testing::AllOf;
using testing::HasSubstr;

using settings_of = std::map<std::string, std::string>;

constexpr std::size_t channels = 1400;

/// Iron's K-alpha lines alone would do, if the fit did not know better: so all of them.
std::vector<std::uint32_t> spectrum_of(double iron, double elastic = 0) {
  std::vector<double> counts(channels, 0.0);
  auto add = [&](double energy, double area) {
    auto sigma = std::sqrt(0.01 + 2.3548 * 2.3548 * 0.00385 * 0.114 * energy) / 2.3548;
    for (std::size_t c = 0; c < channels; ++c) {
      auto off = (0.01 * static_cast<double>(c) - energy) / sigma;
      counts[c] += area * 0.01 / sigma / std::sqrt(2 * std::numbers::pi) * std::exp(-off * off / 2);
    }
  };
  add(6.4039, 0.584 * iron);
  add(6.3909, 0.298 * iron);
  add(7.058, 0.118 * iron);
  add(12, elastic);
  std::vector<std::uint32_t> rounded;
  for (auto c : counts) rounded.push_back(static_cast<std::uint32_t>(std::lround(c)));
  return rounded;
}

stream_data spectra(const std::vector<std::vector<std::uint32_t>>& elements, const std::vector<double>& dtc) {
  std::vector<std::uint32_t> all;
  for (auto& e : elements) all.insert(all.end(), e.begin(), e.end());
  return streams::xspress3(all, dtc);
}

/// The analysis with its two parts.
class xrf {
 public:
  explicit xrf(const settings_of& set)
      : analysis_(make_xrf_analysis()), settings_(complete_parameters(*analysis_, set)),
        worker_(analysis_->make_worker(settings_)), reducer_(analysis_->make_reducer(settings_)) {}

  answer process(const made_event& e, bool tick = false) {
    return worker_->process_event(e.view(), settings_, tick);
  }
  answer process(stream_data data, bool tick = false) {
    return process(made_event({{"xspress3", std::move(data)}}), tick);
  }
  double number(const answer& a, std::string_view name) {
    auto found = a.what() == answer::kind::result ? a.content().find(name) : nullptr;
    return found ? found->as_number().value_or(NAN) : NAN;
  }
  std::string failure(const made_event& e) {
    try {
      process(e);
      return {};
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  std::string failure(stream_data data) { return failure(made_event({{"xspress3", std::move(data)}})); }

  void fold(const value& content, std::uint64_t number = 1) {
    reducer_->process_result({event_number(number), 1, worker_index(0), content}, settings_);
  }
  void fold(const answer& a, std::uint64_t number = 1) {
    ASSERT_EQ(a.what(), answer::kind::result);
    fold(a.content(), number);
  }
  /// Does the reducer go on with these parameters?
  bool goes_on(const settings_of& set) {
    return reducer_->change_parameters(complete_parameters(*analysis_, set));
  }
  value tree() const { return reducer_->published(); }
  std::vector<double> map(std::string_view name) const {
    auto maps = tree();
    auto elements = maps.find("maps")->find(name)->as_array()->elements<double>();
    return {elements.begin(), elements.end()};
  }

 private:
  std::unique_ptr<analysis> analysis_;
  parameters settings_;
  std::unique_ptr<worker_part> worker_;
  std::unique_ptr<reducer_part> reducer_;
};

settings_of iron(settings_of more = {}) {
  settings_of all{{"elements", "Fe"}, {"energy", "12"}, {"escape", "False"}};
  more.merge(all);
  return more;
}

settings_of mapped(settings_of more = {}) {
  settings_of all{{"x", "contrast:sx"},
                  {"x_grid", "0:3:4"},
                  {"y", "contrast:sy"},
                  {"y_grid", "0:2:3"},
                  {"i0", "alba:channel1"}};
  more.merge(all);
  return iron(std::move(more));
}

made_event point(double x, double y, double i0, double amount, std::uint64_t number = 1) {
  return made_event({{"xspress3", spectra({spectrum_of(amount)}, {1})},
                     {"contrast", streams::contrast({{"sx", x}, {"sy", y}})},
                     {"alba", streams::alba({{1, i0}})}},
                    {}, number);
}

TEST(xrf, sums_detector_elements_corrected_for_their_dead_time) {
  xrf a(iron({{"regions", "Ka=6.2:6.6, all=0:100, none=20:30"}}));
  auto found = a.process(spectra({spectrum_of(1e5), spectrum_of(5e4)}, {1.5, 2}));
  EXPECT_NEAR(a.number(found, "Fe_K"), 2.5e5, 500);
  EXPECT_NEAR(a.number(found, "counts"), 2.5e5, 500);
  EXPECT_EQ(a.number(found, "all"), a.number(found, "counts"));
  EXPECT_EQ(a.number(found, "none"), 0);
  EXPECT_NEAR(a.number(found, "Ka"), 2.5e5 * 0.882, 2000);
  // The counts are fewer than they stand for.
  auto variance = 1.5 * 1.5 * 1e5 + 2 * 2 * 5e4;
  EXPECT_NEAR(a.number(found, "Fe_K_error"), std::sqrt(variance), 0.03 * std::sqrt(variance));
  EXPECT_LT(a.number(found, "chi2"), 1);
}

TEST(xrf, takes_the_detector_elements_that_are_wanted) {
  auto data = spectra({spectrum_of(1e5), spectrum_of(3e4), spectrum_of(7e4)}, {1, 1, NAN});
  xrf some(iron({{"detector_elements", "0, 1"}}));
  EXPECT_NEAR(some.number(some.process(data), "Fe_K"), 1.3e5, 300);
  xrf none(iron({{"detector_elements", "3"}}));
  EXPECT_THAT(none.failure(data), AllOf(HasSubstr("no element 3"), HasSubstr("detector has 3")));
  xrf plain(iron({{"dead_time", "False"}}));
  EXPECT_NEAR(plain.number(plain.process(data), "Fe_K"), 2e5, 500);
}

TEST(xrf, a_correction_that_is_none_is_refused_unless_there_is_nothing_to_correct) {
  xrf a(iron());
  for (auto factor : {std::numeric_limits<double>::quiet_NaN(), 0.0, -1.0, HUGE_VAL})
    EXPECT_THAT(a.failure(spectra({spectrum_of(100), spectrum_of(1e5)}, {1, factor})),
                AllOf(HasSubstr("detector element 1"), HasSubstr("dead-time correction of")));
  auto found = a.process(spectra({spectrum_of(1e5), std::vector<std::uint32_t>(channels)}, {1, NAN}));
  EXPECT_NEAR(a.number(found, "Fe_K"), 1e5, 300);
}

TEST(xrf, counters_are_found_by_the_names_of_the_start) {
  std::vector<array> counters(8, array::of(std::vector<double>{7.0}));
  counters[2] = array::of(std::vector<double>{2.0});
  std::string header;
  write_xspress3_image(header, {.channels = 1, .bins = channels});
  auto pixels = spectrum_of(1e5);
  auto bytes = std::as_bytes(std::span(pixels));
  auto data = streams::message(
      xspress3_type_tag,
      {streams::bytes_of(header), {bytes.begin(), bytes.end()}, write_xspress3_meta(counters)});
  xrf a(iron());
  auto start = streams::xspress3_start({"a", "b", "dead_time_correction", "d", "e", "f", "g", "h"});
  EXPECT_EQ(a.process(start).what(), answer::kind::nothing);
  EXPECT_NEAR(a.number(a.process(data), "Fe_K"), 2e5, 500);
  auto without = streams::xspress3_start({"a", "b", "c", "d", "e", "f", "g", "h"});
  EXPECT_EQ(a.process(without).what(), answer::kind::nothing);
  EXPECT_THAT(a.failure(data), HasSubstr("dead_time = false"));
}

TEST(xrf, starts_and_ends_and_other_streams_are_nothing) {
  xrf a(iron());
  EXPECT_EQ(a.process(streams::xspress3_start()).what(), answer::kind::nothing);
  EXPECT_EQ(a.process(streams::xspress3_end()).what(), answer::kind::nothing);
  EXPECT_EQ(a.process(made_event({{"alba", streams::alba({{1, 1}})}})).what(), answer::kind::nothing);
  EXPECT_EQ(a.process(made_event({}, {"xspress3"})).what(), answer::kind::nothing);
  xrf named(iron({{"stream", "alba"}}));
  EXPECT_THAT(named.failure(made_event({{"alba", streams::alba({{1, 1}})}})),
              AllOf(HasSubstr("'alba'"), HasSubstr("parameter 'stream'")));
}

TEST(xrf, spectra_without_counts_are_zero) {
  xrf a(iron({{"regions", "Ka=6.2:6.6"}}));
  auto found = a.process(spectra({std::vector<std::uint32_t>(channels)}, {1}));
  for (auto name : {"Fe_K", "elastic", "compton", "Ka", "counts", "chi2"})
    EXPECT_EQ(a.number(found, name), 0) << name;
  EXPECT_EQ(a.number(found, "Fe_K_error"), 1);
}

TEST(xrf, the_form_of_spectra_may_not_change) {
  xrf a(iron());
  a.process(spectra({spectrum_of(100)}, {1}));
  auto shorter = spectrum_of(100);
  shorter.resize(1300);
  EXPECT_THAT(a.failure(spectra({shorter}, {1})), AllOf(HasSubstr("1300 channels"), HasSubstr("1400")));
  EXPECT_THAT(a.failure(spectra({spectrum_of(100), spectrum_of(100)}, {1, 1})),
              HasSubstr("2 detector elements"));
  EXPECT_EQ(a.failure(spectra({spectrum_of(100)}, {1})), "");
  // Nor between workers.
  xrf reducer(iron()), other(iron());
  reducer.fold(reducer.process(spectra({spectrum_of(100)}, {1})));
  auto twice = other.process(spectra({spectrum_of(100), spectrum_of(100)}, {1, 1}));
  EXPECT_THROW(reducer.fold(twice), std::runtime_error);
  EXPECT_EQ(std::get<std::uint64_t>(reducer.tree().find("events")->content()), 1u);
}

TEST(xrf, a_spectrum_that_ends_before_the_fit_is_refused_and_not_the_last_word) {
  xrf a(iron());
  auto low = spectrum_of(100);
  low.resize(300); // up to 3 keV
  EXPECT_THROW(a.process(spectra({low}, {1})), std::invalid_argument);
  EXPECT_EQ(a.failure(spectra({spectrum_of(100)}, {1})), "");
}

TEST(xrf, counts_that_are_no_numbers_are_refused) {
  xrf a(iron());
  std::vector<float> counts(channels, 1);
  EXPECT_EQ(a.failure(streams::xspress3(counts, {1})), "");
  counts[600] = NAN;
  EXPECT_THAT(a.failure(streams::xspress3(counts, {1})), HasSubstr("no finite numbers"));
}

TEST(xrf, maps_are_by_position_and_normalised) {
  xrf a(mapped());
  a.fold(a.process(point(3.2, 1.9, 2e-7, 1000)));
  a.fold(a.process(point(0, 0, 1e-7, 5000)));
  a.fold(a.process(point(0.1, 0.1, 3e-7, 1000))); // the same cell
  auto map = a.map("counts"), errors = a.map("Fe_K_errors"), iron_map = a.map("Fe_K");
  EXPECT_NEAR(map[0], 6000 / 4e-7, 50 / 4e-7);
  EXPECT_NEAR(map[11], 1000 / 2e-7, 20 / 2e-7);
  EXPECT_NEAR(iron_map[11], 1000 / 2e-7, 20 / 2e-7);
  EXPECT_NEAR(errors[11], std::sqrt(1000.0) / 2e-7, 2 / 2e-7);
  for (int cell = 1; cell < 11; ++cell) EXPECT_TRUE(std::isnan(map[cell])) << cell;
  auto events = a.tree().find("maps")->find("events_in_cell")->as_array()->elements<std::uint32_t>()[0];
  EXPECT_EQ(events, 2u);
}

TEST(xrf, without_i0_cells_have_means) {
  auto set = mapped({{"i0", ""}});
  xrf a(set);
  a.fold(a.process(point(0, 0, 1, 5000)));
  a.fold(a.process(point(0, 0, 1, 1000)));
  EXPECT_NEAR(a.map("counts")[0], 3000, 30);
}

std::uint64_t count(const xrf& a, std::string_view name) {
  return std::get<std::uint64_t>(a.tree().find(name)->content());
}

TEST(xrf, events_without_a_place_or_an_intensity_are_counted_and_in_no_map) {
  xrf a(mapped());
  for (auto x : {NAN, INFINITY}) a.fold(a.process(point(x, 0, 1, 100)));
  for (auto x : {-0.6, 3.6, 1e300}) a.fold(a.process(point(x, 0, 1, 100)));
  for (auto i0 : {0.0, -1.0}) a.fold(a.process(point(1, 1, i0, 100)));
  made_event lacking({{"xspress3", spectra({spectrum_of(100)}, {1})}, {"alba", streams::alba({{1, 1}})}},
                     {"contrast"});
  a.fold(a.process(lacking));
  made_event dark({{"xspress3", spectra({spectrum_of(100)}, {1})},
                   {"contrast", streams::contrast({{"sx", 1.0}, {"sy", 1.0}})}},
                  {"alba"});
  a.fold(a.process(dark));
  EXPECT_EQ(count(a, "events"), 9u);
  EXPECT_EQ(count(a, "without_position"), 3u);
  EXPECT_EQ(count(a, "outside"), 3u);
  EXPECT_EQ(count(a, "without_i0"), 3u);
  for (auto x : a.map("counts")) EXPECT_TRUE(std::isnan(x));
}

TEST(xrf, streams_that_are_not_sent_and_fields_that_are_not_there_are_named) {
  xrf a(mapped());
  auto data = spectra({spectrum_of(100)}, {1});
  EXPECT_THAT(a.failure(made_event({{"xspress3", data}, {"alba", streams::alba({{1, 1}})}})),
              AllOf(HasSubstr("parameter 'x'"), HasSubstr("contrast:sx")));
  EXPECT_THAT(a.failure(made_event({{"xspress3", data},
                                    {"contrast", streams::contrast({{"sx", 1.0}, {"sz", 1.0}})},
                                    {"alba", streams::alba({{1, 1}})}})),
              AllOf(HasSubstr("'contrast'"), HasSubstr("no number 'sy'"), HasSubstr("sx, sz")));
  EXPECT_THAT(
      a.failure(made_event(
          {{"xspress3", data}, {"contrast", streams::contrast_start()}, {"alba", streams::alba({{1, 1}})}})),
      HasSubstr("a start or an end"));
}

TEST(xrf, maps_do_not_depend_on_the_order_of_folding) {
  std::mt19937 random(1);
  xrf worker(mapped({{"elements", "Fe, Cu"}}));
  std::vector<value> results;
  for (int i = 0; i < 200; ++i)
    results.push_back(worker
                          .process(point(random() % 4, random() % 3, 1e-7 * (1 + random() % 100),
                                         static_cast<double>(random() % 5000)))
                          .content());
  std::optional<value> first;
  for (int turn = 0; turn < 5; ++turn) {
    xrf a(mapped({{"elements", "Fe, Cu"}}));
    for (auto& r : results) a.fold(r);
    auto maps = *a.tree().find("maps");
    if (!first) first = maps;
    EXPECT_EQ(maps, *first);
    std::shuffle(results.begin(), results.end(), random);
  }
}

TEST(xrf, the_tree_opens_as_a_plot) {
  xrf a(mapped({{"elements", "Fe, Ca, Cu"}, {"rgb", "Cu, Fe, counts"}}));
  a.fold(a.process(point(0, 0, 1, 5000)));
  a.fold(a.process(point(2, 0, 1, 2500)));
  auto tree = a.tree();
  EXPECT_EQ(*tree.find("_attrs")->find("default")->as_text(), "maps");
  auto& maps = *tree.find("maps");
  auto& attributes = *maps.find("_attrs");
  EXPECT_EQ(*attributes.find("NX_class")->as_text(), "NXdata");
  EXPECT_EQ(*attributes.find("signal")->as_text(), "Fe_K");
  for (auto& axis : *attributes.find("axes")->as_list()) ASSERT_NE(maps.find(*axis.as_text()), nullptr);
  EXPECT_EQ(maps.find("Fe_K")->as_array()->shape(), (std::vector<std::size_t>{3, 4}));
  EXPECT_EQ(maps.find("y")->as_array()->shape(), (std::vector<std::size_t>{3}));
  for (auto& name : *attributes.find("auxiliary_signals")->as_list())
    EXPECT_EQ(maps.find(*name.as_text())->as_array()->shape(), maps.find("Fe_K")->as_array()->shape());
  auto pixels = tree.find("rgb")->find("image")->as_array();
  EXPECT_EQ(pixels->shape(), (std::vector<std::size_t>{3, 4, 3}));
  auto colours = pixels->elements<std::uint8_t>();
  EXPECT_EQ(colours[1], 255);
  EXPECT_NEAR(colours[7], 128, 2); // half as much iron
  EXPECT_EQ(colours[4], 0);        // no event there
  EXPECT_EQ(*tree.find("rgb")->find("red")->as_text(), "Cu_K");
}

TEST(xrf, other_maps_as_colours_are_no_reason_to_begin_anew) {
  xrf a(mapped({{"elements", "Fe, Ca, Cu"}, {"rgb", "Cu, Fe, counts"}}));
  a.fold(a.process(point(0, 0, 1, 5000)));
  EXPECT_TRUE(a.goes_on(mapped({{"elements", "Fe, Ca, Cu"}, {"rgb", "Ca, Fe, counts"}})));
  EXPECT_EQ(*a.tree().find("rgb")->find("red")->as_text(), "Ca_K");
  EXPECT_EQ(a.tree().find("events")->as_number(), 1.0);
  EXPECT_FALSE(a.goes_on(mapped({{"elements", "Fe, Ca"}, {"rgb", "Ca, Fe, counts"}})));
  EXPECT_THROW(a.goes_on(mapped({{"elements", "Fe, Ca, Cu"}, {"rgb", "Zn, Fe, counts"}})),
               std::invalid_argument);
  EXPECT_EQ(*a.tree().find("rgb")->find("red")->as_text(), "Ca_K");
}

TEST(xrf, a_scan_along_one_axis_is_a_curve) {
  xrf a(iron({{"x", "contrast:sx"}, {"x_grid", "0:3:4"}}));
  a.fold(a.process(point(1, 0, 1, 5000)));
  auto maps = *a.tree().find("maps");
  EXPECT_EQ(maps.find("Fe_K")->as_array()->shape(), (std::vector<std::size_t>{4}));
  EXPECT_EQ(maps.find("_attrs")->find("axes")->as_list()->size(), 1u);
  EXPECT_EQ(maps.find("y"), nullptr);
}

TEST(xrf, passes_on_a_spectrum_with_its_fit_on_a_tick) {
  xrf a(iron());
  EXPECT_EQ(a.tree().find("latest"), nullptr);
  a.fold(a.process(spectra({spectrum_of(1000)}, {1}), true), 8);
  a.fold(a.process(spectra({spectrum_of(10)}, {1}), true), 3); // folded later, but older
  a.fold(a.process(spectra({spectrum_of(10)}, {1})), 20);
  auto tree = a.tree();
  auto& latest = *tree.find("latest");
  EXPECT_EQ(std::get<std::uint64_t>(latest.find("event")->content()), 8u);
  auto counts = latest.find("counts")->as_array()->elements<double>();
  auto fit = latest.find("fit")->as_array()->elements<double>();
  ASSERT_EQ(counts.size(), channels);
  ASSERT_EQ(fit.size(), channels);
  EXPECT_NEAR(fit[640], counts[640], 2);
  EXPECT_TRUE(std::isnan(fit[50]));
  EXPECT_DOUBLE_EQ(latest.find("energy")->as_array()->elements<double>()[640], 6.4);
  EXPECT_EQ(*tree.find("_attrs")->find("default")->as_text(), "latest");
}

TEST(xrf, without_elements_there_are_regions_and_counts) {
  xrf a(settings_of{{"regions", "Ka=6.2:6.6"}});
  auto found = a.process(spectra({spectrum_of(1e4)}, {2}), true);
  EXPECT_NEAR(a.number(found, "Ka"), 2e4 * 0.882, 200);
  a.fold(found);
  EXPECT_EQ(a.tree().find("latest")->find("fit"), nullptr);
}

TEST(xrf, results_of_something_else_are_refused) {
  xrf a(mapped());
  auto good = a.process(point(1, 1, 1, 100)).content();
  EXPECT_THROW(a.fold(value()), std::runtime_error);
  EXPECT_THROW(a.fold(value(3)), std::runtime_error);
  for (auto key : {"Fe_K", "Fe_K_error", "form", "x", "i0", "counts"}) {
    value_map less;
    for (auto& [name, content] : *good.as_map())
      if (name != key) less.set(name, content);
    EXPECT_THROW(a.fold(value(less)), std::runtime_error) << key;
  }
  auto strange = *good.as_map();
  strange.set("latest", 5);
  EXPECT_THROW(a.fold(value(strange)), std::runtime_error);
  EXPECT_EQ(count(a, "events"), 0u);
  for (auto x : a.map("counts")) EXPECT_TRUE(std::isnan(x));
}

TEST(xrf, parameters_that_cannot_be_used_are_named) {
  struct {
    settings_of set;
    const char *parameter, *why;
  } cases[] = {
      {iron({{"elements", "Fe, Xx"}}), "'elements'", "'Xx' is no element"},
      {iron({{"elements", "Fe,"}}), "'elements'", "'' is no element"},
      {iron({{"elements", "Fe, Fe"}}), "'elements'", "told apart"},
      {iron({{"elements", "Mo_K"}}), "'elements'", "no lines at 12 keV"},
      {iron({{"energy", "0"}}), "'energy'", "not within"},
      {iron({{"energy", "nan"}}), "'energy'", "not within"},
      {iron({{"gain", "0"}}), "'gain'", "not within"},
      {iron({{"gain", "-0.01"}}), "'gain'", "not within"},
      {iron({{"gain", "1e-6"}}), "'gain'", "channel"},
      {iron({{"zero", "inf"}}), "'zero'", "not within"},
      {iron({{"noise", "0"}}), "'noise'", "not within"},
      {iron({{"fano", "-1"}}), "'fano'", "not within"},
      {iron({{"angle", "200"}}), "'angle'", "not within"},
      {iron({{"compton_width", "0"}}), "'compton_width'", "not within"},
      {iron({{"background_step", "0"}}), "'background_step'", "not within"},
      {iron({{"snip_width", "-1"}}), "'snip_width'", "not within"},
      {iron({{"fit_range", "5"}}), "'fit_range'", "'5'"},
      {iron({{"fit_range", "5:4"}}), "'fit_range'", "'5:4'"},
      {iron({{"fit_range", "2:5"}}), "'fit_range'", "no lines"},
      {iron({{"background", "polynomial"}}), "'background'", "smooth, snip and none"},
      {iron({{"weights", "x"}}), "'weights'", "model, counts and equal"},
      {iron({{"regions", "Ka"}}), "'regions'", "'Ka'"},
      {iron({{"regions", "K a=1:2"}}), "'regions'", "'K a=1:2'"},
      {iron({{"regions", "a=1:2, a=3:4"}}), "'regions'", "two results named a"},
      {iron({{"regions", "Fe_K=1:2"}}), "'regions'", "two results named Fe_K"},
      {iron({{"regions", "maps=1:2"}}), "'regions'", "two results named maps"},
      {iron({{"detector_elements", "1,-1"}}), "'detector_elements'", "'-1'"},
      {iron({{"detector_elements", "1,1"}}), "'detector_elements'", "twice"},
      {iron({{"x", "sx"}, {"x_grid", "0:1:2"}}), "'x'", "'sx'"},
      {iron({{"x", "contrast:sx"}}), "'x_grid'", "go together"},
      {iron({{"y_grid", "0:1:2"}}), "'y'", "go together"},
      {iron({{"y", "c:y"}, {"y_grid", "0:1:2"}}), "'y'", "needs 'x'"},
      {mapped({{"x_grid", "0:1:0"}}), "'x_grid'", "no cells"},
      {mapped({{"x_grid", "0:1:100000"}, {"y_grid", "0:1:100000"}}), "'x_grid'", "memory"},
      {iron({{"i0", "alba"}}), "'i0'", "'alba'"},
      {iron({{"rgb", "Fe, Ca, counts"}}), "'rgb'", "no map of 'Ca'"},
      {iron({{"rgb", "Fe, counts"}}), "'rgb'", "takes three"},
  };
  auto analysis = make_xrf_analysis();
  for (auto& c : cases) try {
      analysis->describe_results(complete_parameters(*analysis, c.set));
      ADD_FAILURE() << c.parameter << " " << c.why;
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), AllOf(HasSubstr(c.parameter), HasSubstr(c.why)));
    }
}

TEST(xrf, describes_what_workers_give) {
  auto analysis = make_xrf_analysis();
  auto settings = complete_parameters(*analysis, mapped({{"regions", "Ka=6.2:6.6"}}));
  xrf a(mapped({{"regions", "Ka=6.2:6.6"}}));
  auto found = a.process(point(1, 1, 1, 100));
  for (auto& r : analysis->describe_results(settings))
    if (r.extent == result_extent::per_event) {
      EXPECT_FALSE(std::isnan(a.number(found, r.name))) << r.name;
    }
  EXPECT_NO_THROW(analysis->describe_results(complete_parameters(*analysis, {})));
}

} // namespace
} // namespace dtranspose
