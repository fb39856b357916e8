#include "http/control_server.hpp"

#include <atomic>
#include <charconv>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "http/access_tokens.hpp"
#include "http/cross_origin.hpp"
#include "http/gatekeeper.hpp"
#include "http/http_listener.hpp"
#include "http/openapi.hpp"
#include "http/page.hpp"
#include "http/progress_watch.hpp"
#include "http/route_table.hpp"
#include "model/value_json.hpp"

namespace dtranspose {
namespace {

using std::string_view;

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr auto results_are_good_for = 1s;
constexpr string_view events_path = "/api/v1/events", log_stream_path = "/api/v1/log_stream";
/// How soon a stream notices that there is something new, that its client has gone, or that the server stops.
constexpr nanoseconds notice = 100ms;
/// A line now and then keeps what is between us and the client from closing a silent stream of events.
constexpr nanoseconds sign_of_life = 15s;
/// Times that `load` may be asked about at once.
constexpr std::size_t most_intervals = 32;
/// Events per second of a stream.
constexpr std::uint64_t usual_rate = 10, most_rate = 50;

// --- routes --------------------------------------------------------------------------------------

/// A request as the routes see it.
struct control_request {
  const httplib::Request& http;
  std::string body;
  std::string name; ///< what stands in the place of `{name}`
};

struct route {
  string_view method;
  string_view path;
  access_scope needs;
  http_answer (*answer)(control_interface&, const control_request&); ///< null: an endless stream
};

std::optional<bool> bool_of(std::string text) {
  for (auto& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  for (auto yes : {"true", "1", "yes", "on"})
    if (text == yes) return true;
  for (auto no : {"false", "0", "no", "off"})
    if (text == no) return false;
  return std::nullopt;
}

/// A choice of the query, or why it is none.
std::optional<bool> choice(const control_request& request, const char* key, bool usual,
                           http_answer& refusal) {
  auto given = request.http.get_param_value_count(key);
  if (given == 0) return usual;
  auto written = request.http.get_param_value(key, given - 1);
  auto chosen = bool_of(written);
  if (!chosen)
    refusal = {422, error_body(std::string(key) + ": \"" + written + "\" is neither true nor false")};
  return chosen;
}

http_answer set_sequence(control_interface& system, const control_request& request, string_view body) {
  http_answer refusal;
  auto all_wrap = choice(request, "all_wrap", true, refusal);
  return all_wrap ? system.set_sequence(body, *all_wrap) : refusal;
}

http_answer set_parameter(control_interface& system, const control_request& request) {
  http_answer refusal;
  auto lenient = choice(request, "lenient", false, refusal);
  return lenient ? system.set_parameter(request.name, request.body, *lenient) : refusal;
}

http_answer decisions(control_interface& system, const control_request& request) {
  std::uint64_t since = 0;
  if (request.http.has_param("since")) {
    auto written = request.http.get_param_value("since");
    auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), since);
    if (error != std::errc() || end != written.data() + written.size())
      return {422, error_body("since: \"" + written + "\" is no number of a decision")};
  }
  return system.decisions(since);
}

http_answer post_mapping(control_interface& system, const control_request& request) {
  return set_sequence(system, request, R"({"parts":{"main":)" + request.body + R"(},"sequence":["main"]})");
}

http_answer unprocessable(const std::string& text) { return {422, error_body(text)}; }

std::optional<std::uint64_t> whole_number_of(string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  return std::nullopt;
}

std::string in_capitals(std::string text) {
  for (auto& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

http_answer logs(control_interface& system, const control_request& request) {
  auto level = request.http.has_param("level") ? request.http.get_param_value("level") : "INFO";
  for (auto known : log_levels)
    if (in_capitals(level) == known) return system.logs(known);
  return unprocessable(fmt::format("level: \"{}\" is none of {}", level, fmt::join(log_levels, ", ")));
}

http_answer load(control_interface& system, const control_request& request) {
  http_answer refusal;
  auto scan = choice(request, "scan", true, refusal);
  if (!scan) return refusal;
  std::vector<std::uint64_t> intervals;
  auto [first, last] = request.http.params.equal_range("intervals");
  for (; first != last; ++first) {
    auto interval = whole_number_of(first->second);
    if (!interval) return unprocessable(fmt::format("intervals: \"{}\" is no whole number", first->second));
    intervals.push_back(*interval);
  }
  if (intervals.size() > most_intervals)
    return unprocessable(fmt::format("intervals: up to {} may be asked for at once", most_intervals));
  if (intervals.empty()) intervals = {1, 10};
  return system.load(intervals, *scan);
}

using enum access_scope;

http_answer description(control_interface&, const control_request&) {
  return {200, std::string(control_description())};
}

constexpr route routes[] = {
    {"GET", "/api/v1/progress", view, [](auto& system, auto&) { return system.progress(); }},
    {"GET", "/api/v1/config", view, [](auto& system, auto&) { return system.config(); }},
    {"GET", "/api/v1/status", view, [](auto& system, auto&) { return system.status(); }},
    {"GET", "/api/v1/ledger", view, [](auto& system, auto&) { return system.ledger(); }},
    {"GET", "/api/v1/decisions", view, decisions},
    {"GET", "/api/v1/sequence", view, [](auto& system, auto&) { return system.sequence(); }},
    {"POST", "/api/v1/sequence", control,
     [](auto& system, auto& request) { return set_sequence(system, request, request.body); }},
    {"GET", "/api/v1/mapping", view, [](auto& system, auto&) { return system.sequence(); }},
    {"POST", "/api/v1/mapping", control, post_mapping},
    {"POST", "/api/v1/stop", control, [](auto& system, auto&) { return system.stop(); }},
    {"GET", "/api/v1/streams", view, [](auto& system, auto&) { return system.streams(); }},
    {"GET", "/api/v1/health", view, [](auto& system, auto&) { return system.health(); }},
    {"GET", "/metrics", view, [](auto& system, auto&) { return system.metrics(); }},
    {"GET", "/api/v1/load", view, load},
    {"GET", "/api/v1/logs", view, logs},
    {"GET", log_stream_path, view, nullptr},
    {"GET", events_path, view, nullptr},
    {"POST", "/api/v1/sardana_hook", control,
     [](auto& system, auto& request) { return system.sardana_hook(request.body); }},
    {"POST", "/api/v1/analysis/reload", control,
     [](auto& system, auto&) { return system.reload_analysis(); }},
    {"GET", "/api/v1/parameters", view, [](auto& system, auto&) { return system.parameters(); }},
    {"GET", "/api/v1/parameter/{name}", view,
     [](auto& system, auto& request) { return system.parameter(request.name); }},
    {"POST", "/api/v1/parameter/{name}", control, set_parameter},
    {"GET", "/openapi.json", view, description},
    {"GET", "/api/v1/openapi.json", view, description},
};

constexpr string_view name_mark = "{name}";

/// What stands in the place of `{name}`, empty in a route without one; nothing where the path is another's.
std::optional<std::string> name_in(const route& route, string_view path) {
  if (!route.path.ends_with(name_mark)) return route.path == path ? std::optional("") : std::nullopt;
  auto before = route.path.substr(0, route.path.size() - name_mark.size());
  if (!path.starts_with(before) || path.size() == before.size()) return std::nullopt;
  auto name = path.substr(before.size());
  if (name.find('/') != string_view::npos) return std::nullopt;
  return httplib::detail::decode_url(std::string(name), false);
}

const route* find_route(string_view method, string_view path) {
  for (auto& route : routes)
    if (route.method == method && name_in(route, path)) return &route;
  return nullptr;
}

bool is_of_page(string_view path) { return path == "/" || find_page_file(built_page_files(), path); }

std::vector<string_view> readable_paths() {
  std::vector<string_view> paths;
  for (auto& route : routes)
    if (route.method == "GET" && !route.path.ends_with(name_mark)) paths.push_back(route.path);
  return paths;
}

// --- endless streams -----------------------------------------------------------------------------

/// A place among the streams, for as long as this lives.
class stream_place {
 public:
  explicit stream_place(std::atomic<std::size_t>& taken) : taken_(taken), is_had_(taken_++ < http_streams) {}
  ~stream_place() { --taken_; }
  stream_place(const stream_place&) = delete;
  stream_place& operator=(const stream_place&) = delete;

  bool is_had() const { return is_had_; }

 private:
  std::atomic<std::size_t>& taken_;
  bool is_had_;
};

bool write(httplib::DataSink& sink, const std::string& text) { return sink.write(text.data(), text.size()); }

/// Progress whenever it changes, at most so often; first as it is.
class progress_stream {
 public:
  progress_stream(control_interface& system, progress_watch& watch, std::uint64_t rate)
      : system_(system), watch_(watch), interval_(nanoseconds(1s) / static_cast<std::int64_t>(rate)) {}

  /// Writes what there is, or nothing after a while. False: the client takes nothing more.
  bool go_on(httplib::DataSink& sink) {
    if (auto now = steady_clock::now(); now < next_) {
      std::this_thread::sleep_for(std::min<nanoseconds>(next_ - now, notice));
      return true;
    }
    next_ = steady_clock::now() + interval_;
    if (auto latest = watch_.read(); latest.version > seen_) {
      seen_ = latest.version;
      return send(sink, "event: progress\ndata: " + latest.body + "\n\n" + decided());
    }
    return steady_clock::now() - written_ < sign_of_life || send(sink, ": still here\n\n");
  }

 private:
  bool send(httplib::DataSink& sink, const std::string& text) {
    written_ = steady_clock::now();
    return write(sink, text);
  }

  /// What the analysis has decided since the last time: results changed the progress as well.
  std::string decided() {
    auto answer = nlohmann::json::parse(system_.decisions(next_decision_).body, nullptr, false);
    if (!answer.is_object() || !answer.contains("decisions")) return {};
    if (auto scan = answer.value("scan", nlohmann::json()); scan != scan_) {
      scan_ = scan;
      if (std::exchange(next_decision_, 0) > 0) return decided();
    }
    std::string text;
    for (auto& decision : answer["decisions"]) {
      decision["scan"] = scan_;
      text += "event: decision\ndata: " + decision.dump() + "\n\n";
    }
    next_decision_ = answer.value("next", next_decision_);
    return text;
  }

  control_interface& system_;
  progress_watch& watch_;
  nlohmann::json scan_;
  std::uint64_t next_decision_ = 0; ///< of that scan
  nanoseconds interval_;
  steady_clock::time_point next_ = {}, written_ = steady_clock::now();
  std::uint64_t seen_ = 0;
};

/// A line for each record that is logged from now on.
class log_stream {
 public:
  explicit log_stream(control_interface& system) : system_(system) { system_.logs_since(position_); }

  bool go_on(httplib::DataSink& sink) {
    std::string lines;
    for (auto& record : system_.logs_since(position_)) lines.append(record).append("\n");
    if (!lines.empty()) return write(sink, lines);
    std::this_thread::sleep_for(notice);
    return true;
  }

 private:
  control_interface& system_;
  std::uint64_t position_ = 0;
};

std::optional<std::uint64_t> rate_of(const httplib::Request& request) {
  if (!request.has_param("rate")) return usual_rate;
  auto rate = whole_number_of(request.get_param_value("rate"));
  return rate && *rate >= 1 && *rate <= most_rate ? rate : std::nullopt;
}

/// Where the results are served, as `config` says; empty while nobody does.
std::string results_of(control_interface& system) {
  try {
    auto config = nlohmann::json::parse(system.config().body);
    return config.is_object() && config.contains("results") ? config["results"].get<std::string>() : "";
  } catch (const std::exception&) {
    return "";
  }
}

/// The methods of a path, as the header `Allow` lists them; empty for a path that is none.
std::string allowed_methods(string_view path) {
  std::string methods;
  for (auto& route : routes)
    if (name_in(route, path)) (methods += methods.empty() ? "" : ", ") += route.method;
  return is_of_page(path) ? "GET" : methods;
}

// --- requests ------------------------------------------------------------------------------------

/// Reads a body to its end, as the listener does.
using body_reader = std::function<http_listener::body_outcome(std::string&)>;

/// Why a body cannot be had, or nothing.
std::optional<http_answer> refusal(http_listener::body_outcome outcome) {
  switch (outcome) {
  case http_listener::body_outcome::too_large:
    return http_answer{413,
                       error_body("a body may have up to " + std::to_string(http_body_limit) + " bytes")};
  case http_listener::body_outcome::a_form:
    return http_answer{415, error_body("send the JSON itself, not a form")};
  case http_listener::body_outcome::broken:
    return http_answer{400, error_body("the body cannot be read")};
  case http_listener::body_outcome::no_room:
    return http_answer{503, error_body("too many large bodies at once: post it again")};
  default:
    return std::nullopt;
  }
}

void answer_json(httplib::Response& response, const http_answer& answer) {
  response.status = answer.status;
  response.set_content(answer.body, answer.content_type);
}

http_answer answer_of(const route& route, control_interface& system, const httplib::Request& http,
                      const body_reader& read_body) {
  try {
    control_request request{http, {}, *name_in(route, path_of(http))};
    auto refused = refusal(read_body(request.body));
    return refused ? *refused : route.answer(system, request);
  } catch (const std::exception& error) {
    return {500, error_body(error.what())};
  }
}

/// Answers what was admitted.
void answer_request(control_interface& system, const httplib::Request& request, httplib::Response& response,
                    const route* route, const body_reader& read_body) {
  if (route) return answer_json(response, answer_of(*route, system, request, read_body));
  string_view target = request.target;
  auto path = path_of(request);
  if (auto methods = allowed_methods(path); !methods.empty()) {
    response.set_header("Allow", methods);
    return answer_json(response, {405, error_body("Method Not Allowed")});
  }
  auto shorter = path.substr(0, path.find_last_not_of('/') + 1);
  if (shorter.empty() || allowed_methods(shorter).empty())
    return answer_json(response, {404, error_body("Not Found")});
  response.set_redirect(std::string(shorter) + std::string(target.substr(path.size())), 307);
}

} // namespace

// --- the server ----------------------------------------------------------------------------------

control_interface::~control_interface() = default;

std::vector<route_name> control_routes() {
  std::vector<route_name> all{{"GET", "/", "none"}};
  for (auto& route : routes)
    all.push_back({std::string(route.method), std::string(route.path), std::string(name_of(route.needs))});
  return all;
}

std::string error_body(std::string_view text) { return to_json(value_map{{"detail", text}}); }

class control_server::listener : public http_listener {
 public:
  listener(control_interface& system, http_protection protection)
      : http_listener({.body = http_body_limit, .connections = http_connections, .bodies = http_bodies_limit},
                      std::move(protection.tls)),
        system_(system), watch_(system), gatekeeper_(std::move(protection.tokens)) {}
  ~listener() override { stop_and_join(); }

 private:
  void answer(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader) override {
    auto body = [&](std::string& text) { return read_body(request, reader, text); };
    bool with_tokens = gatekeeper_.wants_tokens();
    auto route = find_route(request.method == "HEAD" ? "GET" : request.method, path_of(request));
    if (request.method == "OPTIONS")
      answer_preflight(request, response, with_tokens);
    else if (is_of_page(path_of(request)) && (request.method == "GET" || request.method == "HEAD"))
      answer_page(request, response);
    else if (gatekeeper_.admits(request, response, route ? route->needs : view)) {
      if (route && !route->answer)
        answer_stream(*route, request, response);
      else
        answer_request(system_, request, response, route, body);
    }
    allow_origin(request, response, with_tokens);
  }

  void answer_stream(const route& route, const httplib::Request& request, httplib::Response& response) {
    auto place = std::make_shared<stream_place>(streams_);
    if (!place->is_had())
      return answer_json(response, {503, error_body("too many streams of events and logs: close one")});
    if (route.path == log_stream_path)
      return send_stream(response, "application/x-ndjson", place, std::make_shared<log_stream>(system_));
    auto rate = rate_of(request);
    if (!rate)
      return answer_json(response, unprocessable(fmt::format(
                                       "rate: not a whole number from 1 to {} per second", most_rate)));
    send_stream(response, "text/event-stream", place,
                std::make_shared<progress_stream>(system_, watch_, *rate));
  }

  template <class Stream>
  static void send_stream(httplib::Response& response, const char* type, std::shared_ptr<stream_place> place,
                          std::shared_ptr<Stream> stream) {
    response.set_header("Cache-Control", "no-cache");
    response.set_chunked_content_provider(
        type, [place = std::move(place), stream = std::move(stream)](std::size_t, httplib::DataSink& sink) {
          return !client_is_gone() && stream->go_on(sink);
        });
  }

  /// Asks nobody for a token: it is the page that asks the viewer for one.
  void answer_page(const httplib::Request& request, httplib::Response& response) {
    if (auto file = find_page_file(built_page_files(), path_of(request)))
      answer_page_file(request, response, *file, page_policy(results(), request.get_header_value("Host")),
                       client_takes_gzip());
    else
      answer_plain_page(response, readable_paths());
  }

  /// As of a moment ago, so that who asks often for the page does not keep the system busy.
  std::string results() {
    auto now = steady_clock::now();
    std::lock_guard lock(mutex_);
    if (!asked_ || now - *asked_ > results_are_good_for) {
      results_ = results_of(system_);
      asked_ = now;
    }
    return results_;
  }

  control_interface& system_;
  progress_watch watch_;
  gatekeeper gatekeeper_;
  std::atomic<std::size_t> streams_ = 0;
  std::mutex mutex_;
  std::string results_;
  std::optional<steady_clock::time_point> asked_;
};

control_server::control_server(const std::string& host, std::uint16_t port, control_interface& system,
                               http_protection protection)
    : listener_(std::make_unique<listener>(system, std::move(protection))) {
  listener_->bind(host, port);
}

control_server::~control_server() = default;

std::uint16_t control_server::port() const { return listener_->port(); }

void control_server::start() { listener_->start(); }

void control_server::stop() { listener_->stop_and_join(); }

} // namespace dtranspose
