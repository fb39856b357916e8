#include "runtime/code_watch.hpp"

#include <functional>
#include <string>
#include <system_error>

namespace dtranspose {

namespace {

namespace fs = std::filesystem;

constexpr auto look_interval = std::chrono::seconds(1);
/// Beyond that it is no folder of one's own code.
constexpr std::size_t most_entries = 20'000;

bool is_passed_by(const fs::path& folder) {
  std::error_code ignored;
  auto name = folder.filename().string();
  return name.starts_with('.') || name == "__pycache__" || fs::exists(folder / "pyvenv.cfg", ignored);
}

std::uint64_t mixed(const fs::path& file) {
  std::error_code ignored;
  auto time = fs::last_write_time(file, ignored).time_since_epoch().count();
  auto hash = std::hash<std::string>()(file.string());
  return hash ^ (static_cast<std::uint64_t>(time) * 0x9E3779B97F4A7C15);
}

} // namespace

/// The order in which files are found does not matter.
std::uint64_t code_watch::look() const {
  std::uint64_t sum = 0;
  std::size_t entries = 0;
  std::error_code e;
  for (auto& folder : folders_)
    for (fs::recursive_directory_iterator i(folder, e), end; !e && i != end && ++entries < most_entries;
         i.increment(e)) {
      std::error_code none;
      if (i->is_directory(none)) {
        if (is_passed_by(i->path())) i.disable_recursion_pending();
      } else if (i->path().extension() == ".py") {
        sum += mixed(i->path());
      }
    }
  return sum;
}

bool code_watch::changed() {
  auto now = std::chrono::steady_clock::now();
  if (now - looked_ < look_interval) return false;
  looked_ = now;
  auto before = last_;
  last_ = look();
  return last_ != before;
}

} // namespace dtranspose
