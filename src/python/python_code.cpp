#include "python/python_code.hpp"

#include <algorithm>
#include <iterator>
#include <map>

#include <fmt/format.h>

namespace dtranspose {

namespace {

/// What a host says of parameters. Throws bad_message.
std::vector<parameter_description> parameters_in(const value& said) {
  constexpr parameter_type types[] = {parameter_type::text, parameter_type::binary, parameter_type::integer,
                                      parameter_type::real, parameter_type::boolean};
  auto listed = said.find("parameters");
  auto list = listed ? listed->as_list() : nullptr;
  if (!list) throw bad_message("it lists no parameters");
  std::vector<parameter_description> result;
  for (auto& p : *list) {
    parameter_description d{.name = text_in(p, "name"), .description = text_in(p, "description")};
    auto type = text_in(p, "type");
    for (auto known : types)
      if (name_of(known) == type) d.type = known;
    auto initial = p.find("default");
    if (auto bytes = initial ? initial->as_bytes() : nullptr)
      d.initial.assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    result.push_back(std::move(d));
  }
  return result;
}

std::vector<std::string> texts_in(const value& map, std::string_view key) {
  std::vector<std::string> texts;
  auto found = map.find(key);
  if (auto list = found ? found->as_list() : nullptr)
    for (auto& item : *list)
      if (auto text = item.as_text()) texts.push_back(*text);
  return texts;
}

result_description result_in(const value& said) {
  result_description d{.name = text_in(said, "name")};
  auto type = dtype_of(text_in(said, "type"));
  if (!type)
    throw std::invalid_argument(
        fmt::format("result '{}': '{}' is no type of elements", d.name, text_in(said, "type")));
  d.type = *type;
  auto shape = said.find("shape");
  if (auto list = shape ? shape->as_list() : nullptr)
    for (auto& extent : *list) d.shape.push_back(static_cast<std::size_t>(extent.as_number().value_or(0)));
  if (flag_in(said, "per_scan")) d.extent = result_extent::per_scan;
  d.unit = text_in(said, "unit");
  d.axes = texts_in(said, "axes");
  return d;
}

/// Those of `all` that `own` has not.
std::vector<parameter_description> others_of(const std::vector<parameter_description>& all,
                                             const std::vector<parameter_description>& own) {
  std::vector<parameter_description> others;
  for (auto& p : all)
    if (std::ranges::none_of(own, [&](auto& o) { return o.name == p.name; })) others.push_back(p);
  return others;
}

constexpr std::size_t most_readings = 4;

std::mutex all_mutex;

std::map<std::string, std::shared_ptr<python_code>>& all_code() {
  static auto& all = *new std::map<std::string, std::shared_ptr<python_code>>;
  return all;
}

} // namespace

python_code::~python_code() { close(); }

/// Found out with new processes: those of an earlier reading may be the last that there are of it.
python_code::descriptions python_code::known(std::uint32_t reading) {
  std::lock_guard loading(loading_);
  if (auto found = known_.find(reading); found != known_.end()) return found->second;
  descriptions found;
  auto worker = std::make_unique<python_host>(settings_, python_role::worker);
  found.of_worker = found.all = parameters_in(worker->load({}, reading));
  if (has_reducer()) {
    auto reducer = std::make_unique<python_host>(settings_, python_role::reducer);
    auto both = parameters_in(reducer->load(found.of_worker, reading));
    found.of_reducer = others_of(both, found.of_worker);
    found.all.insert(found.all.end(), found.of_reducer.begin(), found.of_reducer.end());
    give_back(std::move(reducer));
    if (!found.of_reducer.empty()) worker->load(found.of_reducer, reading);
  }
  give_back(std::move(worker));
  close_idle([&](auto& h) { return h.reading() != reading; });
  known_[reading] = found;
  if (known_.size() > most_readings) known_.erase(known_.begin());
  return found;
}

std::vector<parameter_description> python_code::describe_parameters(std::uint32_t reading) {
  return known(reading).all;
}

std::vector<result_description> python_code::describe_results(std::uint32_t reading,
                                                              const parameters& settings) {
  std::vector<result_description> list;
  describe_results(python_role::worker, reading, settings, list);
  if (has_reducer()) describe_results(python_role::reducer, reading, settings, list);
  return list;
}

void python_code::describe_results(python_role role, std::uint32_t reading, const parameters& settings,
                                   std::vector<result_description>& list) {
  auto host = take(role, reading);
  try {
    auto said = host->describe(settings);
    auto results = said.find("results");
    if (auto described = results ? results->as_list() : nullptr)
      for (auto& r : *described) list.push_back(result_in(r));
    give_back(std::move(host));
  } catch (const host_failed& e) {
    give_back(std::move(host));
    throw std::invalid_argument(e.what());
  }
}

/// Without a reading: any, to be loaded.
std::unique_ptr<python_host> python_code::take_idle(python_role role, std::optional<std::uint32_t> reading) {
  std::lock_guard guard(mutex_);
  auto found = std::ranges::find_if(
      idle_, [&](auto& h) { return h->role() == role && (!reading || h->reading() == reading); });
  if (found == idle_.end()) return nullptr;
  auto host = std::move(*found);
  idle_.erase(found);
  return host;
}

std::unique_ptr<python_host> python_code::take(python_role role, std::uint32_t reading) {
  auto described = known(reading);
  while (auto host = take_idle(role, reading))
    if (host->answers()) return host;
  std::unique_ptr<python_host> host;
  while ((host = take_idle(role, std::nullopt)) && !host->answers()) continue;
  if (!host) host = std::make_unique<python_host>(settings_, role);
  host->load(role == python_role::worker ? described.of_reducer : described.of_worker, reading);
  return host;
}

void python_code::give_back(std::unique_ptr<python_host> host) {
  if (!host || !host->usable()) return;
  std::lock_guard guard(mutex_);
  idle_.push_back(std::move(host));
}

bool python_code::take_tick(const std::string& scan, std::chrono::duration<double> interval) {
  auto now = std::chrono::steady_clock::now();
  std::lock_guard guard(mutex_);
  if (scan == ticking_scan_ && now - last_tick_ < interval) return false;
  ticking_scan_ = scan;
  last_tick_ = now;
  return true;
}

void python_code::close() {
  close_idle([](auto&) { return true; });
}

void python_code::close_idle(const std::function<bool(const python_host&)>& chosen) {
  std::vector<std::unique_ptr<python_host>> ending;
  {
    std::lock_guard guard(mutex_);
    auto stay = std::partition(idle_.begin(), idle_.end(), [&](auto& h) { return !chosen(*h); });
    std::move(stay, idle_.end(), std::back_inserter(ending));
    idle_.erase(stay, idle_.end());
  }
  for (auto& host : ending) host->begin_close();
  for (auto& host : ending) host->close();
}

std::shared_ptr<python_code> python_code_of(python_settings settings) {
  settings.reloads = 0;
  auto entry = python_entry(settings);
  std::vector<std::shared_ptr<python_code>> done; // ended without the lock
  std::lock_guard guard(all_mutex);
  auto& all = all_code();
  auto found = all.find(entry);
  if (found != all.end()) return found->second;
  auto code = std::make_shared<python_code>(std::move(settings));
  std::erase_if(all, [&](auto& x) {
    if (x.second.use_count() > 1) return false;
    done.push_back(x.second);
    return true;
  });
  all.emplace(entry, code);
  return code;
}

void close_python_hosts() {
  std::vector<std::shared_ptr<python_code>> list;
  {
    std::lock_guard guard(all_mutex);
    for (auto& [entry, code] : all_code()) list.push_back(code);
  }
  for (auto& code : list) code->close();
}

} // namespace dtranspose
