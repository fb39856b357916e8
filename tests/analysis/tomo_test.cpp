#include "analysis/tomo.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include <gmock/gmock.h>

#include "analysis/images.hpp"
#include "analysis/phantoms.hpp"
#include "analysis/registry.hpp"
#include "analysis/streams.hpp"

namespace dtranspose {
namespace {

using test::disk;
using test::numbers;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using settings_of = std::map<std::string, std::string>;

constexpr std::size_t rows = 4, columns = 96;
constexpr double axis = 49.3;
const std::vector<disk> sample = {{0, 0, 40, 0.02}, {15, 5, 8, 0.03}, {-12, -20, 6, -0.015}};
/// Rows 2 and 3 see this one.
const std::vector<disk> other_sample = {{2, -3, 38, 0.02}, {-15, 10, 9, 0.03}};

double dark_at(std::size_t column) { return 100 + static_cast<double>(column % 5); }
double light_at(std::size_t row, std::size_t column) {
  return 20'000 - 500 * static_cast<double>(row) - 20 * std::abs(static_cast<double>(column) - 40);
}

using image_pixels = std::vector<std::uint16_t>;

image_pixels exposed(const std::function<double(std::size_t row, std::size_t column)>& share) {
  image_pixels pixels;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c)
      pixels.push_back(static_cast<std::uint16_t>(std::lround(dark_at(c) + share(r, c) * light_at(r, c))));
  return pixels;
}

image_pixels projection_at(double angle) {
  auto low = test::projection_of(sample, angle, axis, columns);
  auto high = test::projection_of(other_sample, angle, axis, columns);
  return exposed(
      [&](std::size_t r, std::size_t c) { return std::exp(-static_cast<double>(r < 2 ? low[c] : high[c])); });
}

image_pixels dark() {
  return exposed([](auto, auto) { return 0.0; });
}
image_pixels flat() {
  return exposed([](auto, auto) { return 1.0; });
}

/// An image with an angle, as an electrometer reads it.
streams::made_event shot(const image_pixels& pixels, double angle, std::uint64_t number) {
  return streams::made_event(
      {{"orca", test::image({rows, columns}, pixels)}, {"alba", streams::alba({{1, angle}})}}, {}, number);
}

settings_of usual(settings_of more = {}) {
  more.merge(settings_of{
      {"stream", "orca"}, {"angle", "alba:channel1"}, {"rows", "0, 3"}, {"darks", "2"}, {"flats", "3"}});
  return more;
}

/// One worker and the reducer, driven by hand.
class tomo {
 public:
  explicit tomo(const settings_of& set = usual())
      : analysis_(make_tomo_analysis()), settings_(complete_parameters(*analysis_, set)),
        worker_(analysis_->make_worker(settings_)), reducer_(analysis_->make_reducer(settings_)) {
    analysis_->describe_results(settings_);
  }

