#include "cost_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace dtranspose {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 6> role_names = {"ingester", "hand_over", "take_over",
                                                        "worker",   "reducer",   "controller"};

/// Of the table of `throughput` in benchmarks/README.md.
constexpr cost_sample measured_ingester[] = {{2048, 1e9 / 462'892},
                                             {32768, 1e9 / 68'612},
                                             {131072, 1e9 / 33'363},
                                             {524288, 1e9 / 10'734},
                                             {2097152, 1e9 / 1'645}};
/// Giving a frame to another process, and taking it there, each.
constexpr cost_sample measured_hand_over[] = {
    {2048, 2'500}, {32768, 22'300}, {131072, 70'000}, {524288, 219'000}, {2097152, 655'000}};

double middle(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers[numbers.size() / 2];
}

/// A number above 0 of a row of measurements.
double positive(const json& row, const char* key) {
  auto found = row.find(key);
  if (found == row.end() || !found->is_number() || !(found->get<double>() > 0))
    throw std::runtime_error(fmt::format("'{}' must be a number above 0", key));
  return found->get<double>();
}

std::string text(const json& row, const char* key) {
  auto found = row.find(key);
  if (found == row.end() || !found->is_string())
    throw std::runtime_error(fmt::format("'{}' must be a text", key));
  return found->get<std::string>();
}

using samples_by_name = std::map<std::string, std::vector<cost_sample>>;

void read_role(const json& row, samples_by_name& roles) {
  auto role = text(row, "role");
  if (std::find(role_names.begin(), role_names.end(), role) == role_names.end())
    throw std::runtime_error(
        fmt::format("'{}' is no role that costs; known are {}", role, fmt::join(role_names, ", ")));
  roles[role].push_back({row.value("bytes", 0.0), positive(row, "ns_per_frame")});
}

void read_rate(const json& row, samples_by_name& rates) {
  auto list = row.find("events_per_second");
  if (list == row.end() || !list->is_array() || list->empty())
    throw std::runtime_error("neither 'role' nor 'events_per_second', a list of rates, is there");
  std::vector<double> all;
  for (auto& rate : *list) {
    if (!rate.is_number() || !(rate.get<double>() > 0))
      throw std::runtime_error("'events_per_second' must hold numbers above 0");
    all.push_back(rate.get<double>());
  }
  rates[text(row, "what")].push_back({positive(row, "bytes"), 1e9 / middle(all)});
}

/// What folding adds, as `throughput` shows it: a result is small whatever the frame is.
void take_reducer(const std::vector<cost_sample>& nothing, const std::vector<cost_sample>& map,
                  cost_model& costs) {
  std::vector<double> added;
  for (auto& with : map)
    for (auto& without : nothing)
      if (with.bytes == without.bytes) added.push_back(with.ns - without.ns);
  // Noise may make it negative; then the measurement says nothing, and what is known remains.
  if (!added.empty() && middle(added) > 0) costs.reducer.frame = middle(added);
}

role_cost line_through(std::span<const cost_sample> samples) {
  // Each sample stands for frame * u + byte * v = 1 with u = 1 / ns, v = bytes / ns.
  double uu = 0, uv = 0, vv = 0, u = 0, v = 0;
  for (auto& s : samples) {
    auto x = 1 / s.ns, y = s.bytes / s.ns;
    uu += x * x;
    uv += x * y;
    vv += y * y;
    u += x;
    v += y;
  }
  auto determinant = uu * vv - uv * uv;
  if (determinant <= 1e-9 * uu * vv) return {u / uu, 0, {}};
  role_cost line{(u * vv - v * uv) / determinant, (v * uu - u * uv) / determinant, {}};
  if (line.byte < 0) return {u / uu, 0, {}};
  if (line.frame < 0) return {0, v / vv, {}};
  return line;
}

std::vector<cost_sample> ratios_to(const role_cost& line, std::span<const cost_sample> samples) {
  std::map<double, std::pair<double, int>> by_size;
  for (auto& s : samples) {
    by_size[s.bytes].first += s.ns;
    ++by_size[s.bytes].second;
  }
  std::vector<cost_sample> ratios;
  // The logarithm of the size is needed between sizes; and two sizes lie on the line.
  if (by_size.size() < 3 || by_size.begin()->first <= 0) return ratios;
  for (auto& [bytes, sum] : by_size) ratios.push_back({bytes, sum.first / sum.second / line.of(1, bytes)});
  return ratios;
}

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream all;
  if (in) all << in.rdbuf();
  if (!in) throw std::runtime_error(fmt::format("{}: cannot be read", file.string()));
  return all.str();
}

} // namespace

/// ingester: fit to the table of `throughput`, "worker gives nothing": everything in one process, one stream,
/// on two cores; what the stream's threads take for it is the bound that was seen. hand_over, take_over: what
/// the two cores need for a frame with a process per role (2 s / rate of `throughput --processes`), less what
/// they need in one process (cores_of_ingester x ingester), halved. worker: estimated. reducer: the
/// difference of the two kinds of `throughput` at 2048 bytes, 175 ns, rounded up; per byte estimated.
/// controller: the bound that it is held to per event and stream.
/// cores_of_ingester: `throughput` at 128 KiB took 79 us of processor time per frame, and a frame came every
/// 57 us; at 2 KiB it was 4.3 and 4.7.
cost_model::cost_model()
    : ingester(fit(measured_ingester)), hand_over(fit(measured_hand_over)), take_over(hand_over),
      worker{500, 0}, reducer{300, 1}, controller{500, 0}, cores_of_ingester(1.4) {}

role_cost* cost_of(cost_model& costs, std::string_view role) {
  role_cost* all[] = {&costs.ingester, &costs.hand_over, &costs.take_over,
                      &costs.worker,   &costs.reducer,   &costs.controller};
  auto i = std::find(role_names.begin(), role_names.end(), role);
  return i == role_names.end() ? nullptr : all[i - role_names.begin()];
}

std::span<const std::string_view> cost_roles() { return role_names; }

double role_cost::of(double frames, double bytes) const {
  auto line = frames * frame + bytes * byte;
  if (ratios.empty() || frames <= 0) return line;
  auto size = bytes / frames;
  auto above = std::ranges::lower_bound(ratios, size, {}, &cost_sample::bytes);
  if (above == ratios.begin()) return line * above->ns;
  if (above == ratios.end()) return line * ratios.back().ns;
  auto below = std::prev(above);
  auto part = std::log(size / below->bytes) / std::log(above->bytes / below->bytes);
  return line * std::lerp(below->ns, above->ns, part);
}

role_cost fit(std::span<const cost_sample> samples) {
  auto line = line_through(samples);
  line.ratios = ratios_to(line, samples);
  return line;
}
void read_costs(std::string_view content, std::string_view name, cost_model& costs) {
  auto rows = json::parse(content, nullptr, false);
  if (!rows.is_array() || rows.empty())
    throw std::runtime_error(fmt::format("{}: this is no list of measurements in JSON", name));
  samples_by_name roles, rates;
  for (std::size_t i = 0; i < rows.size(); ++i) try {
      if (!rows[i].is_object()) throw std::runtime_error("is not an object");
      if (rows[i].contains("role"))
        read_role(rows[i], roles);
      else
        read_rate(rows[i], rates);
    } catch (const std::exception& e) {
      throw std::runtime_error(fmt::format("{}: row {}: {}", name, i + 1, e.what()));
    }
  auto& nothing = rates["worker gives nothing"];
  if (roles.empty() && nothing.empty())
    throw std::runtime_error(fmt::format("{}: there is no row \"worker gives nothing\"", name));
  if (rates.contains("bare libzmq, two hops"))
    costs.hand_over = costs.take_over = fit(nothing);
  else if (!nothing.empty())
    costs.ingester = fit(nothing);
  take_reducer(nothing, rates["worker gives a map"], costs);
  for (auto& [role, samples] : roles) *cost_of(costs, role) = fit(samples);
}

void read_costs(const std::filesystem::path& file, cost_model& costs) {
  read_costs(content_of(file), file.string(), costs);
}

} // namespace dtranspose
