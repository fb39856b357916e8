#include "beamline/truth_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "output/hdf5.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

/// -1 where it is not.
double number_in(const std::filesystem::path& path, const char* name) {
  hdf5::be_quiet();
  hdf5::handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path, "open");
  auto id = H5Dopen2(file.get(), name, H5P_DEFAULT);
  if (id < 0) return -1;
  hdf5::handle dataset(id, H5Dclose, path, "open");
  double number = 0;
  H5Dread(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &number);
  return number;
}

TEST(truth_file, is_written_and_added_to) {
  test::temporary_directory folder;
  auto file = folder / "truth.h5";
  write_truth(file, {{"beam", value_map{{"row", 3.5}}}, {"frames", 7}});
  add_truth(file, {{"faults", value_map{{"cut_off", 5}}}});
  EXPECT_EQ(number_in(file, "/beam/row"), 3.5);
  EXPECT_EQ(number_in(file, "/frames"), 7);
  EXPECT_EQ(number_in(file, "/faults/cut_off"), 5);
  // Another one replaces it.
  write_truth(file, {{"frames", 8}});
  EXPECT_EQ(number_in(file, "/frames"), 8);
  EXPECT_EQ(number_in(file, "/beam/row"), -1);
}

TEST(truth_file, names_what_cannot_be_written) {
  test::temporary_directory folder;
  auto file = folder / "nowhere" / "truth.h5";
  for (auto write : {write_truth, add_truth}) {
    try {
      write(file, {{"frames", 7}});
      FAIL();
    } catch (const std::runtime_error& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(file.string()));
    }
  }
}

} // namespace
} // namespace dtranspose
