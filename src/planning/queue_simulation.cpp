#include "queue_simulation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <queue>
#include <unordered_map>
#include <utility>

namespace dtranspose {

namespace {

constexpr double most_steps = 1e8;
constexpr double per_message = 256; ///< bytes that budgets count beside the payload

/// One queue and who serves it.
struct server {
  std::string name;
  double free_at = 0, busy = 0;
};

/// A stay at a server: so many seconds, or so many for each second of the task's own work.
struct hop {
  std::size_t server;
  double seconds = 0, share = 0;
};

using route = std::vector<hop>;

/// Frames on their way to one process, or one visit on its way through a worker.
struct target {
  std::size_t node;
  std::size_t worker; ///< of all; `everyone`: those of the node
  stream_mask missing;
  double work; ///< seconds of one core for a visit, analysis included
  static constexpr std::size_t everyone = ~std::size_t{0};
};

/// An event under way.
struct open_event {
  std::vector<target> targets;
  std::size_t pending = 0; ///< tasks
};

enum class stage : std::uint8_t { due, reading, passing_on, working, reporting };

struct task {
  double at;
  std::uint64_t order; ///< ties are served as they were made
  std::uint64_t event;
  const route* way;
  std::uint32_t step, target;
  std::uint16_t stream;
  stage doing;
  double work;
  bool operator<(const task& other) const { return at != other.at ? at > other.at : order > other.order; }
};

class run {
 public:
  run(const plan_setup& setup, double seconds)
      : setup_(setup), work_(setup), load_(work_.mean()), places_(place(setup, load_)), seconds_(seconds) {
    build_servers();
    build_routes();
    window_ = window();
    check_length();
  }

  simulated_run answer() {
    expect_next(0);
    while (!tasks_.empty() && tasks_.top().at < seconds_) {
      auto t = tasks_.top();
      tasks_.pop();
      if (half_waiting_ < 0 && t.at >= seconds_ / 2) half_waiting_ = waiting(t.at);
      advance(t);
    }
    return summary();
  }

 private:
  const planned_nodes& kind_of(std::size_t node) const { return setup_.nodes[places_.nodes[node].kind]; }

  std::size_t add_server(std::string name) {
    servers_.push_back({std::move(name)});
    return servers_.size() - 1;
  }

  std::string named(resource_kind kind, const std::string& where) const {
    return fmt::format("{}: {}", name_of(kind), where);
  }

  void build_servers() {
    for (auto& n : places_.nodes) {
      link_in_.push_back(add_server(named(resource_kind::link_in, n.name)));
      link_out_.push_back(add_server(named(resource_kind::link_out, n.name)));
      cores_.push_back(add_server(named(resource_kind::cores, n.name)));
      memory_.push_back(add_server(named(resource_kind::memory_bandwidth, n.name)));
      take_over_.push_back(add_server(named(resource_kind::take_over, n.name)));
    }
    for (auto& s : setup_.streams) {
      stream_link_.push_back(add_server(named(resource_kind::stream_link, s.name)));
      ingester_.push_back(add_server(named(resource_kind::ingester, s.name)));
      hand_over_.push_back(add_server(named(resource_kind::hand_over, s.name)));
    }
    reducer_ = add_server(named(resource_kind::reducer, places_.nodes[places_.reducer].name));
    controller_ = add_server(named(resource_kind::controller, places_.nodes[places_.controller].name));
    for (std::size_t j = 0; j < places_.nodes.size(); ++j)
      for (std::uint32_t w = 0; kind_of(j).worker && w < kind_of(j).workers; ++w)
        workers_.push_back({j, add_server(named(resource_kind::workers, places_.nodes[j].name)), 0});
    spread_workers();
  }

