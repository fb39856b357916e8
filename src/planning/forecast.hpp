/// Will it keep up? The use of every resource at the planned rate, by multiplication: what comes per second
/// times what one of it takes, over what there is. Nothing here waits or queues; queue_simulation checks it.
#pragma once

#include <string>
#include <vector>

#include "workload.hpp"

namespace dtranspose {

enum class resource_kind : std::uint8_t {
  stream_link,      ///< of an instrument
  ingester,         ///< the thread that reads a stream
  hand_over,        ///< the thread that gives a stream's frames to other processes
  link_in,          ///< of a node
  link_out,         ///< of a node
  cores,            ///< of a node, all its work together
  memory_bandwidth, ///< of a node
  take_over,        ///< the thread that takes frames from other processes, one per worker process
  workers,          ///< the threads of the workers of a node
  one_constraint,   ///< the worker that has the busiest constraint
  reducer,          ///< its thread
  controller,       ///< its thread
};

const char* name_of(resource_kind kind);

struct resource {
  resource_kind kind;
  std::string where;     ///< stream or node
  std::size_t nodes = 0; ///< place in plan_setup::nodes, where it is a node's
  double use = 0;        ///< share of it that the planned rate takes; above 1: too much
};

/// Does more of the same nodes help?
bool is_of_a_node(resource_kind kind);

/// Bytes that the roles of a node may hold, at their budgets.
struct memory_need {
  std::string where;
  double bytes = 0, available = 0; ///< available 0: unknown
};

struct forecast {
  std::vector<resource> resources; ///< highest use first
  std::vector<memory_need> memory;

  const resource& bottleneck() const { return resources.front(); }
};

/// Bytes of traffic to memory for each byte that comes from another process or leaves to one: the network
/// card's or loopback's, the kernel's copy read and written. Reckoned, not measured.
inline constexpr double memory_traffic_per_byte = 3;

/// Uses of all resources. Frames of a stream per second = rate * mean frames per event; bytes = that * frame
/// size. Single workers of an event are spread over the nodes by their number of workers; each costs a
/// hand-over of its own (the program gives two workers of one process one: so this is an upper bound). What
/// everyone sees is handed over once to each node. Throws plan_error.
forecast forecast_of(const plan_setup& setup, const mean_load& load);

/// Where each stream is ingested and each role is: nodes are numbered through, kind after kind.
struct placement {
  struct node {
    std::size_t kind; ///< place in plan_setup::nodes
    std::string name;
  };
  std::vector<node> nodes;
  std::vector<std::size_t> node_of_stream;
  std::size_t reducer = 0, controller = 0; ///< the first node with that role
};

/// Streams go, in their order, to the node with the fewest bytes per second so far.
placement place(const plan_setup& setup, const mean_load& load);

/// How much of it keeps up with the plan's headroom; 0: no number of them does.
struct sizing {
  struct of_nodes {
    std::string name;
    std::uint32_t count, needed;
  };
  std::uint32_t workers = 0;   ///< by their own threads: load / headroom, at least what the map asks for
  std::vector<of_nodes> nodes; ///< those that ingest or work; each with the others as planned
};

sizing sizing_of(const plan_setup& setup, const mean_load& load);

/// What covers a stall of one stream. Bytes with 256 for each message, as budgets count them.
struct stall_of_stream {
  std::string stream;
  double needed = 0;        ///< bytes that come in that time
  double workers_stall = 0; ///< held by the ingester while nobody works: what is under way and `read_ahead`,
                            ///< at most `retain`
  double reducer_stall = 0; ///< held while everybody but the reducer works: `retain`
  double queue = 0;         ///< in ZeroMQ's queue of the ingester
  double sender = 0;        ///< in the instrument
  double under_way = 0;     ///< of workers_stall: given to workers, by their windows of credit

  double uncovered(double held) const {
    auto rest = needed - held - queue - sender;
    return rest > 0 ? rest : 0;
  }
};

struct stall_forecast {
  double seconds = 0;
  std::vector<stall_of_stream> streams;
  /// Time until what piled up is worked off, s: seconds * use / (1 - use), with the use of the bottleneck:
  /// what piled up is rate * seconds, and rate / use - rate of it goes per second. Below 0: never.
  double catch_up = 0;
};

stall_forecast stall_of(const plan_setup& setup, const mean_load& load, const forecast& uses, double seconds);

/// Events that may be under way to a worker: 20 ms of work, the memory per worker, and some MiB; see
/// credit_window.
double window_of_worker(const plan_setup& setup, const mean_load& load);

/// ns that a worker takes for the mean event.
double ns_per_visit(const plan_setup& setup, const mean_load& load);

} // namespace dtranspose
