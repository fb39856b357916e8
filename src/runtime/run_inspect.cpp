#include <stdexcept>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analysis/analysis_names.hpp"
#include "analysis/registry.hpp"
#include "python/python_code.hpp"
#include "recording/mapped_file.hpp"
#include "runtime/capture_choice.hpp"
#include "runtime/commands.hpp"
#include "runtime/extraction.hpp"
#include "runtime/inspection.hpp"

namespace dtranspose {

using nlohmann::ordered_json;

int run_inspect(const inspect_command& command) {
  std::optional<capture_choice> choice;
  if (!command.stream.empty()) choice = parse_capture_choice(command.stream);
  auto file = mapped_file::open(command.file);
  auto description = description_of(file, choice);
  auto& [stream, to] = command.extract;
  ordered_json extraction;
  if (!stream.empty()) description["extracted"] = extraction = extract_images(file, choice, stream, to);
  if (command.json)
    fmt::print("{}\n", description.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  else
    fmt::print("{}{}", text_of_description(description),
               extraction.empty() ? "" : text_of_extraction(extraction));
  return 0;
}

namespace {

ordered_json description_of(const analysis& a) {
  auto parameters = ordered_json::array(), results = ordered_json::array();
  for (auto& p : a.describe_parameters())
    parameters.push_back({{"name", p.name},
                          {"dtype", name_of(p.type)},
                          {"default", p.initial},
                          {"description", p.description}});
  ordered_json description{{"name", a.name()}, {"description", a.description()}, {"parameters", parameters}};
  try {
    for (auto& r : a.describe_results(complete_parameters(a, {})))
      results.push_back({{"name", r.name},
                         {"dtype", name_of(r.type)},
                         {"shape", r.shape},
                         {"per", r.extent == result_extent::per_event ? "event" : "scan"},
                         {"unit", r.unit}});
  } catch (const std::invalid_argument& e) { // a parameter has no default that can be used
    description["needs"] = e.what();
  }
  description["results"] = results;
  return description;
}

} // namespace

int run_analyses(const std::string& name, bool json) {
  auto list = ordered_json::array();
  if (name.empty())
    for (auto& a : built_in_analyses()) list.push_back(description_of(*a));
  else
    list.push_back(description_of(*load_analysis(name)));
  if (json) {
    fmt::print("{}\n", ordered_json{{"analyses", list}}.dump());
    return 0;
  }
  for (auto& a : list) {
    fmt::print("{}: {}\n", a["name"].get<std::string>(), a["description"].get<std::string>());
    for (auto& p : a["parameters"])
      fmt::print("  --param {}=...  {} ({}, default '{}')\n", p["name"].get<std::string>(),
                 p["description"].get<std::string>(), p["dtype"].get<std::string>(),
                 p["default"].get<std::string>());
    if (a.contains("needs")) fmt::print("  refused as it is: {}\n", a["needs"].get<std::string>());
    for (auto& r : a["results"])
      fmt::print("  gives {} ({}, one per {})\n", r["name"].get<std::string>(), r["dtype"].get<std::string>(),
                 r["per"].get<std::string>());
  }
  return 0;
}

} // namespace dtranspose
