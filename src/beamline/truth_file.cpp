#include "beamline/truth_file.hpp"

#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "output/hdf5.hpp"
#include "output/value_tree.hpp"

namespace dtranspose {

namespace {

void write(const hdf5::handle& file, const std::string& name, const value_map& content) {
  complaint_list complaints;
  hdf5::handle root(H5Gopen2(file.get(), "/", H5P_DEFAULT), H5Gclose, name,
                    "the root group cannot be opened");
  value_tree(name, complaints).write_entries(root.get(), content);
  if (auto lines = complaints.lines(); !lines.empty())
    throw std::runtime_error(fmt::format("{}: {}", name, fmt::join(lines, "; ")));
  hdf5::check(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), name, "it cannot be written");
}

} // namespace

void write_truth(const std::filesystem::path& file, const value_map& truth) {
  hdf5::be_quiet();
  auto name = file.string();
  write(
      {H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose, name, "it cannot be made"},
      name, truth);
}

void add_truth(const std::filesystem::path& file, const value_map& more) {
  hdf5::be_quiet();
  auto name = file.string();
  write({H5Fopen(name.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose, name, "it cannot be opened"}, name,
        more);
}

} // namespace dtranspose
