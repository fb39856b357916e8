#include "analysis/sum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>

#include "analysis/reducer_host.hpp"
#include "analysis/registry.hpp"
#include "analysis/worker_host.hpp"
#include "instrument/eiger_v1_series.hpp"
#include "instrument/pixels.hpp"
#include "protocol/stins.hpp"
#include "recording/dump.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

const stream_names names{"det"};

/// An image, with a blob for each index of the first axis if `cut`.
template <class T>
stream_data image(std::vector<std::size_t> shape, const std::vector<T>& pixels, bool cut = false) {
  std::string text;
  write_stins_image(text, 1, {.frame = 0, .shape = shape, .type = name_of(dtype_for<T>())});
  auto header = std::as_bytes(std::span(text)), bytes = std::as_bytes(std::span(pixels));
  std::vector<std::vector<std::byte>> parts{{header.begin(), header.end()}};
  auto length = bytes.size() / (cut ? shape[0] : 1);
  for (std::size_t first = 0; first < bytes.size(); first += length) {
    auto blob = bytes.subspan(first, length);
    parts.emplace_back(blob.begin(), blob.end());
  }
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), stins_type_tag);
}

/// `sum` with some workers and a reducer, as a scan has them.
class scan {
 public:
  explicit scan(std::size_t workers) {
    auto sum = make_sum_analysis();
    auto settings = complete_parameters(*sum, {});
    for (std::size_t w = 0; w < workers; ++w)
      workers_.emplace_back(sum->make_worker(settings), settings, names);
    reducer_.emplace(sum->make_reducer(settings), settings, parameters_version(1), reducer_host::row_sink());
  }

  /// Gives the next event to a worker; returns why it failed.
  std::string process(std::size_t worker, stream_data data) {
    joined_batch batch;
    batch.entries.push_back({stream_index(0), std::move(data)});
    batch.events.push_back({.number = event_number(next_++), .entries = 1});
    mapped_batch out;
    workers_[worker].process(batch, false, out);
    return out.failed.empty() ? "" : out.failed[0].cause;
  }

  void flush(std::size_t worker) {
    mapped_batch out;
    workers_[worker].flush(out);
    if (!out.nothing()) flushed_.push_back(std::move(out));
  }

  /// Folds what was flushed, in whatever order; returns what became of it.
  std::vector<ended_slots> fold(std::mt19937_64& random) {
    std::shuffle(flushed_.begin(), flushed_.end(), random);
    std::vector<ended_slots> ended;
    for (auto& batch : flushed_) reducer_->fold(worker_index(0), parameters_version(1), batch, ended);
    flushed_.clear();
    return ended;
  }

  value published() const { return reducer_->published(); }
  template <class T>
  std::vector<T> image() const {
    auto tree = published();
    auto image = tree.find("image")->as_array();
    EXPECT_EQ(image->type(), dtype_for<T>());
    auto elements = image->elements<T>();
    return {elements.begin(), elements.end()};
  }

 private:
  std::vector<worker_host> workers_;
  std::optional<reducer_host> reducer_;
  std::vector<mapped_batch> flushed_;
  std::uint64_t next_ = 0;
};

template <class T>
class sum_of : public testing::Test {};
using pixel_types = testing::Types<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                                   std::int32_t, std::uint64_t, std::int64_t, float, double>;
TYPED_TEST_SUITE(sum_of, pixel_types);

template <class T>
using total_of = std::conditional_t<std::is_floating_point_v<T>, double,
                                    std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>;

template <class T>
T random_pixel(std::mt19937_64& random) {
  if constexpr (std::is_floating_point_v<T>) {
    // Of very different sizes, so that plain sums would depend on the order.
    auto exponent = static_cast<int>(random() % 40);
    return std::ldexp(std::uniform_real_distribution<T>(-1, 1)(random), exponent);
  } else if constexpr (sizeof(T) == 8) {
    return static_cast<T>(static_cast<T>(random()) / 1000);
  } else {
    return static_cast<T>(random());
  }
}

