#include "runtime/configuration.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <ranges>
#include <set>
#include <sstream>

#include <toml++/toml.h>

#include "analysis/analysis_names.hpp"
#include "analysis/registry.hpp"
#include "beamline/scene.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {
namespace {

using std::string_view;

constexpr string_view unsupported = "is not supported by this version yet";

constexpr std::uint64_t max_frame_bytes = std::uint64_t{1} << 30;
constexpr std::uint32_t max_workers = 4096;
constexpr std::uint32_t max_late_window = 1 << 20;
/// Of what TOML can say.
constexpr std::uint64_t max_whole = std::numeric_limits<std::int64_t>::max();

// --- what is wrong ------------------------------------------------------------------------------

/// Collects what is wrong with a file, so that all of it is told at once.
class findings {
 public:
  explicit findings(std::string file) : file_(std::move(file)) {}

  void add(std::size_t line, string_view where, string_view what) {
    found_.emplace(line,
                   file_ + ":" + std::to_string(line) + ": " + std::string(where) + ": " + std::string(what));
  }

  void throw_if_any() const {
    if (found_.empty()) return;
    std::string all;
    for (auto& [line, text] : found_) (all += all.empty() ? "" : "\n") += text;
    throw configuration_error(all);
  }

 private:
  std::string file_;
  std::multimap<std::size_t, std::string> found_; ///< by line
};

std::string in_quotes(string_view text) { return '"' + std::string(text) + '"'; }

template <class Texts>
std::string joined(const Texts& texts) {
  std::string all;
  for (auto& text : texts) (all += all.empty() ? "" : ", ") += text;
  return all;
}

/// How many letters must be changed, put in or left out to make one word of the other.
std::size_t edit_distance(string_view a, string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

/// The word that was probably meant; empty if none is near.
template <class Words>
std::string nearest(string_view wrong, const Words& words) {
  std::string best;
  std::size_t least = std::max<std::size_t>(2, wrong.size() / 3) + 1;
  for (string_view word : words)
    if (auto distance = edit_distance(wrong, word); distance < least && distance < word.size()) {
      least = distance;
      best = word;
    }
  return best;
}

template <class Words>
std::string or_a_hint(string_view wrong, const Words& words) {
  auto meant = nearest(wrong, words);
  return meant.empty() ? "known are " + joined(words) : "did you mean " + meant + "?";
}

/// A node as a message quotes it.
std::string shown(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return in_quotes(*text);
  if (auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  if (auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (node.is_floating_point()) return "a number with a fraction";
  if (node.is_table()) return "a table";
  if (node.is_array()) return "a list";
  return "a date or time";
}

// --- what a text may hold -----------------------------------------------------------------------

/// What a text must be, as the end of "... is not"; empty if it is.
using text_rule = std::string (*)(string_view);

std::string any_text(string_view) { return {}; }

std::string plain_name(string_view text) {
  bool plain = !text.empty() && std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return c == ':' || c <= ' ' || c == 0x7F;
  });
  return plain ? "" : "a name, which is not empty and holds neither ':' nor blanks";
}

std::string tag(string_view text) {
  bool usable = plain_name(text).empty() && text.find(',') == string_view::npos;
  return usable ? "" : "a tag, which is not empty and holds neither ':' nor ',' nor blanks";
}

std::string address_of_a_source(string_view text) {
  constexpr auto allowed = "an address such as \"tcp://host:port\"";
  auto separator = text.find("://");
  if (separator == string_view::npos || separator == 0 || separator + 3 == text.size()) return allowed;
  if (text.find_first_of(" \t") != string_view::npos) return allowed;
  if (text.starts_with("tcp://") || text.starts_with("http://")) {
    auto address = host_and_port_of(text.substr(separator + 3));
    if (!address || address->port == 0) return "a TCP address with a port from 1 to 65535";
  }
  return {};
}

std::string address_of_a_publisher(string_view text) {
  auto separator = text.find("://");
  bool is_one = text.starts_with("tcp://") || text.starts_with("ipc://");
  return is_one && separator + 3 < text.size() ? "" : "an address such as \"tcp://127.0.0.1:5002\"";
}

std::string known_protocol(string_view text) {
  auto known = protocol_names();
  bool is_known = std::ranges::find(known, text) != known.end();
  return is_known ? "" : "a protocol; " + or_a_hint(text, known);
}

std::string analysis_entry(string_view text) {
  bool is_one = !text.empty() && text.find(',') == text.npos;
  return is_one ? "" : "the name of one analysis or the path of a plug-in";
}

// --- reading a table ----------------------------------------------------------------------------

/// How a quantity is read, and what a message calls it.
template <class T>
struct quantity_kind {
  std::optional<T> (*read)(string_view);
  string_view what;
};
constexpr quantity_kind<std::chrono::nanoseconds> duration_kind{
    duration_of, "a duration such as \"100ms\", \"1s\" or \"5min\""};
constexpr quantity_kind<std::uint64_t> size_kind{size_in_bytes,
                                                 "a size such as \"64kB\", \"4MiB\" or \"2GiB\""};
constexpr quantity_kind<double> rate_kind{rate_in_hertz, "a rate such as \"100Hz\", \"2kHz\" or \"0\""};
constexpr quantity_kind<host_and_port> address_kind{host_and_port_of,
                                                    "an address such as \"127.0.0.1:4242\""};

constexpr std::chrono::nanoseconds any_duration{0}, some_time{1};

/// A table of the file. Each reader takes one key, if it is there, and complains about what it
/// finds; the target is only changed to what is allowed. `finish` complains about the keys that
/// nobody took.
class section {
 public:
  section(const toml::table& content, std::string title, std::size_t line, findings& found)
      : content_(content), title_(std::move(title)), line_(line), found_(found) {}

  bool has(string_view key) const { return content_.contains(key); }
  bool taken(string_view key) const { return taken_.contains(key); }
  const toml::table& content() const { return content_; }

  void complain(string_view key, string_view what) {
    auto where = title_.empty() ? "[" + std::string(key) + "]" : title_ + " " + std::string(key);
    found_.add(line_of(key), where, what);
  }

  void require(string_view key) {
    if (!has(key)) complain(key, "is missing");
  }

  /// Where that key is; without it, where the table begins.
  std::size_t line_of(string_view key) const {
    for (auto&& [name, node] : content_)
      if (name.str() == key) return line_or(name.source(), line_or(node.source(), line_));
    return line_;
  }

  const toml::node* take(string_view key) {
    taken_.emplace(key);
    return content_.get(key);
  }

  void flag(string_view key, bool& target) {
    read(key, target, "true or false", [](const toml::node& node) { return node.value_exact<bool>(); });
  }

  void text(string_view key, std::string& target, text_rule rule = any_text) {
    if (auto node = take(key))
      if (auto text = checked_text(key, *node, rule)) target = *text;
  }

  void texts(string_view key, std::vector<std::string>& target, text_rule rule = any_text) {
    auto node = take(key);
    if (!node) return;
    if (!node->is_array()) return complain(key, shown(*node) + " is not a list of texts");
    std::vector<std::string> texts;
    for (auto& item : *node->as_array())
      if (auto text = checked_text(key, item, rule)) texts.push_back(*text);
    if (texts.size() == node->as_array()->size()) target = std::move(texts);
  }

  template <class T>
  void whole(string_view key, T& target, std::uint64_t least, std::uint64_t most) {
    auto what = "a whole number from " + std::to_string(least);
    if (most < std::numeric_limits<std::int64_t>::max()) what += " to " + std::to_string(most);
    read(key, target, what, [&](const toml::node& node) { return whole_of<T>(node, least, most); });
  }

  /// Any number above 0.
  void positive(string_view key, double& target) {
    read(key, target, "a number above 0", [](const toml::node& node) -> std::optional<double> {
      auto number = node.is_number() ? node.value<double>() : std::nullopt;
      return number && std::isfinite(*number) && *number > 0 ? number : std::nullopt;
    });
  }

  /// A number from 0 to 1.
  void share(string_view key, double& target) {
    read(key, target, "a number from 0 to 1", [](const toml::node& node) -> std::optional<double> {
      auto number = node.is_number() ? node.value<double>() : std::nullopt;
      return number && *number >= 0 && *number <= 1 ? number : std::nullopt;
    });
  }

  template <class T>
  void quantity(string_view key, T& target, const quantity_kind<T>& kind) {
    read(key, target, kind.what, [&](const toml::node& node) -> std::optional<T> {
      if (auto text = node.value_exact<std::string>()) return kind.read(*text);
      if (node.is_integer()) return kind.read(shown(node));
      return std::nullopt;
    });
  }

  void duration(string_view key, std::chrono::nanoseconds& target,
                std::chrono::nanoseconds least = some_time) {
    auto duration = target;
    quantity(key, duration, duration_kind);
    if (duration < least) return complain(key, "must be more than 0");
    target = duration;
  }

  void size(string_view key, std::uint64_t& target) {
    auto size = target;
    quantity(key, size, size_kind);
    if (size == 0) return complain(key, "must be more than 0");
    target = size;
  }

  template <class Choices>
  void choice(string_view key, const Choices& choices, typename Choices::mapped_type& target) {
    std::string what = "one of";
    for (auto& [name, chosen] : choices) what += (what == "one of" ? " " : ", ") + in_quotes(name);
    read(key, target, what, [&](const toml::node& node) -> std::optional<typename Choices::mapped_type> {
      auto found = choices.find(node.value_exact<std::string>().value_or(""));
      return found == choices.end() ? std::nullopt : std::optional(found->second);
    });
  }

  void not_yet(string_view key) {
    std::string text;
    this->text(key, text);
    if (!text.empty()) complain(key, std::string(unsupported) + "; leave it empty");
  }

  using section_reader = std::function<void(section&)>;

  void table(string_view key, const section_reader& reader) {
    auto node = take(key);
    if (!node) return;
    if (!node->is_table()) {
      bool header = title_.empty();
      return complain(key, shown(*node) + " is not a table" +
                               (header ? ": write [" + std::string(key) + "]" : std::string()));
    }
    auto title =
        title_.empty() ? std::string(key) : title_.substr(1, title_.size() - 2) + "." + std::string(key);
    section inner(*node->as_table(), "[" + title + "]", line_of(key), found_);
    reader(inner);
    inner.finish();
  }

  void tables(string_view key, const section_reader& reader) {
    auto node = take(key);
    if (!node) return;
    auto list = node->as_array();
    if (!list || !std::all_of(list->begin(), list->end(), [](auto& item) { return item.is_table(); }))
      return complain(key, "is not a list of tables: write [[" + std::string(key) + "]]");
    for (auto& item : *list) {
      section inner(*item.as_table(), "[[" + std::string(key) + "]]", line_or(item.source(), line_), found_);
      reader(inner);
      inner.finish();
    }
  }

  void finish() {
    for (auto&& [key, node] : content_)
      if (!taken(key.str()))
        complain(key.str(),
                 (title_.empty() ? "unknown section; " : "unknown key; ") + or_a_hint(key.str(), taken_));
  }

 private:
  static std::size_t line_or(const toml::source_region& region, std::size_t otherwise) {
    return region.begin.line > 0 ? region.begin.line : otherwise;
  }

  template <class T, class Reader>
  void read(string_view key, T& target, string_view what, Reader reader) {
    auto node = take(key);
    if (!node) return;
    if (auto content = reader(*node))
      target = *content;
    else
      complain(key, shown(*node) + " is not " + std::string(what));
  }

  template <class T>
  static std::optional<T> whole_of(const toml::node& node, std::uint64_t least, std::uint64_t most) {
    auto number = node.value_exact<std::int64_t>();
    if (!number || *number < 0) return std::nullopt;
    auto n = static_cast<std::uint64_t>(*number);
    return n < least || n > most ? std::nullopt : std::optional(static_cast<T>(n));
  }

  std::optional<std::string> checked_text(string_view key, const toml::node& node, text_rule rule) {
    auto text = node.value_exact<std::string>();
    auto what = text ? rule(*text) : "a text";
    if (what.empty()) return text;
    complain(key, shown(node) + " is not " + what);
    return std::nullopt;
  }

  const toml::table& content_;
  std::string title_; ///< as written in the file, brackets included; empty: the file itself
  std::size_t line_;
  findings& found_;
  std::set<std::string, std::less<>> taken_;
};

// --- the sections -------------------------------------------------------------------------------

template <class T>
using choices = std::map<std::string, T, std::less<>>;

const choices<socket_kind> socket_kinds = {{"pull", socket_kind::pull}, {"sub", socket_kind::sub}};
const choices<incomplete_events> incomplete_kinds = {{"skip", incomplete_events::skip},
                                                     {"deliver", incomplete_events::deliver}};
const choices<recording_form> recording_forms = {{"dump", recording_form::dump},
                                                 {"wire", recording_form::wire}};
const choices<packing> packings = {{"none", packing::none}, {"gzip", packing::gzip}, {"zstd", packing::zstd}};
const choices<recorder_behind> behind_kinds = {{"hold", recorder_behind::hold},
                                               {"gap", recorder_behind::gap}};

const choices<bool> trigger_kinds = {{"hardware", false}, {"software", true}};

/// Which side of ZeroMQ reads that protocol.
socket_kind usual_socket(string_view protocol) {
  auto info = find_protocol(protocol);
  return info && info->usual == transport::zmq_sub ? socket_kind::sub : socket_kind::pull;
}

/// How an address of a stream of that protocol must begin; empty: by anything.
string_view scheme_of(string_view protocol) {
  auto info = find_protocol(protocol);
  if (!info) return {};
  if (info->usual == transport::tcp) return "tcp://";
  return info->usual == transport::http ? "http://" : "";
}

/// The written form that `parameters` reads; nothing for what is no single value.
std::optional<std::string> written_form(const toml::node& node) {
  if (auto text = node.value_exact<std::string>()) return text;
  if (auto flag = node.value_exact<bool>()) return *flag ? "True" : "False";
  if (auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  auto number = node.value_exact<double>();
  if (!number) return std::nullopt;
  char digits[32];
  std::string written(digits, std::to_chars(digits, digits + sizeof digits, *number).ptr);
  // As the REST interface writes it, a float shows that it is one.
  bool looks_whole = written.find_first_not_of("-0123456789") == std::string::npos;
  return looks_whole ? written + ".0" : written;
}

/// The braces of an output name, which must all be places that this version fills.
std::string fault_of_output_name(string_view name) {
  for (auto open = name.find('{'); open != string_view::npos; open = name.find('{', open + 1)) {
    auto place = name.substr(open, name.find('}', open) - open + 1);
    if (place != "{scan}" && place != "{raw}")
      return in_quotes(place) + " is no place that is filled; there are {scan} and {raw}";
    if (place == "{raw}" && open < name.rfind('/') && name.find('/') != string_view::npos)
      return "{raw} may be in the name of the file only, not in its folder";
  }
  return {};
}

/// The same of a path in raw files.
std::string fault_of_raw_path(string_view path) {
  if (!path.starts_with('/')) return "must begin with /, as a path in an HDF5 file";
  for (auto open = path.find('{'); open != string_view::npos; open = path.find('{', open + 1)) {
    auto place = path.substr(open, path.find('}', open) - open + 1);
    if (place != "{stream}" && place != "{filename}")
      return in_quotes(place) + " is no place that is filled; there are {stream} and {filename}";
  }
  return {};
}

/// Larger chunks do not fit HDF5's own cache of a data set.
constexpr std::uint64_t largest_chunk = 1 << 20;

class configuration_reader {
 public:
  configuration_reader(findings& found, std::filesystem::path folder)
      : found_(found), folder_(std::move(folder)) {}

  configuration read(const toml::table& content) {
    section file(content, "", 1, found_);
    file.table("cluster", [this](section& in) { read_cluster(in); });
    file.table("controller", [this](section& in) { in.text("journal", result_.controller.journal); });
    file.table("http", [this](section& in) { read_http(in); });
    file.tables("stream", [this](section& in) { read_stream(in); });
    file.table("scan", [this](section& in) { read_scan(in); });
    file.table("worker", [this](section& in) { read_worker(in); });
    file.table("analysis", [this](section& in) { read_analysis(in); });
    file.table("reducer", [this](section& in) { read_reducer(in); });
    file.table("feedback", [this](section& in) { read_feedback(in); });
    file.table("output", [this](section& in) { read_output(in); });
    file.table("recording", [this](section& in) { read_recording(in); });
    file.table("beamline", [this](section& in) { read_beamline(in); });
    file.tables("simulate", [this](section& in) { read_simulate(in); });
    file.take("plan"); // read by the planner alone
    file.finish();
    settle_leaders(file);
    if (result_.controller.journal.empty()) result_.controller.journal = result_.reducer.journal;
    if (result_.streams.size() > max_streams)
      file.complain("stream", std::to_string(result_.streams.size()) + " streams are too many; up to " +
                                  std::to_string(max_streams) + " are supported");
    return std::move(result_);
  }

 private:
  void read_cluster(section& in) {
    auto& cluster = result_.cluster;
    in.text("name", cluster.name, plain_name);
    in.quantity("controller", cluster.controller, address_kind);
    in.quantity("listen", cluster.listen, address_kind);
    in.duration("heartbeat", cluster.heartbeat);
    in.duration("timeout", cluster.timeout);
    in.duration("return_timeout", cluster.return_timeout);
    if (cluster.timeout <= cluster.heartbeat) in.complain("timeout", "must be longer than heartbeat");
    in.table("tls", [&cluster](section& tls) {
      for (auto key : {"certificate", "key", "authority"}) tls.require(key);
      tls.text("certificate", cluster.tls.certificate);
      tls.text("key", cluster.tls.key);
      tls.text("authority", cluster.tls.authority);
    });
    in.flag("insecure", cluster.insecure);
    in.flag("bulk", cluster.bulk);
    in.size("bulk_from", cluster.bulk_from);
    in.whole("bulk_port", cluster.bulk_port, 0, 65535);
  }

  void read_http(section& in) {
    in.quantity("control", result_.http.control, address_kind);
    in.quantity("results", result_.http.results, address_kind);
    in.text("tokens", result_.http.tokens);
    in.text("certificate", result_.http.certificate);
    in.text("key", result_.http.key);
    if (result_.http.certificate.empty() != result_.http.key.empty())
      in.complain("certificate", "certificate and key belong together: give both or none");
    in.flag("insecure", result_.http.insecure);
  }

  void read_stream(section& in) {
    stream_settings stream;
    for (auto key : {"name", "protocol", "url"}) in.require(key);
    in.text("name", stream.name, plain_name);
    in.text("protocol", stream.protocol, known_protocol);
    in.text("url", stream.url, address_of_a_source);
    stream.socket = usual_socket(stream.protocol);
    in.choice("socket", socket_kinds, stream.socket);
    in.size("retain", stream.retain);
    in.size("read_ahead", stream.read_ahead);
    in.whole("late_window", stream.late_window, 0, max_late_window);
    in.duration("rearm_timeout", stream.rearm_timeout, any_duration);
    in.flag("connect", stream.connect);
    in.text("curve", stream.curve);
    read_options(in, stream.options);
    check_protocol(in, stream);
    in.choice("trigger", trigger_kinds, stream.software_triggered);
    in.text("leader", stream.leader, plain_name);
    if (!stream.leader.empty() && !stream.software_triggered)
      in.complain("leader", "is for streams with trigger = \"software\"");

    if (!stream.name.empty() && has_stream(stream.name))
      in.complain("name", in_quotes(stream.name) + " is the name of another stream already");
    result_.streams.push_back(std::move(stream));
  }

  static void read_options(section& in, protocol_options& options) {
    in.table("options", [&options](section& table) {
      for (auto&& [key, node] : table.content()) {
        table.take(key.str());
        if (auto written = written_form(node))
          options.emplace(key.str(), *written);
        else
          table.complain(key.str(), shown(node) + " is not a text, a number, true or false");
      }
    });
  }

  static void check_protocol(section& in, const stream_settings& stream) {
    auto scheme = scheme_of(stream.protocol);
    if (!scheme.empty()) {
      if (in.has("socket"))
        in.complain("socket", "is for ZeroMQ; " + stream.protocol + " has no such choice");
      if (in.has("curve")) in.complain("curve", "is for ZeroMQ; " + stream.protocol + " knows no such keys");
      if (!stream.url.empty() && !stream.url.starts_with(scheme))
        in.complain("url", in_quotes(stream.url) + " must begin with " + std::string(scheme) + " for " +
                               stream.protocol);
    }
    try {
      make_protocol(stream.protocol, stream.options);
    } catch (const std::runtime_error& e) {
      in.complain("options", e.what());
    }
  }

  /// Who leads whom is known once all streams are.
  void settle_leaders(section& file) {
    auto first = std::ranges::find_if(result_.streams, [](auto& s) { return !s.software_triggered; });
    for (auto& stream : result_.streams) {
      if (!stream.software_triggered) continue;
      if (stream.leader.empty() && first != result_.streams.end()) stream.leader = first->name;
      auto leader = std::ranges::find_if(result_.streams, [&](auto& s) { return s.name == stream.leader; });
      if (leader == result_.streams.end() || leader->software_triggered)
        file.complain("stream",
                      in_quotes(stream.name) +
                          " is software-triggered: leader must name a stream that is not, " +
                          (stream.leader.empty() ? "and there is none"
                                                 : "which " + in_quotes(stream.leader) + " is not"));
      else
        leader->followers.push_back(stream.name);
    }
  }

  void read_scan(section& in) {
    auto& scan = result_.scan;
    in.duration("stall_timeout", scan.stall_timeout, any_duration);
    in.choice("incomplete", incomplete_kinds, scan.incomplete);
    in.whole("max_attempts", scan.max_attempts, 1, 1000);
    in.duration("event_timeout", scan.event_timeout);
    in.duration("stop_timeout", scan.stop_timeout, any_duration);
    in.duration("arm_timeout", scan.arm_timeout);
  }

  void read_worker(section& in) {
    auto& worker = result_.worker;
    in.whole("count", worker.count, 1, max_workers);
    in.texts("tags", worker.tags, tag);
    if (worker.tags.empty()) in.complain("tags", "must name at least one tag, such as \"generic\"");
    in.size("memory", worker.memory);
  }

  void read_analysis(section& in) {
    auto& analysis = result_.analysis;
    analysis.python.directory = std::filesystem::absolute(folder_.empty() ? "." : folder_).string();
    read_python_part(in, "worker", analysis.python.worker);
    read_python_part(in, "reducer", analysis.python.reducer);
    if (!analysis.python.worker.empty() || !analysis.python.reducer.empty()) analysis.use = {"python"};
    in.texts("use", analysis.use, analysis_entry);
    result_.lines["analysis.use"] = in.line_of("use");
    if (analysis.use.empty())
      in.complain("use", "must name one analysis; \"none\" is the one that does nothing");

    std::set<std::string> used;
    for (auto& entry : analysis.use) {
      used.insert(analysis_name_of(entry));
      if (is_plugin_path(entry)) entry = resolved(entry).string();
    }
    for (auto&& [key, node] : in.content())
      if (node.is_table() && !in.taken(key.str())) read_parameters(in, std::string(key.str()), used);
    check_python(in, used.contains("python"));
  }

  /// `worker = "python:package.module:Class"`, for `use = ["python"]` and the class in a table of its own.
  static void read_python_part(section& in, const char* key, std::string& target) {
    std::string part;
    in.text(key, part);
    if (part.empty()) return;
    if (part.starts_with("python:"))
      target = part.substr(7);
    else
      in.complain(key, in_quotes(part) + " is no class in Python; an example is \"python:src.roi:Worker\"");
  }

  void check_python(section& in, bool used) {
    auto& python = result_.analysis.python;
    bool named = !python.worker.empty() || !python.reducer.empty();
    if (!used) {
      if (named && in.has("use") && (in.has("worker") || in.has("reducer")))
        in.complain("use",
                    "names another analysis than the one in Python: leave it out, or worker and reducer");
      return;
    }
    if (python.worker.empty())
      in.complain(in.has("python") ? "python" : "use",
                  "a worker class is missing: worker = \"src.roi:Worker\" in [analysis.python]");
    for (auto name : {&python.worker, &python.reducer})
      if (!name->empty() && !is_python_class(*name))
        in.complain(in.has("python") ? "python" : "worker",
                    in_quotes(*name) + " is no name of a class; an example is \"src.roi:Worker\"");
  }

  static bool is_python_class(string_view name) {
    auto colon = name.find(':');
    return colon != string_view::npos && colon > 0 && colon + 1 < name.size() &&
           name.find(':', colon + 1) == string_view::npos && name.find_first_of(" /") == string_view::npos;
  }

  /// Keys of `[analysis.python]` that are no parameters of its classes.
  void read_python(section& in) {
    auto& python = result_.analysis.python;
    in.text("worker", python.worker);
    in.text("reducer", python.reducer);
    in.text("interpreter", python.interpreter);
    if (python.interpreter.find('/') != std::string::npos)
      python.interpreter = resolved(python.interpreter).string();
    std::string directory;
    in.text("directory", directory);
    if (!directory.empty()) python.directory = std::filesystem::absolute(resolved(directory)).string();
    in.texts("path", python.path);
    for (auto& folder : python.path) folder = std::filesystem::absolute(resolved(folder)).string();
    std::uint64_t limit = 1;
    in.size("memory_limit", limit);
    if (limit > 1) python.memory_limit = limit;
    in.flag("pickles", python.pickles);
    in.table("environment", [&python](section& table) {
      for (auto&& [key, node] : table.content()) {
        std::string name(key.str());
        table.text(name, python.environment[name]);
      }
    });
  }

  /// Tables of analyses that are not in use may stay in the file, but not by a slip of the pen.
  void read_parameters(section& in, const std::string& name, const std::set<std::string>& used) {
    if (auto meant = nearest(name, used); !used.contains(name) && !meant.empty() && !in.has(meant))
      in.complain(name, "is no analysis in use; did you mean " + meant + "?");
    auto& values = result_.analysis.parameters[name];
    auto place = "analysis." + name;
    result_.lines[place] = in.line_of(name);
    auto files = parameters_with_files(name);
    in.table(name, [&](section& table) {
      if (name == "python") read_python(table);
      for (auto&& [key, node] : table.content()) {
        if (table.taken(key.str())) continue;
        table.take(key.str());
        result_.lines[place + "." + std::string(key.str())] = table.line_of(key.str());
        if (auto written = written_form(node))
          values.emplace(key.str(), files.contains(key.str()) ? resolved_file(*written) : *written);
        else
          table.complain(key.str(), shown(node) + " is not a text, a number, true or false");
      }
    });
  }

  /// Parameters of a built-in analysis that hold the content of a file, or its path.
  static std::set<std::string, std::less<>> parameters_with_files(string_view name) {
    std::set<std::string, std::less<>> found;
    for (auto& one : built_in_analyses()) {
      if (one->name() != name) continue;
      for (auto& p : one->describe_parameters())
        if (p.type == parameter_type::binary) found.insert(p.name);
    }
    return found;
  }

  std::string resolved_file(const std::string& written) const {
    constexpr std::size_t longest_path = 4096;
    bool may_be_path =
        written.size() < longest_path && written.find_first_of(string_view("\n\0", 2)) == std::string::npos;
    if (!may_be_path) return written;
    auto found = resolved(written);
    // Workers read it, which may have been started elsewhere.
    return found == std::filesystem::path(written) ? written : std::filesystem::absolute(found).string();
  }

  void read_reducer(section& in) {
    in.text("journal", result_.reducer.journal);
    in.choice("disk_full", choices<bool>{{"pause", true}, {"fail", false}}, result_.reducer.pause_when_full);
    in.duration("fsync", result_.reducer.fsync, any_duration);
    in.positive("snapshots_per_second", result_.reducer.snapshots_per_second);
  }

  void read_output(section& in) {
    auto& output = result_.output;
    in.text("file", output.file);
    if (auto fault = fault_of_output_name(output.file); !fault.empty()) in.complain("file", fault);
    in.flag("overwrite", output.overwrite);
    in.flag("swmr", output.swmr);
    in.duration("flush", output.flush, any_duration);
    if (in.has("chunk")) in.size("chunk", output.chunk);
    if (output.chunk > largest_chunk) in.complain("chunk", "may be 1MiB at most");
    read_packing(in, output);
    in.table("raw_path", [this, &output](section& paths) {
      for (auto&& [key, node] : paths.content()) {
        std::string stream(key.str());
        auto& path = output.raw_path[stream];
        paths.text(stream, path);
        if (auto fault = fault_of_raw_path(path); !fault.empty()) paths.complain(stream, fault);
        if (!has_stream(stream)) paths.complain(stream, "is no configured stream; " + stream_hint(stream));
      }
    });
  }

  void read_feedback(section& in) {
    in.text("publish", result_.feedback.publish, address_of_a_publisher);
    in.flag("stop", result_.feedback.stop);
  }

  void read_packing(section& in, output_settings& output) {
    std::string how = "none";
    std::uint64_t level = 1;
    in.text("compression", how);
    bool packs = how == "gzip";
    if (!packs && how != "none")
      in.complain("compression", in_quotes(how) +
                                     " is refused: readers without a plug-in could not open the file; "
                                     "there are \"none\" and \"gzip\"");
    in.whole("level", level, 1, 9);
    if (!packs && in.has("level")) in.complain("level", "is for compression = \"gzip\"");
    output.deflate = packs ? static_cast<int>(level) : 0;
  }

  void read_recording(section& in) {
    in.text("directory", result_.recording.directory);
    result_.lines["recording.directory"] = in.line_of("directory");
    in.choice("as", recording_forms, result_.recording.as);
    in.choice("behind", behind_kinds, result_.recording.behind);
    in.size("budget", result_.recording.budget);
    in.choice("packed", packings, result_.recording.packed);
  }

  /// Keys other than `scene` and `rate` are options of the scene.
  void read_beamline(section& in) {
    std::string name;
    in.require("scene");
    in.text("scene", name);
    in.quantity("rate", beamline_rate_, rate_kind);
    protocol_options options;
    for (auto&& [key, node] : in.content()) {
      if (in.taken(key.str())) continue;
      in.take(key.str());
      if (auto written = written_form(node))
        options.emplace(key.str(), *written);
      else
        in.complain(key.str(), shown(node) + " is not a text, a number, true or false");
    }
    if (name.empty()) return;
    try {
      result_.scene = make_scene(name, options, folder_);
    } catch (const std::runtime_error& e) {
      in.complain("scene", e.what());
    }
  }

  void read_role(section& in, simulate_settings& simulate) {
    in.text("role", simulate.role);
    if (simulate.role.empty()) return;
    if (!in.has("rate")) simulate.rate = beamline_rate_;
    for (auto key : {"recording", "frames", "shape", "dtype", "seed", "every"})
      if (in.has(key))
        in.complain(key, "is not for instruments with a role: the scene of [beamline] decides");
    if (!result_.scene) return in.complain("role", "wants a sound [beamline], which there isn't");
    simulate.frames = result_.scene->frames();
    auto roles = result_.scene->roles();
    if (std::ranges::find(roles, simulate.role) == roles.end())
      in.complain("role",
                  in_quotes(simulate.role) + " is no role of the scene; " + or_a_hint(simulate.role, roles));
  }

  static void read_faults(section& in, fault_settings& faults) {
    in.table("faults", [&faults](section& table) {
      table.share("drop", faults.drop);
      table.share("duplicate", faults.duplicate);
      table.duration("delay", faults.delay, any_duration);
      table.whole("seed", faults.seed, 0, max_whole);
      if (table.has("cut_off")) table.whole("cut_off", faults.cut_off.emplace(), 0, max_whole);
      if (table.has("rearm")) table.whole("rearm", faults.rearm.emplace(), 1, max_whole);
      if (!table.has("stall")) return;
      auto& stall = faults.stall_before.emplace();
      table.table("stall", [&stall](section& inner) {
        inner.require("at");
        inner.require("for");
        inner.whole("at", stall.at, 0, max_whole);
        inner.duration("for", stall.length, any_duration);
      });
    });
  }

  void read_simulate(section& in) {
    simulate_settings simulate;
    std::string recording;
    in.require("stream");
    in.text("stream", simulate.stream, plain_name);
    in.text("recording", recording);
    simulate.recording = resolved(recording);
    in.quantity("rate", simulate.rate, rate_kind);
    read_role(in, simulate);
    read_faults(in, simulate.faults);
    in.whole("every", simulate.every, 1, std::numeric_limits<std::uint32_t>::max());
    read_generated(in, simulate);
    read_options(in, simulate.options);

    for (auto key : {"frames", "shape", "dtype", "seed", "options"})
      if (!recording.empty() && in.has(key))
        in.complain(key, "is for generated frames, but there is a recording: give one or the other");
    if (recording.empty() && simulate.role.empty() && !in.has("frames"))
      in.complain("frames", "is missing: give a number of frames to generate, or a recording");
    if (!recording.empty() && simulate.faults.rearm)
      in.complain("faults", "rearm is for generated frames, not for a recording");
    if (simulate.faults.rearm && *simulate.faults.rearm >= simulate.frames && simulate.frames > 0)
      in.complain("faults",
                  "rearm must be before the last of " + std::to_string(simulate.frames) + " frames");

    auto same = [&](auto& other) { return other.stream == simulate.stream; };
    if (!simulate.stream.empty() && !has_stream(simulate.stream))
      in.complain("stream",
                  in_quotes(simulate.stream) + " is no configured stream; " + stream_hint(simulate.stream));
    else if (std::ranges::any_of(result_.simulate, same))
      in.complain("stream", in_quotes(simulate.stream) + " is simulated already");
    result_.simulate.push_back(std::move(simulate));
  }

  static void read_generated(section& in, simulate_settings& simulate) {
    in.whole("frames", simulate.frames, 1, std::numeric_limits<std::int64_t>::max());
    in.whole("seed", simulate.seed, 0, std::numeric_limits<std::int64_t>::max());
    choices<dtype> types;
    for (int i = 0; i <= static_cast<int>(dtype::float64); ++i)
      types.emplace(name_of(static_cast<dtype>(i)), static_cast<dtype>(i));
    in.choice("dtype", types, simulate.type);

    auto node = in.take("shape");
    if (!node) return;
    if (auto shape = shape_of(*node, size_of(simulate.type)))
      simulate.shape = *shape;
    else
      in.complain("shape", "must be a list of 1 to 8 whole numbers above 0, and no frame above 1 GiB");
  }

  static std::optional<std::vector<std::size_t>> shape_of(const toml::node& node, std::size_t element) {
    auto list = node.as_array();
    if (!list || list->empty() || list->size() > 8) return std::nullopt;
    std::vector<std::size_t> shape;
    std::uint64_t left = max_frame_bytes / element;
    for (auto& item : *list) {
      auto length = item.value_exact<std::int64_t>().value_or(0);
      if (length <= 0 || static_cast<std::uint64_t>(length) > left) return std::nullopt;
      left /= static_cast<std::uint64_t>(length);
      shape.push_back(static_cast<std::size_t>(length));
    }
    return shape;
  }

  bool has_stream(string_view name) const {
    return std::ranges::any_of(result_.streams, [&](auto& stream) { return stream.name == name; });
  }

  std::string stream_hint(string_view wrong) const {
    std::vector<std::string> names;
    for (auto& stream : result_.streams) names.push_back(stream.name);
    return names.empty() ? "there is none" : or_a_hint(wrong, names);
  }

  std::filesystem::path resolved(const std::filesystem::path& path) const {
    std::error_code ignored;
    if (path.empty() || path.is_absolute()) return path;
    auto here = folder_ / path;
    return std::filesystem::exists(here, ignored) ? here : path;
  }

  findings& found_;
  std::filesystem::path folder_;
  double beamline_rate_ = 0;
  configuration result_;
};

toml::table parsed(string_view text, const std::string& name) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    auto line = std::to_string(error.source().begin.line);
    throw configuration_error(name + ":" + line + ": " + std::string(error.description()));
  }
}

} // namespace

