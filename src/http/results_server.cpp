#include "http/results_server.hpp"

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <zlib.h>

#include "http/access_tokens.hpp"
#include "http/cross_origin.hpp"
#include "http/gatekeeper.hpp"
#include "http/http_listener.hpp"
#include "http/results_answers.hpp"
#include "http/results_routes.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr std::string_view events_path = "/api/v1/events";
/// How soon a stream of events notices that its client has gone or that the server stops.
constexpr nanoseconds notice = 100ms;
/// A line now and then keeps what is between us and the client from closing a silent connection.
constexpr nanoseconds sign_of_life = 15s;
/// Shorter answers are not worth packing.
constexpr std::size_t least_packed = 1000;
/// What decides whether packing is worth it: this much of the beginning, made this much smaller.
constexpr std::size_t packing_sample = 64 << 10, packing_gain = 2;

/// One more of something that is counted, for as long as this lives.
class share {
 public:
  share(std::atomic<std::size_t>& total, std::size_t amount) : total_(total), amount_(amount) {
    before_ = total_.fetch_add(amount_);
  }
  ~share() { total_ -= amount_; }
  share(const share&) = delete;
  share& operator=(const share&) = delete;

  std::size_t before() const { return before_; }

 private:
  std::atomic<std::size_t>& total_;
  std::size_t amount_, before_ = 0;
};

std::string deflated(std::string_view content) {
  z_stream z{};
  constexpr int gzip_window = 15 + 16, memory = 8;
  if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, gzip_window, memory, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string packed(deflateBound(&z, content.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(packed.data());
  z.avail_out = static_cast<uInt>(packed.size());
  auto status = deflate(&z, Z_FINISH);
  packed.resize(status == Z_STREAM_END ? z.total_out : 0);
  deflateEnd(&z);
  return packed;
}

/// What a client gets of a stream of events: the newest snapshot whenever there is one, at most so often.
class event_stream {
 public:
  /// `scan` empty: of whichever is the latest.
  event_stream(std::shared_ptr<const snapshot_store> store, std::string scan, double rate,
               std::shared_ptr<share> place)
      : store_(std::move(store)), scan_(std::move(scan)), place_(std::move(place)),
        interval_(std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(1 / rate))) {}

  /// Writes what there is, or nothing after a while. False: the client takes nothing more.
  bool go_on(httplib::DataSink& sink) {
    auto now = steady_clock::now();
    if (now < next_) {
      std::this_thread::sleep_for(std::min<nanoseconds>(next_ - now, notice));
    } else if (auto published = store_->wait(seen_, notice); published > seen_) {
      seen_ = published;
      return send(sink);
    }
    return steady_clock::now() - written_ < sign_of_life || write(sink, ": still here\n\n");
  }

 private:
  bool send(httplib::DataSink& sink) {
    auto newest = scan_.empty() ? store_->latest() : store_->latest(scan_);
    if (!newest || (newest->scan == sent_scan_ && newest->number == sent_number_)) return true;
    sent_scan_ = newest->scan;
    sent_number_ = newest->number;
    next_ = steady_clock::now() + interval_;
    return write(sink, event_text(*newest));
  }

  bool write(httplib::DataSink& sink, const std::string& text) {
    written_ = steady_clock::now();
    return sink.write(text.data(), text.size());
  }

  std::shared_ptr<const snapshot_store> store_;
  std::string scan_;
  std::shared_ptr<share> place_;
  nanoseconds interval_;
  steady_clock::time_point next_ = {}, written_ = steady_clock::now();
  std::uint64_t seen_ = 0;
  std::string sent_scan_;
  std::uint64_t sent_number_ = 0;
};

results_request request_of(const httplib::Request& http, std::string body) {
  results_request r{.method = http.method == "HEAD" ? "GET" : http.method,
                    .path = std::string(path_of(http)),
                    .query = {http.params.begin(), http.params.end()},
                    .content_type = http.get_header_value("Content-Type"),
                    .domain = http.get_header_value("X-Hdf-domain"),
                    .body = std::move(body)};
  if (http.has_header("Accept")) r.accept = http.get_header_value("Accept");
  return r;
}

/// Why a body cannot be had, or nothing.
std::optional<results_answer> refusal(http_listener::body_outcome outcome) {
  auto refuse = [](int status, std::string_view text) {
    return results_answer{.status = status, .body = error_body(text)};
  };
  switch (outcome) {
  case http_listener::body_outcome::complete:
    return std::nullopt;
  case http_listener::body_outcome::too_large:
    return refuse(413, "a body that is too long: ask for fewer elements at once");
  case http_listener::body_outcome::no_room:
    return refuse(503, "too many large bodies at once: ask again");
  default:
    return refuse(400, "the body cannot be read");
  }
}

} // namespace