TYPED_TEST(sum_of, any_split_and_any_order_give_the_same) {
  using T = TypeParam;
  using total = total_of<T>;
  std::mt19937_64 random(20240607);
  const std::vector<std::size_t> shape{3, 5, 13};
  const std::size_t pixels = 3 * 5 * 13, frames = 100;
  std::vector<std::vector<T>> images(frames, std::vector<T>(pixels));
  for (auto& image : images)
    for (auto& x : image) x = random_pixel<T>(random);
  std::vector<long double> expected(pixels);
  std::vector<total> exact(pixels);
  for (auto& image : images)
    for (std::size_t i = 0; i < pixels; ++i) {
      expected[i] += image[i];
      exact[i] += static_cast<total>(image[i]);
    }

  for (std::size_t workers : {1, 2, 7}) {
    scan s(workers);
    for (auto& pixels_of_one : images) {
      auto worker = random() % workers;
      ASSERT_EQ(s.process(worker, image(shape, pixels_of_one, random() % 2 == 0)), "");
      if (random() % 4 == 0) s.flush(random() % workers);
    }
    for (std::size_t w = 0; w < workers; ++w) s.flush(w);
    for (auto& e : s.fold(random)) EXPECT_EQ(e.how, fate::folded) << e.cause;
    EXPECT_EQ(*s.published().find("frames"), value(std::uint64_t{frames}));
    EXPECT_EQ(s.published().find("image")->as_array()->shape(), shape);
    auto found = s.template image<total>();
    if constexpr (std::is_integral_v<T>)
      EXPECT_EQ(found, exact);
    else
      for (std::size_t i = 0; i < pixels; ++i) {
        EXPECT_DOUBLE_EQ(found[i], static_cast<double>(expected[i])) << i;
      }
  }
}

TYPED_TEST(sum_of, a_single_pixel) {
  using T = TypeParam;
  std::mt19937_64 random;
  scan one(1);
  EXPECT_EQ(one.process(0, image({}, std::vector<T>{7})), "");
  EXPECT_EQ(one.process(0, image({}, std::vector<T>{8})), "");
  one.flush(0);
  one.fold(random);
  EXPECT_THAT(one.template image<total_of<T>>(), testing::ElementsAre(15));
}

TEST(sum, without_images_there_is_none) {
  EXPECT_EQ(scan(1).published(), value(value_map{{"frames", std::uint64_t{0}}}));
}

TEST(sum, an_image_of_another_form_fails_alone) {
  std::mt19937_64 random;
  scan s(1);
  const std::vector<std::uint16_t> pixels{1, 2, 3, 4, 5, 6};
  EXPECT_EQ(s.process(0, image({2, 3}, pixels)), "");
  EXPECT_THAT(s.process(0, image({3, 2}, pixels)),
              AllOf(HasSubstr("[2, 3]"), HasSubstr("[3, 2]"), HasSubstr("uint16")));
  EXPECT_THAT(s.process(0, image({2, 3}, std::vector<std::int16_t>(6))),
              AllOf(HasSubstr("uint16"), HasSubstr("of int16")));
  s.flush(0);
  EXPECT_THAT(s.process(0, image({6}, pixels)), HasSubstr("[2, 3]")); // the first of the scan still
  EXPECT_EQ(s.process(0, image({2, 3}, pixels)), "");
  s.flush(0);
  for (auto& e : s.fold(random)) EXPECT_EQ(e.how, fate::folded);
  EXPECT_THAT(s.image<std::uint64_t>(), testing::ElementsAre(2, 4, 6, 8, 10, 12));
  EXPECT_EQ(*s.published().find("frames"), value(std::uint64_t{2}));
}

