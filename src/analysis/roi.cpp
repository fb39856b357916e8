#include "analysis/roi.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "analysis/compensated_sum.hpp"
#include "analysis/image_region.hpp"

namespace dtranspose {

namespace {

/// A region, and what its results are called.
struct region : image_region {
  std::array<std::string, 4> names = {"mean", "sum", "min", "max"};
};

/// Results are data sets of a file.
bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-' || c == '.';
  });
}

/// `NAME=ROWS,COLUMNS`
region parse_named_region(std::string_view written) {
  auto refuse = [&](std::string_view why) {
    return std::invalid_argument(fmt::format(
        "parameter 'regions': '{}' {}; an example is ring=16:48,0:100; spot=:,200:210", written, why));
  };
  auto equals = written.find('='), comma = written.find(',');
  if (equals == written.npos || comma == written.npos || comma < equals)
    throw refuse("is not of the form NAME=ROWS,COLUMNS");
  region r;
  auto name = trimmed(written.substr(0, equals));
  if (!is_name(name))
    throw refuse("has a name that is empty, or has other characters than letters, digits, _ - .");
  r.rows_text = trimmed(written.substr(equals + 1, comma - equals - 1));
  r.columns_text = trimmed(written.substr(comma + 1));
  r.rows = parse_span("regions", r.rows_text);
  r.columns = parse_span("regions", r.columns_text);
  for (auto& n : r.names) n = fmt::format("{}_{}", name, n);
  return r;
}

/// The regions as the parameters say, read anew only when those change.
class region_list {
 public:
  explicit region_list(const parameters& settings) { update(settings); }

  /// Throws std::invalid_argument, naming the parameter.
  void update(const parameters& settings) {
    constexpr std::string_view parameters_read[] = {"rows", "columns", "regions"};
    bool same = !all_.empty();
    for (std::size_t i = 0; i < std::size(parameters_read); ++i) {
      auto written = settings.find(parameters_read[i]);
      same = same && (!written || *written == texts_[i]);
    }
    if (same) return;
    for (std::size_t i = 0; i < std::size(parameters_read); ++i)
      texts_[i] = settings.text(parameters_read[i]);
    all_ = read();
  }

  const std::vector<region>& all() const { return all_; }

 private:
  std::vector<region> read() const {
    region unnamed;
    unnamed.rows = parse_span("rows", unnamed.rows_text = texts_[0]);
    unnamed.columns = parse_span("columns", unnamed.columns_text = texts_[1]);
    std::vector<region> regions;
    for (std::string_view rest = texts_[2]; !rest.empty();) {
      auto end = std::min(rest.find(';'), rest.size());
      if (auto written = trimmed(rest.substr(0, end)); !written.empty())
        add(regions, parse_named_region(written));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    bool chosen = !unnamed.rows.everything() || !unnamed.columns.everything();
    if (chosen || regions.empty()) regions.insert(regions.begin(), unnamed);
    return regions;
  }

  static void add(std::vector<region>& to, region r) {
    constexpr std::size_t most = 100;
    if (to.size() == most)
      throw std::invalid_argument(fmt::format("parameter 'regions': there are more than {}", most));
    for (auto& other : to)
      if (other.names == r.names)
        throw std::invalid_argument(fmt::format("parameter 'regions': {} is there twice",
                                                r.names[0].substr(0, r.names[0].size() - 5)));
    to.push_back(std::move(r));
  }

  std::array<std::string, 3> texts_;
  std::vector<region> all_;
};

struct statistics {
  double sum = 0, lowest = 0, highest = 0;
};

__extension__ using int128 = __int128;

/// Sums integers exactly: so many pixels that 128 bits overflow do not exist.
template <class T>
class gatherer {
 public:
  void add(const std::byte* pixels, std::size_t n) {
    // Fixed lengths, so that the compiler makes vector code of them.
    for (; n >= 256; n -= 256, pixels += 256 * sizeof(T)) add_block<256>(pixels);
    for (; n >= 32; n -= 32, pixels += 32 * sizeof(T)) add_block<32>(pixels);
    for (; n > 0; --n, pixels += sizeof(T)) add_block<1>(pixels);
  }

  statistics result() const {
    return {static_cast<double>(sum_), static_cast<double>(lowest_), static_cast<double>(highest_)};
  }

 private:
  /// Holds the sum of 256 pixels, of the fewest bytes where that makes a loop faster.
  using block_sum = std::conditional_t<
      sizeof(T) == 8, int128,
      std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>,
                         std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>>>;

  template <std::size_t n>
  void add_block(const std::byte* pixels) {
    block_sum sum = 0;
    T lowest = lowest_, highest = highest_;
    for (std::size_t i = 0; i < n; ++i) {
      T x;
      std::memcpy(&x, pixels + i * sizeof(T), sizeof(T));
      sum += x;
      lowest = x < lowest ? x : lowest;
      highest = x > highest ? x : highest;
    }
    sum_ += sum;
    lowest_ = lowest;
    highest_ = highest;
  }

