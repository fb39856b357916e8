/// What a scan macro of Sardana posts before its scan, as a trigger map.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

struct scan_hook {
  /// Points of a scan; the map lists each of them.
  static constexpr std::uint64_t most_points = 1'000'000;

  std::string sequence; ///< what to post: a part `sardana` with a constraint for each point
  std::string refusal;  ///< a text for the macro instead: what it left out
  std::string fault;    ///< why the body is none, instead

  /// Of `{"streams": [...], "scan": {"nb_points": n, ...}}`; streams that are not `there` are left out.
  static scan_hook parse(std::string_view body, const std::vector<std::string>& there);
};

} // namespace dtranspose
