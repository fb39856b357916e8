/// Is a configuration sound, beyond what its file can say: can its analysis be had, and does it take its
/// parameters? All that is wrong is told at once.
#include <cstddef>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "analysis/analysis_names.hpp"
#include "analysis/named_streams.hpp"
#include "analysis/registry.hpp"
#include "python/python_code.hpp"
#include "recording/scan_files.hpp"
#include "runtime/commands.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;
using written_parameters = std::map<std::string, std::string>;

class checking {
 public:
  explicit checking(const std::string& file) : file_(file), settings_(read_configuration(file)) {
    for (auto& s : settings_.streams) streams_.push_back(s.name);
  }

  void run() {
    check_recording();
    auto all = analysis_entry_of(settings_);
    for (auto& entry : split_analyses(all)) check_analysis(entry);
    if (found_.empty()) check_chain(all);
    if (found_.empty()) return;
    std::vector<std::string> lines;
    for (auto& [line, text] : found_) lines.push_back(text);
    throw configuration_error(fmt::format("{}", fmt::join(lines, "\n")));
  }

  std::size_t streams() const { return settings_.streams.size(); }
  std::string analysis_names() const { return shown_analysis(analysis_entry_of(settings_)); }

 private:
  /// Where `key` is, or else what is around it.
  std::size_t line_of(const std::string& key) const {
    for (auto& place : {key, "analysis." + name_, std::string("analysis.use")})
      if (auto found = settings_.lines.find(place); found != settings_.lines.end()) return found->second;
    return 1;
  }

  void add(const std::string& key, const std::string& where, const std::string& what) {
    auto line = line_of(key);
    found_.emplace(line, fmt::format("{}:{}: {}: {}", file_, line, where, what));
  }

  void add_parameter(const std::string& name, const std::string& what) {
    add("analysis." + name_ + "." + name, fmt::format("[analysis.{}] {}", name_, name), what);
  }

  void check_recording() {
    auto& folder = settings_.recording.directory;
    if (folder.empty()) return;
    auto why = why_not_recorded((std::filesystem::path(folder) / "").string());
    if (!why.empty()) add("recording.directory", "[recording] directory", why);
  }

  void check_analysis(const std::string& entry) {
    name_ = analysis_name_of(entry);
    left_out_.clear();
    try {
      code_ = load_analysis(entry);
    } catch (const std::exception& e) {
      return add("analysis.use", "[analysis] use", e.what());
    }
    auto set = settings_.analysis.parameters[name_];
    leave_out_odd_ones(set);
    check_streams(set);
    check_together(set);
    streams_.push_back(name_); // for those behind it
  }

  /// Do those that are sound by themselves go together?
  void check_chain(const std::string& all) {
    try {
      load_analysis(all);
    } catch (const std::exception& e) {
      add("analysis.use", "[analysis] use", e.what());
    }
  }

  /// What is no parameter, or no value of its type: each by itself.
  void leave_out_odd_ones(written_parameters& set) {
    for (auto one = set.begin(); one != set.end();) {
      try {
        complete_parameters(*code_, {*one});
        ++one;
      } catch (const std::exception& e) {
        add_parameter(one->first, e.what());
        one = set.erase(one);
      }
    }
  }

  void check_streams(const written_parameters& set) {
    for (auto& [name, written] : set)
      if (auto text = unknown_stream(*code_, set, streams_, name); !text.empty()) add_parameter(name, text);
  }

  /// The analysis names one at a time: without that it may find another.
  void check_together(written_parameters set) {
    while (true) {
      std::string why;
      try {
        auto parameters = complete_parameters(*code_, set);
        code_->describe_results(parameters);
        // Some can be described without the parameters that they cannot do without.
        code_->make_worker(parameters);
        code_->make_reducer(parameters);
        return;
      } catch (const std::exception& e) {
        why = e.what();
      }
      // What is wrong once others are left out may be their fault.
      if (!named_in(why, left_out_).empty()) return;
      auto named = named_in(why, set);
      if (named.empty()) return add("analysis." + name_, fmt::format("[analysis.{}]", name_), why);
      add_parameter(named, why);
      left_out_.insert(set.extract(named));
      if (is_scalar(named)) set[named] = any_scalar;
    }
  }

  /// Without a number of a stream much else would be refused; with any it is not.
  bool is_scalar(const std::string& name) const {
    return !streams_named(*code_, {{name, any_scalar}}).empty();
  }

  /// The parameter of `set` that a complaint names; empty: none.
  static std::string named_in(const std::string& why, const written_parameters& set) {
    for (auto& [name, written] : set)
      if (why.find("parameter '" + name + "'") != std::string::npos) return name;
    return {};
  }

  static constexpr auto any_scalar = "any:number";
  std::string file_;
  configuration settings_;
  std::string name_;                 ///< of the analysis in hand
  std::vector<std::string> streams_; ///< and of analyses before it, whose numbers are one
  std::shared_ptr<const analysis> code_;
  written_parameters left_out_;
  std::multimap<std::size_t, std::string> found_; ///< by line
};

} // namespace

int run_check(const std::string& file, bool json) {
  checking check(file);
  check.run();
  close_python_hosts();
  if (json)
    fmt::print(
        "{}\n",
        ordered_json{{"file", file}, {"streams", check.streams()}, {"analysis", check.analysis_names()}}
            .dump());
  else
    fmt::print("{} is sound: {} streams, analysis {}\n", file, check.streams(), check.analysis_names());
  return 0;
}

} // namespace dtranspose
