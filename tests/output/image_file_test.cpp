#include "output/image_file.hpp"

#include <gmock/gmock.h>

#include "output/hdf5.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using bytes = std::vector<std::byte>;
constexpr std::size_t shape[] = {8, 8};

/// An image of 8 x 8 uint16 pixels of that value.
bytes pixels_of(std::uint16_t value) {
  std::vector<std::uint16_t> pixels(64, value);
  auto view = std::as_bytes(std::span(pixels));
  return {view.begin(), view.end()};
}

stream_data message(std::uint64_t number, const bytes& blob, std::string_view compression,
                    std::string_view type = "uint16") {
  std::string header;
  write_stins_image(header, number + 1,
                    {.frame = number, .shape = shape, .type = type, .compression = compression});
  auto text = std::as_bytes(std::span(header));
  return {std::make_unique<memory_frames>(std::vector<bytes>{{text.begin(), text.end()}, blob}),
          stins_type_tag};
}

stream_data plain(std::uint64_t number, std::uint16_t value) {
  return message(number, pixels_of(value), "none");
}
bytes packed(std::uint16_t value) { return compress(codec::bslz4, 2, pixels_of(value)); }

class image_file_test : public testing::Test {
 protected:
  hdf5::handle data_set(const char* name) {
    file_ = hdf5::handle(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, "file",
                         "cannot be opened");
    return {H5Dopen2(file_.get(), name, H5P_DEFAULT), H5Dclose, name, "is not there"};
  }

  /// The chunk of image `n` as it is stored, and the filters that were skipped.
  std::pair<bytes, std::uint32_t> chunk(hid_t set, hsize_t n) {
    const hsize_t at[] = {n, 0, 0};
    hsize_t size = 0;
    std::uint32_t skipped = 0;
    hdf5::check(H5Dget_chunk_storage_size(set, at, &size), "chunk", "has no size");
    bytes content(size);
    hdf5::check(H5Dread_chunk(set, H5P_DEFAULT, at, &skipped, content.data()), "chunk", "cannot be read");
    return {content, skipped};
  }

  template <class T>
  std::vector<T> all_of(const char* name, hid_t type) {
    auto set = data_set(name);
    hdf5::handle space(H5Dget_space(set.get()), H5Sclose, name, "has no space");
    std::vector<T> all(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
    hdf5::check(H5Dread(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), name, "cannot be read");
    return all;
  }

  test::temporary_directory directory_;
  std::filesystem::path path_ = directory_ / "images.h5";
  hdf5::handle file_;
};

TEST_F(image_file_test, has_images_events_and_times) {
  {
    image_file images(path_);
    EXPECT_EQ(images.append(plain(0, 7), {.event = 1, .time = 1e9}), "");
    EXPECT_EQ(images.append(plain(1, 9), {.event = 4, .time = 1e9 + 1}), "");
    EXPECT_THAT(images.shape(), ElementsAre(2, 8, 8));
    EXPECT_EQ(images.compression(), "none");
    EXPECT_FALSE(std::filesystem::exists(path_)); // not before it is complete
    images.close();
  }
  auto pixels = all_of<std::uint16_t>("/entry/data", H5T_NATIVE_UINT16);
  ASSERT_EQ(pixels.size(), 128u);
  EXPECT_EQ(pixels[63], 7);
  EXPECT_EQ(pixels[64], 9);
  EXPECT_THAT(all_of<std::uint64_t>("/entry/event", H5T_NATIVE_UINT64), ElementsAre(1, 4));
  EXPECT_THAT(all_of<double>("/entry/time", H5T_NATIVE_DOUBLE), ElementsAre(1e9, 1e9 + 1));
  EXPECT_THROW(data_set("/entry/number"), std::runtime_error);
}

TEST_F(image_file_test, compressed_images_are_chunks_as_they_are) {
  {
    image_file images(path_);
    EXPECT_EQ(images.append(message(0, packed(7), "bslz4"), {}), "");
    EXPECT_EQ(images.append(plain(1, 9), {}), ""); // one that was not compressed
    EXPECT_EQ(images.append(message(2, compress(codec::bslz4_bare, 2, pixels_of(3)), "bslz4"), {}), "");
    EXPECT_EQ(images.compression(), "bslz4");
    images.close();
  }
  auto set = data_set("/entry/data");
  EXPECT_EQ(chunk(set.get(), 0), std::pair(packed(7), 0u));
  EXPECT_EQ(chunk(set.get(), 1), std::pair(pixels_of(9), 1u));
  EXPECT_EQ(chunk(set.get(), 2), std::pair(pixels_of(3), 1u));
  hdf5::handle settings(H5Dget_create_plist(set.get()), H5Pclose, "data", "has no settings");
  unsigned flags = 0, values[8] = {};
  std::size_t count = 8;
  EXPECT_EQ(H5Pget_filter2(settings.get(), 0, &flags, &count, values, 0, nullptr, nullptr), 32008);
  // The version of the filter in front is that of the library's, where it has one.
  EXPECT_THAT(std::vector(values, values + count), ElementsAre(0, testing::_, 2, 0, 2));
}

TEST_F(image_file_test, what_is_not_like_the_first_is_left_out) {
  image_file images(path_);
  EXPECT_EQ(images.append(plain(0, 7), {.event = 0}), "");
  EXPECT_EQ(images.append(message(1, bytes(64), "none", "uint8"), {.event = 1}),
            "it is [8, 8] of uint8, the first is [8, 8] of uint16");
  auto torn = packed(7);
  torn.resize(torn.size() - 3);
  EXPECT_NE(images.append(message(2, torn, "bslz4"), {.event = 2}), "");
  EXPECT_THAT(images.append(message(3, packed(7), "zip"), {.event = 3}), HasSubstr("zip"));
  EXPECT_EQ(images.append(plain(4, 9), {.event = 4}), "");
  images.close();
  EXPECT_THAT(all_of<std::uint64_t>("/entry/event", H5T_NATIVE_UINT64), ElementsAre(0, 4));
  EXPECT_EQ(all_of<std::uint16_t>("/entry/data", H5T_NATIVE_UINT16).size(), 128u);
}

TEST_F(image_file_test, nothing_is_left_where_it_was_not_completed) {
  { image_file images(path_); }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  EXPECT_THROW(image_file(directory_ / "nowhere" / "x.h5"), std::runtime_error);
}

} // namespace
} // namespace dtranspose
