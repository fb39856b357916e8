#include "run_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dtranspose {

namespace {

using nlohmann::ordered_json;

/// 12.3 GB of 12300000000.
std::string bytes_text(double bytes) {
  constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < std::size(units); bytes /= 1000) ++unit;
  return fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string rate_text(double rate) {
  if (rate >= 1e6) return fmt::format("{:.3g} million", rate * 1e-6);
  return rate >= 100 ? fmt::format("{:.0f}", rate) : fmt::format("{:.3g}", rate);
}

/// The fullest of each kind, and how many there are.
ordered_json rows_of(const forecast& uses, double rate) {
  auto rows = ordered_json::array();
  for (auto& r : uses.resources) {
    auto same = std::ranges::find_if(rows, [&](auto& row) { return row["resource"] == name_of(r.kind); });
    if (same != rows.end()) {
      (*same)["of"] = (*same)["of"].template get<int>() + 1;
      continue;
    }
    ordered_json most = nullptr;
    if (r.use > 0) most = rate / r.use;
    rows.push_back({{"resource", name_of(r.kind)},
                    {"where", r.where},
                    {"of", 1},
                    {"use", r.use},
                    {"most_events_per_second", most}});
  }
  return rows;
}

/// What is used too much and has no more of itself, however many nodes there are.
ordered_json singles_of(const forecast& uses, double headroom) {
  auto list = ordered_json::array();
  for (auto& r : uses.resources)
    if (!is_of_a_node(r.kind) && r.use > headroom)
      list.push_back(fmt::format("{}: {}", name_of(r.kind), r.where));
  return list;
}

ordered_json memory_of(const forecast& uses) {
  auto rows = ordered_json::array();
  for (auto& m : uses.memory)
    if (m.available > 0 && m.bytes > m.available)
      rows.push_back({{"node", m.where}, {"budgets", m.bytes}, {"memory", m.available}});
  return rows;
}

ordered_json needs_of(const plan_setup& setup, const sizing& needs) {
  ordered_json nodes = ordered_json::array();
  for (auto& n : needs.nodes) {
    ordered_json needed = nullptr;
    if (n.needed > 0) needed = n.needed;
    nodes.push_back({{"nodes", n.name}, {"planned", n.count}, {"needed", needed}});
  }
  ordered_json workers = nullptr;
  if (needs.workers > 0) workers = needs.workers;
  return {{"workers", {{"planned", setup.workers()}, {"needed", workers}}}, {"nodes", nodes}};
}

ordered_json stall_answer(const stall_forecast& stall) {
  auto streams = ordered_json::array();
  for (auto& s : stall.streams)
    streams.push_back({{"stream", s.stream},
                       {"comes", s.needed},
                       {"held_when_workers_stall", s.workers_stall},
                       {"held_when_reducer_stalls", s.reducer_stall},
                       {"queue", s.queue},
                       {"sender", s.sender},
                       {"missing_when_workers_stall", s.uncovered(s.workers_stall)},
                       {"missing_when_reducer_stalls", s.uncovered(s.reducer_stall)}});
  ordered_json catch_up = nullptr;
  if (stall.catch_up >= 0) catch_up = stall.catch_up;
  return {{"seconds", stall.seconds}, {"catch_up_seconds", catch_up}, {"streams", streams}};
}

ordered_json simulation_answer(const simulated_run& run) {
  return {{"seconds", run.seconds},
          {"events_per_second", run.rate},
          {"queue_growth", run.growth},
          {"events_waiting", run.waiting},
          {"events_under_way", run.window},
          {"busiest", run.busiest},
          {"use", run.use}};
}

std::string needed_text(const ordered_json& needed) {
  return needed.is_null() ? std::string("no number of them keeps up")
                          : fmt::format("{} needed", needed.get<int>());
}

bool same_stall(ordered_json a, ordered_json b) {
  a.erase("stream");
  b.erase("stream");
  return a == b;
}

std::string stall_text(const ordered_json& stall) {
  auto text = fmt::format("\nA stall of {:g} s: ", stall["seconds"].get<double>());
  auto& catch_up = stall["catch_up_seconds"];
  text += catch_up.is_null() ? std::string("never worked off, as there is no rate to spare")
                             : fmt::format("worked off after {:.3g} s more", catch_up.get<double>());
  text += fmt::format("\n{:<20} {:>9}  {:>13} {:>8} {:>8} {:>8}  {}\n", "stream", "comes", "workers stall",
                      "retain", "queue", "sender", "covered when workers stall / only the reducer");
  auto& all = stall["streams"];
  for (std::size_t i = 0, next = 0; i < all.size(); i = next) {
    while (next < all.size() && same_stall(all[i], all[next])) ++next;
    auto& s = all[i];
    auto name = s["stream"].get<std::string>();
    if (next - i > 1) name += fmt::format(" and {} more", next - i - 1);
    auto size = [&](const char* key) { return bytes_text(s[key].get<double>()); };
    auto covered = [&](const char* missing) {
      return s[missing].get<double>() == 0 ? std::string("yes")
                                           : fmt::format("no, {} too little", size(missing));
    };
    text += fmt::format("{:<20} {:>9}  {:>13} {:>8} {:>8} {:>8}  {} / {}\n", name, size("comes"),
                        size("held_when_workers_stall"), size("held_when_reducer_stalls"), size("queue"),
                        size("sender"), covered("missing_when_workers_stall"),
                        covered("missing_when_reducer_stalls"));
  }
  return text;
}

} // namespace

