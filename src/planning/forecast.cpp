#include "forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/credit_window.hpp"

namespace dtranspose {

namespace {

constexpr double per_message = 256; ///< bytes that budgets count beside the payload
constexpr std::uint32_t most_nodes = 1024;

/// What comes per second at one node.
struct node_load {
  double link_in = 0, link_out = 0; ///< bytes
  double cores = 0;                 ///< ns
  double memory = 0;                ///< bytes
  double take_over = 0;             ///< ns
  double workers = 0;               ///< ns
};

struct stream_load {
  double ingester = 0, hand_over = 0; ///< ns
};

/// All that comes per second, everywhere.
class flows {
 public:
  flows(const plan_setup& setup, const mean_load& load, const placement& places)
      : setup_(setup), load_(load), places_(places), nodes(places.nodes.size()),
        streams(setup.streams.size()) {
    for (std::size_t s = 0; s < streams.size(); ++s) add_stream(s);
    for (std::size_t j = 0; j < nodes.size(); ++j)
      if (kind_of(j).worker) add_analysis(j);
    for (std::size_t s = 0; s < streams.size(); ++s)
      controller += setup.costs.controller.of(setup.rate * load.frames[s], 0);
    nodes[places.controller].cores += controller;
    nodes[places.reducer].cores += reducer;
  }

 private:
  const plan_setup& setup_;
  const mean_load& load_;
  const placement& places_;

  const planned_nodes& kind_of(std::size_t node) const { return setup_.nodes[places_.nodes[node].kind]; }

  void add_stream(std::size_t s) {
    auto home = places_.node_of_stream[s];
    auto frames = setup_.rate * load_.frames[s], bytes = frames * setup_.streams[s].frame;
    streams[s].ingester = setup_.costs.ingester.of(frames, bytes);
    nodes[home].link_in += bytes;
    nodes[home].cores += streams[s].ingester * setup_.costs.cores_of_ingester;
    nodes[home].memory += bytes * memory_traffic_per_byte;
    for (std::size_t j = 0; j < nodes.size(); ++j)
      if (kind_of(j).worker) add_hand_over(s, home, j);
  }

  void add_hand_over(std::size_t s, std::size_t home, std::size_t to) {
    auto size = setup_.streams[s].frame, workers = double(kind_of(to).workers);
    auto single = setup_.rate * load_.copies[s] * workers / setup_.workers();
    auto everyone = setup_.rate * load_.broadcasts[s];
    auto join = setup_.costs.worker.of(single + everyone * workers, (single + everyone * workers) * size);
    nodes[to].workers += join;
    nodes[to].cores += join;
    if (home == to && kind_of(to).one_process) return;
    auto frames = single + everyone, bytes = frames * size;
    auto given = setup_.costs.hand_over.of(frames, bytes), taken = setup_.costs.take_over.of(frames, bytes);
    streams[s].hand_over += given;
    nodes[home].cores += given;
    nodes[home].memory += bytes * memory_traffic_per_byte;
    nodes[to].take_over += taken;
    nodes[to].cores += taken;
    nodes[to].memory += bytes * memory_traffic_per_byte;
    if (home == to) return;
    nodes[home].link_out += bytes;
    nodes[to].link_in += bytes;
  }

  void add_analysis(std::size_t j) {
    auto workers = double(kind_of(j).workers);
    auto visits =
        setup_.rate * (load_.visits * workers / setup_.workers() + load_.visits_of_everyone * workers);
    nodes[j].workers += visits * setup_.analysis;
    nodes[j].cores += visits * setup_.analysis;
    if (setup_.result == 0) return;
    auto bytes = visits * setup_.result;
    reducer += setup_.costs.reducer.of(visits, bytes);
    if (j == places_.reducer) return;
    nodes[j].link_out += bytes;
    nodes[places_.reducer].link_in += bytes;
  }

