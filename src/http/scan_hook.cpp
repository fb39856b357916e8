#include "http/scan_hook.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dtranspose {
namespace {

using nlohmann::json;

scan_hook not_a_hook(std::string text) { return {.fault = std::move(text)}; }
scan_hook lacking(std::string text) { return {.refusal = std::move(text)}; }

/// One entry for each point.
std::string slots_of(std::uint64_t points) {
  std::string slots = "[";
  for (std::uint64_t i = 0; i < points; ++i)
    slots += fmt::format("{}[{{\"constraint\":{}}}]", i == 0 ? "" : ",", i);
  return slots + "]";
}

std::string sequence_of(const std::vector<std::string>& streams, std::uint64_t points) {
  auto slots = slots_of(points);
  std::string part;
  for (auto& stream : streams)
    part += fmt::format("{}{}:{}", part.empty() ? "" : ",", json(stream).dump(), slots);
  return fmt::format(R"({{"parts":{{"sardana":{{{}}}}},"sequence":["sardana"]}})", part);
}

} // namespace

scan_hook scan_hook::parse(std::string_view body, const std::vector<std::string>& there) {
  auto given = json::parse(body, nullptr, false);
  if (!given.is_object())
    return not_a_hook(R"(the body is no JSON object {"streams": [...], "scan": {...}})");
  for (auto& [key, content] : given.items())
    if (key != "streams" && key != "scan")
      return not_a_hook(fmt::format("'{}': there may be 'streams' and 'scan' only", key));
  auto scan = given.value("scan", json()), streams = given.value("streams", json());
  if (!scan.is_null() && !scan.is_object()) return not_a_hook("scan: not an object");
  bool names = streams.is_array() && std::ranges::all_of(streams, [](auto& s) { return s.is_string(); });
  if (!streams.is_null() && !names) return not_a_hook("streams: not a list of names");
  if (scan.is_null()) return lacking("no scan info");
  auto points = scan.find("nb_points");
  if (points == scan.end() || points->is_null()) return lacking("no nb_points in scan");
  if (streams.is_null()) return lacking("streams required");
  if (!points->is_number_unsigned() || points->get<std::uint64_t>() > most_points)
    return not_a_hook(fmt::format("scan: nb_points is not a whole number up to {}", most_points));
  std::vector<std::string> chosen;
  for (auto& stream : there)
    if (std::ranges::find(streams, json(stream)) != streams.end()) chosen.push_back(stream);
  if (chosen.empty()) return lacking("none of these streams is there");
  return {.sequence = sequence_of(chosen, points->get<std::uint64_t>())};
}

} // namespace dtranspose
