#include "source/http_source.hpp"

#include <charconv>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "http/http_listener.hpp"
#include "model/value_json.hpp"
#include "protocol/sardana.hpp"

namespace dtranspose {

namespace {

using clock = std::chrono::steady_clock;

constexpr auto reopen_interval = std::chrono::seconds(1);
/// How often a request that waits looks whether its client is still there.
constexpr auto client_check_interval = std::chrono::milliseconds(50);

/// Path and body, where the request left them.
class posted final : public frame_owner {
 public:
  posted(std::string_view path, std::string body) : path_(path), body_(std::move(body)) {
    views_[0] = frame(path_.data(), path_.size());
    views_[1] = frame(body_.data(), body_.size());
    set_frames(views_);
  }

 private:
  std::string path_, body_;
  std::array<frame, 2> views_;
};

/// What became of a message.
struct outcome {
  enum class fate : std::uint8_t { taken, refused, given_up } what = fate::taken;
  std::optional<packet_fault> fault = {};
};

/// Takes messages from many threads to the sink, one after the other, as far as they are allowed.
class gate {
 public:
  gate(std::unique_ptr<protocol> format, std::chrono::milliseconds patience)
      : format_(std::move(format)), patience_(patience) {}

  void replace_sink(packet_sink sink) {
    std::unique_lock lock(mutex_);
    ++replacing_;
    changed_.wait(lock, [&] { return !busy_; });
    std::swap(sink_, sink);
    ++arm_;
    allowed_ = beyond_ = counted_ = 0;
    untaken_ = {};
    format_->reset();
    --replacing_;
    changed_.notify_all();
  }

  void allow(std::uint64_t bytes, std::uint64_t beyond) {
    std::lock_guard lock(mutex_);
    allowed_ = bytes;
    beyond_ = beyond;
    changed_.notify_all();
  }

  /// Ends all waiting for good.
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  /// Custom data: nothing that anybody waits for.
  void ignore() {
    std::lock_guard lock(mutex_);
    if (!sink_) ++discarded_;
  }

  /// Waits for its turn and for allowance. `abandoned` says whether the sender has gone.
  outcome pass(const stream_data& message, const std::function<bool()>& abandoned) {
    std::unique_lock lock(mutex_);
    auto ticket = next_ticket_++;
    auto arm = arm_;
    waiting_.insert(ticket);
    auto deadline = clock::now() + patience_;
    bool gone = false, waited = false;
    auto may_go = [&] { return closed_ || (replacing_ == 0 && (arm != arm_ || is_turn(ticket))); };
    while (!may_go() && !gone && clock::now() < deadline) {
      changed_.wait_until(lock, std::min(deadline, clock::now() + client_check_interval), may_go);
      gone = abandoned();
      waited = true;
    }
    // Whoever had to wait may be gone by now, and post it again.
    gone = gone || (waited && abandoned());
    bool goes = may_go() && !closed_ && !gone;
    auto result = goes ? take(message, arm, lock) : not_taken(message, gone);
    waiting_.erase(ticket);
    changed_.notify_all();
    return result;
  }

  bool reading() const {
    std::lock_guard lock(mutex_);
    return may_read();
  }
  std::uint64_t discarded() const {
    std::lock_guard lock(mutex_);
    return discarded_;
  }

 private:
  bool may_read() const { return !sink_ || counted_ < allowed_ || counted_ < beyond_; }

  bool is_turn(std::uint64_t ticket) const { return !busy_ && *waiting_.begin() == ticket && may_read(); }

  outcome not_taken(const stream_data& message, bool gone) {
    untaken_ = message;
    return {gone ? outcome::fate::given_up : outcome::fate::refused};
  }

  /// `arm`: when the message came. What came for an earlier scan is dropped.
  outcome take(const stream_data& message, std::uint64_t arm, std::unique_lock<std::mutex>& lock) {
    if (arm != arm_) {
      ++discarded_;
      return {};
    }
    auto batch = std::make_shared<packet_batch>();
    bool lost_some = untaken_.bytes() > 0 && untaken_ != message;
    untaken_ = {};
    busy_ = true;
    lock.unlock();
    auto fault = read(message, lost_some, *batch);
    if (sink_) sink_(batch);
    lock.lock();
    busy_ = false;
    if (sink_)
      counted_ += batch->bytes;
    else
      ++discarded_;
    return {outcome::fate::taken, fault};
  }

  std::optional<packet_fault> read(const stream_data& message, bool lost_some, packet_batch& batch) {
    if (lost_some) format_->interrupted(batch.packets);
    auto before = batch.packets.size();
    format_->read(message, batch.packets);
    batch.bytes = budgeted_bytes(message.bytes());
    for (auto i = before; i < batch.packets.size(); ++i)
      if (batch.packets[i].fault) return batch.packets[i].fault;
    return std::nullopt;
  }

  std::unique_ptr<protocol> format_; ///< used by who made `busy_` true, or while that is false
  std::chrono::milliseconds patience_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  packet_sink sink_; ///< changes only while `busy_` is false
  std::uint64_t arm_ = 0;
  std::uint64_t allowed_ = 0, beyond_ = 0, counted_ = 0, discarded_ = 0;
  std::uint64_t next_ticket_ = 0;
  std::set<std::uint64_t> waiting_; ///< tickets, the next one first
  stream_data untaken_;             ///< the last message that was refused, until another one is taken
  unsigned replacing_ = 0;          ///< threads that want to replace the sink
  bool busy_ = false;               ///< is a message on its way to the sink?
  bool closed_ = false;
};

std::string detail(std::string_view text) { return to_json(value_map{{"detail", text}}); }

bool is_path(std::string_view path) {
  return path == sardana_description_path || path == sardana_record_path || path == sardana_custom_path ||
         path == sardana_end_path;
}

class recorder_server final : public http_listener {
 public:
  recorder_server(gate& passage, std::string_view type)
      : http_listener({.body = sardana_body_limit, .connections = http_source_connections}), gate_(passage),
        type_(type) {}
  ~recorder_server() override { stop_and_join(); }