  /// Turns go over the nodes before they come back to one, as credit would have it.
  void spread_workers() {
    std::unordered_map<std::size_t, double> seen;
    std::vector<std::pair<double, worker>> order;
    for (auto& w : workers_) {
      auto n = seen[w.node]++;
      order.push_back({(n + 0.5) / kind_of(w.node).workers, w});
    }
    std::ranges::stable_sort(order, {}, [](auto& x) { return x.first; });
    for (std::size_t i = 0; i < order.size(); ++i) workers_[i] = order[i].second;
    of_node_.resize(places_.nodes.size());
    for (std::size_t i = 0; i < workers_.size(); ++i) of_node_[workers_[i].node].push_back(i);
  }

  static void add(route& way, std::size_t server, double amount, double per_second) {
    if (per_second > 0) way.push_back({server, amount / per_second, 0});
  }

  void add_thread(route& way, std::size_t server, std::size_t node, double ns, double threads = 1) const {
    way.push_back({server, ns * 1e-9 / threads, 0});
    way.push_back({cores_[node], ns * 1e-9 / kind_of(node).cores, 0});
  }

  void add_link(route& way, std::size_t from, std::size_t to, double bytes) const {
    if (from == to) return;
    add(way, link_out_[from], bytes, kind_of(from).link * setup_.link_efficiency);
    add(way, link_in_[to], bytes, kind_of(to).link * setup_.link_efficiency);
  }

  void add_memory(route& way, std::size_t node, double bytes) const {
    add(way, memory_[node], bytes * memory_traffic_per_byte, kind_of(node).memory_bandwidth);
  }

  void build_routes() {
    for (std::size_t s = 0; s < setup_.streams.size(); ++s) build_routes_of(s);
    for (std::size_t j = 0; j < places_.nodes.size(); ++j) {
      route way;
      add_link(way, j, places_.reducer, setup_.result);
      if (setup_.result > 0)
        add_thread(way, reducer_, places_.reducer, setup_.costs.reducer.of(1, setup_.result));
      reporting_.push_back(way);
    }
    for (auto& w : workers_)
      working_.push_back({{w.server, 0, 1}, {cores_[w.node], 0, 1 / kind_of(w.node).cores}});
  }

  void build_routes_of(std::size_t s) {
    auto& stream = setup_.streams[s];
    auto home = places_.node_of_stream[s];
    route reading;
    add_thread(reading, controller_, places_.controller, setup_.costs.controller.of(1, 0));
    add(reading, stream_link_[s], stream.frame, stream.link * setup_.link_efficiency);
    add(reading, link_in_[home], stream.frame, kind_of(home).link * setup_.link_efficiency);
    auto ns = setup_.costs.ingester.of(1, stream.frame);
    reading.push_back({ingester_[s], ns * 1e-9, 0});
    reading.push_back({cores_[home], ns * 1e-9 * setup_.costs.cores_of_ingester / kind_of(home).cores, 0});
    add_memory(reading, home, stream.frame);
    reading_.push_back(reading);
    passing_on_.emplace_back();
    for (std::size_t j = 0; j < places_.nodes.size(); ++j) {
      route way;
      if (kind_of(j).worker && !(home == j && kind_of(j).one_process)) {
        add_thread(way, hand_over_[s], home, setup_.costs.hand_over.of(1, stream.frame));
        add_memory(way, home, stream.frame);
        add_link(way, home, j, stream.frame);
        add_thread(way, take_over_[j], j, setup_.costs.take_over.of(1, stream.frame), kind_of(j).processes);
        add_memory(way, j, stream.frame);
      }
      passing_on_.back().push_back(way);
    }
  }

  /// Events that may be under way: of each stream what workers were given and `read_ahead`, within `retain`.
  std::uint64_t window() const {
    auto given = window_of_worker(setup_, load_) * setup_.workers() / std::max(load_.visits, 1e-9);
    double events = 1e6;
    for (std::size_t s = 0; s < setup_.streams.size(); ++s) {
      auto& stream = setup_.streams[s];
      auto bytes = load_.frames[s] * (stream.frame + per_message);
      if (bytes > 0) events = std::min({events, stream.retain / bytes, given + stream.read_ahead / bytes});
    }
    return static_cast<std::uint64_t>(std::max(events, 1.0));
  }

