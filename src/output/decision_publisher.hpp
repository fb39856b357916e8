/// Tells what analyses have decided to whoever listens: a ZeroMQ PUB socket.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace dtranspose {

/// Two parts for each decision: its name, by which one can subscribe, and JSON. It waits for nobody: who does
/// not keep up misses some, and finds by their numbers that it did. One thread at a time.
class decision_publisher {
 public:
  /// Binds. Throws std::runtime_error, naming the URL, where that cannot be done.
  explicit decision_publisher(const std::string& url);
  ~decision_publisher();

  void publish(std::string_view name, std::string_view json);

  /// Where it listens: with the port, where that was left to the system.
  std::string endpoint() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