  clock::time_point last_request() const {
    return clock::time_point(clock::duration(last_request_.load(std::memory_order_relaxed)));
  }

 private:
  void answer(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader) override {
    try {
      answer_post(request, response, reader);
    } catch (const std::exception& error) {
      answer_json(response, 500, detail(error.what()));
    }
  }

  void answer_post(const httplib::Request& request, httplib::Response& response,
                   const httplib::ContentReader* reader) {
    auto path = path_of(request);
    if (!is_path(path)) return answer_json(response, 404, detail("Not Found"));
    if (request.method != "POST") {
      response.set_header("Allow", "POST");
      return answer_json(response, 405, detail("Method Not Allowed"));
    }
    std::string body;
    auto read = read_body(request, reader, body);
    last_request_.store(clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    if (read == body_outcome::a_form)
      return answer_json(response, 415, detail("send the JSON itself, not a form"));
    if (read == body_outcome::broken) return answer_json(response, 400, detail("the body cannot be read"));
    if (path == sardana_custom_path) {
      gate_.ignore();
      return answer_json(response, 200, "null");
    }
    // It was to be an entry: the format sees its length, whatever was read of it.
    if (read == body_outcome::too_large) body.resize(sardana_body_limit + 1);
    pass(stream_data(std::make_unique<posted>(path, std::move(body)), type_), response);
  }

  void pass(const stream_data& message, httplib::Response& response) {
    auto result = gate_.pass(message, client_is_gone);
    if (result.what != outcome::fate::taken) {
      response.set_header("Retry-After", "1");
      answer_json(response, 503, detail("too much is waiting to be analysed: post it again"));
    } else if (!result.fault) {
      answer_json(response, 200, "null");
    } else {
      int status = *result.fault == packet_fault::oversized ? 413 : 422;
      auto complaint = sardana_complaint(message);
      answer_json(response, status, detail(complaint.empty() ? name_of(*result.fault) : complaint));
    }
  }

  gate& gate_;
  std::string_view type_; ///< tag of the format
  std::atomic<clock::rep> last_request_ = clock::time_point::min().time_since_epoch().count();
};

class http_source final : public source {
 public:
  explicit http_source(http_source_options options)
      : url_(std::move(options.url)), remembered_(options.remembered), type_(options.format->type_tag()),
        gate_(std::move(options.format), options.patience) {
    status_.address = url_;
    if (!open()) opener_ = std::jthread([this](const std::stop_token& stop) { keep_opening(stop); });
  }

  ~http_source() override {
    opener_ = {};
    gate_.close();
    server_.reset();
  }

  void arm(packet_sink sink) override { gate_.replace_sink(std::move(sink)); }
  void disarm() override { gate_.replace_sink({}); }
  void allow(std::uint64_t bytes, std::uint64_t beyond) override { gate_.allow(bytes, beyond); }

  source_status status() const override {
    std::lock_guard lock(mutex_);
    auto status = status_;
    status.reading = server_ && gate_.reading();
    status.discarded = gate_.discarded();
    status.connected = server_ && (server_->connections() > 0 || was_posted_to());
    return status;
  }

 private:
  bool was_posted_to() const {
    auto last = server_->last_request();
    return last != clock::time_point::min() && clock::now() - last < remembered_;
  }

  /// Listens, or says why not.
  bool open() {
    try {
      auto address = parse_http_address(url_);
      auto server = std::make_unique<recorder_server>(gate_, type_);
      server->bind(address.host, address.port);
      server->start();
      std::lock_guard lock(mutex_);
      status_.address = "http://" + host_in_url(address.host) + ":" + std::to_string(server->port());
      status_.error.clear();
      server_ = std::move(server);
      return true;
    } catch (const std::exception& error) {
      std::lock_guard lock(mutex_);
      status_.error = "cannot listen on " + url_ + ": " + error.what();
      return false;
    }
  }

  static std::string host_in_url(const std::string& host) {
    return host.find(':') == std::string::npos ? host : "[" + host + "]";
  }

  void keep_opening(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wakes;
    do {
      std::unique_lock lock(mutex);
      wakes.wait_for(lock, stop, reopen_interval, [] { return false; });
    } while (!stop.stop_requested() && !open());
  }

  std::string url_;
  std::chrono::milliseconds remembered_;
  std::string_view type_;
  gate gate_;
  mutable std::mutex mutex_;
  source_status status_;                    ///< address and error
  std::unique_ptr<recorder_server> server_; ///< null as long as the address can't be had
  std::jthread opener_;
};

} // namespace

std::unique_ptr<source> make_http_source(http_source_options options) {
  return std::make_unique<http_source>(std::move(options));
}

http_address parse_http_address(std::string_view url) {
  auto refuse = [&]() { throw std::runtime_error("'" + std::string(url) + "' is no http://host:port"); };
  auto rest = url;
  constexpr std::string_view scheme = "http://";
  if (!rest.starts_with(scheme)) refuse();
  rest.remove_prefix(scheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  auto colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) refuse();
  auto digits = rest.substr(colon + 1);
  auto host = rest.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  http_address address{host == "*" ? "0.0.0.0" : std::string(host)};
  if (digits == "*") return address;
  auto end = digits.data() + digits.size();
  auto [stop, error] = std::from_chars(digits.data(), end, address.port);
  if (error != std::errc() || stop != end || digits.empty() || host.empty()) refuse();
  return address;
}

} // namespace dtranspose
