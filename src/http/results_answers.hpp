/// What viewers ask of snapshots and what they are answered, without sockets.
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "output/snapshots.hpp"

namespace dtranspose {

struct results_request {
  using query_map = std::multimap<std::string, std::string>;

  std::string method = "GET";
  std::string path = "/"; ///< as it was sent, percent-encoded
  query_map query = {};
  std::string accept = "*/*", content_type = {};
  std::string domain = {}; ///< what some clients send as a header
  std::string body = {};

  /// The last one of that name; null without.
  const std::string* find(const std::string& name) const;
};

struct results_answer {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
  array whole = {}; ///< sent instead of `body`, if it has elements
  std::vector<std::pair<std::string, std::string>> headers = {};
  bool may_be_packed = true;

  std::string_view bytes() const {
    auto elements = whole.bytes();
    if (elements.empty()) return body;
    return {reinterpret_cast<const char*>(elements.data()), elements.size()};
  }
};

inline constexpr std::string_view binary_type = "application/octet-stream";

/// Why there is no answer; becomes `{"detail": text}`.
class results_error : public std::runtime_error {
 public:
  results_error(int status, const std::string& text) : std::runtime_error(text), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

/// The snapshot that a request names by `scan` and `snapshot`, or else by its domain, `/`, `/SCAN` or
/// `/SCAN/NUMBER`; without them the latest of the latest scan, which is null before the first scan. Throws
/// results_error with status 404 where it is not kept, 400 where the number is none.
snapshot_store::handle chosen_snapshot(const snapshot_store& store, const results_request& request);

/// A whole number; throws results_error with status 400, naming what it is.
std::uint64_t whole_number(std::string_view name, std::string_view text);

/// `%20` becomes a blank and so on; `+` stays.
std::string percent_decoded(std::string_view text);

/// Answers everything but the stream of events: `/api/v1` and the HDF REST routes. Never throws for what a
/// client sends.
results_answer answer_results(const snapshot_store& store, const results_request& request);

/// The methods of a path, for the header `Allow`; empty for one that is none.
std::string_view results_methods(std::string_view path);

} // namespace dtranspose
