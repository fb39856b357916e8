#include "analysis/xrf_lines.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::HasSubstr;

double mean_energy(const line_group& group, double low, double high) {
  double sum = 0, energy = 0;
  for (auto& line : group.lines)
    if (line.energy_kev > low && line.energy_kev < high) {
      sum += line.fraction;
      energy += line.fraction * line.energy_kev;
    }
  return energy / sum;
}

double share(const line_group& group, double low, double high) {
  double sum = 0;
  for (auto& line : group.lines)
    if (line.energy_kev > low && line.energy_kev < high) sum += line.fraction;
  return sum;
}

TEST(xrf_lines, iron_is_where_tables_have_it) {
  auto iron = find_line_group("Fe_K", 12);
  EXPECT_EQ(iron.name, "Fe_K");
  EXPECT_NEAR(iron.lines.front().energy_kev, 6.404, 0.001); // X-ray Data Booklet, table 1-2
  EXPECT_NEAR(mean_energy(iron, 6.9, 7.2), 7.058, 0.002);
  EXPECT_NEAR(share(iron, 6, 7), 0.88, 0.01);
  EXPECT_NEAR(share(iron, 0, 20), 1, 1e-12);
  EXPECT_TRUE(std::is_sorted(iron.lines.begin(), iron.lines.end(),
                             [](auto& a, auto& b) { return a.fraction > b.fraction; }));
}

TEST(xrf_lines, a_shell_is_chosen_where_none_is_named) {
  EXPECT_EQ(find_line_group("Fe", 12).name, "Fe_K");
  EXPECT_EQ(find_line_group("Pb", 20).name, "Pb_L");
  EXPECT_EQ(find_line_group("Pb", 12).name, "Pb_M"); // its L3 edge is at 13.04 keV
  EXPECT_EQ(find_line_group("Pb", 100).name, "Pb_K");
  EXPECT_EQ(find_line_group("Fe-K", 12).name, "Fe_K");
}

TEST(xrf_lines, subshells_are_excited_above_their_edges_only) {
  // Edges of lead: L3 13.04, L2 15.20, L1 15.86 keV.
  auto at_14 = find_line_group("Pb_L", 14), l3 = find_line_group("Pb_L3", 14);
  ASSERT_EQ(at_14.lines.size(), l3.lines.size());
  EXPECT_NEAR(at_14.lines.front().energy_kev, 10.55, 0.01);
  EXPECT_THROW(find_line_group("Pb_L2", 14), std::invalid_argument);
  EXPECT_GT(find_line_group("Pb_L", 20).lines.size(), at_14.lines.size());
}

TEST(xrf_lines, says_what_is_wrong_with_a_name) {
  auto complaint = [](std::string_view written, double energy) {
    try {
      find_line_group(written, energy);
      return std::string();
    } catch (const std::invalid_argument& e) {
      return std::string(e.what());
    }
  };
  EXPECT_THAT(complaint("Xx", 12), HasSubstr("'Xx' is no element"));
  EXPECT_THAT(complaint("", 12), HasSubstr("is no element"));
  EXPECT_THAT(complaint("fe", 12), HasSubstr("'fe' is no element"));
  EXPECT_THAT(complaint("Fe_Q", 12), HasSubstr("'Q' is no group of lines"));
  EXPECT_THAT(complaint("Fe_", 12), HasSubstr("no group of lines"));
  EXPECT_THAT(complaint("Mo_K", 12), HasSubstr("'Mo_K' has no lines at 12 keV"));
  EXPECT_THAT(complaint("Fe", 5), HasSubstr("'Fe' has no lines at 5 keV"));
}

TEST(xrf_lines, escape_is_rare_and_rarer_for_harder_photons) {
  EXPECT_EQ(escape_ratio(1.8), 0);
  EXPECT_EQ(escape_ratio(NAN), 0);
  EXPECT_NEAR(escape_ratio(6.4), 0.0032, 0.0005);
  EXPECT_GT(escape_ratio(3), escape_ratio(6.4));
  EXPECT_GT(escape_ratio(6.4), escape_ratio(15));
  EXPECT_GT(escape_ratio(15), 0);
}

TEST(xrf_lines, compton_scattering_by_90_degrees) {
  EXPECT_NEAR(compton_kev(12, 90), 12 / (1 + 12 / 511.0), 1e-12);
  EXPECT_NEAR(compton_kev(12, 0), 12, 1e-12);
  EXPECT_NEAR(compton_kev(511, 180), 511.0 / 3, 1e-9);
}

} // namespace
} // namespace dtranspose
