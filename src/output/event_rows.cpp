#include "output/event_rows.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include "output/elements.hpp"
#include "output/packed_chunk.hpp"
#include "output/value_tree.hpp"

namespace dtranspose {

namespace {

/// Rows of a chunk of scalars: 8 KiB of float64, of which readers of a few rows do not mind.
constexpr std::uint64_t most_page_rows = 1024;
/// Chunks of arrays aim at this, within the 64 KiB to 1 MiB that readers like.
constexpr std::size_t good_page_bytes = 256 << 10;
/// The largest chunk; HDF5's own chunk cache of a data set holds one of these.
constexpr std::size_t most_page_bytes = 1 << 20;
/// Open pages of a data set: rows that come in order of a handful of workers need few.
constexpr std::size_t open_bytes = 1 << 20;
constexpr std::size_t most_open_pages = 64;
/// A bit for each filter of a packed data set, as the library counts those that a chunk has not passed.
constexpr std::uint32_t shuffle_and_deflate = 3;

std::string text_of(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (auto n : shape) text += (text.size() > 1 ? "," : "") + std::to_string(n);
  return text + "]";
}

/// The number of elements of a shape; fails where it has no room in memory.
std::size_t elements_of(const std::vector<std::size_t>& shape, const std::string& where) {
  constexpr std::size_t most = std::size_t{1} << 40;
  std::size_t n = 1;
  for (auto length : shape) {
    if (length > most || (length && n > most / length))
      throw std::runtime_error(where + ": shape " + text_of(shape) + " is too large");
    n *= length;
  }
  return n;
}

} // namespace

event_rows::event_rows(hid_t group, const std::string& where, const result_description& result,
                       std::uint64_t events, const row_layout& layout)
    : where_(where + "/" + result.name), result_(result), layout_(layout), events_(events),
      elements_(elements_of(result.shape, where_)), row_bytes_(elements_ * size_of(result.type)),
      missing_(size_of(result.type)) {
  if (!layout_.zero_is_missing) fill_missing(result.type, missing_);
  if (row_bytes_ > 0 && row_bytes_ <= most_page_bytes) {
    page_rows_ = layout_.chunk
                     ? std::max<std::uint64_t>(std::min(layout_.chunk, most_page_bytes) / row_bytes_, 1)
                     : std::clamp<std::uint64_t>(good_page_bytes / row_bytes_, 1, most_page_rows);
    page_bytes_ = page_rows_ * row_bytes_;
    most_pages_ = std::clamp<std::size_t>(open_bytes / page_bytes_, 2, most_open_pages);
    pages_.reserve(most_pages_);
  }
  if (row_bytes_ == 0) extent_ = events; // there is nothing to wait for
  std::vector<hsize_t> shape{extent_};
  shape.insert(shape.end(), result.shape.begin(), result.shape.end());
  auto most = shape;
  if (row_bytes_ > 0) most[0] = H5S_UNLIMITED; // chunks may then be larger than a short scan
  hdf5::handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), most.data()), H5Sclose,
                     where_, "this shape cannot be used");
  dataset_ = hdf5::make_dataset(group, result.name, hdf5::type_of(result.type), space.get(), settings().get(),
                                where_);
  write_attributes();
}

hdf5::handle event_rows::settings() const {
  hdf5::handle settings(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where_, "cannot be described");
  hdf5::check(H5Pset_fill_value(settings.get(), hdf5::type_of(result_.type), missing_.data()), where_,
              "has no missing value");
  if (row_bytes_ == 0) return settings;
  auto chunk = chunk_shape();
  hdf5::check(H5Pset_chunk(settings.get(), static_cast<int>(chunk.size()), chunk.data()), where_,
              "cannot be chunked");
  if (layout_.deflate == 0) return settings;
  hdf5::check(H5Pset_shuffle(settings.get()), where_, "cannot be packed");
  hdf5::check(H5Pset_deflate(settings.get(), static_cast<unsigned>(layout_.deflate)), where_,
              "cannot be packed");
  return settings;
}

