#include "analysis/xrf_lines.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include <fmt/format.h>
#include <xraylib/xraylib.h>

namespace dtranspose {

namespace {

/// Lines with less of the group are left out: there are some hundred.
constexpr double least_fraction = 1e-5;

/// xraylib numbers the lines of a shell one after the other, downwards.
struct shell_lines {
  std::string_view name;
  int first, last;
};
constexpr shell_lines shells[] = {
    {"K", KL1_LINE, KP5_LINE},    {"L", L1L2_LINE, L3Q1_LINE},  {"L1", L1L2_LINE, L1P5_LINE},
    {"L2", L2L3_LINE, L2Q1_LINE}, {"L3", L3M1_LINE, L3Q1_LINE}, {"M", M1M2_LINE, M5P5_LINE},
};

/// Emission lines of the shell with their cross sections, cm2/g; none where it is not excited.
std::vector<emission_line> lines_of(int element, const shell_lines& shell, double incident_kev) {
  std::vector<emission_line> lines;
  for (int line = shell.first; line >= shell.last; --line) {
    auto energy = LineEnergy(element, line, nullptr);
    auto strength = energy > 0 ? CS_FluorLine_Kissel(element, line, incident_kev, nullptr) : 0;
    if (strength > 0) lines.push_back({energy, strength});
  }
  return lines;
}

line_group grouped(std::string name, std::vector<emission_line> lines) {
  double sum = 0;
  for (auto& line : lines) sum += line.fraction;
  std::erase_if(lines, [&](auto& line) { return line.fraction < least_fraction * sum; });
  sum = 0;
  for (auto& line : lines) sum += line.fraction;
  for (auto& line : lines) line.fraction /= sum;
  std::stable_sort(lines.begin(), lines.end(), [](auto& a, auto& b) { return a.fraction > b.fraction; });
  return {std::move(name), std::move(lines)};
}

int element_of(std::string_view written, std::string_view symbol) {
  auto number = SymbolToAtomicNumber(std::string(symbol).c_str(), nullptr);
  if (number <= 0)
    throw std::invalid_argument(fmt::format("'{}' is no element; examples are Fe, Fe_K and Pb_L3", written));
  return number;
}

std::invalid_argument not_excited(std::string_view written, double incident_kev) {
  return std::invalid_argument(fmt::format("'{}' has no lines at {} keV", written, incident_kev));
}

line_group strongest_group(std::string_view written, int element, double incident_kev, double least_kev) {
  for (std::string_view name : {"K", "L", "M"}) {
    auto shell = std::find_if(std::begin(shells), std::end(shells), [&](auto& s) { return s.name == name; });
    auto group = grouped(fmt::format("{}_{}", written, name), lines_of(element, *shell, incident_kev));
    if (!group.lines.empty() && group.lines.front().energy_kev >= least_kev) return group;
  }
  throw not_excited(written, incident_kev);
}

} // namespace

line_group find_line_group(std::string_view written, double incident_kev, double least_kev) {
  auto separator = written.find_first_of("_-");
  auto element = element_of(written, written.substr(0, separator));
  if (separator == written.npos) return strongest_group(written, element, incident_kev, least_kev);
  auto name = written.substr(separator + 1);
  for (auto& shell : shells) {
    if (shell.name != name) continue;
    auto lines = lines_of(element, shell, incident_kev);
    if (lines.empty()) throw not_excited(written, incident_kev);
    return grouped(fmt::format("{}_{}", written.substr(0, separator), name), std::move(lines));
  }
  throw std::invalid_argument(
      fmt::format("'{}': '{}' is no group of lines; there are K, L, L1, L2, L3 and M", written, name));
}

double escape_ratio(double energy_kev) {
  constexpr int silicon = 14;
  if (!(energy_kev > silicon_edge_kev)) return 0;
  auto yield = FluorYield(silicon, K_SHELL, nullptr), jump = JumpFactor(silicon, K_SHELL, nullptr);
  auto of_line = CS_Total(silicon, energy_kev, nullptr), own = CS_Total(silicon, silicon_escape_kev, nullptr);
  if (!(yield > 0 && jump > 1 && of_line > 0 && own > 0)) return 0;
  auto m = own / of_line;
  auto p = 0.5 * yield * (1 - 1 / jump) * (1 - m * std::log1p(1 / m));
  return p / (1 - p);
}

double compton_kev(double energy_kev, double angle_degrees) {
  constexpr double rest_energy_kev = 511.0;
  auto cosine = std::cos(angle_degrees * std::numbers::pi / 180);
  return energy_kev / (1 + energy_kev / rest_energy_kev * (1 - cosine));
}

} // namespace dtranspose
