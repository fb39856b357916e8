#include "analysis/roi.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "analysis/registry.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"
#include "recording/dump.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const stream_names names{"xrd", "fluo"};

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& pixels) {
  auto bytes = std::as_bytes(std::span(pixels));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> header_of(std::vector<std::size_t> shape, std::string_view type,
                                 std::string_view compression = "none") {
  std::string text;
  write_stins_image(text, 1, {.frame = 0, .shape = shape, .type = type, .compression = compression});
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

stream_data message(std::vector<std::vector<std::byte>> parts) {
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), stins_type_tag);
}

template <class T>
stream_data image(std::vector<std::size_t> shape, const std::vector<T>& pixels) {
  return message({header_of(shape, name_of(dtype_for<T>())), bytes_of(pixels)});
}

/// `roi` with these parameters, and what it says of events.
class roi {
 public:
  explicit roi(std::map<std::string, std::string> set = {})
      : analysis_(make_roi_analysis()), settings_(complete_parameters(*analysis_, set)),
        worker_(analysis_->make_worker(settings_)) {}

  answer process(std::vector<stream_entry> entries) {
    return worker_->process_event(event(event_number(0), entries, names), settings_, false);
  }
  answer process(stream_data data) { return process({{stream_index(0), std::move(data)}}); }

  /// The four numbers; all NaN when there is no result.
  std::array<double, 4> numbers(stream_data data) {
    auto a = process(std::move(data));
    EXPECT_EQ(a.what(), answer::kind::result);
    std::array<double, 4> found;
    for (int i = 0; i < 4; ++i) {
      auto x = a.content().find(std::array{"mean", "sum", "min", "max"}[i]);
      found[i] = x ? x->as_number().value_or(NAN) : NAN;
    }
    return found;
  }

  /// Why the event fails.
  std::string failure(stream_data data) {
    try {
      process(std::move(data));
      return {};
    } catch (const std::runtime_error& e) {
      return e.what();
    }
  }

 private:
  std::unique_ptr<analysis> analysis_;
  parameters settings_;
  std::unique_ptr<worker_part> worker_;
};

std::map<std::string, std::string> region(std::string rows, std::string columns) {
  return {{"rows", rows}, {"columns", columns}};
}

std::map<std::string, std::string> stream(std::string name) { return {{"stream", name}}; }

TEST(roi, a_small_image_by_hand) {
  std::vector<std::uint16_t> pixels(12);
  std::iota(pixels.begin(), pixels.end(), std::uint16_t{0}); // 0 1 2 3 / 4 5 6 7 / 8 9 10 11
  auto data = image({3, 4}, pixels);
  using four = std::array<double, 4>;
  struct {
    const char *rows, *columns;
    four expected;
  } cases[] = {
      {"", "", {5.5, 66, 0, 11}},     {":", " : ", {5.5, 66, 0, 11}}, {"0:1", "", {1.5, 6, 0, 3}},
      {"1:", "2:", {8.5, 34, 6, 11}}, {":2", "1:3", {3.5, 14, 1, 6}}, {" 2 : 3 ", "3:4", {11, 11, 11, 11}},
      {"1:3", ":", {7.5, 60, 4, 11}},
  };
  for (auto& c : cases)
    EXPECT_EQ(roi(region(c.rows, c.columns)).numbers(data), c.expected) << c.rows << " " << c.columns;
}

TEST(roi, describes_four_numbers_per_event) {
  auto roi = make_roi_analysis();
  auto results = roi->describe_results(complete_parameters(*roi, {}));
  ASSERT_EQ(results.size(), 4u);
  std::vector<std::string> found;
  for (auto& r : results) {
    found.push_back(r.name);
    EXPECT_EQ(r.type, dtype::float64);
    EXPECT_EQ(r.extent, result_extent::per_event);
    EXPECT_TRUE(r.shape.empty());
  }
  EXPECT_THAT(found, testing::ElementsAre("mean", "sum", "min", "max"));
}

