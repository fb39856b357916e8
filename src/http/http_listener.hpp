/// What the HTTP servers of this program have in common: connections that wait without spinning, with TLS or
/// without, threads made as they are needed, limits for whatever a client can send, and an end that waits for
/// no idle client. What is answered is up to who derives from it. It brings httplib along.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <httplib.h>

#include "http/connection.hpp"
#include "http/connection_pool.hpp"
#include "http/https_identity.hpp"
#include "source/file_descriptor.hpp"

namespace dtranspose {

struct listener_limits {
  std::size_t body = std::size_t{256} << 20; ///< bytes, unpacked
  std::size_t connections = 64;              ///< served at once, each by a thread of its own
  /// Bytes of all bodies that are held at once.
  std::size_t bodies = std::numeric_limits<std::size_t>::max();
  http_times times = {};
};

class http_listener : public httplib::Server {
 public:
  enum class body_outcome : std::uint8_t {
    complete,  ///< all of it, or there was none
    too_large, ///< `body` may hold its beginning
    a_form,    ///< of several parts, nothing that we take
    broken,    ///< the client went, stood still or dawdled in the middle of it
    no_room,   ///< the bodies of others take up all that `listener_limits::bodies` allows
  };

  /// With `tls` it takes HTTPS only.
  explicit http_listener(listener_limits limits, std::shared_ptr<const https_identity> tls = nullptr);
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
  std::size_t connections() const { return pool_.size(); }

 protected:
  /// Answers one request, in the thread of its connection. `reader` is null for methods without a body. The
  /// path is in `target`; what the library parsed as `path` is not meaningful.
  virtual void answer(const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader* reader) = 0;

  /// Reads the body of the request that this thread is at. One that announces none has none.
  body_outcome read_body(const httplib::Request& request, const httplib::ContentReader* reader,
                         std::string& body);

  /// Has the client of the request that this thread is at hung up?
  static bool client_is_gone();
  /// Does it take answers packed with gzip? They are never packed by themselves.
  static bool client_takes_gzip();

 private:
  void add_handlers();
  void accept_all();
  void accept_one();
  void serve(file_descriptor socket, const std::string& group);
  void handle(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader* reader);
  bool count_body(std::size_t bytes);

  listener_limits limits_;
  std::shared_ptr<const https_identity> tls_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::size_t> bodies_ = 0; ///< bytes of bodies that are held
  bell bell_;
  std::thread thread_;
  int port_ = -1;
  connection_pool pool_;
};

/// The path of a request, without what follows a `?`.
std::string_view path_of(const httplib::Request& request);

/// Who counts as one client: an IPv4 address, or the network (/64) of an IPv6 address, in some form.
std::string address_group(const std::string& ip);

/// Answers with JSON.
void answer_json(httplib::Response& response, int status, const std::string& body);

} // namespace dtranspose
