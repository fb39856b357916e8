#include "analysis/registry.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>

#include <dlfcn.h>
#include <fmt/format.h>

#include "analysis/analysis_names.hpp"
#include "analysis/azint.hpp"
#include "analysis/chain.hpp"
#include "analysis/cog.hpp"
#include "analysis/correlate.hpp"
#include "analysis/crop.hpp"
#include "analysis/histogram.hpp"
#include "analysis/hits.hpp"
#include "analysis/none.hpp"
#include "analysis/normalise.hpp"
#include "analysis/pileup.hpp"
#include "analysis/roi.hpp"
#include "analysis/sort.hpp"
#include "analysis/statistics.hpp"
#include "analysis/sum.hpp"
#include "analysis/timeint.hpp"
#include "analysis/tomo.hpp"
#include "analysis/xrf.hpp"
#include "model/parameter_book.hpp"
#include "python/python_analysis.hpp"
#include "python/python_settings.hpp"

namespace dtranspose {

namespace {

std::string last_dl_error() {
  auto text = ::dlerror();
  return text ? text : "unknown error";
}

/// The shared object at that path, loaded once. It stays for good: what it made may outlive its
/// scan.
void* shared_object(const std::string& path) {
  static std::mutex mutex;
  static auto& handles = *new std::map<std::string, void*>;
  std::lock_guard lock(mutex);
  auto& handle = handles[path];
  // Without a slash it would be looked for in the directories of the system's libraries.
  if (!handle) {
    auto file = path.find('/') == path.npos ? "./" + path : path;
    handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (!handle) throw std::runtime_error(fmt::format("analysis '{}': {}", path, last_dl_error()));
  return handle;
}

std::shared_ptr<const analysis> load_plugin(const std::string& path) {
  auto symbol = ::dlsym(shared_object(path), "dtranspose_plugin");
  if (!symbol)
    throw std::runtime_error(
        fmt::format("analysis '{}': no plug-in of dtranspose: {}", path, last_dl_error()));
  auto entry = reinterpret_cast<plugin_entry (*)()>(symbol)();
  if (entry.contract_version != plugin_contract_version)
    throw std::runtime_error(
        fmt::format("analysis '{}' was built for plug-in contract {}, this is {}: rebuild it", path,
                    entry.contract_version, plugin_contract_version));
  try {
    if (auto made = entry.make()) return std::shared_ptr<const analysis>(made);
  } catch (const std::exception& e) {
    throw std::runtime_error(fmt::format("analysis '{}': {}", path, e.what()));
  } catch (...) {
    throw std::runtime_error(fmt::format("analysis '{}': unknown exception", path));
  }
  throw std::runtime_error(fmt::format("analysis '{}' made no analysis", path));
}

template <class Range, class NameOf>
std::string listed(const Range& range, NameOf name_of) {
  std::string text;
  for (auto& x : range) text.append(text.empty() ? "" : ", ").append(name_of(x));
  return text;
}

/// The written form that analyses read. Throws std::runtime_error where there is none.
std::string converted(const analysis& what, const parameter_description& p, const std::string& written) {
  try {
    return canonical_parameter(p, written);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(fmt::format("analysis '{}': {}", what.name(), e.what()));
  }
}

} // namespace

std::vector<std::shared_ptr<const analysis>> built_in_analyses() {
  return {make_none_analysis(),      make_roi_analysis(),        make_sum_analysis(),
          make_azint_analysis(),     make_cog_analysis(),        make_pileup_analysis(),
          make_hits_analysis(),      make_xrf_analysis(),        make_normalise_analysis(),
          make_sort_analysis(),      make_histogram_analysis(),  make_timeint_analysis(),
          make_correlate_analysis(), make_statistics_analysis(), make_crop_analysis(),
          make_tomo_analysis()};
}

std::string shown_analysis(const std::string& names) {
  auto entries = split_analyses(names);
  for (auto& entry : entries)
    if (is_python_entry(entry)) entry = "python";
  return listed(entries, [](auto& entry) { return entry; });
}

namespace {

std::shared_ptr<const analysis> load_one(const std::string& name_or_path) {
  if (is_python_entry(name_or_path)) return make_python_analysis(name_or_path);
  if (is_plugin_path(name_or_path)) return load_plugin(name_or_path);
  auto known = built_in_analyses();
  for (auto& a : known)
    if (a->name() == name_or_path) return a;
  auto names = listed(known, [](auto& a) { return a->name(); });
  throw std::runtime_error(fmt::format("no analysis '{}'; built in: {}; plug-ins are named by their "
                                       "path, e.g. ./mine.so",
                                       name_or_path, names));
}

} // namespace

std::shared_ptr<const analysis> load_analysis(const std::string& names) {
  auto entries = split_analyses(names);
  if (entries.size() == 1) return load_one(names);
  std::vector<chain_step> steps;
  for (auto& entry : entries) steps.push_back({analysis_name_of(entry), load_one(entry)});
  return make_chain(std::move(steps));
}

parameters complete_parameters(const analysis& what, const std::map<std::string, std::string>& set) {
  auto described = what.describe_parameters();
  parameters result;
  for (auto& p : described) result.set(p.name, p.initial);
  for (auto& [name, written] : set) {
    auto same = [&name](auto& p) { return p.name == name; };
    auto p = std::find_if(described.begin(), described.end(), same);
    if (p == described.end()) {
      auto known = listed(described, [](auto& d) -> auto& { return d.name; });
      throw std::runtime_error(fmt::format("analysis '{}' has no parameter '{}'; it has {}", what.name(),
                                           name, known.empty() ? "none" : known));
    }
    result.set(name, converted(what, *p, written));
  }
  return result;
}

} // namespace dtranspose
