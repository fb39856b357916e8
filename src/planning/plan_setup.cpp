#include "plan_setup.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include <toml++/toml.h>

#include "runtime/quantities.hpp"

namespace dtranspose {

namespace {

using std::string_view;

constexpr std::array<string_view, 13> sections_of_a_site = {
    "cluster", "controller", "http",   "stream",    "scan",     "worker",  "analysis",
    "reducer", "feedback",   "output", "recording", "beamline", "simulate"};

constexpr double most_workers = 4096, most_nodes = 1024;

class findings {
 public:
  explicit findings(std::string file) : file_(std::move(file)) {}

  void add(std::size_t line, string_view where, string_view what) {
    found_.emplace(line, fmt::format("{}:{}: {}: {}", file_, line, where, what));
  }

  void throw_if_any() const {
    if (found_.empty()) return;
    std::string all;
    for (auto& [line, text] : found_) (all += all.empty() ? "" : "\n") += text;
    throw plan_error(all);
  }

 private:
  std::string file_;
  std::multimap<std::size_t, std::string> found_; ///< by line
};

/// `100Gbit/s`, `2GB/s`: bytes per second.
std::optional<double> bytes_per_second(string_view text) {
  constexpr string_view per_second = "/s";
  if (!text.ends_with(per_second)) return std::nullopt;
  text.remove_suffix(per_second.size());
  constexpr string_view bit = "bit";
  if (!text.ends_with(bit)) {
    auto bytes = size_in_bytes(text);
    return bytes ? std::optional(double(*bytes)) : std::nullopt;
  }
  text.remove_suffix(bit.size());
  // The units of bits are the powers of 1000: what "Gbit" and "GB" begin with is the same.
  auto bits = size_in_bytes(fmt::format("{}B", text));
  return bits ? std::optional(double(*bits) / 8) : std::nullopt;
}

std::optional<double> nanoseconds(string_view text) {
  auto duration = duration_of(text);
  return duration ? std::optional(double(duration->count())) : std::nullopt;
}

std::optional<double> bytes(string_view text) {
  auto size = size_in_bytes(text);
  return size ? std::optional(double(*size)) : std::nullopt;
}

struct quantity {
  std::optional<double> (*read)(string_view);
  string_view what;
};
constexpr quantity a_rate{rate_in_hertz, "a rate such as \"1kHz\""};
constexpr quantity a_duration{nanoseconds, "a duration such as \"50us\" or \"2s\""};
constexpr quantity a_size{bytes, "a size such as \"64kB\" or \"2MiB\""};
constexpr quantity a_link{bytes_per_second, "a rate such as \"100Gbit/s\" or \"2GB/s\""};

enum class zero { allowed, refused };

/// A table of the file: each reader takes one key, if it is there; `finish` complains about the others.
class table_reader {
 public:
  table_reader(const toml::table& content, std::string title, findings& found)
      : content_(content), title_(std::move(title)), found_(found) {}

  bool has(string_view key) const { return content_.contains(key); }

  void complain(string_view key, string_view what) const {
    found_.add(line_of(key), fmt::format("{} {}", title_, key), what);
  }

  void require(string_view key) const {
    if (!has(key)) complain(key, "is missing");
  }

  const toml::node* take(string_view key) {
    taken_.emplace(key);
    return content_.get(key);
  }

  void amount(string_view key, double& target, const quantity& kind, zero zero_is = zero::refused) {
    auto node = take(key);
    if (!node) return;
    auto written = node->value_exact<std::string>();
    if (auto whole = node->value_exact<std::int64_t>()) written = std::to_string(*whole);
    auto read = written ? kind.read(*written) : std::nullopt;
    if (!read) return complain(key, fmt::format("is not {}", kind.what));
    if (*read == 0 && zero_is == zero::refused) return complain(key, "must be more than 0");
    target = *read;
  }

  void number(string_view key, double& target, double least, double most) {
    auto node = take(key);
    if (!node) return;
    auto read = node->is_number() ? node->value<double>() : std::nullopt;
    if (!read || !(*read >= least && *read <= most))
      return complain(key, most < 1e15 ? fmt::format("is not a number from {} to {}", least, most)
                                       : fmt::format("is not a number from {}", least));
    target = *read;
  }

