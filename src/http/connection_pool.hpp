/// Threads for connections, made as they are needed up to a limit, and shared fairly between addresses.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "source/file_descriptor.hpp"

namespace dtranspose {

/// Connections that wait for a thread; more are closed at once.
inline constexpr std::size_t http_waiting_connections = 256;

/// No group of addresses gets more than half of the threads, nor of the places in the queue, so that one
/// client that floods does not keep the others out.
class connection_pool {
 public:
  /// Serves one connection to its end, in a thread of the pool.
  using server = std::function<void(file_descriptor socket, const std::string& group)>;

  connection_pool(std::size_t max_threads, server serve);
  ~connection_pool() { shutdown(); }

  /// Takes a connection. False: too many wait already, it is closed.
  bool add(file_descriptor socket, const std::string& group);

  /// Does a connection wait that could be served if one of this group ended?
  bool wants_room(const std::string& group) const;

  /// Connections, served and waiting.
  std::size_t size() const;

  /// Closes those that wait, and returns when those that are served have ended. For good.
  void shutdown();

 private:
  struct client {
    file_descriptor socket;
    std::string group;
  };
  struct share {
    std::size_t served = 0, waiting = 0;
  };
  using clients = std::deque<client>;

  void work();
  void add_thread();
  clients::iterator next();
  bool has_its_share(const std::string& group) const;
  void count(const std::string& group, int served, int waiting);

  server serve_;
  std::size_t max_threads_, max_served_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  clients waiting_;
  std::map<std::string, share> shares_; ///< of the groups that have connections
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0; ///< threads without a connection
  bool ended_ = false;
};

} // namespace dtranspose
