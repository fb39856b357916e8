#include "output/image_file.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "analysis/image.hpp"
#include "output/complaints.hpp"
#include "output/hdf5.hpp"
#include "output/value_tree.hpp"
#include "protocol/array_view.hpp"
#include "recording/stored_image.hpp"

namespace dtranspose {

namespace {

constexpr H5Z_filter_t bitshuffle_filter = 32008, lz4_filter = 32004;

/// An image that is not written. Its text says why.
class left_out : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void set_filter(hid_t settings, H5Z_filter_t filter, std::span<const unsigned> values,
                const std::string& where) {
  // Optional, as the library need not have the filter: it only passes chunks on.
  hdf5::check(H5Pset_filter(settings, filter, H5Z_FLAG_OPTIONAL, values.size(), values.data()), where,
              "the compression cannot be described");
}

/// What the data set says of its chunks, as files of these filters do.
void describe_compression(hid_t settings, const stored_image& like, const std::string& where) {
  if (like.how == codec::lz4) set_filter(settings, lz4_filter, {}, where);
  if (like.how != codec::bslz4) return;
  constexpr unsigned major = 0, minor = 3, default_block = 0, lz4 = 2;
  const unsigned values[] = {major, minor, static_cast<unsigned>(like.element_size), default_block, lz4};
  // A filter that is there puts the first three in itself.
  auto of_filter = H5Zfilter_avail(bitshuffle_filter) > 0 ? std::size_t{3} : 0;
  set_filter(settings, bitshuffle_filter, std::span(values).subspan(of_filter), where);
}

image_view readable(const stream_data& data) {
  try {
    if (auto image = image_of(data)) return std::move(*image);
  } catch (const std::runtime_error& e) {
    throw left_out(e.what());
  }
  throw left_out("it cannot be read");
}

bool is_filter(const std::optional<codec>& how) { return how == codec::bslz4 || how == codec::lz4; }

} // namespace

struct image_file::state {
  explicit state(std::filesystem::path to)
      : path(std::move(to)), partial(path.string() + ".part"), where(partial.string()) {
    hdf5::be_quiet();
    hdf5::handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, where, "cannot be described");
    hdf5::check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), where, "cannot be described");
    file = hdf5::handle(H5Fcreate(partial.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose, where,
                        "cannot be made");
    entry = hdf5::handle(H5Gcreate2(file.get(), "entry", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose,
                         where, "a group cannot be made");
  }

  void declare(const stored_image& like);
  void write(const stored_image& image, const stream_data& data);
  void write_chunk(std::span<const std::byte> bytes, hsize_t part, std::uint32_t skipped_filters);
  void write_plain(const stream_data& data);
  template <class T>
  void write_places(const char* name, std::optional<T> image_place::*member, hid_t type);

  std::filesystem::path path, partial;
  std::string where; ///< in errors
  hdf5::handle file, entry, data_set;
  std::optional<stored_image> first; ///< without its blobs
  std::size_t parts = 1;             ///< chunks of an image
  std::size_t part_bytes = 0;        ///< of a chunk that is not compressed
  std::vector<image_place> places;
};

void image_file::state::declare(const stored_image& like) {
  first = like;
  if (!is_filter(like.how)) first->how = codec::none;
  parts = std::max<std::size_t>(like.blobs.size(), 1);
  part_bytes = bytes_of(like.shape, like.type) / parts;
  first->blobs.clear();
  std::vector<hsize_t> extent{0}, most{H5S_UNLIMITED}, chunk{1};
  for (auto n : like.shape) {
    extent.push_back(n);
    most.push_back(n);
    chunk.push_back(n);
  }
  if (parts > 1) chunk[1] = 1;
  auto dimensions = static_cast<int>(extent.size());
  hdf5::handle space(H5Screate_simple(dimensions, extent.data(), most.data()), H5Sclose, where,
                     "this shape cannot be used");
  hdf5::handle settings(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, where, "cannot be described");
  hdf5::check(H5Pset_chunk(settings.get(), dimensions, chunk.data()), where, "cannot be chunked");
  describe_compression(settings.get(), *first, where);
  data_set = hdf5::handle(H5Dcreate2(entry.get(), "data", hdf5::type_of(like.type), space.get(), H5P_DEFAULT,
                                     settings.get(), H5P_DEFAULT),
                          H5Dclose, where, "the data set cannot be made");
}

void image_file::state::write_chunk(std::span<const std::byte> bytes, hsize_t part,
                                    std::uint32_t skipped_filters) {
  std::vector<hsize_t> at(first->shape.size() + 1);
  at[0] = places.size();
  if (parts > 1) at[1] = part;
  hdf5::check(
      H5Dwrite_chunk(data_set.get(), H5P_DEFAULT, skipped_filters, at.data(), bytes.size(), bytes.data()),
      where, "an image cannot be written");
}