 public:
  std::vector<node_load> nodes;
  std::vector<stream_load> streams;
  double reducer = 0, controller = 0; ///< ns
};

void add_nodes(const plan_setup& setup, const placement& places, const flows& flow, forecast& answer) {
  for (std::size_t j = 0; j < places.nodes.size(); ++j) {
    auto kind = places.nodes[j].kind;
    auto& n = setup.nodes[kind];
    auto& load = flow.nodes[j];
    auto add = [&](resource_kind what, double wanted, double there) {
      if (there > 0) answer.resources.push_back({what, places.nodes[j].name, kind, wanted / there});
    };
    add(resource_kind::link_in, load.link_in, n.link * setup.link_efficiency);
    add(resource_kind::link_out, load.link_out, n.link * setup.link_efficiency);
    add(resource_kind::cores, load.cores, n.cores * 1e9);
    add(resource_kind::memory_bandwidth, load.memory, n.memory_bandwidth);
    if (!n.worker) continue;
    add(resource_kind::take_over, load.take_over, n.processes * 1e9);
    add(resource_kind::workers, load.workers, n.workers * 1e9);
  }
}

void add_memory(const plan_setup& setup, const placement& places, forecast& answer) {
  for (auto& node : places.nodes) {
    auto& n = setup.nodes[node.kind];
    answer.memory.push_back({node.name, n.worker ? n.worker_memory * n.processes : 0, n.memory});
  }
  for (std::size_t s = 0; s < setup.streams.size(); ++s)
    answer.memory[places.node_of_stream[s]].bytes += setup.streams[s].retain;
}

/// Bytes of a stream that the mean visit of a single worker has.
double bytes_per_visit(const plan_setup& setup, const mean_load& load, std::size_t s) {
  return load.visits > 0 ? load.copies[s] / load.visits * setup.streams[s].frame : 0;
}

/// What the program sets: 1000 messages, fewer if they are more than about 64 MiB, at least 4.
double usual_queue(double frame) { return frame * std::clamp(double(64 << 20) / frame, 4.0, 1000.0); }

bool all_fit(const forecast& uses, std::size_t kind, double headroom) {
  return std::ranges::none_of(
      uses.resources, [&](auto& r) { return is_of_a_node(r.kind) && r.nodes == kind && r.use > headroom; });
}

std::uint32_t nodes_needed(plan_setup setup, const mean_load& load, std::size_t kind) {
  for (std::uint32_t count = 1; count <= most_nodes; ++count) {
    setup.nodes[kind].count = count;
    if (all_fit(forecast_of(setup, load), kind, setup.headroom)) return count;
    // A node more takes no stream any more: only workers still spread.
    if (!setup.nodes[kind].worker && count > setup.streams.size()) break;
  }
  return 0;
}

std::uint32_t workers_needed(const plan_setup& setup, const mean_load& load) {
  double everyone = load.visits_of_everyone * setup.analysis;
  for (std::size_t s = 0; s < setup.streams.size(); ++s)
    everyone += setup.costs.worker.of(load.broadcasts[s], load.broadcasts[s] * setup.streams[s].frame);
  auto left = setup.headroom - setup.rate * everyone * 1e-9;
  auto one_visit = setup.rate * ns_per_visit(setup, load) * 1e-9;
  if (left <= 0 || load.busiest * one_visit > left) return 0;
  auto wanted = std::ceil(load.visits * one_visit / left - 1e-9);
  return std::max(static_cast<std::uint32_t>(std::min(wanted, 4e9)), load.min_workers);
}

} // namespace

const char* name_of(resource_kind kind) {
  constexpr const char* names[] = {"instrument's link", "reading",        "handing over",     "link, in",
                                   "link, out",         "cores",          "memory bandwidth", "taking over",
                                   "workers",           "one constraint", "reducer",          "controller"};
  return names[static_cast<std::size_t>(kind)];
}

bool is_of_a_node(resource_kind kind) {
  return kind >= resource_kind::link_in && kind <= resource_kind::workers && kind != resource_kind::hand_over;
}

placement place(const plan_setup& setup, const mean_load& load) {
  placement places;
  std::vector<double> bytes;
  for (std::size_t kind = 0; kind < setup.nodes.size(); ++kind)
    for (std::uint32_t i = 1; i <= setup.nodes[kind].count; ++i) {
      auto& name = setup.nodes[kind].name;
      places.nodes.push_back({kind, setup.nodes[kind].count > 1 ? fmt::format("{}-{}", name, i) : name});
    }
  auto first_with = [&](bool planned_nodes::*role, const char* name) {
    auto i = std::ranges::find_if(places.nodes, [&](auto& n) { return setup.nodes[n.kind].*role; });
    if (i == places.nodes.end())
      throw plan_error(fmt::format("[[plan.nodes]] roles: none has the role {}", name));
    return static_cast<std::size_t>(i - places.nodes.begin());
  };
  places.reducer = first_with(&planned_nodes::reducer, "reducer");
  places.controller = first_with(&planned_nodes::controller, "controller");
  first_with(&planned_nodes::worker, "worker");
  first_with(&planned_nodes::ingester, "ingester");
  bytes.resize(places.nodes.size());
  for (std::size_t s = 0; s < setup.streams.size(); ++s) {
    std::size_t best = places.nodes.size();
    for (std::size_t j = 0; j < places.nodes.size(); ++j) {
      auto& n = setup.nodes[places.nodes[j].kind];
      auto may = n.ingester && (setup.streams[s].nodes.empty() || setup.streams[s].nodes == n.name);
      if (may && (best == places.nodes.size() || bytes[j] < bytes[best])) best = j;
    }
    if (best == places.nodes.size())
      throw plan_error(fmt::format("[[plan.stream]] nodes: no node ingests '{}'", setup.streams[s].name));
    places.node_of_stream.push_back(best);
    bytes[best] += load.frames[s] * setup.streams[s].frame;
  }
  return places;
}

double ns_per_visit(const plan_setup& setup, const mean_load& load) {
  if (load.visits == 0) return 0;
  double ns = setup.analysis;
  for (std::size_t s = 0; s < setup.streams.size(); ++s)
    ns += setup.costs.worker.of(load.copies[s] / load.visits, bytes_per_visit(setup, load, s));
  return ns;
}

forecast forecast_of(const plan_setup& setup, const mean_load& load) {
  auto places = place(setup, load);
  flows flow(setup, load, places);
  forecast answer;
  auto thread = [&](resource_kind kind, const std::string& where, double ns) {
    answer.resources.push_back({kind, where, 0, ns * 1e-9});
  };
  for (std::size_t s = 0; s < setup.streams.size(); ++s) {
    auto& stream = setup.streams[s];
    if (stream.link > 0)
      answer.resources.push_back(
          {resource_kind::stream_link, stream.name, 0,
           setup.rate * load.frames[s] * stream.frame / (stream.link * setup.link_efficiency)});
    thread(resource_kind::ingester, stream.name, flow.streams[s].ingester);
    thread(resource_kind::hand_over, stream.name, flow.streams[s].hand_over);
  }
  add_nodes(setup, places, flow, answer);
  add_memory(setup, places, answer);
  thread(resource_kind::one_constraint, "the busiest", setup.rate * load.busiest * ns_per_visit(setup, load));
  thread(resource_kind::reducer, places.nodes[places.reducer].name, flow.reducer);
  thread(resource_kind::controller, places.nodes[places.controller].name, flow.controller);
  std::ranges::stable_sort(answer.resources, std::greater<>(), &resource::use);
  return answer;
}

sizing sizing_of(const plan_setup& setup, const mean_load& load) {
  sizing answer{workers_needed(setup, load), {}};
  for (std::size_t kind = 0; kind < setup.nodes.size(); ++kind) {
    auto& n = setup.nodes[kind];
    if (n.ingester || n.worker) answer.nodes.push_back({n.name, n.count, nodes_needed(setup, load, kind)});
  }
  return answer;
}

double window_of_worker(const plan_setup& setup, const mean_load& load) {
  double bytes = 0;
  for (std::size_t s = 0; s < setup.streams.size(); ++s) bytes += bytes_per_visit(setup, load, s);
  // Nodes differ in memory per worker: the mean of all workers counts.
  double memory = 0;
  for (auto& n : setup.nodes) memory += n.worker ? n.worker_memory * n.processes * n.count : 0;
  memory /= setup.workers();
  auto by_time = credit_window::work_ahead / std::max(ns_per_visit(setup, load), 1.0);
  auto by_cache = std::max(credit_window::bytes_ahead / std::max(bytes, 1.0), credit_window::fewest_large);
  return std::clamp(std::min({by_time, memory / std::max(bytes, 1.0), by_cache}),
                    double{credit_window::smallest}, double{credit_window::largest});
}

stall_forecast stall_of(const plan_setup& setup, const mean_load& load, const forecast& uses,
                        double seconds) {
  stall_forecast answer{seconds, {}, 0};
  auto visits = window_of_worker(setup, load) * setup.workers();
  for (std::size_t s = 0; s < setup.streams.size(); ++s) {
    auto& stream = setup.streams[s];
    stall_of_stream x{.stream = stream.name};
    auto counted = stream.frame + per_message;
    x.needed = setup.rate * load.frames[s] * seconds * counted;
    x.under_way = load.visits > 0 ? visits * load.frames[s] / load.visits * counted : 0;
    x.workers_stall = std::min(stream.retain, x.under_way + stream.read_ahead);
    x.reducer_stall = stream.retain;
    x.queue = stream.queue < 0 ? usual_queue(stream.frame) : stream.queue;
    x.sender = stream.sender;
    answer.streams.push_back(x);
  }
  auto use = uses.bottleneck().use;
  answer.catch_up = use < 1 ? seconds * use / (1 - use) : -1;
  return answer;
}

} // namespace dtranspose
