#include "recording/hdf5_reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include "output/hdf5.hpp"
#include "protocol/array_view.hpp"
#include "protocol/stins.hpp"
#include "recording/capture_index.hpp"

namespace dtranspose {

namespace {

constexpr std::array<unsigned char, 8> magic = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
constexpr H5Z_filter_t bitshuffle_filter = 32008;
/// Far above any image and any series: what a damaged file says is neither believed nor reserved.
constexpr std::uint64_t largest_image = std::uint64_t{1} << 30, most_images = capture_entries_limit;

std::optional<dtype> type_of_elements(hid_t type) {
  auto size = H5Tget_size(type);
  auto kind = H5Tget_class(type);
  auto is_signed = kind == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
  for (auto candidate : {dtype::uint8, dtype::int8, dtype::uint16, dtype::int16, dtype::uint32, dtype::int32,
                         dtype::uint64, dtype::int64, dtype::float32, dtype::float64}) {
    auto like = hdf5::type_of(candidate);
    if (H5Tget_class(like) != kind || H5Tget_size(like) != size) continue;
    if (kind != H5T_INTEGER || (H5Tget_sign(like) == H5T_SGN_2) == is_signed) return candidate;
  }
  return std::nullopt;
}

/// How images are stored, as far as they can be passed on like that.
enum class storage : std::uint8_t { decoded, plain_chunks, packed_chunks };

storage storage_of(hid_t set, hid_t type, dtype elements, const std::vector<hsize_t>& extent,
                   const std::string& where) {
  hdf5::handle settings(H5Dget_create_plist(set), H5Pclose, where, "cannot be described");
  if (H5Pget_layout(settings.get()) != H5D_CHUNKED || H5Tequal(type, hdf5::type_of(elements)) <= 0)
    return storage::decoded;
  std::vector<hsize_t> chunk(extent.size()), image = extent;
  image[0] = 1;
  H5Pget_chunk(settings.get(), static_cast<int>(chunk.size()), chunk.data());
  if (chunk != image) return storage::decoded;
  auto filters = H5Pget_nfilters(settings.get());
  if (filters == 0) return storage::plain_chunks;
  unsigned flags = 0, values[8] = {};
  std::size_t count = std::size(values);
  auto filter = H5Pget_filter2(settings.get(), 0, &flags, &count, values, 0, nullptr, nullptr);
  // Of the values the third is the size of the elements, the fifth the compression: 2 is LZ4.
  bool is_bslz4 = filters == 1 && filter == bitshuffle_filter && count >= 5 &&
                  values[2] == size_of(elements) && values[4] == 2;
  return is_bslz4 ? storage::packed_chunks : storage::decoded;
}

stream_data message_of(const std::string& header, std::vector<std::byte> blob) {
  auto bytes = std::as_bytes(std::span(header));
  std::vector<std::vector<std::byte>> parts{{bytes.begin(), bytes.end()}};
  if (!blob.empty()) parts.push_back(std::move(blob));
  return {std::make_unique<memory_frames>(std::move(parts)), stins_type_tag};
}

} // namespace

bool is_hdf5(std::span<const std::byte> bytes) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

struct hdf5_reader::state {
  state(const std::string& path, const std::string& name) : where(path + ": " + name) {
    hdf5::be_quiet();
    file =
        hdf5::handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path, "cannot be opened");
    set = hdf5::handle(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose, where,
                       "there is no such data set (see --dataset)");
    hdf5::handle space(H5Dget_space(set.get()), H5Sclose, where, "cannot be described");
    hdf5::handle type(H5Dget_type(set.get()), H5Tclose, where, "cannot be described");
    auto rank = H5Sget_simple_extent_ndims(space.get());
    if (rank < 2) throw std::runtime_error(where + ": holds no images: it takes two axes or more");
    extent.resize(static_cast<std::size_t>(rank));
    H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr);
    auto found = type_of_elements(type.get());
    if (!found) throw std::runtime_error(where + ": its elements are no numbers of a type that is known");
    elements = *found;
    shape.assign(extent.begin() + 1, extent.end());
    check_size();
    how = storage_of(set.get(), type.get(), elements, extent, where);
  }

  void check_size() const {
    std::uint64_t room = largest_image / size_of(elements);
    for (auto length : shape) room = length == 0 ? 0 : room / length;
    if (room == 0) throw std::runtime_error(where + ": its images are empty, or of more than 1 GiB each");
    if (extent[0] > most_images)
      throw std::runtime_error(where + ": says that it holds " + std::to_string(extent[0]) + " images");
  }

  /// Image `n`; sets how it is compressed.
  std::vector<std::byte> read(std::uint64_t n, std::string_view& compression) const;
  std::vector<std::byte> decoded(std::uint64_t n) const;

  std::string where; ///< in errors
  hdf5::handle file, set;
  std::vector<hsize_t> extent;
  std::vector<std::size_t> shape; ///< of an image
  dtype elements = dtype::uint16;
  storage how = storage::decoded;
};