TEST(roi, a_bad_parameter_is_refused_by_name_with_an_example) {
  auto roi = make_roi_analysis();
  for (auto written :
       {"5", "a:b", "1:2:3", "-1:4", "4:4", "5:3", "1.5:2", ":0", "0x1:2", "1 2:3", "99999999999999999999:"})
    for (auto parameter : {"rows", "columns"}) try {
        roi->describe_results(complete_parameters(*roi, {{parameter, written}}));
        ADD_FAILURE() << parameter << " = " << written;
      } catch (const std::invalid_argument& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr(parameter), HasSubstr(written), HasSubstr("16:48")));
      }
}

TEST(roi, a_region_beyond_the_image_fails_the_event) {
  std::vector<std::uint8_t> pixels(12);
  auto data = image({3, 4}, pixels);
  for (auto& [rows, columns] : {std::pair{"0:4", ""}, {"3:", ""}, {"", "2:5"}, {"", "4:"}})
    EXPECT_THAT(roi(region(rows, columns)).failure(data),
                AllOf(HasSubstr("[3, 4]"), HasSubstr(rows), HasSubstr(columns)));
  EXPECT_THAT(roi(region("0:1", "")).failure(image({12}, pixels)), HasSubstr("[12]"));
  EXPECT_THAT(roi(region("", "0:1")).failure(image({}, std::vector<float>{1})), HasSubstr("[]"));
  EXPECT_THAT(roi().failure(image({0, 4}, std::vector<float>{})), HasSubstr("[0, 4]"));
  EXPECT_THAT(roi().failure(image({0, 2, 2}, std::vector<float>{})), HasSubstr("[0, 2, 2]"));
  EXPECT_EQ(roi().failure(data), "");
}

/// The same numbers, however the pixels are packed.
TEST(roi, compressed_images_count_like_others) {
  std::mt19937_64 random(6);
  std::vector<std::uint32_t> pixels(4 * 70 * 90);
  for (auto& x : pixels) x = static_cast<std::uint32_t>(random() % 8);
  auto bytes = bytes_of(pixels);
  auto quarter = bytes.size() / 4;
  roi corner(region("10:60", "33:80")), whole;
  auto expected = corner.numbers(image({4, 70, 90}, pixels)), all = whole.numbers(image({4, 70, 90}, pixels));
  for (auto how : {codec::bslz4, codec::bslz4_bare}) {
    auto one = message({header_of({4, 70, 90}, "uint32", "bslz4"), compress(how, 4, bytes)});
    EXPECT_EQ(corner.numbers(one), expected);
    EXPECT_EQ(whole.numbers(one), all);
    std::vector<std::vector<std::byte>> parts{header_of({4, 70, 90}, "uint32", "bslz4")};
    for (std::size_t i = 0; i < 4; ++i)
      parts.push_back(compress(how, 4, std::span(bytes).subspan(i * quarter, quarter)));
    EXPECT_EQ(corner.numbers(message(parts)), expected);
    EXPECT_EQ(whole.numbers(message(parts)), all);
  }
}

TEST(roi, corrupt_pixels_fail_their_event_alone) {
  std::vector<std::uint16_t> pixels(5000, 7);
  auto blob = compress(codec::bslz4, 2, bytes_of(pixels));
  auto good = message({header_of({5000}, "uint16", "bslz4"), blob});
  blob.pop_back();
  auto bad = message({header_of({5000}, "uint16", "bslz4"), blob});
  roi analysis;
  EXPECT_EQ(analysis.failure(good), "");
  EXPECT_THAT(analysis.failure(bad), HasSubstr("stream 'xrd': "));
  EXPECT_THAT(analysis.failure(message({header_of({5000}, "uint16", "zip"), blob})), HasSubstr("zip"));
  EXPECT_EQ(analysis.numbers(good), (std::array<double, 4>{7, 35000, 7, 7}));
}

