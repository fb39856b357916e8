#include "output/file_mending.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>

#include "output/file_claim.hpp"
#include "output/hdf5.hpp"

namespace dtranspose {

namespace {

/// The property by which HDF5's own tool `h5clear -s` does it.
constexpr const char* clearing = "clear_status_flags";

bool opens(const std::filesystem::path& path) {
  auto access = hdf5::file_access(path.string());
  hdf5::handle file;
  try {
    file = hdf5::handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose, path.string(), "");
  } catch (const std::runtime_error&) {
  }
  return bool(file);
}

int count_data_sets(hid_t file) {
  int count = 0;
  auto each = [](hid_t, const char*, const H5O_info_t* info, void* counter) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) ++*static_cast<int*>(counter);
    return 0;
  };
  hdf5::check(H5Ovisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, each, &count), "it", "cannot be walked through");
  return count;
}

void clear(const std::filesystem::path& path) {
  auto where = path.string();
  auto access = hdf5::file_access(where);
  if (H5Pexist(access.get(), clearing) <= 0)
    throw std::runtime_error(where + ": this HDF5 library cannot do it: try h5clear -s of its tools");
  const hbool_t yes = true;
  hdf5::check(H5Pset(access.get(), clearing, &yes), where, "cannot be mended");
  auto file = H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get());
  hdf5::check(file, where, "cannot be opened");
  hdf5::check(H5Fclose(file), where, "cannot be closed");
}

int data_sets_of(const std::filesystem::path& path) {
  auto access = hdf5::file_access(path.string());
  hdf5::handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose, path.string(),
                    "cannot be opened");
  return count_data_sets(file.get());
}

/// What may stand before and behind the places of a name that are filled in for each scan.
struct name_pattern {
  std::string before, behind;

  bool fits(const std::string& name) const {
    return name.size() >= before.size() + behind.size() && name.starts_with(before) && name.ends_with(behind);
  }
};

name_pattern pattern_of(const std::string& name) {
  auto first = name.find('{');
  if (first == name.npos) return {name + part_ending, ""};
  return {name.substr(0, first), name.substr(name.rfind('}') + 1) + part_ending};
}

} // namespace

mended_file mend_file(const std::filesystem::path& path) {
  hdf5::be_quiet();
  mended_file done{path};
  try {
    auto claim = file_claim::take(path);
    if (!claim) {
      done.what = mending::in_use;
      return done;
    }
    if (!opens(path)) {
      clear(path);
      done.what = mending::cleared;
    }
    done.data_sets = data_sets_of(path);
  } catch (const std::exception& e) {
    done.what = mending::hopeless;
    done.reason = e.what();
  }
  return done;
}

std::vector<mended_file> mend_left_files(const std::filesystem::path& output) {
  std::vector<mended_file> mended;
  auto folder = output.has_parent_path() ? output.parent_path() : std::filesystem::path(".");
  auto pattern = pattern_of(output.filename().string());
  std::error_code none;
  for (auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (!entry.is_regular_file(none) || !pattern.fits(entry.path().filename().string())) continue;
    auto done = mend_file(entry.path());
    if (done.what == mending::cleared || done.what == mending::hopeless) mended.push_back(std::move(done));
  }
  std::sort(mended.begin(), mended.end(), [](auto& a, auto& b) { return a.path < b.path; });
  return mended;
}

} // namespace dtranspose
