/// The REST interface through which people and control systems steer scans: routes, bodies and
/// status codes. What the routes mean is behind `control_interface`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

/// Largest body that is read; more is answered with 413.
inline constexpr std::size_t http_body_limit = std::size_t{256} << 20;
/// Bytes of all bodies that are held at once; more is answered with 503.
inline constexpr std::size_t http_bodies_limit = 2 * http_body_limit;

/// Connections that are served at once, half of them for one address; and streams of events or of logs among
/// them.
inline constexpr std::size_t http_connections = 128, http_streams = 32;
/// Names of levels that logs are asked for by, rising; in any case.
inline constexpr const char* log_levels[] = {"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};

class access_tokens;
class https_identity;

/// What keeps strangers out; by default nothing does.
struct http_protection {
  std::shared_ptr<const access_tokens> tokens = nullptr; ///< null: nobody needs one
  std::shared_ptr<const https_identity> tls = nullptr;   ///< null: HTTP, else HTTPS
};

struct http_answer {
  int status = 200;
  std::string body = "null";
  const char* content_type = "application/json";
};

/// `{"detail": text}`, which is how every error is answered.
std::string error_body(std::string_view text);

/// What the REST interface asks of the system. Called from several threads of the server at once;
/// an exception is answered with 500 and its text.
class control_interface {
 public:
  virtual ~control_interface();

  /// Starts a scan: `body` is what was posted, unchecked. Answers its id.
  virtual http_answer set_sequence(std::string_view body, bool all_wrap) = 0;
  virtual http_answer sequence() = 0;
  virtual http_answer progress() = 0;
  virtual http_answer config() = 0;
  virtual http_answer status() = 0;
  virtual http_answer ledger() = 0;
  /// What the analysis has decided, from that number on.
  virtual http_answer decisions(std::uint64_t since) = 0;
  virtual http_answer stop() = 0;
  /// Its streams alone.
  virtual http_answer streams() = 0;
  /// 200 where scans can be started, 503 where somebody is missing.
  virtual http_answer health() = 0;
  /// For Prometheus.
  virtual http_answer metrics() = 0;
  /// What was logged last, from that level on, which is one of `log_levels`.
  virtual http_answer logs(const std::string& level) = 0;
  /// What was logged since `position`, which moves on: a JSON object for each record. From 0 on: nothing yet.
  virtual std::vector<std::string> logs_since(std::uint64_t& position) = 0;
  /// How busy workers were over the last events, for each of `intervals`, and with `scan` over all of it.
  virtual http_answer load(const std::vector<std::uint64_t>& intervals, bool scan) = 0;
  /// Starts a scan of as many points as a scan macro says; answers its id, or why not, both with 200.
  virtual http_answer sardana_hook(std::string_view body) = 0;
  /// Reads the analysis anew from its files.
  virtual http_answer reload_analysis() = 0;
  virtual http_answer parameters() = 0;
  /// Its bytes.
  virtual http_answer parameter(const std::string& name) = 0;
  /// `written` is what was posted, unchecked. Answers the hash of all parameters.
  virtual http_answer set_parameter(const std::string& name, std::string_view written, bool lenient) = 0;
};

/// Serves a `control_interface`, which must outlive it, on an address of its own.
class control_server {
 public:
  /// Takes the port (0: any) but answers nobody yet. Throws std::runtime_error naming the address
  /// when that cannot be had.
  control_server(const std::string& host, std::uint16_t port, control_interface& system,
                 http_protection protection = {});
  ~control_server();

  std::uint16_t port() const;

  /// Answers requests, in threads of its own. Called once.
  void start();

  /// Closes all connections, idle ones at once, and returns when the last call into the system has.
  /// For good; may be called again.
  void stop();

 private:
  class listener;
  std::unique_ptr<listener> listener_;
};

} // namespace dtranspose