TEST(roi, only_images_are_looked_at) {
  std::string start, end;
  write_stins_header(start, 0, "a.h5");
  write_stins_end(end, 2);
  auto one = image({2}, std::vector<std::uint8_t>{1, 2}), two = image({1}, std::vector<std::uint8_t>{9});
  auto other = memory_frames::of("PCAP", {"{}"});
  auto header = memory_frames::of(stins_type_tag, {start});
  roi any, fluo(stream("fluo"));
  const auto nothing = answer::kind::nothing;
  EXPECT_EQ(any.process(header).what(), nothing);
  EXPECT_EQ(any.process(memory_frames::of(stins_type_tag, {end})).what(), nothing);
  EXPECT_EQ(any.process(std::vector<stream_entry>{}).what(), nothing);
  EXPECT_EQ(any.process(other).what(), nothing);
  EXPECT_EQ(fluo.process(one).what(), nothing);
  auto sum = [](const answer& a) { return a.content().find("sum")->as_number(); };
  const stream_index xrd_index(0), fluo_index(1);
  EXPECT_EQ(sum(any.process({{xrd_index, one}, {fluo_index, two}})), 3.0);
  EXPECT_EQ(sum(any.process({{xrd_index, header}, {fluo_index, two}})), 9.0);
  EXPECT_EQ(sum(fluo.process({{xrd_index, one}, {fluo_index, two}})), 9.0);
  EXPECT_THROW(fluo.process({{fluo_index, other}}), std::runtime_error);
  EXPECT_THAT(any.failure(message({header_of({1}, "complex128"), std::vector<std::byte>(16)})),
              HasSubstr("element type"));
}

TEST(roi, regions_with_names) {
  std::vector<std::uint16_t> pixels(12);
  std::iota(pixels.begin(), pixels.end(), std::uint16_t{0}); // 0 1 2 3 / 4 5 6 7 / 8 9 10 11
  auto data = image({3, 4}, pixels);
  auto given = [&](std::map<std::string, std::string> set) {
    auto a = roi(std::move(set)).process(data);
    std::map<std::string, double> numbers;
    for (auto& [name, x] : *a.content().as_map()) numbers[name] = x.as_number().value_or(NAN);
    return numbers;
  };
  using map = std::map<std::string, double>;
  const map top{{"top_mean", 1.5}, {"top_sum", 6}, {"top_min", 0}, {"top_max", 3}};
  map both = top;
  both.merge(map{{"b-2_mean", 8.5}, {"b-2_sum", 34}, {"b-2_min", 6}, {"b-2_max", 11}});
  EXPECT_EQ(given({{"regions", "top=0:1,:"}}), top);
  EXPECT_EQ(given({{"regions", " top = 0:1 , ; b-2=1:,2: ;"}}), both);
  auto all = given({{"regions", "top=0:1,:;b-2=1:,2:"}, {"rows", "1:2"}, {"columns", "0:3"}});
  EXPECT_EQ(all.size(), 12u);
  EXPECT_EQ(all["sum"], 15);
  EXPECT_EQ(all["b-2_sum"], 34);
}

TEST(roi, regions_that_are_none_are_refused) {
  auto roi_analysis = make_roi_analysis();
  auto described = [&](std::string regions) {
    return roi_analysis->describe_results(complete_parameters(*roi_analysis, {{"regions", regions}})).size();
  };
  EXPECT_EQ(described(""), 4u);
  EXPECT_EQ(described("a=:,:;b=1:2,3:4"), 8u);
  for (auto written :
       {"a", "a=1:2", "1:2,3:4", "=1:2,3:4", "a/b=1:2,3:4", "a=2:1,3:4", "a=1:2,3", "a=:,:;a=1:2,3:4"})
    try {
      described(written);
      ADD_FAILURE() << written;
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), HasSubstr("'regions'")) << written;
    }
  std::vector<std::uint8_t> pixels(12);
  const std::map<std::string, std::string> beyond{{"regions", "a=0:2,0:2;b=0:4,:"}};
  EXPECT_THAT(roi(beyond).failure(image({3, 4}, pixels)), AllOf(HasSubstr("0:4"), HasSubstr("[3, 4]")));
}