  void check_length() const {
    double hops = 0;
    for (std::size_t s = 0; s < setup_.streams.size(); ++s)
      hops +=
          load_.frames[s] * 6 + load_.copies[s] * 9 + load_.broadcasts[s] * 9 * double(places_.nodes.size());
    auto steps = setup_.rate * seconds_ * (hops + 6 * load_.visits);
    if (steps > most_steps)
      throw plan_error(
          fmt::format("--simulate: {} s are {:.1e} steps; up to {:.2g} s are possible with this plan",
                      seconds_, steps, seconds_ * most_steps / steps));
  }

  void push(task t) {
    t.order = ++order_;
    tasks_.push(t);
  }

  void expect_next(double now) {
    push({.at = std::max(now, double(next_) / setup_.rate), .way = &nowhere_, .doing = stage::due});
  }

  void take_in(double now) {
    start(next_++, now);
    expect_next(now);
  }

  void come(double now) {
    if (open_.size() < window_)
      take_in(now);
    else
      blocked_ = true;
  }

  void start(std::uint64_t number, double at) {
    auto& event = open_[number];
    work_.visits_of(number, visits_);
    for (auto& v : visits_) add_targets(event, v);
    auto frames = work_.frames_of(number);
    ++event.pending;
    for (std::size_t s = 0; s < setup_.streams.size(); ++s)
      if (frames >> s & 1) {
        ++event.pending;
        push({.at = at,
              .event = number,
              .way = &reading_[s],
              .stream = static_cast<std::uint16_t>(s),
              .doing = stage::reading});
      }
    finish_one(number, at);
  }

  void add_targets(open_event& event, const planned_visit& v) {
    double ns = setup_.analysis;
    for (std::size_t s = 0; s < setup_.streams.size(); ++s)
      if (v.streams >> s & 1) ns += setup_.costs.worker.of(1, setup_.streams[s].frame);
    if (!v.everyone) {
      auto w = worker_for(v.constraint);
      ++workers_[w].has;
      event.targets.push_back({workers_[w].node, w, v.streams, ns * 1e-9});
      return;
    }
    for (std::size_t j = 0; j < places_.nodes.size(); ++j)
      if (kind_of(j).worker) event.targets.push_back({j, target::everyone, v.streams, ns * 1e-9});
  }

  std::size_t worker_for(std::uint64_t constraint) {
    if (constraint == planned_visit::nobody_else) return freest_worker();
    auto [i, is_new] = bound_.try_emplace(constraint, 0);
    if (is_new) i->second = freest_worker();
    return i->second;
  }

  /// The one that has least under way; of several each in its turn.
  std::size_t freest_worker() {
    auto first = turn_++ % workers_.size(), best = first;
    for (std::size_t i = 1; i < workers_.size() && workers_[best].has > 0; ++i)
      if (auto w = (first + i) % workers_.size(); workers_[w].has < workers_[best].has) best = w;
    return best;
  }

  void advance(task t) {
    if (t.step == t.way->size()) return arrive(t);
    auto& next = (*t.way)[t.step++];
    auto& at = servers_[next.server];
    auto takes = next.seconds + next.share * t.work;
    at.free_at = std::max(at.free_at, t.at) + takes;
    // What reaches beyond the end does not count as busy.
    at.busy += std::max(0.0, std::min(at.free_at, seconds_) - std::min(at.free_at - takes, seconds_));
    t.at = at.free_at;
    push(t);
  }

  void arrive(const task& t) {
    if (t.doing == stage::due) return come(t.at);
    auto& event = open_.find(t.event)->second;
    if (t.doing == stage::reading) pass_on(event, t);
    if (t.doing == stage::passing_on) join(event, t);
    if (t.doing == stage::working) {
      ++event.pending;
      if (auto w = event.targets[t.target].worker; w != target::everyone) --workers_[w].has;
      auto report = t;
      report.way = &reporting_[event.targets[t.target].node];
      report.step = 0;
      report.doing = stage::reporting;
      push(report);
    }
    finish_one(t.event, t.at);
  }

