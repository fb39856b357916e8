#include "runtime/code_watch.hpp"

#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

namespace fs = std::filesystem;

class code_watch_test : public testing::Test {
 protected:
  void write(const fs::path& name) {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << "pass\n";
    // Times of files may be coarse.
    fs::last_write_time(folder / name, fs::file_time_type::clock::now() + std::chrono::seconds(++written));
  }

  /// As soon as it looks again.
  bool notices(code_watch& watch) {
    for (auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
         std::chrono::steady_clock::now() < until; std::this_thread::yield())
      if (watch.changed()) return true;
    return false;
  }

  test::temporary_directory folder;
  int written = 0;
};

TEST_F(code_watch_test, files_that_come_change_and_go_are_noticed) {
  write("src/roi.py");
  code_watch watch({folder.path()});
  EXPECT_FALSE(notices(watch));
  write("src/roi.py");
  EXPECT_TRUE(notices(watch));
  write("src/more/new.py");
  EXPECT_TRUE(notices(watch));
  fs::remove(folder / "src/roi.py");
  EXPECT_TRUE(notices(watch));
}

TEST_F(code_watch_test, others_do_not_matter) {
  write("venv/pyvenv.cfg");
  write("roi.py");
  code_watch watch({folder.path(), folder / "nowhere"});
  for (auto name : {"data.h5", "venv/lib/module.py", ".git/hook.py", "__pycache__/roi.py"}) write(name);
  EXPECT_FALSE(notices(watch));
}

} // namespace
} // namespace dtranspose