std::string packed(std::string_view content) {
  constexpr std::size_t most = std::size_t{1} << 30;
  if (content.size() < least_packed || content.size() > most) return {};
  if (content.size() > packing_sample &&
      deflated(content.substr(0, packing_sample)).size() > packing_sample / packing_gain)
    return {};
  auto smaller = deflated(content);
  return smaller.size() <= content.size() / packing_gain ? smaller : std::string();
}

// --- the server ----------------------------------------------------------------------------------

class results_server::listener : public http_listener {
 public:
  listener(std::shared_ptr<const snapshot_store> store, http_protection protection,
           const results_limits& limits)
      : http_listener({.body = limits.body,
                       .connections = limits.connections,
                       .bodies = 4 * limits.body,
                       .times = limits.times},
                      std::move(protection.tls)),
        store_(std::move(store)), limits_(limits), gatekeeper_(std::move(protection.tokens)) {}
  ~listener() override { stop_and_join(); }

 private:
  void answer(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader) override {
    bool with_tokens = gatekeeper_.wants_tokens();
    if (request.method == "OPTIONS")
      answer_preflight(request, response, with_tokens);
    else if (gatekeeper_.admits(request, response, access_scope::view))
      answer_admitted(request, response, reader);
    allow_origin(request, response, with_tokens, results_headers);
  }

  void answer_admitted(const httplib::Request& request, httplib::Response& response,
                       const httplib::ContentReader* reader) {
    std::string body;
    if (auto refused = refusal(read_body(request, reader, body))) return send(std::move(*refused), response);
    auto asked = request_of(request, std::move(body));
    if (asked.path == events_path && asked.method == "GET") return send_events(asked, response);
    send(answer_results(*store_, asked), response);
  }

  void send(results_answer answer, httplib::Response& response) {
    if (answer.status != 200) return refuse(answer, response);
    response.status = answer.status;
    for (auto& [name, text] : answer.headers) response.set_header(name, text);
    if (answer.may_be_packed && client_takes_gzip())
      if (auto smaller = packed(answer.bytes()); !smaller.empty()) {
        response.set_header("Content-Encoding", "gzip");
        answer.whole = {};
        answer.body = std::move(smaller);
      }
    auto size = answer.bytes().size();
    auto room = std::make_shared<share>(answers_, size);
    if (room->before() > 0 && room->before() + size > limits_.answers) {
      response.headers.clear();
      return answer_json(response, 503, error_body("too many large answers are under way: ask again"));
    }
    if (size == 0) return response.set_header("Content-Type", answer.type);
    auto kept = std::make_shared<const results_answer>(std::move(answer));
    response.set_content_provider(size, kept->type,
                                  [kept, room](std::size_t offset, std::size_t n, httplib::DataSink& sink) {
                                    return sink.write(kept->bytes().data() + offset, n);
                                  });
  }

  static void refuse(const results_answer& answer, httplib::Response& response) {
    for (auto& [name, text] : answer.headers) response.set_header(name, text);
    answer_json(response, answer.status, answer.body);
  }

  void send_events(const results_request& request, httplib::Response& response) {
    auto place = std::make_shared<share>(streams_, 1);
    if (place->before() >= limits_.streams)
      return answer_json(response, 503, error_body("too many streams of events: close one"));
    double rate = 0;
    try {
      rate = event_rate(request);
    } catch (const results_error& e) {
      return answer_json(response, e.status(), error_body(e.what()));
    }
    auto scan = request.find("scan");
    auto events = std::make_shared<event_stream>(store_, scan ? *scan : std::string(), rate, place);
    response.set_header("Cache-Control", "no-cache");
    response.set_chunked_content_provider(
        "text/event-stream",
        [events](std::size_t, httplib::DataSink& sink) { return !client_is_gone() && events->go_on(sink); });
  }

  std::shared_ptr<const snapshot_store> store_;
  results_limits limits_;
  gatekeeper gatekeeper_;
  std::atomic<std::size_t> answers_ = 0; ///< bytes under way
  std::atomic<std::size_t> streams_ = 0; ///< of events
};

results_server::results_server(const std::string& host, std::uint16_t port,
                               std::shared_ptr<const snapshot_store> store, http_protection protection,
                               results_limits limits)
    : listener_(std::make_unique<listener>(std::move(store), std::move(protection), limits)) {
  listener_->bind(host, port);
}

results_server::~results_server() = default;

std::uint16_t results_server::port() const { return listener_->port(); }

void results_server::start() { listener_->start(); }

void results_server::stop() { listener_->stop_and_join(); }

} // namespace dtranspose
