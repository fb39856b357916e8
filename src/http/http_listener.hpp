/// What the HTTP servers of this program have in common: connections that wait without spinning, threads made
/// as they are needed, bodies within a limit, and an end that waits for no idle client. What is answered is
/// up to who derives from it. It brings httplib along.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include <httplib.h>

namespace dtranspose {

struct listener_limits {
  std::size_t body = std::size_t{256} << 20; ///< bytes, unpacked
  std::size_t connections = 64;              ///< served at once, each by a thread of its own
};

/// What all connections of a listener share.
struct listener_state {
  std::atomic<bool> stopping = false;
  std::atomic<std::size_t> waiting = 0; ///< connections without a thread
  std::atomic<std::size_t> open = 0;    ///< connections with one
};

class http_listener : public httplib::Server {
 public:
  enum class body_outcome : std::uint8_t {
    complete,  ///< all of it, or there was none
    too_large, ///< `body` may hold its beginning
    a_form,    ///< of several parts, nothing that we take
    broken,    ///< the client went, or stood still, in the middle of it
  };

  explicit http_listener(listener_limits limits);
  /// A derived class calls `stop_and_join` in its own destructor, before what it answers with is gone.
  ~http_listener() override;

  /// Takes the port (0: any) but answers nobody yet. Throws std::runtime_error naming the address when that
  /// cannot be had.
  void bind(const std::string& host, std::uint16_t port);

  /// The port that `bind` took.
  std::uint16_t port() const { return static_cast<std::uint16_t>(port_); }

  /// Answers requests, in threads of its own. Called once.
  void start();

  /// Closes all connections, idle ones at once, and returns when the last request was answered. For good; may
  /// be called again.
  void stop_and_join();

  /// Clients that are connected now.
  std::size_t connections() const { return state_.open + state_.waiting; }

 protected:
  /// Answers one request, in the thread of its connection. `reader` is null for methods without a body. The
  /// path is in `target`; what the library parsed as `path` is not meaningful.
  virtual void answer(const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader* reader) = 0;

  /// Reads the body of the request that this thread is at. One that announces none has none.
  body_outcome read_body(const httplib::Request& request, const httplib::ContentReader* reader,
                         std::string& body) const;

  /// Has the client of the request that this thread is at hung up?
  static bool client_is_gone();

 private:
  void add_handlers();
  void handle(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader);
  bool process_and_close_socket(socket_t socket) override;

  listener_limits limits_;
  listener_state state_;
  std::thread thread_;
  int port_ = -1;
};

/// The path of a request, without what follows a `?`.
std::string_view path_of(const httplib::Request& request);

/// Answers with JSON.
void answer_json(httplib::Response& response, int status, const std::string& body);

} // namespace dtranspose