TEST(roi, parameters_may_change_between_events) {
  auto data = image({1, 4}, std::vector<std::uint8_t>{1, 2, 3, 4});
  auto roi = make_roi_analysis();
  auto worker = roi->make_worker(complete_parameters(*roi, {}));
  std::vector<stream_entry> entries{{stream_index(0), data}};
  event e(event_number(0), entries, names);
  for (auto [columns, expected] : {std::pair{"", 10.0}, {"1:3", 5.0}, {"3:", 4.0}, {"", 10.0}}) {
    auto a = worker->process_event(e, complete_parameters(*roi, {{"columns", columns}}), false);
    EXPECT_EQ(a.content().find("sum")->as_number(), expected);
  }
}

template <class T>
class roi_of : public testing::Test {};
using pixel_types = testing::Types<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                                   std::int32_t, std::uint64_t, std::int64_t, float, double>;
TYPED_TEST_SUITE(roi_of, pixel_types);

template <class T>
T random_pixel(std::mt19937_64& random) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(random());
  else
    return std::uniform_real_distribution<T>(-1, 1000)(random);
}

/// Regions of images of any shape, cut into blobs or not, against loops over single pixels.
TYPED_TEST(roi_of, agrees_with_plain_loops) {
  using T = TypeParam;
  std::mt19937_64 random(20240607);
  auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    std::size_t planes = 1 + below(3), rows = 1 + below(9), columns = 1 + below(700);
    auto row = below(rows), column = below(columns);
    auto end_row = row + 1 + below(rows - row), end_column = column + 1 + below(columns - column);
    if (round % 3 == 0) column = 0, end_column = columns;
    std::vector<T> pixels(planes * rows * columns);
    for (auto& x : pixels) x = random_pixel<T>(random);

    long double sum = 0;
    T lowest = std::numeric_limits<T>::max(), highest = std::numeric_limits<T>::lowest();
    __extension__ __int128 exact = 0;
    for (std::size_t p = 0; p < planes; ++p)
      for (auto r = row; r < end_row; ++r)
        for (auto c = column; c < end_column; ++c) {
          auto x = pixels[(p * rows + r) * columns + c];
          if constexpr (std::is_integral_v<T>)
            exact += x;
          else
            sum += x;
          lowest = std::min(lowest, x);
          highest = std::max(highest, x);
        }
    auto expected = std::is_integral_v<T> ? static_cast<double>(exact) : static_cast<double>(sum);
    auto count = static_cast<double>(planes * (end_row - row) * (end_column - column));

    std::vector<std::size_t> shape{rows, columns};
    if (planes > 1 || round % 2 == 0) shape.insert(shape.begin(), planes);
    std::vector<std::vector<std::byte>> parts{header_of(shape, name_of(dtype_for<T>()))};
    auto bytes = bytes_of(pixels);
    auto blobs = round % 5 == 0 ? shape[0] : 1;
    auto length = static_cast<std::ptrdiff_t>(bytes.size() / blobs);
    for (auto first = bytes.begin(); first != bytes.end(); first += length)
      parts.emplace_back(first, first + length);
    roi analysis(region(fmt::format("{}:{}", row, end_row), fmt::format("{}:{}", column, end_column)));
    auto found = analysis.numbers(message(parts));
    EXPECT_EQ(found[2], static_cast<double>(lowest));
    EXPECT_EQ(found[3], static_cast<double>(highest));
    EXPECT_DOUBLE_EQ(found[1], expected);
    if (std::is_integral_v<T>) {
      EXPECT_EQ(found[1], expected);
    }
    EXPECT_DOUBLE_EQ(found[0], expected / count);
  }
}

