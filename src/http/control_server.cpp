#include "http/control_server.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <httplib.h>

#include "model/value_json.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using std::string_view;
using std::chrono::steady_clock;

/// Connections that are served at once, each by a thread of its own.
constexpr std::size_t max_connections = 64;
/// Connections that wait for one of these threads; more wait in the kernel.
constexpr std::size_t max_waiting = 256;
/// Length of the kernel's queue; the library's own is 5.
constexpr int accept_backlog = 128;
/// How long a connection may be idle between two requests.
constexpr auto idle_limit = 60s;
/// How long the bytes of a request or an answer may stand still.
constexpr auto transfer_limit = 10s;
/// How long what a client still sends after its answer is thrown away.
constexpr auto linger_limit = 2s;
/// How soon waiting connections notice that the server stops.
constexpr auto notice = 50ms;

// --- connections ---------------------------------------------------------------------------------

/// What all connections of a server share.
struct server_state {
  std::atomic<bool> stopping = false;
  std::atomic<std::size_t> waiting = 0; ///< connections without a thread
};

/// Bytes of one connection. Unlike the library's, it waits without spinning and ends waiting when
/// the server stops.
class connection : public httplib::Stream {
 public:
  connection(int socket, const server_state& state) : socket_(socket), state_(state) {}
  ~connection() override { ::close(socket_); }

  bool wait_for_request(bool first) const {
    if (begin_ < end_) return true;
    auto give_up = [&] { return !first && state_.waiting > 0; };
    return wait(POLLIN, first ? transfer_limit : idle_limit, give_up);
  }

  /// Ends a connection whose client may still be sending: closing it at once would reset it, and
  /// the client might never read its answer.
  void throw_away_rest() {
    ::shutdown(socket_, SHUT_WR);
    auto end = steady_clock::now() + linger_limit;
    std::array<char, 4096> scrap;
    while (steady_clock::now() < end && wait(POLLIN, linger_limit))
      if (::recv(socket_, scrap.data(), scrap.size(), 0) <= 0) return;
  }

  bool is_readable() const override { return begin_ < end_ || wait(POLLIN, transfer_limit); }
  bool is_writable() const override { return wait(POLLOUT, transfer_limit); }

  ssize_t read(char* target, size_t size) override {
    if (begin_ == end_) {
      if (!is_readable()) return -1;
      auto received = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      if (received <= 0) return received;
      begin_ = 0;
      end_ = static_cast<std::size_t>(received);
    }
    auto taken = std::min(size, end_ - begin_);
    std::memcpy(target, buffer_.data() + begin_, taken);
    begin_ += taken;
    return static_cast<ssize_t>(taken);
  }

  ssize_t write(const char* bytes, size_t size) override {
    for (std::size_t sent = 0; sent < size;) {
      if (!is_writable()) return -1;
      auto n = ::send(socket_, bytes + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) sent += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN && errno != EINTR) return -1;
    }
    return static_cast<ssize_t>(size);
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override { name(::getpeername, ip, port); }
  void get_local_ip_and_port(std::string& ip, int& port) const override { name(::getsockname, ip, port); }
  socket_t socket() const override { return socket_; }

 private:
  bool wait(short events, std::chrono::milliseconds limit) const {
    return wait(events, limit, [] { return false; });
  }

  template <class GiveUp>
  bool wait(short events, std::chrono::milliseconds limit, GiveUp give_up) const {
    for (auto end = steady_clock::now() + limit;;) {
      pollfd waiting{socket_, events, 0};
      int ready = ::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(notice).count()));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return false;
      if (state_.stopping || give_up() || steady_clock::now() >= end) return false;
    }
  }

  template <class Name>
  void name(Name name_of_end, std::string& ip, int& port) const {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> service{};
    auto generic = reinterpret_cast<sockaddr*>(&address);
    if (name_of_end(socket_, generic, &length) != 0 ||
        ::getnameinfo(generic, length, host.data(), host.size(), service.data(), service.size(),
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
      return;
    ip = host.data();
    port = std::atoi(service.data());
  }

  int socket_;
  const server_state& state_;
  std::array<char, 16384> buffer_;
  std::size_t begin_ = 0, end_ = 0; ///< of what is unread in `buffer_`
};

/// Threads for connections, made as they are needed up to a limit.
class growing_pool : public httplib::TaskQueue {
 public:
  explicit growing_pool(server_state& state) : state_(state) {}

  void enqueue(std::function<void()> job) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() < max_waiting; });
    jobs_.push_back(std::move(job));
    if (idle_ < jobs_.size() && threads_.size() < max_connections) add_thread();
    state_.waiting = jobs_.size() - std::min(jobs_.size(), idle_);
    changed_.notify_all();
  }

  void shutdown() override {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    }
    for (auto& thread : threads_) thread.join();
  }

 private:
  void add_thread() {
    try {
      threads_.emplace_back([this] { work(); });
      ++idle_;
    } catch (const std::system_error&) {
      // The job waits for a thread that is there, or for the next attempt to make one.
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return ended_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      --idle_;
      state_.waiting = jobs_.size() - std::min(jobs_.size(), idle_);
      changed_.notify_all();
      lock.unlock();
      job();
      lock.lock();
      ++idle_;
    }
  }

  server_state& state_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0; ///< threads without a connection
  bool ended_ = false;
};