  void pass_on(open_event& event, const task& t) {
    for (std::uint32_t i = 0; i < event.targets.size(); ++i) {
      if (!(event.targets[i].missing >> t.stream & 1)) continue;
      ++event.pending;
      push({.at = t.at,
            .event = t.event,
            .way = &passing_on_[t.stream][event.targets[i].node],
            .target = i,
            .stream = t.stream,
            .doing = stage::passing_on});
    }
  }

  void join(open_event& event, const task& t) {
    auto& to = event.targets[t.target];
    to.missing &= ~(stream_mask{1} << t.stream);
    if (to.missing != 0) return;
    auto work = [&](std::size_t w) {
      ++event.pending;
      push({.at = t.at,
            .event = t.event,
            .way = &working_[w],
            .target = t.target,
            .doing = stage::working,
            .work = to.work});
    };
    if (to.worker != target::everyone) return work(to.worker);
    for (auto w : of_node_[to.node]) work(w);
  }

  void finish_one(std::uint64_t number, double at) {
    auto event = open_.find(number);
    if (--event->second.pending > 0) return;
    open_.erase(event);
    ++all_done_;
    if (at >= seconds_ / 2) {
      if (done_ == 0) first_done_ = at;
      last_done_ = at;
      ++done_;
    }
    if (std::exchange(blocked_, false)) take_in(at);
  }

  /// Events that are due by then and not done.
  double waiting(double at) const { return std::max(0.0, std::ceil(at * setup_.rate) - double(all_done_)); }

  simulated_run summary() const {
    simulated_run r{.seconds = seconds_, .window = window_};
    auto between = last_done_ - first_done_;
    r.rate = between > 0 ? double(done_ - 1) / between : 0;
    r.waiting = static_cast<std::uint64_t>(waiting(seconds_));
    r.growth = (waiting(seconds_) - std::max(half_waiting_, 0.0)) / (seconds_ / 2);
    auto busiest = std::ranges::max_element(servers_, {}, &server::busy);
    r.busiest = busiest->name;
    r.use = busiest->busy / seconds_;
    return r;
  }

  struct worker {
    std::size_t node, server;
    std::uint64_t has = 0; ///< visits under way to it
  };

  const plan_setup& setup_;
  workload work_;
  mean_load load_;
  placement places_;
  double seconds_;
  std::vector<server> servers_;
  std::vector<std::size_t> link_in_, link_out_, cores_, memory_, take_over_; ///< by node
  std::vector<std::size_t> stream_link_, ingester_, hand_over_;              ///< by stream
  std::size_t reducer_ = 0, controller_ = 0;
  std::vector<worker> workers_;
  std::vector<std::vector<std::size_t>> of_node_; ///< workers by node
  std::vector<route> reading_;                    ///< by stream
  std::vector<std::vector<route>> passing_on_;    ///< by stream and node
  std::vector<route> working_;                    ///< by worker
  std::vector<route> reporting_;                  ///< by node
  std::priority_queue<task> tasks_;
  std::unordered_map<std::uint64_t, open_event> open_;
  std::unordered_map<std::uint64_t, std::size_t> bound_;
  std::vector<planned_visit> visits_;
  std::uint64_t window_ = 1, next_ = 0, order_ = 0, turn_ = 0;
  std::uint64_t all_done_ = 0, done_ = 0; ///< `done_`: in the second half
  double first_done_ = 0, last_done_ = 0, half_waiting_ = -1;
  bool blocked_ = false;
  const route nowhere_;
};

} // namespace

simulated_run simulate_queues(const plan_setup& setup, double seconds) {
  return run(setup, seconds).answer();
}

} // namespace dtranspose
