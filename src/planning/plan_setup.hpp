/// What is planned: streams, nodes, roles on them, and what the work costs. Rates are per second, sizes in
/// bytes, costs in ns of one core.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cost_model.hpp"
#include "model/trigger_map.hpp"

namespace dtranspose {

/// Of every link: what is left of it for frames, at 1500 bytes per packet with TCP's and Ethernet's overhead:
/// 1448 / 1538. 9000 bytes per packet would give 0.99.
inline constexpr double usual_link_efficiency = 0.94;

/// `[[plan.stream]]`
struct planned_stream {
  std::string name;
  double frame = 0;          ///< bytes
  std::uint32_t every = 1;   ///< without a map: it has a frame in the events 0, every, 2 * every, ...
  std::uint32_t workers = 1; ///< without a map: how many different workers see each frame
  double link = 0;           ///< of the instrument, bytes per second; 0: no limit
  std::string nodes;         ///< name of the nodes that ingest it; empty: any with that role
  double retain = std::uint64_t{2} << 30;
  double read_ahead = 4 << 20;
  double sender = 0; ///< bytes that the instrument itself keeps when it is not read
  double queue = -1; ///< bytes that wait in ZeroMQ's queue; below 0: as the program sets it
};

/// `[[plan.nodes]]`: some that are all alike.
struct planned_nodes {
  std::string name;
  std::uint32_t count = 1;
  double cores = 1;
  double link = 0;             ///< bytes per second, in each direction; 0: no limit
  double memory = 0;           ///< bytes; 0: unknown
  double memory_bandwidth = 0; ///< bytes per second, read and written together; 0: unknown
  bool ingester = false, worker = false, reducer = false, controller = false;
  std::uint32_t workers = 2;   ///< on each of them
  std::uint32_t processes = 1; ///< with the role worker on each of them
  double worker_memory = 256 << 20;
  bool one_process = false; ///< its roles are one process: frames for its own workers are not handed over
};

/// `[plan]`
struct plan_setup {
  double rate = 0; ///< events per second
  std::vector<planned_stream> streams;
  std::vector<planned_nodes> nodes;
  cost_model costs;
  double analysis = 0; ///< ns that a worker takes for an event, of one core
  double result = 0;   ///< bytes of a result; 0: workers return nothing
  double headroom = 0.7;
  double link_efficiency = usual_link_efficiency;
  std::uint32_t constraints = 0; ///< without a map: so many take turns; 0: every event has its own
  std::shared_ptr<const trigger_map> map;

  /// Workers of all nodes.
  double workers() const {
    double sum = 0;
    for (auto& n : nodes) sum += n.worker ? double(n.count) * n.workers : 0;
    return sum;
  }
};

/// All that is wrong with a plan, one finding per line: `file:line: [section] key: what`.
class plan_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads the section [plan] of a file; `[[stream]]` and `[worker]` of the same file, if they are there, say
/// what the plan leaves open. Paths are taken from the file's folder if they are there. Throws plan_error.
plan_setup read_plan(const std::filesystem::path& file);

/// The same of text; `name` is what messages call the file, and where its folder is taken from.
plan_setup parse_plan(std::string_view text, const std::string& name);

} // namespace dtranspose
