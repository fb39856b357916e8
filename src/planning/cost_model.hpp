/// What handling a frame costs, role by role, and how that is fitted to measurements.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

/// One measurement: handling a frame of `bytes` bytes took `ns` ns.
struct cost_sample {
  double bytes = 0;
  double ns = 0;
  bool operator==(const cost_sample&) const = default;
};

/// Time of one core, in ns: `frame` for each frame, `byte` for each of its bytes.
struct role_cost {
  double frame = 0;
  double byte = 0;
  /// By how much measurements differ from that line: `ns` is measured / line, sizes rise. Empty: by nothing.
  /// Caches make the cost per byte differ by size. Between two sizes it is interpolated over the logarithm of
  /// the size; beyond the last ones it stays.
  std::vector<cost_sample> ratios = {};

  /// ns for `frames` frames that are alike and have `bytes` bytes together.
  double of(double frames, double bytes) const;
  bool operator==(const role_cost&) const = default;
};

/// What each step costs. The built-in figures come from the tables of benchmarks/README.md and from one
/// measurement between processes; the source says which is which.
struct cost_model {
  role_cost ingester;   ///< takes a frame from its instrument, numbers and keeps it: one thread per stream
  role_cost hand_over;  ///< gives a frame to another process: one thread per stream
  role_cost take_over;  ///< takes a frame from another process: one thread per worker process
  role_cost worker;     ///< joins a frame into its event and hands it to the analysis, without the analysis
  role_cost reducer;    ///< folds a result, whose bytes count
  role_cost controller; ///< binds one event for one stream; `byte` counts nothing

  /// How many cores a stream's reading keeps busy while it takes the time of `ingester`: several threads do
  /// it.
  double cores_of_ingester;

  cost_model();
};

/// The cost of that role by its name in files; nullptr if there is none.
role_cost* cost_of(cost_model& costs, std::string_view role);
/// The names of the roles, in the order of the struct.
std::span<const std::string_view> cost_roles();

/// The line ns = frame + byte * bytes with the least sum of squares of (line - ns) / ns: relative, so that
/// small frames weigh as much as large ones. Neither part is below 0. Samples of one size give a cost
/// per frame only. Where there are at least three sizes, what the mean of a size differs from the line is
/// kept in `ratios`. Linear least squares in two unknowns, by the normal equations. `samples` is not empty,
/// each `ns` above 0.
role_cost fit(std::span<const cost_sample> samples);

/// Reads measurements and replaces the costs that they tell something about. Either a list of
///     {"role": "ingester", "bytes": 131072, "ns_per_frame": 27000}
/// with the roles of `cost_model`, or the rows that `benchmarks/throughput --json` writes. Of those the
/// middle rate of "worker gives nothing" is taken as 1 / cost of the ingester: what one stream in one process
/// reaches. What "worker gives a map" takes longer per event, in the middle of the sizes, is the reducer's
/// cost per result. Rows of `--processes`, known by "bare libzmq, two hops", give the cost of hand_over and
/// of take_over instead: the slowest of the row of processes, so neither is more. Throws std::runtime_error
/// that names `name`, and the row.
void read_costs(std::string_view json, std::string_view name, cost_model& costs);

/// The same of a file.
void read_costs(const std::filesystem::path& file, cost_model& costs);

} // namespace dtranspose