  int128 sum_ = 0;
  T lowest_ = std::numeric_limits<T>::max(), highest_ = std::numeric_limits<T>::lowest();
};

/// Compensated sums in lanes.
template <class T>
  requires std::is_floating_point_v<T>
class gatherer<T> {
 public:
  void add(const std::byte* pixels, std::size_t n) {
    for (; n >= lanes; n -= lanes, pixels += lanes * sizeof(T)) add_block<lanes>(pixels);
    for (; n > 0; --n, pixels += sizeof(T)) add_block<1>(pixels);
  }

  statistics result() const {
    double lowest = lowest_[0], highest = highest_[0], sum = 0, error = 0;
    bool some_nan = false;
    for (std::size_t i = 0; i < lanes; ++i) {
      add_compensated(sum, error, sum_[i]);
      error += error_[i];
      lowest = std::min(lowest, lowest_[i]);
      highest = std::max(highest, highest_[i]);
      some_nan |= nans_[i] != 0;
    }
    if (some_nan) lowest = highest = sum = std::numeric_limits<double>::quiet_NaN();
    // With an infinite sum there is no error to speak of.
    return {std::isfinite(sum) ? sum + error : sum, lowest, highest};
  }

 private:
  static constexpr std::size_t lanes = 8;

  template <std::size_t n>
  void add_block(const std::byte* pixels) {
    for (std::size_t i = 0; i < n; ++i) {
      T pixel;
      std::memcpy(&pixel, pixels + i * sizeof(T), sizeof(T));
      double x = pixel;
      add_compensated(sum_[i], error_[i], x);
      lowest_[i] = x < lowest_[i] ? x : lowest_[i];
      highest_[i] = x > highest_[i] ? x : highest_[i];
      nans_[i] += x == x ? 0.0 : 1.0;
    }
  }

  static constexpr double infinity = std::numeric_limits<double>::infinity();

  double sum_[lanes] = {}, error_[lanes] = {}, nans_[lanes] = {};
  double lowest_[lanes] = {infinity, infinity, infinity, infinity, infinity, infinity, infinity, infinity};
  double highest_[lanes] = {-infinity, -infinity, -infinity, -infinity,
                            -infinity, -infinity, -infinity, -infinity};
};

/// Bytes of row `r` of the image, counted through all planes: rows lie in blobs of equal length.
const std::byte* row_at(const image_view& image, std::size_t r, std::size_t rows_per_blob,
                        std::size_t row_bytes) {
  return image.blobs[r / rows_per_blob].data() + r % rows_per_blob * row_bytes;
}

template <class T>
statistics gather(const image_view& image, const rectangle& r) {
  gatherer<T> gathered;
  auto row_bytes = r.columns * sizeof(T);
  auto rows_per_blob = r.planes * r.rows / image.blobs.size();
  bool whole_rows = r.column == 0 && r.end_column == r.columns;
  for (std::size_t plane = 0; plane < r.planes; ++plane)
    for (auto row = r.row; row < r.end_row;) {
      auto at = plane * r.rows + row;
      // Rows that follow one another in memory are taken at once.
      auto together = whole_rows ? std::min(r.end_row - row, rows_per_blob - at % rows_per_blob) : 1;
      gathered.add(row_at(image, at, rows_per_blob, row_bytes) + r.column * sizeof(T),
                   together * (r.end_column - r.column));
      row += together;
    }
  return gathered.result();
}

class roi_worker final : public worker_part {
 public:
  explicit roi_worker(const parameters& settings) : regions_(settings) {}

  answer process_event(const event& e, const parameters& settings, bool) override {
    regions_.update(settings);
    auto stream = settings.find("stream");
    auto image = find_image(e, stream ? std::string_view(*stream) : std::string_view());
    if (!image) return answer::nothing();
    value_map result;
    result.reserve(4 * regions_.all().size());
    for (auto& region : regions_.all()) {
      auto where = place(region, *image);
      auto found = visit_dtype(image->type, [&]<class T>(T) { return gather<T>(*image, where); });
      auto mean = found.sum / static_cast<double>(where.pixels());
      std::size_t i = 0;
      for (auto number : {mean, found.sum, found.lowest, found.highest})
        result.set(region.names[i++], number);
    }
    return answer::result(std::move(result));
  }

 private:
  region_list regions_;
};

class roi_analysis final : public analysis {
 public:
  std::string_view name() const override { return "roi"; }
  std::string_view description() const override {
    return "mean, sum, min and max of rectangular regions of an image, per event";
  }

  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {
        {"stream", text, "", "stream of the images; empty: the first that has one"},
        {"rows", text, "", "rows of the region, e.g. 16:48 for rows 16 to 47; empty: all"},
        {"columns", text, "", "columns of the region, e.g. 16:48; empty: all"},
        {"regions", text, "", "more regions with names, e.g. ring=16:48,0:100; spot=:,200:210"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    const region_list regions(settings); // throws where one is none
    std::vector<result_description> results;
    for (auto& region : regions.all())
      for (auto& name : region.names) results.push_back({.name = name});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<roi_worker>(settings);
  }
};

} // namespace

std::unique_ptr<analysis> make_roi_analysis() { return std::make_unique<roi_analysis>(); }

} // namespace dtranspose