TEST(sum, workers_that_saw_different_forms_are_told_apart_at_the_reducer) {
  std::mt19937_64 random;
  scan s(2);
  EXPECT_EQ(s.process(0, image({2}, std::vector<std::uint8_t>{1, 2})), "");
  s.flush(0);
  s.fold(random);
  EXPECT_EQ(s.process(1, image({2}, std::vector<std::uint16_t>{1, 2})), "");
  s.flush(1);
  auto ended = s.fold(random);
  ASSERT_THAT(ended, SizeIs(1));
  EXPECT_EQ(ended[0].how, fate::failed);
  EXPECT_THAT(ended[0].cause, AllOf(HasSubstr("shape [2] of uint8"), HasSubstr("shape [2] of uint16")));
  EXPECT_THAT(s.image<std::uint64_t>(), testing::ElementsAre(1, 2));
  EXPECT_EQ(*s.published().find("frames"), value(std::uint64_t{1}));
}

template <class T>
void expect_overflow_is_reported(T large, T more) {
  std::mt19937_64 random;
  scan s(2);
  EXPECT_EQ(s.process(0, image({2}, std::vector<T>{1, large})), "");
  EXPECT_THAT(s.process(0, image({2}, std::vector<T>{1, more})),
              AllOf(HasSubstr("leaves the range"), HasSubstr(name_of(dtype_for<T>()))));
  EXPECT_EQ(s.process(1, image({2}, std::vector<T>{1, more})), "");
  s.flush(0);
  EXPECT_THAT(s.fold(random), SizeIs(1));
  s.flush(1);
  auto ended = s.fold(random);
  ASSERT_THAT(ended, SizeIs(1));
  EXPECT_EQ(ended[0].how, fate::failed);
  EXPECT_THAT(ended[0].cause, HasSubstr("leaves the range"));
  EXPECT_THAT(s.image<T>(), testing::ElementsAre(T{1}, large)); // untouched by either
}

TEST(sum, sums_beyond_64_bits_are_reported) {
  using unsigned_limits = std::numeric_limits<std::uint64_t>;
  using signed_limits = std::numeric_limits<std::int64_t>;
  expect_overflow_is_reported<std::uint64_t>(unsigned_limits::max() - 1, 2);
  expect_overflow_is_reported<std::int64_t>(signed_limits::max() - 1, 2);
  expect_overflow_is_reported<std::int64_t>(signed_limits::min() + 1, -2);
}

TEST(sum, rounding_is_carried_through_the_fold) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    scan s(3);
    std::vector<double> values{1e16, -1e16};
    for (int i = 0; i < 50; ++i) values.push_back(1);
    std::shuffle(values.begin(), values.end(), random);
    for (auto x : values) {
      auto worker = random() % 3;
      s.process(worker, image({1}, std::vector<double>{x}));
      if (random() % 3 == 0) s.flush(worker);
    }
    for (std::size_t w : {0, 1, 2}) s.flush(w);
    s.fold(random);
    EXPECT_THAT(s.image<double>(), testing::ElementsAre(50.0));
  }
}

TEST(sum, nan_and_infinity_stay_in_their_pixels) {
  std::mt19937_64 random;
  scan s(2);
  const double nan = NAN, infinity = INFINITY;
  s.process(0, image({3}, std::vector<double>{nan, infinity, 1}));
  s.process(0, image({3}, std::vector<double>{1, 1, 1}));
  s.process(1, image({3}, std::vector<double>{1, 1, 1}));
  s.flush(0);
  s.flush(1);
  s.fold(random);
  auto found = s.image<double>();
  EXPECT_TRUE(std::isnan(found[0]));
  EXPECT_EQ(found[1], infinity);
  EXPECT_EQ(found[2], 3);
}

TEST(sum, what_was_published_does_not_change) {
  std::mt19937_64 random;
  scan s(1);
  auto add_one = [&] {
    s.process(0, image({1}, std::vector<std::uint8_t>{1}));
    s.flush(0);
    s.fold(random);
  };
  add_one();
  auto before = s.published();
  add_one();
  EXPECT_EQ(before.find("image")->as_array()->elements<std::uint64_t>()[0], 1u);
  EXPECT_THAT(s.image<std::uint64_t>(), testing::ElementsAre(2));
}

