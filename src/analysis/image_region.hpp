/// Rectangles of images that somebody chose by rows and columns.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "analysis/image.hpp"

namespace dtranspose {

/// Without blanks and tabs at the ends.
std::string_view trimmed(std::string_view text);

/// The places begin..end-1 along one axis; without an end, all from `begin` on.
struct span_of_axis {
  std::size_t begin = 0;
  std::optional<std::size_t> end = {};

  bool everything() const { return begin == 0 && !end; }
  std::size_t end_in(std::size_t extent) const { return end.value_or(extent); }
  bool fits(std::size_t extent) const { return begin < end_in(extent) && end_in(extent) <= extent; }
};

/// `A:B`, `A:`, `:B`, `:` or nothing at all. Throws std::invalid_argument, naming the parameter.
span_of_axis parse_span(std::string_view parameter, const std::string& written);

struct image_region {
  span_of_axis rows, columns;
  std::string rows_text, columns_text;

  std::string text() const;
};

/// Where the pixels of a region are: `planes` times the same rectangle of each.
struct rectangle {
  std::size_t planes = 1, rows = 1, columns = 1; ///< of the image
  std::size_t row = 0, end_row = 1, column = 0, end_column = 1;

  std::size_t pixels() const { return planes * (end_row - row) * (end_column - column); }
};

/// Rows and columns are the last two axes; columns the only one of a line. Throws std::runtime_error, naming
/// shape and region, when the region is not inside of the image.
rectangle place(const image_region& wanted, const image_view& image);

} // namespace dtranspose
