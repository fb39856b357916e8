/// The HDF5 file of what is true of a simulated scan.
#pragma once

#include <filesystem>

#include "model/value.hpp"

namespace dtranspose {

/// Writes the tree as the root group of a new file, in the place of one that is there. Throws
/// std::runtime_error that names the file.
void write_truth(const std::filesystem::path& file, const value_map& truth);

/// Adds entries to the root group of a file that `write_truth` wrote.
void add_truth(const std::filesystem::path& file, const value_map& more);

} // namespace dtranspose
