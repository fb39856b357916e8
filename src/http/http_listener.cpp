#include "http/http_listener.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;

/// Length of the kernel's queue; the library's own is 5.
constexpr int accept_backlog = 128;
/// How long nobody is accepted when the process has no descriptors left.
constexpr auto shortage_pause = 20ms;

constexpr auto only_path = "/";

/// Of the request that this thread is at: might some of it still be on its way?
thread_local bool partly_unread = true;
/// Of the request that this thread is at: bytes of its body that count for all of the listener.
thread_local std::size_t counted_body = 0;
/// Of the request that this thread is at: may its answer be packed?
thread_local bool takes_gzip = false;
/// The connection that this thread serves.
thread_local connection* current = nullptr;

bool is_number(std::string_view text) {
  return !text.empty() && text.size() < 20 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// Is it beyond doubt where the request ends? What two readers could see differently lets a request hide in
/// another one's body.
bool has_a_clear_end(const httplib::Request& request) {
  auto lengths = request.get_header_value_count("Content-Length");
  auto encodings = request.get_header_value_count("Transfer-Encoding");
  if (lengths + encodings > 1) return false;
  return lengths == 0 || is_number(request.get_header_value("Content-Length"));
}

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") ||
         request.get_header_value<std::uint64_t>("Content-Length") > 0;
}

/// All requests go the same way: the library's routing is by regular expressions, and it reads
/// bodies of what it does not know without a limit.
void send_to_only_path(httplib::Request& request) {
  request.path = only_path;
  request.ranges.clear();
  takes_gzip = request.get_header_value("Accept-Encoding").find("gzip") != std::string::npos;
  // Packing costs more than it saves between neighbours, with Brotli by far.
  request.headers.erase("Accept-Encoding");
}

} // namespace

http_listener::http_listener(listener_limits limits, std::shared_ptr<const https_identity> tls)
    : limits_(limits), tls_(std::move(tls)),
      pool_(limits.connections,
            [this](file_descriptor socket, const std::string& group) { serve(std::move(socket), group); }) {
  set_tcp_nodelay(true);
  // The library would read all of what is longer before it says so; `read_body` stops.
  set_payload_max_length(std::numeric_limits<std::size_t>::max());
  set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(limits_.times.idle).count());
  set_keep_alive_max_count(1'000'000);
  // The library's own options let a second process take the same port.
  set_socket_options([](socket_t socket) {
    int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  add_handlers();
}

http_listener::~http_listener() { stop_and_join(); }

void http_listener::bind(const std::string& host, std::uint16_t port) {
  errno = 0;
  port_ = port == 0 ? bind_to_any_port(host) : bind_to_port(host, port) ? port : -1;
  if (port_ > 0 && ::listen(svr_sock_, accept_backlog) == 0) return;
  auto address = host + ":" + std::to_string(port);
  throw std::runtime_error("cannot take connections at " + address + ": " +
                           (errno == 0 ? "no such address" : std::strerror(errno)));
}

void http_listener::start() {
  thread_ = std::thread([this] { accept_all(); });
}

void http_listener::stop_and_join() {
  stopping_ = true;
  bell_.ring();
  if (thread_.joinable()) thread_.join();
  // The library takes this for a sign that the server stops.
  if (auto socket = svr_sock_.exchange(INVALID_SOCKET); socket != INVALID_SOCKET) ::close(socket);
  pool_.shutdown();
}

void http_listener::accept_all() {
  while (!stopping_) {
    pollfd waiting[] = {{svr_sock_, POLLIN, 0}, {bell_.fd(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 || waiting[0].revents == 0) continue;
    accept_one();
  }
}

void http_listener::accept_one() {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  file_descriptor socket(
      ::accept4(svr_sock_, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
      std::this_thread::sleep_for(shortage_pause);
    return;
  }
  pool_.add(std::move(socket), address_group(numeric_address(address, length).ip));
}

http_listener::body_outcome http_listener::read_body(const httplib::Request& request,
                                                     const httplib::ContentReader* reader,
                                                     std::string& body) {
  if (!reader || !has_body(request)) return body_outcome::complete;
  if (request.get_header_value<std::uint64_t>("Content-Length") > limits_.body)
    return body_outcome::too_large;
  if (request.is_multipart_form_data()) return body_outcome::a_form;
  auto outcome = body_outcome::complete;
  bool complete = (*reader)([&](const char* bytes, size_t size) {
    if (size > limits_.body - body.size())
      outcome = body_outcome::too_large;
    else if (!count_body(size))
      outcome = body_outcome::no_room;
    if (outcome != body_outcome::complete) return false;
    body.append(bytes, size);
    current->used();
    return true;
  });
  if (outcome != body_outcome::complete) return outcome;
  if (!complete) return body_outcome::broken;
  partly_unread = false;
  return body_outcome::complete;
}

bool http_listener::count_body(std::size_t bytes) {
  counted_body += bytes;
  return bodies_.fetch_add(bytes) + bytes <= limits_.bodies;
}

bool http_listener::client_is_gone() { return current->client_is_gone(); }

bool http_listener::client_takes_gzip() { return takes_gzip; }

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
    if (auto trouble = current->head_trouble(); trouble != 0) response.status = trouble;
    if (partly_unread && !response.has_header("Connection")) response.set_header("Connection", "close");
    if (response.body.empty()) answer_json(response, response.status, R"({"detail":"Bad Request"})");
  });
}

void http_listener::handle(const httplib::Request& request, httplib::Response& response,
                           const httplib::ContentReader* reader) {
  partly_unread = has_body(request);
  current->begin_body();
  struct end_of_request {
    std::atomic<std::size_t>& bodies;
    ~end_of_request() { bodies -= std::exchange(counted_body, 0); }
  } end{bodies_};
  if (has_a_clear_end(request)) {
    answer(request, response, reader);
  } else {
    partly_unread = true;
    answer_json(response, 400, R"({"detail":"the length of the body is not clear"})");
  }
  if (partly_unread) response.set_header("Connection", "close");
}

void http_listener::serve(file_descriptor socket, const std::string& group) {
  connection stream(std::move(socket), limits_.times, stopping_);
  if (tls_ && !stream.greet(tls_->context())) return;
  current = &stream;
  auto wanted = [&] { return pool_.wants_room(group); };
  bool closed = false, good = true;
  partly_unread = false;
  while (!closed && !stopping_ && stream.wait_for_request(wanted)) {
    bool last = wanted();
    partly_unread = true;
    stream.begin_head();
    good = process_request(stream, last, closed, send_to_only_path);
    if (!good || partly_unread || last) break;
  }
  if (good && partly_unread) stream.throw_away_rest();
  current = nullptr;
}

std::string_view path_of(const httplib::Request& request) {
  std::string_view target = request.target;
  return target.substr(0, target.find('?'));
}

std::string address_group(const std::string& ip) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, ip.substr(0, ip.find('%')).c_str(), &address) != 1) return ip;
  constexpr std::size_t network = 8, embedded = 12;
  auto bytes = reinterpret_cast<const char*>(&address);
  if (!IN6_IS_ADDR_V4MAPPED(&address)) return {bytes, network};
  std::array<char, INET_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET, bytes + embedded, text.data(), text.size());
}

void answer_json(httplib::Response& response, int status, const std::string& body) {
  response.status = status;
  response.set_content(body, "application/json");
}

} // namespace dtranspose