ordered_json answer_of(const plan_setup& setup, const plan_request& request) {
  auto load = workload(setup).mean();
  auto uses = forecast_of(setup, load);
  double bytes = 0;
  for (std::size_t s = 0; s < setup.streams.size(); ++s)
    bytes += setup.rate * load.frames[s] * setup.streams[s].frame;
  auto& most = uses.bottleneck();
  ordered_json answer{
      {"events_per_second", setup.rate},
      {"streams", setup.streams.size()},
      {"bytes_per_second", bytes},
      {"keeps_up", most.use <= 1},
      {"headroom", setup.headroom},
      {"keeps_up_with_headroom", most.use <= setup.headroom},
      {"bottleneck", fmt::format("{}: {}", name_of(most.kind), most.where)},
      {"use", most.use},
      {"most_events_per_second", most.use > 0 ? ordered_json(setup.rate / most.use) : nullptr},
      {"resources", rows_of(uses, setup.rate)},
      {"needs", needs_of(setup, sizing_of(setup, load))},
      {"more_nodes_do_not_help", singles_of(uses, setup.headroom)},
      {"budgets_beyond_memory", memory_of(uses)}};
  if (request.stall > 0) answer["stall"] = stall_answer(stall_of(setup, load, uses, request.stall));
  if (request.simulate > 0)
    answer["simulation"] = simulation_answer(simulate_queues(setup, request.simulate));
  return answer;
}

std::string text_of_answer(const ordered_json& a) {
  auto number = [](const ordered_json& node) { return node.get<double>(); };
  auto text = fmt::format("{} events/s, {} streams, {}/s\n", rate_text(number(a["events_per_second"])),
                          a["streams"].get<int>(), bytes_text(number(a["bytes_per_second"])));
  text += a["keeps_up_with_headroom"].get<bool>() ? "It keeps up"
          : a["keeps_up"].get<bool>()             ? "It keeps up, with less headroom than asked for"
                                                  : "It does not keep up";
  text += fmt::format(": {:.0f} % of {} is used, {:.0f} % may be", number(a["use"]) * 100,
                      a["bottleneck"].get<std::string>(), number(a["headroom"]) * 100);
  if (!a["most_events_per_second"].is_null())
    text += fmt::format("; at most {} events/s", rate_text(number(a["most_events_per_second"])));
  text += fmt::format(".\n\n{:<18} {:<20} {:>4} {:>8}  {}\n", "resource", "fullest", "of", "use",
                      "events/s at most");
  for (auto& r : a["resources"])
    text += fmt::format(
        "{:<18} {:<20} {:>4} {:>6.1f} %  {}\n", r["resource"].get<std::string>(),
        r["where"].get<std::string>(), r["of"].get<int>(), number(r["use"]) * 100,
        r["most_events_per_second"].is_null() ? "-" : rate_text(number(r["most_events_per_second"])));
  auto& workers = a["needs"]["workers"];
  text +=
      fmt::format("\nworkers: {} of {:.0f}\n", needed_text(workers["needed"]), number(workers["planned"]));
  for (auto& n : a["needs"]["nodes"])
    text += fmt::format("nodes '{}': {} of {}\n", n["nodes"].get<std::string>(), needed_text(n["needed"]),
                        n["planned"].get<int>());
  auto& singles = a["more_nodes_do_not_help"];
  if (!singles.empty())
    text += fmt::format("More nodes or workers do not help against: {}{}\n", singles[0].get<std::string>(),
                        singles.size() > 1 ? fmt::format(" and {} more", singles.size() - 1) : "");
  for (auto& m : a["budgets_beyond_memory"])
    text += fmt::format("memory of '{}': retain and worker_memory come to {}, it has {}\n",
                        m["node"].get<std::string>(), bytes_text(number(m["budgets"])),
                        bytes_text(number(m["memory"])));
  if (a.contains("stall")) text += stall_text(a["stall"]);
  if (!a.contains("simulation")) return text;
  auto& s = a["simulation"];
  return text + fmt::format("\nSimulated for {:g} s: {} events/s done, what waits grows by {} events/s; "
                            "busiest is {} with {:.1f} %.\n",
                            number(s["seconds"]), rate_text(number(s["events_per_second"])),
                            rate_text(number(s["queue_growth"])), s["busiest"].get<std::string>(),
                            number(s["use"]) * 100);
}

int run_plan(const plan_request& request) {
  auto setup = read_plan(request.config);
  if (request.headroom < 0 || request.headroom > 1) throw plan_error("--headroom is not above 0 and up to 1");
  if (request.stall < 0) throw plan_error("--stall is below 0 seconds");
  if (request.simulate < 0) throw plan_error("--simulate is below 0 seconds");
  if (request.headroom > 0) setup.headroom = request.headroom;
  auto answer = answer_of(setup, request);
  if (request.json)
    fmt::print("{}\n", answer.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  else
    fmt::print("{}", text_of_answer(answer));
  return 0;
}

} // namespace dtranspose