// --- routes --------------------------------------------------------------------------------------

/// A request as the routes see it.
struct control_request {
  const httplib::Request& http;
  std::string body;
};

struct route {
  string_view method;
  string_view path;
  http_answer (*answer)(control_interface&, const control_request&);
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

http_answer set_sequence(control_interface& system, const control_request& request, string_view body) {
  auto given = request.http.get_param_value_count("all_wrap");
  auto written = given > 0 ? request.http.get_param_value("all_wrap", given - 1) : "true";
  auto all_wrap = bool_of(written);
  if (!all_wrap) return {422, error_body("all_wrap: \"" + written + "\" is neither true nor false")};
  return system.set_sequence(body, *all_wrap);
}

http_answer post_mapping(control_interface& system, const control_request& request) {
  return set_sequence(system, request, R"({"parts":{"main":)" + request.body + R"(},"sequence":["main"]})");
}

constexpr route routes[] = {
    {"GET", "/api/v1/progress", [](auto& system, auto&) { return system.progress(); }},
    {"GET", "/api/v1/config", [](auto& system, auto&) { return system.config(); }},
    {"GET", "/api/v1/status", [](auto& system, auto&) { return system.status(); }},
    {"GET", "/api/v1/ledger", [](auto& system, auto&) { return system.ledger(); }},
    {"GET", "/api/v1/sequence", [](auto& system, auto&) { return system.sequence(); }},
    {"POST", "/api/v1/sequence",
     [](auto& system, auto& request) { return set_sequence(system, request, request.body); }},
    {"GET", "/api/v1/mapping", [](auto& system, auto&) { return system.sequence(); }},
    {"POST", "/api/v1/mapping", post_mapping},
    {"POST", "/api/v1/stop", [](auto& system, auto&) { return system.stop(); }},
};

std::string page() {
  std::string links;
  for (auto& route : routes)
    if (route.method == "GET") {
      std::string path(route.path);
      links += "<li><a href=\"" + path + "\">" + path + "</a></li>\n";
    }
  return "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>dtranspose</title>\n"
         "<h1>dtranspose</h1>\n<ul>\n" +
         links + "</ul>\n</html>\n";
}

/// The methods of a path, as the header `Allow` lists them; empty for a path that is none.
std::string allowed_methods(string_view path) {
  std::string methods;
  for (auto& route : routes)
    if (route.path == path) (methods += methods.empty() ? "" : ", ") += route.method;
  return path == "/" ? "GET" : methods;
}

// --- requests ------------------------------------------------------------------------------------

/// Of the request that this thread is at: might some of it still be on its way?
thread_local bool partly_unread = true;

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") ||
         request.get_header_value<std::uint64_t>("Content-Length") > 0;
}

/// Reads the body of a request, or says why not. A POST that announces none has none: the library
/// would wait for the end of the connection.
std::optional<http_answer> read_body(const httplib::Request& request, const httplib::ContentReader* reader,
                                     std::string& body) {
  if (!reader || !has_body(request)) return std::nullopt;
  http_answer too_large{413,
                        error_body("a body may have up to " + std::to_string(http_body_limit) + " bytes")};
  if (request.get_header_value<std::uint64_t>("Content-Length") > http_body_limit) return too_large;
  if (request.is_multipart_form_data())
    return http_answer{415, error_body("send the JSON itself, not a form")};

  bool fits = true;
  bool complete = (*reader)([&](const char* bytes, size_t size) {
    fits = size <= http_body_limit - body.size();
    if (fits) body.append(bytes, size);
    return fits;
  });
  if (!fits) return too_large;
  if (!complete) return http_answer{400, error_body("the body cannot be read")};
  partly_unread = false;
  return std::nullopt;
}

/// Pages of any origin may use the interface, with what their browser knows of the person.
void allow_origin(const httplib::Request& request, httplib::Response& response) {
  response.set_header("Vary", "Origin");
  if (!request.has_header("Origin")) return;
  response.set_header("Access-Control-Allow-Origin", request.get_header_value("Origin"));
  response.set_header("Access-Control-Allow-Credentials", "true");
}

void answer_preflight(const httplib::Request& request, httplib::Response& response) {
  response.status = 204;
  response.set_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  response.set_header("Access-Control-Max-Age", "600");
  if (request.has_header("Access-Control-Request-Headers"))
    response.set_header("Access-Control-Allow-Headers",
                        request.get_header_value("Access-Control-Request-Headers"));
}