std::vector<std::byte> hdf5_reader::state::read(std::uint64_t n, std::string_view& compression) const {
  compression = "none";
  if (how == storage::decoded) return decoded(n);
  std::vector<hsize_t> at(extent.size());
  at[0] = n;
  hsize_t size = 0;
  // A chunk that was never written is not there: it holds fill values.
  if (H5Dget_chunk_storage_size(set.get(), at.data(), &size) < 0 || size == 0) return decoded(n);
  // What does not compress gets longer, but not by that much.
  auto usual = bytes_of(shape, elements);
  if (size > 2 * usual + 65536 || (how == storage::plain_chunks && size != usual))
    throw std::runtime_error(where + ": a chunk of an image of " + std::to_string(usual) + " bytes has " +
                             std::to_string(size));
  std::vector<std::byte> chunk(size);
  std::uint32_t skipped_filters = 0;
  hdf5::check(H5Dread_chunk(set.get(), H5P_DEFAULT, at.data(), &skipped_filters, chunk.data()), where,
              "a chunk cannot be read");
  if (how == storage::packed_chunks && skipped_filters == 0) compression = "bslz4";
  if (compression == "none" && size != usual)
    throw std::runtime_error(where + ": a chunk that is not compressed has " + std::to_string(size) +
                             " bytes of " + std::to_string(usual));
  return chunk;
}

std::vector<std::byte> hdf5_reader::state::decoded(std::uint64_t n) const {
  std::vector<hsize_t> at(extent.size()), image = extent;
  at[0] = n;
  image[0] = 1;
  hdf5::handle from(H5Dget_space(set.get()), H5Sclose, where, "cannot be described");
  hdf5::check(H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, at.data(), nullptr, image.data(), nullptr),
              where, "cannot be selected from");
  auto to = hdf5::make_space(shape, where);
  std::vector<std::byte> pixels(bytes_of(shape, elements));
  hdf5::check(H5Dread(set.get(), hdf5::type_of(elements), to.get(), from.get(), H5P_DEFAULT, pixels.data()),
              where, "cannot be read");
  return pixels;
}

hdf5_reader::hdf5_reader(std::shared_ptr<const mapped_file> file, const std::string& data_set)
    : file_(std::move(file)), state_(std::make_unique<state>(file_->path().string(), data_set)) {}

hdf5_reader::~hdf5_reader() = default;

std::uint64_t hdf5_reader::images() const { return state_->extent[0]; }

std::optional<stream_data> hdf5_reader::next() {
  if (!cut_off_.empty() || next_ > images() + 1) return std::nullopt;
  hdf5::be_quiet(); // in whichever thread this is
  auto message = next_++;
  std::string header;
  if (message == 0) {
    write_stins_header(header, message, file_->path().string());
    return message_of(header, {});
  }
  if (message > images()) {
    write_stins_end(header, message);
    return message_of(header, {});
  }
  try {
    std::string_view compression;
    auto blob = state_->read(message - 1, compression);
    write_stins_image(header, message,
                      {.frame = message - 1,
                       .shape = state_->shape,
                       .type = name_of(state_->elements),
                       .compression = compression});
    return message_of(header, std::move(blob));
  } catch (const std::runtime_error& e) {
    cut_off_ = e.what();
    return std::nullopt;
  }
}

void hdf5_reader::rewind() {
  next_ = 0;
  cut_off_.clear();
}

recording_index hdf5_index(const std::string& name, const hdf5_reader& reader) {
  recorded_stream stream{.name = name, .type = std::string(stins_type_tag), .ends = true};
  stream.events.append(0, reader.images() + 2);
  recording_index index{.streams = {std::move(stream)}, .events = reader.images() + 2};
  index.untimed = reader.file().path().string() + ", an HDF5 file";
  return index;
}

} // namespace dtranspose