  void whole(string_view key, std::uint32_t& target, double least, double most) {
    double read = target;
    number(key, read, least, most);
    if (read != std::floor(read)) return complain(key, "is not a whole number");
    target = static_cast<std::uint32_t>(read);
  }

  void flag(string_view key, bool& target) {
    auto node = take(key);
    if (!node) return;
    if (auto read = node->value_exact<bool>())
      target = *read;
    else
      complain(key, "is not true or false");
  }

  void text(string_view key, std::string& target) {
    auto node = take(key);
    if (!node) return;
    auto read = node->value_exact<std::string>();
    if (!read || read->empty()) return complain(key, "is not a text");
    target = *read;
  }

  /// A text, or a list of texts.
  std::vector<std::string> one_or_more(string_view key) {
    std::vector<std::string> all;
    auto add = [&](const toml::node& item) {
      auto read = item.value_exact<std::string>();
      read ? all.push_back(*read) : complain(key, "is not a text or a list of texts");
    };
    auto node = take(key);
    if (node && node->is_array())
      for (auto& item : *node->as_array()) add(item);
    else if (node)
      add(*node);
    return all;
  }

  /// Those of a list of tables.
  std::vector<const toml::table*> tables(string_view key) {
    std::vector<const toml::table*> all;
    auto node = take(key);
    if (!node) return all;
    auto list = node->as_array();
    if (!list || !std::all_of(list->begin(), list->end(), [](auto& item) { return item.is_table(); })) {
      complain(key, "is not a list of tables");
      return all;
    }
    for (auto& item : *list) all.push_back(item.as_table());
    return all;
  }

  void finish() const {
    for (auto&& [key, node] : content_)
      if (!taken_.contains(key.str()))
        complain(key.str(), fmt::format("unknown key; known are {}", fmt::join(taken_, ", ")));
  }

 private:
  std::size_t line_of(string_view key) const {
    for (auto&& [name, node] : content_)
      if (name.str() == key && name.source().begin.line > 0) return name.source().begin.line;
    return std::max<std::size_t>(content_.source().begin.line, 1);
  }

  const toml::table& content_;
  std::string title_;
  findings& found_;
  std::set<std::string, std::less<>> taken_;
};

class plan_reader {
 public:
  plan_reader(findings& found, std::filesystem::path folder) : found_(found), folder_(std::move(folder)) {}

  plan_setup read(const toml::table& file) {
    check_sections(file);
    read_site(file);
    auto plan = file.get_as<toml::table>("plan");
    if (!plan) {
      found_.add(1, "[plan]", "is missing: it says what is planned");
      return {};
    }
    table_reader in(*plan, "[plan]", found_);
    for (auto key : {"rate", "stream", "nodes"}) in.require(key);
    in.amount("rate", result_.rate, a_rate);
    in.amount("analysis", result_.analysis, a_duration, zero::allowed);
    in.amount("result", result_.result, a_size, zero::allowed);
    in.number("headroom", result_.headroom, 0.01, 1);
    in.number("link_efficiency", result_.link_efficiency, 0.01, 1);
    read_costs_of(in);
    for (auto table : in.tables("stream")) read_stream(*table);
    for (auto table : in.tables("nodes")) read_nodes(*table);
    read_who_sees_what(in);
    in.finish();
    check_roles(in);
    return std::move(result_);
  }

 private:
  void check_sections(const toml::table& file) {
    for (auto&& [key, node] : file)
      if (key.str() != "plan" && std::ranges::find(sections_of_a_site, key.str()) == sections_of_a_site.end())
        found_.add(
            std::max<std::size_t>(key.source().begin.line, 1), fmt::format("[{}]", key.str()),
            fmt::format("unknown section; known are plan and {}", fmt::join(sections_of_a_site, ", ")));
  }