std::vector<hsize_t> event_rows::chunk_shape() const {
  std::vector<hsize_t> chunk{std::max<hsize_t>(page_rows_, 1)};
  chunk.insert(chunk.end(), result_.shape.begin(), result_.shape.end());
  if (page_rows_) return chunk;
  auto bytes = row_bytes_;
  for (std::size_t i = 1; i < chunk.size(); ++i)
    while (bytes > most_page_bytes && chunk[i] > 1) {
      bytes /= chunk[i];
      chunk[i] = (chunk[i] + 1) / 2;
      bytes *= chunk[i];
    }
  return chunk;
}

void event_rows::write_attributes() {
  complaint_list ignored; // these can always be written
  value_tree tree(where_, ignored);
  if (!result_.unit.empty()) tree.write_attribute(dataset_.get(), "units", result_.unit);
  if (!result_.axes.empty())
    tree.write_attribute(dataset_.get(), "axes", value_list(result_.axes.begin(), result_.axes.end()));
  if (result_.type < dtype::float32 && !layout_.zero_is_missing)
    tree.write_attribute(dataset_.get(), "_FillValue", missing_element(result_.type));
  if (auto dimensions = result_.shape.size(); dimensions == 1 || dimensions == 2)
    tree.write_attribute(dataset_.get(), "interpretation", dimensions == 1 ? "spectrum" : "image");
}

void event_rows::set(std::uint64_t row, const value& content, complaint_list& complaints) {
  if (content.is_null() || row_bytes_ == 0) return;
  auto complain = [&](const std::string& text) {
    complaints.add(result_.name, "event " + std::to_string(row) + ": " + text);
  };
  auto elements = content.as_array();
  std::optional<array> listed;
  if (auto list = content.as_list(); list && (listed = array_of_numbers(*list))) elements = &*listed;
  bool scalar = result_.shape.empty();
  if (elements && elements->shape() != result_.shape && !(scalar && elements->size() == 1))
    return complain("shape " + text_of(elements->shape()) + " instead of " + text_of(result_.shape));
  if (elements && elements->bytes().size() != elements_ * size_of(elements->type()))
    return complain("an array without data");
  bool number = content.as_bool() || content.as_number();
  if (!elements && !(scalar && number)) return complain(scalar ? "no number" : "no array of numbers");

  length_ = std::max(length_, row + 1);
  if (!page_rows_ && elements->type() == result_.type) return write_large(row, elements->bytes().data());
  if (!page_rows_) scratch_.resize(row_bytes_);
  std::byte* to = scratch_.data();
  if (page_rows_) {
    auto& page = page_of(row / page_rows_);
    page.dirty = true;
    ++page.set;
    to = page.rows.get() + row % page_rows_ * row_bytes_;
  }
  bool all = elements ? convert(*elements, result_.type, to) : convert(content, result_.type, to);
  if (!all) complain("a number that " + std::string(name_of(result_.type)) + " cannot hold");
  if (!page_rows_) write_large(row, to);
}

event_rows::page& event_rows::page_of(std::uint64_t number) {
  if (current_ && current_->number == number) return *current_;
  current_ = nullptr; // stays so if anything below fails
  auto open =
      std::find_if(pages_.begin(), pages_.end(), [&](auto& p) { return p.rows && p.number == number; });
  bool closed = open == pages_.end();
  auto& page = closed ? free_page() : *open;
  if (closed) load(page, number);
  page.used = ++clock_;
  current_ = &page;
  return page;
}

event_rows::page& event_rows::free_page() {
  if (pages_.size() < most_pages_) return pages_.emplace_back();
  auto& oldest =
      *std::min_element(pages_.begin(), pages_.end(), [](auto& a, auto& b) { return a.used < b.used; });
  write(oldest, occasion::closing);
  return oldest;
}

