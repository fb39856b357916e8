#include "http/http_listener.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// Connections that wait for a thread; more wait in the kernel.
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

constexpr auto only_path = "/";

/// Of the request that this thread is at: might some of it still be on its way?
thread_local bool partly_unread = true;
/// Of the connection that this thread serves.
thread_local int current_socket = -1;

/// Bytes of one connection. Unlike the library's, it waits without spinning and ends waiting when
/// the server stops.
class connection : public httplib::Stream {
 public:
  connection(int socket, listener_state& state) : socket_(socket), state_(state) {
    current_socket = socket;
    ++state_.open;
  }
  ~connection() override {
    ::close(socket_);
    current_socket = -1;
    --state_.open;
  }

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
  listener_state& state_;
  std::array<char, 16384> buffer_;
  std::size_t begin_ = 0, end_ = 0; ///< of what is unread in `buffer_`
};

/// Threads for connections, made as they are needed up to a limit.
class growing_pool : public httplib::TaskQueue {
 public:
  growing_pool(listener_state& state, std::size_t max_threads) : state_(state), max_threads_(max_threads) {}

  void enqueue(std::function<void()> job) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return jobs_.size() < max_waiting; });
    jobs_.push_back(std::move(job));
    if (idle_ < jobs_.size() && threads_.size() < max_threads_) add_thread();
    count_waiting();
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

  void count_waiting() { state_.waiting = jobs_.size() - std::min(jobs_.size(), idle_); }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return ended_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      --idle_;
      count_waiting();
      changed_.notify_all();
      lock.unlock();
      job();
      lock.lock();
      ++idle_;
    }
  }

  listener_state& state_;
  std::size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0; ///< threads without a connection
  bool ended_ = false;
};

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") ||
         request.get_header_value<std::uint64_t>("Content-Length") > 0;
}

/// All requests go the same way: the library's routing is by regular expressions, and it reads
/// bodies of what it does not know without a limit.
void send_to_only_path(httplib::Request& request) {
  request.path = only_path;
  request.ranges.clear();
  // Packing costs more than it saves between neighbours, with Brotli by far.
  request.headers.erase("Accept-Encoding");
}

} // namespace

http_listener::http_listener(listener_limits limits) : limits_(limits) {
  new_task_queue = [this] { return new growing_pool(state_, limits_.connections); };
  set_tcp_nodelay(true);
  // The library would read all of what is longer before it says so; `read_body` stops.
  set_payload_max_length(std::numeric_limits<std::size_t>::max());
  set_keep_alive_timeout(std::chrono::seconds(idle_limit).count());
  set_keep_alive_max_count(1'000'000);
  // The library's own options let a second process take the same port.
  set_socket_options([](socket_t socket) {
    int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  add_handlers();
}

http_listener::~http_listener() {
  stop_and_join();
  if (auto socket = svr_sock_.load(); socket != INVALID_SOCKET) ::close(socket);
}

void http_listener::bind(const std::string& host, std::uint16_t port) {
  errno = 0;
  port_ = port == 0 ? bind_to_any_port(host) : bind_to_port(host, port) ? port : -1;
  if (port_ > 0 && ::listen(svr_sock_, accept_backlog) == 0) return;
  auto address = host + ":" + std::to_string(port);
  throw std::runtime_error("cannot take connections at " + address + ": " +
                           (errno == 0 ? "no such address" : std::strerror(errno)));
}

void http_listener::start() {
  thread_ = std::thread([this] { listen_after_bind(); });
  while (!is_running()) std::this_thread::sleep_for(1ms);
}

void http_listener::stop_and_join() {
  state_.stopping = true;
  stop();
  if (thread_.joinable()) thread_.join();
}

http_listener::body_outcome http_listener::read_body(const httplib::Request& request,
                                                     const httplib::ContentReader* reader,
                                                     std::string& body) const {
  if (!reader || !has_body(request)) return body_outcome::complete;
  if (request.get_header_value<std::uint64_t>("Content-Length") > limits_.body)
    return body_outcome::too_large;
  if (request.is_multipart_form_data()) return body_outcome::a_form;
  bool fits = true;
  bool complete = (*reader)([&](const char* bytes, size_t size) {
    fits = size <= limits_.body - body.size();
    if (fits) body.append(bytes, size);
    return fits;
  });
  if (!fits) return body_outcome::too_large;
  if (!complete) return body_outcome::broken;
  partly_unread = false;
  return body_outcome::complete;
}

bool http_listener::client_is_gone() {
  pollfd hung_up{current_socket, POLLRDHUP, 0};
  return ::poll(&hung_up, 1, 0) > 0;
}

void http_listener::add_handlers() {
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
    if (response.body.empty()) answer_json(response, response.status, R"({"detail":"Bad Request"})");
  });
}

void http_listener::handle(const httplib::Request& request, httplib::Response& response,
                           const httplib::ContentReader* reader) {
  partly_unread = has_body(request);
  answer(request, response, reader);
  if (partly_unread) response.set_header("Connection", "close");
}

bool http_listener::process_and_close_socket(socket_t socket) {
  connection stream(socket, state_);
  bool closed = false, good = true;
  partly_unread = false;
  for (bool first = true; !closed && !state_.stopping && stream.wait_for_request(first); first = false) {
    bool last = state_.waiting > 0;
    partly_unread = true;
    good = process_request(stream, last, closed, send_to_only_path);
    if (!good || partly_unread || last) break;
  }
  if (good && partly_unread) stream.throw_away_rest();
  return good;
}

std::string_view path_of(const httplib::Request& request) {
  std::string_view target = request.target;
  return target.substr(0, target.find('?'));
}

void answer_json(httplib::Response& response, int status, const std::string& body) {
  response.status = status;
  response.set_content(body, "application/json");
}

} // namespace dtranspose
