#include "output/file_mending.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "output/file_claim.hpp"
#include "output/result_file.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// What a writer that was killed leaves under that name.
void leave(const test::temporary_directory& directory, const std::string& name, bool follow = true) {
  result_file file({.path = directory / "writing.h5", .events = 10, .results = {{"x"}}, .follow = follow});
  file.write_row(event_number(3), 4);
  file.flush();
  std::filesystem::copy_file(file.partial_path(), directory / name);
  file.discard();
}

TEST(file_mending, clears_the_mark_of_a_writer_that_died) {
  test::temporary_directory directory;
  for (bool follow : {true, false}) {
    auto name = follow ? "a.h5.part" : "b.h5.part";
    leave(directory, name, follow);
    auto mended = mend_file(directory / name);
    EXPECT_EQ(mended.what, mending::cleared) << mended.reason;
    EXPECT_EQ(mended.data_sets, 2); // and when the scan began
    EXPECT_EQ(mend_file(directory / name).what, mending::sound);
  }
}

TEST(file_mending, leaves_a_file_alone_that_is_being_written) {
  test::temporary_directory directory;
  result_file file({.path = directory / "a.h5", .events = 1, .results = {{"x"}}, .follow = true});
  EXPECT_EQ(mend_file(file.partial_path()).what, mending::in_use);
  file.write_row(event_number(0), 1);
  file.finish({});
  EXPECT_EQ(mend_file(directory / "a.h5").what, mending::sound);
}

TEST(file_mending, says_what_it_cannot_mend) {
  test::temporary_directory directory;
  std::ofstream(directory / "a.h5") << "no HDF5";
  auto mended = mend_file(directory / "a.h5");
  EXPECT_EQ(mended.what, mending::hopeless);
  EXPECT_THAT(mended.reason, HasSubstr("a.h5"));
  EXPECT_EQ(mend_file(directory / "missing.h5").what, mending::hopeless);
}

TEST(file_mending, finds_what_an_earlier_process_left) {
  test::temporary_directory directory;
  for (auto name : {"xrd-1.h5.part", "xrd-2.h5.part", "xrd-3.h5", "other.h5.part"}) leave(directory, name);
  EXPECT_THAT(mend_left_files(directory / "none.h5"), IsEmpty());
  auto mended = mend_left_files(directory / "xrd-{scan}.h5");
  ASSERT_THAT(mended, SizeIs(2));
  EXPECT_EQ(mended[0].path, directory / "xrd-1.h5.part");
  EXPECT_EQ(mended[1].what, mending::cleared);
  EXPECT_THAT(mend_left_files(directory / "xrd-{scan}.h5"), IsEmpty());
  EXPECT_THAT(mend_left_files(directory / "other.h5"), SizeIs(1));
  EXPECT_THAT(mend_left_files(directory / "not_there/{raw}.h5"), IsEmpty());
}

TEST(file_claim, is_one_processs_as_long_as_it_is_held) {
  test::temporary_directory directory;
  auto claim = file_claim::make(directory / "a");
  ASSERT_TRUE(claim);
  EXPECT_FALSE(file_claim::take(directory / "a"));
  claim.reset();
  EXPECT_TRUE(file_claim::take(directory / "a"));
  EXPECT_THROW(file_claim::take(directory / "missing"), std::runtime_error);
}

} // namespace
} // namespace dtranspose