configuration parse_configuration(std::string_view text, std::string name) {
  auto content = parsed(text, name);
  findings found(name);
  auto result = configuration_reader(found, std::filesystem::path(name).parent_path()).read(content);
  found.throw_if_any();
  return result;
}

configuration read_configuration(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in && in.peek() != std::ifstream::traits_type::eof()) text << in.rdbuf();
  if (in.bad() || !in.is_open() || errno == EISDIR)
    throw configuration_error(file.string() + ": cannot be read: " + std::strerror(errno));
  return parse_configuration(text.str(), file.string());
}

std::map<std::string, std::string> parameters_in_use(const analysis_settings& analysis) {
  std::map<std::string, std::string> all;
  for (auto& entry : analysis.use) {
    auto name = analysis_name_of(entry);
    auto prefix = analysis.use.size() > 1 ? name + "." : std::string();
    if (auto own = analysis.parameters.find(name); own != analysis.parameters.end())
      for (auto& [key, written] : own->second) all[prefix + key] = written;
  }
  return all;
}

void set_parameter_in_use(analysis_settings& analysis, const std::string& name, const std::string& written) {
  if (analysis.use.size() == 1) {
    analysis.parameters[analysis_name_of(analysis.use.front())][name] = written;
    return;
  }
  auto dot = name.find('.');
  for (auto& entry : analysis.use)
    if (auto step = analysis_name_of(entry); dot != std::string::npos && step == name.substr(0, dot)) {
      analysis.parameters[step][name.substr(dot + 1)] = written;
      return;
    }
  throw std::runtime_error("parameter '" + name +
                           "': of several analyses it is ANALYSIS.PARAMETER, such as " +
                           analysis_name_of(analysis.use.front()) + "." + name);
}

std::string analysis_entry_of(const configuration& settings) {
  auto entries = settings.analysis.use;
  for (auto& entry : entries) {
    if (entry != "python") continue;
    auto python = settings.analysis.python;
    python.event_timeout = settings.scan.event_timeout;
    python.max_attempts = settings.scan.max_attempts;
    entry = python_entry(python);
  }
  return joined_analyses(entries);
}

} // namespace dtranspose