  answer map(const streams::made_event& e) { return worker_->process_event(e.view(), settings_, false); }
  void fold(const answer& a, std::uint64_t number) {
    reducer_->process_result({event_number(number), 1, worker_index(0), a.content()}, settings_);
  }
  void take(const image_pixels& pixels, double angle, std::uint64_t number) {
    fold(map(shot(pixels, angle, number)), number);
  }
  /// Why it fails.
  std::string failure(const streams::made_event& e) {
    try {
      auto a = map(e);
      if (a.what() == answer::kind::result) fold(a, e.view().number().value);
      return {};
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  std::string failure(const image_pixels& pixels, double angle, std::uint64_t number) {
    return failure(shot(pixels, angle, number));
  }

  void references() {
    for (std::uint64_t n = 1; n <= 2; ++n) take(dark(), 0, n);
    for (std::uint64_t n = 3; n <= 5; ++n) take(flat(), 0, n);
  }
  /// `n` projections over `range` degrees, as far as `wanted` says so.
  void scan(std::size_t n, double range = 180, const std::function<bool(std::size_t)>& wanted = {}) {
    for (std::size_t i = 0; i < n; ++i) {
      auto angle = static_cast<double>(i) * range / static_cast<double>(n);
      if (!wanted || wanted(i)) take(projection_at(angle), angle, 6 + i);
    }
  }
  void tick(int times = 1) {
    for (int i = 0; i < times; ++i) reducer_->timer(settings_);
  }
  void finish() { reducer_->finish(settings_); }

  /// Does the reducer part go on?
  bool change(const settings_of& set) {
    settings_ = complete_parameters(*analysis_, set);
    EXPECT_TRUE(worker_->change_parameters(settings_));
    return reducer_->change_parameters(settings_);
  }

  value tree() const { return reducer_->published(); }
  double number(std::string_view name) const { return test::number(tree(), name); }
  std::string text(std::string_view name) const {
    auto all = tree();
    auto found = all.find(name);
    return found && found->as_text() ? *found->as_text() : std::string();
  }
  value group(std::string_view name) const {
    auto all = tree();
    auto found = all.find(name);
    return found ? value(*found) : value();
  }
  std::vector<float> slices() const { return numbers<float>(group("slices"), "slice"); }
  /// What slice `l` is off, edges left out.
  double error(std::size_t l = 0) const {
    auto all = slices();
    return test::error_of(all.data() + l * columns * columns, columns, l == 0 ? sample : other_sample, 44);
  }

 private:
  std::unique_ptr<analysis> analysis_;
  parameters settings_;
  std::unique_ptr<worker_part> worker_;
  std::unique_ptr<reducer_part> reducer_;
};

constexpr double good = 6e-4; ///< of a density of 0.02

TEST(tomo, slices_are_those_of_the_sample) {
  tomo t;
  t.references();
  t.scan(180);
  t.finish();
  EXPECT_LT(t.error(0), good);
  EXPECT_LT(t.error(1), good);
  EXPECT_NEAR(t.number("centre"), axis, 0.1);
  EXPECT_EQ(t.text("centre_from"), "centre of mass");
  EXPECT_EQ(t.number("projections"), 180);
  EXPECT_EQ(t.number("in_slices"), 180);
  EXPECT_EQ(t.number("darks"), 2);
  EXPECT_EQ(t.number("flats"), 3);
  EXPECT_NEAR(t.number("largest_gap"), 1, 1e-9);
  EXPECT_EQ(t.number("unusable"), 0);
}

TEST(tomo, opens_as_plots) {
  tomo t;
  t.references();
  t.scan(20);
  t.finish();
  auto tree = t.tree();
  EXPECT_EQ(*tree.find("_attrs")->find("default")->as_text(), "slices");
  for (auto name : {"slices", "sinograms", "references"}) test::expect_plot(t.group(name));
  auto slices = t.group("slices");
  EXPECT_EQ(slices.find("slice")->as_array()->shape(), (std::vector<std::size_t>{2, columns, columns}));
  EXPECT_THAT(numbers<std::uint64_t>(slices, "row"), ElementsAre(0, 3));
  EXPECT_EQ(numbers(slices, "x").front(), -47.5);
  auto flats = numbers<float>(t.group("references"), "flat"),
       darks = numbers<float>(t.group("references"), "dark");
  EXPECT_EQ(flats[columns + 7], std::round(dark_at(7) + light_at(3, 7)));
  EXPECT_EQ(darks[7], dark_at(7));
}

TEST(tomo, sinograms_are_ordered_by_angle) {
  tomo t(usual({{"centre", "49.3"}}));
  t.references();
  for (double angle : {90.0, -30.0, 10.0})
    t.take(projection_at(angle), angle, 100 - static_cast<std::uint64_t>(angle));
  t.finish();
  auto sinograms = t.group("sinograms");
  EXPECT_THAT(numbers(sinograms, "angle"), ElementsAre(-30, 10, 90));
  EXPECT_THAT(numbers<std::uint64_t>(sinograms, "event"), ElementsAre(130, 90, 10));
  auto lines = numbers<float>(sinograms, "sinogram");
  auto expected = test::projection_of(sample, 10, axis, columns);
  for (std::size_t c = 0; c < columns; ++c) EXPECT_NEAR(lines[columns + c], expected[c], 5e-4);
}

TEST(tomo, the_order_in_which_images_come_does_not_matter) {
  tomo in_order;
  in_order.references();
  in_order.scan(120);
  in_order.finish();
  std::vector<std::uint64_t> events;
  for (std::uint64_t n = 1; n <= 125; ++n) events.push_back(n);
  for (unsigned seed = 0; seed < 3; ++seed) {
    std::shuffle(events.begin(), events.end(), std::mt19937(seed));
    tomo t;
    for (auto n : events) {
      auto angle = n > 5 ? static_cast<double>(n - 6) * 1.5 : 0;
      t.take(n <= 2 ? dark() : n <= 5 ? flat() : projection_at(angle), angle, n);
      t.tick(n % 2 == 0);
    }
    t.finish();
    auto a = in_order.slices(), b = t.slices();
    // The centre may be the one of before, as long as it is within a tenth of a column.
    EXPECT_NEAR(t.number("centre"), in_order.number("centre"), 0.1);
    EXPECT_LT(t.error(0), good);
    EXPECT_LT(t.error(1), good);
    EXPECT_EQ(numbers<float>(t.group("sinograms"), "sinogram"),
              numbers<float>(in_order.group("sinograms"), "sinogram"));
  }
}

TEST(tomo, with_a_given_centre_any_order_gives_the_same) {
  std::vector<float> first;
  for (unsigned seed = 0; seed < 3; ++seed) {
    std::vector<std::uint64_t> events;
    for (std::uint64_t n = 1; n <= 95; ++n) events.push_back(n);
    if (seed > 0) std::shuffle(events.begin(), events.end(), std::mt19937(seed));
    tomo t(usual({{"centre", "49.3"}}));
    for (auto n : events) {
      auto angle = n > 5 ? static_cast<double>(n - 6) * 2 : 0;
      t.take(n <= 2 ? dark() : n <= 5 ? flat() : projection_at(angle), angle, n);
      t.tick(n % 3 == 0);
    }
    t.finish();
    if (seed == 0) first = t.slices();
    auto now = t.slices();
    ASSERT_EQ(now.size(), first.size());
    for (std::size_t i = 0; i < now.size(); ++i) ASSERT_NEAR(now[i], first[i], 1e-6) << seed;
  }
}

TEST(tomo, missing_projections_are_made_up_for) {
  tomo t;
  t.references();
  t.scan(180, 180, [](auto i) { return i % 10 != 3 && i % 17 != 0; });
  t.finish();
  EXPECT_LT(t.error(), good);
  EXPECT_GT(t.number("largest_gap"), 1.9);
}

TEST(tomo, a_whole_turn_and_angles_that_come_twice_change_nothing) {
  tomo whole;
  whole.references();
  whole.scan(240, 360);
  whole.finish();
  EXPECT_LT(whole.error(), good);
  EXPECT_EQ(whole.text("centre_from"), "opposite projections");
  EXPECT_NEAR(whole.number("centre"), axis, 0.1);
  tomo twice;
  twice.references();
  for (int k = 0; k < 2; ++k)
    for (std::size_t i = 0; i < 120; ++i) {
      auto angle = static_cast<double>(i) * 1.5;
      if (k == 0 || i < 30) twice.take(projection_at(angle), angle, 6 + i + 120 * k);
    }
  twice.finish();
  EXPECT_LT(twice.error(), good);
}

TEST(tomo, slices_grow_while_projections_come) {
  tomo t;
  t.references();
  t.scan(90, 180, [](auto i) { return i < 45; });
  EXPECT_EQ(t.group("slices"), value());
  t.tick(40);
  EXPECT_EQ(t.number("in_slices"), 45);
  EXPECT_LT(t.error(), 0.03); // half of the turn
  EXPECT_EQ(t.tree(), t.tree());
  t.scan(90, 180, [](auto i) { return i >= 45; });
  t.tick(40);
  auto live = t.error();
  EXPECT_LT(live, 2 * good);
  t.finish();
  EXPECT_LT(t.error(), live * 1.01);
}

TEST(tomo, flats_that_come_late_count_all_the_same) {
  tomo t(usual({{"centre", "49.3"}})), late(usual({{"centre", "49.3"}}));
  auto darker = flat();
  for (auto& x : darker) x = static_cast<std::uint16_t>(x - (x - 100) / 10);
  auto scan = [&](tomo& of) {
    of.scan(90);
    of.tick(20);
  };
  for (auto* of : {&t, &late}) {
    of->take(dark(), 0, 1);
    of->take(flat(), 0, 3);
    if (of == &t) of->take(darker, 0, 4);
    scan(*of);
    if (of == &late) of->take(darker, 0, 4);
    of->finish();
  }
  EXPECT_EQ(t.number("in_slices"), 90);
  auto a = t.slices(), b = late.slices();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-6);
}

TEST(tomo, columns_can_be_put_together) {
  tomo t(usual({{"binning", "2"}}));
  t.references();
  t.scan(120);
  t.finish();
  EXPECT_NEAR(t.number("centre"), axis, 0.2);
  auto slices = t.group("slices");
  EXPECT_EQ(slices.find("slice")->as_array()->shape(), (std::vector<std::size_t>{2, 48, 48}));
  EXPECT_EQ(numbers(slices, "x").back(), 47);
  // In the same unit: per pixel of the detector.
  auto slice = numbers<float>(slices, "slice");
  EXPECT_NEAR(slice[24 * 48 + 16], 0.02, 1e-3);
}

TEST(tomo, centre_and_window_can_be_changed_while_it_goes_on) {
  tomo t(usual({{"centre", "44"}}));
  t.references();
  t.scan(90);
  t.tick(20);
  auto wrong = t.error();
  EXPECT_TRUE(t.change(usual({{"centre", "49.3"}})));
  t.tick(20);
  EXPECT_LT(t.error(), 0.5 * wrong);
  EXPECT_EQ(t.number("in_slices"), 90);
  auto sharp = t.slices();
  EXPECT_TRUE(t.change(usual({{"centre", "49.3"}, {"window", "hann"}})));
  t.finish();
  auto smooth = t.slices();
  EXPECT_NE(sharp, smooth);
  EXPECT_LT(t.error(), good);
  EXPECT_TRUE(t.change(usual({{"centre", "auto"}})));
  t.finish();
  EXPECT_NEAR(t.number("centre"), axis, 0.1);
  EXPECT_FALSE(t.change(usual({{"rows", "1"}})));
}

TEST(tomo, nothing_is_made_without_flats_and_that_is_told) {
  tomo t;
  t.take(dark(), 0, 1);
  t.scan(100);
  t.tick(5);
  t.finish();
  EXPECT_THAT(t.text("trouble"), AllOf(HasSubstr("none of the 3 flats"), HasSubstr("'flats'")));
  EXPECT_EQ(t.group("slices"), value());
  tomo without_dark;
  without_dark.take(flat(), 0, 3);
  without_dark.scan(10);
  without_dark.finish();
  EXPECT_THAT(without_dark.text("trouble"), HasSubstr("none of the 2 darks"));
  EXPECT_EQ(without_dark.group("slices"), value());
}

TEST(tomo, flats_without_light_fail_projections) {
  tomo t;
  for (std::uint64_t n = 1; n <= 5; ++n) t.take(dark(), 0, n);
  EXPECT_THAT(t.failure(projection_at(0), 0, 6), AllOf(HasSubstr("nowhere brighter"), HasSubstr("'flats'")));
  tomo zeros;
  const image_pixels nothing(rows * columns);
  for (std::uint64_t n = 1; n <= 5; ++n) zeros.take(nothing, 0, n);
  EXPECT_THAT(zeros.failure(nothing, 0, 6), HasSubstr("nowhere brighter"));
  // Those that came before the flats are named in the end.
  tomo early;
  early.scan(3);
  for (std::uint64_t n = 1; n <= 5; ++n) early.take(dark(), 0, n);
  early.finish();
  EXPECT_EQ(early.number("unusable"), 3);
  EXPECT_THAT(early.text("trouble"), HasSubstr("nowhere brighter"));
}

TEST(tomo, a_projection_without_light_fails_alone) {
  tomo t;
  t.references();
  EXPECT_THAT(t.failure(dark(), 3, 6), HasSubstr("no pixel of this projection has light"));
  const image_pixels masked(rows * columns, 65535);
  EXPECT_THAT(t.failure(masked, 3, 6), HasSubstr("no pixel of this projection"));
  t.scan(90);
  t.finish();
  EXPECT_EQ(t.number("in_slices"), 90);
  EXPECT_LT(t.error(), good);
}

TEST(tomo, bad_pixels_are_bridged) {
  tomo t;
  auto bad = [](image_pixels pixels) {
    for (std::size_t r = 0; r < rows; ++r) pixels[r * columns] = pixels[r * columns + 30] = 65535;
    return pixels;
  };
  for (std::uint64_t n = 1; n <= 2; ++n) t.take(bad(dark()), 0, n);
  for (std::uint64_t n = 3; n <= 5; ++n) t.take(bad(flat()), 0, n);
  for (std::size_t i = 0; i < 180; ++i)
    t.take(bad(projection_at(static_cast<double>(i))), static_cast<double>(i), 6 + i);
  t.finish();
  EXPECT_LT(t.error(), 3 * good);
  EXPECT_EQ(t.number("pixels_without_light"), 4);
}

TEST(tomo, angles_must_be_there) {
  tomo t;
  t.references();
  auto orca = test::image({rows, columns}, projection_at(0));
  EXPECT_THAT(t.failure(streams::made_event({{"orca", orca}}, {}, 6)),
              AllOf(HasSubstr("no angle"), HasSubstr("alba:channel1")));
  EXPECT_THAT(t.failure(streams::made_event({{"orca", orca}}, {"alba"}, 6)), HasSubstr("missing"));
  EXPECT_THAT(t.failure(projection_at(0), NAN, 6), HasSubstr("no finite number"));
  EXPECT_THAT(t.failure(streams::made_event({{"orca", orca}, {"alba", streams::alba({{2, 1.0}})}}, {}, 6)),
              HasSubstr("channel1"));
  EXPECT_EQ(t.number("projections"), 0);
  // Darks and flats need none.
  EXPECT_EQ(t.failure(streams::made_event({{"orca", test::image({rows, columns}, dark())}}, {"alba"}, 1)),
            "");
}

TEST(tomo, another_shape_in_mid_scan_fails_with_both_named) {
  tomo t;
  t.references();
  auto other = streams::made_event({{"orca", test::image({5, columns}, image_pixels(5 * columns, 9000))},
                                    {"alba", streams::alba({{1, 0}})}},
                                   {}, 6);
  EXPECT_THAT(t.failure(other), AllOf(HasSubstr("[5, 96]"), HasSubstr("[4, 96]")));
  EXPECT_EQ(t.failure(projection_at(0), 0, 7), "");
}

TEST(tomo, events_before_the_first_image_show_that_the_counts_are_off) {
  tomo t;
  EXPECT_THAT(t.failure(dark(), 0, 0), AllOf(HasSubstr("'first'"), HasSubstr("event 0")));
  tomo from_zero(usual({{"first", "0"}}));
  EXPECT_EQ(from_zero.failure(dark(), 0, 0), "");
  EXPECT_EQ(from_zero.number("darks"), 1);
}

TEST(tomo, events_can_be_named_as_darks_and_flats) {
  tomo t(usual({{"dark_events", "10:12"}, {"flat_events", "3, 200:202"}}));
  t.take(flat(), 0, 3);
  t.take(dark(), 0, 11);
  t.take(projection_at(0), 0, 1);
  t.take(flat(), 0, 201);
  EXPECT_EQ(t.number("darks"), 1);
  EXPECT_EQ(t.number("flats"), 2);
  EXPECT_EQ(t.number("projections"), 1);
}

TEST(tomo, a_sample_that_does_not_turn_gives_finite_numbers) {
  tomo t;
  t.references();
  for (std::uint64_t n = 6; n < 60; ++n) t.take(projection_at(20), 20, n);
  t.finish();
  for (auto x : t.slices()) ASSERT_TRUE(std::isfinite(x));
  EXPECT_EQ(t.number("largest_gap"), 180);
}

TEST(tomo, starts_and_events_without_image_give_nothing) {
  tomo t;
  EXPECT_EQ(t.map(streams::made_event({{"alba", streams::alba({{1, 2.0}})}}, {"orca"}, 8)).what(),
            answer::kind::nothing);
}

TEST(tomo, what_cannot_be_used_is_refused_by_name) {
  auto refusal = [](settings_of more) {
    return test::refusal(*make_tomo_analysis(), usual(std::move(more)));
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_THAT(refusal({{"angle", "panda"}}), HasSubstr("'angle'"));
  EXPECT_THAT(refusal({{"rows", "x"}}), AllOf(HasSubstr("'rows'"), HasSubstr("'x'")));
  EXPECT_THAT(refusal({{"rows", "0:1000"}}), AllOf(HasSubstr("'rows'"), HasSubstr("64")));
  EXPECT_THAT(refusal({{"binning", "0"}}), HasSubstr("'binning'"));
  EXPECT_THAT(refusal({{"darks", "-1"}}), HasSubstr("'darks'"));
  EXPECT_THAT(refusal({{"flats", "0"}}), HasSubstr("'flats'"));
  EXPECT_THAT(refusal({{"flat_events", "9:3"}}), HasSubstr("'flat_events'"));
  EXPECT_THAT(refusal({{"centre", "left"}}), HasSubstr("'centre'"));
  EXPECT_THAT(refusal({{"centre", "-3"}}), HasSubstr("'centre'"));
  EXPECT_THAT(refusal({{"window", "box"}}), HasSubstr("'window'"));
  EXPECT_THAT(refusal({{"degrees_per_unit", "0"}}), HasSubstr("'degrees_per_unit'"));
}

TEST(tomo, what_does_not_fit_the_images_fails_by_name) {
  EXPECT_THAT(tomo(usual({{"rows", "1, 4"}})).failure(dark(), 0, 1),
              AllOf(HasSubstr("'rows'"), HasSubstr("[4, 96]")));
  EXPECT_THAT(tomo(usual({{"binning", "64"}})).failure(dark(), 0, 1), HasSubstr("'binning'"));
  EXPECT_THAT(tomo(usual({{"centre", "96"}})).failure(dark(), 0, 1),
              AllOf(HasSubstr("'centre'"), HasSubstr("[4, 96]")));
}

TEST(tomo, a_result_of_something_else_is_no_projection) {
  auto analysis = make_tomo_analysis();
  auto settings = complete_parameters(*analysis, usual());
  auto reducer = analysis->make_reducer(settings);
  for (auto& content :
       {value(), value(value_map{{"lines", 3}}), value(value_map{{"angle", 0}, {"image_key", 7}})}) {
    const folded_result result{event_number(1), 1, worker_index(0), content};
    EXPECT_THROW(reducer->process_result(result, settings), std::runtime_error);
  }
}

} // namespace
} // namespace dtranspose