void answer_json(httplib::Response& response, const http_answer& answer) {
  response.status = answer.status;
  response.set_content(answer.body, "application/json");
}

http_answer answer_of(const route& route, control_interface& system, const httplib::Request& http,
                      const httplib::ContentReader* reader) {
  try {
    control_request request{http, {}};
    auto refused = read_body(http, reader, request.body);
    return refused ? *refused : route.answer(system, request);
  } catch (const std::exception& error) {
    return {500, error_body(error.what())};
  }
}

void answer_request(control_interface& system, const httplib::Request& request, httplib::Response& response,
                    const httplib::ContentReader* reader) {
  string_view target = request.target;
  auto path = target.substr(0, target.find('?'));
  string_view method = request.method == "HEAD" ? "GET" : string_view(request.method);

  if (method == "OPTIONS") return answer_preflight(request, response);
  if (method == "GET" && path == "/") {
    response.status = 200;
    return response.set_content(page(), "text/html; charset=utf-8");
  }
  for (auto& route : routes)
    if (route.method == method && route.path == path)
      return answer_json(response, answer_of(route, system, request, reader));

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

std::string error_body(std::string_view text) { return to_json(value_map{{"detail", text}}); }

class control_server::listener : public httplib::Server {
 public:
  explicit listener(control_interface& system) : system_(system) {
    new_task_queue = [this] { return new growing_pool(state_); };
    set_tcp_nodelay(true);
    set_payload_max_length(http_body_limit);
    set_keep_alive_timeout(std::chrono::seconds(idle_limit).count());
    set_keep_alive_max_count(1'000'000);
    // The library's own options let a second process take the same port.
    set_socket_options([](socket_t socket) {
      int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    add_handlers();
  }

  ~listener() override {
    stop_and_join();
    if (auto socket = svr_sock_.load(); socket != INVALID_SOCKET) ::close(socket);
  }

  void bind(const std::string& host, std::uint16_t port) {
    errno = 0;
    port_ = port == 0 ? bind_to_any_port(host) : bind_to_port(host, port) ? port : -1;
    if (port_ > 0 && ::listen(svr_sock_, accept_backlog) == 0) return;
    auto address = host + ":" + std::to_string(port);
    throw std::runtime_error("cannot take connections at " + address + ": " +
                             (errno == 0 ? "no such address" : std::strerror(errno)));
  }

  int port() const { return port_; }

  void start() {
    thread_ = std::thread([this] { listen_after_bind(); });
    while (!is_running()) std::this_thread::sleep_for(1ms);
  }

  void stop_and_join() {
    state_.stopping = true;
    stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  /// All requests go the same way: the library's routing is by regular expressions, and it reads
  /// bodies of what it does not know without a limit.
  void add_handlers() {
    auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                            const httplib::ContentReader& reader) { handle(request, response, &reader); };
    auto without = [this](const httplib::Request& request, httplib::Response& response) {
      handle(request, response, nullptr);
    };
    Get(only_path, without);
    Options(only_path, without);
    Post(only_path, with_body);
    Put(only_path, with_body);
    Patch(only_path, with_body);
    Delete(only_path, with_body);
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (response.body.empty()) answer_json(response, {response.status, error_body("Bad Request")});
    });
  }

  static void prepare(httplib::Request& request) {
    request.path = only_path;
    request.ranges.clear();
    // Packing costs more than it saves between neighbours, with Brotli by far.
    request.headers.erase("Accept-Encoding");
  }

  void handle(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader) {
    partly_unread = has_body(request);
    answer_request(system_, request, response, reader);
    allow_origin(request, response);
    if (partly_unread) response.set_header("Connection", "close");
  }

  bool process_and_close_socket(socket_t socket) override {
    connection stream(socket, state_);
    bool closed = false, good = true;
    for (bool first = true; !closed && !state_.stopping && stream.wait_for_request(first); first = false) {
      bool last = state_.waiting > 0;
      partly_unread = true;
      good = process_request(stream, last, closed, prepare);
      if (!good || partly_unread || last) break;
    }
    if (good && partly_unread) stream.throw_away_rest();
    return good;
  }

  static constexpr auto only_path = "/";

  control_interface& system_;
  server_state state_;
  std::thread thread_;
  int port_ = -1;
};

control_server::control_server(std::string host, std::uint16_t port, control_interface& system)
    : listener_(std::make_unique<listener>(system)) {
  listener_->bind(host, port);
}

control_server::~control_server() = default;

std::uint16_t control_server::port() const { return static_cast<std::uint16_t>(listener_->port()); }

void control_server::start() { listener_->start(); }

void control_server::stop() { listener_->stop_and_join(); }

} // namespace dtranspose