  /// What a site's configuration says already. Whether that is sound is told by `dtranspose check`.
  void read_site(const toml::table& file) {
    if (auto streams = file.get_as<toml::array>("stream"))
      for (auto& item : *streams)
        if (auto table = item.as_table()) {
          table_reader in(*table, "[[stream]]", found_);
          planned_stream s;
          in.text("name", s.name);
          in.amount("retain", s.retain, a_size);
          in.amount("read_ahead", s.read_ahead, a_size);
          site_streams_.emplace(s.name, s);
        }
    if (auto worker = file.get_as<toml::table>("worker")) {
      table_reader in(*worker, "[worker]", found_);
      in.whole("count", site_nodes_.workers, 1, most_workers);
      in.amount("memory", site_nodes_.worker_memory, a_size);
    }
  }

  void read_costs_of(table_reader& in) {
    for (auto& file : in.one_or_more("benchmarks")) try {
        read_costs(found_file(file), result_.costs);
      } catch (const std::runtime_error& e) {
        in.complain("benchmarks", e.what());
      }
    auto node = in.take("costs");
    if (!node) return;
    if (!node->is_table()) return in.complain("costs", "is not a table: write [plan.costs]");
    table_reader costs(*node->as_table(), "[plan.costs]", found_);
    for (auto role : cost_roles()) read_cost(costs, role);
    costs.number("cores_of_ingester", result_.costs.cores_of_ingester, 0, 1000);
    costs.finish();
  }

  void read_cost(table_reader& in, string_view role) {
    auto node = in.take(role);
    if (!node) return;
    if (!node->is_table()) return in.complain(role, "is not such as { frame = \"2us\", byte = 0.3 }");
    auto& cost = *cost_of(result_.costs, role);
    table_reader parts(*node->as_table(), fmt::format("[plan.costs.{}]", role), found_);
    parts.amount("frame", cost.frame, a_duration, zero::allowed);
    parts.number("byte", cost.byte, 0, 1e6);
    parts.finish();
    cost.ratios.clear();
  }

  void read_stream(const toml::table& table) {
    table_reader in(table, "[[plan.stream]]", found_);
    planned_stream s;
    for (auto key : {"name", "frame"}) in.require(key);
    in.text("name", s.name);
    if (auto site = site_streams_.find(s.name); site != site_streams_.end()) s = site->second;
    in.amount("frame", s.frame, a_size);
    in.whole("every", s.every, 1, 1e9);
    in.whole("workers", s.workers, 1, most_workers);
    in.amount("link", s.link, a_link);
    in.text("nodes", s.nodes);
    in.amount("retain", s.retain, a_size);
    in.amount("read_ahead", s.read_ahead, a_size);
    in.amount("sender", s.sender, a_size, zero::allowed);
    in.amount("queue", s.queue, a_size, zero::allowed);
    std::uint32_t count = 1;
    in.whole("count", count, 1, max_streams);
    in.finish();
    add_stream(in, s, count);
  }

  /// `count` streams that are alike are called NAME-1, NAME-2, ...
  void add_stream(const table_reader& in, planned_stream s, std::uint32_t count) {
    auto name = s.name;
    for (std::uint32_t i = 1; i <= count; ++i) {
      if (count > 1) s.name = fmt::format("{}-{}", name, i);
      if (std::ranges::any_of(result_.streams, [&](auto& other) { return other.name == s.name; }))
        in.complain("name", fmt::format("'{}' is the name of another stream already", s.name));
      if (result_.streams.size() == max_streams)
        return in.complain("name", fmt::format("there are more than {} streams", max_streams));
      result_.streams.push_back(s);
    }
  }

