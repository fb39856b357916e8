#include "analysis/named_streams.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "analysis/registry.hpp"

namespace dtranspose {

namespace {

constexpr std::string_view whole_stream = "stream";
/// Parameters of built-in analyses that are `STREAM:FIELD`.
constexpr std::array<std::string_view, 10> scalars = {"a",      "angle", "b", "i0", "monitor",
                                                      "signal", "time",  "x", "y",  "z"};

bool is_built_in(const analysis& what) {
  auto all = built_in_analyses();
  return std::any_of(all.begin(), all.end(), [&](auto& one) { return one->name() == what.name(); });
}

} // namespace

std::vector<named_stream> streams_named(const analysis& what,
                                        const std::map<std::string, std::string>& written) {
  std::vector<named_stream> list;
  if (!is_built_in(what)) return list;
  for (auto& p : what.describe_parameters()) {
    auto found = written.find(p.name);
    if (found == written.end() || found->second.empty() || p.type != parameter_type::text) continue;
    auto& text = found->second;
    if (p.name == whole_stream) list.push_back({p.name, text});
    // What is no STREAM:FIELD the analysis refuses itself.
    if (auto colon = text.find(':'); colon != std::string::npos && colon > 0)
      if (std::find(scalars.begin(), scalars.end(), p.name) != scalars.end())
        list.push_back({p.name, text.substr(0, colon)});
  }
  return list;
}

std::string unknown_stream(const analysis& what, const std::map<std::string, std::string>& written,
                           const std::vector<std::string>& streams, const std::string& only) {
  if (streams.empty()) return {};
  for (auto& [parameter, stream] : streams_named(what, written)) {
    if (!only.empty() && parameter != only) continue;
    if (std::find(streams.begin(), streams.end(), stream) == streams.end())
      return fmt::format("parameter '{}': there is no stream '{}'; there are {}", parameter, stream,
                         fmt::join(streams, ", "));
  }
  return {};
}

} // namespace dtranspose
