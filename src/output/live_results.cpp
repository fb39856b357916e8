#include "output/live_results.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

#include "output/elements.hpp"
#include "output/value_tree.hpp"

namespace dtranspose {

namespace {

/// The part of the rows that is given up at once when there is no room for a later event.
constexpr std::uint64_t part_moved = 4;

/// Bytes of a row; 0 where it is larger than `most`.
std::size_t row_bytes_of(const result_description& result, std::size_t most) {
  std::size_t bytes = size_of(result.type);
  for (auto length : result.shape) {
    if (length == 0 || bytes > most / length) return 0;
    bytes *= length;
  }
  return bytes;
}

value_map described_attributes(const result_description& result) {
  value_map attributes;
  if (!result.unit.empty()) attributes.set("units", result.unit);
  if (!result.axes.empty()) attributes.set("axes", value_list(result.axes.begin(), result.axes.end()));
  return attributes;
}

/// Adds those that are not there.
void add_attributes(value_map& tree, const std::string& name, const value_map& more) {
  if (more.empty()) return;
  auto key = name + "_attrs";
  auto there = tree.find(key);
  value_map all;
  if (there && there->as_map()) all = *there->as_map();
  for (auto& [attribute, content] : more)
    if (!all.find(attribute)) all.set(attribute, content);
  tree.set(key, std::move(all));
}

} // namespace

// --- rows ----------------------------------------------------------------------------------------

live_rows::live_rows(result_description result, std::uint64_t events, std::size_t most_bytes)
    : result_(std::move(result)), events_(events), row_bytes_(row_bytes_of(result_, most_bytes)) {
  if (row_bytes_ == 0) return;
  count_ = std::min<std::uint64_t>(events, most_bytes / row_bytes_);
  bytes_.resize(count_ * row_bytes_);
  fill_missing(result_.type, bytes_);
}

void live_rows::set(std::uint64_t event, const value& content) {
  if (content.is_null() || count_ == 0 || event < first_ || event >= events_) return;
  auto elements = content.as_array();
  std::optional<array> listed;
  if (auto list = content.as_list(); list && (listed = array_of_numbers(*list))) elements = &*listed;
  bool scalar = result_.shape.empty();
  if (elements) {
    bool fits = elements->shape() == result_.shape || (scalar && elements->size() == 1);
    if (!fits || elements->bytes().size() / size_of(elements->type()) * size_of(result_.type) != row_bytes_)
      return;
  } else if (!scalar || !(content.as_bool() || content.as_number())) {
    return;
  }
  if (event >= first_ + count_) move_to(std::min(event + 1 + count_ / part_moved, events_) - count_);
  if (elements)
    convert(*elements, result_.type, row(event));
  else
    convert(content, result_.type, row(event));
  changed_ = true;
}

void live_rows::move_to(std::uint64_t first) {
  auto kept = first - first_ < count_ ? (count_ - (first - first_)) * row_bytes_ : 0;
  if (kept > 0) std::memmove(bytes_.data(), bytes_.data() + bytes_.size() - kept, kept);
  fill_missing(result_.type, std::span(bytes_).subspan(kept));
  first_ = first;
}

array live_rows::rows() {
  if (!std::exchange(changed_, false)) return copy_;
  std::vector<std::size_t> shape{count_};
  shape.insert(shape.end(), result_.shape.begin(), result_.shape.end());
  auto copy = std::make_shared_for_overwrite<std::byte[]>(std::max<std::size_t>(bytes_.size(), 1));
  if (!bytes_.empty()) std::memcpy(copy.get(), bytes_.data(), bytes_.size());
  copy_ = array(result_.type, std::move(shape), std::move(copy));
  return copy_;
}

value_map live_rows::attributes() const {
  auto attributes = described_attributes(result_);
  if (result_.type < dtype::float32) attributes.set("_FillValue", missing_element(result_.type));
  if (count_ < events_) attributes.set("first_event", first_);
  return attributes;
}

// --- the tree ------------------------------------------------------------------------------------

live_results::live_results(std::vector<result_description> results, std::uint64_t events,
                           std::size_t most_bytes) {
  for (auto& result : results)
    if (result.extent == result_extent::per_event)
      rows_.emplace_back(std::move(result), events, most_bytes);
    else
      per_scan_.push_back(std::move(result));
}

void live_results::set_row(event_number event, const value& content) {
  auto map = content.as_map();
  if (!map && rows_.size() == 1) rows_.front().set(event.value, content);
  if (!map || rows_.empty()) return;
  for (auto& [name, x] : *map) {
    if (rows_[expected_].name() != name) {
      auto found = std::ranges::find(rows_, name, &live_rows::name);
      if (found == rows_.end()) continue;
      expected_ = static_cast<std::size_t>(found - rows_.begin());
    }
    rows_[expected_].set(event.value, x);
    expected_ = expected_ + 1 == rows_.size() ? 0 : expected_ + 1;
  }
}

value live_results::tree(const value& published, value_map scan) {
  value_map tree;
  if (auto map = published.as_map()) tree = *map;
  for (auto& result : per_scan_)
    if (tree.find(result.name)) add_attributes(tree, result.name, described_attributes(result));
  for (auto& rows : rows_) {
    if (!rows.kept()) continue;
    tree.set(rows.name(), rows.rows());
    add_attributes(tree, rows.name(), rows.attributes());
  }
  if (!tree.find("scan")) tree.set("scan", std::move(scan));
  return tree;
}

} // namespace dtranspose