/// A whole series of a detector, in every encoding.
TEST(sum, compressed_images_are_summed) {
  std::mt19937_64 random(9);
  const series_settings settings{.frames = 10, .shape = {33, 47}, .type = dtype::uint32, .seed = 2};
  for (auto encoding : {"<", "lz4<", "bs32-lz4<", "bs8-lz4<"}) {
    auto what = settings;
    what.options["encoding"] = encoding;
    auto series = make_eiger_v1_series(what);
    scan s(3);
    std::size_t worker = 0;
    while (auto message = series->next()) EXPECT_EQ(s.process(worker++ % 3, *message), "");
    for (std::size_t w : {0, 1, 2}) s.flush(w);
    s.fold(random);
    std::vector<std::uint64_t> expected(33 * 47);
    for (std::uint64_t n = 0; n < 10; ++n) {
      std::vector<std::uint32_t> pixels(expected.size());
      fill_pixels(std::as_writable_bytes(std::span(pixels)), dtype::uint32, 2, n % eiger_v1_patterns);
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += pixels[i];
    }
    EXPECT_EQ(s.image<std::uint64_t>(), expected) << encoding;
    EXPECT_EQ(*s.published().find("frames"), value(std::uint64_t{10}));
  }
}

TEST(sum, results_that_are_no_partial_sums_are_refused) {
  auto sum = make_sum_analysis();
  auto reducer = sum->make_reducer({});
  auto real = array::of(std::vector<double>{1}), whole = array::of(std::vector<std::uint64_t>{1});
  auto none = array::of(std::vector<double>{1, 2});
  const std::uint64_t n = 1;
  const value cases[] = {
      {},
      "text",
      value_map{},
      value_map{{"image", whole}, {"frames", n}},
      value_map{{"image", whole}, {"frames", n}, {"type", "complex64"}},
      value_map{{"image", whole}, {"frames", "1"}, {"type", "uint8"}},
      value_map{{"image", whole}, {"frames", n}, {"type", "int8"}},
      value_map{{"image", real}, {"frames", n}, {"type", "float32"}},
      value_map{{"image", real}, {"frames", n}, {"type", "float32"}, {"compensation", none}},
      value_map{{"image", real}, {"frames", n}, {"type", "float32"}, {"compensation", whole}},
  };
  for (auto& content : cases)
    EXPECT_THROW(reducer->process_result({event_number(0), 1, worker_index(0), content}, {}),
                 std::runtime_error);
  EXPECT_EQ(*reducer->published().find("frames"), value(std::uint64_t{0}));
}

TEST(sum, a_recording_of_a_detector) {
  auto path = test::find_recording("dump_xrd.cbors");
  if (!path) GTEST_SKIP() << "no recordings here";
  std::mt19937_64 random;
  dump_reader reader(mapped_file::open(*path));
  scan s(2);
  std::vector<std::uint64_t> expected(100);
  std::size_t worker = 0;
  while (auto item = reader.next()) {
    auto& data = item->streams.at(0).data;
    EXPECT_EQ(s.process(worker++ % 2, data), "");
    if (data.frames().size() < 2 || data.frames()[1].size() != 200) continue;
    for (std::size_t i = 0; i < 100; ++i) {
      std::uint16_t pixel;
      std::memcpy(&pixel, data.frames()[1].data() + 2 * i, 2);
      expected[i] += pixel;
    }
  }
  s.flush(0);
  s.flush(1);
  s.fold(random);
  auto found = s.image<std::uint64_t>();
  EXPECT_EQ(found, expected);
  std::uint64_t total = 0;
  for (auto x : found) total += x;
  EXPECT_EQ(total, 10809u);
  EXPECT_EQ(*s.published().find("frames"), value(std::uint64_t{9}));
}

} // namespace
} // namespace dtranspose
