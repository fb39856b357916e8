#include "output/nexus.hpp"

#include <algorithm>
#include <utility>

#include "model/value_json.hpp"

namespace dtranspose::nexus {

namespace {

constexpr std::size_t most_ledger_bytes = 16 << 20;

value_map of_class(std::string_view name) { return value_map{{"NX_class", name}}; }

/// `f(stream, file)` for each stream that announced a file, be its name empty.
template <class F>
void for_each_announced(const value& ledger, F&& f) {
  auto all = ledger.as_map();
  auto streams = all ? all->find("streams") : nullptr;
  if (!streams || !streams->as_map()) return;
  for (auto& [stream, report] : *streams->as_map()) {
    auto keys = report.as_map();
    auto file = keys ? keys->find("filename") : nullptr;
    if (auto name = file ? file->as_text() : nullptr) f(stream, *name);
  }
}

void fill(std::string& text, std::string_view place, std::string_view with) {
  for (auto at = text.find(place); at != text.npos; at = text.find(place, at + with.size()))
    text.replace(at, place.size(), with);
}

value typed(parameter_type type, const parameters& all, const std::string& name) {
  switch (type) {
  case parameter_type::integer:
    return all.integer(name);
  case parameter_type::real:
    return all.real(name);
  case parameter_type::boolean:
    return all.boolean(name);
  case parameter_type::binary: {
    auto text = all.text(name);
    auto bytes = reinterpret_cast<const std::byte*>(text.data());
    return value_bytes(bytes, bytes + text.size());
  }
  case parameter_type::text:
    break;
  }
  return all.text(name);
}

} // namespace

value_map json_note(std::string text) {
  return {{"_attrs", of_class("NXnote")}, {"type", "application/json"}, {"data", std::move(text)}};
}

value_map process(std::string_view analysis, std::string_view version, const std::string& date,
                  std::string configuration) {
  return {{"_attrs", of_class("NXprocess")},
          {"program", "dtranspose"},
          {"version", version},
          {"date", date},
          {"sequence_index", 1},
          {"analysis", analysis},
          {"configuration", json_note(std::move(configuration))}};
}

value_map typed_parameters(const std::vector<parameter_description>& described,
                           const std::map<std::string, std::string>& written) {
  parameters all;
  value_map values;
  for (auto& [name, text] : written) all.set(name, text);
  for (auto& [name, text] : written) {
    auto known = std::find_if(described.begin(), described.end(), [&](auto& p) { return p.name == name; });
    values.set(name, typed(known == described.end() ? parameter_type::text : known->type, all, name));
  }
  return values;
}

value_map parameter_versions(const std::vector<used_parameters>& versions, std::uint64_t not_listed) {
  auto attributes = of_class("NXcollection");
  if (not_listed > 0) attributes.set("versions_not_listed", not_listed);
  value_map groups{{"_attrs", std::move(attributes)}};
  for (auto& version : versions) {
    auto about = of_class("NXparameters");
    about.set("version", version.version.value).set("results", version.results);
    if (!version.since.empty()) about.set("since", version.since);
    if (version.results > 0)
      about.set("first_event", version.first_event).set("last_event", version.last_event);
    auto values = version.values;
    values.set("_attrs", std::move(about));
    groups.set(std::to_string(version.version.value), std::move(values));
  }
  return groups;
}

value_map ledger(const value& ledger) {
  auto text = to_json(ledger);
  auto all = ledger.as_map();
  if (all && text.size() > most_ledger_bytes) {
    value_map shorter;
    for (auto& [key, content] : *all)
      if (key != "troubles") shorter.set(key, content);
    shorter.set("troubles_not_in_this_file", true);
    text = to_json(shorter);
  }
  auto group = json_note(std::move(text));
  auto fates = all ? all->find("fates") : nullptr;
  if (fates && fates->as_map()) {
    auto counts = *fates->as_map();
    counts.set("_attrs", of_class("NXcollection"));
    group.set("fates", std::move(counts));
  }
  return group;
}

std::vector<raw_source> raw_sources(const value& ledger, const std::map<std::string, std::string>& paths) {
  std::vector<raw_source> sources;
  for_each_announced(ledger, [&](const std::string& stream, const std::string& file) {
    if (file.empty()) return;
    auto known = paths.find(stream);
    auto path = known == paths.end() ? std::string() : known->second;
    fill(path, "{stream}", stream);
    fill(path, "{filename}", stem_of(file));
    sources.push_back({stream, file, std::move(path)});
  });
  return sources;
}

value_map instrument(const std::vector<raw_source>& sources) {
  value_map group{{"_attrs", of_class("NXinstrument")}};
  for (auto& source : sources)
    group.set(source.stream, value_map{{"_attrs", of_class("NXdetector")},
                                       {"description", source.stream},
                                       {"file_name", source.file}});
  return group;
}

std::string stem_of(std::string_view file) {
  file.remove_prefix(file.find_last_of("/\\") + 1); // npos + 1 is 0
  if (auto dot = file.rfind('.'); dot != file.npos && dot > 0) file = file.substr(0, dot);
  constexpr std::size_t longest = 200;
  std::string stem(file.substr(0, longest));
  std::replace_if(
      stem.begin(), stem.end(), [](unsigned char c) { return c < ' ' || c == 127; }, '_');
  return stem == "." || stem == ".." ? std::string() : stem;
}

announcement announced(const value& ledger) {
  announcement what;
  bool named = false, unnamed = false;
  for_each_announced(ledger, [&](const std::string&, const std::string& file) {
    (file.empty() ? unnamed : named) = true;
    if (what.stem.empty()) what.stem = stem_of(file);
  });
  what.not_to_be_saved = unnamed && !named;
  return what;
}

} // namespace dtranspose::nexus
