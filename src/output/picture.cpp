#include "output/picture.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dtranspose {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Where the i-th of n equal parts of a window begins.
std::size_t edge(const window& w, std::size_t i, std::size_t n) { return w.begin + i * w.size() / n; }

/// The lowest and highest finite values met so far.
class range_finder {
 public:
  template <class T>
  void add(const T* elements, std::size_t n) {
    // In the type of the elements, so that the compiler makes vector code of it.
    T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::lowest();
    for (std::size_t i = 0; i < n; ++i) {
      auto x = elements[i];
      bool counts = true;
      if constexpr (std::is_floating_point_v<T>) counts = std::isfinite(x);
      low = counts && x < low ? x : low;
      high = counts && x > high ? x : high;
    }
    if (low > high) return;
    low_ = std::min(low_, static_cast<double>(low));
    high_ = std::max(high_, static_cast<double>(high));
  }

  std::optional<std::pair<double, double>> range() const {
    if (low_ > high_) return std::nullopt;
    return std::pair(low_, high_);
  }

 private:
  double low_ = std::numeric_limits<double>::infinity(), high_ = -std::numeric_limits<double>::infinity();
};

template <class T>
bool is_number(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return !std::isnan(x);
  else
    return true;
}

/// One row of the picture, out of several rows of the array.
template <class T>
class row_reducer {
 public:
  row_reducer(window columns, std::size_t width, reduction how) : how_(how), sums_(width), numbers_(width) {
    for (std::size_t x = 0; x <= width; ++x) edges_.push_back(edge(columns, x, width));
  }

  void begin() {
    std::fill(sums_.begin(), sums_.end(), how_ == reduction::max ? -infinity : 0);
    std::fill(numbers_.begin(), numbers_.end(), 0);
  }

  void add(const T* row) {
    for (std::size_t x = 0; x < sums_.size(); ++x) {
      for (auto i = edges_[x]; i < edges_[x + 1]; ++i) {
        if (!is_number(row[i])) continue;
        auto element = static_cast<double>(row[i]);
        sums_[x] = how_ == reduction::max ? std::max(sums_[x], element) : sums_[x] + element;
        ++numbers_[x];
      }
    }
  }

  void end(float* to) const {
    for (std::size_t x = 0; x < sums_.size(); ++x) {
      auto n = static_cast<double>(numbers_[x]);
      to[x] = static_cast<float>(n == 0 ? nan : how_ == reduction::max ? sums_[x] : sums_[x] / n);
    }
  }

 private:
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  reduction how_;
  std::vector<std::size_t> edges_; ///< of the parts of the window
  std::vector<double> sums_;
  std::vector<std::uint32_t> numbers_;
};

template <class T>
void pick_nearest(const T* plane, std::size_t row_length, window rows, window columns, picture& p) {
  auto middle = [](const window& w, std::size_t i, std::size_t n) {
    return (edge(w, i, n) + edge(w, i + 1, n)) / 2;
  };
  for (std::size_t y = 0; y < p.height; ++y) {
    auto row = plane + middle(rows, y, p.height) * row_length;
    for (std::size_t x = 0; x < p.width; ++x)
      p.pixels[y * p.width + x] = static_cast<float>(row[middle(columns, x, p.width)]);
  }
}

/// Every pixel is one element: nothing is to be reduced.
template <class T>
void copy_window(const T* plane, std::size_t row_length, window rows, window columns, picture& p) {
  for (std::size_t y = 0; y < p.height; ++y)
    std::transform(plane + (rows.begin + y) * row_length + columns.begin,
                   plane + (rows.begin + y) * row_length + columns.end, p.pixels.begin() + y * p.width,
                   [](T x) { return static_cast<float>(x); });
}

template <class T>
void reduce(const T* plane, std::size_t row_length, window rows, window columns, reduction how, picture& p) {
  row_reducer<T> row(columns, p.width, how);
  for (std::size_t y = 0; y < p.height; ++y) {
    row.begin();
    auto end = edge(rows, y + 1, p.height);
    for (auto r = edge(rows, y, p.height); r < end; ++r) row.add(plane + r * row_length);
    row.end(p.pixels.data() + y * p.width);
  }
}

} // namespace

picture picture_of(const array& from, std::span<const std::size_t> index, window rows, window columns,
                   std::size_t height, std::size_t width, reduction how) {
  auto& shape = from.shape();
  auto row_length = shape.back(), plane_size = shape[shape.size() - 2] * row_length;
  std::size_t plane = 0;
  for (std::size_t i = 0; i < index.size(); ++i) plane = plane * shape[i] + index[i];
  picture p{.height = std::min(height, rows.size()), .width = std::min(width, columns.size())};
  p.pixels.resize(p.height * p.width);
  visit_dtype(from.type(), [&]<class T>(T) {
    auto elements = from.elements<T>().data() + plane * plane_size;
    range_finder found;
    for (auto r = rows.begin; r < rows.end; ++r)
      found.add(elements + r * row_length + columns.begin, columns.size());
    p.range = found.range();
    if (p.height == rows.size() && p.width == columns.size())
      copy_window(elements, row_length, rows, columns, p);
    else if (how == reduction::nearest)
      pick_nearest(elements, row_length, rows, columns, p);
    else
      reduce(elements, row_length, rows, columns, how, p);
  });
  return p;
}

picture curve_of(const array& from, window places, std::size_t width) {
  picture p{.height = 3, .width = std::min(width, places.size())};
  p.pixels.resize(3 * p.width);
  visit_dtype(from.type(), [&]<class T>(T) {
    auto elements = from.elements<T>().data();
    range_finder all;
    all.add(elements + places.begin, places.size());
    p.range = all.range();
    for (std::size_t x = 0; x < p.width; ++x) {
      auto begin = edge(places, x, p.width), end = edge(places, x + 1, p.width);
      double low = nan, high = nan;
      for (auto i = begin; i < end; ++i)
        if (is_number(elements[i])) {
          low = std::fmin(low, static_cast<double>(elements[i]));
          high = std::fmax(high, static_cast<double>(elements[i]));
        }
      p.pixels[x] = static_cast<float>(static_cast<double>(begin + end - 1) / 2);
      p.pixels[p.width + x] = static_cast<float>(low);
      p.pixels[2 * p.width + x] = static_cast<float>(high);
    }
  });
  return p;
}

value element_at(const array& from, std::size_t i) {
  return visit_dtype(from.type(), [&]<class T>(T) { return value(from.elements<T>()[i]); });
}

} // namespace dtranspose
