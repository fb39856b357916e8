#include "recording/hdf5_reader.hpp"

#include <gmock/gmock.h>

#include "output/hdf5.hpp"
#include "output/image_file.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"
#include "recording/capture.hpp"
#include "recording/dump.hpp"
#include "recording/stored_image.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using bytes = std::vector<std::byte>;

bytes pixels_of(std::uint16_t value) {
  std::vector<std::uint16_t> pixels(64, value);
  auto view = std::as_bytes(std::span(pixels));
  return {view.begin(), view.end()};
}

class hdf5_reader_test : public testing::Test {
 protected:
  /// Three images, the second of them not compressed.
  std::shared_ptr<const mapped_file> file() {
    image_file images(path_);
    const std::size_t shape[] = {8, 8};
    for (std::uint64_t n = 0; n < 3; ++n) {
      auto pixels = pixels_of(static_cast<std::uint16_t>(n + 1));
      auto packed = n == 1 ? pixels : compress(codec::bslz4, 2, pixels);
      std::string header;
      write_stins_image(header, n, {.frame = n, .shape = shape, .compression = n == 1 ? "none" : "bslz4"});
      auto text = std::as_bytes(std::span(header));
      images.append({std::make_unique<memory_frames>(std::vector<bytes>{{text.begin(), text.end()}, packed}),
                     stins_type_tag},
                    {});
    }
    images.close();
    return mapped_file::open(path_);
  }

  test::temporary_directory directory_;
  std::filesystem::path path_ = directory_ / "images.h5";
};

TEST_F(hdf5_reader_test, gives_a_start_images_as_stored_and_an_end) {
  hdf5_reader reader(file(), "/entry/data");
  EXPECT_EQ(reader.images(), 3u);
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_EQ(stins_kind(*reader.next()), entry_kind::start);
    for (std::uint64_t n = 0; n < 3; ++n) {
      auto message = reader.next();
      ASSERT_TRUE(message);
      auto image = parse_stins_image(*message);
      ASSERT_TRUE(image);
      EXPECT_EQ(image->frame, n);
      EXPECT_THAT(image->shape, ElementsAre(8, 8));
      auto pixels = pixels_of(static_cast<std::uint16_t>(n + 1));
      EXPECT_EQ(image->compression, n == 1 ? stins_compression::none : stins_compression::bslz4);
      auto expected = n == 1 ? pixels : compress(codec::bslz4, 2, pixels);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), image->pixels.begin(), image->pixels.end()));
    }
    EXPECT_EQ(stins_kind(*reader.next()), entry_kind::end);
    EXPECT_FALSE(reader.next());
    EXPECT_EQ(reader.cut_off(), "");
    reader.rewind();
  }
}

TEST_F(hdf5_reader_test, its_index_has_a_start_and_an_end) {
  hdf5_reader reader(file(), "/entry/data");
  auto index = hdf5_index("cam", reader);
  EXPECT_EQ(index.events, 5u);
  ASSERT_EQ(index.streams.size(), 1u);
  EXPECT_EQ(index.streams[0].name, "cam");
  EXPECT_EQ(index.streams[0].type, stins_type_tag);
  EXPECT_EQ(index.streams[0].events.size(), 5u);
  EXPECT_TRUE(index.streams[0].ends);
  EXPECT_THAT(index.untimed, HasSubstr("an HDF5 file"));
}

TEST_F(hdf5_reader_test, an_hdf5_file_is_no_capture_though_it_begins_like_one) {
  auto images = file();
  EXPECT_TRUE(is_hdf5(images->bytes()));
  EXPECT_FALSE(is_capture(images->bytes()));
  EXPECT_FALSE(is_dump(images->bytes()));
  EXPECT_FALSE(is_hdf5({}));
}

TEST_F(hdf5_reader_test, names_what_is_not_there) {
  auto why = [&](const char* name) -> std::string {
    try {
      hdf5_reader(file(), name);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(why("/entry/nothing"), HasSubstr("images.h5: /entry/nothing: there is no such data set"));
  EXPECT_THAT(why("/entry"), HasSubstr("/entry: "));
}

/// Nothing is reserved for what a file says that it holds.
TEST_F(hdf5_reader_test, images_of_any_size_that_are_not_there_are_refused) {
  auto why = [&](const std::vector<hsize_t>& extent) -> std::string {
    auto path = (directory_ / "large.h5").string();
    {
      auto chunk = extent;
      for (auto& length : chunk) length = std::min<hsize_t>(length, 16);
      hdf5::be_quiet();
      hdf5::handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose, path, "");
      hdf5::handle how(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, path, "");
      H5Pset_chunk(how.get(), static_cast<int>(chunk.size()), chunk.data());
      hdf5::handle space(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose,
                         path, "");
      hdf5::handle set(
          H5Dcreate2(file.get(), "data", H5T_STD_U16LE, space.get(), H5P_DEFAULT, how.get(), H5P_DEFAULT),
          H5Dclose, path, "");
    }
    try {
      hdf5_reader(mapped_file::open(path), "data");
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(why({3, 16, 16}), "");
  EXPECT_THAT(why({3, 40'000, 40'000}), HasSubstr("of more than 1 GiB each"));
  EXPECT_THAT(why({std::uint64_t{1} << 40, 2, 2}), HasSubstr("says that it holds 1099511627776 images"));
}

/// A chunk is passed on as it is stored; so it has to be one.
TEST_F(hdf5_reader_test, a_chunk_of_another_size_ends_the_images) {
  auto images = file();
  {
    hdf5::be_quiet();
    hdf5::handle opened(H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose, path_, "");
    hdf5::handle set(H5Dopen2(opened.get(), "/entry/data", H5P_DEFAULT), H5Dclose, path_, "");
    const hsize_t at[] = {1, 0, 0};
    const char odd[100] = {};
    constexpr std::uint32_t skip_all_filters = 1;
    H5Dwrite_chunk(set.get(), H5P_DEFAULT, skip_all_filters, at, sizeof odd, odd);
  }
  hdf5_reader reader(mapped_file::open(path_), "/entry/data");
  int messages = 0;
  while (reader.next()) ++messages;
  EXPECT_EQ(messages, 2) << "a start, and the image before";
  EXPECT_THAT(reader.cut_off(), HasSubstr("a chunk that is not compressed has 100 bytes of 128"));
}

} // namespace
} // namespace dtranspose
