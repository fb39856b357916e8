/// Snapshots as files of the HDF REST interface: what h5pyd, silx and h5web read.
#pragma once

#include <string_view>

#include "http/results_answers.hpp"
#include "http/route_table.hpp"

namespace dtranspose {

std::vector<route_name> hdf_routes();

/// The methods of a path; empty for one that is none.
std::string_view hdf_methods(std::string_view path);

/// Throws results_error, or std::invalid_argument where a selection is none.
results_answer answer_hdf(const snapshot_store& store, const results_request& request);

} // namespace dtranspose