/// ZeroMQ and mapped files put pixels at any address.
TYPED_TEST(roi_of, pixels_need_no_alignment) {
  using T = TypeParam;
  std::vector<T> pixels(300, T{3});
  auto header = header_of({300}, name_of(dtype_for<T>()));
  auto shifted = std::make_shared<std::vector<std::byte>>(1);
  auto bytes = bytes_of(pixels);
  shifted->insert(shifted->end(), bytes.begin(), bytes.end());
  std::vector<frame> views{frame(header), frame(shifted->data() + 1, bytes.size())};
  stream_data data(std::make_unique<borrowed_frames>(views, shifted), stins_type_tag);
  EXPECT_EQ(roi().numbers(data), (std::array<double, 4>{3, 900, 3, 3}));
}

/// A line of pixels, in one blob and with a blob for each.
TYPED_TEST(roi_of, lines_are_chosen_by_columns) {
  using T = TypeParam;
  std::vector<T> pixels{1, 2, 3, 4, 5};
  EXPECT_EQ(roi(region("", "1:4")).numbers(image({5}, pixels)), (std::array<double, 4>{3, 9, 2, 4}));
  std::vector<std::vector<std::byte>> parts{header_of({5}, name_of(dtype_for<T>()))};
  for (auto x : pixels) parts.push_back(bytes_of(std::vector<T>{x}));
  EXPECT_EQ(roi(region("", "1:4")).numbers(message(parts)), (std::array<double, 4>{3, 9, 2, 4}));
}

TEST(roi, floating_point_sums_are_compensated) {
  std::vector<double> pixels;
  for (int i = 0; i < 1000; ++i) pixels.insert(pixels.end(), {1e16, 1.0, -1e16});
  EXPECT_EQ(roi().numbers(image({3000}, pixels))[1], 1000.0);
}

TEST(roi, nan_and_infinity) {
  const double nan = NAN, infinity = INFINITY;
  std::vector<double> pixels(100, 1.0);
  pixels[42] = nan;
  for (auto x : roi().numbers(image({10, 10}, pixels))) EXPECT_TRUE(std::isnan(x));
  EXPECT_EQ(roi(region("5:", "")).numbers(image({10, 10}, pixels))[1], 50.0);
  pixels[42] = infinity;
  EXPECT_EQ(roi().numbers(image({10, 10}, pixels)),
            (std::array<double, 4>{infinity, infinity, 1.0, infinity}));
}

TEST(roi, a_recording_of_a_detector) {
  auto path = test::find_recording("dump_xrd.cbors");
  if (!path) GTEST_SKIP() << "no recordings here";
  dump_reader reader(mapped_file::open(*path));
  std::vector<double> means, expected_means;
  double total = 0;
  roi corner(region("0:2", "8:10")), whole(stream("xrd"));
  while (auto item = reader.next()) {
    ASSERT_EQ(item->streams.size(), 1u);
    auto& data = item->streams[0].data;
    if (corner.process(data).what() == answer::kind::nothing) continue;
    means.push_back(corner.numbers(data)[0]);
    total += whole.numbers(data)[1];
    std::uint16_t pixels[10][10];
    ASSERT_EQ(data.frames()[1].size(), sizeof pixels);
    std::memcpy(pixels, data.frames()[1].data(), sizeof pixels);
    expected_means.push_back((pixels[0][8] + pixels[0][9] + pixels[1][8] + pixels[1][9]) / 4.0);
  }
  EXPECT_THAT(means, testing::ElementsAreArray(expected_means));
  EXPECT_THAT(means, testing::ElementsAre(9.25, 11.25, 11.75, 4.25, 2.25, 3.0, 4.75, 7.75, 10.75));
  EXPECT_EQ(total, 10809);
}

} // namespace
} // namespace dtranspose