void event_rows::load(page& into, std::uint64_t number) {
  auto rows = into.rows ? std::move(into.rows) : std::make_unique_for_overwrite<std::byte[]>(page_bytes_);
  into.number = number;
  into.set = 0;
  into.unpacked = false;
  into.reloaded = number < stored_.size() && stored_[number];
  if (into.reloaded)
    read(into, rows.get());
  else
    for (std::size_t at = 0; at < page_bytes_; at += missing_.size())
      std::memcpy(rows.get() + at, missing_.data(), missing_.size());
  into.rows = std::move(rows);
}

void event_rows::read(page& into, std::byte* rows) {
  std::vector<hsize_t> offset(result_.shape.size() + 1);
  offset[0] = into.number * page_rows_;
  std::uint32_t left_out = 0; // filters, a bit for each
  auto fetch = [&](std::byte* to) {
    hdf5::check(H5Dread_chunk(dataset_.get(), H5P_DEFAULT, offset.data(), &left_out, to), where_,
                "cannot be read back");
  };
  if (layout_.deflate == 0) return fetch(rows);
  hsize_t size = 0;
  hdf5::check(H5Dget_chunk_storage_size(dataset_.get(), offset.data(), &size), where_, "cannot be read back");
  packed_.resize(size);
  fetch(packed_.data());
  if (left_out == 0) return unpack_chunk(packed_, missing_.size(), {rows, page_bytes_});
  if (size != page_bytes_) throw std::runtime_error(where_ + ": cannot be read back");
  std::memcpy(rows, packed_.data(), size);
}

void event_rows::write(page& from, occasion why) {
  bool pack =
      why == occasion::completion || (!from.reloaded && (why == occasion::closing || from.set >= page_rows_));
  if (!from.dirty && !(pack && from.unpacked)) return;
  extend(length_);
  std::vector<hsize_t> offset(result_.shape.size() + 1);
  offset[0] = from.number * page_rows_;
  std::span<const std::byte> chunk(from.rows.get(), page_bytes_);
  std::uint32_t left_out = 0;
  if (layout_.deflate > 0) {
    if (pack && pack_chunk(chunk, missing_.size(), layout_.deflate, packed_))
      chunk = packed_;
    else
      left_out = shuffle_and_deflate;
    from.unpacked = !pack;
  }
  hdf5::check(
      H5Dwrite_chunk(dataset_.get(), H5P_DEFAULT, left_out, offset.data(), chunk.size(), chunk.data()),
      where_, "cannot be written");
  if (stored_.size() <= from.number) stored_.resize(from.number + 1);
  stored_[from.number] = true;
  from.dirty = false;
}

void event_rows::extend(std::uint64_t rows) {
  if (rows <= extent_) return;
  std::vector<hsize_t> shape{rows};
  shape.insert(shape.end(), result_.shape.begin(), result_.shape.end());
  hdf5::check(H5Dset_extent(dataset_.get(), shape.data()), where_, "cannot grow");
  extent_ = rows;
}

void event_rows::write_large(std::uint64_t row, const std::byte* data) {
  extend(length_);
  std::vector<hsize_t> start(result_.shape.size() + 1), count{1};
  start[0] = row;
  count.insert(count.end(), result_.shape.begin(), result_.shape.end());
  hdf5::handle file(H5Dget_space(dataset_.get()), H5Sclose, where_, "has no space");
  hdf5::check(H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
              where_, "has no such row");
  auto memory = hdf5::make_space(result_.shape, where_);
  hdf5::check(
      H5Dwrite(dataset_.get(), hdf5::type_of(result_.type), memory.get(), file.get(), H5P_DEFAULT, data),
      where_, "cannot be written");
}

void event_rows::flush() {
  for (auto& page : pages_) write(page, occasion::flush);
  hdf5::check(H5Dflush(dataset_.get()), where_, "cannot be written");
}

void event_rows::complete() {
  for (auto& page : pages_) write(page, occasion::completion);
  extend(events_);
}

} // namespace dtranspose
