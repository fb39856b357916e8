#include "analysis/image_region.hpp"

#include <charconv>
#include <stdexcept>

#include <fmt/format.h>

namespace dtranspose {

namespace {

/// A place in the text of `parameter`; nothing where it is left out.
std::optional<std::size_t> place_of(std::string_view text) {
  std::size_t place = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), place);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return place;
}

} // namespace

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

span_of_axis parse_span(std::string_view parameter, const std::string& written) {
  auto text = trimmed(written);
  if (text.empty()) return {};
  auto refuse = [&] {
    return std::invalid_argument(
        fmt::format("parameter '{}': '{}' is no range of pixels; an example is 16:48 for pixels 16 to 47",
                    parameter, written));
  };
  auto colon = text.find(':');
  if (colon == text.npos) throw refuse();
  auto first = trimmed(text.substr(0, colon)), last = trimmed(text.substr(colon + 1));
  span_of_axis range;
  if (!first.empty()) {
    auto begin = place_of(first);
    if (!begin) throw refuse();
    range.begin = *begin;
  }
  if (!last.empty()) {
    range.end = place_of(last);
    if (!range.end || *range.end <= range.begin) throw refuse();
  }
  return range;
}

std::string image_region::text() const {
  return fmt::format("rows '{}', columns '{}'", rows_text, columns_text);
}

rectangle place(const image_region& wanted, const image_view& image) {
  auto refuse = [&](std::string_view why) {
    return std::runtime_error(
        fmt::format("region of {} {} an image of shape {}", wanted.text(), why, shape_text(image.shape)));
  };
  rectangle r;
  auto dimensions = image.shape.size();
  auto rows = wanted.rows, columns = wanted.columns;
  for (std::size_t axis = 0; axis + 2 < dimensions; ++axis) r.planes *= image.shape[axis];
  if (dimensions >= 1) r.columns = image.shape[dimensions - 1];
  if (dimensions >= 2) r.rows = image.shape[dimensions - 2];
  if (dimensions < 2 && !rows.everything()) throw refuse("has rows, unlike");
  if (dimensions == 0 && !columns.everything()) throw refuse("has columns, unlike");
  if (dimensions == 1 && image.blobs.size() > 1) { // each element is a blob: a column of rows
    std::swap(r.rows, r.columns);
    std::swap(rows, columns);
  }
  if (r.planes == 0 || !rows.fits(r.rows) || !columns.fits(r.columns)) throw refuse("is not inside of");
  r.row = rows.begin;
  r.end_row = rows.end_in(r.rows);
  r.column = columns.begin;
  r.end_column = columns.end_in(r.columns);
  return r;
}

} // namespace dtranspose
