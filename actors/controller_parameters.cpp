/// Parameters of the analysis: what there are, and how a change gets to those who work with them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "actors/controller_state.hpp"
#include "actors/frugal_scheduler.hpp"
#include "analysis/analysis_names.hpp"
#include "analysis/named_streams.hpp"
#include "analysis/registry.hpp"
#include "model/error.hpp"
#include "python/python_settings.hpp"
#include "recording/scan_files.hpp"

namespace dtranspose {

namespace {

/// Changes that the ledger lists; the rest is counted.
constexpr std::size_t most_listed_changes = 1000;
/// Texts of parameters that the ledger shows whole.
constexpr std::size_t longest_shown = 1000;

/// What is kept for people, whoever they are: parameters, bytes of all their values, and characters of a
/// name.
constexpr std::size_t most_parameters = 1000, most_bytes = 256 << 20, longest_name = 200;

/// Why it is not kept, if so. Names end up in logs.
std::string too_much(const set_parameter& m, const parameter_book& next) {
  bool plain = std::ranges::none_of(m.name, [](unsigned char c) { return c < ' ' || c == 0x7f; });
  if (m.name.size() > longest_name || !plain)
    return fmt::format("the name of a parameter has up to {} characters, and nothing that ends a line",
                       longest_name);
  auto all = next.all();
  if (all.size() > most_parameters) return fmt::format("up to {} parameters are kept", most_parameters);
  if (bytes_of_parameters(all) > most_bytes)
    return fmt::format("all parameters together may have up to {} bytes", most_bytes);
  return {};
}

value shown(const std::string& written) {
  bool plain = written.size() <= longest_shown && written.find('\0') == std::string::npos;
  return plain ? value(written) : value(fmt::format("{} bytes", written.size()));
}

parameters settings_of(const std::map<std::string, std::string>& written) {
  parameters settings;
  for (auto& [name, text] : written) settings.set(name, text);
  return settings;
}

} // namespace

/// Where the analysis cannot be had here, what members say of it counts.
void controller_state::begin_book() {
  book = parameter_book(options.around.random);
  try {
    code = load_analysis(options.analysis);
    book.describe(code->describe_parameters());
  } catch (const std::exception& e) {
    spdlog::warn("the controller does not know what parameters there are: {}", e.what());
  }
  for (auto& [name, written] : options.parameters) {
    try {
      if (code && !book.describes(name)) throw std::runtime_error("not described");
      book.set(name, written);
    } catch (const std::exception&) {
      unusable[name] = written; // who is armed with it says why
    }
  }
}

/// Its files are read anew, and hold from the next scan on. Where they cannot be used, everything stays as it
/// is.
caf::result<value> controller_state::reload_analysis() {
  auto entries = split_analyses(options.analysis);
  if (std::ranges::none_of(entries, is_python_entry))
    return make_error(ec::refused,
                      fmt::format("analysis '{}' cannot be read anew while the program runs: only "
                                  "classes in Python can",
                                  shown_analysis(options.analysis)));
  try {
    blocking_section others_go_on;
    for (auto& e : entries)
      if (is_python_entry(e)) e = reloaded_python_entry(e);
    auto entry = joined_analyses(entries);
    auto next = load_analysis(entry);
    auto described = next->describe_parameters();
    next->describe_results(complete_parameters(*next, {}));
    options.analysis = entry;
    code = std::move(next);
    book.describe(std::move(described));
  } catch (const std::exception& e) {
    spdlog::error("the analysis is not read anew: {}", e.what());
    return make_error(ec::bad_analysis, e.what());
  }
  bool scanning = current && current->life.active();
  spdlog::info("the analysis was read anew{}", scanning ? ": from the next scan on" : "");
  return value(value_map{{"from", scanning ? "the next scan" : "now"}, {"parameters", list_parameters()}});
}

std::map<std::string, std::string> controller_state::parameters_to_use() const {
  auto all = book.of_analysis();
  for (auto& [name, written] : unusable) all[name] = written;
  return all;
}

value controller_state::list_parameters() const {
  value_list list;
  for (auto& p : book.described())
    list.push_back(value_map{{"name", p.name},
                             {"description", p.description.empty() ? value() : value(p.description)},
                             {"dtype", name_of(p.type)},
                             {"default", default_of(p)}});
  return list;
}

/// As the interface gives it: of the type of the parameter.
value controller_state::default_of(const parameter_description& p) {
  switch (p.type) {
  case parameter_type::integer:
    return parameters::integer_of(p.initial).value_or(0);
  case parameter_type::real:
    return parameters::real_of(p.initial).value_or(0.0);
  case parameter_type::boolean:
    return p.initial == "True";
  default:
    return p.initial;
  }
}

caf::result<std::string> controller_state::get(const get_parameter& m) const {
  if (auto written = book.find(m.name)) return *written;
  return make_error(ec::not_found, "Parameter not found");
}

caf::result<std::string> controller_state::set(const set_parameter& m) {
  auto next = book;
  try {
    next.set(m.name, m.written, m.lenient);
    if (auto why = too_much(m, next); !why.empty()) return make_error(ec::malformed, why);
    if (auto text = refusal_of(next, m.name); !text.empty()) return make_error(ec::malformed, text);
    if (code && next.version() != book.version()) {
      auto changed = changed_row(code->describe_results(settings_of(next.of_analysis())));
      if (!changed.empty())
        return make_error(ec::superseded,
                          fmt::format("parameter '{}' changes what a row of '{}' is: set it between scans",
                                      m.name, changed));
    }
  } catch (const std::exception& e) {
    return make_error(ec::malformed, e.what());
  } catch (...) {
    return make_error(ec::malformed, fmt::format("parameter '{}': the analysis refuses it", m.name));
  }
  bool another = next.version() != book.version();
  book = std::move(next);
  unusable.erase(m.name);
  if (code && !book.describes(m.name))
    spdlog::warn("parameter '{}' is set, and nobody has one of that name", m.name);
  if (m.name == dump_prefix_name) spdlog::info("parameter '{}' is set to '{}'", m.name, m.written);
  if (another) {
    spdlog::info("parameter '{}' is set, version {}", m.name, book.version().value);
    tell_parameters();
  }
  return book.hash();
}

/// Why that parameter cannot be used, where the analysis itself does not know; empty: it can.
std::string controller_state::refusal_of(const parameter_book& next, const std::string& name) const {
  if (name == dump_prefix_name) {
    auto why = why_not_recorded(next.find(name).value_or(""));
    return why.empty() ? why : fmt::format("parameter '{}': {}", name, why);
  }
  return code ? unknown_stream(*code, next.of_analysis(), options.streams, name) : std::string();
}

/// Name of a result of each event that has another form than when the scan began: its rows do not go into one
/// table. Empty: none, or no scan is on.
std::string controller_state::changed_row(const std::vector<result_description>& next) const {
  if (!current || !current->life.active() || current->versions.empty()) return {};
  for (auto& before : code->describe_results(settings_of(current->versions.front().second)))
    for (auto& after : next) {
      if (before.name != after.name || before.extent != result_extent::per_event) continue;
      if (before.type != after.type || before.shape != after.shape || before.unit != after.unit ||
          before.axes != after.axes)
        return before.name;
    }
  return {};
}

/// Who is not there gets them when it comes back; who is being armed gets them behind that, in this order.
void controller_state::tell_parameters() {
  if (!current || current->life.state() != scan_state::running) return;
  auto& s = *current;
  if (book.version() <= s.setup.version) return;
  s.setup.parameters = parameters_to_use();
  s.setup.version = book.version();
  note(record_kind::parameters, s.setup.version, s.setup.parameters);
  commit_journal();
  note_change();
  tell_reducer(s.setup.version, s.setup.parameters);
  for (std::uint32_t w = 0; w < s.workers.size(); ++w)
    if (!s.setup.workers[w].gone)
      tell(s.workers[w].handle, "worker " + s.setup.workers[w].name, s.setup.version, s.setup.parameters,
           [this, w](auto v) { current->workers[w].version = v; });
}

void controller_state::tell_reducer(parameters_version version,
                                    const std::map<std::string, std::string>& written) {
  if (!current->reducer) return;
  tell(current->reducer, "the reducer", version, written, [this, life = current->reducer_life](auto v) {
    if (current->reducer_life == life) current->reducer_version = v;
  });
}

void controller_state::tell(const caf::actor& to, std::string who, parameters_version version,
                            const std::map<std::string, std::string>& written,
                            std::function<void(parameters_version)> answered) {
  // A lost connection answers by itself; whoever is busy answers late.
  self->request(to, caf::infinite, dtranspose::change_parameters{current->head(), version, written})
      .then(
          [this, number = scan_number, version, who, answered = std::move(answered)](parameters_version v) {
            if (number != scan_number) return;
            answered(v);
            if (v < version)
              current->complaints.push_back(fmt::format(
                  "{} cannot use version {} of the parameters, and goes on with version {}: its log says why",
                  who, version.value, v.value));
          },
          [who](const caf::error& e) {
            spdlog::warn("{} has not taken the parameters: {}", who, text_of(e));
          });
}

/// For the ledger: which version has which values, and when it began.
void controller_state::note_change() {
  auto& s = *current;
  const auto before = s.versions.empty() ? std::map<std::string, std::string>() : s.versions.back().second;
  s.versions.emplace_back(s.setup.version, s.setup.parameters);
  std::size_t bytes = 0;
  for (auto& [version, written] : s.versions) bytes += bytes_of_parameters(written);
  while (s.versions.size() > 1 && are_too_many_versions(s.versions.size(), bytes)) {
    bytes -= bytes_of_parameters(s.versions.front().second);
    s.versions.pop_front();
  }
  if (s.changes.size() >= most_listed_changes) return void(++s.changes_not_listed);
  value_map values;
  for (auto& [name, written] : s.setup.parameters) {
    auto was = before.find(name);
    if (was == before.end() || was->second != written) values.set(name, shown(written));
  }
  auto since = s.armed_at == 0 ? 0.0 : static_cast<double>(options.around.steady() - s.armed_at) * 1e-9;
  s.changes.push_back(value_map{{"version", s.setup.version.value},
                                {"seconds", since},
                                {"assigned_events", s.bindings.bound()},
                                {"values", std::move(values)}});
}

/// Of the scan's files beside recordings; empty: it is not recorded.
std::string controller_state::recording_prefix() const {
  auto& own = current->setup.dump_prefix;
  return own.empty() ? options.recording_prefix : own;
}

/// Map and parameters beside the recordings of the streams.
void controller_state::keep_scan_files() {
  auto& s = *current;
  auto prefix = recording_prefix();
  if (prefix.empty()) return;
  blocking_section others_go_on;
  try {
    write_scan_files(prefix, to_string(s.setup.head.scan), s.map->to_json(), book.all());
  } catch (const std::exception& e) {
    spdlog::error("{}", e.what());
    s.complaints.push_back(e.what());
  }
}

} // namespace dtranspose