/// Decompressed, whatever it was.
void image_file::state::write_plain(const stream_data& data) {
  auto image = readable(data);
  std::vector<std::byte> whole;
  for (auto& blob : image.blobs) whole.insert(whole.end(), blob.data(), blob.data() + blob.size());
  if (whole.size() != part_bytes * parts) throw left_out("it is not as long as its shape says");
  constexpr std::uint32_t no_filter = 1;
  for (std::size_t part = 0; part < parts; ++part)
    write_chunk(std::span(whole).subspan(part * part_bytes, part_bytes), part, no_filter);
}

void image_file::state::write(const stored_image& image, const stream_data& data) {
  bool as_it_is = image.how == first->how && image.blobs.size() == parts;
  for (auto& blob : image.blobs)
    as_it_is =
        as_it_is && (is_filter(image.how) ? bslz4_form(blob, part_bytes) == codec::bslz4 // one head for both
                                          : blob.size() == part_bytes);
  if (!as_it_is) return write_plain(data);
  for (std::size_t part = 0; part < parts; ++part) write_chunk(image.blobs[part], part, 0);
}

template <class T>
void image_file::state::write_places(const char* name, std::optional<T> image_place::*member, hid_t type) {
  std::vector<T> all;
  for (auto& place : places)
    if (place.*member) all.push_back(*(place.*member));
  if (all.empty() || all.size() != places.size()) return;
  auto space = hdf5::make_space({all.size()}, where);
  hdf5::handle set(H5Dcreate2(entry.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                   H5Dclose, where, "a data set cannot be made");
  hdf5::check(H5Dwrite(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), where,
              "a data set cannot be written");
}

image_file::image_file(std::filesystem::path path) : state_(std::make_unique<state>(std::move(path))) {}

image_file::~image_file() {
  if (!state_->file) return;
  state_->data_set = {};
  state_->entry = {};
  state_->file = {};
  std::error_code ignored;
  std::filesystem::remove(state_->partial, ignored);
}

std::string image_file::append(const stream_data& data, const image_place& place) {
  auto image = stored_image_of(data);
  if (!image) return "it cannot be read";
  auto& s = *state_;
  if (!s.first) s.declare(*image);
  if (image->type != s.first->type || image->shape != s.first->shape)
    return fmt::format("it is {} of {}, the first is {} of {}", shape_text(image->shape),
                       name_of(image->type), shape_text(s.first->shape), name_of(s.first->type));
  std::vector<hsize_t> extent{s.places.size() + 1};
  extent.insert(extent.end(), s.first->shape.begin(), s.first->shape.end());
  hdf5::check(H5Dset_extent(s.data_set.get(), extent.data()), s.where, "the data set cannot grow");
  try {
    s.write(*image, data);
  } catch (const left_out& e) {
    return e.what();
  }
  s.places.push_back(place);
  return {};
}

std::uint64_t image_file::images() const { return state_->places.size(); }

std::vector<std::size_t> image_file::shape() const {
  if (!state_->first) return {};
  std::vector<std::size_t> shape{state_->places.size()};
  shape.insert(shape.end(), state_->first->shape.begin(), state_->first->shape.end());
  return shape;
}

std::string_view image_file::compression() const { return name_of(state_->first->how); }
dtype image_file::type() const { return state_->first->type; }

void image_file::close() {
  auto& s = *state_;
  complaint_list complaints;
  value_tree tree(s.where, complaints);
  tree.write_attribute(s.file.get(), "NX_class", "NXroot");
  tree.write_attribute(s.file.get(), "default", "entry");
  tree.write_attribute(s.file.get(), "creator", "dtranspose");
  tree.write_attribute(s.entry.get(), "NX_class", "NXentry");
  s.write_places("event", &image_place::event, H5T_NATIVE_UINT64);
  s.write_places("number", &image_place::number, H5T_NATIVE_UINT64);
  s.write_places("time", &image_place::time, H5T_NATIVE_DOUBLE);
  if (s.first) {
    auto extent = shape();
    const std::vector<hsize_t> final_extent(extent.begin(), extent.end());
    hdf5::check(H5Dset_extent(s.data_set.get(), final_extent.data()), s.where, "the data set cannot be cut");
  }
  s.data_set = {};
  s.entry = {};
  hdf5::check(H5Fclose(s.file.release()), s.where, "cannot be closed");
  std::filesystem::rename(s.partial, s.path);
}

} // namespace dtranspose
