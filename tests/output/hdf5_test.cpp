#include "output/hdf5.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

TEST(hdf5, nothing_is_made_in_a_file_that_readers_follow) {
  hdf5::be_quiet();
  test::temporary_directory directory;
  auto path = (directory / "a.h5").string();
  auto access = hdf5::file_access(path);
  auto space = hdf5::make_space({}, path);
  auto make_all = [&](hid_t file, const std::string& name) {
    auto group = hdf5::make_group(file, name, path);
    hdf5::make_dataset(group.get(), "set", H5T_STD_U8LE, space.get(), H5P_DEFAULT, path);
    hdf5::make_attribute(group.get(), "gone", H5T_STD_U8LE, space.get(), path);
    hdf5::remove_attribute(group.get(), "gone", path);
    hdf5::make_attribute(group.get(), "text", H5T_STD_U8LE, space.get(), path);
    hdf5::make_external_link(group.get(), "link", "b.h5", "/x", path);
  };
  {
    hdf5::handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose, path, "");
    make_all(file.get(), "before");
    hdf5::begin_following(file.get(), path);
    hdf5::handle group(H5Gopen2(file.get(), "before", H5P_DEFAULT), H5Gclose, path, "");
    auto in = group.get();
    EXPECT_THROW(hdf5::make_group(in, "a", path), std::logic_error);
    EXPECT_THROW(hdf5::make_dataset(in, "a", H5T_STD_U8LE, space.get(), H5P_DEFAULT, path), std::logic_error);
    EXPECT_THROW(hdf5::make_attribute(in, "a", H5T_STD_U8LE, space.get(), path), std::logic_error);
    EXPECT_THROW(hdf5::remove_attribute(in, "text", path), std::logic_error);
    EXPECT_THROW(hdf5::make_external_link(in, "a", "b.h5", "/x", path), std::logic_error);
  }
  hdf5::handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose, path, "open");
  make_all(file.get(), "behind");
  EXPECT_GT(H5Lexists(file.get(), "behind", H5P_DEFAULT), 0);
}

} // namespace
} // namespace dtranspose