  void read_nodes(const toml::table& table) {
    table_reader in(table, "[[plan.nodes]]", found_);
    auto n = site_nodes_;
    for (auto key : {"name", "cores", "roles"}) in.require(key);
    in.text("name", n.name);
    in.whole("count", n.count, 1, most_nodes);
    in.number("cores", n.cores, 0.01, 1e5);
    in.amount("link", n.link, a_link);
    in.amount("memory", n.memory, a_size);
    in.amount("memory_bandwidth", n.memory_bandwidth, a_link);
    in.whole("workers", n.workers, 1, most_workers);
    in.whole("processes", n.processes, 1, most_workers);
    in.amount("worker_memory", n.worker_memory, a_size);
    in.flag("one_process", n.one_process);
    read_roles(in, n);
    in.finish();
    if (n.processes > 1 && n.one_process) in.complain("processes", "is 1 where one_process is true");
    if (n.processes > n.workers) in.complain("processes", "are more than workers");
    if (std::ranges::any_of(result_.nodes, [&](auto& other) { return other.name == n.name; }))
      in.complain("name", fmt::format("'{}' is the name of other nodes already", n.name));
    result_.nodes.push_back(n);
  }

  static void read_roles(table_reader& in, planned_nodes& n) {
    auto node = in.take("roles");
    if (!node) return;
    auto list = node->as_array();
    if (!list) return in.complain("roles", "is not a list such as [\"ingester\", \"worker\"]");
    for (auto& item : *list) {
      auto role = item.value_or(std::string());
      if (role == "ingester" || role == "all") n.ingester = true;
      if (role == "worker" || role == "all") n.worker = true;
      if (role == "reducer" || role == "all") n.reducer = true;
      if (role == "controller" || role == "all") n.controller = true;
      if (role != "all" && role != "ingester" && role != "worker" && role != "reducer" &&
          role != "controller")
        in.complain(
            "roles",
            fmt::format("'{}' is no role; known are all, controller, ingester, worker, reducer", role));
    }
  }

  void read_who_sees_what(table_reader& in) {
    in.whole("constraints", result_.constraints, 0, 1e9);
    std::string file;
    bool wrap = true;
    in.text("map", file);
    in.flag("wrap", wrap);
    if (file.empty()) return;
    if (in.has("constraints")) in.complain("constraints", "is for a plan without map; the map has its own");
    std::ifstream content(found_file(file), std::ios::binary);
    std::ostringstream text;
    text << content.rdbuf();
    if (!content) return in.complain("map", fmt::format("{}: cannot be read", file));
    auto map = trigger_map::parse(text.str(), wrap);
    if (!map) return in.complain("map", fmt::format("{}: {}", file, to_string(map.error())));
    result_.map = *map;
  }

  void check_roles(const table_reader& in) {
    auto has = [&](bool planned_nodes::*role) { return std::ranges::any_of(result_.nodes, role); };
    auto need = [&](bool planned_nodes::*role, string_view name) {
      if (!has(role)) in.complain("nodes", fmt::format("none has the role {}; add it to roles", name));
    };
    need(&planned_nodes::ingester, "ingester");
    need(&planned_nodes::worker, "worker");
    need(&planned_nodes::reducer, "reducer");
    need(&planned_nodes::controller, "controller");
    for (auto& s : result_.streams)
      if (!s.nodes.empty() &&
          std::ranges::none_of(result_.nodes, [&](auto& n) { return n.name == s.nodes && n.ingester; }))
        in.complain("stream", fmt::format("'{}': nodes = \"{}\" names none that ingest", s.name, s.nodes));
  }

  std::filesystem::path found_file(const std::string& name) const {
    auto beside = folder_ / name;
    return std::filesystem::exists(beside) ? beside : std::filesystem::path(name);
  }

  findings& found_;
  std::filesystem::path folder_;
  plan_setup result_;
  std::map<std::string, planned_stream, std::less<>> site_streams_;
  planned_nodes site_nodes_;
};

} // namespace

plan_setup parse_plan(string_view text, const std::string& name) {
  findings found(name);
  toml::table content;
  try {
    content = toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    found.add(e.source().begin.line, "TOML", e.description());
    found.throw_if_any();
  }
  auto setup = plan_reader(found, std::filesystem::path(name).parent_path()).read(content);
  found.throw_if_any();
  return setup;
}

plan_setup read_plan(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) throw plan_error(fmt::format("{}: cannot be read, or is empty", file.string()));
  return parse_plan(text.str(), file.string());
}

} // namespace dtranspose
