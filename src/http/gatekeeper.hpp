/// Lets requests pass that carry a token for what they ask, and refuses all others.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <httplib.h>

#include "http/access_tokens.hpp"
#include "http/login_guard.hpp"

namespace dtranspose {

/// May be asked by any number of threads, and by several servers.
class gatekeeper {
 public:
  /// Without tokens everybody may do everything.
  explicit gatekeeper(std::shared_ptr<const access_tokens> tokens) : tokens_(std::move(tokens)) {}

  bool wants_tokens() const { return tokens_ != nullptr; }

  /// True: the request may go on. False: `response` says why not, and it was logged.
  ///
  /// | answer | when |
  /// | ------ | ---- |
  /// | 401    | no token, or none that is known |
  /// | 403    | one that does not open what `needed` says |
  /// | 429    | too many wrong tokens came from that address |
  bool admits(const httplib::Request& request, httplib::Response& response, access_scope needed);

 private:
  enum class verdict : std::uint8_t { known, unknown, blocked };

  verdict judge(const httplib::Request& request, const std::optional<access>& found, bool presented);
  void log(const httplib::Request& request, int status, std::string_view why);
  bool may_log();

  std::shared_ptr<const access_tokens> tokens_;
  std::mutex mutex_;
  login_guard guard_;
  std::chrono::steady_clock::time_point log_refilled_;
  double log_lines_ = 0;             ///< that may be written now
  std::uint64_t lines_left_out_ = 0; ///< since the last one
};

} // namespace dtranspose
